"""Represent images by the features that the network classifies them by."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ..images.prepare import ImageLike, prepare_all
from .network import AnyNetwork, load_network

if TYPE_CHECKING:
    import keras


def embed(
    images: ImageLike | Iterable[ImageLike], *, run: AnyNetwork = None, crop: float | None = None
) -> NDArray[np.float32]:
    """Compute the features of images: the output of the last dense layer before the classes.

    Galaxies that look alike have similar features.

    Parameters
    ----------
    images
        See :func:`galclass.prepare`. The features are of the images as they are, without an
        average over their symmetries.
    run, crop
        See :func:`galclass.predict`.

    Returns
    -------
    ndarray of float32, shape (n, features)
        Computed in float32 precision. The published network has 60 features, from -1 to 1 (tanh).

    Raises
    ------
    DataError, FileNotFoundError
        An image cannot be read, or the network has no dense layer before its last one.
    ParameterError, RunError
        See :func:`galclass.predict`.

    Examples
    --------
    Find the galaxies that are most similar to the first one:

    >>> import galclass
    >>> from sklearn.neighbors import NearestNeighbors
    >>> images, labels = galclass.simulate_galaxy10(50)
    >>> features = galclass.embed(images)
    >>> features.shape
    (50, 60)
    >>> neighbours = NearestNeighbors(n_neighbors=6).fit(features)
    >>> distances, indices = neighbours.kneighbors(features[:1])
    >>> int(indices[0, 0])
    0
    """
    from ..network.probabilities import predict_proba

    network = load_network(run, precision="float32", crop=crop)
    return predict_proba(headless(network.model), prepare_all(images, network.framing))


def headless(model: "keras.Model") -> "keras.Model":
    """Return a network without its last dense layer.

    Raises
    ------
    DataError
        It has fewer than two dense layers.
    """
    from ..network._tensorflow import keras

    dense = [layer for layer in model.layers if isinstance(layer, keras.layers.Dense)]
    if len(dense) < 2:
        raise DataError(
            f"{model.name!r} has {len(dense)} dense layers, expected 2 or more; use another network"
        )
    return keras.Model(model.inputs, dense[-2].output)
