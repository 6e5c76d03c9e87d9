"""The split of galaxies into training, validation and test sets, and its record."""

import re
import warnings
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import ParameterError
from ..files import sha256_of_arrays
from .arrays import Labels, check_integer, check_labels


class Split(NamedTuple):
    """Indices of the training, validation and test galaxies, int64 arrays without overlap."""

    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]


def split(labels: Labels, protocol: str = "stratified", *, random_state: int = 42) -> Split:
    """Split galaxies into training, validation and test sets.

    Parameters
    ----------
    labels : array of int, shape (N,)
        Classes, from 0.
    protocol : {"stratified", "published"} or str
        ``"stratified"``: 70/15/15 with the class fractions kept, as the strongest public
        comparison does it: ``train_test_split(test_size=.15, stratify=..., random_state=42)``,
        then ``.1765`` of the rest for validation. ``"published"``: the published notebook's
        80/20, then 20 % of the training set for validation, not stratified (13,942 / 3,486 /
        4,357 of the 21,785); seeded here, which the notebook was not. ``"fold-2-of-5"``: the test
        galaxies are those of ``"stratified"``; of the others, the second of five stratified folds
        is for validation and the rest for training (Kohavi 1995, IJCAI 14, 1137).
    random_state : int, default 42
        Seed of the split. It is not the seed of the training, so that runs with several seeds
        share their test galaxies.

    Returns
    -------
    Split
        Named tuple ``train, validation, test`` of int64 index arrays, disjoint and complete.

    Raises
    ------
    ParameterError
        Unknown protocol, a seed out of range, or too few galaxies to split.

    Warns
    -----
    UserWarning
        A class has one or two galaxies. Too few for three sets, they all go to the training set
        unless the protocol is ``"published"``.

    Examples
    --------
    >>> import galclass
    >>> images, labels = galclass.simulate_galaxy10(200, class_fractions="balanced")
    >>> parts = galclass.split(labels)
    >>> [len(part) for part in parts]
    [139, 31, 30]
    >>> images[parts.test].shape
    (30, 69, 69, 3)
    """
    from sklearn.model_selection import StratifiedKFold, train_test_split

    labels = check_labels(labels, classes=256)
    random_state = check_integer(random_state, "random_state", 0, 2**32 - 1)
    fold = re.fullmatch(r"fold-(\d+)-of-(\d+)", str(protocol))
    number, folds = map(int, fold.groups()) if fold else (1, 2)
    if not (fold or protocol in ("stratified", "published")) or not 1 <= number <= folds > 1:
        raise ParameterError(
            f"unknown split {protocol!r}, expected 'stratified', 'published' or 'fold-1-of-5', "
            "any fold of 2 or more"
        )
    stratified = protocol != "published"

    def halve(galaxies: NDArray[np.int64], size: float) -> list[NDArray[np.int64]]:
        kept = labels[galaxies] if stratified else None
        return train_test_split(galaxies, test_size=size, stratify=kept, random_state=random_state)

    few = stratified & (np.bincount(labels)[labels] < 3)
    if few.any():
        warnings.warn(
            f"classes {np.unique(labels[few]).tolist()} have fewer than 3 galaxies each, which all "
            "go to the training set: no metric will show how well they are classified",
            stacklevel=2,
        )
    try:
        rest, test = halve(np.flatnonzero(~few), 0.15 if stratified else 0.2)
        if fold:
            folding = StratifiedKFold(folds, shuffle=True, random_state=random_state)
            train, validation = (
                rest[part] for part in [*folding.split(rest, labels[rest])][number - 1]
            )
        else:
            train, validation = halve(rest, 0.1765 if stratified else 0.2)
    except ValueError as error:
        raise ParameterError(f"{len(labels)} galaxies are too few to split: {error}") from error
    return Split(np.concatenate([train, np.flatnonzero(few)]), validation, test)


def split_record(labels: Labels, protocol: str) -> tuple[Split, dict[str, Any]]:
    """A split, and its record for a manifest: protocol, sizes and a hash of the indices."""
    parts = split(labels, protocol)
    sizes = {f"{name}_size": len(part) for name, part in parts._asdict().items()}
    digest = sha256_of_arrays(*(part.astype("<i8") for part in parts), np.asarray(labels, np.uint8))
    return parts, {"protocol": protocol, **sizes, "sha256": digest}
