"""Images to probabilities."""

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.arrays import Images
from ._tensorflow import keras, tf
from .symmetry import apply_symmetry


def forward(model: keras.Model, images: Images) -> tf.Tensor:
    """Probabilities of uint8 images, as a tensor."""
    # A function for each network: of one for all, TensorFlow warns that it is traced anew.
    if "galclass_forward" not in model.__dict__:
        model.__dict__["galclass_forward"] = tf.function(
            partial(model, training=False), jit_compile=False, reduce_retracing=True
        )
    return model.__dict__["galclass_forward"](images)


def predict_proba(
    model: keras.Model,
    images: Images,
    indices: NDArray[np.integer[Any]] | None = None,
    *,
    symmetric: bool = False,
    batch_size: int = 64,
) -> NDArray[np.float32]:
    """Class probabilities of images, as the network gives them.

    Parameters
    ----------
    model : keras.Model
        As :func:`galclass.build_cnn` makes it.
    images : ndarray of uint8, shape (N, 69, 69, 3)
    indices : array of int, shape (n,), optional
        Which of them, in this order. Default: all.
    symmetric : bool, default False
        Average the probabilities over the eight symmetries of each image.
    batch_size : int, default 64
        Images at a time; it bounds the memory, not the result.

    Returns
    -------
    ndarray of float32, shape (n, classes)
        Each row sums to 1.
    """
    indices = np.arange(len(images)) if indices is None else indices
    elements = range(8) if symmetric else (0,)
    parts = []
    for start in range(0, len(indices), batch_size):
        batch = images[indices[start : start + batch_size]]
        each = [forward(model, apply_symmetry(batch, e)).numpy() for e in elements]
        parts.append(np.mean(each, axis=0))
    return np.concatenate(parts)
