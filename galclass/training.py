"""Recipes, and the training loop that follows them into a run folder."""

import hashlib
import json
import math
import os
import platform
import shutil
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike
from tqdm import tqdm

from . import __version__
from ._tensorflow import keras, tf
from ._types import PathLike, Precision, Source
from .augmentation import augment, draw_warps
from .evaluation import predict_proba
from .galaxy10 import CLASS_NAMES, DataError, check_images, check_labels, split
from .model import build_cnn, choose_precision, describe_device
from .optimizer import Muon
from .runs import (
    Run,
    RunError,
    load_run,
    remove_leftovers,
    weights_sha256,
    whole_file,
    write_history,
    write_json,
    write_npz,
)
from .sources import describe_arrays


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How the network is trained.

    Parameters
    ----------
    epochs : int
    batch_size : int, default 64
    optimizer : {"adam", "muon"}
        ``"muon"`` makes the updates of kernels orthogonal, see
        :class:`galclass.optimizer.Muon`.
    learning_rate : float, default 0.001
        Of the optimiser, or the peak of the schedule.
    schedule : {"constant", "cosine"}
        ``"cosine"`` falls to zero at the last epoch (Loshchilov & Hutter 2017, arXiv 1608.03983).
    warmup_epochs : float, default 0
        Linear rise of the learning rate from zero.
    l2 : float, default 0
        L2 penalty on every kernel but the output's.
    weight_decay : float, default 0
        Decoupled weight decay on kernels (Loshchilov & Hutter 2019, arXiv 1711.05101).
    dropout, dense_dropout : float, default 0.5 and 0.3
        Dropped fractions, see :func:`galclass.build_cnn`; the published ones by default.
    label_smoothing : float, default 0
        Weight of the uniform distribution in the target (Szegedy et al. 2016, arXiv 1512.00567).
    gradient_clip : float, optional
        Largest global norm of the gradient.
    ema : float, default 0
        Decay, a step, of the exponential moving average of the weights, which is what is
        validated and kept; 0: none.
    symmetries, rotation, zoom, shift, brightness
        Augmentation, see :func:`galclass.augmentation.draw_warps` and
        :func:`galclass.augmentation.augment`.
    patience : int, optional
        Epochs without a better validation accuracy after which training stops.
    symmetric_prediction : bool, default False
        Whether evaluation averages over the eight flips and quarter turns.

    Raises
    ------
    ValueError
        A number out of range, or an unknown schedule.

    Examples
    --------
    >>> from dataclasses import replace
    >>> import galclass
    >>> own = galclass.Recipe(epochs=20, schedule="cosine", warmup_epochs=1, symmetries=True)
    >>> own.learning_rate
    0.001
    >>> replace(galclass.RECIPES["default"], brightness=0.1).brightness
    0.1

    ``galclass.train(images, labels, recipe=own, out="runs/own")`` follows it.
    """

    epochs: int
    batch_size: int = 64
    optimizer: str = "adam"
    learning_rate: float = 0.001
    schedule: str = "constant"
    warmup_epochs: float = 0.0
    l2: float = 0.0
    weight_decay: float = 0.0
    dropout: float = 0.5
    dense_dropout: float = 0.3
    label_smoothing: float = 0.0
    gradient_clip: float | None = None
    ema: float = 0.0
    symmetries: bool = False
    rotation: float = 0.0
    zoom: float = 0.0
    shift: float = 0.0
    brightness: float = 0.0
    patience: int | None = None
    symmetric_prediction: bool = False

    def __post_init__(self):
        for name in ("epochs", "batch_size", "patience"):
            value = getattr(self, name)
            if not isinstance(value, int) and not (name == "patience" and value is None):
                raise ValueError(f"{name}={value!r}, expected an integer")
        if self.patience is not None and self.patience < 1:
            raise ValueError(f"patience={self.patience}, expected 1 or more, or None")
        if self.epochs < 1 or self.batch_size < 1:
            raise ValueError(
                f"epochs={self.epochs}, batch_size={self.batch_size}: expected 1 or more"
            )
        if self.schedule not in ("constant", "cosine"):
            raise ValueError(f"schedule {self.schedule!r}, expected 'constant' or 'cosine'")
        if self.optimizer not in ("adam", "muon"):
            raise ValueError(f"optimizer {self.optimizer!r}, expected 'adam' or 'muon'")
        if not 0 < self.learning_rate < math.inf:
            raise ValueError(f"learning_rate={self.learning_rate}, expected more than 0")
        if self.gradient_clip is not None and not self.gradient_clip > 0:
            raise ValueError(f"gradient_clip={self.gradient_clip}, expected more than 0, or None")
        for name in ("dropout", "dense_dropout", "label_smoothing", "ema"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}, expected 0 <= {name} < 1")
        sizes = ("warmup_epochs", "l2", "weight_decay", "rotation", "zoom", "shift", "brightness")
        for name in sizes:
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name}={getattr(self, name)}, expected 0 or more")


RECIPES = {
    # To the letter of the published notebook.
    "published": Recipe(epochs=200, l2=0.001),
    "default": Recipe(
        epochs=30,
        batch_size=128,
        optimizer="muon",
        learning_rate=0.002,
        schedule="cosine",
        warmup_epochs=2,
        weight_decay=0.05,
        dropout=0.25,
        dense_dropout=0.1,
        label_smoothing=0.05,
        ema=0.998,
        symmetries=True,
        symmetric_prediction=True,
    ),
}


def train(
    images: ArrayLike,
    labels: ArrayLike,
    *,
    out: PathLike,
    recipe: str | Recipe = "default",
    epochs: int | None = None,
    seed: int = 0,
    split_protocol: str = "stratified",
    precision: Precision = "auto",
    source: Source | None = None,
    start: Run | PathLike | None = None,
    resume: bool = False,
    overwrite: bool = False,
    verbose: bool = True,
    on_epoch: Callable[[list[dict[str, float]]], None] | None = None,
) -> Run:
    """Train the network into a run folder.

    Parameters
    ----------
    images : ndarray of uint8, shape (N, 69, 69, 3)
    labels : ndarray of int, shape (N,)
        Classes 0 to 9.
    out : path-like
        The run folder.
    recipe : str or Recipe, default "default"
        A name in ``RECIPES`` or a recipe of your own.
    epochs : int, optional
        Instead of the recipe's.
    seed : int, default 0
        Seed of weights, order, dropout and augmentation: the same seed gives the same weights, bit
        for bit, on the same machine. The split does not depend on it.
    split_protocol : {"stratified", "published"} or str
        See :func:`galclass.split`.
    precision : {"auto", "float32", "bfloat16", "float16"}
        See :func:`galclass.model.choose_precision`.
    source : dict, optional
        The origin of the galaxies, from :func:`galclass.load_data`. Without it the manifest says
        that they came as arrays.
    start : Run or path-like, optional
        A finished run whose best weights training starts from (fine-tuning). Default: random
        weights.
    resume : bool, default False
        Go on with the run in `out`, if there is one; a finished one is returned as it is.
    overwrite : bool, default False
        Delete a run in `out` first.
    verbose : bool, default True
        A line an epoch, and a progress bar on terminals.
    on_epoch : callable, optional
        Called after each epoch with the history up to it, a list of dicts.

    Returns
    -------
    galclass.runs.Run

    Raises
    ------
    galclass.galaxy10.DataError
        Images or labels in another form.
    ValueError
        Unknown recipe, split or precision, or a number out of range.
    RunError
        `out` is in the way, holds another run than the one to resume, or cannot be written;
        `start` is no finished run.

    Examples
    --------
    One epoch on a few simulated galaxies, to see that all works:

    >>> import galclass
    >>> images, labels, source = galclass.load_data("simulated", n=200)
    >>> run = galclass.train(
    ...     images, labels, source=source, out="runs/tried", epochs=1, verbose=False
    ... )
    >>> run.manifest["status"], len(run.history["val_accuracy"])
    ('complete', 1)
    """
    out = Path(out).expanduser()
    images = check_images(images)
    labels = check_labels(labels, len(images))
    if labels.min() == labels.max():
        raise DataError(
            f"all {len(labels)} galaxies are of class {labels[0]}, expected two classes or more"
        )
    if source is not None and not {"kind", "name", "sha256", "galaxies"} <= set(source):
        raise ValueError(f"source={source!r}, expected the source that load_data gives, or None")
    if isinstance(recipe, str):
        if recipe not in RECIPES:
            raise ValueError(f"unknown recipe {recipe!r}, expected one of {sorted(RECIPES)}")
        name, recipe = recipe, RECIPES[recipe]
    elif isinstance(recipe, Recipe):
        name = "custom"
    else:
        raise ValueError(f"recipe={recipe!r}, expected a Recipe or one of {sorted(RECIPES)}")
    if epochs is not None:
        recipe = replace(recipe, epochs=epochs)
    if not (isinstance(seed, int) and seed >= 0):
        raise ValueError(f"seed={seed!r}, expected an integer of 0 or more")
    start_weights, start_record = _start(start)
    parts, split_record = describe_split(labels, split_protocol)
    network = {"classes": len(CLASS_NAMES), "l2": recipe.l2}
    network.update(dropout=recipe.dropout, dense_dropout=recipe.dense_dropout)
    manifest = {
        "galclass": __version__,
        "status": "training",
        "recipe_name": name,
        "recipe": asdict(recipe),
        "seed": seed,
        "source": source or describe_arrays(images, labels),
        "split": split_record,
        "network": network,
        "start": start_record,
        "precision": choose_precision(precision),
        "device": describe_device(),
        # Sums are split among them, so that the last bits of the weights depend on their number.
        "threads": count_threads(),
        "class_counts": np.bincount(labels, minlength=len(CLASS_NAMES)).tolist(),
        "versions": _versions(),
    }
    if resume:
        for folder in (out, out / "checkpoint"):
            remove_leftovers(folder)
    if resume and (out / "manifest.json").exists():
        before = load_run(out)
        _refuse_another_run(before.manifest, manifest, precision)
        if before.manifest["status"] == "complete":
            shutil.rmtree(out / "checkpoint", ignore_errors=True)
            return before
        manifest = {**manifest, "precision": before.manifest["precision"]}
        manifest = _add_earlier_versions(manifest, before.manifest)
    elif out.exists() and (not out.is_dir() or any(out.iterdir())):
        if not overwrite:
            raise RunError(
                f"{out} exists and is not empty; choose another folder, resume it (--resume) "
                "or replace it (--overwrite)"
            )
        load_run(out)  # Deletes nothing but a run.
        shutil.rmtree(out)
    write_json(out / "manifest.json", manifest)
    rows = []
    try:
        _write_examples(out, images, labels, parts.train)
        tf.config.experimental.enable_op_determinism()
        session = _Session(recipe, network, seed, manifest["precision"], parts, images, labels)
        session.start(start_weights)
        rows, seconds = session.restore(out / "checkpoint")
        if rows:
            # The checkpoint may be newer than these files, or older.
            session.save_best(out / "model.keras")
            write_history(out / "history.csv", rows)
        while len(rows) < recipe.epochs and not _out_of_patience(rows, recipe.patience):
            begun = time.perf_counter()
            rows.append(session.run_epoch(len(rows) + 1, verbose))
            seconds += time.perf_counter() - begun
            better = len(rows) == best_epoch(rows)
            if better:
                session.keep_best()
            # Before the files that can be made from it.
            session.checkpoint(out / "checkpoint", rows, seconds)
            if better:
                session.save_best(out / "model.keras")
            write_history(out / "history.csv", rows)
            if on_epoch is not None:
                on_epoch(rows)
            if verbose:
                _report(rows, recipe.epochs, len(parts.train), seconds / len(rows))
        last = session.save_last(out / "last.keras")
    except KeyboardInterrupt:
        print(
            f"\nStopped after {len(rows)} of {recipe.epochs} epochs. Go on with the same command "
            f"and --resume (in Python: resume=True); the run folder is {out}",
            file=sys.stderr,
        )
        raise
    except RunError as error:
        if not isinstance(error.__cause__, OSError):
            raise
        raise RunError(
            f"{error}, with --resume (in Python: resume=True); {len(rows)} of {recipe.epochs} "
            "epochs are done"
        ) from error
    manifest.update(
        status="complete",
        epochs=len(rows),
        best_epoch=best_epoch(rows),
        wall_time_s=round(seconds, 1),
        images_per_second=round(len(parts.train) * len(rows) / session.step_seconds(seconds), 1),
        weights_sha256={"model": weights_sha256(session.best), "last": weights_sha256(last)},
    )
    write_json(out / "manifest.json", manifest)
    shutil.rmtree(out / "checkpoint", ignore_errors=True)
    return Run(out)


def describe_split(labels, protocol):
    """A split, and its record for the manifest: protocol, sizes and a hash of the indices."""
    parts = split(labels, protocol)
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.astype("<i8").tobytes())
    digest.update(labels.tobytes())
    sizes = {f"{name}_size": len(part) for name, part in parts._asdict().items()}
    return parts, {"protocol": protocol, **sizes, "sha256": digest.hexdigest()}


def _start(run):
    """Weights to start from, and their record for the manifest."""
    if run is None:
        return [], None
    run = run if isinstance(run, Run) else load_run(run)
    if run.manifest["status"] != "complete":
        raise RunError(f"{run.path} is unfinished, expected a finished run; resume it first")
    weights = [variable.numpy() for variable in run.load_model().trainable_variables]
    keys = ("recipe_name", "seed", "source")
    record = {key: run.manifest[key] for key in keys}
    return weights, {**record, "weights_sha256": weights_sha256(weights)}


def best_epoch(rows):
    """Number, from 1, of the epoch with the highest validation accuracy, then lowest loss."""
    best = max(rows, key=lambda row: (row["val_accuracy"], -row["val_loss"]))
    return best["epoch"]


def _out_of_patience(rows, patience):
    return bool(rows and patience and len(rows) - best_epoch(rows) >= patience)


class _Session:
    """The state of one training: networks, optimiser, averages."""

    def __init__(self, recipe, network, seed, precision, parts, images, labels):
        self.recipe, self.seed, self.parts = recipe, seed, parts
        self.images, self.labels = images, labels
        self.steps = math.ceil(len(parts.train) / recipe.batch_size)
        self.model = build_cnn(**network, seed=seed, precision=precision)
        # Validated and saved: the averaged weights where the recipe averages, else the same.
        self.kept = build_cnn(**network, seed=seed, precision=precision)
        self.saved = build_cnn(**network, seed=seed)
        self.optimizer = _optimizer(recipe, self.steps, precision)
        self.optimizer.build(self.model.trainable_variables)
        self.validate_seconds = 0.0
        self.best = []
        self.warps = draw_warps(
            images.shape[1],
            np.random.default_rng(seed),
            rotation=recipe.rotation,
            zoom=recipe.zoom,
            shift=recipe.shift,
        )
        self.totals = tf.Variable(tf.zeros(2))
        self.step = tf.function(self._step, jit_compile=False, reduce_retracing=True)

    def start(self, weights):
        """Start from given weights instead of random ones."""
        for model in (self.model, self.kept):
            for variable, array in zip(model.trainable_variables, weights, strict=bool(weights)):
                variable.assign(array)

    def _step(self, images, labels):
        recipe = self.recipe
        variables = self.model.trainable_variables
        with tf.GradientTape() as tape:
            probabilities = self.model(images, training=True)
            targets = tf.one_hot(labels, probabilities.shape[1])
            loss = tf.reduce_mean(
                keras.losses.categorical_crossentropy(
                    targets, probabilities, label_smoothing=recipe.label_smoothing
                )
            ) + sum(self.model.losses, 0.0)
            scaled = self.optimizer.scale_loss(loss)
        self.optimizer.apply(tape.gradient(scaled, variables), variables)
        if recipe.ema:
            steps = tf.cast(self.optimizer.iterations, tf.float32)
            # Short memory at first, so that the random start is forgotten.
            decay = tf.minimum(recipe.ema, (1 + steps) / (10 + steps))
            for mean, variable in zip(self.kept.trainable_variables, variables, strict=True):
                mean.assign_sub((1 - decay) * (mean - variable))
        n = tf.cast(tf.shape(labels)[0], tf.float32)
        right = tf.cast(tf.argmax(probabilities, 1), labels.dtype) == labels
        self.totals.assign_add(tf.stack([n * loss, tf.reduce_sum(tf.cast(right, tf.float32))]))

    def run_epoch(self, epoch, verbose):
        """Train an epoch and validate; all randomness is a function of (seed, epoch)."""
        rng = np.random.default_rng([self.seed, epoch])
        order = rng.permutation(self.parts.train)
        for layer in self.model.layers:
            if isinstance(layer, keras.layers.Dropout):
                layer.seed_generator.state.assign([rng.integers(2**31), 0])
        self.totals.assign([0, 0])
        recipe, size = self.recipe, self.recipe.batch_size
        starts = tqdm(
            range(0, len(order), size),
            desc=f"epoch {epoch}/{recipe.epochs}",
            unit_scale=size,
            unit=" images",
            leave=False,
            disable=not (verbose and sys.stdout.isatty()),
            file=sys.stdout,
        )
        for start in starts:
            batch = order[start : start + size]
            self.step(*self.batch(batch, rng))
            done = start // size + 1
            if not starts.disable and done % 10 == 0:
                loss, right = self.totals.numpy() / (done * size)
                starts.set_postfix(loss=f"{loss:.3f}", accuracy=f"{right:.3f}")
        loss, right = (self.totals.numpy() / len(order)).tolist()
        start = time.perf_counter()
        val_loss, val_accuracy = self._validate()
        self.validate_seconds += time.perf_counter() - start
        if not math.isfinite(loss + val_loss):
            raise RunError(
                f"training diverged in epoch {epoch} (loss {loss}, validation loss {val_loss}); "
                "lower the learning rate or clip the gradient, in a new folder"
            )
        return {
            "epoch": epoch,
            "loss": loss,
            "accuracy": right,
            "val_loss": val_loss,
            "val_accuracy": val_accuracy,
        }

    def batch(self, indices, rng):
        """Augmented pictures and labels, as tensors, for which the step is traced but once."""
        images = augment(
            self.images[indices],
            rng,
            warps=self.warps,
            symmetries=self.recipe.symmetries,
            brightness=self.recipe.brightness,
        )
        return tf.constant(images), tf.constant(self.labels[indices], tf.int32)

    def _validate(self):
        if not self.recipe.ema:
            _copy(self.model, self.kept)
        part = self.parts.validation
        probabilities = predict_proba(self.kept, self.images, part)
        labels = self.labels[part]
        chosen = np.clip(probabilities[np.arange(len(part)), labels], 1e-7, 1)
        penalty = float(sum(self.kept.losses, 0.0))
        right = probabilities.argmax(axis=1) == labels
        return float(-np.log(chosen).mean()) + penalty, float(right.mean())

    def step_seconds(self, seconds):
        """Seconds of training alone, without validation."""
        return max(seconds - self.validate_seconds, 1e-9)

    def keep_best(self):
        """Remember the validated weights as those of the best epoch."""
        self.best = [variable.numpy() for variable in self.kept.trainable_variables]

    def save_best(self, path):
        """Write the best epoch's weights as a float32 network that any machine can load."""
        self._save(path, self.best)

    def save_last(self, path):
        """Write the last epoch's validated weights in the same way, and return them."""
        last = [variable.numpy() for variable in self.kept.trainable_variables]
        self._save(path, last)
        return last

    def _save(self, path, arrays):
        for variable, array in zip(self.saved.trainable_variables, arrays, strict=True):
            variable.assign(array)
        with whole_file(path) as temporary:
            self.saved.save(temporary)

    def _variables(self):
        return [
            *self.model.trainable_variables,
            *self.kept.trainable_variables,
            *self.optimizer.variables,
        ]

    def checkpoint(self, folder, rows, seconds):
        """Write all that resuming needs into one file; the one before is kept."""
        arrays = {f"v{i}": v.numpy() for i, v in enumerate(self._variables())}
        best = {f"b{i}": array for i, array in enumerate(self.best)}
        state = {"rows": rows, "seconds": seconds, "validate_seconds": self.validate_seconds}
        write_npz(folder / f"{len(rows):05d}.npz", state=json.dumps(state), **arrays, **best)
        for path in folder.glob("[0-9]*.npz"):
            # A later one was damaged, and would push whole ones out.
            if int(path.stem) not in (len(rows), len(rows) - 1):
                path.unlink()

    def restore(self, folder):
        """Set the state from the newest whole checkpoint; rows of the history and seconds."""
        for path in sorted(folder.glob("[0-9]*.npz"), reverse=True):
            try:
                # Opened here, since NumPy leaves the file of a damaged archive open.
                with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
                    state = json.loads(str(file["state"]))
                    arrays = [file[f"v{i}"] for i in range(len(self._variables()))]
                    best = [file[f"b{i}"] for i in range(len(self.kept.trainable_variables))]
            except Exception as error:  # zipfile, zlib and numpy each raise their own kinds
                warnings.warn(
                    f"checkpoint {path.name} is damaged ({error}); going back to the one before "
                    "it, or to the start",
                    stacklevel=3,
                )
                continue
            for variable, array in zip(self._variables(), arrays, strict=True):
                variable.assign(array)
            self.best = best
            self.validate_seconds = state["validate_seconds"]
            return state["rows"], state["seconds"]
        return [], 0.0


