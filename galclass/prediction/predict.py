"""Classes of images, as a table."""

import itertools
import os
import warnings
from collections.abc import Iterable, Sized
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeGuard

import numpy as np
from numpy.typing import NDArray

from .. import __version__
from ..data.arrays import check_images, check_integer, check_symmetric
from ..data.galaxy10 import CLASS_NAMES
from ..data.images import (
    ImageLike,
    Prepared,
    check_crop,
    iter_prepared,
    list_images,
    prepare_named,
)
from ..errors import DataError, ParameterError, RunError
from ..files import PathLike, sha256_of_file
from ..network.calibration import Calibration
from ..network.unusual import rank_unusual
from ..run import Run, as_run, load_pretrained, weights_sha256
from .catalogue import check_columns, join, list_rows
from .sources import count_rows, is_source, iter_part, list_parts
from .table import columns_of, to_table

if TYPE_CHECKING:
    import keras
    from astropy.table import Table

    from ..network.hardware import Precision
    from ..network.probabilities import Symmetric

UNUSUAL = 0.99  # of unseen galaxies of Galaxy10, 0.8 % are beyond it (docs/own-data.md)
MANY = 0.05
BATCHES = 8  # classified together, so that few of those to be averaged are in part of a batch
AnyNetwork: TypeAlias = "Run | PathLike | keras.Model | None"


class Network(NamedTuple):
    """A network, ready to compute, how its probabilities are made, and its record."""

    model: "keras.Model"
    calibration: Calibration
    symmetric: "Symmetric"
    record: dict[str, Any]
    usual: dict[str, NDArray[np.float64]] | None = None
    crop: float | None = None

    @property
    def size(self) -> tuple[int, int]:
        """tuple of int : width and height of its images."""
        return self.model.input_shape[2:0:-1]


