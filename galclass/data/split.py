"""The split into training, validation and test sets."""

import re
import warnings
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import ParameterError
from ..files import sha256_of_arrays
from .arrays import Labels, check_integer, check_labels


class Split(NamedTuple):
    """Indices of the training, validation and test set: int64 arrays without overlap."""

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
        - ``"stratified"``: 15 % for the test set, then 17.65 % of the rest for validation, with
          equal class fractions (70/15/15), as in the most accurate public work on Galaxy10.
        - ``"published"``: 20 % for the test set, then 20 % of the rest for validation, not
          stratified, as in the published notebook (13,942 / 3,486 / 4,357 of the 21,785). Here it
          is seeded.
        - ``"fold-K-of-N"``, such as ``"fold-2-of-5"``: the test set of ``"stratified"``; fold K of
          N stratified folds of the rest for validation (Kohavi 1995, IJCAI 14, 1137).
    random_state : int, default 42
        Seed of the split. The seed of the training is another one, so that runs with several
        seeds share their test set.

    Returns
    -------
    Split
        Named tuple ``train, validation, test`` of int64 index arrays; each galaxy is in one.

    Raises
    ------
    ParameterError
        Unknown protocol, a seed out of range, or too few galaxies to split.

    Warns
    -----
    UserWarning
        A class has one or two galaxies, too few for three sets. They all go to the training set,
        except with ``"published"``.

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
    labels = check_labels(labels)
    random_state = check_integer(random_state, "random_state", 0, 2**32 - 1)
    fold, folds = _parse_protocol(protocol)
    is_stratified = protocol != "published"
    rare = (np.bincount(labels)[labels] < 3) & is_stratified
    if rare.any():
        warnings.warn(
            f"classes {np.unique(labels[rare]).tolist()} have fewer than 3 galaxies each, which "
            "all go to the training set: no metric shows how well they are classified",
            stacklevel=2,
        )
    galaxies = np.flatnonzero(~rare)
    try:
        if not is_stratified:
            rest, test = _split_in_two(galaxies, None, 0.2, random_state)
            train, validation = _split_in_two(rest, None, 0.2, random_state)
        else:
            rest, test = _split_in_two(galaxies, labels, 0.15, random_state)
            if fold is None:
                train, validation = _split_in_two(rest, labels, 0.1765, random_state)
            else:
                train, validation = _take_fold(rest, labels, fold, folds, random_state)
    except ValueError as error:
        raise ParameterError(f"{len(labels)} galaxies are too few to split: {error}") from error
    return Split(np.concatenate([train, np.flatnonzero(rare)]), validation, test)


def _parse_protocol(protocol: str) -> tuple[int | None, int]:
    """Return the number of the fold, None for the other protocols, and the number of folds."""
    if protocol in ("stratified", "published"):
        return None, 0
    match = re.fullmatch(r"fold-(\d+)-of-(\d+)", str(protocol))
    if match:
        fold, folds = map(int, match.groups())
        if 1 <= fold <= folds and folds >= 2:
            return fold, folds
    raise ParameterError(
        f"unknown split {protocol!r}, expected 'stratified', 'published' or a fold such as "
        "'fold-1-of-5', of 2 folds or more"
    )


def _split_in_two(
    galaxies: NDArray[np.int64], labels: Labels | None, size: float, random_state: int
) -> list[NDArray[np.int64]]:
    """Split indices in two, with equal class fractions if labels are given."""
    from sklearn.model_selection import train_test_split

    stratify = None
    if labels is not None:
        stratify = labels[galaxies]
    return train_test_split(galaxies, test_size=size, stratify=stratify, random_state=random_state)


def _take_fold(
    galaxies: NDArray[np.int64], labels: Labels, fold: int, folds: int, random_state: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the indices of the other folds and of one fold."""
    from sklearn.model_selection import StratifiedKFold

    folding = StratifiedKFold(folds, shuffle=True, random_state=random_state)
    train, validation = list(folding.split(galaxies, labels[galaxies]))[fold - 1]
    return galaxies[train], galaxies[validation]


def split_record(labels: Labels, protocol: str) -> tuple[Split, dict[str, Any]]:
    """Return a split and its record for the manifest: protocol, sizes and a hash.

    The hash is of the indices and the labels.
    """
    parts = split(labels, protocol)
    indices = [part.astype("<i8") for part in parts]
    record = {
        "protocol": protocol,
        "train_size": len(parts.train),
        "validation_size": len(parts.validation),
        "test_size": len(parts.test),
        "sha256": sha256_of_arrays(*indices, np.asarray(labels, np.uint8)),
    }
    return parts, record
