"""Classify images of galaxies."""

import itertools
import warnings
from collections.abc import Iterable, Sequence

import numpy as np
from astropy.table import Table
from numpy.typing import NDArray
from tqdm.auto import tqdm

from ..data.arrays import Images, check_integer
from ..errors import DataError
from ..evaluation.unusual import rank_unusual
from ..files import PathLike
from ..images.prepare import ImageLike, Prepared, prepare_named
from ..network.options import Precision, Symmetric
from .network import AnyNetwork, Network, load_network
from .source import open_source
from .table import check_names, join, to_table

UNUSUAL = 0.99  # exceeded by 0.8 % of unseen galaxies of Galaxy10 (docs/own-data.md)
MANY = 0.05  # fraction of unusual images that a warning reports
# Classify 8 batches at once: their unsure images are collected and averaged in full batches.
BATCHES = 8


def predict(
    images: ImageLike | Iterable[ImageLike] | Table,
    *,
    run: AnyNetwork = None,
    class_names: Sequence[str] | None = None,
    purity: float | None = None,
    image_column: str = "image",
    folder: PathLike | None = None,
    symmetric: Symmetric | None = None,
    precision: Precision = "auto",
    crop: float | None = None,
    batch_size: int = 64,
    progress: bool = False,
) -> Table:
    """Classify images of galaxies.

    Parameters
    ----------
    images : path, sequence or iterator of images, ndarray of uint8, or Table
        One of the following:

        - an image, a directory of images or several images, in any form that
          :func:`galclass.prepare` takes;
        - the path of an HDF5 file with a column ``images`` (uint8, (n, s, s, 3));
        - the path of a Parquet file, or of a directory of them, with columns ``id`` (text or
          integer) and ``image`` (binary, the content of an image file);
        - a catalogue: an astropy table, or the path of a table (CSV, ECSV, FITS, Parquet,
          VOTable), with a column of image files, or with columns ``ra`` and ``dec`` (ICRS, in
          degrees or with a unit), whose images :func:`galclass.sdss_cutout` fetches.
    run : Run, path-like or keras.Model, optional
        A run or the path of its folder, or a Keras network for raw, square uint8 images. Default:
        the pretrained network.
    class_names : sequence of str, shape (classes,), optional
        Names of the classes of a Keras network. Default: their numbers, from ``"0"``.
    purity : float, optional
        Mark the galaxies that are in samples of this purity, 0 to 1; see
        :func:`galclass.thresholds`.
    image_column : str, default "image"
        Column of a catalogue with the image files.
    folder : path-like, optional
        Folder that the file names in a catalogue are relative to. Default: the folder of the
        catalogue; for an astropy table, the working directory.
    symmetric : bool or "unsure", optional
        Average the probabilities over the eight symmetries of each image, or only if one pass is
        less than 95 % sure of the class (``"unsure"``). Default: the averaging of the run, for
        which it was calibrated; False for a Keras network.
    precision : {"auto", "float32", "bfloat16", "float16"}
        Precision of a run's network, see
        :func:`galclass.network.precision.choose_precision`. A Keras network has its own.
    crop : float, optional
        Side of the central square to keep, as a fraction of the shorter side of the image; it
        applies to all images. Default: the crop of the images that the run was trained on, and
        Galaxy10's 207/424 for a Keras network; images of the network's size are left unchanged.
    batch_size : int, default 64
        Number of images per pass. It limits the memory and does not change the result.
    progress : bool, default False
        Show a progress bar.

    Returns
    -------
    astropy.table.Table
        One row per image, in order, with the columns

        - ``source``: str, the path or ``"image 0"`` ..., or the ``id`` of a Parquet file;
        - ``class``: uint8, from 0;
        - ``class_name``: str;
        - ``probability``: float32, of the class;
        - ``runner_up``: uint8, the second most probable class;
        - ``entropy``: float32, in nats, H = -sum_c p_c ln p_c (Shannon 1948): 0 if the network is
          certain, ln 10 = 2.303 if ten classes are equally likely;
        - ``p0``, ``p1`` ...: float32, the probability of each class;
        - ``unusual``: float32, the fraction of the run's validation images that are more similar
          to its training images (:mod:`galclass.evaluation.unusual`); only for an evaluated run;
        - ``error``: str, the reason why an image could not be read, otherwise empty. All other
          columns but ``source`` are masked in such a row;
        - ``selected``: bool, in the sample of its class; only with `purity`.

        The columns of a catalogue come first, with their units and masks. ``meta`` holds the
        name of the network, the hash of its weights, its calibration, the class names, the version
        and the settings, such as ``crop`` (a number, or None if images are left whole). It also
        holds the metadata of the catalogue; an entry that has the name of one of ours is replaced.

    Raises
    ------
    FileNotFoundError
        `images` is a path that does not exist.
    DataError
        No images are given; a catalogue lacks the columns, or already has a column that predict
        would add; or the network is not for raw uint8 images.
    ParameterError
        A number is out of range; `class_names` are given for a run, or their number differs from
        the network's classes; or `purity` is given with `symmetric` or for a Keras network, which
        has no thresholds.
    RunError
        The run is unfinished or cannot be read, or `purity` is given and it is not evaluated.

    Warns
    -----
    UserWarning
        More than 5 % of the images have ``unusual`` above 0.99, or metadata of a catalogue are
        replaced.

    Examples
    --------
    Image files, with the pretrained network:

    >>> from PIL import Image
    >>> import galclass
    >>> images, labels = galclass.simulate_galaxy10(2)
    >>> Image.fromarray(images[0]).save("one.png")
    >>> Image.fromarray(images[1]).save("two.png")
    >>> table = galclass.predict(["one.png", "two.png"])
    >>> print(table["source"][0], table["class_name"][0])
    one.png ...
    >>> certain = table[table["probability"] > 0.9]

    Arrays, with a run:

    >>> len(galclass.predict(images, run="runs/mine"))
    2

    The galaxies of a catalogue:

    >>> galclass.predict("catalogue.csv", image_column="file").colnames[:4]
    ['file', 'kind', 'source', 'class']
    """
    batch_size = check_integer(batch_size, "batch_size", 1)
    source = open_source(images, image_column=image_column, folder=folder)
    network = load_network(
        run,
        class_names=class_names,
        purity=purity,
        symmetric=symmetric,
        precision=precision,
        crop=crop,
    )
    if source.catalogue is not None:
        check_names(source.catalogue, network.record)
    prepared = prepare_named(source.rows(), network.framing)
    table = classify(
        network, prepared, batch_size=batch_size, total=source.total, progress=progress
    )
    if source.catalogue is not None:
        table = join(source.catalogue, table)
    return table


