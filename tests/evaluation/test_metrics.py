import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from galclass import CLASS_NAMES, compute_metrics
from galclass.data.galaxy10 import CLASS_COUNTS
from galclass.errors import DataError
from galclass.evaluation.metrics import (
    HEADLINE,
    compute_calibration,
    format_metric,
    headline,
    reliability,
    top_confusions,
)

FRACTIONS = np.array(CLASS_COUNTS) / 21785


def normalise(scores):
    return scores / scores.sum(axis=1, keepdims=True)


@pytest.fixture(scope="module")
def predicted():
    """Labels and probabilities of 500 galaxies, of every class."""
    rng = np.random.default_rng(0)
    labels = np.append(np.arange(20) % 10, rng.choice(10, 480, p=FRACTIONS))
    return labels, normalise(rng.random((500, 10)) + 0.5 * np.eye(10)[labels])


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=20, max_size=300), st.integers(0, 10**6))
def test_metrics_equal_those_of_scikit_learn_for_any_classes(labels, seed):
    labels = np.array(labels)
    classes = np.arange(10)
    probabilities = normalise(np.random.default_rng(seed).random((len(labels), 10)) + 1e-5)
    predicted = probabilities.argmax(axis=1)
    metrics = compute_metrics(labels, probabilities, CLASS_NAMES)
    json.dumps(metrics, allow_nan=False)
    transposed = sklearn_metrics.confusion_matrix(labels, predicted, labels=classes)
    assert metrics["confusion_matrix"] == transposed.T.tolist()
    precision, recall, f1, support = sklearn_metrics.precision_recall_fscore_support(
        labels, predicted, labels=classes, zero_division=np.nan
    )
    is_present = support > 0
    reweighted = None
    if is_present.all():
        reweighted = FRACTIONS @ recall
    expected = {
        "accuracy": sklearn_metrics.accuracy_score(labels, predicted),
        "balanced_accuracy": recall[is_present].mean(),
        "macro_f1": np.nan_to_num(f1).mean(),
        "macro_f1_present": f1[is_present].mean(),
        "log_loss": sklearn_metrics.log_loss(labels, probabilities, labels=classes),
        "reweighted_accuracy": reweighted,
    }
    assert {key: metrics[key] for key in expected} == pytest.approx(expected)
    columns = {"precision": precision, "recall": recall, "f1": f1, "support": support}
    for key, values in columns.items():
        found = np.array([row[key] for row in metrics["classes"]], float)
        np.testing.assert_allclose(found, values)
    assert [row["recall_interval"] is not None for row in metrics["classes"]] == [*is_present]


def test_bootstrap_intervals_are_those_of_resampled_galaxies(predicted):
    labels, probabilities = predicted
    is_correct = labels == probabilities.argmax(axis=1)
    balanced = []
    for chosen in np.random.default_rng(5).integers(500, size=(2000, 500)):
        if len(set(labels[chosen])) == 10:
            recall = [is_correct[chosen][labels[chosen] == c].mean() for c in range(10)]
            balanced.append(np.mean(recall))
    metrics = compute_metrics(labels, probabilities, CLASS_NAMES)
    expected = np.percentile(balanced, [2.5, 97.5])
    np.testing.assert_allclose(metrics["balanced_accuracy_interval"], expected, atol=0.015)
    for name in ("accuracy", "macro_f1", "reweighted_accuracy"):
        low, high = metrics[f"{name}_interval"]
        assert low < metrics[name] < high
    assert compute_metrics(labels, probabilities, CLASS_NAMES) == metrics


def test_interval_is_missing_if_hardly_any_resample_holds_every_class():
    metrics = compute_metrics(np.arange(10), np.eye(10))
    assert metrics["balanced_accuracy"] == 1
    assert metrics["balanced_accuracy_interval"] is None


def test_class_fractions_of_galaxy10_are_used_only_for_its_classes(predicted):
    metrics = compute_metrics(*predicted)
    assert [row["name"] for row in metrics["classes"]] == [str(c) for c in range(10)]
    assert metrics["reweighted_accuracy"] is None
    assert compute_metrics(*predicted, CLASS_NAMES[::-1])["reweighted_accuracy"] is None


def test_every_metric_of_the_headline_is_computed_and_a_missing_one_is_none(predicted):
    metrics = compute_metrics(*predicted, CLASS_NAMES)
    assert headline(metrics) == {key: metrics[key] for key in HEADLINE}
    assert all(isinstance(metrics[key], float) for key in HEADLINE)
    assert headline({}) == dict.fromkeys(HEADLINE)
    values = {"accuracy": 0.926, "log_loss": 0.2284, "brier": None}
    texts = [format_metric(key, value) for key, value in values.items()]
    assert texts == ["92.6 %", "0.228", "-"]


def test_other_labels_probabilities_and_names_are_refused(predicted):
    labels, probabilities = predicted
    for words, bad, names in (
        ("expected float of shape", probabilities[:, 0], None),
        ("expected one each", probabilities[:-1], None),
        ("sum of 1", probabilities * 2, None),
        ("finite", np.where(probabilities > 0.2, np.nan, probabilities), None),
        ("empty", probabilities[:0], None),
        ("3 class names, expected 10", probabilities, ["a", "b", "c"]),
    ):
        with pytest.raises(DataError, match=words):
            compute_metrics(labels, bad, names)


def test_largest_confusions_come_first_without_small_classes():
    matrix = np.diag([90, 80, 70, 60, 50, 3, 30, 20, 60, 30])
    matrix[0, 8] = 40
    matrix[0, 9] = 10
    matrix[4, 5] = 3
    assert top_confusions(matrix) == [(8, 0, 0.4, 100), (9, 0, 0.25, 40)]


def test_calibration_error_is_0_for_certain_and_correct_and_1_for_certain_and_wrong():
    labels = np.arange(4)
    correct = compute_calibration(labels, np.eye(5)[labels])
    assert correct == {"log_loss": 0, "calibration_error": 0, "brier": 0}
    wrong = compute_calibration(labels, np.eye(5)[labels + 1])
    assert wrong["calibration_error"] == 1
    assert wrong["brier"] == 2


def test_calibration_error_shows_overconfidence():
    rng = np.random.default_rng(0)
    scores = np.exp(2 * rng.normal(size=(20000, 10)))
    honest = normalise(scores)
    labels = (rng.random((20000, 1)) > honest.cumsum(axis=1)).sum(axis=1).clip(0, 9)
    curve = reliability(labels, honest)
    assert curve["galaxies"].sum() == 20000
    filled = curve["galaxies"] > 200
    np.testing.assert_allclose(curve["accuracy"][filled], curve["confidence"][filled], atol=0.08)
    calibration = compute_calibration(labels, honest)
    assert calibration["calibration_error"] < 0.02
    for key, value in compute_calibration(labels, normalise(scores**2)).items():
        assert value > calibration[key]
