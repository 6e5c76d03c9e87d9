import numpy as np
import pytest
from scipy.ndimage import center_of_mass

from galclass import build_cnn
from galclass.errors import DataError, ParameterError
from galclass.evaluation.attribution import evidence, grad_cam
from galclass.network._tensorflow import keras, tf


@pytest.fixture(scope="module")
def colour_model():
    """Two blocks whose class 0 is the sum of the red and class 1 that of the green light."""
    settings = {"classes": 2, "filters": ((2,), (2,)), "dense_units": (), "precision": "float32"}
    model = build_cnn(input_shape=(40, 40, 3), **settings)
    for layer in [x for x in model.layers if getattr(x, "kernel", None) is not None]:
        kernel = np.zeros(layer.kernel.shape)
        for c in range(2):
            kernel[(1, 1, c, c) if kernel.ndim == 4 else (slice(c, None, 2), c)] = 1
        layer.set_weights([kernel, np.zeros(2)])
    return model


@pytest.fixture(scope="module")
def blobs():
    """A red square around (10.5, 12.5) and a larger green one around (27.5, 25.5)."""
    image = np.zeros((1, 40, 40, 3), np.uint8)
    image[0, 9:13, 11:15, 0] = image[0, 24:32, 22:30, 1] = 200
    return image


def test_the_map_lies_on_the_evidence_for_the_class_by_default_the_predicted(colour_model, blobs):
    for chosen, centre in ((0, (10.5, 12.5)), (1, (27.5, 25.5)), (None, (27.5, 25.5))):
        (found,) = grad_cam(colour_model, blobs, chosen)
        np.testing.assert_allclose(center_of_mass(found), centre, atol=0.6)
        assert (found.min(), found.max(), found.dtype) == (0, pytest.approx(1), np.float32)
    both = np.concatenate([blobs, blobs // 4, 0 * blobs])
    each = grad_cam(colour_model, both, np.array([0, 1, 0]))  # With its own class and scale.
    expected = [grad_cam(colour_model, blobs, 0)[0], found, 0 * found]
    np.testing.assert_allclose(each, expected, atol=1e-5)


def test_averaged_over_the_symmetries_the_evidence_turns_with_the_image():
    model = build_cnn(seed=1, filters=((8, 8), (8,), (8,)))
    images = np.random.default_rng(2).integers(0, 256, (2, 69, 69, 3), dtype=np.uint8)
    upright = evidence(model, images, [3, 5])
    turned = evidence(model, np.rot90(images, axes=(1, 2)), [3, 5])
    np.testing.assert_allclose(turned, np.rot90(upright, axes=(1, 2)), atol=1e-4)
    np.testing.assert_allclose(upright.max(axis=(1, 2)), 1, atol=1e-5)


def test_the_map_is_the_papers_formula_on_the_published_network():
    model = build_cnn(seed=1, filters=((8, 8), (8,), (8,)))
    images = np.random.default_rng(2).integers(0, 256, (3, 69, 69, 3), dtype=np.uint8)
    kernel, bias = model.layers[-1].get_weights()

    def through(values, *layers):
        for layer in layers:
            values = layer(values)
        return values.numpy()

    def scores(values):
        return through(values, *model.layers[7:-1]) @ kernel + bias

    assert model.layers[6].name == "conv3_1"
    maps = through(tf.constant(images), *model.layers[:7])
    # The gradient's mean over the map is the change of the score with a shift of the whole map.
    step, weights = 1e-2, np.empty((3, 8, 10))
    for k in range(8):
        shift = step * np.eye(8, dtype="f")[k]
        weights[:, k] = (scores(maps + shift) - scores(maps - shift)) / (2 * step) / 13**2
    compared = 0
    for c in range(10):
        found = grad_cam(model, images, c)
        # Cell (i, j) of the last convolution sees the pixels around (9.5 + 4 i, 9.5 + 4 j).
        around = (found[:, 9:60:4, 9:60:4] + found[:, 10:61:4, 10:61:4]) / 2
        expected = np.maximum((maps * weights[:, None, None, :, c]).sum(axis=-1), 0)
        for one, coarse in zip(around, expected, strict=True):
            assert (one.max() == 0) == (coarse.max() == 0)
            if (coarse > 0).mean() > 0.5:
                assert np.corrcoef(one.ravel(), coarse.ravel())[0, 1] > 0.98
                compared += 1
    assert compared >= 5
    assert found.shape == (3, 69, 69)


def test_what_does_not_fit_the_model_is_refused(colour_model, blobs):
    size = keras.Input((40, 40, 3))
    flat = keras.Sequential([size, keras.layers.Flatten(), keras.layers.Dense(2)])
    for error, words, model, images, classes in (
        (DataError, "expected.*40, 40, 3", colour_model, blobs[:, 1:], None),
        (DataError, "classes", colour_model, blobs, 2),
        (DataError, "1 images.*2", colour_model, blobs, [0, 1]),
        (ParameterError, "convolution", flat, blobs, None),
    ):
        with pytest.raises(error, match=words):
            grad_cam(model, images, classes)
