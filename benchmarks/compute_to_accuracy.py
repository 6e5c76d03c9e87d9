"""Compare how much training recipes need to reach the best validation accuracy of a first one.

This reads the histories of finished studies with the same seeds, and trains nothing:

    python benchmarks/compute_to_accuracy.py runs/published runs/study runs/from_simulated \
        --figure figures/compute_to_accuracy.png

The number of image passes is the number of epochs times the number of training galaxies. Seconds
are wall time; they can only be compared if the runs had the same computer to themselves.
"""

import argparse
import itertools

import numpy as np

from galclass.figures.style import (
    BLUE,
    GREEN,
    ORANGE,
    PURPLE,
    add_origin,
    house_style,
    make_figure,
    save_figure,
)
from galclass.studies import load_study

LINE_STYLES = ((ORANGE, "--"), (BLUE, "-"), (GREEN, "-."), (PURPLE, ":"))


def find_epoch(run, goal):
    """Return the first epoch with a validation accuracy of `goal` or more, or None."""
    reached = np.flatnonzero(run.history["val_accuracy"] >= goal)
    if not len(reached):
        return None
    return int(reached[0]) + 1


def seconds_per_epoch(run):
    return run.manifest["wall_time_s"] / run.manifest["epochs"]


def describe_epoch(run, epoch):
    if epoch is None:
        return "never"
    return f"{epoch}, {epoch * seconds_per_epoch(run):.0f}"


def describe_passes(first, epoch_of_first, epoch_of_other):
    """Return the image passes of both and their ratio in words."""
    if epoch_of_other is None:
        return "–"
    galaxies = first.manifest["split"]["train_size"]
    ratio = epoch_of_other / epoch_of_first
    return f"{epoch_of_other * galaxies:,} of {epoch_of_first * galaxies:,}, {ratio:.3f}"


def check_comparable(first, other):
    for key in ("origin", "split", "seed"):
        if first.manifest[key] != other.manifest[key]:
            raise SystemExit(f"{other.path} has another {key} than {first.path}")


def print_table(first_study, other_study):
    """Print one row per seed: the epochs and seconds of both, and the ratio of image passes."""
    if len(first_study) != len(other_study):
        raise SystemExit(f"{len(first_study)} and {len(other_study)} runs, expected the same seeds")
    print("| seed | goal, % | epochs, s | other: epochs, s | image passes, of the first's |")
    print("|---|---|---|---|---|")
    for first, other in zip(first_study, other_study, strict=True):
        check_comparable(first, other)
        goal = first.history["val_accuracy"].max()
        epoch_of_first = find_epoch(first, goal)
        epoch_of_other = find_epoch(other, goal)
        print(
            f"| {first.manifest['seed']} | {100 * goal:.2f} "
            f"| {describe_epoch(first, epoch_of_first)} "
            f"| {describe_epoch(other, epoch_of_other)} "
            f"| {describe_passes(first, epoch_of_first, epoch_of_other)} |"
        )


def study_name(run):
    """Return the recipe and the start of a run, for the legend."""
    start = run.manifest["start"]
    if start is None:
        return run.manifest["recipe_name"]
    return f"{run.manifest['recipe_name']} after {start['origin']['kind']} galaxies"


def plot_studies(studies, with_seconds, path):
    """Plot validation accuracy against image passes and seconds, one line per seed."""
    first = studies[0][0]
    with house_style():
        fig = make_figure(0.42, 3)
        axes = fig.subplots(1, 2 if with_seconds else 1, sharey=True, squeeze=False)[0]
        axes[0].set_xlabel("image passes, simulated galaxies not counted")
        for study, (color, line_style) in zip(studies, itertools.cycle(LINE_STYLES)):
            for run in study:
                label = study_name(run) if run is study[0] else None
                line = {"color": color, "ls": line_style, "lw": 0.9, "label": label}
                accuracy = 100 * run.history["val_accuracy"]
                epochs = np.arange(1, len(accuracy) + 1)
                axes[0].plot(epochs * run.manifest["split"]["train_size"], accuracy, **line)
                if with_seconds:
                    axes[1].plot(epochs * seconds_per_epoch(run), accuracy, **line)
        for ax in axes:
            ax.set(xscale="log", ylim=(50, 100))
            ax.xaxis.set_major_formatter("{x:,.0f}")
            ax.grid()
        if with_seconds:
            axes[1].set_xlabel("seconds")
        galaxies = first.manifest["split"]["validation_size"]
        axes[0].set_title(f"{galaxies:,} validation galaxies, one line per seed", loc="left")
        axes[0].set_ylabel("validation accuracy (%)")
        axes[0].legend(loc="lower right")
        add_origin(fig, first.origin)
    save_figure(fig, path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("first", help="study whose best validation accuracies are the goals")
    parser.add_argument("others", nargs="+", help="studies to compare with it")
    parser.add_argument("--figure", help="figure to write")
    parser.add_argument("--seconds", action="store_true", help="plot against seconds as well")
    arguments = parser.parse_args()
    first = load_study(arguments.first)
    others = [load_study(path) for path in arguments.others]
    for other in others:
        print(f"\n{study_name(other[0])}\n")
        print_table(first, other)
    if arguments.figure:
        plot_studies([first, *others], arguments.seconds, arguments.figure)


if __name__ == "__main__":
    main()
