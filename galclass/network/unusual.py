"""How unlike the images of a training an image is, from the image alone.

An image is described by 39 numbers: logarithms of its mean brightness in eight rings around the
centre, in each colour, and of its contrast on scales of 1 to 4 pixels, of which some are of the
centre only. Their squared Mahalanobis distance (1936, Proc. Natl. Inst. Sci. India 2, 49) from the
training images, with these images' mean and covariance, is ranked among those of the validation
images. The network is not asked: it is blind to what its classes do not depend on.
"""

import numpy as np
from numpy.typing import NDArray

from ..data.arrays import Images

# Outer radii of all rings but the last, as shares of the image's side.
RADII = np.array([2, 4, 7, 11, 16, 22, 29]) / 69
RIDGE = 1e-4  # added to each variance, as a share of it: some numbers nearly depend on others
BATCH_SIZE = 64


def describe_images(images: Images) -> NDArray[np.float32]:
    """The 39 numbers of each image, shape (n, 39)."""
    parts = [images[i : i + BATCH_SIZE] for i in range(0, len(images), BATCH_SIZE)]
    return np.concatenate([_describe(part) for part in parts])


def _describe(images: Images) -> NDArray[np.float32]:
    n, side = images.shape[:2]
    row, column = np.mgrid[:side, :side] - (side - 1) / 2
    ring = np.digitize(np.hypot(row, column) / side, RADII).ravel()
    weights = np.eye(len(RADII) + 1, dtype=np.float32)[ring]
    pixels = np.ascontiguousarray(images.transpose(0, 3, 1, 2)).astype(np.float32)
    rings = pixels.reshape(3 * n, -1) @ (weights / weights.sum(axis=0))
    centre, neighbours = pixels[..., 1:-1, 1:-1], pixels[..., 2:, 1:-1] + pixels[..., :-2, 1:-1]
    sharpness = np.abs(4 * centre - neighbours - pixels[..., 1:-1, 2:] - pixels[..., 1:-1, :-2])
    inner = slice(side // 3, side - side // 3)
    contrasts = [
        sharpness.mean(axis=(2, 3)),
        np.sqrt(np.square(sharpness).mean(axis=(2, 3))),
        sharpness[..., inner, inner].mean(axis=(2, 3)),
        np.median(sharpness[:, 1].reshape(n, -1), axis=1)[:, None],
    ]
    for step in (1, 2, 4):
        colours = pixels if step == 1 else pixels[:, 1:2]
        down = np.abs(colours[..., step:, :] - colours[..., :-step, :]).mean(axis=(2, 3))
        across = np.abs(colours[..., step:] - colours[..., :-step]).mean(axis=(2, 3))
        contrasts.append(down + across)
    return np.log1p(np.concatenate([rings.reshape(n, -1), *contrasts], axis=1))


def fit_usual(train: Images, validation: Images) -> dict[str, NDArray[np.float64]]:
    """What :func:`rank_unusual` needs of a training.

    Returns
    -------
    dict of ndarray
        ``mean`` (39,) and ``inverse`` (39, 39) covariance of the training images' numbers, and
        ``distances``, the sorted distances of the validation images.
    """
    numbers = describe_images(train).astype(float)
    covariance = np.atleast_2d(np.cov(numbers.T))
    covariance += np.diag(RIDGE * np.diag(covariance) + 1e-9)
    usual = {"mean": numbers.mean(axis=0), "inverse": np.linalg.inv(covariance)}
    return usual | {"distances": np.sort(_distances(usual, validation))}


def rank_unusual(usual: dict[str, NDArray[np.float64]], images: Images) -> NDArray[np.float32]:
    """The share of validation images, 0 to 1, that are nearer to the training images.

    Parameters
    ----------
    usual : dict of ndarray
        As :func:`fit_usual` gives it.
    images : ndarray of uint8, shape (n, s, s, 3)

    Returns
    -------
    ndarray of float32, shape (n,)
        Of N validation images, at most N / (N + 1).
    """
    nearer = np.searchsorted(usual["distances"], _distances(usual, images))
    return (nearer / (len(usual["distances"]) + 1)).astype(np.float32)


def _distances(usual: dict[str, NDArray[np.float64]], images: Images) -> NDArray[np.float64]:
    away = describe_images(images) - usual["mean"]
    return np.einsum("ij,jk,ik->i", away, usual["inverse"], away)