def _optimizer(recipe, steps, precision):
    rate = recipe.learning_rate
    if recipe.schedule == "cosine":
        warmup = round(recipe.warmup_epochs * steps)
        rate = keras.optimizers.schedules.CosineDecay(
            0.0 if warmup else rate,
            max(recipe.epochs * steps - warmup, 1),
            warmup_target=rate if warmup else None,
            warmup_steps=warmup,
        )
    settings = {"weight_decay": recipe.weight_decay, "global_clipnorm": recipe.gradient_clip}
    if recipe.optimizer == "muon":
        optimizer = Muon(rate, exclude="classes", **settings)
    elif recipe.weight_decay:
        optimizer = keras.optimizers.AdamW(rate, **settings)
    else:
        optimizer = keras.optimizers.Adam(rate, global_clipnorm=recipe.gradient_clip)
    if recipe.weight_decay:
        optimizer.exclude_from_weight_decay(var_names=["bias"])
    if precision == "float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    return optimizer


def _copy(source, target):
    for old, new in zip(target.trainable_variables, source.trainable_variables, strict=True):
        old.assign(new)


def _write_examples(out, images, labels, train):
    """One training picture of each class, for figures that need no data file."""
    chosen = [next((i for i in train if labels[i] == c), None) for c in range(len(CLASS_NAMES))]
    chosen = np.array([i for i in chosen if i is not None])
    write_npz(out / "examples.npz", images=images[chosen], labels=labels[chosen])


