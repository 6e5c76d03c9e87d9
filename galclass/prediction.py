"""Classes of pictures, as a table."""

import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ._types import PathLike, Precision
from .calibration import apply_temperature
from .cutouts import Pictures, iter_prepared, list_pictures
from .evaluation import predict_proba
from .galaxy10 import CLASS_NAMES, IMAGE_SHAPE, DataError, check_images
from .runs import Run, load_run, whole_file

if TYPE_CHECKING:
    import keras
    from astropy.table import Table

FORMATS = {
    ".ecsv": "ascii.ecsv",
    ".csv": "ascii.csv",
    ".fits": "fits",
    ".parquet": "parquet",
    ".votable": "votable",
    ".vot": "votable",
    ".xml": "votable",
}
# Marks a class that is not there in formats without masks; astropy's own choice, 63, is less clear.
NO_CLASS = 255


def predict(
    model_or_run: "keras.Model | Run | PathLike",
    pictures: Pictures,
    *,
    symmetric: bool = True,
    precision: Precision = "float32",
    batch_size: int = 64,
    crop: float | None = None,
    progress: bool = False,
) -> "Table":
    """Classify pictures of galaxies.

    Parameters
    ----------
    model_or_run : keras.Model, galclass.runs.Run, str or path-like
        A network of ten classes, a run or the path of its folder. The probabilities of an
        evaluated run are calibrated with the temperature that its metrics hold.
    pictures : str, path-like, sequence or iterator of pictures, or ndarray of uint8
        A picture or a directory of them, or any number in any form that
        :func:`galclass.cutouts.prepare` takes. An array of shape (n, 69, 69, 3) is taken as it is.
    symmetric : bool, default True
        Average the probabilities over the eight flips and quarter turns of each picture.
    precision : {"float32", "bfloat16", "float16", "auto"}
        Arithmetic of a run's network; a network that is given has its own.
    batch_size : int, default 64
        Pictures at a time; it bounds the memory, not the result.
    crop : float, optional
        As for :func:`galclass.cutouts.prepare`.
    progress : bool, default False
        Show a progress bar.

    Returns
    -------
    astropy.table.Table
        A row a picture, in order: ``source`` (str, the path or ``"picture 0"`` ...), ``class``
        (uint8, 0 to 9), ``class_name`` (str), ``probability`` (float32) of the class,
        ``runner_up`` (uint8, the second most probable class), ``entropy`` (float32, nats),
        ``p0`` ... ``p9`` (float32, probability of each class) and ``error`` (str). The entropy is
        H = -sum_c p_c ln p_c (Shannon 1948): 0 when certain, ln 10 = 2.303 when all are equally
        likely. A picture that cannot be read has its reason in ``error``, elsewhere empty, and
        all else but its ``source`` masked.

    Raises
    ------
    FileNotFoundError, DataError
        `pictures` is a path that does not exist or a directory without pictures, or there is no
        picture; or the network is not one of ten classes.
    galclass.runs.RunError
        The run folder or its weights cannot be read.

    Examples
    --------
    Pictures in files, with the network in the box:

    >>> from PIL import Image
    >>> import galclass
    >>> images, labels = galclass.simulate_galaxy10(2)
    >>> Image.fromarray(images[0]).resize((424, 424)).save("one.png")
    >>> Image.fromarray(images[1]).resize((424, 424)).save("two.png")
    >>> table = galclass.predict(galclass.load_pretrained(), ["one.png", "two.png"])
    >>> print(table["source"][0], table["class_name"][0])
    one.png ...
    >>> certain = table[table["probability"] > 0.9]

    Arrays, with a network of your own:

    >>> len(galclass.predict("runs/mine", images))
    2
    """
    from tqdm.auto import tqdm

    model: Any = model_or_run
    temperature = 1.0
    if not hasattr(model, "input_shape"):
        run = model if isinstance(model, Run) else load_run(model)
        model = run.load_model(precision=precision)
        if (run.path / "metrics.json").exists():
            temperature = run.metrics.get("temperature", 1.0)
    if model.output_shape[-1] != len(CLASS_NAMES):
        raise DataError(
            f"the network has {model.output_shape[-1]} classes, expected {len(CLASS_NAMES)}"
        )
    if batch_size < 1:
        raise ValueError(f"batch_size={batch_size}, expected 1 or more")
    pictures = list_pictures(pictures)
    if isinstance(pictures, np.ndarray) and pictures.shape[1:] == IMAGE_SHAPE and crop is None:
        images = check_images(pictures, name="pictures")
        prepared = ((f"picture {i}", image, None) for i, image in enumerate(images))
    else:
        prepared = iter_prepared(pictures, crop=crop)
    total = len(pictures) if hasattr(pictures, "__len__") else None
    sources, errors, parts = [], [], []
    with tqdm(total=total, unit="picture", disable=not progress) as bar:
        while batch := list(itertools.islice(prepared, batch_size)):
            names, images, problems = zip(*batch, strict=True)
            sources += names
            errors += ["" if problem is None else str(problem) for problem in problems]
            good = [i for i, image in enumerate(images) if image is not None]
            part = np.full((len(batch), len(CLASS_NAMES)), np.nan, np.float32)
            if good:
                stacked = np.stack([images[i] for i in good])
                raw = predict_proba(model, stacked, symmetric=symmetric, batch_size=batch_size)
                part[good] = apply_temperature(raw, temperature)
            parts.append(part)
            bar.update(len(batch))
    if not parts:
        raise DataError("no picture given, expected at least one")
    return _to_table(sources, np.concatenate(parts), errors)


