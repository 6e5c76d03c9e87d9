import json

import numpy as np
import pytest

from galclass import build_cnn, evaluate, load_pretrained, predict, split
from galclass.data.dataset import Origin
from galclass.errors import ParameterError, RunError
from galclass.evaluation.calibration import Calibration, calibration_of, fit_temperature
from galclass.evaluation.evaluate import check_galaxies, compute_evaluation, find_mistakes
from galclass.evaluation.metrics import HEADLINE, compute_metrics, headline
from galclass.evaluation.unusual import fit_usual
from galclass.network.probabilities import predict_proba
from galclass.network.weights import get_weights, weights_sha256


@pytest.fixture
def few_are_enough(monkeypatch):
    """Fit a temperature to the 16 validation galaxies of the made-up images."""
    monkeypatch.setattr("galclass.evaluation.calibration.FEWEST", 10)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def stack_probabilities(table):
    return np.stack([table[f"p{c}"] for c in range(10)], axis=1)


@pytest.mark.parametrize("class_mix", [None, "galaxy10"])
@pytest.mark.usefixtures("few_are_enough")
def test_metrics_are_those_of_the_probabilities_that_predict_returns(
    copied, images_of_brightness, class_mix
):
    images, labels = images_of_brightness
    metrics = evaluate(copied, images, labels, class_mix=class_mix)
    test = split(labels).test
    table = predict(images[test], run=copied, precision="float32")
    expected = compute_metrics(labels[test], stack_probabilities(table), copied.class_names)
    assert metrics["confusion_matrix"] == expected["confusion_matrix"]
    assert headline(metrics) == pytest.approx(headline(expected), abs=1e-5)
    assert metrics["calibration"]["temperature"] != 1
    assert metrics["calibration"]["class_mix"] == class_mix


@pytest.mark.usefixtures("few_are_enough")
def test_correction_stays_until_it_is_removed(copied, images_of_brightness):
    corrections = []
    for class_mix in ("galaxy10", None, "none", None):
        evaluate(copied, *images_of_brightness, class_mix=class_mix)
        corrections.append(calibration_of(copied).class_mix)
    assert corrections == ["galaxy10", "galaxy10", None, None]


@pytest.mark.usefixtures("few_are_enough")
def test_other_probabilities_are_given_for_comparison(copied, images_of_brightness):
    images, labels = images_of_brightness
    metrics = evaluate(copied, images, labels, class_mix="galaxy10")
    test = split(labels).test
    model = copied.load_model()
    averaged = predict_proba(model, images, test, symmetric="unsure")
    tempered = Calibration(metrics["calibration"]["temperature"])
    for key, probabilities in (
        ("one_pass", calibration_of(copied).apply(predict_proba(model, images, test))),
        ("uncalibrated", averaged),
        ("uncorrected", tempered.apply(averaged)),
    ):
        expected = headline(compute_metrics(labels[test], probabilities, copied.class_names))
        assert metrics[key] == pytest.approx(expected, abs=1e-5)
        assert metrics[key] != headline(metrics)
    assert evaluate(copied, images, labels) == metrics  # The correction is kept.


def test_files_hold_predictions_examples_mistakes_and_statistics(measured, images_of_brightness):
    images, labels = images_of_brightness
    parts = split(labels)
    model = measured.load_model()
    for arrays, indices in ((measured.predictions, parts.test), (measured.validation, parts[1])):
        np.testing.assert_array_equal(arrays["indices"], indices)
        np.testing.assert_array_equal(arrays["labels"], labels[indices])
        expected = predict_proba(model, images, indices, symmetric="unsure")
        np.testing.assert_allclose(arrays["probabilities"], expected, atol=1e-6)
    for c in range(10):
        first = parts.train[labels[parts.train] == c][0]
        np.testing.assert_array_equal(measured.examples["images"][c], images[first])
    assert measured.examples["labels"].tolist() == list(range(10))
    usual = fit_usual(images[parts.train], images[parts.validation])
    np.testing.assert_equal(measured.usual, usual)
    predictions = measured.predictions
    probabilities = calibration_of(measured).apply(predictions["probabilities"])
    mistakes = find_mistakes(images, parts.test, predictions["labels"], probabilities)
    np.testing.assert_equal(measured.mistakes, mistakes)


