"""Train the network into a run folder."""

import contextlib
import os
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import __version__
from ..data.arrays import (
    Images,
    Labels,
    check_class_names,
    check_images,
    check_integer,
    check_labels,
)
from ..data.dataset import Dataset, Origin
from ..data.galaxy10 import CLASS_NAMES
from ..data.split import Split, split_record
from ..errors import DataError, ParameterError, RunError
from ..files import LOCK, PathLike, locked, remove_leftovers, write_json, write_npz
from ..network import hardware
from ..network.symmetry import hash_images
from ..network.unusual import fit_usual
from ..run import (
    Run,
    as_run,
    best_epoch,
    delete_run,
    load_pretrained,
    load_run,
    weights_sha256,
)
from .recipe import RECIPES, Recipe
from .session import Session

STARTS: dict[Any, Any] = {"pretrained": "galaxy10", "simulated": "simulated"}
RATES = ("l2", "dropout", "dense_dropout")  # of a recipe, which belong to its network
# What makes a run this one, and what it ran on.
IDENTITY = ("recipe", "seed", "split", "origin", "network", "start")
KEPT = ("precision", "precision_reason", "earlier")  # from before, where a run is resumed
MACHINE = ("galclass", "versions", "device", "threads")


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
    precision: hardware.Precision = "auto",
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
        Square, of 32 to 256 pixels; a single channel is repeated.
    labels : ndarray of int, shape (N,)
        Classes, from 0.
    origin : Origin, optional
        Of the galaxies, from :func:`galclass.load_data`. Without it the manifest records that they
        came as arrays.
    out : path-like
        The run folder.
    class_names : sequence of str, optional
        Names of the classes, two or more. Default: those of `origin`, else ``CLASS_NAMES``.
    recipe : str or Recipe, default "default"
        A name in ``RECIPES`` or a recipe of your own.
    epochs : int, optional
        Instead of the recipe's.
    seed : int, default 0
        Seed of weights, order, dropout and augmentation: the same seed gives the same weights, bit
        for bit, on the same machine. The split does not depend on it.
    split : {"stratified", "published"} or str
        See :func:`galclass.split`.
    precision : {"auto", "float32", "bfloat16", "float16"}
        See :func:`galclass.network.hardware.choose_precision`.
    start : {"simulated", "pretrained"}, Run or path-like, optional
        What training starts from (fine-tuning), in place of random weights: the network that comes
        with galclass and was trained on simulated galaxies alone, the one trained on Galaxy10, or
        the best weights of a finished run. Layers of another shape, and the last one where the
        classes are others, start from random weights. No galaxy of the test set may be one that it
        was trained or validated on.
    resume : bool, default False
        Resume the run in `out`, if there is one; a finished one is returned as it is.
    overwrite : bool, default False
        Delete a run in `out` first.
    verbose : bool, default True
        A line an epoch, and a progress bar on terminals.
    on_epoch : callable, optional
        Called after each epoch with the history up to it, a list of dicts.

    Returns
    -------
    galclass.run.Run
        Its history has the loss (cross-entropy, and the recipe's penalties) and the accuracy of
        training and validation after each epoch.

    Raises
    ------
    DataError
        Images or labels in another form.
    ParameterError
        Unknown recipe, split or precision, or a number out of range.
    RunError
        `out` already exists, holds another run than the one to resume, is in use by another
        process, or cannot be written; `start` is no finished run, or was trained on galaxies of
        the test set; or training diverged.

    Warns
    -----
    UserWarning
        `start` was trained on Galaxy10, and these may be the same galaxies in other pixels, so
        that the test figures are not independent; the manifest and the model card say so, too.

    Examples
    --------
    One epoch on a few simulated galaxies, to see that all works:

    >>> import galclass
    >>> data = galclass.load_data("simulated", n=200)
    >>> run = galclass.train(*data, out="runs/tried", epochs=1, verbose=False)
    >>> run.manifest["status"], len(run.history["val_accuracy"])
    ('complete', 1)
    """
    out = _check_out(out, start)
    images, labels, origin = _check_data(images, labels, origin, class_names)
    name, recipe = _check_recipe(recipe, epochs)
    parts, split_of = split_record(labels, split)
    hashes = hash_images(images)
    weights, seen, started = _read_start(start, origin, hashes, parts)
    manifest = {
        "galclass": __version__,
        "status": "training",
        "recipe_name": name,
        "recipe": asdict(recipe),
        "seed": check_integer(seed, "seed", 0),
        "origin": origin.record(),
        "split": split_of,
        "network": {
            "input_shape": list(images.shape[1:]),
            "classes": len(origin.class_names),
            **{key: getattr(recipe, key) for key in RATES},
        },
        "start": started,
        "class_counts": np.bincount(labels, minlength=len(origin.class_names)).tolist(),
        **_machine(precision),
    }
    with locked(out), _deterministic(), _told_how_to_resume(out, recipe.epochs):
        if _open_folder(out, manifest, precision, resume, overwrite):
            return load_run(out)
        write_npz(out / "seen.npz", hashes=seen)
        write_npz(out / "usual.npz", **fit_usual(images[parts.train], images[parts.validation]))
        _write_examples(out, images, labels, parts.train)
        settings = (recipe, manifest["network"], manifest["seed"], manifest["precision"])
        session = Session(*settings, parts, images, labels)
        session.start(weights)
        session.restore(out)
        while len(session.rows) < recipe.epochs:
            session.run_epoch(verbose)
            session.save(out)
            if on_epoch is not None:
                on_epoch(session.rows)
            if verbose:
                session.report()
        _close_folder(out, manifest, session)
    return Run(out)


def _machine(precision: hardware.Precision) -> dict[str, Any]:
    """What the training runs on, for the manifest."""
    return {
        "precision": hardware.choose_precision(precision),
        "precision_reason": hardware.explain_precision(precision),
        "device": hardware.describe_device(),
        # Sums are split among them, so that the last bits of the weights depend on their number.
        "threads": hardware.count_threads(),
        "versions": hardware.versions(),
    }


def _check_out(out: PathLike, start: Run | PathLike | None) -> Path:
    if not os.fspath(out):
        raise ParameterError(f"out={out!r}, expected the path of a folder")
    path = Path(out).expanduser()
    if start is not None and start not in STARTS and as_run(start).path.resolve() == path.resolve():
        raise ParameterError(f"out and start are both {path}; give the new run another folder")
    return path


def _check_recipe(recipe: str | Recipe, epochs: int | None) -> tuple[str, Recipe]:
    name = recipe if isinstance(recipe, str) else "custom"
    recipe = RECIPES.get(recipe, recipe) if isinstance(recipe, str) else recipe
    if not isinstance(recipe, Recipe):
        raise ParameterError(f"recipe={recipe!r}, expected a Recipe or one of {sorted(RECIPES)}")
    return name, recipe if epochs is None else replace(recipe, epochs=epochs)


def _check_data(
    images: ArrayLike, labels: ArrayLike, origin: Origin | None, names: Sequence[str] | None
) -> Dataset:
    """Galaxies to train on; the origin that is given gets their hash and number."""
    if not isinstance(origin, Origin | None):
        raise ParameterError(f"origin={origin!r}, expected the one that load_data gives, or None")
    if names is None:
        names = origin.class_names if origin else CLASS_NAMES
    images = check_images(images)
    labels = check_labels(labels, len(images), classes=len(check_class_names(names)))
    if labels.min() == labels.max():
        raise DataError(f"all galaxies are of class {labels[0]}, expected two classes or more")
    found = Origin.of_arrays(images, labels, names)
    known = {name: getattr(found, name) for name in ("sha256", "galaxies", "class_names")}
    origin = replace(origin or found, **known)
    return Dataset(images, labels, origin)


class Start(NamedTuple):
    """Weights to start from, by path; hashes of what is then seen; and the manifest's record."""

    weights: dict[str, NDArray[np.float32]]
    seen: NDArray[np.uint64]
    record: dict[str, Any] | None


def _read_start(
    run: Run | PathLike | None, origin: Origin, hashes: NDArray[np.uint64], parts: Split
) -> Start:
    seen = hashes[np.concatenate([parts.train, parts.validation])]
    if run is None:
        return Start({}, np.unique(seen), None)
    named = isinstance(run, str) and run in STARTS
    run = load_pretrained(STARTS[run]) if named else as_run(run)
    run.require_complete()
    if leaked := int(np.isin(hashes[parts.test], run.seen).sum()):
        raise RunError(
            f"{run.path} was trained with {leaked:,} of the {len(parts.test):,} test galaxies, "
            f"expected none; give its split ({run.manifest['split']['protocol']!r}) if the "
            "galaxies are the same, else other galaxies"
        )
    variables = run.load_model().trainable_variables
    weights = {variable.path: variable.numpy() for variable in variables}
    digest = weights_sha256(weights.values())
    if tuple(run.class_names) != tuple(origin.class_names):  # The outputs mean something else.
        weights = {path: weights[path] for path in weights if "/classes/" not in path}
    keys = ("recipe_name", "seed", "origin", "split", "start")
    record = {key: run.manifest.get(key) for key in keys}
    record |= {"weights_sha256": digest}
    record |= {"independent": run.is_independent(origin, hashes)}
    if not record["independent"]:
        warnings.warn(
            f"{run.path.name} was trained on Galaxy10, and {origin.name} may hold the same "
            "galaxies in other pixels: the test figures are then not independent",
            stacklevel=3,
        )
    return Start(weights, np.union1d(seen, run.seen), record)


def _write_examples(out: Path, images: Images, labels: Labels, train: NDArray[np.int64]) -> None:
    """One training image of each class, for figures that need no data file."""
    shown = train[np.unique(labels[train], return_index=True)[1]]
    write_npz(out / "examples.npz", images=images[shown], labels=labels[shown])


@contextlib.contextmanager
def _deterministic() -> Iterator[None]:
    """TensorFlow's deterministic operations, for the time of the block."""
    from tensorflow.python.framework import config

    before = config.is_op_determinism_enabled()
    config.enable_op_determinism()
    try:
        yield
    finally:
        if not before:
            config.disable_op_determinism()


def _open_folder(
    out: Path, manifest: dict[str, Any], precision: str, resume: bool, overwrite: bool
) -> bool:
    """Make the run folder, or find the run to resume in it; whether that one is complete."""
    if resume:
        for folder in (out, out / "checkpoint"):
            remove_leftovers(folder)
    if resume and (out / "manifest.json").exists():
        before = load_run(out).manifest
        _refuse_another_run(before, manifest, precision)
        if before.get("status") == "complete":
            shutil.rmtree(out / "checkpoint", ignore_errors=True)
            return True
        manifest |= {key: before[key] for key in KEPT if key in before}
        if was := {key: before.get(key) for key in MACHINE if before.get(key) != manifest[key]}:
            manifest["earlier"] = [*before.get("earlier", []), was]
            warnings.warn(
                f"the run was started with {was} and is resumed with "
                f"{ {key: manifest[key] for key in was} }: its weights may differ in the last bits "
                "from those of an unbroken run",
                stacklevel=3,
            )
    elif {path.name for path in out.iterdir()} - {LOCK}:
        if not overwrite:
            raise RunError(
                f"{out} exists and is not empty; choose another folder, resume it (--resume) "
                "or replace it (--overwrite)"
            )
        if out.is_symlink():
            raise RunError(f"{out} is a symbolic link, expected a folder to replace; name that")
        delete_run(out)
    write_json(out / "manifest.json", manifest)
    return False


def _refuse_another_run(before: dict[str, Any], now: dict[str, Any], precision: str) -> None:
    for key in IDENTITY if precision == "auto" else (*IDENTITY, "precision"):
        old, new = before.get(key), now[key]
        if old == new:
            continue
        if isinstance(old, dict) and isinstance(new, dict):
            differing = [k for k in {**old, **new} if old.get(k) != new.get(k)]
            old, new = ({k: d.get(k) for k in differing} for d in (old, new))
        raise RunError(
            f"cannot resume: the run was started with {key} {old}, now it is {new}; "
            "give the same settings, or another folder"
        )


@contextlib.contextmanager
def _told_how_to_resume(out: Path, epochs: int) -> Iterator[None]:
    """Add to an interrupt, a full disk and the like what is saved and how to resume."""
    try:
        yield
    except (KeyboardInterrupt, RunError) as error:
        saved = [int(path.stem) for path in (out / "checkpoint").glob("[0-9]*.npz")]
        done = f"{max(saved, default=0)} of {epochs} epochs"
        if isinstance(error, KeyboardInterrupt):
            how = "Resume with the same command and --resume (in Python: resume=True)"
            print(f"\nStopped after {done}. {how}; the run folder is {out}", file=sys.stderr)
        elif isinstance(error.__cause__, OSError):
            how = "with --resume (in Python: resume=True)"
            raise RunError(f"{error}, {how}; {done} are saved") from error
        raise


def _close_folder(out: Path, manifest: dict[str, Any], session: Session) -> None:
    last = [variable.numpy() for variable in session.kept.trainable_variables]
    session.save_weights(out / "last.keras", last)
    trained = len(session.parts.train) * len(session.rows)
    manifest |= {
        "status": "complete",
        "epochs": len(session.rows),
        "best_epoch": best_epoch(session.rows),
        "wall_time_s": round(session.seconds, 1),
        "images_per_second": round(trained / (session.seconds - session.validate_seconds), 1),
        "weights_sha256": {"model": weights_sha256(session.best), "last": weights_sha256(last)},
    }
    write_json(out / "manifest.json", manifest)
    shutil.rmtree(out / "checkpoint", ignore_errors=True)
