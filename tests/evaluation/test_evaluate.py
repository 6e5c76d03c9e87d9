import shutil

import numpy as np
import pytest

from galclass import evaluate, load_run, split
from galclass.data.dataset import Origin
from galclass.data.galaxy10 import CLASS_COUNTS
from galclass.errors import ParameterError, RunError
from galclass.evaluation.evaluate import _fit, find_mistakes, measure, measure_simulated
from galclass.evaluation.metrics import compute_metrics, headline
from galclass.network.calibration import Calibration, fit_temperature, log_prior_shift
from galclass.network.probabilities import predict_proba


def test_a_run_is_measured_on_its_own_test_galaxies(measured, images_of_brightness):
    images, labels = images_of_brightness
    saved, test = measured.predictions, split(labels).test
    np.testing.assert_array_equal(saved["indices"], test)
    np.testing.assert_array_equal(saved["labels"], labels[test])
    expected = predict_proba(measured.load_model(), images, test, symmetric=True)
    np.testing.assert_allclose(saved["probabilities"], expected, atol=1e-6)
    found = compute_metrics(saved["labels"], saved["probabilities"])
    assert found.items() <= measured.metrics.items()
    assert measured.metrics["symmetric"] is True
    plain = headline(labels[test], predict_proba(measured.load_model(), images, test))
    assert measured.metrics["plain"] == pytest.approx(plain, abs=1e-5)


def test_measuring_writes_nothing_and_gives_what_evaluate_writes(measured, images_of_brightness):
    before = _contents(measured.path)
    metrics, predictions, mistakes = measure(measured, *images_of_brightness)
    assert metrics == measured.metrics
    for one, other in ((predictions, measured.predictions), (mistakes, measured.mistakes)):
        for name, array in one.items():
            np.testing.assert_array_equal(array, other[name])
    assert before == _contents(measured.path)


def _contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_evaluate_takes_a_path_and_a_data_set_and_replaces_what_was_measured(
    measured, images_of_brightness, tmp_path
):
    path = shutil.copytree(measured.path, tmp_path / "run")
    run, origin = load_run(path), Origin.of_arrays(*images_of_brightness)
    assert run.metrics["symmetric"] is True
    metrics = evaluate(str(path), *images_of_brightness, origin, symmetric=False)
    assert metrics["symmetric"] is False
    assert {key: metrics[key] for key in metrics["plain"]} == metrics["plain"]
    run.forget()
    assert run.metrics == metrics


def test_galaxies_that_are_not_the_runs_are_refused(measured, images_of_brightness):
    images, labels = images_of_brightness
    changed = images.copy()
    changed[5, 3, 3, 1] ^= 1
    for others in ((images[:-5], labels[:-5]), (changed, labels), (images, labels[::-1])):
        with pytest.raises(RunError, match="not the run's"):
            evaluate(measured, *others)


def test_a_run_that_is_not_there_is_refused(images_of_brightness, tmp_path):
    with pytest.raises(RunError, match="no run folder"):
        evaluate(tmp_path / "missing", *images_of_brightness)


def test_the_temperature_is_that_of_the_averaged_validation_galaxies(
    measured, images_of_brightness, monkeypatch
):
    images, labels = images_of_brightness
    monkeypatch.setattr("galclass.evaluation.evaluate.FEWEST", 10)
    metrics, predictions, _ = measure(measured, images, labels)
    train, validation, test = split(labels)
    averaged = predict_proba(measured.load_model(), images, validation, symmetric=True)
    temperature = fit_temperature(labels[validation], averaged)
    assert metrics["calibration"] == {
        "temperature": pytest.approx(temperature, abs=1e-4),
        "class_shift": None,
    }
    assert metrics["calibration_note"] is None
    counts, mixed = np.bincount(labels[train], minlength=10), metrics["public_mix"]
    shift = log_prior_shift(counts, CLASS_COUNTS, strength=mixed["strength"])
    corrected = Calibration(temperature, tuple(shift)).apply(predictions["probabilities"])
    expected = headline(labels[test], corrected)
    assert {key: mixed[key] for key in expected} == pytest.approx(expected, abs=1e-4)


def test_where_there_is_nothing_to_fit_the_temperature_is_1_and_the_metrics_say_why(measured):
    assert measured.metrics["calibration"]["temperature"] == 1
    assert "16 validation galaxies" in measured.metrics["calibration_note"]
    labels = np.arange(60) % 10
    correct = 0.5 * np.eye(10)[labels] + 0.05
    counts = np.full(10, 20)
    assert _fit(labels, correct, counts)[:2] == (1.0, None)
    assert "correctly classified" in _fit(labels, correct, counts)[2]
    correct[0] = correct[1]
    temperature, strength, note = _fit(labels, correct, counts)
    assert temperature != 1
    assert strength is not None
    assert note is None
    assert _fit(labels, correct, counts - 20 * (np.arange(10) == 3))[1] is None


def test_classes_without_a_test_galaxy_are_named(measured, images_of_brightness, monkeypatch):
    metrics, *rest = measure(measured, *images_of_brightness)
    metrics["classes"][4]["support"] = 0
    monkeypatch.setattr("galclass.evaluation.evaluate.measure", lambda *_, **__: (metrics, *rest))
    monkeypatch.setattr("galclass.evaluation.evaluate.write_npz", lambda *_, **__: None)
    monkeypatch.setattr("galclass.evaluation.evaluate.write_results", lambda *_: None)
    with pytest.warns(UserWarning, match=r"no test galaxy is of classes \[4\]"):
        evaluate(measured, *images_of_brightness)


def test_the_mistakes_kept_are_the_most_confident_ones():
    labels, predicted = np.array([0, 1, 2, 3, 4]), np.array([0, 3, 4, 1, 4])
    highest = np.array([0.9, 0.5, 0.8, 0.6, 0.7])
    probabilities = np.full((5, 10), 0.01)
    probabilities[np.arange(5), predicted] = highest
    images, indices = np.arange(20, 30), np.array([9, 8, 7, 6, 5])
    predictions = {"indices": indices, "labels": labels, "probabilities": probabilities}
    kept = find_mistakes(images, predictions, count=2)
    assert {name: array.tolist() for name, array in kept.items()} == {
        "images": [27, 26],
        "labels": [2, 3],
        "predicted": [4, 1],
        "probabilities": [0.8, 0.6],
    }
    assert len(find_mistakes(images, predictions)["labels"]) == 3


def test_simulated_galaxies_to_measure_on_are_never_those_of_the_run(simulated_run):
    found = measure_simulated(simulated_run, 20)
    assert found["origin"].seed == 1
    assert found["trained_on"].seed == 0
    assert found["labels"].shape == found["predicted"].shape == found["parameters"].shape == (20,)
    assert measure_simulated(simulated_run, 20)["origin"] == found["origin"]
    with pytest.raises(ParameterError, match="the run's own galaxies"):
        measure_simulated(simulated_run, 20, seed=0)
