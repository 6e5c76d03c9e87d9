"""The split is the published comparison's, complete, stable and the same for everybody."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from galclass import split
from galclass.data.galaxy10 import CLASS_COUNTS
from galclass.data.split import split_record
from galclass.errors import ParameterError

few = settings(max_examples=25, deadline=None)
# Many small classes, few galaxies of some and none of others, in any order.
LABELS = st.lists(st.integers(0, 9), min_size=100, max_size=300).flatmap(
    lambda drawn: st.permutations(drawn).map(lambda order: np.array(order, np.uint8))
)
SEEDS = st.integers(0, 2**32 - 1)
EVEN = np.repeat(np.arange(10), 20)


def _split(*arguments, **keywords):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "classes .* have fewer than 3 galaxies")
        return split(*arguments, **keywords)


def _assert_same(one, other):
    for ours, theirs in zip(one, other, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_the_stratified_split_is_the_public_comparisons():
    from sklearn.model_selection import train_test_split

    labels = np.random.default_rng(0).choice(10, 3000, p=np.array(CLASS_COUNTS) / 21785)
    labels[:30] = np.repeat(np.arange(10), 3)
    rest, test = train_test_split(np.arange(3000), test_size=0.15, stratify=labels, random_state=42)
    train, validation = train_test_split(
        rest, test_size=0.1765, stratify=labels[rest], random_state=42
    )
    _assert_same(split(labels), (train, validation, test))


def test_the_published_split_has_the_published_sizes():
    labels = np.repeat(np.arange(10), CLASS_COUNTS)
    assert [len(part) for part in split(labels, "published")] == [13942, 3486, 4357]


@few
@given(LABELS, SEEDS, st.sampled_from(["stratified", "published"]))
def test_the_sets_are_disjoint_complete_and_stable(labels, seed, protocol):
    parts = _split(labels, protocol, random_state=seed)
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(len(labels)))
    assert min(map(len, parts)) > 0
    _assert_same(parts, _split(labels.tolist(), protocol, random_state=np.uint32(seed)))


@few
@given(LABELS, SEEDS)
def test_a_stratified_split_keeps_the_class_fractions_within_one_galaxy_a_draw(labels, seed):
    parts = _split(labels, random_state=seed)
    counts = np.bincount(labels, minlength=10)
    for part, fraction, draws in zip(parts, (0.7, 0.15, 0.15), (2, 2, 1), strict=True):
        found = np.bincount(labels[part], minlength=10)
        stratified = counts >= 3
        # Each of the draws rounds each class by less than one galaxy, and the size of the set.
        assert (np.abs(found - fraction * counts)[stratified] < draws + 0.2).all()
    tiny = np.isin(labels, np.flatnonzero(counts < 3))
    assert tiny[parts.train].sum() == tiny.sum()


def test_classes_of_one_or_two_galaxies_train_only_with_a_warning_that_names_them():
    labels = np.repeat([0, 1, 2, 3], [1, 2, 3, 94])
    with pytest.warns(UserWarning, match=r"classes \[0, 1\] have fewer than 3 .*training set"):
        parts = split(labels)
    assert {0, 1} & set(labels[np.concatenate([parts.validation, parts.test])]) == set()
    assert np.bincount(labels[parts.train])[:2].tolist() == [1, 2]


def test_folds_share_the_test_set_and_each_other_galaxy_validates_once():
    plain = split(EVEN)
    parts = [split(EVEN, f"fold-{k}-of-4") for k in range(1, 5)]
    for part in parts:
        np.testing.assert_array_equal(part.test, plain.test)
        np.testing.assert_array_equal(np.sort(np.concatenate(part)), np.arange(200))
        counts = np.bincount(EVEN[part.validation], minlength=10)
        assert counts.max() - counts.min() <= 1
    validated = np.concatenate([part.validation for part in parts])
    rest = np.concatenate([plain.train, plain.validation])
    np.testing.assert_array_equal(np.sort(validated), np.sort(rest))


@pytest.mark.parametrize(
    ("keywords", "words"),
    [
        *(({"protocol": f"fold-{k}"}, "split") for k in ("0-of-4", "5-of-4", "1-of-1", "1")),
        ({"protocol": "lucky"}, "unknown split 'lucky', expected 'stratified'"),
        ({"protocol": None}, "unknown split None"),
        *(({"random_state": wrong}, "random_state=") for wrong in (-1, 2**32, True, 1.0, None)),
        ({"labels": EVEN[:2]}, "2 galaxies are too few"),
        ({"labels": EVEN[:90:10]}, "9 galaxies are too few"),
    ],
)
def test_other_splits_are_refused(keywords, words):
    with pytest.raises(ParameterError, match=words):
        _split(**{"labels": EVEN, **keywords})


def test_the_record_tells_other_galaxies_and_another_split():
    parts, record = split_record(EVEN, "stratified")
    _assert_same(parts, split(EVEN))
    sizes = {"train_size": 139, "validation_size": 31, "test_size": 30}
    sha256 = record.pop("sha256")
    assert record == {"protocol": "stratified", **sizes}
    assert split_record(EVEN.astype(np.uint8), "stratified")[1]["sha256"] == sha256
    assert split_record(EVEN, "fold-1-of-5")[1]["sha256"] != sha256
    assert split_record(EVEN[::-1], "stratified")[1]["sha256"] != sha256
