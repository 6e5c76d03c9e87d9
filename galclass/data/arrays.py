"""Input validation for public functions."""

import operator
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import DataError, ParameterError

Images: TypeAlias = NDArray[np.uint8]
Labels: TypeAlias = NDArray[np.integer[Any]]

MAX_CLASSES = 255  # labels are 0 to 254; 255 marks a missing class in FITS tables
MIN_SIDE = 32  # pixels
MAX_SIDE = 256


def check_images(
    images: ArrayLike, *, shape: tuple[int, ...] | None = None, name: str = "images"
) -> Images:
    """Return images as a uint8 array of shape (N, s, s, 3).

    Parameters
    ----------
    images : ndarray of uint8, shape (N, s, s, 3) or (N, s, s, 1)
        A single channel is repeated three times.
    shape : tuple of int, optional
        Required shape of each image. Default: any square image of 32 to 256 pixels.
    name : str, default "images"
        Name of the argument in error messages.

    Raises
    ------
    DataError
        The dtype or the shape is not valid, or the array is empty.
    """
    images = as_array(images, name)
    if images.dtype != np.uint8:
        raise DataError(
            f"{name}: dtype {images.dtype}, expected uint8; {_conversion_to_uint8(images)}"
        )
    given_shape = images.shape
    if images.ndim == 4 and images.shape[3] == 1:
        images = np.repeat(images, 3, axis=3)
    if not _is_valid_shape(images.shape, shape):
        if shape is None:
            expected = f"(N, s, s, 3), s from {MIN_SIDE} to {MAX_SIDE}"
        else:
            expected = f"(N, {', '.join(map(str, shape))})"
        hint = _shape_hint(given_shape)
        raise DataError(f"{name}: shape {given_shape}, expected {expected}{hint}")
    return images


def _is_valid_shape(found: tuple[int, ...], required: tuple[int, ...] | None) -> bool:
    if required is not None:
        return found[1:] == required
    if len(found) != 4:
        return False
    height, width, channels = found[1:]
    return height == width and MIN_SIDE <= height <= MAX_SIDE and channels == 3


def _conversion_to_uint8(images: NDArray[Any]) -> str:
    in_range = images.dtype.kind in "iuf" and images.min() >= 0 and images.max() <= 255
    if not in_range:  # NaN is not in the range either.
        return "give pixel values 0-255, without NaN, as uint8"
    if images.max() <= 1:
        return "in 0-1, convert with (images * 255).round().astype('uint8')"
    return "in 0-255, convert with images.round().astype('uint8')"


def _shape_hint(shape: tuple[int, ...]) -> str:
    if len(shape) == 4 and shape[1] == 3:
        return "; channels come last: images.transpose(0, 2, 3, 1)"
    if len(shape) == 3 and shape[2] == 3:
        return "; a single image needs a first axis: images[None]"
    if len(shape) == 3:
        return "; grey images need a last axis: images[..., None]"
    return ""


def check_labels(
    labels: ArrayLike,
    count: int | None = None,
    *,
    classes: int = MAX_CLASSES,
    name: str = "labels",
) -> NDArray[np.uint8]:
    """Return labels as a uint8 array of shape (N,).

    Parameters
    ----------
    labels : array of int, shape (N,)
    count : int, optional
        Required number of labels: the number of images.
    classes : int, default 255
        Number of classes; labels are 0 to ``classes - 1``.
    name : str, default "labels"
        Name of the argument in error messages.

    Raises
    ------
    DataError
        The labels are not one-dimensional, not integers or out of range, or their number is 0 or
        not `count`.
    """
    labels = as_array(labels, name)
    if labels.ndim != 1:
        hint = ""
        if labels.ndim == 2 and labels.shape[1] > 1:
            hint = "; one-hot? Take labels.argmax(axis=1)"
        raise DataError(f"{name}: labels of shape {labels.shape}, expected (N,){hint}")
    if labels.dtype.kind not in "iu":
        if labels.dtype.kind in "OSU":
            conversion = (
                "[galclass.CLASS_NAMES.index(label) for label in labels], or other names with "
                "numpy.unique(labels, return_inverse=True)[1]"
            )
        else:
            conversion = "labels.astype('uint8'), without NaN"
        raise DataError(
            f"{name}: labels of dtype {labels.dtype}, expected integers 0-{classes - 1}; "
            f"convert with {conversion}"
        )
    if count is not None and count != len(labels):
        raise DataError(f"{name}: {count} images but {len(labels)} labels; expected one each")
    lowest = labels.min()
    highest = labels.max()
    if lowest < 0 or highest >= classes:
        raise DataError(f"{name}: labels from {lowest} to {highest}, expected 0-{classes - 1}")
    return labels.astype(np.uint8, copy=False)


def check_class_names(names: Any) -> tuple[str, ...]:
    """Return class names as a tuple of str.

    Raises
    ------
    ParameterError
        The names are not 2 to 255 different, non-empty strings.
    """
    if isinstance(names, str):
        valid = False
    else:
        names = tuple(names)
        valid = (
            2 <= len(names) <= MAX_CLASSES
            and all(isinstance(name, str) and name.strip() for name in names)
            and len(set(names)) == len(names)
        )
    if not valid:
        raise ParameterError(f"class_names={names!r}, expected 2 to {MAX_CLASSES} different names")
    return tuple(str(name) for name in names)


def check_integer(value: Any, name: str, least: int, most: int | None = None) -> int:
    """Return a Python or NumPy integer as an int.

    Raises
    ------
    ParameterError
        The value is a boolean, not an integer, or outside `least` to `most`.
    """
    limits = f"{least} or more" if most is None else f"{least} to {most}"
    error = ParameterError(f"{name}={value!r}, expected an integer of {limits}")
    if isinstance(value, bool):
        raise error
    try:
        number = operator.index(value)
    except TypeError:
        raise error from None
    if number < least or (most is not None and number > most):
        raise error
    return number


def as_array(values: ArrayLike, name: str) -> NDArray[Any]:
    """Return values as an array.

    Raises
    ------
    DataError
        Some values are masked, the values have a unit, which a plain array would lose, or they
        are not an array.
    """
    mask = getattr(values, "mask", None)  # pandas has a method of this name.
    if mask is not None and not callable(mask) and np.any(mask):
        raise DataError(f"{name}: some values are masked; leave these out, or fill them first")
    if getattr(values, "unit", None) is not None:
        raise DataError(f"{name}: unit {values.unit}; convert it, and give the plain numbers")
    try:
        array = np.asarray(values)
    except (TypeError, ValueError) as error:  # Ragged lists, or tensors on a GPU.
        raise DataError(f"{name}: not an array ({error}); expected a NumPy array") from error
    if not array.size:
        raise DataError(f"{name}: shape {array.shape}, it is empty; expected one galaxy or more")
    return array
