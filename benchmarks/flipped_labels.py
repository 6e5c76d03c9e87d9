"""Measure how many randomly changed labels cleanlab finds.

Draw galaxies, change some labels at random, and cross-validate from the simulated start, as
``galclass study --folds`` does. Then rank all galaxies by cleanlab's label quality, computed from
``out_of_fold.npz``, and count the changed labels among the worst. A study that was stopped resumes.
Needs ``pip install cleanlab``.

    python benchmarks/flipped_labels.py --data Galaxy10.h5 --out runs/flipped --n 3000 --folds 3
"""

import argparse
import warnings
from pathlib import Path

import numpy as np
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores

from galclass import load_data, study


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="HDF5 file in Galaxy10's layout")
    parser.add_argument("--out", required=True, type=Path, help="folder for the study")
    parser.add_argument("--n", type=int, default=3000, help="number of galaxies to draw")
    parser.add_argument("--share", type=float, default=0.03, help="fraction of labels to change")
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=8)
    return parser.parse_args()


def change_labels(labels, share, rng):
    """Return labels of which a fraction is replaced by other classes, and the changed rows."""
    changed = rng.permutation(len(labels))[: round(share * len(labels))]
    given = labels.copy()
    given[changed] = (labels[changed] + rng.integers(1, 10, len(changed))) % 10
    return given, changed


def main():
    arguments = parse_arguments()
    images, labels, origin = load_data(arguments.data)
    rng = np.random.default_rng(0)
    drawn = np.sort(rng.permutation(len(labels))[: arguments.n])
    given, changed = change_labels(labels[drawn], arguments.share, rng)
    with warnings.catch_warnings():  # Some classes have few galaxies.
        warnings.simplefilter("ignore")
        study(
            images[drawn],
            given,
            origin,
            out=arguments.out,
            folds=arguments.folds,
            epochs=arguments.epochs,
            start="simulated",
        )

    pooled = np.load(arguments.out / "out_of_fold.npz")
    is_changed = np.isin(pooled["index"], changed)
    number = is_changed.sum()
    print(f"{number} of {len(changed)} changed labels are among {len(is_changed):,} galaxies")
    quality = get_label_quality_scores(pooled["label"], pooled["probabilities"])
    worst_first = np.argsort(quality, kind="stable")
    for multiple in (1, 2, 4):
        fraction = multiple * arguments.share
        found = is_changed[worst_first[: round(fraction * len(quality))]].sum()
        print(f"worst {100 * fraction:.0f} %: {found}, {found / number:.0%}")
    issues = find_label_issues(pooled["label"], pooled["probabilities"])
    found = is_changed[issues].sum()
    print(f"find_label_issues: {issues.sum()} issues, {found} of them changed")


if __name__ == "__main__":
    main()
