"""Images as the features that the network classifies by."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..data.images import ImageLike, check_crop, prepare_all
from ..errors import DataError
from .predict import AnyNetwork, load_network

if TYPE_CHECKING:
    import keras


def embed(
    images: ImageLike | Iterable[ImageLike], *, run: AnyNetwork = None, crop: float | None = None
) -> NDArray[np.float32]:
    """The output of the last dense layer before the classes: alike for galaxies that look alike.

    Parameters
    ----------
    images
        As for :func:`galclass.predict`, but no HDF5, Parquet or table. Images are taken as they
        are, without their symmetries.
    run, crop
        As for :func:`galclass.predict`.

    Returns
    -------
    ndarray of float32, shape (n, 60)
        From -1 to 1, of tanh, for the published network; in float32 precision.

    Raises
    ------
    DataError, FileNotFoundError
        An image cannot be read, or the network has no dense layer before its last one.
    ParameterError, RunError
        As for :func:`galclass.predict`.

    Examples
    --------
    The galaxies most like the first one:

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

    crop = check_crop(crop)
    network = load_network(run, precision="float32")
    model = headless(network.model)
    prepared = prepare_all(images, crop=crop or network.crop, size=network.size)
    return predict_proba(model, prepared)


def headless(model: "keras.Model") -> "keras.Model":
    """The network up to its last dense layer but one.

    Raises
    ------
    DataError
        It has no such layer.
    """
    from ..network._tensorflow import keras

    dense = [layer for layer in model.layers if isinstance(layer, keras.layers.Dense)]
    if len(dense) < 2:
        raise DataError(f"{model.name!r} has {len(dense)} dense layers, expected 2 or more")
    return keras.Model(model.inputs, dense[-2].output)
