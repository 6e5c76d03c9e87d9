import numpy as np
import pytest

from galclass import build_cnn
from galclass.network._tensorflow import keras, tf
from galclass.training.muon import Muon, orthogonalize


@pytest.mark.parametrize("shape", [(40, 12), (12, 40), (30, 20)])
def test_an_update_is_the_nearest_orthogonal_matrix(shape):
    matrix = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    u, values, v = np.linalg.svd(matrix, full_matrices=False)
    found = u.T @ orthogonalize(tf.constant(matrix)).numpy() @ v.T
    diagonal = np.diag(found)
    np.testing.assert_allclose(found, np.diag(diagonal), atol=1e-3)
    # The published iteration, on the singular values themselves.
    values /= np.linalg.norm(values)
    for _ in range(5):
        values = 3.4445 * values - 4.7750 * values**3 + 2.0315 * values**5
    np.testing.assert_allclose(diagonal, values, atol=1e-3)
    assert diagonal.min() > 0.5
    assert diagonal.max() < 1.3


def test_matrices_of_nearly_no_rank_do_not_diverge():
    rng = np.random.default_rng(1)
    matrix = rng.normal(size=(576, 5)) @ rng.normal(size=(5, 64))
    values = np.linalg.svd(orthogonalize(tf.constant(matrix, tf.float32)), compute_uv=False)
    assert values.max() < 1.3
    zero = orthogonalize(tf.zeros((8, 4))).numpy()
    np.testing.assert_array_equal(zero, 0)


def test_kernels_get_orthogonal_updates_and_the_rest_adams():
    model = build_cnn(seed=0)
    optimizers = Muon(0.01, exclude="classes"), keras.optimizers.AdamW(0.01)
    rng = np.random.default_rng(2)
    gradients = [
        tf.constant(rng.normal(size=v.shape), tf.float32) for v in model.trainable_variables
    ]
    start, changes = model.get_weights(), []
    for optimizer in optimizers:
        optimizer.weight_decay = 0
        model.set_weights(start)
        optimizer.apply(gradients, model.trainable_variables)
        changes.append([a - b for a, b in zip(model.get_weights(), start, strict=True)])
    for variable, ours, adams in zip(model.trainable_variables, *changes, strict=True):
        if len(variable.shape) == 1 or variable.path.split("/")[-2] == "classes":
            np.testing.assert_allclose(ours, adams, atol=1e-6)
        else:
            update = ours.reshape(-1, ours.shape[-1])
            # The size of Adam's usual updates, 0.2 of the learning rate.
            assert np.sqrt(np.mean(update**2)) == pytest.approx(0.2 * 0.01, rel=0.3)
            values = np.linalg.svd(update, compute_uv=False)
            assert values.max() / values.min() < 2.5
