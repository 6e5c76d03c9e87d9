import numpy as np
import pytest

from galclass.calibration import (
    apply_temperature,
    compute_calibration,
    fit_temperature,
    reliability,
)


@pytest.fixture(scope="module")
def honest():
    """Probabilities from which the labels are really drawn."""
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(20000, 10)) * 2
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = (rng.random((20000, 1)) > probabilities.cumsum(axis=1)).sum(axis=1)
    return np.minimum(labels, 9), probabilities


def test_the_temperature_of_overconfident_probabilities_is_found(honest):
    labels, probabilities = honest
    assert fit_temperature(labels, probabilities) == pytest.approx(1, abs=0.03)
    sharpened = apply_temperature(probabilities, 0.5)
    temperature = fit_temperature(labels, sharpened)
    assert temperature == pytest.approx(2, abs=0.06)
    np.testing.assert_allclose(apply_temperature(sharpened, 2), probabilities, atol=1e-9)
    mended = compute_calibration(labels, apply_temperature(sharpened, temperature))
    before = compute_calibration(labels, sharpened)
    assert before["calibration_error"] > 0.1
    assert mended["calibration_error"] < 0.02
    assert mended["brier"] < before["brier"]
    assert mended["log_loss"] < before["log_loss"]


def test_the_temperature_never_changes_the_class(honest):
    probabilities = honest[1]
    for temperature in (0.3, 3.0):
        changed = apply_temperature(probabilities, temperature)
        np.testing.assert_array_equal(changed.argmax(axis=1), probabilities.argmax(axis=1))
        np.testing.assert_allclose(changed.sum(axis=1), 1)


def test_certain_and_right_is_perfect_and_certain_and_wrong_the_worst():
    certain = np.eye(10)[[0, 1, 2, 3]]
    assert compute_calibration(np.array([0, 1, 2, 3]), certain) == {
        "calibration_error": 0.0,
        "brier": 0.0,
        "log_loss": pytest.approx(0),
    }
    wrong = compute_calibration(np.array([1, 2, 3, 4]), certain)
    assert wrong["calibration_error"] == 1
    assert wrong["brier"] == 2


def test_bins_hold_every_galaxy_once(honest):
    curve = reliability(*honest)
    assert curve["galaxies"].sum() == 20000
    filled = curve["galaxies"] > 200
    np.testing.assert_allclose(curve["accuracy"][filled], curve["confidence"][filled], atol=0.08)
