import numpy as np
import pytest
from scipy.ndimage import center_of_mass

from galclass import build_cnn
from galclass.errors import DataError, ParameterError
from galclass.evaluation.attribution import grad_cam
from galclass.network._tensorflow import keras, tf


@pytest.fixture(scope="module")
def colour_model():
    """Two blocks whose class 0 is the sum of the red and class 1 that of the green light."""
    model = build_cnn(
        input_shape=(40, 40, 3),
        classes=2,
        filters=((2,), (2,)),
        dense_units=(),
        precision="float32",
    )
    first, second = np.zeros((3, 3, 3, 2), "f"), np.zeros((3, 3, 2, 2), "f")
    for c in range(2):
        first[1, 1, c, c] = second[1, 1, c, c] = 1
    model.get_layer("conv1_1").set_weights([first, np.zeros(2)])
    model.get_layer("conv2_1").set_weights([second, np.zeros(2)])
    kernel = np.tile(np.eye(2), (model.get_layer("flatten").output.shape[1] // 2, 1))
    model.get_layer("classes").set_weights([kernel, np.zeros(2)])
    return model


@pytest.fixture(scope="module")
def blobs():
    """A red square around (10.5, 12.5) and a larger green one around (27.5, 25.5)."""
    image = np.zeros((1, 40, 40, 3), np.uint8)
    image[0, 9:13, 11:15, 0] = 200
    image[0, 24:32, 22:30, 1] = 200
    return image


def test_the_map_lies_on_the_evidence_for_the_class(colour_model, blobs):
    for chosen, centre in ((0, (10.5, 12.5)), (1, (27.5, 25.5))):
        (found,) = grad_cam(colour_model, blobs, chosen)
        np.testing.assert_allclose(center_of_mass(found), centre, atol=0.6)
        assert found.max() == pytest.approx(1)
        assert found.min() == 0
        assert found.dtype == np.float32


def test_by_default_the_predicted_class_is_explained(colour_model, blobs):
    assert colour_model(blobs).numpy().argmax() == 1
    np.testing.assert_array_equal(grad_cam(colour_model, blobs), grad_cam(colour_model, blobs, 1))


def test_each_image_has_its_own_class_scale_and_map(colour_model, blobs):
    both = np.concatenate([blobs, blobs // 4, 0 * blobs])
    found = grad_cam(colour_model, both, np.array([0, 1, 0]))
    np.testing.assert_array_equal(found[:1], grad_cam(colour_model, blobs, 0))
    np.testing.assert_allclose(found[1:2], grad_cam(colour_model, blobs, 1), atol=1e-5)
    assert (found[2] == 0).all()


def test_the_map_is_the_papers_formula_on_the_published_network():
    model = build_cnn(seed=1, filters=((8, 8), (8,), (8,)))
    images = np.random.default_rng(2).integers(0, 256, (3, 69, 69, 3), dtype=np.uint8)
    values = tf.constant(images)
    for layer in model.layers[:7]:
        values = layer(values)
    maps = values.numpy()
    assert model.layers[6].name == "conv3_1"
    kernel, bias = model.layers[-1].get_weights()

    def scores(values):
        for layer in model.layers[7:-1]:
            values = layer(values)
        return values.numpy() @ kernel + bias

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
            if coarse.max() == 0:
                assert one.max() == 0
            elif (coarse > 0).mean() > 0.5:
                assert np.corrcoef(one.ravel(), coarse.ravel())[0, 1] > 0.98
                compared += 1
    assert compared >= 5
    assert found.shape == (3, 69, 69)


def test_what_does_not_fit_the_model_is_refused(colour_model, blobs):
    with pytest.raises(DataError, match=r"expected \(N, 40, 40, 3\)"):
        grad_cam(colour_model, blobs[:, 1:])
    with pytest.raises(DataError, match="classes: labels from 2"):
        grad_cam(colour_model, blobs, 2)
    with pytest.raises(DataError, match="1 images but 2 labels"):
        grad_cam(colour_model, blobs, [0, 1])
    flat = keras.Sequential(
        [keras.Input((40, 40, 3)), keras.layers.Flatten(), keras.layers.Dense(2)]
    )
    with pytest.raises(ParameterError, match="convolutions and a Dense end"):
        grad_cam(flat, blobs)
