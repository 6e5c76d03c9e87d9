"""Classes of pictures, as a table."""

import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from ._types import Engine, PathLike, Precision
from .calibration import apply_temperature
from .cutouts import Pictures, iter_prepared, list_pictures
from .evaluation import predict_proba
from .galaxy10 import CLASS_NAMES, IMAGE_SHAPE, DataError, check_images, sha256_of
from .runs import Run, RunError, load_run, weights_sha256, whole_file

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


@overload
def predict(
    model_or_run: "keras.Model | Run | PathLike | None",
    pictures: Pictures,
    *,
    out: None = None,
    **settings: Any,
) -> "Table": ...


@overload
def predict(
    model_or_run: "keras.Model | Run | PathLike | None",
    pictures: PathLike,
    *,
    out: PathLike,
    **settings: Any,
) -> Path: ...


def predict(
    model_or_run: "keras.Model | Run | PathLike | None",
    pictures: Pictures,
    *,
    symmetric: bool = True,
    precision: Precision = "float32",
    batch_size: int = 64,
    crop: float | None = None,
    progress: bool = False,
    out: PathLike | None = None,
    engine: Engine = "local",
    **parts: Any,
) -> Any:
    """Classify pictures of galaxies.

    Parameters
    ----------
    model_or_run : keras.Model, galclass.runs.Run, str, path-like or None
        A network of ten classes, a run or the path of its folder, or None: the network that comes
        with galclass. The probabilities of an evaluated run are calibrated with the temperature
        that its metrics hold.
    pictures : str, path-like, sequence or iterator of pictures, or ndarray of uint8
        A picture or a directory of them, or any number in any form that
        :func:`galclass.cutouts.prepare` takes. An array of shape (n, 69, 69, 3) is taken as it is.
        Or the path of a Parquet file with encoded pictures or of an HDF5 file in Galaxy10's
        layout, see :func:`galclass.survey.list_parts`.
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
    out : str or path-like, optional
        Folder ``NAME.parquet`` to write the table to in parts, for more pictures than one table or
        one machine takes; `pictures` is then a path.
    engine : {"local", "ray"}
        With `out`: classify in this process, or on the processes and machines of a Ray cluster.
    **parts
        With `out`: address, workers, part_rows and overwrite, as for
        :func:`galclass.survey.predict_parts`.

    Returns
    -------
    astropy.table.Table, or pathlib.Path with `out`
        A row a picture, in order: ``source`` (str, the path or ``"picture 0"`` ...), ``class``
        (uint8, 0 to 9), ``class_name`` (str), ``probability`` (float32) of the class,
        ``runner_up`` (uint8, the second most probable class), ``entropy`` (float32, nats),
        ``p0`` ... ``p9`` (float32, probability of each class) and ``error`` (str). The entropy is
        H = -sum_c p_c ln p_c (Shannon 1948): 0 when certain, ln 10 = 2.303 when all are equally
        likely. A picture that cannot be read has its reason in ``error``, elsewhere empty, and
        all else but its ``source`` masked. With `out`: the folder.

    Raises
    ------
    FileNotFoundError, DataError
        `pictures` is a path that does not exist or a directory without pictures, or there is no
        picture; or the network is not one of ten classes.
    ValueError
        `engine` or another setting of parts is given without `out`, or a number is out of range.
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

    A survey, in parts:

    >>> folder = galclass.predict(None, "Galaxy10.h5", out="classes.parquet", precision="auto")
    """
    from .survey import count_rows, is_survey, iter_part, list_parts, predict_parts

    settings: dict[str, Any]
    settings = {"symmetric": symmetric, "batch_size": batch_size, "progress": progress}
    if out is not None:
        settings |= {"precision": precision, "crop": crop, "engine": engine, **parts}
        return predict_parts(model_or_run, pictures, out, **settings)
    if parts or engine != "local":
        given = ", ".join([f"engine={engine!r}", *parts])
        raise ValueError(f"{given} given without out, the folder NAME.parquet to write")
    model, temperature = load_network(model_or_run, precision)
    if is_survey(pictures):
        listed = list_parts(pictures)
        total = count_rows(listed)
        prepared = itertools.chain.from_iterable(iter_part(part, crop=crop) for part in listed)
    else:
        pictures = list_pictures(pictures)
        total = len(pictures) if hasattr(pictures, "__len__") else None
        if isinstance(pictures, np.ndarray) and pictures.shape[1:] == IMAGE_SHAPE and crop is None:
            images = check_images(pictures, name="pictures")
            prepared = ((f"picture {i}", image, None) for i, image in enumerate(images))
        else:
            prepared = iter_prepared(pictures, crop=crop)
    return classify(model, prepared, temperature=temperature, total=total, **settings)


