"""The published network."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import ParameterError
from ._tensorflow import keras
from .options import Precision
from .precision import choose_precision


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

    Each block has 3 x 3 convolutions without padding, with ReLU, and ends with 2 x 2 max pooling.
    Then follow dropout, dense tanh layers, each with dropout, and softmax. The defaults have
    1,799,964 parameters. Kernels start from Glorot's uniform distribution, biases from zero, which
    are Keras's defaults.

    Parameters
    ----------
    input_shape : tuple of int, default (69, 69, 3)
        Height, width and channels.
    classes : int, default 10
        Number of outputs.
    filters : sequence of sequences of int
        Numbers of filters: one sequence per block, one number per convolution.
    dense_units : sequence of int, default (150, 60)
        Units of the dense layers before the output.
    dropout : float, default 0.5
        Dropout rate after the last pooling.
    dense_dropout : float, default 0.3
        Dropout rate after each dense layer.
    l2 : float, default 0.001
        L2 penalty (Keras's ``L2``: l2 times the sum of squares) on every kernel except the
        output's.
    seed : int, optional
        Seed of the initial weights and the dropouts. Default: not reproducible.
    precision : {"float32", "bfloat16", "float16", "auto"}
        Precision of the layers. Weights and softmax are always float32.

    Returns
    -------
    keras.Model
        It takes raw uint8 images of shape ``(n, *input_shape)``, which its first layer divides by
        255, and returns float32 probabilities of shape (n, classes).

    Raises
    ------
    ParameterError
        A size, rate or precision is out of range, or the image is too small for the blocks.

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
    _check_sizes(input_shape, classes, filters, dense_units)
    _check_rates(dropout, dense_dropout, l2)
    policy = choose_precision(precision)
    if policy != "float32":
        policy = f"mixed_{policy}"
    # More seeds than layers; the layers take them in their order.
    seeds = iter(np.random.SeedSequence(seed).generate_state(64).tolist())

    def kernel_settings(penalty: float) -> dict[str, Any]:
        return {
            "kernel_initializer": keras.initializers.GlorotUniform(seed=next(seeds)),
            "kernel_regularizer": keras.regularizers.L2(penalty) if penalty else None,
        }

    # Stated, so that the user's settings of Keras do not change the network. Other layers do not
    # have a data format.
    settings = {"dtype": policy, "data_format": "channels_last"}
    layers = [
        keras.Input(input_shape, dtype="uint8", name="images"),
        keras.layers.Rescaling(1 / 255, dtype=policy, name="rescale"),
    ]
    for b, block in enumerate(filters, 1):
        for c, width in enumerate(block, 1):
            convolution = keras.layers.Conv2D(
                width,
                kernel_size=3,
                activation="relu",
                name=f"conv{b}_{c}",
                **settings,
                **kernel_settings(l2),
            )
            layers.append(convolution)
        layers.append(keras.layers.MaxPooling2D(2, name=f"pool{b}", **settings))
    layers.append(keras.layers.Dropout(dropout, dtype=policy, seed=next(seeds), name="dropout"))
    layers.append(keras.layers.Flatten(name="flatten", **settings))
    for d, width in enumerate(dense_units, 1):
        dense = keras.layers.Dense(
            width, activation="tanh", dtype=policy, name=f"dense{d}", **kernel_settings(l2)
        )
        layers.append(dense)
        layers.append(
            keras.layers.Dropout(dense_dropout, dtype=policy, seed=next(seeds), name=f"dropout{d}")
        )
    output = keras.layers.Dense(
        classes, activation="softmax", dtype="float32", name="classes", **kernel_settings(0)
    )
    layers.append(output)
    return keras.Sequential(layers, name="galclass_cnn")


def _check_sizes(
    input_shape: tuple[int, ...],
    classes: int,
    filters: Sequence[Sequence[int]],
    dense_units: Sequence[int],
) -> None:
    if len(input_shape) != 3 or min(input_shape) < 1:
        raise ParameterError(f"input_shape={input_shape}, expected (height, width, channels)")
    if classes < 2:
        raise ParameterError(f"classes={classes}, expected 2 or more")
    widths = [width for block in filters for width in block]
    widths.extend(dense_units)
    if not filters or min(widths, default=0) < 1:
        raise ParameterError(
            f"filters={filters}, dense_units={dense_units}: expected numbers of 1 or more"
        )
    side = min(input_shape[:2])
    for block in filters:
        side = (side - 2 * len(block)) // 2  # A convolution takes 2 pixels; pooling halves.
    if side < 1:
        raise ParameterError(
            f"images of {input_shape[:2]} pixels are too small for filters={filters}; give "
            "larger images or fewer blocks"
        )


def _check_rates(dropout: float, dense_dropout: float, l2: float) -> None:
    for name, rate in (("dropout", dropout), ("dense_dropout", dense_dropout)):
        if not 0 <= rate < 1:
            raise ParameterError(f"{name}={rate}, expected 0 <= {name} < 1")
    if l2 < 0:
        raise ParameterError(f"l2={l2}, expected 0 or more")
