"""The state of one training: network, optimizer, history and checkpoints."""

import json
import math
import sys
import time
import warnings
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ..data.arrays import Images, Labels
from ..data.split import Split
from ..errors import ParameterError, RunError
from ..files import read_npz
from ..network._tensorflow import keras, tf
from ..network.cnn import build_cnn
from ..network.options import Precision
from ..network.probabilities import predict_proba
from ..network.symmetry import apply_symmetry
from ..network.weights import Weights, set_weights
from ..run import Run, best_epoch
from .muon import Muon
from .recipe import Recipe


class Session:
    """One training of a network.

    Parameters
    ----------
    recipe : Recipe
    network : dict
        Settings of :func:`galclass.build_cnn`.
    seed : int
    precision : {"float32", "bfloat16", "float16"}
    parts : Split
    images : ndarray of uint8, shape (N, s, s, 3)
    labels : ndarray of uint8, shape (N,)

    Attributes
    ----------
    rows : list of dict
        The history, one row per epoch.
    model : keras.Model
        The network that is trained.
    averaged : keras.Model
        The network that is validated and kept: the moving average of the weights if the recipe
        averages them, otherwise `model` itself.
    kept : list of ndarray
        The weights to keep.
    kept_epoch : int
        The epoch whose weights are in `kept`.
    """

    def __init__(
        self,
        *,
        recipe: Recipe,
        network: dict[str, Any],
        seed: int,
        precision: Precision,
        parts: Split,
        images: Images,
        labels: Labels,
    ) -> None:
        self.recipe = recipe
        self.network = network
        self.seed = seed
        self.parts = parts
        self.images = images
        self.labels = labels
        self.rows: list[dict[str, float]] = []
        self.kept: list[NDArray[np.float32]] = []
        self.kept_epoch = 0
        self.seconds = 0.0
        self.validation_seconds = 0.0
        self.model = build_cnn(**network, seed=seed, precision=precision)
        self.averaged = self.model
        if recipe.averaging:
            self.averaged = build_cnn(**network, seed=seed, precision=precision)
        steps_per_epoch = math.ceil(len(parts.train) / recipe.batch_size)
        self.optimizer = build_optimizer(recipe, steps_per_epoch, precision)
        self.optimizer.build(self.model.trainable_variables)
        self.variables = [*self.model.trainable_variables, *self.optimizer.variables]
        if recipe.averaging:
            self.variables += self.averaged.trainable_variables
        self.totals = tf.Variable(tf.zeros(2))  # sums of loss and correct images over an epoch
        # Compiled for each session: TensorFlow would trace a shared function again, and warn.
        self.step = tf.function(partial(self._step), jit_compile=False, reduce_retracing=True)

    def start(self, weights: Weights) -> None:
        """Load the weights whose name and shape match."""
        set_weights(self.model, weights)
        if self.averaged is not self.model:
            set_weights(self.averaged, weights)

    def _step(self, images: tf.Tensor, labels: tf.Tensor) -> None:
        """Update the weights with one batch."""
        variables = self.model.trainable_variables
        with tf.GradientTape() as tape:
            probabilities = self.model(images, training=True)
            targets = tf.one_hot(labels, probabilities.shape[1])
            smoothed = keras.losses.categorical_crossentropy(
                targets, probabilities, label_smoothing=self.recipe.label_smoothing
            )
            penalty = sum(self.model.losses, 0.0)
            loss = self.optimizer.scale_loss(tf.reduce_mean(smoothed) + penalty)
        self.optimizer.apply(tape.gradient(loss, variables), variables)
        if self.recipe.averaging:
            self._average_weights()
        # Reported without label smoothing, as in the validation.
        losses = keras.losses.categorical_crossentropy(targets, probabilities) + penalty
        correct = tf.cast(tf.argmax(probabilities, 1), labels.dtype) == labels
        self.totals.assign_add([tf.reduce_sum(losses), tf.reduce_sum(tf.cast(correct, tf.float32))])

    def _average_weights(self) -> None:
        """Update the moving average of the weights."""
        steps = tf.cast(self.optimizer.iterations, tf.float32)
        decay = (1 + steps) / (1 + steps + 1 / self.recipe.averaging)
        averages = self.averaged.trainable_variables
        for average, variable in zip(averages, self.model.trainable_variables, strict=True):
            average.assign_sub((1 - decay) * (average - variable))

    def run_epoch(self, *, verbose: bool) -> None:
        """Train for one epoch and validate; all randomness is a function of (seed, epoch)."""
        begin = time.perf_counter()
        epoch = len(self.rows) + 1
        rng = np.random.default_rng([self.seed, epoch])
        order = rng.permutation(self.parts.train)
        self._seed_dropout(rng)
        self.totals.assign([0, 0])
        batch_size = self.recipe.batch_size
        progress = tqdm(
            range(0, len(order), batch_size),
            f"epoch {epoch}/{self.recipe.epochs}",
            disable=not (verbose and sys.stdout.isatty()),
            unit=" images",
            unit_scale=batch_size,
            leave=False,
            file=sys.stdout,
        )
        for first in progress:
            self.step(*self.make_batch(order[first : first + batch_size], rng))
        loss, accuracy = (self.totals.numpy() / len(order)).tolist()
        trained = time.perf_counter()
        val_loss, val_accuracy = self._validate()
        if not math.isfinite(loss + val_loss):
            raise RunError(
                f"training diverged in epoch {epoch} (loss {loss}, validation loss {val_loss}); "
                "lower the learning rate, in a new folder"
            )
        row = {"epoch": epoch, "loss": loss, "accuracy": accuracy}
        row |= {"val_loss": val_loss, "val_accuracy": val_accuracy}
        self.rows.append(row)
        if self.recipe.keep == "last" or best_epoch(self.rows) == epoch:
            self.kept = [variable.numpy() for variable in self.averaged.trainable_variables]
            self.kept_epoch = epoch
        end = time.perf_counter()
        self.seconds += end - begin
        self.validation_seconds += end - trained

    def _seed_dropout(self, rng: np.random.Generator) -> None:
        for layer in self.model.layers:
            if isinstance(layer, keras.layers.Dropout) and layer.rate > 0:
                seed = rng.integers(2**31)
                layer.seed_generator.state.assign([seed, 0])  # seed and counter

    def make_batch(
        self, indices: NDArray[np.int64], rng: np.random.Generator
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Return augmented images and labels as tensors; arrays would retrace the step."""
        images = self.images[indices]
        if self.recipe.symmetries:
            images = apply_symmetry(images, rng.integers(8, size=len(indices)))
        return tf.constant(images), tf.constant(self.labels[indices], tf.int32)

    def _validate(self) -> tuple[float, float]:
        """Return loss and accuracy of the validation set."""
        indices = self.parts.validation
        labels = self.labels[indices]
        probabilities = predict_proba(self.averaged, self.images, indices)
        of_label = probabilities[np.arange(len(indices)), labels]
        cross_entropy = -np.log(np.clip(of_label, 1e-7, 1)).mean()
        penalty = sum(self.averaged.losses, 0.0)
        correct = probabilities.argmax(axis=1) == labels
        return float(cross_entropy) + float(penalty), float(correct.mean())

    def save(self, run: Run) -> None:
        """Write the checkpoint first: it has what the weights and the history are made of."""
        arrays: dict[str, Any] = {}
        for index, variable in enumerate(self.variables):
            arrays[f"variable_{index}"] = variable.numpy()
        for index, array in enumerate(self.kept):
            arrays[f"kept_{index}"] = array
        state = {
            "rows": self.rows,
            "kept_epoch": self.kept_epoch,
            "seconds": self.seconds,
            "validation_seconds": self.validation_seconds,
        }
        run.write_checkpoint(len(self.rows), {"state": json.dumps(state), **arrays})
        if self.kept_epoch == len(self.rows):
            self._write_model(run)
        run.write_history(self.rows)

    def _write_model(self, run: Run) -> None:
        """Write the kept weights as a float32 network."""
        model = build_cnn(**self.network)
        _assign(model.trainable_variables, self.kept)
        run.write_model(model)

    def restore(self, run: Run) -> None:
        """Restore the state from the latest complete checkpoint, if there is one."""
        for path in run.list_checkpoints():
            try:
                arrays = read_npz(path, hint="galclass train")
                values = [arrays[f"variable_{index}"] for index in range(len(self.variables))]
                kept = [
                    arrays[f"kept_{index}"]
                    for index in range(len(self.averaged.trainable_variables))
                ]
                state = json.loads(str(arrays["state"]))
            except (RunError, KeyError, ValueError, TypeError) as error:
                warnings.warn(
                    f"checkpoint {path.name} is damaged ({error}); resuming from an earlier one, "
                    "or from the start",
                    stacklevel=3,
                )
                continue
            _assign(self.variables, values)
            self.kept = kept
            self.rows = state["rows"]
            self.kept_epoch = state["kept_epoch"]
            self.seconds = state["seconds"]
            self.validation_seconds = state["validation_seconds"]
            # These files may be older or newer than the checkpoint.
            self._write_model(run)
            run.write_history(self.rows)
            return

    def report(self) -> None:
        """Print one line about the last epoch."""
        epochs = self.recipe.epochs
        epoch = len(self.rows)
        row = self.rows[-1]
        seconds_per_epoch = self.seconds / epoch
        training_seconds = (self.seconds - self.validation_seconds) / epoch
        mark = "*" if best_epoch(self.rows) == epoch else " "
        print(
            f"epoch {epoch:3d}/{epochs}  "
            f"loss {row['loss']:.3f}  accuracy {row['accuracy']:.3f}  "
            f"validation {row['val_loss']:.3f}  {row['val_accuracy']:.3f} {mark}  "
            f"{len(self.parts.train) / training_seconds:.0f} images/s  "
            f"{(epochs - epoch) * seconds_per_epoch / 60:.1f} min left",
            flush=True,
        )


def _assign(variables: Sequence[keras.Variable], values: Sequence[Any]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def build_optimizer(
    recipe: Recipe, steps_per_epoch: int, precision: Precision
) -> keras.optimizers.Optimizer:
    """Build the optimizer of a recipe, with its schedule.

    Raises
    ------
    ParameterError
        An optimizer or schedule that recipes may name is not implemented here.
    """
    steps = recipe.epochs * steps_per_epoch
    rate: Any = recipe.learning_rate
    if recipe.schedule == "cosine":
        warmup = min(round(recipe.warmup_epochs * steps_per_epoch), steps // 2)
        rate = keras.optimizers.schedules.CosineDecay(
            0.0 if warmup else recipe.learning_rate,
            decay_steps=max(steps - warmup, 1),
            warmup_target=recipe.learning_rate if warmup else None,
            warmup_steps=warmup,
        )
    elif recipe.schedule != "constant":
        raise ParameterError(
            f"schedule={recipe.schedule!r} is not implemented, expected 'constant' or 'cosine'"
        )
    if recipe.optimizer == "muon":
        optimizer = Muon(rate, exclude="classes", weight_decay=recipe.weight_decay)
    elif recipe.optimizer == "adam" and recipe.weight_decay:
        optimizer = keras.optimizers.AdamW(rate, weight_decay=recipe.weight_decay)
    elif recipe.optimizer == "adam":
        optimizer = keras.optimizers.Adam(rate)
    else:
        raise ParameterError(
            f"optimizer={recipe.optimizer!r} is not implemented, expected 'adam' or 'muon'"
        )
    if recipe.weight_decay:
        optimizer.exclude_from_weight_decay(var_names=["bias"])
    if precision == "float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    return optimizer
