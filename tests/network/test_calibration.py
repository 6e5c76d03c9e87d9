import numpy as np
import pytest

from galclass.errors import ParameterError
from galclass.network.calibration import (
    Calibration,
    choose_prior_strength,
    fit_temperature,
    log_prior_shift,
)


@pytest.fixture(scope="module")
def honest():
    """Probabilities of three classes, and labels drawn from them."""
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet([0.5, 0.5, 0.5], 4000)
    return np.array([rng.choice(3, p=p) for p in probabilities]), probabilities


@pytest.mark.parametrize("true", [0.5, 1.0, 2.5])
def test_the_temperature_of_misjudged_probabilities_is_found(honest, true):
    labels, probabilities = honest
    misjudged = Calibration(1 / true).apply(probabilities)
    assert fit_temperature(labels, misjudged) == pytest.approx(true, rel=0.06)


def test_the_temperature_is_that_of_the_logits_and_never_changes_the_class():
    logits = np.random.default_rng(1).normal(size=(50, 10))
    softmax = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = np.exp(logits / 3) / np.exp(logits / 3).sum(axis=1, keepdims=True)
    found = Calibration(3).apply(softmax)
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    np.testing.assert_array_equal(found.argmax(axis=1), softmax.argmax(axis=1))


def test_shifting_the_prior_is_bayes_theorem():
    rng = np.random.default_rng(0)
    likelihood = rng.random((20, 4))
    old, new = np.array([10, 20, 30, 40]), np.array([0.4, 0.3, 0.2, 0.1])
    posterior = likelihood * old / (likelihood * old).sum(axis=1, keepdims=True)
    expected = likelihood * new / (likelihood * new).sum(axis=1, keepdims=True)
    shift = tuple(log_prior_shift(old, new))
    np.testing.assert_allclose(Calibration(1, shift).apply(posterior), expected)
    unchanged = Calibration(1, tuple(log_prior_shift(old, new, strength=0))).apply(posterior)
    np.testing.assert_allclose(unchanged, posterior)


def test_the_strength_serves_the_new_mix_within_the_allowed_loss():
    rng = np.random.default_rng(3)
    labels = np.repeat([0, 1], [900, 100])
    score = rng.normal(labels * 1.5, 1)
    odds = np.exp(1.5 * score - 1.125) * 0.1 / 0.9
    probabilities = np.stack([1 / (1 + odds), odds / (1 + odds)], axis=1)
    strengths = [
        choose_prior_strength(labels, probabilities, [9, 1], [1, 1], largest_loss=loss)
        for loss in (0.0, 0.02, 1.0)
    ]
    assert strengths == sorted(strengths)
    assert strengths[0] < strengths[2]
    with pytest.raises(ParameterError, match="every class"):
        choose_prior_strength(labels[:900], probabilities[:900], [9, 1], [1, 1])


@pytest.mark.parametrize("calibration", [Calibration(), Calibration(0.5, (0.1, -0.2))])
def test_a_calibration_survives_its_record(calibration):
    assert Calibration.from_record(calibration.record()) == calibration


def test_what_is_no_calibration_is_refused():
    with pytest.raises(ParameterError, match="temperature=0"):
        Calibration(0)
    with pytest.raises(ParameterError, match="equally many above 0"):
        log_prior_shift([1, 0], [1, 1])
