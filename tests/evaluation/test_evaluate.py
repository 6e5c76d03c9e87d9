import numpy as np
import pytest

from galclass import evaluate, load_run, split
from galclass.data.dataset import Origin
from galclass.data.galaxy10 import CLASS_COUNTS
from galclass.errors import RunError
from galclass.evaluation.evaluate import _fit, find_mistakes, measure
from galclass.evaluation.metrics import compute_metrics, headline
from galclass.network.calibration import Calibration, fit_temperature, log_prior_shift
from galclass.network.probabilities import predict_proba


def test_a_run_is_measured_on_its_own_test_galaxies_and_measuring_writes_nothing(
    measured, images_of_brightness
):
    images, labels = images_of_brightness
    saved, test, model = measured.predictions, split(labels).test, measured.load_model()
    np.testing.assert_array_equal(saved["indices"], test)
    np.testing.assert_array_equal(saved["labels"], labels[test])
    expected = predict_proba(model, images, test, symmetric="unsure")
    np.testing.assert_allclose(saved["probabilities"], expected, atol=1e-6)
    found = compute_metrics(saved["labels"], saved["probabilities"])
    assert (found | {"symmetric": "unsure"}).items() <= measured.metrics.items()
    plain = headline(labels[test], predict_proba(model, images, test))
    assert measured.metrics["plain"] == pytest.approx(plain, abs=1e-5)
    before = {path: path.stat().st_mtime_ns for path in measured.path.rglob("*")}
    metrics, *arrays = measure(measured, *images_of_brightness)
    assert metrics == measured.metrics
    np.testing.assert_equal(arrays, [saved, measured.validation, measured.mistakes])
    assert {path: path.stat().st_mtime_ns for path in measured.path.rglob("*")} == before


def test_evaluate_takes_a_path_and_a_data_set_and_replaces_what_was_measured(
    copied, images_of_brightness
):
    origin = Origin.of_arrays(*images_of_brightness)
    before = copied.metrics
    (copied.path / "metrics.json").unlink()
    metrics = evaluate(str(copied.path), *images_of_brightness, origin)
    assert load_run(copied.path).metrics == metrics == before
    plain = evaluate(copied, *images_of_brightness, symmetric=False)
    assert plain["plain"].items() <= plain.items()


def test_galaxies_that_are_not_the_runs_and_a_run_that_is_not_there_are_refused(
    measured, images_of_brightness, tmp_path
):
    images, labels = images_of_brightness
    changed = images.copy()
    changed[5, 3, 3, 1] ^= 1
    for others in ((images[:-5], labels[:-5]), (changed, labels), (images, labels[::-1])):
        with pytest.raises(RunError, match="not the run's"):
            evaluate(measured, *others)
    with pytest.raises(RunError, match="no run"):
        evaluate(tmp_path / "missing", images, labels)


def test_the_temperature_is_that_of_the_averaged_validation_galaxies(
    measured, images_of_brightness, monkeypatch
):
    images, labels = images_of_brightness
    monkeypatch.setattr("galclass.evaluation.evaluate.FEWEST", 10)
    metrics, predictions, *_ = measure(measured, images, labels)
    train, validation, test = split(labels)
    averaged = predict_proba(measured.load_model(), images, validation, symmetric=True)
    temperature = fit_temperature(labels[validation], averaged)
    found, mixed = metrics["calibration"], metrics["public_mix"]
    assert found["temperature"] == pytest.approx(temperature, abs=1e-4)
    assert found["class_shift"] is metrics["calibration_note"] is None
    counts = np.bincount(labels[train], minlength=10)
    shift = log_prior_shift(counts, CLASS_COUNTS, strength=mixed["strength"])
    corrected = Calibration(temperature, tuple(shift)).apply(predictions["probabilities"])
    expected = headline(labels[test], corrected)
    assert {key: mixed[key] for key in expected} == pytest.approx(expected, abs=1e-4)


def test_where_there_is_nothing_to_fit_the_temperature_is_1_and_the_metrics_say_why(measured):
    assert measured.metrics["calibration"]["temperature"] == 1
    assert "16 validation galaxies" in measured.metrics["calibration_note"]
    labels, counts = np.arange(60) % 10, np.full(10, 20)
    correct = 0.5 * np.eye(10)[labels] + 0.05
    *fit, note = _fit(labels, correct, counts)
    assert (fit, "correct" in note) == ([1.0, None], True)
    correct[0] = correct[1]
    temperature, strength, note = _fit(labels, correct, counts)
    assert (temperature != 1, strength is None, note) == (True, False, None)
    assert _fit(labels, correct, counts - 20 * (np.arange(10) == 3))[1] is None


def test_classes_without_a_test_galaxy_are_named(copied, images_of_brightness, monkeypatch):
    found = measure(copied, *images_of_brightness)
    found.metrics["classes"][4]["support"] = 0
    monkeypatch.setattr("galclass.evaluation.evaluate.measure", lambda *_, **__: found)
    with pytest.warns(UserWarning, match=r"\[4\]"):
        evaluate(copied, *images_of_brightness)


def test_the_mistakes_kept_are_the_most_confident_ones():
    labels, predicted = np.array([0, 1, 2, 3, 4]), np.array([0, 3, 4, 1, 4])
    highest = np.array([0.9, 0.5, 0.8, 0.6, 0.7])
    probabilities = np.where(np.eye(10)[predicted] > 0, highest[:, None], 0.01)
    predictions = {"indices": 9 - labels, "labels": labels, "probabilities": probabilities}
    kept = find_mistakes(np.arange(20, 30), predictions, count=2)
    expected = {"images": [27, 26], "labels": [2, 3], "predicted": [4, 1]}
    np.testing.assert_equal(kept, expected | {"probabilities": [0.8, 0.6]})
    assert len(find_mistakes(np.arange(20, 30), predictions)["labels"]) == 3
