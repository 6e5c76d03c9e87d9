"""How much training another recipe needs to reach the best validation accuracy of a first one.

Reads the histories of two finished studies with the same seeds, and trains nothing:

    python benchmarks/compute_to_accuracy.py runs/published runs/study

Image passes are epochs times training galaxies. Seconds are wall time, to be compared where the
runs had the same computer to themselves.
"""

import argparse

import numpy as np

from galclass.studies import load_study


def reach(run, goal):
    """Epochs and seconds until a validation accuracy is reached, or None."""
    reached = np.flatnonzero(run.history["val_accuracy"] >= goal)
    if not len(reached):
        return None
    epochs = int(reached[0]) + 1
    return epochs, run.manifest["wall_time_s"] * epochs / run.manifest["epochs"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("first", help="study whose best validation accuracies are the goals")
    parser.add_argument("other", help="study that is to reach them")
    arguments = parser.parse_args()
    first, other = map(load_study, (arguments.first, arguments.other))
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
        share = f"{passes[1]:,} of {passes[0]:,}, {passes[1] / passes[0]:.2f}" if after else "–"
        print(f"| {ours.manifest['seed']} | {100 * goal:.2f} | {cells[0]} | {cells[1]} | {share} |")


if __name__ == "__main__":
    main()