def predict(
    images: "ImageLike | Iterable[ImageLike] | Table",
    *,
    run: AnyNetwork = None,
    purity: float | None = None,
    image_column: str = "image",
    folder: PathLike | None = None,
    symmetric: "Symmetric | None" = None,
    precision: "Precision" = "auto",
    crop: float | None = None,
    batch_size: int = 64,
    progress: bool = False,
) -> "Table":
    """Classify images of galaxies.

    Parameters
    ----------
    images : str, path-like, sequence or iterator of images, ndarray of uint8, or Table
        An image or a directory of them, or any number in any form that :func:`galclass.prepare`
        takes. Images of the size of the network's (69 x 69 of the pretrained one) are taken as
        they are. Or the path of a Parquet file
        with encoded images or of an HDF5 file in Galaxy10's layout, as for
        :func:`galclass.predict_survey`. Or a catalogue: an astropy table with a column of image
        files, or with columns ``ra`` and ``dec`` (ICRS, degrees or with a unit), for whose rows
        :func:`galclass.sdss_cutout` fetches the images.
    run : Run, str, path-like or keras.Model, optional
        A run or the path of its folder, whose calibration is applied; or a network of your own for
        raw, square uint8 images. Default: the pretrained network.
    purity : float, optional
        Mark the galaxies of samples of this purity, 0 to 1, see
        :meth:`galclass.run.Run.thresholds`.
    image_column, folder : str and path-like, optional
        Of a catalogue: its column of image files, and what their names are relative to.
    symmetric : bool or "unsure", optional
        Average the probabilities over the eight symmetries of each image, of none, or only where
        one pass is less than 95 % sure of the class. Default: "unsure" where the run's recipe has
        symmetric_prediction, as it was calibrated; False otherwise and for a network of your own.
    precision : {"auto", "float32", "bfloat16", "float16"}
        Of a run's network, see :func:`galclass.network.hardware.choose_precision`; a network of
        your own has its own.
    crop : float, optional
        As for :func:`galclass.prepare`. Default: as the images of the run's training were.
    batch_size : int, default 64
        Images of a pass; eight times as many are held. It does not change the result.
    progress : bool, default False
        Show a progress bar.

    Returns
    -------
    astropy.table.Table
        A row an image, in order: ``source`` (str, the path or ``"image 0"`` ..., or the integer
        ``id`` of a Parquet file), ``class`` (uint8, from 0), ``class_name`` (str), ``probability``
        (float32) of the class, ``runner_up`` (uint8, the second most probable class), ``entropy``
        (float32, nats), ``p0``, ``p1`` ... (float32, probability of each class), ``unusual``
        (float32, of a run: the share of its validation images that are nearer to those of its
        training, see :mod:`galclass.network.unusual`) and ``error`` (str). The entropy is
        H = -sum_c p_c ln p_c (Shannon 1948): 0 when certain, ln 10 = 2.303 when ten are equally
        likely. An image that cannot be read has its reason in ``error``, elsewhere empty, and all
        else but its ``source`` masked. With `purity`, ``selected`` (bool): whether the galaxy is
        in the sample of its class. Of a catalogue, its own columns come first, with their units
        and masks. ``meta`` holds the network's name and hash, the names of the classes, version
        and settings.

    Raises
    ------
    FileNotFoundError, DataError
        `images` is a path that does not exist or a directory without images, or there is no
        image; or the network is none for raw uint8 images.
    ParameterError
        A number is out of range, or the precision unknown; or `purity` is asked of a network of
        your own, or with `symmetric`, for which the run's thresholds do not hold.
    RunError
        The run folder or its weights cannot be read.

    Warns
    -----
    UserWarning
        More than 5 % of the images are beyond 0.99 in ``unusual``, which no image is of a run with
        fewer than 100 validation images; or entries of a catalogue's ``meta`` are replaced.

    Examples
    --------
    Images in files, with the pretrained network:

    >>> from PIL import Image
    >>> import galclass
    >>> images, labels = galclass.simulate_galaxy10(2)
    >>> Image.fromarray(images[0]).save("one.png")
    >>> Image.fromarray(images[1]).save("two.png")
    >>> table = galclass.predict(["one.png", "two.png"])
    >>> print(table["source"][0], table["class_name"][0])
    one.png ...
    >>> certain = table[table["probability"] > 0.9]

    Arrays, with a network of your own:

    >>> len(galclass.predict(images, run="runs/mine"))
    2
    """
    batch_size, crop = check_integer(batch_size, "batch_size", 1), check_crop(crop)
    if purity is not None and (is_model(run) or symmetric is not None):
        raise ParameterError("purity needs the thresholds of a run; leave `symmetric` to it")
    catalogue = images if hasattr(images, "colnames") else None
    if catalogue is not None:
        rows = list_rows(catalogue, image_column, None if folder is None else Path(folder))
        listed, total = rows, len(rows)
    elif isinstance(images, str | os.PathLike) and is_source(images):
        parts = list_parts(images)
        listed, total = None, count_rows(parts)
    else:
        listed = list_images(images)
        total = len(listed) if isinstance(listed, Sized) else None
        if isinstance(listed, np.ndarray) and listed.ndim == 4:  # One answer, not one an image.
            listed = check_images(listed, shape=(*listed.shape[1:3], 3))
    network = load_network(run, symmetric=symmetric, precision=precision)
    crop = network.crop if crop is None else crop
    network.record["crop"] = crop
    prepared: Iterable[Prepared]
    if catalogue is not None:
        check_columns(catalogue, columns_of(network.record))
        prepared = prepare_named(rows, crop=crop, size=network.size)
    elif listed is None:
        each = (iter_part(part, crop=crop, size=network.size) for part in parts)
        prepared = itertools.chain.from_iterable(each)
    else:
        prepared = iter_prepared(listed, crop=crop, size=network.size)
    cuts = None if purity is None else _cuts(run, purity)
    table = classify(network, prepared, batch_size=batch_size, total=total, progress=progress)
    if cuts is not None:
        classes = np.ma.filled(table["class"], 0)
        chosen = np.ma.asarray(np.ma.filled(table["probability"], 0) >= cuts[classes])
        chosen.mask = np.ma.getmaskarray(np.ma.asarray(table["class"]))
        table["selected"] = chosen if chosen.mask.any() else chosen.data
        table["selected"].description = f"in the sample of its class of purity {purity}"
        table.meta["purity"] = purity
    return table if catalogue is None else join(catalogue, table)


def _cuts(run: Any, purity: float) -> NDArray[np.float32]:
    """The least probability of each class's sample; more than 1 where there is none."""
    chosen = load_pretrained() if run is None else as_run(run)
    cuts = np.ma.filled(np.ma.asarray(chosen.thresholds(purity=purity)["threshold"], float), 2)
    return cuts.astype(np.float32)  # As probabilities are: the galaxy at the threshold is in.


def classify(
    network: Network,
    prepared: Iterable[Prepared],
    *,
    batch_size: int,
    total: int | None = None,
    progress: bool = False,
) -> "Table":
    """Classify prepared images, ``(source, image or None, error or None)`` each."""
    from tqdm.auto import tqdm

    from ..network.probabilities import predict_proba

    prepared = iter(prepared)
    sources: list[Any] = []
    errors: list[str] = []
    found, strange = [], []
    with tqdm(total=total, unit="image", disable=not progress) as bar:
        while batch := list(itertools.islice(prepared, BATCHES * batch_size)):
            names, images, problems = zip(*batch, strict=True)
            sources += names
            errors += ["" if problem is None else str(problem) for problem in problems]
            good = [i for i, image in enumerate(images) if image is not None]
            rows = np.full((len(batch), network.model.output_shape[1]), np.nan, np.float32)
            ranks = np.full(len(batch), np.nan, np.float32)
            if good:
                stacked = np.stack([images[i] for i in good])
                raw = predict_proba(
                    network.model, stacked, symmetric=network.symmetric, batch_size=batch_size
                )
                rows[good] = network.calibration.apply(raw)
                if network.usual is not None:
                    ranks[good] = rank_unusual(network.usual, stacked)
            found.append(rows)
            strange.append(ranks)
            bar.update(len(batch))
    if not found:
        raise DataError("no image given, expected at least one")
    unusual = None if network.usual is None else np.concatenate(strange)
    if unusual is not None and (many := int((unusual > UNUSUAL).sum())) > MANY * len(unusual):
        warnings.warn(
            f"{many:,} of {len(unusual):,} images are unlike those of the training (unusual beyond "
            f"{UNUSUAL}): another scale, survey or stretch, or no galaxy? See the column unusual",
            stacklevel=3,
        )
    return to_table(sources, np.concatenate(found), errors, network.record, unusual)


