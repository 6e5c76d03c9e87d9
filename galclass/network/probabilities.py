"""Class probabilities of images."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.arrays import Images
from ._tensorflow import keras, tf
from .options import Symmetric
from .symmetry import apply_symmetry

# Chosen on a validation set. On the test set of the pretrained network, averaging only below it
# gives the same classes as averaging always (docs/results.md).
SURE = 0.95


@functools.lru_cache(maxsize=8)
def compile_forward(model: keras.Model) -> Callable[[Images], tf.Tensor]:
    """Return a compiled function from uint8 images to probabilities.

    It is cached, because TensorFlow would trace a new function again.
    """
    return tf.function(
        functools.partial(model, training=False), jit_compile=False, reduce_retracing=True
    )


def predict_proba(
    model: keras.Model,
    images: Images,
    indices: NDArray[np.integer[Any]] | None = None,
    *,
    symmetric: Symmetric = False,
    batch_size: int = 64,
) -> NDArray[np.float32]:
    """Predict class probabilities, without calibration.

    Parameters
    ----------
    model : keras.Model
        A network that :func:`galclass.build_cnn` returns.
    images : ndarray of uint8, shape (N, s, s, 3)
    indices : array of int, shape (n,), optional
        Images to predict, in this order. Default: all.
    symmetric : bool or "unsure", default False
        Average the probabilities over the eight symmetries of each image (True), or only of those
        images whose largest probability in one pass is below 0.95 (``"unsure"``).
    batch_size : int, default 64
        Number of images per pass. It limits the memory and does not change the result.

    Returns
    -------
    ndarray of float32, shape (n, classes)
        Each row sums to 1.
    """
    if indices is None:
        indices = np.arange(len(images))
    indices = np.asarray(indices)
    forward = compile_forward(model)

    def predict_once(chosen: NDArray[np.integer[Any]], element: int) -> NDArray[np.float32]:
        parts = []
        for start in range(0, len(chosen), batch_size):
            batch = images[chosen[start : start + batch_size]]
            parts.append(forward(apply_symmetry(batch, element)).numpy())
        return np.concatenate(parts)

    probabilities = predict_once(indices, 0)
    if symmetric is False:
        return probabilities
    to_average = np.arange(len(indices))
    if symmetric == "unsure":
        to_average = np.flatnonzero(probabilities.max(axis=1) < SURE)
    # Collected from all batches first: a GPU needs time for each new size of a batch.
    if len(to_average):
        passes = [probabilities[to_average]]
        passes += [predict_once(indices[to_average], element) for element in range(1, 8)]
        probabilities[to_average] = np.mean(passes, axis=0)
    return probabilities
