"""Measure accuracy against the number of labelled galaxies, from random weights and from a start.

Galaxies are drawn from the training and validation sets of a file. Training uses them as a user
would (70/15/15 of the drawn galaxies); accuracy is measured on the test set of the file, averaged
over the symmetries. With --unseen, galaxies are drawn from the test set and accuracy is measured on
1,000 others of it, because the pretrained network was trained on the rest. One line of JSON per
training is added to --out; --figure plots these lines.

    python benchmarks/few_labels.py --data Galaxy10_subset.h5 --out few_labels.jsonl
    python benchmarks/few_labels.py --out few_labels.jsonl --figure figures/few_labels.png
"""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np

from galclass import CLASS_NAMES, compute_metrics, load_data, split, train
from galclass.figures.style import BLUE, ORANGE, house_style, make_figure, save_figure
from galclass.network.probabilities import predict_proba

THREE_CLASSES = ("disk", "smooth", "spiral")
TEN_TO_THREE = np.array([0, 1, 1, 1, 0, 0, 0, 2, 2, 2])


def choose_galaxies(labels, unseen):
    """Return the indices of the galaxies to draw from and of those to measure on."""
    parts = split(labels)
    if unseen:
        return np.split(np.random.default_rng(0).permutation(parts.test), [-1000])
    return np.concatenate([parts.train, parts.validation]), parts.test


def train_and_predict(images, labels, class_names, drawn, measured, **settings):
    """Train on the drawn galaxies and return the probabilities of the measured ones."""
    with tempfile.TemporaryDirectory() as folder:
        run = train(
            images[drawn],
            labels[drawn],
            out=Path(folder) / "run",
            class_names=class_names,
            verbose=False,
            **settings,
        )
        model = run.load_model(precision="auto")
    return predict_proba(model, images, measured, symmetric=True)


def measure(images, labels, class_names, arguments):
    """Train with each size, draw and start, and write the accuracies."""
    pool, measured = choose_galaxies(labels, arguments.unseen)
    if max(arguments.sizes) > len(pool):
        raise SystemExit(f"{len(pool)} galaxies to draw from, fewer than {max(arguments.sizes)}")
    if class_names == THREE_CLASSES:
        labels = TEN_TO_THREE[labels]
    for size in arguments.sizes:
        for draw in range(arguments.draws):
            drawn = np.random.default_rng([size, draw]).permutation(pool)[:size]
            for start in arguments.starts:
                start = None if start == "none" else start
                probabilities = train_and_predict(
                    images,
                    labels,
                    class_names,
                    drawn,
                    measured,
                    recipe=arguments.recipe,
                    seed=draw,
                    start=start,
                )
                metrics = compute_metrics(labels[measured], probabilities, class_names)
                row = {
                    "classes": len(class_names),
                    "n": size,
                    "draw": draw,
                    "start": start,
                    "recipe": arguments.recipe,
                    "galaxies": len(measured),
                }
                if arguments.unseen:
                    row["unseen"] = True
                for key in ("accuracy", "balanced_accuracy"):
                    row[key] = metrics[key]
                print(row, flush=True)
                with open(arguments.out, "a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")


def plot_curve(ax, rows, label, color, style):
    """Plot the mean of each number of labels as a curve, and each draw as a point."""
    sizes = sorted({row["n"] for row in rows})
    means = []
    for size in sizes:
        accuracies = [100 * row["accuracy"] for row in rows if row["n"] == size]
        means.append(np.mean(accuracies))
        ax.plot([size] * len(accuracies), accuracies, ".", color=color, ms=4)
    ax.plot(sizes, means, style, color=color, label=label)
    ax.set_xticks(sizes, [f"{size:,}" for size in sizes])


def plot(rows, path):
    """Plot the accuracies of ten classes with the recipe `few`."""
    rows = [
        row
        for row in rows
        if row["classes"] == 10 and row["recipe"] == "few" and "unseen" not in row
    ]
    with house_style():
        fig = make_figure(0.42, 3)
        ax = fig.subplots()
        ax.set_xscale("log")
        from_random = [row for row in rows if row["start"] is None]
        from_simulated = [row for row in rows if row["start"] == "simulated"]
        plot_curve(ax, from_random, "from random weights", ORANGE, "D--")
        plot_curve(ax, from_simulated, "from the simulated start", BLUE, "o-")
        ax.set(xlabel="labelled galaxies, validation and test included")
        ax.set(ylabel="accuracy (%)", ylim=(30, 100))
        ax.minorticks_off()
        ax.grid()
        ax.legend(loc="lower right")
        title = f"{rows[0]['galaxies']:,} real test galaxies, ten classes; one point per draw"
        ax.set_title(title, loc="left")
    save_figure(fig, path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="HDF5 file in Galaxy10's layout to measure on")
    parser.add_argument("--out", required=True, help="file of JSON lines")
    parser.add_argument("--figure", help="figure to write")
    parser.add_argument(
        "--sizes",
        type=int,
        nargs="+",
        default=[50, 100, 200, 500, 1000, 5000],
        help="numbers of labelled galaxies",
    )
    parser.add_argument("--draws", type=int, default=3, help="random samples of each size")
    parser.add_argument(
        "--starts",
        nargs="+",
        choices=("none", "simulated", "pretrained"),
        default=["none", "simulated"],
        help="networks to start from",
    )
    parser.add_argument(
        "--classes", choices=("ten", "three"), default="ten", help="classes of the labels"
    )
    parser.add_argument("--unseen", action="store_true", help="draw from the test set")
    parser.add_argument("--recipe", default="few", help="recipe of the training")
    arguments = parser.parse_args()
    if arguments.data:
        images, labels, _ = load_data(arguments.data)
        class_names = CLASS_NAMES if arguments.classes == "ten" else THREE_CLASSES
        measure(images, labels, class_names, arguments)
    if arguments.figure:
        lines = Path(arguments.out).read_text(encoding="utf-8").splitlines()
        plot([json.loads(line) for line in lines], arguments.figure)


if __name__ == "__main__":
    main()
