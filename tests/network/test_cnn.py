import keras
import numpy as np
import pytest

from galclass import build_cnn
from galclass.errors import ParameterError

SHAPES = [(67, 67, 64), (65, 65, 64), (32, 32, 64), (30, 30, 128), (15, 15, 128), (13, 13, 256)]
SHAPES += [(6, 6, 256), (9216,), (150,), (60,), (10,)]


def test_the_network_is_the_published_one_to_the_parameter_and_all_but_its_output_penalised():
    model = build_cnn(l2=0.001)
    assert model.count_params() == 1_799_964
    weighted = [layer for layer in model.layers if layer.weights and "dropout" not in layer.name]
    counts = [1792, 36928, 73856, 295168, 1382550, 9060, 610]
    assert [layer.count_params() for layer in weighted] == counts
    shaped = [x for x in model.layers if x.name.startswith(("conv", "pool", "flat", "dense", "cl"))]
    assert [layer.output.shape[1:] for layer in shaped] == SHAPES
    assert [x.rate for x in model.layers if x.name.startswith("dropout")] == [0.5, 0.3, 0.3]
    activations = {x.name: x.activation.__name__ for x in model.layers if hasattr(x, "activation")}
    expected = {"conv1_1": "relu", "dense1": "tanh", "dense2": "tanh", "classes": "softmax"}
    assert expected.items() <= activations.items()
    kernels = [x.kernel.numpy() for x in model.layers if hasattr(x, "kernel")]
    expected = [0.001 * np.square(kernel).sum() for kernel in kernels[:-1]]
    np.testing.assert_allclose([float(x) for x in model.losses], expected, rtol=1e-4)
    with pytest.raises(ParameterError, match="expected"):
        build_cnn(input_shape=(69, 69))


def test_the_seed_fixes_the_weights_and_half_precision_of_raw_images_is_near(like_galaxy10):
    model, images = build_cnn(seed=0), like_galaxy10[0][:4]
    np.testing.assert_allclose(model.get_layer("rescale")(images), images / 255, rtol=1e-6)
    full = model(images).numpy()
    np.testing.assert_allclose(full.sum(axis=1), 1, rtol=1e-5)
    half = build_cnn(seed=0, precision="bfloat16")
    assert {w.dtype for w in half.trainable_weights} == {"float32"}
    assert half.get_layer("conv1_1").compute_dtype == "bfloat16"
    probabilities = half(images).numpy()
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities, full, atol=0.02)
    first, again, other = (m.get_weights() for m in (model, half, build_cnn(seed=4)))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])


def test_the_users_keras_settings_do_not_change_the_network():
    images = np.random.default_rng(0).integers(0, 256, (2, 69, 69, 3), np.uint8)
    expected = build_cnn(seed=0)(images).numpy()
    before = keras.config.image_data_format()
    keras.config.set_image_data_format("channels_first")
    try:
        np.testing.assert_array_equal(build_cnn(seed=0)(images).numpy(), expected)
    finally:
        keras.config.set_image_data_format(before)
