"""How many labels that were changed at random are found among those worth a second look.

Draws galaxies, gives some of them another label at random, trains by cross-validation from the
simulated start, as ``galclass study --folds`` does, and looks where ``doubtful_labels`` lists them.
A study that was stopped resumes.

    python benchmarks/flipped_labels.py --data Galaxy10.h5 --out runs/flipped --n 3000 --folds 3
"""

import argparse
import warnings
from pathlib import Path

import numpy as np

from galclass import load_data, study
from galclass.studies import doubtful_labels


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="HDF5 file in Galaxy10's layout")
    parser.add_argument("--out", required=True, type=Path, help="folder for the study")
    parser.add_argument("--n", type=int, default=3000, help="galaxies to draw")
    parser.add_argument("--share", type=float, default=0.03, help="of them with another label")
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=8)
    arguments = parser.parse_args()
    images, labels, _ = load_data(arguments.data)
    rng = np.random.default_rng(0)
    drawn = np.sort(rng.permutation(len(labels))[: arguments.n])
    images, true = images[drawn], labels[drawn]
    given, flipped = true.copy(), rng.permutation(len(true))[: round(arguments.share * len(true))]
    given[flipped] = (true[flipped] + rng.integers(1, 10, len(flipped))) % 10
    settings = {"folds": arguments.folds, "epochs": arguments.epochs, "start": "simulated"}
    with warnings.catch_warnings():  # Of classes with few galaxies.
        warnings.simplefilter("ignore")
        study(images, given, out=arguments.out, **settings)
    listed = np.array(doubtful_labels(arguments.out)["index"])
    wrong = np.isin(listed, flipped)
    print(f"{wrong.sum()} of {len(flipped)} changed labels are among the {len(listed):,} judged")
    for times in (1, 2, 4):
        first = round(times * arguments.share * len(listed))
        found = wrong[:first].sum()
        print(f"first {100 * times * arguments.share:.0f} %: {found}, {found / wrong.sum():.0%}")


if __name__ == "__main__":
    main()