def load_network(
    run: AnyNetwork, *, symmetric: "Symmetric | None" = None, precision: "Precision" = "auto"
) -> Network:
    """The network that :func:`predict` is given, checked; its arguments."""
    from ..network.hardware import choose_precision

    record = identify_network(run, symmetric=symmetric)
    if is_model(run):
        return Network(run, Calibration(), record["symmetric"], record)
    found = load_pretrained() if run is None else as_run(run)
    record["precision"] = choose_precision(precision)
    model = found.load_model(precision=record["precision"])
    return Network(
        model, found.calibration, record["symmetric"], record, found.usual, found.origin.crop
    )


def is_model(run: AnyNetwork) -> "TypeGuard[keras.Model]":
    """Whether it is a network of the user's own, told without importing Keras."""
    return hasattr(run, "get_weights")


def identify_network(run: AnyNetwork, *, symmetric: "Symmetric | None" = None) -> dict[str, Any]:
    """What tells a network from others, without TensorFlow for a run.

    Returns
    -------
    dict
        ``galclass`` (version), ``network`` (name), ``sha256`` (of the file that holds a run's
        weights, else of the weights), ``temperature`` and ``class_shift`` of its calibration,
        ``class_names``, ``symmetric`` and ``precision`` (None where it is still to be chosen).

    Raises
    ------
    DataError, RunError
        As for :func:`predict`.
    """
    record: dict[str, Any] = {"galclass": __version__}
    symmetric = check_symmetric(symmetric)
    if is_model(run):
        _check_model(run)
        precisions = ", ".join(sorted({layer.compute_dtype for layer in run.layers}))
        record |= {"network": run.name, "sha256": weights_sha256(run.get_weights())}
        record |= Calibration().record()
        names, classes = CLASS_NAMES, run.output_shape[1]
        names = names if classes == len(names) else tuple(map(str, range(classes)))
        record["class_names"] = list(names)
        return record | {"symmetric": symmetric or False, "precision": precisions}
    found = load_pretrained() if run is None else as_run(run)
    found.require_complete()
    path = found.path / "model.keras"
    if not path.is_file():
        raise RunError(f"no {path.name} in {found.path}; train the run first")
    classes, names = found.manifest["network"].get("classes"), found.class_names
    if classes != len(names):
        raise DataError(f"the network has {classes} classes, expected {len(names)} as named")
    record |= {"network": found.path.resolve().name, "sha256": sha256_of_file(path)}
    record |= {**found.calibration.record(), "class_names": list(names)}
    record["symmetric"] = found.symmetric if symmetric is None else symmetric
    return record | {"precision": None}


def _check_model(model: "keras.Model") -> None:
    """Refuse a network of the user's own that would give wrong answers without a word."""
    from ..network._tensorflow import keras

    if not getattr(model, "built", True) or not getattr(model, "inputs", None):
        problem = "is not built"
    elif not _is_classifier(model.input_shape[1:], model.output_shape[1:]):
        problem = f"takes {model.input_shape[1:]} and gives {model.output_shape[1:]}"
    elif model.inputs[0].dtype != "uint8" and not any(
        isinstance(layer, keras.layers.Rescaling) for layer in model.layers[:3]
    ):
        problem = "does not rescale its images; put keras.layers.Rescaling(1 / 255) first"
    else:
        shape = (4, *model.input_shape[1:])
        noise = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
        rows = np.asarray(model(noise, training=False), np.float32)
        if np.allclose(rows.sum(axis=1), 1, atol=1e-3) and rows.min() >= 0:
            return
        problem = "gives no probabilities, such as logits; end it with a softmax"
    expected = "square uint8 images of 3 channels and probabilities of two or more classes"
    raise DataError(f"the network {model.name!r} {problem}; expected {expected}, see build_cnn")


def _is_classifier(image: tuple[int | None, ...], output: tuple[int | None, ...]) -> bool:
    """Whether shapes are those of a square colour image and of classes' probabilities."""
    square = len(image) == 3 and None not in image and image[0] == image[1] and image[2] == 3
    return square and len(output) == 1 and (output[0] or 0) >= 2
