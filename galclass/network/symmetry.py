"""The eight symmetries of the square, which do not change the class of a galaxy."""

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
        A view of `images` if `element` is a single number, otherwise a new array.
    """
    elements = np.asarray(element)
    if elements.ndim == 0:
        if elements & 4:
            images = images.swapaxes(1, 2)
        if elements & 2:
            images = images[:, ::-1]
        if elements & 1:
            images = images[:, :, ::-1]
        return images
    transformed = np.empty_like(images)
    for number in range(8):
        chosen = np.flatnonzero(elements == number)
        transformed[chosen] = apply_symmetry(images[chosen], number)
    return transformed


def hash_images(images: Images) -> NDArray[np.uint64]:
    """Compute image hashes that are invariant to flips and rotations.

    Parameters
    ----------
    images : ndarray of uint8, shape (N, s, s, channels)

    Returns
    -------
    ndarray of uint64, shape (N,)
        The smallest of the 64-bit BLAKE2b hashes of the eight symmetric images.
    """
    digests = []
    for image in images:
        contents = [apply_symmetry(image[None], element).tobytes() for element in range(8)]
        digests.append(min(hashlib.blake2b(x, digest_size=8).digest() for x in contents))
    return np.frombuffer(b"".join(digests), "<u8")


def find_copies(images: Images) -> list[list[int]]:
    """Find galaxies whose images are identical, or identical under a symmetry.

    Parameters
    ----------
    images : ndarray of uint8, shape (N, s, s, channels)

    Returns
    -------
    list of list of int
        Groups of two or more indices, each in ascending order.
    """
    groups: dict[int, list[int]] = {}
    for index, digest in enumerate(hash_images(images).tolist()):
        groups.setdefault(digest, []).append(index)
    return [group for group in groups.values() if len(group) > 1]
