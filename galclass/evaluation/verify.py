"""Compare a run folder with what its network and its galaxies give."""

from dataclasses import replace
from typing import Any

import numpy as np

from ..data.dataset import Dataset, Origin
from ..data.galaxy10 import DATASETS
from ..data.split import split_record
from ..errors import DataError, ParameterError, RunError
from ..files import PathLike
from ..load import load_run_data
from ..network.symmetry import hash_images
from ..network.weights import get_weights, weights_sha256
from ..run import Run, as_run, best_epoch
from ..training.manifest import describe_training
from ..training.recipe import Recipe
from .calibration import calibration_of
from .evaluate import check_galaxies, compute_evaluation, find_mistakes
from .metrics import compute_metrics

# Probabilities of the same float32 network differ by about 1e-6 between processors.
TOLERANCE = 1e-4
# The history is compared within this tolerance if the training was in half precision, or if the
# weights were rounded to it afterwards.
HALF_TOLERANCE = 0.02
# The inverse covariance is ill-conditioned, so that its last digits differ between processors.
RELATIVE_TOLERANCE_USUAL = 1e-3

# Entries that cannot be recomputed and are not compared.
UNKNOWABLE = {
    "manifest.json": {
        "device",
        "earlier",
        "galclass",
        "images_per_second",
        "note",
        "precision",
        "precision_reason",
        "recipe_name",
        "seed",
        "start",
        "threads",
        "versions",
        "wall_time_s",
        "weights_precision",
    },
    "manifest.json, recipe": {
        "averaging",
        "batch_size",
        "label_smoothing",
        "learning_rate",
        "optimizer",
        "schedule",
        "symmetries",
        "warmup_epochs",
        "weight_decay",
    },
    "history.csv": {"loss", "accuracy"},
}
COLUMNS = ["epoch", "loss", "accuracy", "val_loss", "val_accuracy"]


def verify(run: Run | PathLike, data: PathLike | None = None, **columns: str) -> list[str]:
    """Evaluate a run again, and compare the results with the files in its folder.

    The comparison includes the sha256 of the galaxies; all entries of ``manifest.json`` that the
    galaxies, the weights and the history determine; all entries of ``metrics.json``,
    ``predictions.npz``, ``validation.npz``, ``examples.npz``, ``mistakes.npz``, ``usual.npz`` and
    ``seen.npz``; and in ``history.csv`` the columns, the epochs, and the validation loss and
    accuracy of the kept epoch. Values that depend on probabilities are compared within 1e-4, the
    history within 0.02 if training or weights are in half precision. Nothing is written.

    Damaged, mixed up and edited files are found, but the result does not prove how a run was made.
    Runs that are given away without images lack ``examples.npz`` and ``mistakes.npz``, and are
    verified without them.

    Not verified:

    - most of the recipe, the seed, the versions, the device, the precision and the duration: the
      entries in :data:`UNKNOWABLE`;
    - the loss and the accuracy on the training set;
    - the validation of all other epochs, if the best epoch remains the best;
    - the name and the title of a file of galaxies;
    - everything except the hash about galaxies that came as arrays;
    - ``README.md`` and ``figures/``.

    Parameters
    ----------
    run : Run or path-like
    data : str or path-like, optional
        The galaxies of the run, as in :func:`galclass.load_data`. Default: the name of the data
        in the manifest.
    **columns : str
        ``image_column`` and ``label_column`` of a catalogue.

    Returns
    -------
    list of str
        One line per difference; empty if nothing differs.

    Raises
    ------
    RunError
        This is not a run folder, or `data` is required because the manifest does not hold the
        path of a file.
    FileNotFoundError, DataError, DownloadError
        The galaxies cannot be read.

    Examples
    --------
    >>> import galclass
    >>> galclass.verify("runs/mine")
    []
    """
    run = as_run(run)
    status = run.manifest.get("status")
    if status != "complete":
        return [f"manifest.json, status: {status!r}, expected 'complete'; resume the training"]
    try:
        origin = run.origin
    except DataError as error:
        return [f"manifest.json, {error}"]
    try:
        dataset = load_run_data(run, data, **columns)
    except (RunError, ParameterError) as error:
        if data is None and not _is_named(origin):
            raise
        return [f"manifest.json, origin: {error}"]
    differences = []
    try:
        for check in (_check_manifest, _check_history, _check_results):
            differences += check(run, dataset)
    except RunError as error:
        differences.append(f"{error}; what depends on it was not compared")
    return differences


