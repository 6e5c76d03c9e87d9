"""How much training other recipes need to reach the best validation accuracy of a first one.

Reads the histories of finished studies with the same seeds, and trains nothing:

    python benchmarks/compute_to_accuracy.py runs/published runs/study runs/from_simulated \
        --figure figures/compute_to_accuracy.png

Image passes are epochs times training galaxies. Seconds are wall time, to be compared where the
runs had the same computer to themselves; the figure has them with --seconds.
"""

import argparse
import itertools

import numpy as np

from galclass.figures.style import BLUE, GREEN, ORANGE, PURPLE, canvas, save_figure
from galclass.studies import load_study

LOOKS = ((ORANGE, "--"), (BLUE, "-"), (GREEN, "-."), (PURPLE, ":"))


def reach(run, goal):
    """Epochs and seconds until a validation accuracy is reached, or None."""
    reached = np.flatnonzero(run.history["val_accuracy"] >= goal)
    if not len(reached):
        return None
    epochs = int(reached[0]) + 1
    return epochs, run.manifest["wall_time_s"] * epochs / run.manifest["epochs"]


def tabulate(first, other):
    """A row a seed: epochs and seconds of both, and the share of image passes."""
    if len(first) != len(other):
        raise SystemExit(f"{len(first)} and {len(other)} runs, expected the same seeds")
    print("| seed | goal, % | epochs, s | other: epochs, s | image passes, of the first's |")
    print("|---|---|---|---|---|")
    for ours, theirs in zip(first, other, strict=True):
        for key in ("origin", "split", "seed"):
            if ours.manifest[key] != theirs.manifest[key]:
                raise SystemExit(f"{theirs.path} has another {key} than {ours.path}")
        goal = ours.history["val_accuracy"].max()
        before, after = reach(ours, goal), reach(theirs, goal)
        cells = [f"{found[0]}, {found[1]:.0f}" if found else "never" for found in (before, after)]
        passes = [
            found and found[0] * ours.manifest["split"]["train_size"] for found in (before, after)
        ]
        share = f"{passes[1]:,} of {passes[0]:,}, {passes[1] / passes[0]:.3f}" if after else "–"
        print(f"| {ours.manifest['seed']} | {100 * goal:.2f} | {cells[0]} | {cells[1]} | {share} |")


def name(run):
    """Recipe and start, for the legend."""
    start = run.manifest["start"]
    after = f" after {start['origin']['kind']} galaxies" if start else ""
    return run.manifest["recipe_name"] + after


def plot(studies, seconds, path):
    """Validation accuracy against image passes, and seconds: a line a seed, a colour a study."""
    passes = "image passes, those of the simulated start not counted"
    with canvas("page", 0.42, 3, origin=studies[0][0].origin) as fig:
        axes = fig.subplots(1, 1 + seconds, sharey=True, squeeze=False)[0]
        for study, (colour, line) in zip(studies, itertools.cycle(LOOKS)):
            for run in study:
                accuracy = 100 * run.history["val_accuracy"]
                epochs = np.arange(1, len(accuracy) + 1)
                label = name(run) if run is study[0] else None
                each = [run.manifest["split"]["train_size"]]
                each += [run.manifest["wall_time_s"] / len(epochs)] * seconds
                for ax, cost in zip(axes, each, strict=True):
                    ax.plot(cost * epochs, accuracy, line, color=colour, lw=0.9, label=label)
        for ax, label in zip(axes, (passes, "seconds"), strict=False):
            ax.set(xscale="log", xlabel=label, ylim=(50, 100))
            ax.xaxis.set_major_formatter("{x:,.0f}")
            ax.grid()
        axes[0].set_ylabel("validation accuracy (%)")
        axes[0].legend(loc="lower right")
        galaxies = studies[0][0].manifest["split"]["validation_size"]
        axes[0].set_title(f"{galaxies:,} validation galaxies, a line a seed", loc="left")
    save_figure(fig, path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("first", help="study whose best validation accuracies are the goals")
    parser.add_argument("others", nargs="+", help="studies that are to reach them")
    parser.add_argument("--figure", help="file of the figure")
    parser.add_argument("--seconds", action="store_true", help="plot against seconds as well")
    arguments = parser.parse_args()
    first, *others = map(load_study, (arguments.first, *arguments.others))
    for other in others:
        print(f"\n{name(other[0])}\n")
        tabulate(first, other)
    if arguments.figure:
        plot([first, *others], arguments.seconds, arguments.figure)


if __name__ == "__main__":
    main()