def entropy(probabilities):
    """Shannon entropy of class probabilities, H = -sum_c p_c ln p_c, with 0 ln 0 = 0.

    Parameters
    ----------
    probabilities : ndarray of float, shape (n, classes)

    Returns
    -------
    ndarray of float32, shape (n,)
        Nats.
    """
    p = np.asarray(probabilities, float)
    return -np.sum(p * np.log(np.where(p > 0, p, 1)), axis=-1).astype(np.float32)


def table_format(path, *, overwrite=False):
    """Astropy's name of the format that a table's file name asks for.

    Call it before long work: it refuses what :func:`write_table` would refuse.

    Parameters
    ----------
    path : str or path-like
        Ends in ``.ecsv``, ``.csv``, ``.fits``, ``.parquet``, ``.votable``, ``.vot`` or ``.xml``.
    overwrite : bool, default False
        Whether the file may exist.

    Raises
    ------
    ValueError
        Another suffix.
    FileExistsError
        The file exists.
    ImportError
        Parquet is asked for, and pyarrow is not installed.
    """
    path = Path(path).expanduser()
    if path.suffix.lower() not in FORMATS:
        raise ValueError(f"{path}: unknown kind of table, expected one of {', '.join(FORMATS)}")
    if path.is_dir() or (path.exists() and not overwrite):
        raise FileExistsError(f"{path} exists; choose another name, or overwrite a file of yours")
    if path.suffix.lower() == ".parquet":
        try:
            import pyarrow  # noqa: F401
        except ImportError as error:
            raise ImportError(
                f"{path}: Parquet needs pyarrow, which is not installed; pip install pyarrow, or "
                "choose .ecsv or .fits"
            ) from error
    return FORMATS[path.suffix.lower()]


def write_table(table, path, *, overwrite=False):
    """Write a table, whole or not at all, in the format that the file's name asks for.

    Parameters
    ----------
    table : astropy.table.Table
    path, overwrite
        As for :func:`table_format`. ECSV keeps types, masks and descriptions; CSV and FITS have
        no masks for strings, and a class that is not there is 255 in FITS.

    Raises
    ------
    ValueError, FileExistsError, ImportError
        As :func:`table_format`.
    galclass.runs.RunError
        The file cannot be written.
    """
    kind = table_format(path, overwrite=overwrite)
    with whole_file(Path(path).expanduser()) as temporary:
        table.write(temporary, format=kind)


def _to_table(sources, probabilities, errors):
    from astropy.table import MaskedColumn, Table

    broken = np.isnan(probabilities[:, 0])
    order = np.argsort(np.nan_to_num(probabilities), axis=1, kind="stable")
    best = probabilities.argmax(axis=1)
    # Where two classes are equally likely, argmax and argsort may differ on which comes first.
    second = np.where(order[:, -1] == best, order[:, -2], order[:, -1])
    measured = {
        "class": best.astype(np.uint8),
        "class_name": np.array(CLASS_NAMES)[best],
        "probability": probabilities.max(axis=1),
        "runner_up": second.astype(np.uint8),
        "entropy": entropy(probabilities),
        **{f"p{c}": probabilities[:, c] for c in range(len(CLASS_NAMES))},
    }
    table = Table({"source": np.array(sources, str)})
    for name, values in measured.items():
        if broken.any():
            fill = NO_CLASS if values.dtype == np.uint8 else None
            values = MaskedColumn(values, mask=broken, fill_value=fill)
        table[name] = values
    table["error"] = np.array(errors, str)
    # As words: VOTable and FITS know no unit for nats.
    table["entropy"].description = "Shannon entropy of p0 to p9, nats"
    return table
