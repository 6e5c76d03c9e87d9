import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

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

few = settings(max_examples=25, deadline=None)
LABELS = st.lists(st.integers(0, 9), min_size=20, max_size=300).map(
    lambda drawn: np.array(drawn, np.uint8)
)


def _random(labels, seed, power=1):
    scores = np.random.default_rng(seed).random((len(labels), 10)) ** power
    return scores / scores.sum(axis=1, keepdims=True)


@pytest.fixture(scope="module")
def predicted():
    rng = np.random.default_rng(0)
    labels = rng.choice(10, 500, p=np.array(CLASS_COUNTS) / 21785)
    labels[:20] = np.arange(20) % 10
    scores = rng.random((500, 10)) + 0.5 * np.eye(10)[labels]
    return labels, scores / scores.sum(axis=1, keepdims=True)


@pytest.fixture(scope="module")
def honest():
    """Probabilities from which the labels are really drawn."""
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(20000, 10)) * 2
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = (rng.random((20000, 1)) > probabilities.cumsum(axis=1)).sum(axis=1)
    return np.minimum(labels, 9), probabilities


def test_metrics_agree_with_scikit_learn(predicted):
    labels, probabilities = predicted
    answers = probabilities.argmax(axis=1)
    found = compute_metrics(labels, probabilities)
    for name, expected in (
        ("accuracy", sklearn_metrics.accuracy_score(labels, answers)),
        ("balanced_accuracy", sklearn_metrics.balanced_accuracy_score(labels, answers)),
        ("macro_f1", sklearn_metrics.f1_score(labels, answers, average="macro")),
        ("log_loss", sklearn_metrics.log_loss(labels, probabilities)),
    ):
        assert found[name] == pytest.approx(expected)
    precision, recall, _, support = sklearn_metrics.precision_recall_fscore_support(
        labels, answers, zero_division=0
    )
    weights = np.array(CLASS_COUNTS) / 21785
    assert found["reweighted_accuracy"] == pytest.approx(float(weights @ recall))
    for c, row in enumerate(found["classes"]):
        assert row["recall"] == pytest.approx(recall[c])
        assert (row["precision"] or 0) == pytest.approx(precision[c])
        assert row["support"] == support[c]


@few
@given(LABELS, st.integers(0, 10**6), st.integers(1, 10))
def test_confusion_matrices_are_scikit_learns_with_rows_predicted(labels, seed, known):
    predicted = np.random.default_rng(seed).integers(0, known, len(labels))
    matrix = confusion_matrix(labels, predicted)
    theirs = sklearn_metrics.confusion_matrix(labels, predicted, labels=np.arange(10))
    np.testing.assert_array_equal(matrix.T, theirs)
    np.testing.assert_array_equal(matrix.sum(axis=0), np.bincount(labels, minlength=10))


@few
@given(LABELS, st.integers(0, 10**6))
def test_metrics_are_defined_whatever_classes_are_absent(labels, seed):
    labels = labels[labels != labels[0]] if len(set(labels)) > 1 else labels
    probabilities = _random(labels, seed, 4)
    found = compute_metrics(labels, probabilities)
    json.dumps(found, allow_nan=False)
    answers = probabilities.argmax(axis=1)
    for name, classes in (("macro_f1", range(10)), ("macro_f1_present", sorted(set(labels)))):
        expected = sklearn_metrics.f1_score(
            labels, answers, labels=list(classes), average="macro", zero_division=0
        )
        assert found[name] == pytest.approx(expected)
    absent = [c not in labels for c in range(10)]
    assert found["reweighted_accuracy"] is None or not any(absent)
    assert [row["recall"] is None for row in found["classes"]] == absent
    assert [row["recall_interval"] is None for row in found["classes"]] == absent
    rows = [("accuracy", found), *(("recall", row) for row in found["classes"])]
    for name, row in rows:
        if row[name] is not None:
            low, high = row[f"{name}_interval"]
            assert 0 <= low <= row[name] + 1e-12
            assert row[name] - 1e-12 <= high <= 1


