"""Where in an image the evidence for a class lies."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..data.arrays import Images, check_images, check_labels
from ..errors import ParameterError

if TYPE_CHECKING:
    import keras

BATCH_SIZE = 64
SMOOTHING = 3  # pixels: a cell of the network's last map is 4 wide


def grad_cam(
    model: "keras.Model", images: ArrayLike, classes: ArrayLike | None = None
) -> NDArray[np.float32]:
    """Grad-CAM of the last convolution layer: Selvaraju et al. 2017, arXiv 1610.02391, eqs. 1-2.

    The layer's feature maps, each weighted by the mean gradient of the class's score (before the
    softmax) with respect to it, are summed; negative values become zero. Each value is placed at
    the centre of the pixels that it sees, with bilinear interpolation between them: maps that are
    stretched over the whole image are off by several pixels after convolutions without padding.

    Parameters
    ----------
    model : keras.Model
        As :func:`galclass.build_cnn` makes it: layers in a row, the last one Dense with softmax.
    images : ndarray of uint8, shape (n, height, width, channels)
    classes : int or array of int, shape (n,), optional
        Explain this class, of all images or of each. Default: the one predicted.

    Returns
    -------
    ndarray of float32, shape (n, height, width)
        0 to 1, scaled to a maximum of 1 in each image; all 0 where there is no evidence for the
        class.

    Raises
    ------
    DataError
        Images or classes not in the model's form.
    ParameterError
        The model has no convolution layer, or does not end in a Dense layer.
    """
    from scipy.ndimage import map_coordinates

    from ..network._tensorflow import keras, tf

    images = check_images(images, shape=tuple(model.input_shape[1:]))
    layers, last = list(model.layers), model.layers[-1]
    places = [i for i, layer in enumerate(layers) if isinstance(layer, keras.layers.Conv2D)]
    ends = isinstance(model, keras.Sequential) and isinstance(last, keras.layers.Dense)
    if not ends or not places:
        found = f"model {model.name!r} is not layers in a row with convolutions and a Dense end"
        raise ParameterError(f"{found}; expected one that build_cnn made")
    before, after = layers[: places[-1] + 1], layers[places[-1] + 1 : -1]
    if classes is not None:
        classes = np.broadcast_to(classes, len(images)) if np.ndim(classes) == 0 else classes
        classes = check_labels(classes, len(images), classes=last.units, name="classes")
    grid = np.meshgrid(*_cells(before, images.shape[1:3]), indexing="ij")
    maps = np.empty(images.shape[:3], np.float32)
    for start in range(0, len(images), BATCH_SIZE):
        batch = slice(start, start + BATCH_SIZE)
        activation = tf.cast(_through(before, tf.constant(images[batch])), tf.float32)
        with tf.GradientTape() as tape:
            tape.watch(activation)
            hidden = tf.cast(_through(after, activation), tf.float32)
            scores = hidden @ last.kernel + last.bias
            chosen = tf.argmax(scores, axis=1) if classes is None else classes[batch]
            score = tf.gather(scores, tf.cast(chosen, tf.int32), axis=1, batch_dims=1)
        weights = tf.reduce_mean(tape.gradient(score, activation), axis=(1, 2), keepdims=True)
        coarse = tf.nn.relu(tf.reduce_sum(weights * activation, axis=-1)).numpy()
        for i, one in enumerate(coarse, start):
            maps[i] = map_coordinates(one, grid, order=1, mode="nearest")
    highest = maps.max(axis=(1, 2), keepdims=True)
    return maps / np.where(highest > 0, highest, 1)


def evidence(model: "keras.Model", images: Images, classes: ArrayLike) -> NDArray[np.float32]:
    """Grad-CAM averaged over the eight symmetries and smoothed with a Gaussian of 3 pixels.

    Parameters
    ----------
    model, images, classes
        As for :func:`grad_cam`.

    Returns
    -------
    ndarray of float32, shape (n, height, width)
        0 to 1, scaled to a maximum of 1 in each image.
    """
    from scipy.ndimage import gaussian_filter

    from ..network.symmetry import apply_symmetry

    changed = np.concatenate([apply_symmetry(images, e) for e in range(8)])
    found = np.split(grad_cam(model, changed, np.tile(classes, 8))[..., None], 8)
    back = zip(found, (0, 1, 2, 3, 4, 6, 5, 7), strict=True)
    maps = sum(apply_symmetry(one, inverse) for one, inverse in back)[..., 0]
    maps = gaussian_filter(maps, (0, SMOOTHING, SMOOTHING))
    return maps / np.maximum(maps.max(axis=(1, 2), keepdims=True), 1e-9)


def _through(layers: Sequence[Any], values: Any) -> Any:
    for layer in layers:
        values = layer(values)
    return values


def _cells(layers: Sequence[Any], shape: tuple[int, ...]) -> list[NDArray[np.float64]]:
    """Where each row and each column of the image lies in the map that the layers make."""
    first, step = np.zeros(2), np.ones(2)
    for layer in layers:
        size = getattr(layer, "kernel_size", None) or getattr(layer, "pool_size", None)
        if size is not None:
            if layer.padding == "valid":
                first += (np.array(size) - 1) / 2 * step
            step *= layer.strides
    return [(np.arange(n) - f) / s for n, f, s in zip(shape, first, step, strict=True)]
