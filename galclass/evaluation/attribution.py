"""Maps of the evidence for a class in an image."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

from ..data.arrays import Images, check_images, check_labels
from ..errors import ParameterError
from ..network.symmetry import apply_symmetry

if TYPE_CHECKING:
    import keras

BATCH_SIZE = 64
SMOOTHING = 3  # pixels; one cell of the network's last feature map is 4 pixels wide
# INVERSES[e] is the number of the symmetry that undoes symmetry e.
INVERSES = (0, 1, 2, 3, 4, 6, 5, 7)


def grad_cam(
    model: "keras.Model", images: ArrayLike, classes: ArrayLike | None = None
) -> NDArray[np.float32]:
    """Compute Grad-CAM maps of the last convolution layer.

    Selvaraju et al. 2017, arXiv 1610.02391, equations 1 and 2: the sum of the layer's feature
    maps, each weighted with the mean gradient of the score of the class (before the softmax) with
    respect to the map; negative values are set to zero. Each value is placed at the centre of the
    pixels that contribute to it, with bilinear interpolation between the values. Stretching the
    map over the whole image would be wrong by several pixels after convolutions without padding.

    Parameters
    ----------
    model : keras.Model
        A network that :func:`galclass.build_cnn` returns, or another ``keras.Sequential`` with
        convolution layers and a dense output layer with softmax.
    images : ndarray of uint8, shape (n, height, width, channels)
    classes : int or array of int, shape (n,), optional
        The class to explain, of all images or of each. Default: the predicted class.

    Returns
    -------
    ndarray of float32, shape (n, height, width)
        0 to 1, scaled to a maximum of 1 in each image; 0 everywhere in an image without evidence
        for the class.

    Raises
    ------
    DataError
        Images or classes do not match the network.
    ParameterError
        The network is not a keras.Sequential with convolutions and a dense output layer.
    """
    images = check_images(images, shape=tuple(model.input_shape[1:]))
    before, after = _split_layers(model)
    if classes is not None:
        if np.ndim(classes) == 0:
            classes = np.broadcast_to(classes, len(images))
        classes = check_labels(classes, len(images), classes=model.layers[-1].units, name="classes")
    rows, columns = _locate_cells(before, images.shape[1:3])
    grid = np.meshgrid(rows, columns, indexing="ij")
    maps = np.empty(images.shape[:3], np.float32)
    for start in range(0, len(images), BATCH_SIZE):
        batch = slice(start, start + BATCH_SIZE)
        batch_classes = None
        if classes is not None:
            batch_classes = classes[batch]
        coarse_maps = _weigh_feature_maps(before, after, images[batch], batch_classes)
        for i, coarse_map in enumerate(coarse_maps, start):
            maps[i] = map_coordinates(coarse_map, grid, order=1, mode="nearest")
    highest = maps.max(axis=(1, 2), keepdims=True)
    return maps / np.where(highest > 0, highest, 1)


def evidence(model: "keras.Model", images: Images, classes: ArrayLike) -> NDArray[np.float32]:
    """Average Grad-CAM maps over the eight symmetries, and smooth them by 3 pixels.

    Parameters
    ----------
    model : keras.Model
        See :func:`grad_cam`.
    images : ndarray of uint8, shape (n, s, s, channels)
    classes : array of int, shape (n,)
        The class to explain, for each image.

    Returns
    -------
    ndarray of float32, shape (n, s, s)
        0 to 1, scaled to a maximum of 1 in each image.
    """
    transformed = np.concatenate([apply_symmetry(images, element) for element in range(8)])
    maps = grad_cam(model, transformed, np.tile(classes, 8))
    total = np.zeros(images.shape[:3])
    for inverse, of_element in zip(INVERSES, np.split(maps, 8), strict=True):
        total += apply_symmetry(of_element[..., None], inverse)[..., 0]
    smooth = gaussian_filter(total, (0, SMOOTHING, SMOOTHING))
    highest = smooth.max(axis=(1, 2), keepdims=True)
    return (smooth / np.maximum(highest, 1e-9)).astype(np.float32)


def _split_layers(model: "keras.Model") -> tuple[list[Any], list[Any]]:
    """Return the layers up to the last convolution, and the layers after it."""
    from ..network._tensorflow import keras

    layers = list(model.layers)
    convolutions = [i for i, layer in enumerate(layers) if isinstance(layer, keras.layers.Conv2D)]
    is_sequential = isinstance(model, keras.Sequential)
    if not convolutions or not is_sequential or not isinstance(layers[-1], keras.layers.Dense):
        raise ParameterError(
            f"network {model.name!r}, expected a keras.Sequential with convolution layers and a "
            "dense output layer; give one that build_cnn returns"
        )
    last = convolutions[-1] + 1
    return layers[:last], layers[last:]


def _weigh_feature_maps(
    before: Sequence[Any], after: Sequence[Any], images: Images, classes: NDArray[Any] | None
) -> NDArray[np.float32]:
    """Return the weighted sum of the feature maps of the last convolution."""
    from ..network._tensorflow import tf

    *hidden_layers, output = after
    feature_maps = tf.cast(_apply_layers(before, tf.constant(images)), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(feature_maps)
        hidden = tf.cast(_apply_layers(hidden_layers, feature_maps), tf.float32)
        # The output layer without its softmax.
        scores = hidden @ output.kernel + output.bias
        if classes is None:
            classes = tf.argmax(scores, axis=1)
        score = tf.gather(scores, tf.cast(classes, tf.int32), axis=1, batch_dims=1)
    gradient = tape.gradient(score, feature_maps)
    weights = tf.reduce_mean(gradient, axis=(1, 2), keepdims=True)
    return tf.nn.relu(tf.reduce_sum(weights * feature_maps, axis=-1)).numpy()


def _apply_layers(layers: Sequence[Any], values: Any) -> Any:
    for layer in layers:
        values = layer(values)
    return values


def _locate_cells(layers: Sequence[Any], shape: tuple[int, ...]) -> list[NDArray[np.float64]]:
    """For each pixel row and column, return where it falls on the coarse feature map, in cells."""
    first = np.zeros(2)  # the pixel at the centre of the first cell
    step = np.ones(2)  # pixels per cell
    for layer in layers:
        size = getattr(layer, "kernel_size", None) or getattr(layer, "pool_size", None)
        if size is not None:
            if layer.padding == "valid":
                first += (np.array(size) - 1) / 2 * step
            step *= layer.strides
    return [(np.arange(shape[axis]) - first[axis]) / step[axis] for axis in range(2)]
