"""The network is the published one, whatever the user's settings of Keras."""

import os
import subprocess
import sys

import numpy as np
import pytest

from galclass import build_cnn
from galclass.errors import ParameterError
from galclass.network._tensorflow import keras

# Number of parameters and activation of each layer with weights.
WEIGHTED = {
    "conv1_1": (1792, "relu"),
    "conv1_2": (36928, "relu"),
    "conv2_1": (73856, "relu"),
    "conv3_1": (295168, "relu"),
    "dense1": (1382550, "tanh"),
    "dense2": (9060, "tanh"),
    "classes": (610, "softmax"),
}
SHAPES = [(67, 67, 64), (65, 65, 64), (32, 32, 64), (30, 30, 128), (15, 15, 128), (13, 13, 256)]
SHAPES += [(6, 6, 256), (9216,), (150,), (60,), (10,)]


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (4, 69, 69, 3), np.uint8)


@pytest.fixture(scope="module")
def model():
    return build_cnn(seed=0)


def test_network_is_the_published_one(model):
    assert model.count_params() == 1_799_964
    layers = {layer.name: layer for layer in model.layers}
    for name, (parameters, activation) in WEIGHTED.items():
        assert layers[name].count_params() == parameters
        assert layers[name].activation.__name__ == activation
    shaped = [layers[name] for name in layers if not name.startswith(("dropout", "rescale"))]
    assert [layer.output.shape[1:] for layer in shaped] == SHAPES
    assert [layers[f"dropout{number}"].rate for number in ("", 1, 2)] == [0.5, 0.3, 0.3]


def test_every_kernel_but_the_output_is_penalized(model):
    kernels = [model.get_layer(name).kernel.numpy() for name in WEIGHTED if name != "classes"]
    expected = [0.001 * np.square(kernel).sum() for kernel in kernels]
    np.testing.assert_allclose([float(loss) for loss in model.losses], expected, rtol=1e-4)


def test_raw_images_become_probabilities(model, images):
    np.testing.assert_allclose(model.get_layer("rescale")(images), images / 255, rtol=1e-6)
    np.testing.assert_allclose(model(images).numpy().sum(axis=1), 1, rtol=1e-5)


def test_seed_fixes_the_weights_and_bfloat16_gives_similar_probabilities(model, images):
    half = build_cnn(seed=0, precision="bfloat16")
    np.testing.assert_equal(half.get_weights(), model.get_weights())
    assert {weight.dtype for weight in half.trainable_weights} == {"float32"}
    assert half.get_layer("conv1_1").compute_dtype == "bfloat16"
    probabilities = half(images).numpy()
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities, model(images).numpy(), atol=0.02)
    other = build_cnn(seed=4).get_weights()
    assert not np.array_equal(model.get_weights()[0], other[0])


def test_settings_of_keras_do_not_change_the_network(model, images):
    before = keras.config.image_data_format()
    keras.config.set_image_data_format("channels_first")
    try:
        np.testing.assert_array_equal(build_cnn(seed=0)(images), model(images))
    finally:
        keras.config.set_image_data_format(before)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"input_shape": (69, 69)}, r"input_shape=\(69, 69\), expected \(height, width, channels"),
        ({"input_shape": (-69, 69, 3)}, r"input_shape=\(-69, 69, 3\), expected"),
        ({"input_shape": (8, 8, 3)}, r"\(8, 8\) pixels are too small"),
        ({"classes": 1}, "classes=1, expected 2 or more"),
        ({"filters": ((0,),)}, r"filters=\(\(0,\),\).*expected numbers of 1"),
        ({"dense_units": (0,)}, r"dense_units=\(0,\): expected numbers of 1"),
        ({"dropout": 1.5}, "dropout=1.5, expected 0 <= dropout < 1"),
        ({"dense_dropout": -0.1}, "dense_dropout=-0.1, expected 0 <="),
        ({"l2": -1}, "l2=-1, expected 0 or more"),
        ({"precision": "int8"}, "unknown precision 'int8', expected one of"),
    ],
)
def test_bad_setting_is_refused(settings, words):
    with pytest.raises(ParameterError, match=words):
        build_cnn(**settings)


def test_another_backend_of_keras_is_refused():
    command = [sys.executable, "-c", "import galclass.network.cnn"]
    environment = {**os.environ, "KERAS_BACKEND": "jax"}
    process = subprocess.run(command, env=environment, capture_output=True, text=True)
    error = process.stderr.splitlines()[-1]
    assert "MissingPackageError: Keras uses the backend 'jax'" in error
    assert "KERAS_BACKEND=tensorflow" in error
