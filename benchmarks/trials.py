"""Change one part of the default recipe at a time and compare the results galaxy by galaxy.

Each variant is trained on the training set of a split. On the *validation* set, this prints the log
loss (of probabilities averaged over the eight symmetries; each half of the galaxies has the
temperature that was fitted on the other half), its mean difference to the first variant with its
standard error, and the accuracy. The test set is not used. Finished trials are kept: a stopped
benchmark resumes, several may share a folder, and folds or seeds can be added later.

    python benchmarks/trials.py --data Galaxy10.h5 --out runs/trials --splits fold-1-of-5
"""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from galclass import RECIPES, load_data, load_pretrained, split
from galclass.evaluation.calibration import Calibration, fit_temperature
from galclass.files import write_npz
from galclass.network._tensorflow import keras, tf
from galclass.network.precision import choose_precision
from galclass.network.probabilities import predict_proba
from galclass.network.weights import get_weights
from galclass.training import muon
from galclass.training.session import Session

# Changes of the recipe, of the start or the precision, and changes that no recipe has.
VARIANTS = {
    "default": {},
    "from random weights": {"start": None},
    "16 epochs": {"epochs": 16},
    "60 epochs": {"epochs": 60},
    "labels not smoothed": {"label_smoothing": 0.0},
    "labels smoothed by 0.05": {"label_smoothing": 0.05},
    "weight decay 0.2": {"weight_decay": 0.2},
    "weight decay 0.5": {"weight_decay": 0.5},
    "rate 0.001": {"learning_rate": 0.001},
    "rate 0.003": {"learning_rate": 0.003},
    "momentum 0.9": {"momentum": 0.9},
    "batches of 64": {"batch_size": 64},
    "averaging 1/4": {"averaging": 0.25},
    "dropout 0.5 and 0.3": {"dropout": 0.5, "dense_dropout": 0.3},
    "no weight decay": {"weight_decay": 0.0},
    "no averaging": {"averaging": 0.0},
    "no warm-up": {"warmup_epochs": 0.0},
    "no symmetries": {"symmetries": False},
    "first block frozen after 2 epochs": {"frozen": 2},
    "any angle": {"rotate": True},
    "zoom 8 %, shift 1.5 pixels": {"zoom": 0.08, "shift": 1.5},
    "any angle, zoom 10 %, shift 2 pixels": {"rotate": True, "zoom": 0.1, "shift": 2},
    "cutout of 16 pixels": {"cutout": 16},
    "mixup 0.2": {"mixup": 0.2},
    "logits adjusted by 0.5": {"adjust": 0.5},
    "float32": {"precision": "float32"},
}
# Views of a galaxy in addition to its eight symmetries: angle, zoom and shift of each.
VIEWS = {
    "rotated by 45 degrees": [(np.pi / 4, 1, 0, 0)],
    "shifted by a pixel": [(0, 1, 1, 0), (0, 1, 0, 1), (0, 1, 1, 1)],
    "zoomed by 5 %": [(0, 0.95, 0, 0), (0, 1.05, 0, 0)],
}
SIDE = 69


class Result(NamedTuple):
    """The log loss of each galaxy, and which galaxies are correct."""

    losses: NDArray[np.float64]
    correct_in_one: NDArray[np.bool_]
    correct_in_eight: NDArray[np.bool_]


def move(images, angle, zoom, dx, dy):
    """Rotate, zoom and shift images; they are mirrored beyond their edges."""
    a = zoom * np.cos(angle)
    b = zoom * np.sin(angle)
    center = (SIDE - 1) / 2
    rows = [a, -b, center * (1 - a + b) + dx, b, a, center * (1 - a - b) + dy, 0 * a, 0 * a]
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=tf.cast(images, tf.float32),
        transforms=np.stack(np.broadcast_arrays(*rows), -1).astype(np.float32).reshape(-1, 8),
        output_shape=[SIDE, SIDE],
        interpolation="BILINEAR",
        fill_mode="REFLECT",
        fill_value=0.0,
    )


