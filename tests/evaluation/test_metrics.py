import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as theirs

from galclass.data.galaxy10 import CLASS_COUNTS
from galclass.errors import DataError
from galclass.evaluation.metrics import (
    compute_calibration,
    compute_metrics,
    confusion_matrix,
    headline,
    reliability,
    share_interval,
    top_confusions,
)

FRACTIONS = np.array(CLASS_COUNTS) / 21785


@pytest.fixture(scope="module")
def predicted():
    rng = np.random.default_rng(0)
    labels = np.append(np.arange(20) % 10, rng.choice(10, 480, p=FRACTIONS))
    scores = rng.random((500, 10)) + 0.5 * np.eye(10)[labels]
    return labels, scores / scores.sum(axis=1, keepdims=True)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=20, max_size=300), st.integers(0, 10**6))
def test_metrics_are_scikit_learns_whatever_classes_are_absent(drawn, seed):
    """The confusion matrix has rows predicted, theirs has rows true."""
    labels, present, every = np.array(drawn), sorted(set(drawn)), range(10)
    scores = np.random.default_rng(seed).random((len(labels), 10)) + 1e-5
    probabilities = scores / scores.sum(axis=1, keepdims=True)
    pair = labels, probabilities.argmax(axis=1)
    found = compute_metrics(labels, probabilities)
    json.dumps(found, allow_nan=False)
    matrix = theirs.confusion_matrix(*pair, labels=every).T.tolist()
    assert found["confusion_matrix"] == confusion_matrix(*pair).tolist() == matrix
    rows, of_classes = found["classes"], theirs.precision_recall_fscore_support
    precision, recall, f1, support = of_classes(*pair, labels=every, zero_division=0)
    expected = {
        "accuracy": theirs.accuracy_score(*pair),
        "balanced_accuracy": recall[present].mean(),
        "macro_f1": f1.mean(),
        "macro_f1_present": f1[present].mean(),
        "log_loss": theirs.log_loss(labels, probabilities, labels=every),
        "reweighted_accuracy": FRACTIONS @ recall if support.all() else None,
    }
    assert {key: found[key] for key in expected} == pytest.approx(expected)
    assert [row["support"] for row in rows] == support.tolist()
    assert [row["precision"] or 0 for row in rows] == pytest.approx(precision)
    for row, n, share in zip(rows, support, recall, strict=True):
        assert row["recall"] == (share if n else None)
        low, high = row["recall_interval"] or (None, None)
        assert 0 <= low <= share + 1e-12 <= high + 2e-12 <= 1 + 2e-12 if n else low is None


def test_intervals_of_shares_are_wilsons(predicted):
    # Newcombe 1998, Statistics in Medicine 17, 857, table I, method 3: 81 of 263 and 0 of 20.
    assert share_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert share_interval(0, 20) == pytest.approx((0, 0.1611), abs=5e-5)
    found = compute_metrics(*predicted)
    correct = np.trace(found["confusion_matrix"])
    assert found["accuracy_interval"] == list(share_interval(correct, 500))


def test_intervals_of_composed_metrics_are_the_bootstraps_over_galaxies(predicted):
    labels, probabilities = predicted
    correct, rng = labels == probabilities.argmax(axis=1), np.random.default_rng(5)
    chosen = rng.integers(500, size=(2000, 500))
    recalls = [
        [correct[row][labels[row] == c].mean() for c in range(10)]
        for row in chosen
        if len(set(labels[row])) == 10
    ]
    found = compute_metrics(labels, probabilities)
    expected = np.percentile(np.mean(recalls, axis=1), [2.5, 97.5])
    np.testing.assert_allclose(found["balanced_accuracy_interval"], expected, atol=0.015)
    for name in ("macro_f1", "reweighted_accuracy"):
        low, high = found[f"{name}_interval"]
        assert low < found[name] < high
    assert compute_metrics(labels, probabilities) == found
    assert headline(labels, probabilities).items() <= found.items()
    rare = compute_metrics(np.arange(10), np.eye(10))  # Hardly a resample holds every class.
    assert (rare["balanced_accuracy"], rare["balanced_accuracy_interval"]) == (1, None)


def test_probabilities_that_are_none_are_refused(predicted):
    labels, good = predicted
    bad = {"shape": good[:, 0], "one each": good[:-1], "sum to 1": good * 2}
    for words, probabilities in (bad | {"finite": np.where(good > 0.2, np.nan, good)}).items():
        with pytest.raises(DataError, match=words):
            compute_metrics(labels, probabilities)
    with pytest.raises(DataError, match="one each"):
        confusion_matrix(labels, labels[1:])


def test_the_largest_confusions_come_first_and_small_classes_are_left_out():
    matrix = np.diag([90, 80, 70, 60, 50, 3, 30, 20, 60, 30])
    matrix[0, 8], matrix[0, 9], matrix[4, 5] = 40, 10, 3
    assert top_confusions(matrix) == [(8, 0, 0.4, 100), (9, 0, 0.25, 40)]


def test_calibration_is_perfect_when_certain_and_correct_and_sees_sharpened_probabilities():
    certain, labels = np.eye(10)[:4], np.arange(4)
    names = ("calibration_error", "brier", "log_loss")
    assert compute_calibration(labels, certain) == pytest.approx(dict.fromkeys(names, 0))
    worst = compute_calibration(labels + 1, certain)
    assert (worst["calibration_error"], worst["brier"]) == (1, 2)
    rng = np.random.default_rng(0)  # Labels are really drawn from the probabilities.
    scores = np.exp(2 * rng.normal(size=(20000, 10)))
    honest, sharp = (s / s.sum(axis=1, keepdims=True) for s in (scores, scores**2))
    labels = np.minimum((rng.random((20000, 1)) > honest.cumsum(axis=1)).sum(axis=1), 9)
    curve = reliability(labels, honest)
    assert curve["galaxies"].sum() == 20000
    filled = curve["galaxies"] > 200
    np.testing.assert_allclose(curve["accuracy"][filled], curve["confidence"][filled], atol=0.08)
    before, after = (compute_calibration(labels, p) for p in (sharp, honest))
    assert before["calibration_error"] > 0.1
    assert after["calibration_error"] < 0.02
    assert all(after[name] < before[name] for name in names)
