"""Galaxies by name, with where they came from."""

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, ParameterError
from ..files import PathLike, sha256_of_arrays, sha256_of_file
from . import galaxy10
from .arrays import IMAGE_SHAPE, Images, Labels, check_class_names
from .labelled import is_catalogue, read_labelled
from .simulate import simulate_galaxy10

# The public file's mix of classes, but enough of each for a test: it has 17 boxy bulges in 21,785.
SIMULATED_FRACTIONS = np.maximum(np.array(galaxy10.CLASS_COUNTS) / sum(galaxy10.CLASS_COUNTS), 0.02)

KINDS = {
    "simulated": "Simulated galaxies, not observed ones",
    **{name: known.title for name, known in galaxy10.DATASETS.items()},
    "file": "Galaxies of {}",
    "arrays": "Galaxies given as arrays, origin not stated",
}


@dataclass(frozen=True)
class Origin:
    """Where galaxies came from; ``str(origin)`` is one line for figures.

    Parameters
    ----------
    kind : {"simulated", "galaxy10", "decals", "file", "arrays"}
    name : str
        Of the file or folder, without the one that it is in, or the call that simulated them.
    sha256 : str
        Of the arrays: images, then labels as uint8.
    galaxies : int
        Number of galaxies.
    seed : int, optional
        Of the simulation.
    class_names : tuple of str
        By default ``CLASS_NAMES``.
    crop : float, optional
        What images of another size are to be cropped to, to be like these: 1 for those that show
        their whole field; None as :func:`galclass.prepare` does it by default. Unless it is known,
        None is taken for images of 69 x 69 pixels, as Galaxy10's, and 1 for others.
    """

    kind: str
    name: str
    sha256: str
    galaxies: int
    seed: int | None = None
    class_names: tuple[str, ...] = galaxy10.CLASS_NAMES
    crop: float | None = None

    def __post_init__(self) -> None:
        types = [type(value) for value in (self.kind, self.name, self.sha256, self.galaxies)]
        known = self.kind in KINDS and type(self.seed) in (int, type(None))
        if types != [str, str, str, int] or not known:
            raise DataError(f"origin {self!r}, expected one that load_data gives")

    def __str__(self) -> str:
        return f"{KINDS[self.kind].format(self.name)}: {self.galaxies:,}"

    @property
    def simulated(self) -> bool:
        """bool : whether the galaxies are simulated."""
        return self.kind == "simulated"

    @property
    def has_galaxy10_classes(self) -> bool:
        """bool : whether the classes are those of Galaxy10 SDSS, whose constants then apply."""
        return self.class_names == galaxy10.CLASS_NAMES

    @classmethod
    def of_arrays(
        cls, images: Images, labels: Labels, class_names: Sequence[str] = galaxy10.CLASS_NAMES
    ) -> "Origin":
        """What can be known of bare arrays."""
        digest = sha256_of_arrays(images, np.asarray(labels, np.uint8))
        names = check_class_names(class_names)
        as_galaxy10 = images.shape[1:] == IMAGE_SHAPE  # A size that is Galaxy10's alone.
        known: dict[str, Any] = {"class_names": names, "crop": None if as_galaxy10 else 1.0}
        return cls("arrays", "arrays in memory", digest, len(labels), **known)

    def record(self) -> dict[str, Any]:
        """The origin as JSON holds it."""
        return {**asdict(self), "class_names": list(self.class_names)}

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> "Origin":
        """The origin that :meth:`record` gave; older ones have no names of classes."""
        names = check_class_names(record.get("class_names", galaxy10.CLASS_NAMES))
        fields: dict[str, Any] = {name: record.get(name) for name in cls.__match_args__}
        return cls(**fields | {"class_names": names})


class Dataset(NamedTuple):
    """Images, labels and their origin; unpacks as ``images, labels, origin``."""

    images: Images
    labels: NDArray[np.uint8]
    origin: Origin


