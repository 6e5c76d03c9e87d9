"""Trials of the default recipe: one thing changed at a time, compared galaxy by galaxy.

Trains each variant on the training galaxies of a split and gives, on its *validation* galaxies, the
log loss (of probabilities averaged over the eight symmetries, each half of the galaxies with the
temperature that suits the other half), its paired difference to the first variant with its
standard error, and the accuracy. Test galaxies are not used. Trials that are finished are kept: a
stopped benchmark resumes, several may share a folder, and more folds or seeds can be added.

    python benchmarks/trials.py --data Galaxy10.h5 --out runs/trials --splits fold-1-of-5
"""

import argparse
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import numpy as np

from galclass import RECIPES, load_data, load_pretrained, split
from galclass.files import write_npz
from galclass.network._tensorflow import keras, tf
from galclass.network.calibration import Calibration, fit_temperature
from galclass.network.hardware import choose_precision
from galclass.network.probabilities import predict_proba
from galclass.training import muon
from galclass.training.session import Session

# Changes of the recipe; else a start, a precision, or what no recipe has.
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
# More views of a galaxy than its eight symmetries: angle, zoom and shift of each.
VIEWS = {
    "turned by 45 degrees": [(np.pi / 4, 1, 0, 0)],
    "shifted by a pixel": [(0, 1, 1, 0), (0, 1, 0, 1), (0, 1, 1, 1)],
    "zoomed by 5 %": [(0, 0.95, 0, 0), (0, 1.05, 0, 0)],
}
SIDE = 69


def move(images, angle, zoom, dx, dy):
    """Turn, zoom and shift images; beyond their edge they are mirrored."""
    a, b, center = zoom * np.cos(angle), zoom * np.sin(angle), (SIDE - 1) / 2
    rows = [a, -b, center * (1 - a + b) + dx, b, a, center * (1 - a - b) + dy, 0 * a, 0 * a]
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=tf.cast(images, tf.float32),
        transforms=np.stack(np.broadcast_arrays(*rows), -1).astype(np.float32).reshape(-1, 8),
        output_shape=[SIDE, SIDE],
        interpolation="BILINEAR",
        fill_mode="REFLECT",
        fill_value=0.0,
    )


