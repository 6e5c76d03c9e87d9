"""Muon orthogonalizes the updates of kernels and leaves all other variables to AdamW."""

import numpy as np
import pytest

from galclass import build_cnn
from galclass.network._tensorflow import keras, tf
from galclass.training.muon import Muon, orthogonalize


@pytest.mark.parametrize("shape", [(40, 12), (12, 40), (30, 20)])
def test_update_is_close_to_the_nearest_orthogonal_matrix(shape):
    matrix = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    u, values, v = np.linalg.svd(matrix, full_matrices=False)
    update = u.T @ orthogonalize(tf.constant(matrix)).numpy() @ v.T
    diagonal = np.diag(update)
    np.testing.assert_allclose(update, np.diag(diagonal), atol=1e-3)
    assert diagonal.min() > 0.5
    assert diagonal.max() < 1.3
    # The published iteration, applied to the singular values.
    values /= np.linalg.norm(values)
    for _ in range(5):
        values = 3.4445 * values - 4.7750 * values**3 + 2.0315 * values**5
    np.testing.assert_allclose(diagonal, values, atol=1e-3)


def test_matrices_of_low_rank_do_not_diverge():
    rng = np.random.default_rng(1)
    matrix = rng.normal(size=(576, 5)) @ rng.normal(size=(5, 64))
    update = orthogonalize(tf.constant(matrix, tf.float32))
    assert np.linalg.svd(update, compute_uv=False).max() < 1.3
    np.testing.assert_array_equal(orthogonalize(tf.zeros((8, 4))), 0)


def first_update(optimizer):
    """Return the variables of a network and their changes in one step, with random gradients."""
    optimizer.weight_decay = 0
    model = build_cnn(input_shape=(32, 32, 3), filters=((8,), (8,)), dense_units=(6,), seed=0)
    variables = model.trainable_variables
    rng = np.random.default_rng(2)
    gradients = [tf.constant(rng.normal(size=one.shape), tf.float32) for one in variables]
    before = model.get_weights()
    optimizer.apply(gradients, variables)
    updates = [new - old for new, old in zip(model.get_weights(), before, strict=True)]
    return variables, updates


def test_kernels_get_orthogonal_updates_and_other_variables_those_of_adam():
    variables, updates = first_update(Muon(0.01, exclude="classes"))
    _, updates_of_adam = first_update(keras.optimizers.AdamW(0.01))
    for variable, update, update_of_adam in zip(variables, updates, updates_of_adam, strict=True):
        if len(variable.shape) == 1 or "/classes/" in variable.path:
            np.testing.assert_allclose(update, update_of_adam, atol=1e-6)
        else:
            matrix = update.reshape(-1, update.shape[-1])
            # The size of the usual updates of Adam, 0.2 of the learning rate.
            assert np.sqrt(np.mean(matrix**2)) == pytest.approx(0.2 * 0.01, rel=0.3)
            values = np.linalg.svd(matrix, compute_uv=False)
            assert values.max() / values.min() < 2.5
