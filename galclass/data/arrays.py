"""What valid images, labels and integers are: the checks at the border of public functions."""

import operator
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import DataError, ParameterError

Images: TypeAlias = NDArray[np.uint8]
Labels: TypeAlias = NDArray[np.integer[Any]]

IMAGE_SHAPE = (69, 69, 3)


def check_images(
    images: ArrayLike, *, shape: tuple[int, ...] = IMAGE_SHAPE, name: str = "images"
) -> Images:
    """Images as a uint8 array of shape (N, 69, 69, 3), or an error that says what they are.

    Raises
    ------
    DataError
        Another dtype or shape, or no image at all.
    """
    images = _as_array(images, name)
    if images.dtype != np.uint8:
        hint = "give pixel values 0-255 as uint8"
        if images.dtype.kind in "iuf" and images.size:
            low, high = float(np.min(images)), float(np.max(images))
            if not np.isfinite(low + high):
                hint = "they hold NaN or infinite values; replace these first"
            elif low >= 0 and high <= 1:
                hint = "they lie in 0-1: convert with (images * 255).round().astype('uint8')"
            elif low >= 0 and high <= 255:
                hint = "they lie in 0-255: convert with images.round().astype('uint8')"
        raise DataError(f"{name}: dtype {images.dtype}, expected uint8; {hint}")
    if images.ndim != 4 or images.shape[1:] != shape:
        hint = ""
        if images.ndim == 4 and images.shape[1:] == (shape[2], *shape[:2]):
            hint = "; channels come last: images.transpose(0, 2, 3, 1)"
        elif images.shape[1:] == shape[:2]:
            hint = "; these are grey, expected red, green and blue (the i, r and g bands)"
        elif images.shape == shape:
            hint = "; a single image needs a first axis: images[None]"
        raise DataError(f"{name}: shape {images.shape}, expected (N, {str(shape)[1:]}{hint}")
    if len(images) == 0:
        raise DataError(f"{name}: no image in it, expected at least one")
    return images


def check_labels(
    labels: ArrayLike, count: int | None = None, *, classes: int = 10, name: str = "labels"
) -> NDArray[np.uint8]:
    """Labels as a uint8 array of shape (N,), or an error that says what they are.

    Raises
    ------
    DataError
        Not one-dimensional, not integers, out of range, empty or not `count` of them.
    """
    labels = _as_array(labels, name)
    if labels.ndim == 2 and labels.shape[1] == classes:
        raise DataError(
            f"{name}: shape {labels.shape} looks one-hot, expected class numbers of shape (N,); "
            "convert with labels.argmax(axis=1)"
        )
    if labels.ndim != 1:
        raise DataError(f"{name}: labels of shape {labels.shape}, expected (N,)")
    if not np.issubdtype(labels.dtype, np.integer):
        hint = "convert with labels.astype('uint8')"
        if labels.dtype.kind in "OSU":
            hint = (
                "convert with np.unique(labels, return_inverse=True)[1], or Galaxy10's names with "
                "[galclass.CLASS_NAMES.index(label) for label in labels]"
            )
        elif labels.dtype.kind == "f" and not np.isfinite(labels).all():
            hint = "they hold NaN or infinite values; leave these galaxies out"
        raise DataError(
            f"{name}: labels of dtype {labels.dtype}, expected integers 0-{classes - 1}; {hint}"
        )
    if len(labels) == 0:
        raise DataError(f"{name}: no label in it, expected at least one")
    if count is not None and len(labels) != count:
        raise DataError(f"{name}: {count} images but {len(labels)} labels; expected one each")
    if labels.min() < 0 or labels.max() >= classes:
        raise DataError(
            f"{name}: labels from {labels.min()} to {labels.max()}, expected 0-{classes - 1}"
        )
    return labels.astype(np.uint8, copy=False)


def _as_array(values: ArrayLike, name: str) -> NDArray[Any]:
    try:
        return np.asarray(values)
    except (TypeError, ValueError) as error:  # Its parts differ in shape, or it is on a GPU.
        raise DataError(f"{name}: not an array ({error}); expected one of NumPy") from error


def check_integer(value: Any, name: str, least: int, most: int | None = None) -> int:
    """An integer of any kind but a boolean as an int, or a ParameterError that says what it is."""
    limits = f"{least} or more" if most is None else f"{least} to {most}"
    try:
        number = None if isinstance(value, bool | np.bool_) else operator.index(value)
    except TypeError:
        number = None
    if number is None or number < least or (most is not None and number > most):
        raise ParameterError(f"{name}={value!r}, expected an integer of {limits}")
    return number