def test_temperature_is_fitted_to_the_averaged_validation_set(
    measured, images_of_brightness, few_are_enough
):
    images, labels = images_of_brightness
    metrics = compute_evaluation(measured, images, labels, class_mix=None).metrics
    validation = split(labels).validation
    averaged = predict_proba(measured.load_model(), images, validation, symmetric="unsure")
    expected = fit_temperature(labels[validation], averaged)
    assert metrics["calibration"]["temperature"] == pytest.approx(expected, abs=1e-4)
    assert metrics["calibration_note"] is None
    assert "16 validation galaxies" in measured.metrics["calibration_note"]


def test_evaluation_is_repeatable_and_replaces_damaged_results(copied, images_of_brightness):
    before = contents(copied.path)
    (copied.path / "metrics.json").write_text("{}")
    (copied.path / "predictions.npz").unlink()
    origin = Origin.of_arrays(*images_of_brightness)
    metrics = evaluate(str(copied.path), *images_of_brightness, origin)
    assert metrics == copied.metrics
    assert set(metrics) >= {*HEADLINE, "one_pass", "uncalibrated", "uncorrected"}
    after = contents(copied.path)
    for name in ("metrics.json", "README.md"):
        assert after[name] == before[name]
    assert set(after) == set(before)


def test_other_galaxies_are_refused_before_anything_is_written(copied, images_of_brightness):
    images, labels = images_of_brightness
    before = contents(copied.path)
    changed = images.copy()
    changed[5, 3, 3, 1] ^= 1
    for other in ((images[:5], labels[:5]), (changed, labels), (images, labels[::-1])):
        with pytest.raises(RunError, match=r"are not the 100 of the run.*give the galaxies of"):
            evaluate(copied, *other)
    with pytest.raises(ParameterError, match="16 validation galaxies"):
        evaluate(copied, images, labels, class_mix="galaxy10")
    assert contents(copied.path) == before
    assert [len(part) for part in check_galaxies(copied, images, labels)] == [69, 16, 15]


def test_unfinished_missing_and_packaged_runs_are_refused(
    copied, images_of_brightness, like_galaxy10, tmp_path
):
    with pytest.raises(RunError, match="no run"):
        evaluate(tmp_path / "missing", *images_of_brightness)
    with pytest.raises(RunError, match=r"part of galclass.*copy the folder"):
        evaluate(load_pretrained(), *like_galaxy10)
    manifest = {**copied.manifest, "status": "training"}
    (copied.path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(RunError, match=r"unfinished.*resume"):
        evaluate(copied, *images_of_brightness)


def test_classes_without_test_galaxies_give_a_warning(copied, images_of_brightness):
    manifest = copied.manifest
    manifest["origin"]["class_names"].append("absent")
    manifest["network"]["classes"] = 11
    manifest["class_counts"].append(0)
    model = build_cnn(**manifest["network"], seed=0)
    manifest["weights_sha256"] = weights_sha256(get_weights(model).values())
    copied.write_manifest(manifest)
    copied.write_model(model)
    with pytest.warns(UserWarning, match=r"no galaxies of the classes \[10\]"):
        metrics = evaluate(copied, *images_of_brightness)
    assert metrics["classes"][10]["recall"] is None


def test_mistakes_are_those_with_the_highest_probability():
    labels = np.arange(20) % 5
    predicted = labels.copy()
    predicted[[1, 2, 3]] = [3, 4, 1]
    highest = np.full(20, 0.9)
    highest[[1, 2, 3]] = [0.5, 0.8, 0.6]
    probabilities = np.where(np.eye(10)[predicted] > 0, highest[:, None], 0.01)
    images = np.arange(100, 200)
    mistakes = find_mistakes(images, np.arange(20) + 50, labels, probabilities)
    assert mistakes["images"].tolist() == [152, 153, 151]
    assert mistakes["labels"].tolist() == [2, 3, 1]
    assert mistakes["predicted"].tolist() == [4, 1, 3]
    assert mistakes["probabilities"].tolist() == [0.8, 0.6, 0.5]
    many = find_mistakes(images, np.arange(20), 9 - labels, probabilities)
    assert len(many["labels"]) == 10
