"""Load galaxies by name or path, and write them to a file."""

import io
import json
import os
from dataclasses import replace
from pathlib import Path

import h5py

from .data.arrays import check_images, check_labels
from .data.dataset import Dataset, Origin
from .data.galaxy10 import CLASS_NAMES, DATASETS, GALAXY10_CROP, load_galaxy10
from .errors import ParameterError, RunError
from .files import PathLike, whole_file
from .images.catalogue import is_catalogue
from .images.folders import read_labelled
from .run import Run, as_run
from .simulation.simulate import SIMULATED_FRACTIONS, SIMULATED_TITLE, simulate_galaxy10


def load_data(
    data: PathLike,
    *,
    n: int = 4000,
    seed: int = 0,
    image_column: str = "image",
    label_column: str = "label",
) -> Dataset:
    """Load galaxies, by name or path, with their origin.

    Data that are missing are never replaced by others: simulated galaxies come only from
    ``"simulated"``, or from a file that states that its galaxies are simulated.

    Parameters
    ----------
    data : str or path-like
        One of the following:

        - ``"simulated"``: simulated galaxies, with the class fractions of the public file, but at
          least 2 % of each class;
        - ``"galaxy10"`` or ``"decals"``: found on this machine or downloaded;
        - the path of an HDF5 file in the layout of one of these;
        - the path of a folder with one folder of images per class;
        - the path of a catalogue (.csv, .ecsv, .fits, .parquet, .xml) with a column of image files
          and a column of labels.
    n : int, default 4000
        Number of galaxies to simulate; not used for files.
    seed : int, default 0
        Random seed of the simulation; not used for files.
    image_column, label_column : str, default "image" and "label"
        Columns of a catalogue. File names are relative to its folder.

    Returns
    -------
    Dataset
        Named tuple ``images`` (uint8, (N, s, s, 3); s = 69 for SDSS), ``labels`` (uint8, (N,)) and
        ``origin`` (:class:`galclass.data.dataset.Origin`). ``galclass.train(*data, out=...)`` and
        ``galclass.plot_examples(*data)`` thus know where the galaxies came from and what their
        classes are called. Images of folders and catalogues that are all square and of one size
        from 32 to 256 pixels are taken as they are; otherwise :func:`galclass.prepare` makes all
        of them 69 x 69 pixels, with the crop of Galaxy10. The origin records the crop, and
        prediction uses it, too.

    Raises
    ------
    FileNotFoundError, DataError, DownloadError
        See :func:`galclass.load_galaxy10`; or a folder or catalogue has fewer than two classes, an
        image that cannot be read, or a row without a label, or lacks a column.
    ParameterError
        `data` is neither a name nor a path, or `n` or `seed` is out of range.

    Warns
    -----
    UserWarning
        Images are cropped and scaled, files in a folder are left out, or a catalogue lists a file
        twice.

    Examples
    --------
    >>> import galclass
    >>> images, labels, origin = galclass.load_data("simulated", n=200)
    >>> print(origin)
    Simulated galaxies, not observed ones: 200
    """
    if not isinstance(data, str | os.PathLike) or not os.fspath(data):
        raise ParameterError(f"data={data!r:.80}, expected 'simulated', 'galaxy10' or a path")
    if data == "simulated":
        return _simulate(n, seed)
    if data in DATASETS:
        return load_galaxy10(data)
    path = Path(os.path.expanduser(data))
    if path.is_dir() or is_catalogue(path):
        return read_labelled(path, image_column=image_column, label_column=label_column)
    return load_galaxy10(path)


def _simulate(n: int, seed: int) -> Dataset:
    images, labels = simulate_galaxy10(n, seed, class_fractions=SIMULATED_FRACTIONS)
    origin = replace(
        Origin.of_arrays(images, labels, CLASS_NAMES),
        kind="simulated",
        title=SIMULATED_TITLE,
        name=f"simulate_galaxy10({n}, {seed}, class_fractions=SIMULATED_FRACTIONS)",
        seed=int(seed),
        crop=GALAXY10_CROP,
    )
    return Dataset(images, labels, origin)


def load_run_data(
    run: Run | PathLike,
    data: PathLike | None = None,
    *,
    image_column: str = "image",
    label_column: str = "label",
) -> Dataset:
    """Load the galaxies of a run again, and make sure that they are the same.

    Parameters
    ----------
    run : Run or path-like
    data : str or path-like, optional
        See :func:`load_data`. Default: the name of the data in the manifest. A manifest does not
        hold paths, so that files other than the published ones must be given.
    image_column, label_column : str, default "image" and "label"
        Columns of a catalogue.

    Returns
    -------
    Dataset

    Raises
    ------
    RunError
        The run does not record where its data are, or these are not its galaxies.
    FileNotFoundError, DataError, DownloadError
        See :func:`load_data`.
    """
    origin = as_run(run).origin
    if data is None:
        if origin.kind != "simulated" and origin.kind not in DATASETS:
            raise RunError(
                f"the run does not record where its data ({origin.name}) are; pass --data PATH"
            )
        data = origin.kind
    dataset = load_data(
        data,
        n=origin.galaxies,
        seed=origin.seed or 0,  # only simulated galaxies have one
        image_column=image_column,
        label_column=label_column,
    )
    if dataset.origin.sha256 != origin.sha256:
        raise RunError(
            f"{dataset.origin.name} does not hold the run's {origin.name} (sha256 "
            f"{dataset.origin.sha256[:12]}..., expected {origin.sha256[:12]}...); give the same "
            "galaxies"
        )
    return dataset


def write_data(path: PathLike, dataset: Dataset) -> None:
    """Write galaxies and their origin to an HDF5 file in Galaxy10's layout.

    Parameters
    ----------
    path : path-like
        An existing file is replaced. The file is written completely or not at all.
    dataset : Dataset
        The origin may be None: the file then states neither its origin nor the names of its
        classes, as in the published file.

    Raises
    ------
    DataError
        The images or labels are not valid.
    RunError
        The file cannot be written.
    """
    images = check_images(dataset.images)
    origin = dataset.origin
    names = CLASS_NAMES
    if origin is not None:
        names = origin.class_names
    labels = check_labels(dataset.labels, len(images), classes=len(names))
    # In memory first: HDF5 ends the process if it cannot write to a full disk.
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        chunks = (1, *images.shape[1:])
        file.create_dataset("images", data=images, chunks=chunks, compression="gzip")
        file["ans"] = labels
        if origin is not None:
            file.attrs["class_names"] = list(origin.class_names)
            file.attrs["origin"] = json.dumps(origin.record())
    with whole_file(Path(os.path.expanduser(path))) as temporary:
        temporary.write_bytes(content.getbuffer())