def _add_earlier_versions(now, before):
    """The manifest with what the epochs up to here ran on, where that was something else."""
    keys = ("galclass", "versions", "device", "threads")
    earlier = {key: before[key] for key in keys if key in before and before[key] != now[key]}
    record = before.get("earlier", [])
    if earlier:
        current = {key: now[key] for key in earlier}
        warnings.warn(
            f"the run was started with {earlier} and goes on with {current}: its weights may "
            "differ in the last bits from those of an unbroken run",
            stacklevel=3,
        )
        record = [*record, earlier]
    return {**now, "earlier": record} if record else now


def _refuse_another_run(before, now, precision):
    keys = ["recipe", "seed", "split", "source", "network", "start"]
    if precision != "auto":
        keys.append("precision")
    for key in keys:
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


def _report(rows, epochs, images, seconds):
    row = rows[-1]
    left = (epochs - row["epoch"]) * seconds
    print(
        f"epoch {row['epoch']:3d}/{epochs}  loss {row['loss']:.3f}  accuracy {row['accuracy']:.3f}"
        f"  validation {row['val_loss']:.3f}  {row['val_accuracy']:.3f}"
        f"{' *' if best_epoch(rows) == row['epoch'] else '  '}"
        f"  {images / seconds:.0f} images/s  {left / 60:.1f} min left",
        flush=True,
    )


def count_threads():
    """Threads of one operation: what TensorFlow was told, else the CPUs of this process."""
    variable = os.environ.get("TF_NUM_INTRAOP_THREADS", "")
    told = tf.config.threading.get_intra_op_parallelism_threads()
    told = told or (int(variable) if variable.isdigit() else 0)
    allowed = getattr(os, "sched_getaffinity", lambda _: range(os.cpu_count() or 1))(0)
    return told or len(allowed)


def _versions():
    return {
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "numpy": np.__version__,
    }
