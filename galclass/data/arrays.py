"""What valid images, labels and integers are: the checks at the border of public functions."""

import contextlib
import operator
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import DataError, ParameterError

Images: TypeAlias = NDArray[np.uint8]
Labels: TypeAlias = NDArray[np.integer[Any]]

IMAGE_SHAPE = (69, 69, 3)
MOST_CLASSES = 255  # uint8 has one more, which stands for no class in FITS
SIDES = (32, 256)  # least and most pixels of an image's side


def check_images(
    images: ArrayLike, *, shape: tuple[int, ...] | None = None, name: str = "images"
) -> Images:
    """Images as a uint8 array of shape (N, s, s, 3), or an error that says what they are.

    Parameters
    ----------
    images : ndarray of uint8, shape (N, s, s, 3) or (N, s, s, 1)
        A single channel is repeated.
    shape : tuple of int, optional
        Of an image. Default: any square one of 32 to 256 pixels.
    name : str
        What they are called in errors.

    Raises
    ------
    DataError
        Another dtype or shape, or no image at all.
    """
    images = as_array(images, name)
    if images.dtype != np.uint8:
        hint = "give pixel values 0-255, without NaN, as uint8"
        if images.dtype.kind in "iuf" and images.min() >= 0 and images.max() <= 255:
            top = 1 if images.max() <= 1 else 255
            hint = f"in 0-{top}, convert with (images * {255 // top}).round().astype('uint8')"
        raise DataError(f"{name}: dtype {images.dtype}, expected uint8; {hint}")
    found = images.shape[1:]
    if len(found) == 3 and found[2] == 1:
        images = np.repeat(images, 3, axis=3)
    low, high = SIDES
    fits = images.ndim == 4 and found[0] == found[1] and found[2] in (1, 3)
    if not (low <= found[0] <= high if fits and shape is None else images.shape[1:] == shape):
        hint = ""
        if len(found) == 3 and found[0] == 3:
            hint = "; channels come last: images.transpose(0, 2, 3, 1)"
        elif len(found) == 2 and found[1] == 3:
            hint = "; a single image needs a first axis: images[None]"
        elif len(found) == 2:
            hint = "; these are grey, expected red, green and blue (the i, r and g bands)"
        wanted = f"(N, s, s, 3), s from {low} to {high}"
        wanted = wanted if shape is None else f"(N, {str(shape)[1:]}"
        raise DataError(f"{name}: shape {images.shape}, expected {wanted}{hint}")
    return images


def check_class_names(names: Any) -> tuple[str, ...]:
    """Names of classes as a tuple, or a ParameterError that says what they are."""
    known = () if isinstance(names, str) else tuple(names)
    texts = [name for name in known if isinstance(name, str) and name.strip()]
    if not 2 <= len(set(texts)) == len(known) <= MOST_CLASSES:
        raise ParameterError(f"class_names={names!r}, expected 2 to {MOST_CLASSES} different names")
    return tuple(str(name) for name in texts)


def check_labels(
    labels: ArrayLike, count: int | None = None, *, classes: int = 10, name: str = "labels"
) -> NDArray[np.uint8]:
    """Labels as a uint8 array of shape (N,), or an error that says what they are.

    Raises
    ------
    DataError
        Not one-dimensional, not integers, out of range, empty or not `count` of them.
    """
    labels = as_array(labels, name)
    if labels.ndim != 1:
        wide = labels.ndim == 2 and labels.shape[1] > 1
        hint = "; one-hot? Take labels.argmax(axis=1)" if wide else ""
        raise DataError(f"{name}: labels of shape {labels.shape}, expected (N,){hint}")
    if labels.dtype.kind not in "iu":
        by_name = "[galclass.CLASS_NAMES.index(label) for label in labels]"
        by_name += ", or names of your own with numpy.unique(labels, return_inverse=True)[1]"
        way = by_name if labels.dtype.kind in "OSU" else "labels.astype('uint8'), without NaN"
        wanted = f"expected integers 0-{classes - 1}; convert with {way}"
        raise DataError(f"{name}: labels of dtype {labels.dtype}, {wanted}")
    if count not in (None, len(labels)):
        raise DataError(f"{name}: {count} images but {len(labels)} labels; expected one each")
    low, high = labels.min(), labels.max()
    if low < 0 or high >= classes:
        raise DataError(f"{name}: labels from {low} to {high}, expected 0-{classes - 1}")
    return labels.astype(np.uint8, copy=False)


def as_array(values: ArrayLike, name: str) -> NDArray[Any]:
    """Values as an array, or a DataError where this would lose a mask or a unit."""
    mask = getattr(values, "mask", None)  # A method in pandas.
    if mask is not None and not callable(mask) and np.any(mask):
        raise DataError(f"{name}: some values are masked; leave these out, or fill them first")
    if getattr(values, "unit", None) is not None:
        raise DataError(f"{name}: unit {values.unit}; convert it, and give the plain numbers")
    try:
        array = np.asarray(values)
    except (TypeError, ValueError) as error:  # Its parts differ in shape, or it is on a GPU.
        raise DataError(f"{name}: not an array ({error}); expected one of NumPy") from error
    if not array.size:
        raise DataError(f"{name}: shape {array.shape}, nothing in it; expected one galaxy or more")
    return array


def check_symmetric(symmetric: Any) -> Any:
    """None, False, True or "unsure" as such, or a ParameterError that says what it is."""
    ways = {None: None, False: False, True: True, "unsure": "unsure"}
    try:
        return ways[symmetric]
    except (KeyError, TypeError):
        raise ParameterError(f"symmetric={symmetric!r}, expected True, False or 'unsure'") from None


def check_integer(value: Any, name: str, least: int, most: int | None = None) -> int:
    """An integer of any kind but a boolean as an int, or a ParameterError that says what it is."""
    with contextlib.suppress(TypeError):
        number = operator.index(value)
        if not isinstance(value, bool) and least <= number and (most is None or number <= most):
            return number
    limits = f"{least} or more" if most is None else f"{least} to {most}"
    raise ParameterError(f"{name}={value!r}, expected an integer of {limits}")
