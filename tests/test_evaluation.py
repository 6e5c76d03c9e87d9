import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from galclass import evaluate, split
from galclass.calibration import apply_temperature, shift_prior
from galclass.evaluation import compute_metrics, confusion_matrix, predict_proba, top_confusions
from galclass.galaxy10 import CLASS_COUNTS
from galclass.runs import RunError


@pytest.fixture(scope="module")
def predicted():
    rng = np.random.default_rng(0)
    labels = rng.choice(10, 500, p=np.array(CLASS_COUNTS) / 21785)
    labels[:10] = np.arange(10)
    scores = rng.random((500, 10)) + 0.5 * np.eye(10)[labels]
    return labels, scores / scores.sum(axis=1, keepdims=True)


def test_metrics_agree_with_scikit_learn(predicted):
    labels, probabilities = predicted
    said = probabilities.argmax(axis=1)
    found = compute_metrics(labels, probabilities)
    assert found["accuracy"] == pytest.approx(sklearn_metrics.accuracy_score(labels, said))
    assert found["balanced_accuracy"] == pytest.approx(
        sklearn_metrics.balanced_accuracy_score(labels, said)
    )
    assert found["macro_f1"] == pytest.approx(
        sklearn_metrics.f1_score(labels, said, average="macro")
    )
    assert found["log_loss"] == pytest.approx(sklearn_metrics.log_loss(labels, probabilities))
    precision, recall, _, support = sklearn_metrics.precision_recall_fscore_support(
        labels, said, zero_division=0
    )
    for c, row in enumerate(found["classes"]):
        assert row["recall"] == pytest.approx(recall[c])
        assert (row["precision"] or 0) == pytest.approx(precision[c])
        assert row["support"] == support[c]


def test_rows_of_the_confusion_matrix_are_predictions_and_columns_truths():
    matrix = confusion_matrix([0, 0, 1], [0, 2, 1])
    assert matrix[2, 0] == 1
    assert matrix[0, 0] == matrix[1, 1] == 1
    assert matrix.sum() == 3


def test_the_interval_is_the_bootstraps(predicted):
    labels, probabilities = predicted
    right = probabilities.argmax(axis=1) == labels
    rng = np.random.default_rng(5)
    means = [right[rng.integers(500, size=500)].mean() for _ in range(4000)]
    interval = compute_metrics(labels, probabilities)["accuracy_interval"]
    np.testing.assert_allclose(interval, np.percentile(means, [2.5, 97.5]), atol=0.006)


def test_the_reweighted_accuracy_is_that_of_a_sample_with_the_given_mix(predicted):
    labels, probabilities = predicted
    mix = np.bincount(labels, minlength=10)
    found = compute_metrics(labels, probabilities, class_fractions=mix)
    assert found["reweighted_accuracy"] == pytest.approx(found["accuracy"])
    even = compute_metrics(labels, probabilities, class_fractions=np.ones(10))
    assert even["reweighted_accuracy"] == pytest.approx(found["balanced_accuracy"])


def test_an_absent_class_has_no_recall_and_breaks_nothing(predicted):
    labels, probabilities = predicted
    kept = labels != 5
    found = compute_metrics(labels[kept], probabilities[kept])
    assert found["classes"][5]["recall"] is None
    assert found["reweighted_accuracy"] is None
    assert 0 < found["balanced_accuracy"] < 1


def test_the_largest_confusions_come_first():
    matrix = np.diag([90, 80, 70, 60, 50, 3, 30, 20, 60, 30])
    matrix[0, 8] = 40
    matrix[0, 9] = 10
    matrix[4, 5] = 3
    assert top_confusions(matrix) == [(8, 0, 0.4, 100), (9, 0, 0.25, 40)]


def test_predictions_do_not_depend_on_the_batch(trained, pictures):
    model = trained.load_model()
    whole = predict_proba(model, pictures[0])
    np.testing.assert_allclose(predict_proba(model, pictures[0], batch_size=7), whole, atol=1e-6)
    some = predict_proba(model, pictures[0], [5, 3])
    np.testing.assert_allclose(some, whole[[5, 3]], atol=1e-6)


def test_symmetric_prediction_does_not_change_when_the_picture_is_turned(trained, pictures):
    model, images = trained.load_model(), pictures[0][:8]
    straight = predict_proba(model, images, symmetric=True)
    turned = predict_proba(model, np.rot90(images, axes=(1, 2)), symmetric=True)
    np.testing.assert_allclose(turned, straight, atol=1e-6)
    assert not np.allclose(predict_proba(model, images), straight, atol=1e-7)


def test_a_run_is_measured_on_its_own_test_galaxies(trained, pictures):
    images, labels = pictures
    found = evaluate(trained, images, labels)
    saved = trained.predictions
    assert trained.metrics == found
    np.testing.assert_array_equal(saved["labels"], labels[saved["indices"]])
    expected = predict_proba(trained.load_model(), images, saved["indices"], symmetric=True)
    np.testing.assert_allclose(saved["probabilities"], expected, atol=1e-6)
    assert found["symmetric"] is True
    assert found["plain"]["accuracy"] <= 1
    counts = np.bincount(labels[split(labels).train], minlength=10)
    mixed = found["public_mix"]
    calibrated = apply_temperature(expected, found["temperature"])
    shifted = shift_prior(calibrated, counts, CLASS_COUNTS, strength=mixed["strength"])
    assert mixed["log_loss"] == pytest.approx(
        compute_metrics(labels[saved["indices"]], shifted)["log_loss"], abs=1e-5
    )
    with pytest.raises(RunError, match="not the run's"):
        evaluate(trained, images[:-5], labels[:-5])