def _is_named(origin: Origin) -> bool:
    """Tell if the origin names galaxies that load_data can find or simulate."""
    return origin.simulated or origin.kind in DATASETS


def _check_manifest(run: Run, dataset: Dataset) -> list[str]:
    """Compare the manifest with the one that these galaxies and the history give."""
    manifest = run.manifest
    history = run.history
    epochs = len(next(iter(history.values())))
    if list(history) != COLUMNS or history["epoch"].tolist() != list(range(1, epochs + 1)):
        raise RunError(f"history.csv: expected the columns {COLUMNS} and epochs 1, 2, 3 ...")
    try:
        recipe = replace(Recipe(**manifest["recipe"]), epochs=epochs)
        _, split = split_record(dataset.labels, manifest["split"].get("protocol"))
    except (ParameterError, TypeError) as error:
        raise RunError(f"manifest.json, recipe or split: {error}") from error
    origin = _expected_origin(run.origin, dataset.origin)
    # The name of the recipe, the seed and the start are not compared.
    training = describe_training(
        dataset._replace(origin=origin),
        recipe_name="",
        recipe=recipe,
        seed=0,
        split=split,
        start={},
    )
    expected = {
        **training,
        "status": "complete",
        "epochs": epochs,
        "best_epoch": best_epoch(history),
        "kept_epoch": _kept_epoch(run),
        "weights_sha256": manifest.get("weights_sha256"),  # _check_history compares it.
    }
    return _compare("manifest.json", manifest, expected)


def _expected_origin(recorded: Origin, loaded: Origin) -> Origin:
    """Return the expected origin: what the galaxies show, and the rest from the record."""
    if _is_named(recorded):
        return loaded
    if recorded.kind == "arrays":
        return replace(recorded, sha256=loaded.sha256, galaxies=loaded.galaxies)
    return replace(loaded, name=recorded.name, title=recorded.title)


def _kept_epoch(run: Run) -> int:
    """Return the number of the epoch whose weights the recipe keeps."""
    if run.manifest["recipe"].get("keep") == "last":
        return len(run.history["epoch"])
    return best_epoch(run.history)


def _check_history(run: Run, dataset: Dataset) -> list[str]:
    """Compare the hash of the weights, and the validation of the kept epoch."""
    from ..network.probabilities import predict_proba

    manifest = run.manifest
    history = run.history
    differences = [
        f"history.csv, {name}: not all numbers are finite"
        for name, column in history.items()
        if not np.isfinite(column).all()
    ]
    model = run.load_model()
    digest = weights_sha256(get_weights(model).values())
    differences += _compare("manifest.json, weights_sha256", manifest.get("weights_sha256"), digest)
    indices = check_galaxies(run, dataset.images, dataset.labels).validation
    probabilities = predict_proba(model, dataset.images, indices)
    metrics = compute_metrics(dataset.labels[indices], probabilities)
    penalty = float(sum(model.losses))
    epoch = _kept_epoch(run)
    recorded = {key: float(history[key][epoch - 1]) for key in ("val_loss", "val_accuracy")}
    expected = {
        "val_loss": metrics["log_loss"] + penalty,
        "val_accuracy": metrics["accuracy"],
    }
    tolerance = TOLERANCE
    if manifest.get("precision") != "float32" or "weights_precision" in manifest:
        tolerance = HALF_TOLERANCE
    return differences + _compare(f"history.csv, epoch {epoch}", recorded, expected, tolerance)


