"""The eight symmetries of the square, which leave a galaxy's class alone."""

import hashlib
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..data.arrays import Images


def apply_symmetry(images: NDArray[Any], element: ArrayLike) -> NDArray[Any]:
    """Apply elements of the square's symmetry group to images.

    Parameters
    ----------
    images : ndarray, shape (n, s, s, channels)
        Square images of any dtype.
    element : int, or array of int of shape (n,)
        0 to 7, for all images or for each. Bit 0 mirrors left and right, bit 1 mirrors up and
        down, bit 2 swaps rows and columns; applied in the order swap, up-down, left-right. 0 is
        the identity.

    Returns
    -------
    ndarray, shape and dtype of `images`
        A new array, or a view of `images` where `element` is one number.
    """
    elements = np.asarray(element)
    if elements.ndim == 0:
        if elements & 4:
            images = images.swapaxes(1, 2)
        return images[:, :: -1 if elements & 2 else 1, :: -1 if elements & 1 else 1]
    changed = np.empty_like(images)
    for one in range(8):
        chosen = np.flatnonzero(elements == one)
        changed[chosen] = apply_symmetry(images[chosen], one)
    return changed


def hash_images(images: Images) -> NDArray[np.uint64]:
    """A number for each image, shape (N,), the same for all that a symmetry makes of it."""
    numbers = []
    for image in images:
        changed = (apply_symmetry(image[None], element).tobytes() for element in range(8))
        numbers.append(min(hashlib.blake2b(one, digest_size=8).digest() for one in changed))
    return np.frombuffer(b"".join(numbers), "<u8")


def find_copies(images: Images) -> list[list[int]]:
    """Find galaxies that are byte-identical copies of each other, also under a symmetry.

    Parameters
    ----------
    images : ndarray of uint8, shape (N, s, s, channels)

    Returns
    -------
    list of list of int
        Groups of two or more indices, each in rising order.
    """
    groups: dict[int, list[int]] = {}
    for i, number in enumerate(hash_images(images).tolist()):
        groups.setdefault(number, []).append(i)
    return [group for group in groups.values() if len(group) > 1]
