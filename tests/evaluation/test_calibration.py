import numpy as np
import pytest

from galclass import CLASS_NAMES
from galclass.data.galaxy10 import CLASS_COUNTS
from galclass.errors import ParameterError, RunError
from galclass.evaluation.calibration import (
    Calibration,
    calibration_of,
    check_class_mix,
    choose_prior_strength,
    fit_calibration,
    fit_temperature,
    log_prior_shift,
)


def normalise(values):
    return values / values.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_temperature_of_distorted_probabilities_is_recovered(temperature):
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet([0.5, 0.5, 0.5], 4000)
    labels = (rng.random((4000, 1)) > probabilities.cumsum(axis=1)).sum(axis=1).clip(0, 2)
    distorted = Calibration(1 / temperature).apply(probabilities)
    assert fit_temperature(labels, distorted) == pytest.approx(temperature, rel=0.06)


def test_temperature_divides_the_logits():
    logits = np.random.default_rng(1).normal(size=(50, 10))
    calibrated = Calibration(3).apply(normalise(np.exp(logits)))
    np.testing.assert_allclose(calibrated, normalise(np.exp(logits / 3)), rtol=1e-9)


def test_full_correction_of_class_fractions_is_bayes_theorem():
    likelihood = np.random.default_rng(1).random((20, 4))
    old = np.array([10, 20, 30, 40])
    new = np.array([0.4, 0.3, 0.2, 0.1])
    posterior = normalise(likelihood * old)
    for strength, expected in ((1, normalise(likelihood * new)), (0, posterior)):
        shift = tuple(log_prior_shift(old, new, strength=strength))
        np.testing.assert_allclose(Calibration(1, shift).apply(posterior), expected)
    with pytest.raises(ParameterError, match="above 0"):
        log_prior_shift([1, 0], [1, 1])


def test_correction_is_stronger_if_more_accuracy_may_be_lost(monkeypatch):
    labels = np.repeat([0, 1], [900, 100])
    score = np.random.default_rng(3).normal(labels * 1.5, 1)
    odds = np.exp(1.5 * score - 1.125) * 0.1 / 0.9
    probabilities = np.stack([1 / (1 + odds), odds / (1 + odds)], axis=1)
    strengths = []
    for loss in (0.0, 0.02, 1.0):
        monkeypatch.setattr("galclass.evaluation.calibration.LARGEST_LOSS", loss)
        strengths.append(choose_prior_strength(labels, probabilities, [9, 1], [1, 1]))
    assert strengths == sorted(strengths)
    assert strengths[2] > strengths[0]


@pytest.fixture
def validation():
    """Labels and probabilities of 60 galaxies, of which one is misclassified."""
    labels = np.arange(60) % 10
    probabilities = 0.5 * np.eye(10)[labels] + 0.05
    probabilities[0] = probabilities[1]
    return labels, probabilities


def test_calibration_has_a_temperature_and_the_correction_that_was_asked_for(validation):
    temperature = fit_temperature(*validation)
    assert fit_calibration(*validation) == (Calibration(temperature), None)
    counts = [20] * 10
    corrected, _ = fit_calibration(*validation, class_mix="galaxy10", class_counts=counts)
    shift = log_prior_shift(counts, CLASS_COUNTS, strength=corrected.strength)
    expected = Calibration(temperature, tuple(shift), "galaxy10", corrected.strength)
    assert corrected == expected


def test_temperature_is_1_and_a_note_says_why_if_there_is_nothing_to_fit(validation):
    labels, probabilities = validation
    for chosen, words in ((np.arange(49), "49 validation galaxies"), (labels > 0, "correctly")):
        calibration, note = fit_calibration(labels[chosen], probabilities[chosen])
        assert calibration == Calibration()
        assert words in note


def test_class_fractions_that_cannot_be_corrected_are_refused():
    every = np.arange(60) % 10
    check_class_mix("galaxy10", CLASS_NAMES, every, every)
    check_class_mix(None, ("a", "b"), every, every)
    for words, class_mix, names, train, validation in (
        ("'sdss', expected 'galaxy10'", "sdss", CLASS_NAMES, every, every),
        ("the classes of Galaxy10", "galaxy10", CLASS_NAMES[::-1], every, every),
        (r"classes \[3\] have no", "galaxy10", CLASS_NAMES, every, np.append(every[every != 3], 1)),
        (r"classes \[0\] have no", "galaxy10", CLASS_NAMES, every[every > 0], every),
        ("20 validation galaxies, expected 50", "galaxy10", CLASS_NAMES, every, every[:20]),
    ):
        with pytest.raises(ParameterError, match=words):
            check_class_mix(class_mix, names, train, validation)


def test_calibration_is_read_from_a_run(copied):
    calibration = Calibration(0.5, tuple(np.linspace(-1, 1, 10)), "galaxy10", 0.3)
    record = calibration.record()
    copied.write_metrics(copied.metrics | {"calibration": record})
    assert calibration_of(copied) == calibration
    for bad in (record | {"temperature": -1}, {"temperature": 1.0}, None):
        copied.write_metrics(copied.metrics | {"calibration": bad})
        with pytest.raises(RunError, match=r"hold a calibration.*galclass evaluate"):
            calibration_of(copied)
    (copied.path / "metrics.json").unlink()
    assert calibration_of(copied) == Calibration()
