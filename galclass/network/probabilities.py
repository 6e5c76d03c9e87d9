"""Images to probabilities."""

from functools import partial
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..data.arrays import Images
from ._tensorflow import keras, tf
from .symmetry import apply_symmetry

Symmetric: TypeAlias = bool | Literal["unsure"]
# Chosen on validation galaxies: the class is then that of all eight passes (docs/results.md).
SURE = 0.95


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
    symmetric: Symmetric = False,
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
    symmetric : bool or "unsure", default False
        Average the probabilities over the eight symmetries of each image, or only of those images
        whose class is less than 95 % sure from one pass.
    batch_size : int, default 64
        Images at a time; it bounds the memory, not the result.

    Returns
    -------
    ndarray of float32, shape (n, classes)
        Each row sums to 1.
    """
    indices = np.arange(len(images)) if indices is None else np.asarray(indices)
    sure = {False: 0.0, "unsure": SURE, True: np.inf}[symmetric]

    def pass_once(which: NDArray[np.integer[Any]], element: int) -> NDArray[np.float32]:
        batches = (which[start : start + batch_size] for start in range(0, len(which), batch_size))
        changed = (apply_symmetry(images[batch], element) for batch in batches)
        return np.concatenate([forward(model, batch).numpy() for batch in changed])

    rows = pass_once(indices, 0)
    left = np.flatnonzero(rows.max(axis=1) < sure)
    if len(left):  # All together, in whole batches: a GPU tunes each size of batch anew.
        others = [pass_once(indices[left], element) for element in range(1, 8)]
        rows[left] = np.mean([rows[left], *others], axis=0)
    return rows
