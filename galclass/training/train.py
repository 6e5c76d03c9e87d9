"""Train the network into a run folder."""

import contextlib
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike

from ..data.arrays import (
    MAX_CLASSES,
    check_class_names,
    check_images,
    check_integer,
    check_labels,
)
from ..data.dataset import Dataset, Origin
from ..data.split import split_record
from ..errors import DataError, ParameterError, RunError
from ..files import LOCK, PathLike, locked, remove_leftovers
from ..network.options import Precision
from ..network.weights import weights_sha256
from ..run import Run, best_epoch, delete_run
from .manifest import IDENTITY, MACHINE, describe_machine, describe_training
from .recipe import RECIPES, Recipe
from .session import Session
from .start import open_start, read_start


def train(
    images: ArrayLike,
    labels: ArrayLike,
    origin: Origin | None = None,
    *,
    out: PathLike,
    class_names: Sequence[str] | None = None,
    recipe: str | Recipe = "default",
    epochs: int | None = None,
    seed: int = 0,
    split: str = "stratified",
    precision: Precision = "auto",
    start: Run | PathLike | None = None,
    resume: bool = False,
    overwrite: bool = False,
    verbose: bool = True,
    on_epoch: Callable[[list[dict[str, float]]], None] | None = None,
) -> Run:
    """Train the network into a run folder.

    Parameters
    ----------
    images : ndarray of uint8, shape (N, s, s, 3) or (N, s, s, 1)
        Square images of 32 to 256 pixels; a single channel is repeated three times.
    labels : ndarray of int, shape (N,)
        Classes, from 0.
    origin : Origin, optional
        Where the galaxies came from, as :func:`galclass.load_data` returns it. Default: the
        manifest records that they came as arrays.
    out : path-like
        The run folder.
    class_names : sequence of str, optional
        Names of the classes, two or more. Default: those of `origin`; without it, the numbers of
        the classes from 0 to the largest label.
    recipe : str or Recipe, default "default"
        A name in ``RECIPES`` or a recipe.
    epochs : int, optional
        Number of epochs. Default: the recipe's.
    seed : int, default 0
        Seed of weights, order, dropout and augmentation: the same seed gives the same weights, bit
        for bit, on the same machine. The split does not depend on it.
    split : {"stratified", "published"} or str
        See :func:`galclass.split`.
    precision : {"auto", "float32", "bfloat16", "float16"}
        See :func:`galclass.network.precision.choose_precision`.
    start : {"simulated", "pretrained"}, Run or path-like, optional
        Network to start from (fine-tuning) instead of random weights: the one that was trained on
        simulated galaxies alone, the one that was trained on Galaxy10, or that of a finished run.
        Layers of another shape start from random weights, and so does the output layer if the
        classes are others. The network must not have been trained on a galaxy of the test set.
    resume : bool, default False
        Resume the run in `out`, if there is one; a finished run is returned as it is.
    overwrite : bool, default False
        Delete the run in `out` first.
    verbose : bool, default True
        Print one line per epoch, and show a progress bar on terminals.
    on_epoch : callable, optional
        Called after each epoch with the history so far, a list of dicts.

    Returns
    -------
    galclass.run.Run
        Its history has the loss (cross-entropy and the recipe's penalties) and the accuracy of
        training and validation after each epoch.

    Raises
    ------
    DataError
        The images or the labels are not valid.
    ParameterError
        Unknown recipe, split or precision, or a number out of range.
    RunError
        `out` already exists, holds another run than the one to resume, is in use by another
        process, or cannot be written; `start` is not a finished run, or was trained on galaxies
        of the test set; or training diverged.

    Warns
    -----
    UserWarning
        `start` was trained on real galaxies of another file, so that it is not known whether the
        test set is independent; the manifest and the model card say so, too.

    Examples
    --------
    One epoch on a few simulated galaxies, as a trial:

    >>> import galclass
    >>> data = galclass.load_data("simulated", n=200)
    >>> run = galclass.train(*data, out="runs/tried", epochs=1, verbose=False)
    >>> run.manifest["status"], len(run.history["val_accuracy"])
    ('complete', 1)
    """
    out = _check_out(out, start)
    dataset = _check_data(images, labels, origin, class_names)
    recipe_name, recipe = _check_recipe(recipe, epochs)
    seed = check_integer(seed, "seed", 0)
    parts, split_of_run = split_record(dataset.labels, split)
    start_from = read_start(start, dataset, parts)
    manifest = {
        "status": "training",
        **describe_training(dataset, recipe_name, recipe, seed, split_of_run, start_from.record),
        **describe_machine(precision),
    }
    run = Run(out)
    with locked(out), _deterministic_operations(), _explained_interruption(run, recipe.epochs):
        if resume and _can_resume(run):
            manifest = _merge_manifests(run, manifest, precision)
        else:
            _prepare_folder(run, overwrite)
        if manifest["status"] == "complete":
            run.delete_checkpoints()
            return run
        run.write_manifest(manifest)
        run.write_arrays("seen", hashes=start_from.seen)
        session = Session(
            recipe=recipe,
            network=manifest["network"],
            seed=seed,
            precision=manifest["precision"],
            parts=parts,
            images=dataset.images,
            labels=dataset.labels,
        )
        session.start(start_from.weights)
        session.restore(run)
        _run_epochs(session, run, verbose, on_epoch)
        run.write_manifest({**manifest, **_describe_result(session)})
        run.delete_checkpoints()
    return run