class Trial(Session):
    """A session whose images, targets or loss are changed as no recipe does."""

    changes = MappingProxyType({})
    prior = np.zeros(10, np.float32)  # logarithm of the classes' shares

    def run_epoch(self, verbose):
        """An epoch; after as many as the changes say, the first block stays as it is."""
        done, variables = len(self.rows), self.model.trainable_variables
        if done == 0:
            self.trained = variables
        if done == self.changes.get("frozen"):
            self.trained = [each for each in variables if "/conv1_" not in each.path]
            self.step = tf.function(self._step, reduce_retracing=True)
        super().run_epoch(verbose)

    def batch(self, indices, rng):
        """Images, moved and hidden in part; labels; and the weight of a mixture."""
        changes, (images, labels) = self.changes, super().batch(indices, rng)
        n = len(indices)
        if changes.keys() & {"rotate", "zoom", "shift"}:
            angle = rng.uniform(0, 2 * np.pi, n) * changes.get("rotate", False)
            zoom = np.exp(rng.uniform(-1, 1, n) * changes.get("zoom", 0))
            images = move(
                images, angle, zoom, *rng.uniform(-1, 1, (2, n)) * changes.get("shift", 0)
            )
        if "cutout" in changes:
            row, column = rng.integers(0, SIDE, (2, n, 1, 1, 1))
            rows, columns = np.ogrid[:SIDE, :SIDE]
            near = np.maximum(abs(rows[..., None] - row), abs(columns[..., None] - column))
            images = tf.where(near < changes["cutout"] // 2, tf.zeros_like(images), images)
        share = rng.beta(changes["mixup"], changes["mixup"]) if "mixup" in changes else 1.0
        share = tf.constant(max(share, 1 - share), tf.float32)
        return tf.cast(tf.round(images), tf.uint8), labels, share

    def _step(self, images, labels, share):
        changes, recipe, variables = self.changes, self.recipe, self.trained
        targets = mixed = tf.one_hot(labels, self.model.output_shape[1])
        if "mixup" in changes:
            pixels = tf.cast(images, tf.float32)
            images = tf.cast(tf.round(share * pixels + (1 - share) * pixels[::-1]), tf.uint8)
            mixed = share * targets + (1 - share) * targets[::-1]
        cross_entropy = keras.losses.categorical_crossentropy
        with tf.GradientTape() as tape:
            probabilities = given = self.model(images, training=True)
            if "adjust" in changes:
                logits = tf.math.log(tf.clip_by_value(given, 1e-7, 1.0))
                given = tf.nn.softmax(logits + changes["adjust"] * self.prior)
            losses = cross_entropy(mixed, given, label_smoothing=recipe.label_smoothing)
            loss = self.optimizer.scale_loss(tf.reduce_mean(losses))
        self.optimizer.apply(tape.gradient(loss, variables), variables)
        self.end_step(labels, probabilities, cross_entropy(targets, probabilities))


def train(data, parts, seed, all_changes, changes, views):
    """Train a variant; its validation probabilities from one pass and from eight."""
    changes = {**all_changes, **changes}
    fields = {name: changes[name] for name in changes if hasattr(RECIPES["default"], name)}
    recipe = replace(RECIPES["default"], **fields)
    rates = {name: getattr(recipe, name) for name in ("dropout", "dense_dropout", "l2")}
    muon.MOMENTUM = changes.get("momentum", 0.95)
    shares = np.bincount(data.labels[parts.train], minlength=10) / len(parts.train)
    Trial.changes, Trial.prior = changes, np.log(shares + 1e-9).astype(np.float32)
    precision = choose_precision(changes.get("precision", "auto"))
    session = Trial(recipe, rates, seed, precision, parts, data.images, data.labels)
    if changes["start"] is not None:
        model = load_pretrained(changes["start"]).load_model()
        session.start({variable.path: variable.numpy() for variable in model.trainable_variables})
    while len(session.rows) < recipe.epochs:
        session.run_epoch(verbose=True)
        session.report()
    for variable, value in zip(session.kept.trainable_variables, session.best, strict=True):
        variable.assign(value)
    one, eight = (
        predict_proba(session.kept, data.images, parts.validation, symmetric=symmetric)
        for symmetric in (False, True)
    )
    found = {"one": one, "eight": eight, "seconds": session.seconds}
    for name, moves in VIEWS.items() if views else ():
        known = data.images[parts.validation]
        others = [tf.cast(tf.round(move(known, *each)), tf.uint8).numpy() for each in moves]
        each = [predict_proba(session.kept, other, symmetric=True) for other in others]
        found[name] = np.mean(each, axis=0)
    return found


def losses_of(probabilities, labels):
    """Log loss of each galaxy, each half with the temperature of the other half."""
    half = np.random.default_rng(0).random(len(labels)) < 0.5
    losses = np.empty(len(labels))
    for fitted in (half, ~half):
        temperature = fit_temperature(labels[fitted], probabilities[fitted])
        others = Calibration(temperature).apply(probabilities[~fitted])
        losses[~fitted] = -np.log(others[np.arange(len(others)), labels[~fitted]])
    return losses


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="HDF5 file in Galaxy10's layout")
    parser.add_argument("--out", required=True, type=Path, help="folder for the trials")
    parser.add_argument("--splits", nargs="+", default=["fold-1-of-5"])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=RECIPES["default"].epochs)
    parser.add_argument("--label-smoothing", type=float, default=0.0)
    parser.add_argument("--start", choices=("simulated", "none"), default="simulated")
    parser.add_argument("--views", action="store_true", help="average over more views as well")
    parser.add_argument("--only", nargs="+", default=list(VARIANTS), choices=list(VARIANTS))
    arguments = parser.parse_args()
    data, rows = load_data(arguments.data), {}
    all_changes = {"epochs": arguments.epochs, "label_smoothing": arguments.label_smoothing}
    all_changes["start"] = None if arguments.start == "none" else arguments.start
    suffix = ".".join(map(str, all_changes.values())) + ".views" * arguments.views
    arguments.out.mkdir(parents=True, exist_ok=True)
    for protocol in arguments.splits:
        parts = split(data.labels, protocol)
        labels = data.labels[parts.validation]
        for seed in range(arguments.seeds):
            for name in dict.fromkeys(arguments.only):
                file = f"{name.replace(' ', '_').replace('/', ':')}.{protocol}.{seed}"
                path = arguments.out / f"{file}.{suffix}.npz"
                if not path.exists():
                    print(f"{name}, {protocol}, seed {seed}", flush=True)
                    found = train(data, parts, seed, all_changes, VARIANTS[name], arguments.views)
                    write_npz(path, **found)
                with np.load(path) as found:
                    one, eight = found["one"], found["eight"]
                    averages = {name: eight}
                    for view in VIEWS if arguments.views else ():
                        count = len(VIEWS[view])
                        averages[f"{name}, {view}"] = (eight + count * found[view]) / (1 + count)
                for average, probabilities in averages.items():
                    correct = [each.argmax(axis=1) == labels for each in (one, probabilities)]
                    rows.setdefault(average, []).append(
                        [losses_of(probabilities, labels), *correct]
                    )
    print("\n| variant | log loss | difference | accuracy, eight passes, % | one pass, % |")
    print("|---|---|---|---|---|")
    first = np.concatenate([losses for losses, *_ in rows[arguments.only[0]]])
    for name, found in rows.items():
        losses, one, eight = map(np.concatenate, zip(*found, strict=True))
        apart = losses - first
        error = apart.std() / len(apart) ** 0.5
        difference = "" if name == arguments.only[0] else f"{apart.mean():+.4f} ± {error:.4f}"
        right = f"{100 * eight.mean():.1f} | {100 * one.mean():.1f}"
        print(f"| {name} | {losses.mean():.4f} | {difference} | {right} |")
    print(f"\n{len(first):,} validation galaxies")


if __name__ == "__main__":
    main()