def hide_squares(images, size, rng):
    """Set a square at a random position in each image to black (DeVries & Taylor 2017)."""
    row, column = rng.integers(0, SIDE, (2, len(images), 1, 1, 1))
    rows, columns = np.ogrid[:SIDE, :SIDE]
    distance = np.maximum(abs(rows[..., None] - row), abs(columns[..., None] - column))
    return tf.where(distance < size // 2, tf.zeros_like(images), images)


class Trial(Session):
    """A session with changes that no recipe has.

    Parameters
    ----------
    changes : dict
    prior : ndarray of float32, shape (10,)
        Logarithm of the class fractions.
    **settings
        Those of :class:`galclass.training.session.Session`.
    """

    def __init__(self, *, changes, prior, **settings):
        super().__init__(**settings)
        self.changes = changes
        self.prior = prior
        self.trained = self.model.trainable_variables

    def run_epoch(self, *, verbose):
        """Train for one epoch; the first block may stay unchanged from some epoch on."""
        if len(self.rows) == self.changes.get("frozen"):
            variables = self.model.trainable_variables
            self.trained = [each for each in variables if "/conv1_" not in each.path]
            self.step = tf.function(self._step, reduce_retracing=True)
        super().run_epoch(verbose=verbose)

    def make_batch(self, indices, rng):
        """Return augmented images, labels, and the weight of the first image of each mixture."""
        images, labels = super().make_batch(indices, rng)
        n = len(indices)
        if self.changes.keys() & {"rotate", "zoom", "shift"}:
            angle = rng.uniform(0, 2 * np.pi, n) * self.changes.get("rotate", False)
            zoom = np.exp(rng.uniform(-1, 1, n) * self.changes.get("zoom", 0))
            shift = rng.uniform(-1, 1, (2, n)) * self.changes.get("shift", 0)
            images = move(images, angle, zoom, *shift)
        if "cutout" in self.changes:
            images = hide_squares(images, self.changes["cutout"], rng)
        weight = 1.0
        if "mixup" in self.changes:
            weight = rng.beta(self.changes["mixup"], self.changes["mixup"])
        weight = tf.constant(max(weight, 1 - weight), tf.float32)
        return tf.cast(tf.round(images), tf.uint8), labels, weight

    def _step(self, images, labels, weight):
        targets = tf.one_hot(labels, self.model.output_shape[1])
        mixed_targets = targets
        if "mixup" in self.changes:
            pixels = tf.cast(images, tf.float32)
            images = tf.cast(tf.round(weight * pixels + (1 - weight) * pixels[::-1]), tf.uint8)
            mixed_targets = weight * targets + (1 - weight) * targets[::-1]
        with tf.GradientTape() as tape:
            probabilities = self.model(images, training=True)
            losses = keras.losses.categorical_crossentropy(
                mixed_targets,
                self._adjust(probabilities),
                label_smoothing=self.recipe.label_smoothing,
            )
            loss = self.optimizer.scale_loss(tf.reduce_mean(losses))
        self.optimizer.apply(tape.gradient(loss, self.trained), self.trained)
        if self.recipe.averaging:
            self._average_weights()
        losses = keras.losses.categorical_crossentropy(targets, probabilities)
        correct = tf.cast(tf.argmax(probabilities, 1), labels.dtype) == labels
        self.totals.assign_add([tf.reduce_sum(losses), tf.reduce_sum(tf.cast(correct, tf.float32))])

    def _adjust(self, probabilities):
        """Adjust the logits by the class fractions (Menon et al. 2021, arXiv 2007.07314)."""
        if "adjust" not in self.changes:
            return probabilities
        logits = tf.math.log(tf.clip_by_value(probabilities, 1e-7, 1.0))
        return tf.nn.softmax(logits + self.changes["adjust"] * self.prior)


def train(dataset, parts, seed, changes):
    """Train a variant and return its session, with the kept weights in the averaged network."""
    default = RECIPES["default"]
    fields = {name: value for name, value in changes.items() if hasattr(default, name)}
    recipe = replace(default, **fields)
    muon.MOMENTUM = changes.get("momentum", 0.95)
    fractions = np.bincount(dataset.labels[parts.train], minlength=10) / len(parts.train)
    session = Trial(
        changes=changes,
        prior=np.log(fractions + 1e-9).astype(np.float32),
        recipe=recipe,
        network={
            "dropout": recipe.dropout,
            "dense_dropout": recipe.dense_dropout,
            "l2": recipe.l2,
        },
        seed=seed,
        precision=choose_precision(changes.get("precision", "auto")),
        parts=parts,
        images=dataset.images,
        labels=dataset.labels,
    )
    if changes["start"] is not None:
        session.start(get_weights(load_pretrained(changes["start"]).load_model()))
    while len(session.rows) < recipe.epochs:
        session.run_epoch(verbose=True)
        session.report()
    for variable, value in zip(session.averaged.trainable_variables, session.kept, strict=True):
        variable.assign(value)
    return session


def predict(session, with_views):
    """Return validation probabilities from one pass, from eight, and of other views."""
    images = session.images[session.parts.validation]
    arrays = {
        "one": predict_proba(session.averaged, images, symmetric=False),
        "eight": predict_proba(session.averaged, images, symmetric=True),
        "seconds": session.seconds,
    }
    if with_views:
        for name, moves in VIEWS.items():
            probabilities = []
            for each in moves:
                moved = tf.cast(tf.round(move(images, *each)), tf.uint8).numpy()
                probabilities.append(predict_proba(session.averaged, moved, symmetric=True))
            arrays[name] = np.mean(probabilities, axis=0)
    return arrays


def compute_losses(probabilities, labels):
    """Return the log loss of each galaxy; each half has the temperature of the other half."""
    half = np.random.default_rng(0).random(len(labels)) < 0.5
    losses = np.empty(len(labels))
    for fitted in (half, ~half):
        temperature = fit_temperature(labels[fitted], probabilities[fitted])
        others = Calibration(temperature).apply(probabilities[~fitted])
        losses[~fitted] = -np.log(others[np.arange(len(others)), labels[~fitted]])
    return losses


def average_views(name, arrays):
    """Return the probabilities of a trial by the name of their row in the table."""
    rows = {name: arrays["eight"]}
    for view, moves in VIEWS.items():
        if view in arrays:
            count = len(moves)
            rows[f"{name}, {view}"] = (arrays["eight"] + count * arrays[view]) / (1 + count)
    return rows


def run_trial(path, dataset, parts, seed, changes, with_views):
    """Train a trial, unless its file exists, and return its arrays."""
    if not path.exists():
        print(path.stem, flush=True)
        session = train(dataset, parts, seed, changes)
        write_npz(path, **predict(session, with_views))
    with np.load(path) as arrays:
        return dict(arrays)


def print_table(results, first):
    """Print one row per variant, compared with the first one."""
    print("\n| variant | log loss | difference | accuracy, eight passes, % | one pass, % |")
    print("|---|---|---|---|---|")
    losses_of_first = np.concatenate([result.losses for result in results[first]])
    for name, of_name in results.items():
        losses = np.concatenate([result.losses for result in of_name])
        in_one = np.concatenate([result.correct_in_one for result in of_name])
        in_eight = np.concatenate([result.correct_in_eight for result in of_name])
        differences = losses - losses_of_first
        error = differences.std() / len(differences) ** 0.5
        difference = "" if name == first else f"{differences.mean():+.4f} ± {error:.4f}"
        print(
            f"| {name} | {losses.mean():.4f} | {difference} "
            f"| {100 * in_eight.mean():.1f} | {100 * in_one.mean():.1f} |"
        )
    print(f"\n{len(losses_of_first):,} validation galaxies")


def main():
    default = RECIPES["default"]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="HDF5 file in Galaxy10's layout")
    parser.add_argument("--out", required=True, type=Path, help="folder for the trials")
    parser.add_argument("--splits", nargs="+", default=["fold-1-of-5"], help="splits to train on")
    parser.add_argument("--seeds", type=int, default=1, help="number of seeds")
    parser.add_argument("--epochs", type=int, default=default.epochs, help="number of epochs")
    parser.add_argument("--label-smoothing", type=float, default=0.0, help="label smoothing")
    parser.add_argument(
        "--start", choices=("simulated", "none"), default="simulated", help="network to start from"
    )
    parser.add_argument("--views", action="store_true", help="also average over more views")
    parser.add_argument(
        "--only", nargs="+", default=list(VARIANTS), choices=list(VARIANTS), help="variants to try"
    )
    arguments = parser.parse_args()
    dataset = load_data(arguments.data)
    start = None if arguments.start == "none" else arguments.start
    suffix = f"{arguments.epochs}.{arguments.label_smoothing}.{start}"
    if arguments.views:
        suffix += ".views"
    common_changes = {
        "epochs": arguments.epochs,
        "label_smoothing": arguments.label_smoothing,
        "start": start,
    }
    arguments.out.mkdir(parents=True, exist_ok=True)
    results = {}
    for protocol in arguments.splits:
        parts = split(dataset.labels, protocol)
        labels = dataset.labels[parts.validation]
        for seed in range(arguments.seeds):
            for name in dict.fromkeys(arguments.only):
                stem = f"{name.replace(' ', '_').replace('/', ':')}.{protocol}.{seed}.{suffix}"
                changes = {**common_changes, **VARIANTS[name]}
                arrays = run_trial(
                    arguments.out / f"{stem}.npz", dataset, parts, seed, changes, arguments.views
                )
                in_one = arrays["one"].argmax(axis=1) == labels
                for row, probabilities in average_views(name, arrays).items():
                    in_eight = probabilities.argmax(axis=1) == labels
                    losses = compute_losses(probabilities, labels)
                    result = Result(losses, in_one, in_eight)
                    results.setdefault(row, []).append(result)
    print_table(results, arguments.only[0])


if __name__ == "__main__":
    main()
