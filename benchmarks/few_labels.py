"""Accuracy against the number of labelled galaxies, from random weights and from a start.

Draws galaxies from the training and validation sets of a file, trains on them as a user would
(70/15/15 of what is drawn) and measures on the file's test set, averaged over the symmetries. With
--unseen, draws from the test set and measures on 1,000 others of it: the pretrained network was
trained on the rest. Appends a line of JSON a training to --out, and plots what is there with
--figure.

    python benchmarks/few_labels.py --data Galaxy10_subset.h5 --out few_labels.jsonl
    python benchmarks/few_labels.py --out few_labels.jsonl --figure figures/few_labels.png
"""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np

from galclass import CLASS_NAMES, load_data, split, train
from galclass.evaluation.metrics import compute_metrics
from galclass.figures.style import BLUE, ORANGE, canvas, save_figure
from galclass.network.probabilities import predict_proba

# Ten classes by their own names, and as three of one's own.
THREE = ("disk", "smooth", "spiral")
AS_THREE = np.array([0, 1, 1, 1, 0, 0, 0, 2, 2, 2])


def measure(arguments, images, labels, names, classes):
    """Train at each size, draw and start, and append what is measured."""
    parts = split(labels)
    rest, measured = np.concatenate([parts.train, parts.validation]), parts.test
    if arguments.unseen:
        rest, measured = np.split(np.random.default_rng(0).permutation(parts.test), [-1000])
    if max(arguments.sizes) > len(rest):
        raise SystemExit(f"{len(rest)} galaxies to draw from, fewer than {max(arguments.sizes)}")
    labels = classes[labels]
    truth = labels[measured]
    for n in arguments.sizes:
        for draw in range(arguments.draws):
            drawn = np.random.default_rng([n, draw]).permutation(rest)[:n]
            for name in arguments.starts:
                start = None if name == "none" else name
                with tempfile.TemporaryDirectory() as folder:
                    settings = {"recipe": arguments.recipe, "seed": draw, "start": start}
                    run = train(
                        *(images[drawn], labels[drawn]),
                        out=Path(folder) / "run",
                        class_names=names,
                        verbose=False,
                        **settings,
                    )
                    model = run.load_model(precision="auto")
                probabilities = predict_proba(model, images, measured, symmetric=True)
                metrics = compute_metrics(truth, probabilities, names)
                row = {
                    "classes": len(names),
                    "n": n,
                    "draw": draw,
                    "start": start,
                }
                row |= {"recipe": arguments.recipe, "galaxies": len(truth)}
                row |= {"unseen": True} if arguments.unseen else {}
                row |= {key: metrics[key] for key in ("accuracy", "balanced_accuracy")}
                print(row, flush=True)
                with open(arguments.out, "a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")


def plot(rows, path):
    """Mean and every draw of each number of labels, a curve a start."""
    kind = (10, "few", False)
    rows = [row for row in rows if (row["classes"], row["recipe"], "unseen" in row) == kind]
    looks = {
        None: ("from random weights", ORANGE, "D--"),
        "simulated": ("from the simulated start", BLUE, "o-"),
    }
    with canvas("page", 0.42, 3) as fig:
        ax = fig.subplots()
        for start, (name, colour, marker) in looks.items():
            of = [row for row in rows if row["start"] == start]
            sizes = sorted({row["n"] for row in of})
            each = [[100 * row["accuracy"] for row in of if row["n"] == n] for n in sizes]
            ax.plot(sizes, [np.mean(values) for values in each], marker, color=colour, label=name)
            for n, values in zip(sizes, each, strict=True):
                ax.plot([n] * len(values), values, ".", color=colour, ms=4)
        ax.set(xscale="log", xlabel="labelled galaxies, validation and test included")
        ax.set(ylabel="accuracy (%)", ylim=(30, 100))
        sizes = sorted({row["n"] for row in rows})
        ax.set_xticks(sizes, [f"{n:,}" for n in sizes])
        ax.minorticks_off()
        ax.grid()
        ax.legend(loc="lower right")
        title = f"{rows[0]['galaxies']:,} real test galaxies, ten classes; each draw a point"
        ax.set_title(title, loc="left")
    save_figure(fig, path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="HDF5 file in Galaxy10's layout; to measure")
    parser.add_argument("--out", required=True, help="file of JSON lines")
    parser.add_argument("--figure", help="file of the figure")
    parser.add_argument("--sizes", type=int, nargs="+", default=[50, 100, 200, 500, 1000, 5000])
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument(
        "--starts",
        nargs="+",
        choices=("none", "simulated", "pretrained"),
        default=["none", "simulated"],
    )
    parser.add_argument("--classes", choices=("ten", "three"), default="ten")
    parser.add_argument("--unseen", action="store_true", help="draw from the test set")
    parser.add_argument("--recipe", default="few")
    arguments = parser.parse_args()
    if arguments.data:
        images, labels, _ = load_data(arguments.data)
        known = {"ten": (CLASS_NAMES, np.arange(10)), "three": (THREE, AS_THREE)}
        measure(arguments, images, labels, *known[arguments.classes])
    if arguments.figure:
        lines = Path(arguments.out).read_text(encoding="utf-8").splitlines()
        plot([json.loads(line) for line in lines], arguments.figure)


if __name__ == "__main__":
    main()
