"""The state of one training: networks, optimizer, history and checkpoint."""

import json
import math
import sys
import time
import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ..data.arrays import Images, Labels
from ..data.split import Split
from ..errors import RunError
from ..files import read_npz, whole_file, write_npz
from ..network._tensorflow import keras, tf
from ..network.cnn import build_cnn
from ..network.hardware import Precision
from ..network.probabilities import predict_proba
from ..network.symmetry import apply_symmetry
from ..run import best_epoch, write_history
from .muon import Muon
from .recipe import Recipe


class Session:
    """One training of a network on the galaxies of a split.

    Parameters
    ----------
    recipe : Recipe
    network : dict
        For :func:`galclass.build_cnn`.
    seed : int
    precision : str
    parts : Split
    images, labels : ndarray
    """

    def __init__(
        self,
        recipe: Recipe,
        network: dict[str, Any],
        seed: int,
        precision: Precision,
        parts: Split,
        images: Images,
        labels: Labels,
    ) -> None:
        self.recipe, self.seed, self.parts = recipe, seed, parts
        self.images, self.labels = images, labels
        self.rows: list[dict[str, float]] = []
        self.best: list[NDArray[np.float32]] = []
        self.seconds = self.validate_seconds = 0.0
        self.model = build_cnn(**network, seed=seed, precision=precision)
        # Validated and saved: the averaged weights where the recipe averages, else the same.
        self.kept = build_cnn(**network, seed=seed, precision=precision)
        self.saved = build_cnn(**network, seed=seed)
        steps = math.ceil(len(parts.train) / recipe.batch_size)
        self.optimizer = _optimizer(recipe, steps, precision)
        self.optimizer.build(self.model.trainable_variables)
        self.variables = [
            *self.model.trainable_variables,
            *self.kept.trainable_variables,
            *self.optimizer.variables,
        ]
        self.totals = tf.Variable(tf.zeros(2))
        # A function of its own: of one for all, TensorFlow warns that it is traced anew.
        self.step = tf.function(partial(self._step), jit_compile=False, reduce_retracing=True)

    def start(self, weights: Mapping[str, NDArray[np.float32]]) -> None:
        """Start from given weights, by the paths of variables, where one of this shape is given."""
        for variable in (*self.model.trainable_variables, *self.kept.trainable_variables):
            given = weights.get(variable.path)
            if given is not None and given.shape == tuple(variable.shape):
                variable.assign(given)

    def _step(self, images: tf.Tensor, labels: tf.Tensor) -> None:
        recipe, variables = self.recipe, self.model.trainable_variables
        cross_entropy = keras.losses.categorical_crossentropy
        with tf.GradientTape() as tape:
            probabilities = self.model(images, training=True)
            targets = tf.one_hot(labels, probabilities.shape[1])
            smoothed = cross_entropy(targets, probabilities, label_smoothing=recipe.label_smoothing)
            penalty = sum(self.model.losses, 0.0)
            loss = self.optimizer.scale_loss(tf.reduce_mean(smoothed) + penalty)
        self.optimizer.apply(tape.gradient(loss, variables), variables)
        # Reported as in validation, without the smoothing of the labels.
        self.end_step(labels, probabilities, cross_entropy(targets, probabilities) + penalty)

    def end_step(self, labels: tf.Tensor, probabilities: tf.Tensor, losses: tf.Tensor) -> None:
        """Average the weights, where the recipe does, and sum what an epoch reports."""
        if self.recipe.averaging:
            steps = tf.cast(self.optimizer.iterations, tf.float32)
            decay = (1 + steps) / (1 + steps + 1 / self.recipe.averaging)
            means = self.kept.trainable_variables
            for mean, variable in zip(means, self.model.trainable_variables, strict=True):
                mean.assign_sub((1 - decay) * (mean - variable))
        correct = tf.cast(tf.argmax(probabilities, 1), labels.dtype) == labels
        self.totals.assign_add([tf.reduce_sum(losses), tf.reduce_sum(tf.cast(correct, tf.float32))])

    def run_epoch(self, verbose: bool) -> None:
        """Train an epoch and validate; all randomness is a function of (seed, epoch)."""
        begun, epoch = time.perf_counter(), len(self.rows) + 1
        rng = np.random.default_rng([self.seed, epoch])
        order = rng.permutation(self.parts.train)
        for layer in self.model.layers:
            if isinstance(layer, keras.layers.Dropout) and layer.rate > 0:
                layer.seed_generator.state.assign([rng.integers(2**31), 0])
        self.totals.assign([0, 0])
        size, hidden = self.recipe.batch_size, not (verbose and sys.stdout.isatty())
        looks = {"unit_scale": size, "unit": " images", "leave": False, "file": sys.stdout}
        name = f"epoch {epoch}/{self.recipe.epochs}"
        for start in tqdm(range(0, len(order), size), name, disable=hidden, **looks):
            self.step(*self.batch(order[start : start + size], rng))
        loss, accuracy = (self.totals.numpy() / len(order)).tolist()
        validating = time.perf_counter()
        row = {"epoch": epoch, "loss": loss, "accuracy": accuracy, **self._validate()}
        if not math.isfinite(loss + row["val_loss"]):
            raise RunError(
                f"training diverged in epoch {epoch} (loss {loss}, validation loss "
                f"{row['val_loss']}); lower the learning rate, in a new folder"
            )
        self.rows.append(row)
        if best_epoch(self.rows) == epoch:
            self.best = [variable.numpy() for variable in self.kept.trainable_variables]
        self.validate_seconds += time.perf_counter() - validating
        self.seconds += time.perf_counter() - begun

    def batch(
        self, indices: NDArray[np.int64], rng: np.random.Generator
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Augmented images and labels, as tensors, for which the step is traced but once."""
        images = self.images[indices]
        if self.recipe.symmetries:
            images = apply_symmetry(images, rng.integers(8, size=len(indices)))
        return tf.constant(images), tf.constant(self.labels[indices], tf.int32)

    def _validate(self) -> dict[str, float]:
        if not self.recipe.averaging:
            _assign(self.kept.trainable_variables, self.model.trainable_variables)
        part = self.parts.validation
        probabilities = predict_proba(self.kept, self.images, part)
        labels = self.labels[part]
        chosen = np.clip(probabilities[np.arange(len(part)), labels], 1e-7, 1)
        penalty = float(sum(self.kept.losses, 0.0))
        correct = probabilities.argmax(axis=1) == labels
        loss = float(-np.log(chosen).mean()) + penalty
        return {"val_loss": loss, "val_accuracy": float(correct.mean())}

    def save(self, out: Path) -> None:
        """Write the checkpoint, then the files that can be made from it."""
        done, folder = len(self.rows), out / "checkpoint"
        arrays = {f"v{i}": variable.numpy() for i, variable in enumerate(self.variables)}
        arrays |= {f"b{i}": array for i, array in enumerate(self.best)}
        state = [self.rows, self.seconds, self.validate_seconds]
        write_npz(folder / f"{done:05d}.npz", state=json.dumps(state), **arrays)
        for path in folder.glob("[0-9]*.npz"):
            # The one before is kept. A later one was damaged, and would push whole ones out.
            if int(path.stem) not in (done, done - 1):
                path.unlink()
        if best_epoch(self.rows) == done:
            self.save_weights(out / "model.keras", self.best)
        write_history(out / "history.csv", self.rows)

    def save_weights(self, path: Path, arrays: Sequence[NDArray[np.float32]]) -> None:
        """Write weights as a float32 network."""
        _assign(self.saved.trainable_variables, arrays)
        with whole_file(path) as temporary:
            self.saved.save(temporary)

    def restore(self, out: Path) -> None:
        """Set the state from the newest whole checkpoint, if there is one."""
        for path in sorted((out / "checkpoint").glob("[0-9]*.npz"), reverse=True):
            try:
                arrays = read_npz(path, hint="galclass train")
                saved = [arrays[f"v{i}"] for i in range(len(self.variables))]
                best = [arrays[f"b{i}"] for i in range(len(self.kept.trainable_variables))]
                rows, seconds, validate_seconds = json.loads(str(arrays["state"]))
            except (RunError, KeyError, ValueError, TypeError) as error:
                warnings.warn(
                    f"checkpoint {path.name} is damaged ({error}); resuming from the one before "
                    "it, or from the start",
                    stacklevel=3,
                )
                continue
            _assign(self.variables, saved)
            self.rows, self.best = rows, best
            self.seconds, self.validate_seconds = seconds, validate_seconds
            # The checkpoint may be newer than these files, or older.
            self.save_weights(out / "model.keras", best)
            write_history(out / "history.csv", rows)
            return

    def report(self) -> None:
        """Print the last epoch in a line."""
        done, epochs, each = len(self.rows), self.recipe.epochs, self.seconds / len(self.rows)
        best = "*" if best_epoch(self.rows) == done else " "
        numbers = (
            "loss {loss:.3f}  accuracy {accuracy:.3f}  validation {val_loss:.3f}  "
            "{val_accuracy:.3f}".format(**self.rows[-1])
        )
        speed, left = len(self.parts.train) / each, (epochs - done) * each / 60
        line = f"epoch {done:3d}/{epochs}  {numbers} {best}  {speed:.0f} images/s"
        print(f"{line}  {left:.1f} min left", flush=True)


def _assign(variables: Sequence[keras.Variable], values: Sequence[Any]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def _optimizer(recipe: Recipe, steps: int, precision: Precision) -> keras.optimizers.Optimizer:
    rate: Any = recipe.learning_rate
    if recipe.schedule == "cosine":
        warmup = min(round(recipe.warmup_epochs * steps), recipe.epochs * steps // 2)
        rate = keras.optimizers.schedules.CosineDecay(
            0.0 if warmup else rate,
            max(recipe.epochs * steps - warmup, 1),
            warmup_target=rate if warmup else None,
            warmup_steps=warmup,
        )
    if recipe.optimizer == "muon":
        optimizer = Muon(rate, exclude="classes", weight_decay=recipe.weight_decay)
    elif recipe.weight_decay:
        optimizer = keras.optimizers.AdamW(rate, weight_decay=recipe.weight_decay)
    else:
        optimizer = keras.optimizers.Adam(rate)
    if recipe.weight_decay:
        optimizer.exclude_from_weight_decay(var_names=["bias"])
    if precision == "float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    return optimizer
