import numpy as np
import pytest

from galclass import build_cnn
from galclass.errors import ParameterError
from galclass.network import hardware
from galclass.network.hardware import choose_precision

PUBLISHED_SHAPES = [
    (67, 67, 64), (65, 65, 64), (32, 32, 64), (30, 30, 128), (15, 15, 128),
    (13, 13, 256), (6, 6, 256), (9216,), (150,), (60,), (10,),
]  # fmt: skip


def test_the_network_is_the_published_one_to_the_parameter():
    model = build_cnn()
    assert model.count_params() == 1_799_964
    weighted = [layer for layer in model.layers if layer.weights and "dropout" not in layer.name]
    assert [layer.count_params() for layer in weighted] == [
        1792, 36928, 73856, 295168, 1382550, 9060, 610,
    ]  # fmt: skip
    shaped = [x for x in model.layers if x.name.startswith(("conv", "pool", "flat", "dense", "cl"))]
    assert [layer.output.shape[1:] for layer in shaped] == PUBLISHED_SHAPES
    assert [x.rate for x in model.layers if x.name.startswith("dropout")] == [0.5, 0.3, 0.3]
    activations = {x.name: x.activation.__name__ for x in model.layers if hasattr(x, "activation")}
    assert activations["conv1_1"] == "relu"
    assert activations["dense1"] == activations["dense2"] == "tanh"
    assert activations["classes"] == "softmax"


def test_every_kernel_but_the_outputs_is_penalised():
    model = build_cnn(l2=0.001)
    kernels = [x.kernel for x in model.layers if hasattr(x, "kernel")]
    expected = [0.001 * np.sum(np.square(k.numpy())) for k in kernels[:-1]]
    np.testing.assert_allclose([float(x) for x in model.losses], expected, rtol=1e-4)


def test_raw_images_are_rescaled_inside_the_network_and_half_precision_is_near(
    images_of_brightness,
):
    model, images = build_cnn(seed=0), images_of_brightness[0][:4]
    np.testing.assert_allclose(model.get_layer("rescale")(images), images / 255, rtol=1e-6)
    full = model(images).numpy()
    np.testing.assert_allclose(full.sum(axis=1), 1, rtol=1e-5)
    half = build_cnn(seed=0, precision="bfloat16")
    assert {w.dtype for w in half.trainable_weights} == {"float32"}
    assert half.get_layer("conv1_1").compute_dtype == "bfloat16"
    probabilities = half(images).numpy()
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities, full, atol=0.02)


def test_the_seed_fixes_the_weights():
    first, again, other = (build_cnn(seed=s).get_weights() for s in (3, 3, 4))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"input_shape": (69, 69)}, "expected \\(height, width, channels\\)"),
        ({"input_shape": (12, 12, 3)}, "too small"),
        ({"classes": 1}, "classes=1"),
        ({"dropout": 1.0}, "dropout=1.0"),
        ({"l2": -1}, "l2=-1"),
        ({"filters": ()}, "filters="),
        ({"precision": "float8"}, "unknown precision"),
    ],
)
def test_a_network_that_cannot_be_built_is_refused(settings, words):
    with pytest.raises(ParameterError, match=words):
        build_cnn(**settings)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ({"bfloat16": 1, "float32": 3}, "bfloat16"),
        ({"bfloat16": 3, "float32": 1}, "float32"),
        ({"bfloat16": 0.95, "float32": 1}, "float32"),
        ({"bfloat16": float("inf"), "float32": 1}, "float32"),
    ],
)
def test_a_cpu_gets_the_precision_that_it_is_measured_to_be_fast_in(monkeypatch, seconds, expected):
    monkeypatch.setattr(hardware.tf.config, "list_physical_devices", lambda kind: [])
    monkeypatch.setattr(hardware, "_seconds", seconds.get)
    hardware._fastest_on_cpu.cache_clear()
    assert choose_precision("auto") == expected
    hardware._fastest_on_cpu.cache_clear()


def test_a_precision_that_fails_is_not_chosen(monkeypatch):
    def fail(*_):
        raise hardware.tf.errors.UnimplementedError(None, None, "no primitive descriptor")

    monkeypatch.setattr(hardware.timeit, "repeat", lambda *_, **__: fail())
    assert hardware._seconds("bfloat16") == float("inf")


@pytest.mark.parametrize(
    ("capability", "expected"),
    [((6, 1), "float32"), ((7, 5), "float16"), ((8, 0), "bfloat16"), ((9, 0), "bfloat16")],
)
def test_a_gpu_gets_the_precision_that_it_is_fast_in(monkeypatch, capability, expected):
    monkeypatch.setattr(hardware.tf.config, "list_physical_devices", lambda kind: ["gpu"])
    details = {"compute_capability": capability, "device_name": "Card"}
    monkeypatch.setattr(hardware.tf.config.experimental, "get_device_details", lambda gpu: details)
    assert choose_precision("auto") == expected
    assert choose_precision("float32") == "float32"
    assert hardware.describe_device() == "GPU Card"