def _run_epochs(
    session: Session,
    run: Run,
    verbose: bool,
    on_epoch: Callable[[list[dict[str, float]]], None] | None,
) -> None:
    """Train the epochs that are left, and save the state after each."""
    while len(session.rows) < session.recipe.epochs:
        session.run_epoch(verbose=verbose)
        session.save(run)
        if on_epoch is not None:
            on_epoch(session.rows)
        if verbose:
            session.report()


def _check_out(out: PathLike, start: Run | PathLike | None) -> Path:
    if not os.fspath(out):
        raise ParameterError(f"out={out!r}, expected the path of a folder")
    path = Path(out).expanduser()
    if start is not None and open_start(start).path.resolve() == path.resolve():
        raise ParameterError(f"out and start are both {path}; give the new run another folder")
    return path


def _check_data(
    images: ArrayLike,
    labels: ArrayLike,
    origin: Origin | None,
    class_names: Sequence[str] | None,
) -> Dataset:
    """Return the galaxies with an origin that has their hash, number and class names."""
    if not isinstance(origin, Origin | None):
        raise ParameterError(f"origin={origin!r}, expected the one of load_data, or None")
    images = check_images(images)
    if class_names is None and origin is not None:
        class_names = origin.class_names
    classes = MAX_CLASSES
    if class_names is not None:
        classes = len(check_class_names(class_names))
    labels = check_labels(labels, len(images), classes=classes)
    of_arrays = Origin.of_arrays(images, labels, class_names)
    if labels.min() == labels.max():
        raise DataError(f"all galaxies are of class {labels[0]}, expected two classes or more")
    if origin is None:
        return Dataset(images, labels, of_arrays)
    origin = replace(
        origin,
        sha256=of_arrays.sha256,
        galaxies=of_arrays.galaxies,
        class_names=of_arrays.class_names,
    )
    return Dataset(images, labels, origin)


def _check_recipe(recipe: str | Recipe, epochs: int | None) -> tuple[str, Recipe]:
    """Return the name and the recipe."""
    name = "custom"
    if isinstance(recipe, str) and recipe in RECIPES:
        name = recipe
        recipe = RECIPES[recipe]
    if not isinstance(recipe, Recipe):
        raise ParameterError(f"recipe={recipe!r}, expected a Recipe or one of {sorted(RECIPES)}")
    if epochs is not None:
        recipe = replace(recipe, epochs=epochs)
    return name, recipe


@contextlib.contextmanager
def _deterministic_operations() -> Iterator[None]:
    """Use TensorFlow's deterministic operations within the block."""
    from tensorflow.python.framework import config

    was_enabled = config.is_op_determinism_enabled()
    config.enable_op_determinism()
    try:
        yield
    finally:
        if not was_enabled:
            config.disable_op_determinism()


