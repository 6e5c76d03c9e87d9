"""The published network."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from ..errors import ParameterError
from ._tensorflow import keras
from .hardware import Precision, choose_precision


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
        Precision of the layers. Weights and softmax are float32 always.

    Returns
    -------
    keras.Model
        Takes raw uint8 images of shape ``(n, *input_shape)``, which its first layer divides by
        255; gives float32 probabilities of shape (n, classes).

    Raises
    ------
    ParameterError
        A size, rate or precision out of range, or an image too small for the blocks.

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
        raise ParameterError(f"input_shape {input_shape}, expected (height, width, channels)")
    if classes < 2:
        raise ParameterError(f"classes={classes}, expected 2 or more")
    for name, rate in (("dropout", dropout), ("dense_dropout", dense_dropout)):
        if not 0 <= rate < 1:
            raise ParameterError(f"{name}={rate}, expected 0 <= {name} < 1")
    if l2 < 0:
        raise ParameterError(f"l2={l2}, expected 0 or more")
    widths = [*(w for block in filters for w in block), *dense_units]
    if not filters or min(widths, default=0) < 1:
        raise ParameterError(
            f"filters={filters}, dense_units={dense_units}: expected sizes of 1 up"
        )
    side = min(input_shape[:2])
    for block in filters:
        side = (side - 2 * len(block)) // 2
    if side < 1:
        raise ParameterError(f"an image of {input_shape[:2]} pixels is too small for {filters}")
    policy = choose_precision(precision)
    policy = policy if policy == "float32" else f"mixed_{policy}"
    seeds = iter(np.random.SeedSequence(seed).generate_state(64).tolist())

    def kernel(penalty: float = l2) -> dict[str, Any]:
        return {
            "kernel_initializer": keras.initializers.GlorotUniform(seed=next(seeds)),
            "kernel_regularizer": keras.regularizers.L2(penalty) if penalty else None,
        }

    layers = keras.layers
    # Whatever the user's Keras settings say.
    last = {"dtype": policy, "data_format": "channels_last"}
    convolution = partial(layers.Conv2D, kernel_size=3, activation="relu", **last)
    dense = partial(layers.Dense, activation="tanh", dtype=policy)
    drop = partial(layers.Dropout, dtype=policy)
    rescale = layers.Rescaling(1 / 255, dtype=policy, name="rescale")
    stack = [keras.Input(input_shape, dtype="uint8", name="images"), rescale]
    for b, block in enumerate(filters, 1):
        for c, width in enumerate(block, 1):
            stack.append(convolution(width, name=f"conv{b}_{c}", **kernel()))
        stack.append(layers.MaxPooling2D(2, name=f"pool{b}", **last))
    stack.append(drop(dropout, seed=next(seeds), name="dropout"))
    stack.append(layers.Flatten(name="flatten", **last))
    for d, width in enumerate(dense_units, 1):
        stack.append(dense(width, name=f"dense{d}", **kernel()))
        stack.append(drop(dense_dropout, seed=next(seeds), name=f"dropout{d}"))
    output = {"activation": "softmax", "dtype": "float32", **kernel(0)}
    stack.append(layers.Dense(classes, name="classes", **output))
    return keras.Sequential(stack, name="galclass_cnn")