def classify(
    network: Network,
    prepared: Iterable[Prepared],
    *,
    batch_size: int,
    total: int | None = None,
    progress: bool = False,
) -> Table:
    """Classify prepared images.

    Parameters
    ----------
    network : Network
    prepared : iterable of tuple
        See :func:`galclass.images.prepare.prepare_named`.
    batch_size : int
    total : int, optional
        Number of images, for the progress bar.
    progress : bool, default False
        Show a progress bar.

    Returns
    -------
    astropy.table.Table
        See :func:`predict`.

    Raises
    ------
    DataError
        No images are given.
    """
    prepared = iter(prepared)
    sources = []
    errors = []
    probabilities = []
    unusual = []
    with tqdm(total=total, unit="image", disable=not progress) as bar:
        while batch := list(itertools.islice(prepared, BATCHES * batch_size)):
            images = []
            for source, image, error in batch:
                sources.append(source)
                images.append(image)
                errors.append("" if error is None else str(error))
            batch_probabilities, batch_unusual = _classify_batch(network, images, batch_size)
            probabilities.append(batch_probabilities)
            unusual.append(batch_unusual)
            bar.update(len(batch))
    if not sources:
        raise DataError("no image given, expected at least one")
    ranks = None
    if network.usual is not None:
        ranks = np.concatenate(unusual)
        _warn_of_unusual(ranks)
    return to_table(
        sources,
        np.concatenate(probabilities),
        errors,
        network.record,
        unusual=ranks,
        cuts=network.cuts,
    )


def _classify_batch(
    network: Network, images: Sequence[Images | None], batch_size: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return probabilities and ranks of unusual images; NaN for images that are None."""
    from ..network.probabilities import predict_proba

    classes = len(network.record["class_names"])
    probabilities = np.full((len(images), classes), np.nan, np.float32)
    unusual = np.full(len(images), np.nan, np.float32)
    is_good = np.array([image is not None for image in images])
    if is_good.any():
        good = np.stack([image for image in images if image is not None])
        uncalibrated = predict_proba(
            network.model, good, symmetric=network.record["symmetric"], batch_size=batch_size
        )
        probabilities[is_good] = network.calibration.apply(uncalibrated)
        if network.usual is not None:
            unusual[is_good] = rank_unusual(network.usual, good)
    return probabilities, unusual


def _warn_of_unusual(unusual: NDArray[np.float32]) -> None:
    count = int((unusual > UNUSUAL).sum())
    if count > MANY * len(unusual):
        warnings.warn(
            f"{count:,} of {len(unusual):,} images are unlike the training images ('unusual' above "
            f"{UNUSUAL}): they may have another scale, survey or stretch, or show no galaxy",
            stacklevel=4,
        )
