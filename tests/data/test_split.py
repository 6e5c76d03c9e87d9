"""The split is the published comparison's, complete, stable and the same for everybody."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.model_selection import train_test_split

from galclass import split
from galclass.data.galaxy10 import CLASS_COUNTS
from galclass.data.split import split_record
from galclass.errors import ParameterError

# Many small classes, few galaxies of some and none of others.
LABELS = hnp.arrays(np.uint8, st.integers(100, 300), elements=st.integers(0, 9))
EVEN = np.repeat(np.arange(10), 20)


def _assert_same(one, other):
    for ours, theirs in zip(one, other, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_the_splits_are_those_of_the_public_comparison_and_the_published_notebook():
    labels = np.repeat(np.arange(10), CLASS_COUNTS)
    options = {"stratify": labels, "random_state": 42}
    rest, test = train_test_split(np.arange(21785), test_size=0.15, **options)
    options["stratify"] = labels[rest]
    train, validation = train_test_split(rest, test_size=0.1765, **options)
    _assert_same(split(labels), (train, validation, test))
    assert [len(part) for part in split(labels, "published")] == [13942, 3486, 4357]


@pytest.mark.filterwarnings("ignore:classes .* have fewer than 3 galaxies")
@settings(max_examples=25, deadline=None)
@given(LABELS, st.integers(0, 2**32 - 1))
def test_the_sets_are_disjoint_complete_stable_and_stratified(labels, seed):
    for protocol in ("published", "stratified"):
        parts = split(labels, protocol, random_state=seed)
        np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(len(labels)))
        assert min(map(len, parts)) > 0
        _assert_same(parts, split(labels.tolist(), protocol, random_state=np.uint32(seed)))
    counts = np.bincount(labels, minlength=10)
    for part, fraction, draws in zip(parts, (0.7, 0.15, 0.15), (2, 2, 1), strict=True):
        found = np.bincount(labels[part], minlength=10)
        # Each of the draws rounds each class by less than one galaxy, and so the size of the set.
        assert (np.abs(found - fraction * counts)[counts >= 3] < 2 * draws).all()


def test_classes_of_one_or_two_galaxies_train_only_with_a_warning_that_names_them():
    labels = np.repeat([0, 1, 2, 3], [1, 2, 3, 94])
    with pytest.warns(UserWarning, match=r"classes \[0, 1\] have fewer than 3 .*training set"):
        parts = split(labels)
    assert np.bincount(labels[parts.train])[:2].tolist() == [1, 2]


def test_folds_share_the_test_set_and_each_other_galaxy_validates_once():
    plain = split(EVEN)
    parts = [split(EVEN, f"fold-{k}-of-4") for k in range(1, 5)]
    for part in parts:
        np.testing.assert_array_equal(part.test, plain.test)
        np.testing.assert_array_equal(np.sort(np.concatenate(part)), np.arange(200))
        assert np.ptp(np.bincount(EVEN[part.validation], minlength=10)) <= 1
    validated = np.sort(np.concatenate([part.validation for part in parts]))
    np.testing.assert_array_equal(validated, np.setdiff1d(np.arange(200), plain.test))


@pytest.mark.parametrize("fold", ["0-of-4", "5-of-4", "1-of-1", "1"])
def test_other_folds_are_refused(fold):
    with pytest.raises(ParameterError, match=r"unknown split .*, expected 'stratified'"):
        split(EVEN, f"fold-{fold}")


@pytest.mark.filterwarnings("ignore:classes")
def test_too_few_galaxies_and_other_seeds_are_refused():
    with pytest.raises(ParameterError, match="9 galaxies are too few"):
        split(EVEN[:90:10])
    with pytest.raises(ParameterError, match="random_state="):
        split(EVEN, random_state=2**32)


def test_the_record_tells_other_galaxies_and_another_split():
    parts, record = split_record(EVEN, "stratified")
    _assert_same(parts, split(EVEN))
    sizes = {"train_size": 139, "validation_size": 31, "test_size": 30}
    assert record == {"protocol": "stratified", **sizes, "sha256": record["sha256"]}
    assert split_record(EVEN.astype(np.uint8), "stratified")[1] == record
    for others in ((EVEN, "fold-1-of-5"), (EVEN[::-1], "stratified")):
        assert split_record(*others)[1]["sha256"] != record["sha256"]
