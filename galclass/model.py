"""The published network, and the precision to run it in."""

import platform
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from ._tensorflow import keras, tf
from ._types import Precision

PRECISIONS = ("auto", "float32", "bfloat16", "float16")


def build_cnn(
    *,
    input_shape: Sequence[int] = (69, 69, 3),
    classes: int = 10,
    filters: Sequence[Sequence[int]] = ((64, 64), (128,), (256,)),
    dense_units: Sequence[int] = (150, 60),
    dropout: float = 0.5,
    dense_dropout: float = 0.3,
    l2: float = 0.001,
    seed: int | None = None,
    precision: Precision = "float32",
) -> keras.Model:
    """Build the three-block convolutional network, by default the published one.

    Blocks of 3 x 3 convolutions without padding and ReLU, each closed by a 2 x 2 max pooling;
    dropout; dense tanh layers, each with dropout; softmax. The defaults have 1,799,964 parameters.
    Kernels start from Glorot's uniform distribution, biases from zero, as Keras does by default.

    Parameters
    ----------
    input_shape : tuple of int, default (69, 69, 3)
        Height, width and channels.
    classes : int, default 10
        Number of outputs.
    filters : sequence of sequences of int
        Filters of each convolution, a sequence a block.
    dense_units : sequence of int, default (150, 60)
    dropout : float, default 0.5
        Dropped fraction after the last pooling.
    dense_dropout : float, default 0.3
        Dropped fraction after each dense layer.
    l2 : float, default 0.001
        L2 penalty (Keras's ``L2``: l2 times the sum of squares) on every kernel but the output's.
    seed : int, optional
        Seed of the initial weights and the dropouts. Default: not reproducible.
    precision : {"float32", "bfloat16", "float16", "auto"}
        Arithmetic of the layers. Weights and softmax are float32 always.

    Returns
    -------
    keras.Model
        Takes raw uint8 pictures of shape ``(n, *input_shape)``, which its first layer divides by
        255; gives float32 probabilities of shape (n, classes).

    Raises
    ------
    ValueError
        A size, rate or precision out of range, or a picture too small for the blocks.

    Examples
    --------
    The published network:

    >>> import galclass
    >>> model = galclass.build_cnn(seed=0)
    >>> model.count_params()
    1799964
    >>> images, labels = galclass.simulate_galaxy10(3)
    >>> model(images).shape
    TensorShape([3, 10])

    A smaller one:

    >>> small = galclass.build_cnn(filters=((16,), (32,), (64,)), dense_units=(60,))
    >>> small.count_params()
    162494
    """
    input_shape = tuple(input_shape)
    if len(input_shape) != 3 or min(input_shape) < 1:
        raise ValueError(f"input_shape {input_shape}, expected (height, width, channels)")
    if classes < 2:
        raise ValueError(f"classes={classes}, expected 2 or more")
    for name, rate in (("dropout", dropout), ("dense_dropout", dense_dropout)):
        if not 0 <= rate < 1:
            raise ValueError(f"{name}={rate}, expected 0 <= {name} < 1")
    if l2 < 0:
        raise ValueError(f"l2={l2}, expected 0 or more")
    widths = [*(w for block in filters for w in block), *dense_units]
    if not filters or min(widths, default=0) < 1:
        raise ValueError(f"filters={filters}, dense_units={dense_units}: expected sizes of 1 up")
    side = min(input_shape[:2])
    for block in filters:
        side = (side - 2 * len(block)) // 2
    if side < 1:
        raise ValueError(f"a picture of {input_shape[:2]} pixels is too small for {filters}")
    policy = dtype_policy(choose_precision(precision))
    seeds = iter(np.random.SeedSequence(seed).generate_state(64).tolist())

    def kernel(penalty=l2):
        return {
            "kernel_initializer": keras.initializers.GlorotUniform(seed=next(seeds)),
            "kernel_regularizer": keras.regularizers.L2(penalty) if penalty else None,
        }

    layers = keras.layers
    model = keras.Sequential(name="galclass_cnn")
    model.add(keras.Input(input_shape, dtype="uint8", name="pictures"))
    model.add(layers.Rescaling(1 / 255, dtype=policy, name="rescale"))
    for b, block in enumerate(filters, 1):
        for c, width in enumerate(block, 1):
            model.add(
                layers.Conv2D(
                    width, 3, activation="relu", dtype=policy, name=f"conv{b}_{c}", **kernel()
                )
            )
        model.add(layers.MaxPooling2D(2, dtype=policy, name=f"pool{b}"))
    model.add(layers.Dropout(dropout, seed=next(seeds), dtype=policy, name="dropout"))
    model.add(layers.Flatten(dtype=policy, name="flatten"))
    for d, width in enumerate(dense_units, 1):
        model.add(
            layers.Dense(width, activation="tanh", dtype=policy, name=f"dense{d}", **kernel())
        )
        model.add(layers.Dropout(dense_dropout, seed=next(seeds), dtype=policy, name=f"dropout{d}"))
    model.add(
        layers.Dense(classes, activation="softmax", dtype="float32", name="classes", **kernel(0))
    )
    return model


def forward(model, images):
    """Probabilities of uint8 pictures, as a tensor."""
    # A function for each network: of one for all, TensorFlow warns that it is traced anew.
    if "galclass_forward" not in model.__dict__:
        model.__dict__["galclass_forward"] = tf.function(
            partial(model, training=False), jit_compile=False, reduce_retracing=True
        )
    return model.__dict__["galclass_forward"](images)


def choose_precision(precision: Precision = "auto") -> Precision:
    """Resolve ``"auto"`` to what is fastest and safe on the machine at hand.

    bfloat16 on GPUs of compute capability 8 and above and on CPUs with AVX512-BF16 or AMX (read
    from ``/proc/cpuinfo``, so on Linux); float16 on GPUs of capability 7 (Colab's T4); else
    float32.

    Parameters
    ----------
    precision : {"auto", "float32", "bfloat16", "float16"}

    Returns
    -------
    str
        "float32", "bfloat16" or "float16".

    Raises
    ------
    ValueError
        Unknown precision.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"unknown precision {precision!r}, expected one of {PRECISIONS}")
    if precision != "auto":
        return precision
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        details = tf.config.experimental.get_device_details(gpus[0])
        major = details.get("compute_capability", (0, 0))[0]
        return "bfloat16" if major >= 8 else "float16" if major == 7 else "float32"
    return "bfloat16" if _cpu_flags() & {"avx512_bf16", "amx_bf16"} else "float32"


def dtype_policy(precision: Precision) -> str:
    """Keras's name for a precision: float32 variables, the given arithmetic."""
    return precision if precision == "float32" else f"mixed_{precision}"


def describe_device() -> str:
    """What the network runs on: the first GPU, else the CPU, as a manifest records it."""
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        details = tf.config.experimental.get_device_details(gpus[0])
        return f"GPU {details.get('device_name', 'unknown')}"
    return f"CPU {platform.machine()}"


def _cpu_flags():
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return set()
    for line in text.splitlines():
        if line.startswith("flags"):
            return set(line.partition(":")[2].split())
    return set()