@contextlib.contextmanager
def _explained_interruption(run: Run, epochs: int) -> Iterator[None]:
    """Say what is saved and how to resume if an interrupt or a full disk ends the block."""
    try:
        yield
    except (KeyboardInterrupt, RunError) as error:
        saved = [int(path.stem) for path in run.list_checkpoints()]
        progress = f"{max(saved, default=0)} of {epochs} epochs"
        if isinstance(error, KeyboardInterrupt):
            print(
                f"\nStopped after {progress}. Resume with the same command and --resume (in "
                f"Python: resume=True); the run folder is {run.path}",
                file=sys.stderr,
            )
        elif isinstance(error.__cause__, OSError):
            raise RunError(
                f"{error}. {progress} are saved; resume with --resume (in Python: resume=True)"
            ) from error
        raise


def _can_resume(run: Run) -> bool:
    """Delete what a killed process left, and tell if there is a run to resume."""
    for folder in (run.path, run.path / "checkpoint"):
        remove_leftovers(folder)
    return _has_manifest(run)


def _has_manifest(run: Run) -> bool:
    return (run.path / "manifest.json").exists()


def _prepare_folder(run: Run, overwrite: bool) -> None:
    """Make sure that the folder is empty; delete a run in it if the user asked for it."""
    names = {path.name for path in run.path.iterdir()}
    if names <= {LOCK}:
        return
    if not overwrite:
        if not _has_manifest(run):
            raise RunError(
                f"{run.path} is not empty and not a run (it has no manifest.json); choose another "
                "folder"
            )
        raise RunError(
            f"{run.path} exists and is not empty; choose another folder, resume it (--resume) "
            "or replace it (--overwrite)"
        )
    if run.path.is_symlink():
        raise RunError(
            f"{run.path} is a symbolic link, expected a folder to replace; give its target"
        )
    delete_run(run.path)


def _merge_manifests(run: Run, now: dict[str, Any], precision: Precision) -> dict[str, Any]:
    """Return the manifest of the run to resume; that of a finished run as it is.

    Raises
    ------
    RunError
        The folder holds another run.

    Warns
    -----
    UserWarning
        The software or the machine has changed.
    """
    before = run.manifest
    _check_same_run(before, now, precision)
    if before.get("status") == "complete":
        return before
    merged = dict(now)
    for key in ("precision", "precision_reason", "earlier"):
        if key in before:
            merged[key] = before[key]
    changed = [key for key in MACHINE if before.get(key) != now[key]]
    if changed:
        old = {key: before.get(key) for key in changed}
        new = {key: now[key] for key in changed}
        merged["earlier"] = [*before.get("earlier", []), old]
        warnings.warn(
            f"the run was started with {old} and is resumed with {new}: its weights may differ in "
            "the last bits from those of an uninterrupted run",
            stacklevel=3,
        )
    return merged


def _check_same_run(before: dict[str, Any], now: dict[str, Any], precision: Precision) -> None:
    keys = IDENTITY
    if precision != "auto":
        keys = (*IDENTITY, "precision")
    for key in keys:
        old = before.get(key)
        new = now[key]
        if old == new:
            continue
        if isinstance(old, dict) and isinstance(new, dict):  # Show only what differs.
            differing = [name for name in {**old, **new} if old.get(name) != new.get(name)]
            old = {name: old.get(name) for name in differing}
            new = {name: new.get(name) for name in differing}
        raise RunError(
            f"cannot resume: the run was started with {key} {old}, now it is {new}; give the same "
            "settings, or another folder"
        )


def _describe_result(session: Session) -> dict[str, Any]:
    """Return the entries of the manifest about a finished training."""
    epochs = len(session.rows)
    training_seconds = session.seconds - session.validation_seconds
    return {
        "status": "complete",
        "epochs": epochs,
        "best_epoch": best_epoch(session.rows),
        "kept_epoch": session.kept_epoch,
        "wall_time_s": round(session.seconds, 1),
        "images_per_second": round(len(session.parts.train) * epochs / training_seconds, 1),
        "weights_sha256": weights_sha256(session.kept),
    }