def test_intervals_of_shares_are_wilsons(predicted):
    # Newcombe 1998, Statistics in Medicine 17, 857, table I, method 3: 81 of 263 and 0 of 20.
    assert share_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert share_interval(0, 20) == pytest.approx((0, 0.1611), abs=5e-5)
    found = compute_metrics(*predicted)
    correct = np.trace(found["confusion_matrix"])
    assert found["accuracy_interval"] == list(share_interval(correct, 500))


def test_intervals_of_composed_metrics_are_the_bootstraps_over_galaxies(predicted):
    labels, probabilities = predicted
    answers, rng = probabilities.argmax(axis=1), np.random.default_rng(5)
    balanced = []
    while len(balanced) < 2000:
        chosen = rng.integers(500, size=500)
        counts = np.bincount(labels[chosen], minlength=10)
        if counts.all():
            correct = labels[chosen][labels[chosen] == answers[chosen]]
            balanced.append((np.bincount(correct, minlength=10) / counts).mean())
    found = compute_metrics(labels, probabilities)
    interval = found["balanced_accuracy_interval"]
    np.testing.assert_allclose(interval, np.percentile(balanced, [2.5, 97.5]), atol=0.015)
    for name in ("macro_f1", "reweighted_accuracy"):
        low, high = found[f"{name}_interval"]
        assert low < found[name] < high
    assert compute_metrics(labels, probabilities) == found


def test_a_bootstrap_that_hardly_ever_holds_every_class_gives_no_interval():
    labels = np.arange(10)
    found = compute_metrics(labels, np.eye(10))
    assert found["balanced_accuracy"] == 1
    assert found["balanced_accuracy_interval"] is None


def test_probabilities_that_are_none_are_refused(predicted):
    labels, probabilities = predicted
    for bad, words in (
        (probabilities[:, 0], "shape"),
        (probabilities[:-1], "one each"),
        (probabilities * 2, "sum to 1"),
        (np.where(probabilities > 0.2, np.nan, probabilities), "finite"),
    ):
        with pytest.raises(DataError, match=words):
            compute_metrics(labels, bad)
    with pytest.raises(DataError, match="one each"):
        confusion_matrix(labels, labels[1:])


def test_the_headline_is_a_part_of_the_metrics(predicted):
    found = compute_metrics(*predicted)
    assert headline(*predicted).items() <= found.items()


def test_the_largest_confusions_come_first_and_small_classes_are_left_out():
    matrix = np.diag([90, 80, 70, 60, 50, 3, 30, 20, 60, 30])
    matrix[0, 8] = 40
    matrix[0, 9] = 10
    matrix[4, 5] = 3
    assert top_confusions(matrix) == [(8, 0, 0.4, 100), (9, 0, 0.25, 40)]
    with pytest.raises(DataError, match="classes, classes"):
        top_confusions(matrix[1:])


def test_certain_and_correct_is_perfect_and_certain_and_misclassified_the_worst():
    certain = np.eye(10)[[0, 1, 2, 3]]
    assert compute_calibration(np.array([0, 1, 2, 3]), certain) == {
        "calibration_error": 0.0,
        "brier": 0.0,
        "log_loss": pytest.approx(0),
    }
    worst = compute_calibration(np.array([1, 2, 3, 4]), certain)
    assert worst["calibration_error"] == 1
    assert worst["brier"] == 2


def test_bins_hold_every_galaxy_once(honest):
    curve = reliability(*honest)
    assert curve["galaxies"].sum() == 20000
    filled = curve["galaxies"] > 200
    np.testing.assert_allclose(curve["accuracy"][filled], curve["confidence"][filled], atol=0.08)


def test_honest_probabilities_have_a_small_calibration_error_and_sharpened_ones_a_large_one(honest):
    labels, probabilities = honest
    sharpened = probabilities**2 / (probabilities**2).sum(axis=1, keepdims=True)
    before, after = (compute_calibration(labels, p) for p in (sharpened, probabilities))
    assert before["calibration_error"] > 0.1
    assert after["calibration_error"] < 0.02
    assert after["brier"] < before["brier"]
    assert after["log_loss"] < before["log_loss"]
