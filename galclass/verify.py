"""Whether a run folder still says what its model and its galaxies give."""

import numpy as np

from .calibration import apply_temperature
from .evaluation import compute_metrics, for_public_mix, headline, predict_proba
from .runs import Run, RunError, load_run, weights_sha256
from .sources import load_run_data

# Probabilities of one float32 network differ by about 1e-6 between processors.
TOLERANCE = 1e-4


def verify(run, data=None):
    """Measure a run again from its model and its galaxies, and compare with what it says.

    The galaxies by their sha256; the split by its sizes and the hash of its indices; the weights
    by their hash; the history by its epochs; the predictions by predicting again, within 1e-4 in
    probability; the metrics by computing them again. Nothing is written.

    Parameters
    ----------
    run : galclass.runs.Run or path-like
    data : str or path-like, optional
        The run's galaxies, as in :func:`galclass.sources.load_run_data`.

    Returns
    -------
    list of str
        What differs, a line each; empty if nothing does.

    Raises
    ------
    RunError
        No run folder, or its galaxies were a file or arrays and `data` is not given.
    FileNotFoundError, galclass.galaxy10.DataError, galclass.galaxy10.DownloadError
        The galaxies cannot be read.
    """
    run = run if isinstance(run, Run) else load_run(run)
    if run.manifest.get("status") != "complete":
        return [f"status: {run.manifest.get('status')!r}, expected 'complete'; resume the training"]
    try:
        images, labels, _ = load_run_data(run, data)
    except RunError as error:
        if data is None and run.manifest["source"].get("kind") not in ("simulated", "galaxy10"):
            raise
        images = None
        found = [f"data: {error}"]
    else:
        found = _compare_split(run, labels)
    checks = [_compare_history, _compare_weights, _compare_metrics]
    if images is not None and not found:
        checks.append(lambda run: _compare_predictions(run, images, labels))
    for check in checks:
        try:
            found += check(run)
        except RunError as error:
            found.append(str(error))
    # A missing file is met by several checks.
    return list(dict.fromkeys(found))


def _compare_split(run, labels):
    from .training import describe_split

    recorded = run.manifest["split"]
    counts = np.bincount(labels, minlength=len(run.manifest.get("class_counts", [])))
    try:
        _, found = describe_split(labels, recorded.get("protocol"))
    except ValueError as error:
        return [f"split: {error}"]
    return [
        *_differences("manifest.json, split", recorded, found),
        *_differences(
            "manifest.json, class_counts", run.manifest.get("class_counts"), counts.tolist()
        ),
    ]


def _compare_history(run):
    from .training import best_epoch

    history = run.history
    missing = {"epoch", "loss", "accuracy", "val_loss", "val_accuracy"} - history.keys()
    if missing:
        return [f"history.csv: no columns {sorted(missing)}"]
    numbers = history["epoch"].tolist()
    if numbers != list(range(1, len(numbers) + 1)):
        return [f"history.csv: epochs {numbers}, expected 1, 2, 3 ... in order"]
    rows = [dict(zip(history, row, strict=True)) for row in zip(*history.values(), strict=True)]
    found = {"epochs": len(rows), "best_epoch": int(best_epoch(rows))}
    recorded = {key: run.manifest.get(key) for key in found}
    return _differences("manifest.json", recorded, found)


def _compare_weights(run):
    found = {
        name: weights_sha256(v.numpy() for v in run.load_model(name).trainable_variables)
        for name in ("model", "last")
    }
    return _differences("manifest.json, weights_sha256", run.manifest.get("weights_sha256"), found)


def _compare_metrics(run):
    """The metrics against the predictions beside them."""
    saved = run.predictions
    try:
        found = compute_metrics(saved["labels"], saved["probabilities"])
    except ValueError as error:
        return [f"predictions.npz: {error}"]
    recorded = {key: run.metrics.get(key) for key in found}
    return _differences("metrics.json", recorded, found, tolerance=1e-9)


def _compare_predictions(run, images, labels):
    """The predictions, and the metrics that they do not hold, against the models."""
    from .training import describe_split

    parts = describe_split(labels, run.manifest["split"]["protocol"])[0]
    test = parts.test
    saved = run.predictions
    for name, expected in (("indices", test), ("labels", labels[test])):
        if not np.array_equal(saved[name], expected):
            return [f"predictions.npz: {name} are not those of the test galaxies"]
    model, last = run.load_model(), run.load_model("last")
    symmetric = bool(run.metrics.get("symmetric"))
    probabilities = predict_proba(model, images, test, symmetric=symmetric)
    differences = []
    if saved["probabilities"].shape != probabilities.shape:
        return [
            f"predictions.npz: probabilities of shape {saved['probabilities'].shape}, the model "
            f"gives {probabilities.shape}"
        ]
    # Not a number differs from all.
    far = ~(np.abs(saved["probabilities"] - probabilities).max(axis=1) <= TOLERANCE)
    if far.any():
        differences.append(
            f"predictions.npz: probabilities of {far.sum()} of {len(test)} galaxies are not those "
            "that model.keras gives"
        )
    plain = predict_proba(model, images, test) if symmetric else probabilities
    for name, found in (("plain", plain), ("last_epoch", predict_proba(last, images, test))):
        differences += _differences(
            f"metrics.json, {name}",
            run.metrics.get(name),
            headline(labels[test], found),
            tolerance=TOLERANCE,
        )
    recorded = run.metrics.get("public_mix")
    if recorded:
        counts = np.bincount(labels[parts.train], minlength=probabilities.shape[1])
        try:
            calibrated = apply_temperature(probabilities, run.metrics["temperature"])
            found = for_public_mix(labels[test], calibrated, counts, recorded["strength"])
        except (KeyError, TypeError, ValueError) as error:
            return [*differences, f"metrics.json, public_mix cannot be computed: {error!r}"]
        differences += _differences(
            "metrics.json, public_mix", recorded, found, tolerance=TOLERANCE
        )
    return differences


def _differences(name, recorded, found, *, tolerance=0.0):
    """Lines that say where a JSON value differs from what was found."""
    if isinstance(recorded, dict) and isinstance(found, dict):
        return [
            line
            for key in found
            for line in _differences(
                f"{name}, {key}", recorded.get(key), found[key], tolerance=tolerance
            )
        ]
    if isinstance(recorded, list) and isinstance(found, list) and len(recorded) == len(found):
        return [
            line
            for number, pair in enumerate(zip(recorded, found, strict=True))
            for line in _differences(f"{name}[{number}]", *pair, tolerance=tolerance)
        ]
    if isinstance(recorded, float) and isinstance(found, float):
        same = abs(recorded - found) <= tolerance
    else:
        same = recorded == found
    return [] if same else [f"{name}: recorded {recorded!r}, found {found!r}"]
