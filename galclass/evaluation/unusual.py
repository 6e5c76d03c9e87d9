"""Detection of images that are unlike the training images.

An image is described by the logarithms of 39 numbers:

- 24: the mean brightness in 8 rings around the centre, in 3 colours;
- 10: the sharpness, which is the difference between each pixel and its four neighbours: its mean,
  its root mean square and its mean near the centre, in 3 colours each, and its median in green;
- 5: the contrast between pixels at a distance of 1 pixel in 3 colours, and at distances of 2 and 4
  pixels in green.

The distance of an image from the training images is the squared Mahalanobis distance (1936, Proc.
Natl. Inst. Sci. India 2, 49) with their mean and covariance. It is ranked among the distances of
the validation images. The network itself is not used: it ignores everything that its classes do not
depend on.
"""

import numpy as np
from numpy.typing import NDArray

from ..data.arrays import Images

# Outer radii of all rings but the last, as fractions of the side of the image.
RADII = np.array([2, 4, 7, 11, 16, 22, 29]) / 69
RIDGE = 1e-4  # added to each variance, as a fraction of it: some numbers are nearly dependent
BATCH_SIZE = 64


def describe_images(images: Images) -> NDArray[np.float32]:
    """Describe images by 39 numbers each.

    Parameters
    ----------
    images : ndarray of uint8, shape (n, s, s, 3)

    Returns
    -------
    ndarray of float32, shape (n, 39)
    """
    starts = range(0, len(images), BATCH_SIZE)
    return np.concatenate([_describe_batch(images[i : i + BATCH_SIZE]) for i in starts])


def _describe_batch(images: Images) -> NDArray[np.float32]:
    pixels = np.ascontiguousarray(images.transpose(0, 3, 1, 2)).astype(np.float32)
    numbers = [_ring_brightness(pixels), *_sharpness(pixels), *_contrasts(pixels)]
    return np.log1p(np.concatenate(numbers, axis=1))


def _ring_brightness(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the mean brightness of each colour in rings around the centre."""
    n, colours, side = pixels.shape[:3]
    row, column = np.mgrid[:side, :side] - (side - 1) / 2
    ring = np.digitize(np.hypot(row, column) / side, RADII).ravel()
    weights = np.eye(len(RADII) + 1, dtype=np.float32)[ring]
    means = pixels.reshape(colours * n, -1) @ (weights / weights.sum(axis=0))
    return means.reshape(n, -1)


def _sharpness(pixels: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Return statistics of the difference between each pixel and its four neighbours."""
    n = len(pixels)
    side = pixels.shape[2]
    centre = pixels[..., 1:-1, 1:-1]
    vertical = pixels[..., 2:, 1:-1] + pixels[..., :-2, 1:-1]
    difference = np.abs(4 * centre - vertical - pixels[..., 1:-1, 2:] - pixels[..., 1:-1, :-2])
    inner = slice(side // 3, side - side // 3)
    return [
        difference.mean(axis=(2, 3)),
        np.sqrt(np.square(difference).mean(axis=(2, 3))),
        difference[..., inner, inner].mean(axis=(2, 3)),
        np.median(difference[:, 1].reshape(n, -1), axis=1)[:, None],  # green only
    ]


def _contrasts(pixels: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Return the mean difference of pixels at distances of 1, 2 and 4 pixels."""
    contrasts = []
    for step in (1, 2, 4):
        colours = pixels
        if step > 1:
            colours = pixels[:, 1:2]  # green only
        down = np.abs(colours[..., step:, :] - colours[..., :-step, :]).mean(axis=(2, 3))
        across = np.abs(colours[..., step:] - colours[..., :-step]).mean(axis=(2, 3))
        contrasts.append(down + across)
    return contrasts


def fit_usual(train: Images, validation: Images) -> dict[str, NDArray[np.float64]]:
    """Compute the statistics of a run's training images for :func:`rank_unusual`.

    Parameters
    ----------
    train, validation : ndarray of uint8, shape (n, s, s, 3)

    Returns
    -------
    dict of ndarray
        ``mean`` (39,) and ``inverse`` (39, 39), the mean and the inverse of the covariance of the
        numbers of the training images; and ``distances``, the distances of the validation images,
        sorted.
    """
    numbers = describe_images(train).astype(float)
    covariance = np.atleast_2d(np.cov(numbers.T))
    covariance += np.diag(RIDGE * np.diag(covariance) + 1e-9)
    usual = {"mean": numbers.mean(axis=0), "inverse": np.linalg.inv(covariance)}
    usual["distances"] = np.sort(_compute_distances(usual, validation))
    return usual


def rank_unusual(usual: dict[str, NDArray[np.float64]], images: Images) -> NDArray[np.float32]:
    """Rank images by their distance from the training images.

    Parameters
    ----------
    usual : dict of ndarray
        The statistics that :func:`fit_usual` returns.
    images : ndarray of uint8, shape (n, s, s, 3)

    Returns
    -------
    ndarray of float32, shape (n,)
        Fraction of the validation images, 0 to 1, that are nearer to the training images. With N
        validation images it is at most N / (N + 1).
    """
    nearer = np.searchsorted(usual["distances"], _compute_distances(usual, images))
    return (nearer / (len(usual["distances"]) + 1)).astype(np.float32)


def _compute_distances(
    usual: dict[str, NDArray[np.float64]], images: Images
) -> NDArray[np.float64]:
    """Return the squared Mahalanobis distance of each image."""
    offsets = describe_images(images) - usual["mean"]
    return np.einsum("ij,jk,ik->i", offsets, usual["inverse"], offsets)
