"""The split is published, complete, stable and the same for everybody."""

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

# Many small classes; some of them have few galaxies or are empty.
LABELS = hnp.arrays(np.uint8, st.integers(100, 300), elements=st.integers(0, 9))
EVEN = np.repeat(np.arange(10), 20)


def assert_complete(parts, count):
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(count))


def test_splits_are_those_of_the_public_comparison_and_of_the_published_notebook():
    labels = np.repeat(np.arange(10), CLASS_COUNTS)
    options = {"random_state": 42, "stratify": labels}
    rest, test = train_test_split(np.arange(len(labels)), test_size=0.15, **options)
    options["stratify"] = labels[rest]
    train, validation = train_test_split(rest, test_size=0.1765, **options)
    np.testing.assert_equal(tuple(split(labels)), (train, validation, test))
    assert [len(part) for part in split(labels, "published")] == [13942, 3486, 4357]


@pytest.mark.filterwarnings("ignore:classes .* have fewer than 3 galaxies")
@pytest.mark.parametrize("protocol", ["stratified", "published"])
@settings(max_examples=10, deadline=None)
@given(labels=LABELS, seed=st.integers(0, 2**32 - 1))
def test_each_galaxy_is_in_one_set_and_the_seed_fixes_which(protocol, labels, seed):
    parts = split(labels, protocol, random_state=seed)
    assert_complete(parts, len(labels))
    assert min(len(part) for part in parts) > 0
    again = split(labels.tolist(), protocol, random_state=np.uint32(seed))
    np.testing.assert_equal(tuple(parts), tuple(again))


def test_classes_of_one_or_two_galaxies_are_only_trained_on_with_a_warning():
    labels = np.repeat([0, 1, 2, 3], [1, 2, 3, 94])
    with pytest.warns(UserWarning, match=r"classes \[0, 1\] have fewer than 3 .*training set"):
        parts = split(labels)
    assert np.bincount(labels[parts.train])[:2].tolist() == [1, 2]


def test_folds_share_the_test_set_and_validate_each_other_galaxy_once():
    test = split(EVEN).test
    validated = []
    for fold in range(1, 5):
        parts = split(EVEN, f"fold-{fold}-of-4")
        assert_complete(parts, 200)
        np.testing.assert_array_equal(parts.test, test)
        assert np.ptp(np.bincount(EVEN[parts.validation], minlength=10)) <= 1
        validated.extend(parts.validation)
    np.testing.assert_array_equal(np.sort(validated), np.setdiff1d(np.arange(200), test))


@pytest.mark.filterwarnings("ignore:classes")
def test_impossible_split_is_refused():
    for protocol in ("lucky", None, "fold-0-of-4", "fold-5-of-4", "fold-1-of-1", "fold-1"):
        with pytest.raises(ParameterError, match=f"unknown split {protocol!r}, expected 'strat"):
            split(EVEN, protocol)
    with pytest.raises(ParameterError, match="random_state="):
        split(EVEN, random_state=2**32)
    with pytest.raises(ParameterError, match="9 galaxies are too few"):
        split(EVEN[:90:10])


def test_record_has_the_sizes_and_the_hash_of_galaxies_and_split():
    parts, record = split_record(EVEN, "stratified")
    np.testing.assert_equal(tuple(parts), tuple(split(EVEN)))
    sizes = {"train_size": 139, "validation_size": 31, "test_size": 30}
    assert record == {"protocol": "stratified", **sizes, "sha256": record["sha256"]}
    assert split_record(EVEN.astype(np.uint8), "stratified")[1] == record
    assert split_record(EVEN, "fold-1-of-5")[1]["sha256"] != record["sha256"]
    assert split_record(EVEN[::-1], "stratified")[1]["sha256"] != record["sha256"]