def _check_results(run: Run, dataset: Dataset) -> list[str]:
    """Compare the files that an evaluation writes, and the hashes of the images."""
    images = dataset.images
    try:
        evaluation = compute_evaluation(run, images, dataset.labels)
    except ParameterError as error:
        raise RunError(f"metrics.json, calibration: {error}") from error
    expected = dict(evaluation.arrays)
    differences = []
    for name in ("predictions", "validation"):
        recorded = getattr(run, name)
        differences += _compare(f"{name}.npz", recorded, expected[name], TOLERANCE)
    if not differences:
        # Mistakes are ordered by probability, and the order of nearly equal ones depends on their
        # last bits: we take the recorded ones, which were found to be correct.
        test = run.predictions
        probabilities = calibration_of(run).apply(test["probabilities"])
        expected["mistakes"] = find_mistakes(images, test["indices"], test["labels"], probabilities)
    for name in ("examples", "mistakes"):
        if (run.path / f"{name}.npz").exists():
            recorded = getattr(run, name)
            differences += _compare(f"{name}.npz", recorded, expected[name], TOLERANCE)
    for name, array in expected["usual"].items():
        tolerance = RELATIVE_TOLERANCE_USUAL * float(np.abs(array).max())
        recorded = (run.usual or {}).get(name)
        differences += _compare(f"usual.npz, {name}", recorded, array, tolerance)
    differences += _check_seen(run, dataset)
    return differences + _compare("metrics.json", run.metrics, evaluation.metrics, TOLERANCE)


def _check_seen(run: Run, dataset: Dataset) -> list[str]:
    """Compare the hashes of the training and validation images."""
    parts = check_galaxies(run, dataset.images, dataset.labels)
    used = np.concatenate([parts.train, parts.validation])
    expected = np.unique(hash_images(dataset.images)[used])
    recorded = run.seen
    if run.manifest.get("start"):
        # We do not have the images of the run that training started from.
        recorded = np.intersect1d(recorded, expected)
    if np.array_equal(recorded, expected):
        return []
    return [f"seen.npz: not the hashes of the {len(expected)} training and validation images"]


def _compare(name: str, recorded: Any, expected: Any, tolerance: float = 0.0) -> list[str]:
    """Return one line per difference between two JSON values or arrays."""
    differences = []
    if isinstance(recorded, dict) and isinstance(expected, dict):
        for key in sorted({*recorded, *expected} - UNKNOWABLE.get(name, set())):
            differences += _compare(
                f"{name}, {key}", recorded.get(key), expected.get(key), tolerance
            )
    elif isinstance(recorded, list) and isinstance(expected, list):
        if len(recorded) != len(expected):
            return [f"{name}: {len(recorded)} values, expected {len(expected)}"]
        for i in range(len(expected)):
            differences += _compare(f"{name}[{i}]", recorded[i], expected[i], tolerance)
    elif isinstance(expected, np.ndarray):
        differences = _compare_arrays(name, recorded, expected, tolerance)
    elif not _is_equal(recorded, expected, tolerance):
        differences.append(f"{name}: recorded {recorded!r}, expected {expected!r}")
    return differences


def _compare_arrays(
    name: str, recorded: Any, expected: np.ndarray[Any, Any], tolerance: float
) -> list[str]:
    recorded = np.asarray(recorded)
    if recorded.shape != expected.shape or recorded.dtype.kind not in "biuf":
        return [f"{name}: {recorded.dtype} {recorded.shape}, expected shape {expected.shape}"]
    # NaN differs from every number.
    differs = ~(np.abs(recorded.astype(float) - expected) <= tolerance)
    rows = int(differs.any(axis=tuple(range(1, differs.ndim))).sum())
    if rows == 0:
        return []
    return [f"{name}: {rows} of {len(differs)} rows differ"]


def _is_equal(recorded: Any, expected: Any, tolerance: float) -> bool:
    if isinstance(recorded, float) and isinstance(expected, float):
        return abs(recorded - expected) <= tolerance
    # True == 1 in Python, so the types are compared as well.
    return bool(recorded == expected) and isinstance(recorded, bool) == isinstance(expected, bool)
