"""Predictions depend neither on the batch nor, if they are averaged, on the orientation."""

import numpy as np
import pytest

from galclass import build_cnn
from galclass.network import probabilities as probabilities_module
from galclass.network.probabilities import predict_proba
from galclass.network.symmetry import apply_symmetry

IMAGES = np.random.default_rng(1).integers(0, 256, (10, 69, 69, 3), np.uint8)


@pytest.fixture(scope="module")
def model():
    return build_cnn(seed=1, filters=((8, 8), (8,), (8,)))


@pytest.mark.parametrize("symmetric", [False, True])
def test_predictions_do_not_depend_on_the_batch_or_the_order(model, symmetric):
    together = predict_proba(model, IMAGES, symmetric=symmetric)
    np.testing.assert_allclose(together.sum(axis=1), 1, rtol=1e-5)
    in_batches = predict_proba(model, IMAGES, symmetric=symmetric, batch_size=3)
    np.testing.assert_allclose(in_batches, together, atol=1e-6)
    chosen = predict_proba(model, IMAGES, [4, 1], symmetric=symmetric)
    np.testing.assert_allclose(chosen, together[[4, 1]], atol=1e-6)


def test_averaged_predictions_do_not_depend_on_the_orientation(model):
    averaged = predict_proba(model, IMAGES, symmetric=True)
    turned = predict_proba(model, apply_symmetry(IMAGES, 5), symmetric=True)
    np.testing.assert_allclose(averaged, turned, atol=1e-6)
    assert np.abs(averaged - predict_proba(model, IMAGES)).max() > 1e-6


def test_only_unsure_predictions_are_averaged(model, monkeypatch):
    one_pass = predict_proba(model, IMAGES)
    averaged = predict_proba(model, IMAGES, symmetric=True)
    median = np.median(one_pass.max(axis=1))
    sure = one_pass.max(axis=1) >= median
    monkeypatch.setattr(probabilities_module, "SURE", median)
    mixed = predict_proba(model, IMAGES, symmetric="unsure")
    np.testing.assert_array_equal(mixed[sure], one_pass[sure])
    np.testing.assert_allclose(mixed[~sure], averaged[~sure], atol=1e-6)
    assert np.abs(mixed - one_pass)[~sure].max() > 1e-6
