import numpy as np
import pytest

from galclass import build_cnn
from galclass import model as model_module
from galclass.model import choose_precision

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


def test_raw_pictures_are_rescaled_inside_the_network():
    model = build_cnn(seed=0)
    pictures = np.random.default_rng(0).integers(0, 256, (2, 69, 69, 3), dtype=np.uint8)
    seen = model.get_layer("rescale")(pictures)
    np.testing.assert_allclose(seen, pictures / 255, rtol=1e-6)
    np.testing.assert_allclose(model(pictures).numpy().sum(axis=1), 1, rtol=1e-5)


def test_the_seed_fixes_the_weights():
    first, again, other = (build_cnn(seed=s).get_weights() for s in (3, 3, 4))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])


def test_half_precision_keeps_weights_and_probabilities_in_float32():
    model = build_cnn(seed=0, precision="bfloat16")
    assert {w.dtype for w in model.trainable_weights} == {"float32"}
    assert model.get_layer("conv1_1").compute_dtype == "bfloat16"
    pictures = np.random.default_rng(0).integers(0, 256, (4, 69, 69, 3), dtype=np.uint8)
    half = model(pictures).numpy()
    assert half.dtype == np.float32
    np.testing.assert_allclose(half, build_cnn(seed=0)(pictures), atol=0.02)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ({"avx512f"}, "float32"),
        ({"avx512f", "avx512_bf16"}, "bfloat16"),
        ({"amx_bf16"}, "bfloat16"),
        (set(), "float32"),
    ],
)
def test_a_cpu_gets_the_precision_that_it_is_fast_in(monkeypatch, flags, expected):
    monkeypatch.setattr(model_module.tf.config, "list_physical_devices", lambda kind: [])
    monkeypatch.setattr(model_module, "_cpu_flags", lambda: flags)
    assert choose_precision("auto") == expected


@pytest.mark.parametrize(
    ("capability", "expected"),
    [((6, 1), "float32"), ((7, 5), "float16"), ((8, 0), "bfloat16"), ((9, 0), "bfloat16")],
)
def test_a_gpu_gets_the_precision_that_it_is_fast_in(monkeypatch, capability, expected):
    monkeypatch.setattr(model_module.tf.config, "list_physical_devices", lambda kind: ["gpu"])
    monkeypatch.setattr(
        model_module.tf.config.experimental,
        "get_device_details",
        lambda gpu: {"compute_capability": capability},
    )
    assert choose_precision("auto") == expected
    assert choose_precision("float32") == "float32"
