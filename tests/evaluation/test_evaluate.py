import numpy as np
import pytest

from galclass import build_cnn, evaluate, load_pretrained, predict, split
from galclass.data.dataset import Origin
from galclass.errors import ParameterError, RunError
from galclass.evaluation.calibration import Calibration, calibration_of, fit_temperature
from galclass.evaluation.card import model_card
from galclass.evaluation.evaluate import find_mistakes
from galclass.evaluation.metrics import compute_metrics, headline
from galclass.evaluation.unusual import fit_usual
from galclass.network.probabilities import predict_proba
from galclass.network.weights import get_weights, weights_sha256


@pytest.fixture
def few_are_enough(monkeypatch):
    """Fit a temperature to the 16 validation galaxies of the made-up images."""
    monkeypatch.setattr("galclass.evaluation.calibration.MIN_VALIDATION_GALAXIES", 10)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("class_mix", [None, "galaxy10"])
@pytest.mark.usefixtures("few_are_enough")
def test_metrics_are_those_of_the_probabilities_that_predict_returns(
    copied, images_of_brightness, class_mix
):
    images, labels = images_of_brightness
    metrics = evaluate(copied, images, labels, class_mix=class_mix)
    test = split(labels).test
    table = predict(images[test], run=copied, precision="float32")
    probabilities = np.stack([table[f"p{c}"] for c in range(10)], axis=1)
    expected = compute_metrics(labels[test], probabilities, copied.class_names)
    assert metrics["confusion_matrix"] == expected["confusion_matrix"]
    assert headline(metrics) == pytest.approx(headline(expected), abs=1e-5)


@pytest.mark.slow
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
    parts = split(labels)
    model = copied.load_model()
    validation = predict_proba(model, images, parts.validation, symmetric="unsure")
    temperature = fit_temperature(labels[parts.validation], validation)
    assert metrics["calibration"]["temperature"] == pytest.approx(temperature, abs=1e-4)
    averaged = predict_proba(model, images, parts.test, symmetric="unsure")
    for key, probabilities in (
        ("one_pass", calibration_of(copied).apply(predict_proba(model, images, parts.test))),
        ("uncalibrated", averaged),
        ("uncorrected", Calibration(temperature).apply(averaged)),
    ):
        expected = headline(compute_metrics(labels[parts.test], probabilities, copied.class_names))
        assert metrics[key] == pytest.approx(expected, abs=1e-4)
        assert metrics[key] != headline(metrics)


def test_run_that_does_not_average_has_nothing_to_compare_one_pass_with(
    copied, images_of_brightness
):
    assert "one pass" in model_card(copied)
    manifest = copied.manifest
    manifest["recipe"]["symmetric_prediction"] = False
    copied.write_manifest(manifest)
    metrics = evaluate(copied, *images_of_brightness)
    assert metrics["symmetric"] is False
    assert metrics["one_pass"] is None
    assert metrics["uncorrected"] is None
    assert "*one pass*" not in model_card(copied)


def test_files_hold_predictions_examples_mistakes_and_statistics(measured, images_of_brightness):
    images, labels = images_of_brightness
    parts = split(labels)
    model = measured.load_model()
    for arrays, indices in ((measured.predictions, parts.test), (measured.validation, parts[1])):
        np.testing.assert_array_equal(arrays["indices"], indices)
        np.testing.assert_array_equal(arrays["labels"], labels[indices])
        expected = predict_proba(model, images, indices, symmetric="unsure")
        np.testing.assert_allclose(arrays["probabilities"], expected, atol=1e-6)
    first = [parts.train[labels[parts.train] == c][0] for c in range(10)]
    np.testing.assert_equal(measured.examples, {"images": images[first], "labels": np.arange(10)})
    usual = fit_usual(images[parts.train], images[parts.validation])
    np.testing.assert_equal(measured.usual, usual)
    probabilities = calibration_of(measured).apply(measured.predictions["probabilities"])
    mistakes = find_mistakes(images, parts.test, labels[parts.test], probabilities)
    np.testing.assert_equal(measured.mistakes, mistakes)


def test_evaluation_is_repeatable_and_replaces_damaged_results(copied, images_of_brightness):
    before = contents(copied.path)
    (copied.path / "metrics.json").write_text("{}")
    (copied.path / "predictions.npz").unlink()
    origin = Origin.of_arrays(*images_of_brightness)
    assert evaluate(str(copied.path), *images_of_brightness, origin) == copied.metrics
    after = contents(copied.path)
    for name in ("metrics.json", "README.md"):
        assert after[name] == before[name]
    assert set(after) == set(before)


def test_other_galaxies_and_corrections_are_refused_before_anything_is_written(
    copied, images_of_brightness
):
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


def test_unfinished_and_packaged_runs_are_refused(copied, images_of_brightness, like_galaxy10):
    with pytest.raises(RunError, match=r"part of galclass.*copy the folder"):
        evaluate(load_pretrained(), *like_galaxy10)
    copied.write_manifest(copied.manifest | {"status": "training"})
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
        evaluate(copied, *images_of_brightness)


def test_mistakes_are_those_with_the_highest_probability():
    labels = np.arange(20) % 5
    predicted = labels.copy()
    predicted[[1, 2, 3]] = [3, 4, 1]
    highest = np.full(20, 0.9)
    highest[[1, 2, 3]] = [0.5, 0.8, 0.6]
    probabilities = np.where(np.eye(10)[predicted] > 0, highest[:, None], 0.01)
    images = np.arange(100, 200)
    mistakes = find_mistakes(images, np.arange(20) + 50, labels, probabilities)
    assert {key: array.tolist() for key, array in mistakes.items()} == {
        "images": [152, 153, 151],
        "labels": [2, 3, 1],
        "predicted": [4, 1, 3],
        "probabilities": [0.8, 0.6, 0.5],
    }
    many = find_mistakes(images, np.arange(20), 9 - labels, probabilities)
    assert len(many["labels"]) == 10