def load_network(network, precision):
    """The network that :func:`predict` is given, ready to compute, and its temperature.

    Parameters
    ----------
    network, precision
        `model_or_run` and `precision` of :func:`predict`.

    Returns
    -------
    keras.Model, float

    Raises
    ------
    DataError
        It is not a network of ten classes.
    galclass.runs.RunError
        The run folder or its weights cannot be read.
    """
    if network is None:
        from .pretrained import load_pretrained

        return load_pretrained(precision=precision), 1.0
    model, temperature = network, 1.0
    if not hasattr(network, "input_shape"):
        run = network if isinstance(network, Run) else load_run(network)
        model, temperature = run.load_model(precision=precision), _temperature(run)
    _check_classes(model.output_shape[-1])
    return model, temperature


def identify_network(network):
    """What tells a network from others, as the manifest of predictions records it.

    Parameters
    ----------
    network
        `model_or_run` of :func:`predict`. A run's is not loaded, so that TensorFlow is not needed.

    Returns
    -------
    dict
        ``name``, ``sha256`` (of the weights, or of the file that holds a run's), ``temperature``
        and ``precision`` (None where it can be chosen).

    Raises
    ------
    DataError
        It is not a network of ten classes.
    galclass.runs.RunError
        The run folder or its weights cannot be read.
    """
    record: dict[str, Any] = {"temperature": 1.0, "precision": None}
    if network is None:
        from .pretrained import pretrained_card

        return {"name": "pretrained", "sha256": pretrained_card()["weights_sha256"], **record}
    if hasattr(network, "input_shape"):
        _check_classes(network.output_shape[-1])
        record["precision"] = sorted({layer.compute_dtype for layer in network.layers})
        return {"name": network.name, "sha256": weights_sha256(network.get_weights()), **record}
    run = network if isinstance(network, Run) else load_run(network)
    path = run.path / "model.keras"
    if not path.is_file():
        raise RunError(f"no {path.name} in {run.path}; train the run first")
    _check_classes(run.manifest["network"].get("classes"))
    record["temperature"] = _temperature(run)
    return {"name": run.path.name, "sha256": sha256_of(path), **record}


def _check_classes(classes):
    if classes != len(CLASS_NAMES):
        raise DataError(f"the network has {classes} classes, expected {len(CLASS_NAMES)}")


def _temperature(run):
    if not (run.path / "metrics.json").exists():
        return 1.0
    return run.metrics.get("temperature", 1.0)


def classify(
    model, prepared, *, symmetric, batch_size, temperature=1.0, total=None, progress=False
):
    """Classify prepared pictures.

    Parameters
    ----------
    model : keras.Model
        Of ten classes.
    prepared : iterator of tuple
        ``(source, image, error)``, as :func:`galclass.cutouts.iter_prepared` gives them.
    temperature : float, default 1
        See :func:`galclass.calibration.apply_temperature`.
    symmetric, batch_size, progress
        As for :func:`predict`.
    total : int, optional
        Number of pictures, for the progress bar.

    Returns
    -------
    astropy.table.Table
        As :func:`predict`.

    Raises
    ------
    DataError
        There is no picture.
    ValueError
        `batch_size` is less than 1.
    """
    from tqdm.auto import tqdm

    if batch_size < 1:
        raise ValueError(f"batch_size={batch_size}, expected 1 or more")
    sources, errors, found = [], [], []
    with tqdm(total=total, unit="picture", disable=not progress) as bar:
        while batch := list(itertools.islice(prepared, batch_size)):
            names, images, problems = zip(*batch, strict=True)
            sources += names
            errors += ["" if problem is None else str(problem) for problem in problems]
            good = [i for i, image in enumerate(images) if image is not None]
            rows = np.full((len(batch), len(CLASS_NAMES)), np.nan, np.float32)
            if good:
                stacked = np.stack([images[i] for i in good])
                raw = predict_proba(model, stacked, symmetric=symmetric, batch_size=batch_size)
                rows[good] = apply_temperature(raw, temperature)
            found.append(rows)
            bar.update(len(batch))
    if not found:
        raise DataError("no picture given, expected at least one")
    return _to_table(sources, np.concatenate(found), errors)


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
        require_pyarrow(path)
    return FORMATS[path.suffix.lower()]


def require_pyarrow(path):
    """Raise an ImportError that says what to do where Parquet cannot be read or written."""
    try:
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"{path}: Parquet needs pyarrow, which is not installed; pip install pyarrow, or "
            "choose .ecsv or .fits"
        ) from error


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