def load_data(
    data: PathLike,
    *,
    n: int = 4000,
    seed: int = 0,
    image_column: str = "image",
    label_column: str = "label",
) -> Dataset:
    """Load the galaxies that `data` names, with their origin.

    Nothing is ever replaced: simulated galaxies come only by asking for ``"simulated"``, or from a
    file that says so.

    Parameters
    ----------
    data : str or path-like
        ``"simulated"`` (with the public file's mix of classes, but at least 2 % of each);
        ``"galaxy10"`` or ``"decals"`` (found on this machine or downloaded); or a path: an HDF5
        file in the layout of one of these, a folder with a folder of images for each class, or a
        catalogue (.csv, .ecsv, .fits, .parquet, .xml) with a column of image files and one of
        labels.
    n : int, default 4000
        Number of galaxies to simulate; unused for files.
    seed : int, default 0
        Seed of the simulation; unused for files.
    image_column, label_column : str, default "image" and "label"
        Columns of a catalogue. File names are relative to its folder.

    Returns
    -------
    Dataset
        Named tuple ``images`` (uint8, (N, s, s, 3), s = 69 for SDSS), ``labels`` (uint8, (N,)) and
        ``origin`` (:class:`galclass.data.dataset.Origin`), so that ``galclass.train(*data,
        out=...)`` and ``galclass.plot_examples(*data)`` know where the galaxies came from, and
        what their classes are called. Images of folders and catalogues that are all square and of
        one size from 32 to 256 pixels are taken as they are; others are all made into 69 x 69
        pixels by :func:`galclass.prepare`, which crops them as Galaxy10's. The origin records
        which, and prediction does the same.

    Raises
    ------
    FileNotFoundError, DataError, DownloadError
        As :func:`galclass.load_galaxy10`; or a folder or catalogue has fewer than two classes, an
        image that cannot be read, a row without a label, or lacks a column.
    ParameterError
        `data` is neither a name nor a path, or `n` or `seed` is out of range.

    Warns
    -----
    UserWarning
        Images are of several sizes, or files in a folder are no images.

    Examples
    --------
    >>> import galclass
    >>> images, labels, origin = galclass.load_data("simulated", n=200)
    >>> print(origin)
    Simulated galaxies, not observed ones: 200
    """
    if not isinstance(data, str | os.PathLike):
        raise ParameterError(f"data={type(data)}, expected 'simulated', 'galaxy10' or a path")
    path = Path(os.path.expanduser(data))
    if data != "simulated" and data not in galaxy10.DATASETS and is_catalogue(path):
        images, labels, names, crop = read_labelled(path, image_column, label_column)
        known: dict[str, Any] = {"kind": "file", "name": path.resolve().name, "crop": crop}
        return Dataset(images, labels, replace(Origin.of_arrays(images, labels, names), **known))
    if data == "simulated":
        images, labels = simulate_galaxy10(n, seed, class_fractions=SIMULATED_FRACTIONS)
        name = f"simulate_galaxy10({n}, {seed}, class_fractions=SIMULATED_FRACTIONS)"
        known, names = {"kind": "simulated", "name": name, "seed": int(seed)}, galaxy10.CLASS_NAMES
    else:
        path = galaxy10.locate_galaxy10(data)
        images, labels = galaxy10.read_galaxy10(path)
        written, digest = galaxy10.read_attributes(path), sha256_of_file(path)
        kinds = {one.sha256: kind for kind, one in galaxy10.DATASETS.items()}
        known = {"kind": kinds.get(digest, "file"), "name": path.name}
        names = galaxy10.read_class_names(path)
        # The published file has no attributes.
        if written.get("origin_kind") == "simulated":
            known |= {"kind": "simulated", "seed": written.get("origin_seed")}
            # Of galaxies that were changed since, the name is that of the file.
            if written.get("origin_sha256") == sha256_of_arrays(images, labels):
                known["name"] = written.get("origin_name")
        if "origin_sha256" in written:  # Written here, perhaps a part of what it names.
            known["crop"] = written.get("origin_crop")
    return Dataset(images, labels, replace(Origin.of_arrays(images, labels, names), **known))


def write_data(path: PathLike, dataset: Dataset) -> None:
    """Write galaxies and their origin to an HDF5 file in Galaxy10's layout.

    Parameters
    ----------
    path : path-like
        An existing file is replaced.
    dataset : Dataset
    """
    known = {key: value for key, value in vars(dataset.origin).items() if value is not None}
    names = known.pop("class_names")
    attributes = {f"origin_{key}": value for key, value in known.items()}
    galaxy10.write_galaxy10(path, *dataset[:2], class_names=names, attributes=attributes)
