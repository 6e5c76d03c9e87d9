"""How much training another recipe needs to reach the best validation accuracy of a first one.

Reads the histories of finished runs and trains nothing:

    python benchmarks/compute_to_accuracy.py runs/published runs/default

Image passes are epochs times training galaxies. Seconds are wall time, to be compared where the
runs had the same machine to themselves.
"""

import argparse

import numpy as np

from galclass import load_run


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("first", help="run whose best validation accuracy is the goal")
    parser.add_argument("others", nargs="+", help="runs that are to reach it")
    arguments = parser.parse_args()
    first = load_run(arguments.first)
    goal = first.history["val_accuracy"].max()
    print(f"goal: validation accuracy {goal:.4f}\n")
    print("| run | recipe, seed | epochs | image passes | of the first's | seconds |")
    print("|---|---|---|---|---|---|")
    passes_of_first = None
    for path in [arguments.first, *arguments.others]:
        run = load_run(path)
        manifest = run.manifest
        for key in ("source", "split"):
            if manifest[key] != first.manifest[key]:
                raise SystemExit(f"{path} has another {key} than {arguments.first}")
        reached = np.flatnonzero(run.history["val_accuracy"] >= goal)
        label = f"| {run.path.name} | {manifest['recipe_name']}, {manifest['seed']} |"
        if not len(reached):
            print(f"{label} not in {manifest['epochs']} | – | – | – |")
            continue
        epochs = int(reached[0]) + 1
        passes = epochs * manifest["split"]["train_size"]
        passes_of_first = passes_of_first or passes
        seconds = manifest["wall_time_s"] * epochs / manifest["epochs"]
        print(f"{label} {epochs} | {passes:,} | {passes / passes_of_first:.2f} | {seconds:.0f} |")


if __name__ == "__main__":
    main()
