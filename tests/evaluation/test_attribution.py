import numpy as np
import pytest
from scipy.ndimage import center_of_mass

from galclass import build_cnn
from galclass.errors import DataError, ParameterError
from galclass.evaluation.attribution import evidence, grad_cam
from galclass.network._tensorflow import keras


@pytest.fixture(scope="module")
def colour_model():
    """Two blocks; the score of class 0 is the sum of red light, and of class 1, of green light."""
    model = build_cnn(input_shape=(40, 40, 3), classes=2, filters=((2,), (2,)), dense_units=())
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D):
            kernel = np.zeros(layer.kernel.shape)
            kernel[1, 1, [0, 1], [0, 1]] = 1
            layer.set_weights([kernel, np.zeros(2)])
    kernel = np.zeros(model.layers[-1].kernel.shape)
    kernel[0::2, 0] = 1
    kernel[1::2, 1] = 1
    model.layers[-1].set_weights([kernel, np.zeros(2)])
    return model


@pytest.fixture(scope="module")
def blobs():
    """A red square around (10.5, 12.5), and a larger green one around (27.5, 25.5)."""
    image = np.zeros((1, 40, 40, 3), np.uint8)
    image[0, 9:13, 11:15, 0] = 200
    image[0, 24:32, 22:30, 1] = 200
    return image


@pytest.fixture(scope="module")
def small_model():
    return build_cnn(seed=1, filters=((8, 8), (8,), (8,)))


@pytest.fixture(scope="module")
def noise():
    return np.random.default_rng(2).integers(0, 256, (3, 69, 69, 3), np.uint8)


@pytest.mark.parametrize(
    ("chosen", "centre"), [(0, (10.5, 12.5)), (1, (27.5, 25.5)), (None, (27.5, 25.5))]
)
def test_map_lies_on_the_evidence_for_the_class(colour_model, blobs, chosen, centre):
    (found,) = grad_cam(colour_model, blobs, chosen)
    np.testing.assert_allclose(center_of_mass(found), centre, atol=0.6)
    assert found.min() == 0
    assert found.max() == pytest.approx(1)
    assert found.dtype == np.float32


def test_each_image_has_its_own_class_and_scale(colour_model, blobs):
    images = np.concatenate([blobs, blobs // 4, 0 * blobs])
    maps = grad_cam(colour_model, images, np.array([0, 1, 0]))
    red = grad_cam(colour_model, blobs, 0)[0]
    green = grad_cam(colour_model, blobs, 1)[0]
    np.testing.assert_allclose(maps, [red, green, 0 * red], atol=1e-5)


def test_averaged_evidence_turns_with_the_image(small_model, noise):
    upright = evidence(small_model, noise, [3, 5, 0])
    turned = evidence(small_model, np.rot90(noise, axes=(1, 2)), [3, 5, 0])
    np.testing.assert_allclose(turned, np.rot90(upright, axes=(1, 2)), atol=1e-4)
    np.testing.assert_allclose(upright.max(axis=(1, 2)), 1, atol=1e-5)


def test_map_follows_the_formula_of_the_paper(small_model, noise):
    """The mean gradient over a map is the change of the score with a shift of the whole map."""
    feature_maps = keras.Sequential(small_model.layers[:7])(noise).numpy()
    hidden_layers = keras.Sequential(small_model.layers[7:-1])
    kernel, bias = small_model.layers[-1].get_weights()

    def scores(values):
        return hidden_layers(values).numpy() @ kernel + bias

    weights = np.empty((3, 8, 10))
    for k, shift in enumerate(0.01 * np.eye(8, dtype="f")):
        difference = scores(feature_maps + shift) - scores(feature_maps - shift)
        weights[:, k] = difference / 0.02
    expected = np.maximum(np.einsum("nijk,nkc->ncij", feature_maps, weights), 0)
    chosen = expected.mean(axis=(2, 3)).argmax(axis=1)
    maps = grad_cam(small_model, noise, chosen)
    # Cell (i, j) of the last convolution is at the pixels (9.5 + 4 i, 9.5 + 4 j).
    at_cells = (maps[:, 9:60:4, 9:60:4] + maps[:, 10:61:4, 10:61:4]) / 2
    for n, c in enumerate(chosen):
        assert np.corrcoef(at_cells[n].ravel(), expected[n, c].ravel())[0, 1] > 0.98


def test_images_classes_and_networks_that_do_not_match_are_refused(colour_model, blobs):
    layers = [keras.Input((40, 40, 3)), keras.layers.Flatten(), keras.layers.Dense(2)]
    flat = keras.Sequential(layers)
    for error, words, model, images, classes in (
        (DataError, "expected.*40, 40, 3", colour_model, blobs[:, 1:], None),
        (DataError, "classes", colour_model, blobs, 2),
        (DataError, "1 images.*2", colour_model, blobs, [0, 1]),
        (ParameterError, "convolution", flat, blobs, None),
    ):
        with pytest.raises(error, match=words):
            grad_cam(model, images, classes)
