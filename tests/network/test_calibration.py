import numpy as np
import pytest

from galclass.errors import ParameterError
from galclass.network.calibration import (
    Calibration,
    choose_prior_strength,
    fit_temperature,
    log_prior_shift,
)


@pytest.mark.parametrize("true", [0.5, 1.0, 2.5])
def test_the_temperature_of_misjudged_probabilities_is_found(true):
    rng = np.random.default_rng(0)
    honest = rng.dirichlet([0.5, 0.5, 0.5], 4000)  # From which the labels are drawn.
    labels = np.minimum((rng.random((4000, 1)) > honest.cumsum(axis=1)).sum(axis=1), 2)
    misjudged = Calibration(1 / true).apply(honest)
    assert fit_temperature(labels, misjudged) == pytest.approx(true, rel=0.06)


def test_the_temperature_is_that_of_the_logits_and_shifting_the_prior_is_bayes_theorem():
    def normalised(values):
        return values / values.sum(axis=1, keepdims=True)

    rng = np.random.default_rng(1)
    logits, likelihood = rng.normal(size=(50, 10)), rng.random((20, 4))
    found = Calibration(3).apply(normalised(np.exp(logits)))
    np.testing.assert_allclose(found, normalised(np.exp(logits / 3)), rtol=1e-9)
    old, new = np.array([10, 20, 30, 40]), np.array([0.4, 0.3, 0.2, 0.1])
    posterior = normalised(likelihood * old)
    for strength, expected in ((1, normalised(likelihood * new)), (0, posterior)):
        shift = tuple(log_prior_shift(old, new, strength=strength))
        np.testing.assert_allclose(Calibration(1, shift).apply(posterior), expected)


def test_the_strength_serves_the_new_mix_within_the_allowed_loss():
    labels = np.repeat([0, 1], [900, 100])
    score = np.random.default_rng(3).normal(labels * 1.5, 1)
    odds = np.exp(1.5 * score - 1.125) * 0.1 / 0.9
    probabilities = np.stack([1 / (1 + odds), odds / (1 + odds)], axis=1)
    data, mixes = (labels, probabilities), ([9, 1], [1, 1])
    first, second, third = (
        choose_prior_strength(*data, *mixes, largest_loss=loss) for loss in (0.0, 0.02, 1.0)
    )
    assert first <= second <= third != first
    with pytest.raises(ParameterError, match="every class"):
        choose_prior_strength(labels[:900], probabilities[:900], *mixes)


def test_a_calibration_survives_its_record_and_what_is_none_is_refused():
    for calibration in (Calibration(), Calibration(0.5, (0.1, -0.2))):
        assert Calibration.from_record(calibration.record()) == calibration
    with pytest.raises(ParameterError, match="temperature=0"):
        Calibration(0)
    with pytest.raises(ParameterError, match="above 0"):
        log_prior_shift([1, 0], [1, 1])
