"""Whether a run folder still holds what its model and its galaxies give."""

from typing import Any

import numpy as np

from ..data.arrays import Images, Labels
from ..data.dataset import Origin
from ..data.split import split_record
from ..errors import DataError, ParameterError, RunError
from ..files import PathLike
from ..network.symmetry import hash_images
from ..network.unusual import fit_usual
from ..run import Run, as_run, best_epoch, weights_sha256
from .evaluate import find_mistakes, measure
from .metrics import compute_metrics

# Probabilities of one float32 network differ by about 1e-6 between processors.
TOLERANCE = 1e-4
# Those of a network in half precision, by about this much; the history may come from one.
HALF_TOLERANCE = 0.02

# What model, galaxies and history do not determine, keys of each part of the run.
UNKNOWABLE = {
    "manifest.json": "galclass versions earlier device threads precision precision_reason "
    "wall_time_s images_per_second seed start recipe_name note",
    "manifest.json, recipe": "batch_size optimizer learning_rate schedule warmup_epochs "
    "weight_decay label_smoothing averaging symmetries symmetric_prediction",
    "history.csv": "loss accuracy",
}
COLUMNS = ["epoch", "loss", "accuracy", "val_loss", "val_accuracy"]


def verify(run: Run | PathLike, data: PathLike | None = None, **columns: Any) -> list[str]:
    """Measure a run again from its model and its galaxies, and compare with what it records.

    Compared are the galaxies, by their sha256; every entry of ``manifest.json`` that they, the
    weights and the history determine; every entry of ``metrics.json``, ``predictions.npz``,
    ``validation.npz``, ``mistakes.npz``, ``usual.npz`` and ``examples.npz``, computed anew, within
    1e-4 where it depends on probabilities; and in ``history.csv`` the columns, the numbering and
    the validation loss and accuracy of the best and of the last epoch. Nothing is written.

    It finds what was damaged, mixed up or edited by hand, but it is no proof of how a run was made.
    It cannot know what is in :data:`UNKNOWABLE`: most of the recipe, the seed, versions, device,
    precision and duration, the loss and accuracy of training; nor validation in other epochs than
    the best and the last, as long as these remain so; nor, unless they are simulated, the name of
    the galaxies' file, and whether they came from a file. After training in half precision the
    history is compared within 0.02 only. A packed run has neither ``last.keras``, ``examples.npz``
    nor ``mistakes.npz``, and is verified without them. ``README.md`` and ``figures/`` are not read.

    Parameters
    ----------
    run : galclass.run.Run or path-like
    data, **columns
        The run's galaxies, as in :meth:`galclass.run.Run.load_data`.

    Returns
    -------
    list of str
        What differs, a line each; empty if nothing does.

    Raises
    ------
    RunError
        No run folder, or its galaxies were a file or arrays and `data` is not given.
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
        place_recorded = run.origin.kind not in ("file", "arrays")
    except DataError as error:
        return [f"manifest.json, {error}"]
    try:
        dataset = run.load_data(data, **columns)
    except (RunError, ParameterError) as error:
        if data is None and not place_recorded:
            raise
        return [f"manifest.json, origin: {error}"]
    lines: list[str] = []
    try:
        for check in (_check_manifest, _check_epochs, _check_results):
            lines += check(run, *dataset)
    except (RunError, DataError, ParameterError) as error:
        place = "manifest.json: " * isinstance(error, ParameterError)
        lines.append(f"{place}{error}; what depends on it was not compared")
    return lines


def _check_manifest(run: Run, images: Images, labels: Labels, origin: Origin) -> list[str]:
    manifest, history, penalties = run.manifest, run.history, ("l2", "dropout", "dense_dropout")
    epochs = len(next(iter(history.values())))
    if list(history) != COLUMNS or history["epoch"].tolist() != list(range(1, epochs + 1)):
        raise RunError(f"history.csv: expected the columns {COLUMNS} and epochs 1, 2, 3 ...")
    lines = [
        f"history.csv, {name}: not all numbers are finite"
        for name, column in history.items()
        if not np.isfinite(column).all()
    ]
    recipe, network = manifest["recipe"], manifest["network"]
    found = {
        "status": "complete",
        "origin": {**manifest["origin"], "sha256": origin.sha256, "galaxies": origin.galaxies},
        "split": split_record(labels, manifest["split"].get("protocol"))[1],
        "recipe": {"epochs": epochs, **{key: network.get(key) for key in penalties}},
        "network": {
            "input_shape": list(images.shape[1:]),
            "classes": len(run.class_names),
            **{key: recipe.get(key) for key in penalties},
        },
        "class_counts": np.bincount(labels, minlength=len(run.class_names)).tolist(),
        "epochs": epochs,
        "best_epoch": best_epoch(history),
        "weights_sha256": manifest.get("weights_sha256"),  # _check_epochs compares it.
    }
    found["origin"].update(class_names=list(origin.class_names), crop=origin.crop)
    if run.origin.kind != "arrays":
        found["origin"].update(kind=origin.kind, seed=origin.seed)
    if origin.name.startswith("simulate_galaxy10("):
        found["origin"]["name"] = origin.name
    if "packed" in manifest:
        found["packed"] = not (run.path / "last.keras").exists()
    return lines + _differences("manifest.json", manifest, found)


def _check_epochs(run: Run, images: Images, labels: Labels, _: Origin) -> list[str]:
    """Weights and validation of the best and of the last epoch."""
    from ..network.probabilities import predict_proba

    manifest, history, lines, digests = run.manifest, run.history, [], {}
    validation = run.split(images, labels).validation
    epochs: dict[Any, int] = {"model": best_epoch(history), "last": len(history["epoch"])}
    if manifest.get("packed"):
        del epochs["last"]
    exact = manifest.get("precision") == "float32" and not manifest.get("packed")
    for name, epoch in epochs.items():
        model = run.load_model(name, precision=manifest.get("precision", "float32"))
        digests[name] = weights_sha256(v.numpy() for v in model.trainable_variables)
        found = compute_metrics(labels[validation], predict_proba(model, images, validation))
        loss = found["log_loss"] + float(sum(model.losses))
        lines += _differences(
            f"history.csv, epoch {epoch}",
            {key: float(history[key][epoch - 1]) for key in ("val_loss", "val_accuracy")},
            {"val_loss": loss, "val_accuracy": found["accuracy"]},
            TOLERANCE if exact else HALF_TOLERANCE,
        )
    recorded = manifest.get("weights_sha256")
    return lines + _differences("manifest.json, weights_sha256", recorded, digests)


def _check_results(run: Run, images: Images, labels: Labels, _: Origin) -> list[str]:
    saved, lines = run.predictions, list[str]()
    train, validated, _ = run.split(images, labels)
    own = np.unique(hash_images(images)[np.concatenate([train, validated])])
    seen = np.intersect1d(run.seen, own) if run.manifest.get("start") else run.seen
    if run.usual is not None:
        for name, found in fit_usual(images[train], images[validated]).items():
            # Of nearly dependent numbers, the last bits decide some digits.
            off = 1e-3 * np.abs(found).max()
            lines += _differences(f"usual.npz, {name}", run.usual[name], found, off)
    metrics, predictions, validation, mistakes = measure(run, images, labels)
    lines += _differences("predictions.npz", saved, predictions, TOLERANCE)
    lines += _differences("validation.npz", run.validation, validation, TOLERANCE)
    if not run.manifest.get("packed"):
        # Of near ties among the saved probabilities, which comes first depends on the last bits.
        mistakes = mistakes if lines else find_mistakes(images, saved)
        lines += _differences("mistakes.npz", run.mistakes, mistakes, TOLERANCE)
        first = train[np.unique(labels[train], return_index=True)[1]]
        examples = {"images": images[first], "labels": labels[first]}
        lines += _differences("examples.npz", run.examples, examples)
    if not np.array_equal(seen, own):
        lines.append(f"seen.npz: {len(seen)} hashes, which are not those of the {len(own)} images")
    return lines + _differences("metrics.json", run.metrics, metrics, TOLERANCE)


def _differences(name: str, recorded: Any, found: Any, tolerance: float = 0.0) -> list[str]:
    """Lines that say where a JSON value or an array differs from what was found."""
    pairs = None
    if isinstance(recorded, dict) and isinstance(found, dict):
        keys = {**recorded, **found}.keys() - UNKNOWABLE.get(name, "").split()
        pairs = [(f"{name}, {key}", recorded.get(key), found.get(key)) for key in sorted(keys)]
    elif isinstance(recorded, list) and isinstance(found, list) and len(recorded) == len(found):
        both = enumerate(zip(recorded, found, strict=True))
        pairs = [(f"{name}[{i}]", *pair) for i, pair in both]
    if pairs is not None:
        return [line for pair in pairs for line in _differences(*pair, tolerance)]
    if isinstance(found, np.ndarray):
        if recorded.shape != found.shape or recorded.dtype.kind not in "biuf":
            return [f"{name}: {recorded.dtype} {recorded.shape}, expected shape {found.shape}"]
        # Not a number differs from all.
        far = ~(np.abs(recorded.astype(float) - found) <= tolerance)
        rows = int(far.any(axis=tuple(range(1, far.ndim))).sum())
        return [f"{name}: {rows} of {len(far)} rows differ from what was found"] if rows else []
    if isinstance(recorded, float) and isinstance(found, float):
        same = abs(recorded - found) <= tolerance
    else:  # In Python, True is 1.
        same = recorded == found and isinstance(recorded, bool) == isinstance(found, bool)
    return [] if same else [f"{name}: recorded {recorded!r}, found {found!r}"]
