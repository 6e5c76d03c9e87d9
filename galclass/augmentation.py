"""Changes of a picture that leave its class alone: a galaxy has no up and no handedness."""

import numpy as np


def apply_symmetry(images, element):
    """Turn and mirror pictures by elements of the square's symmetry group.

    Parameters
    ----------
    images : ndarray, shape (n, s, s, channels)
        Square pictures of any dtype.
    element : int, or array of int of shape (n,)
        0 to 7, for all pictures or for each. Bit 0 mirrors left and right, bit 1 mirrors up and
        down, bit 2 swaps rows and columns; applied in the order swap, up-down, left-right. 0 is
        the identity.

    Returns
    -------
    ndarray, shape and dtype of `images`
        A new array, or a view of `images` where `element` is one number.
    """
    if np.ndim(element) == 0:
        if element & 4:
            images = images.swapaxes(1, 2)
        return images[:, :: -1 if element & 2 else 1, :: -1 if element & 1 else 1]
    turned = np.empty_like(images)
    for one in range(8):
        chosen = np.flatnonzero(np.asarray(element) == one)
        turned[chosen] = apply_symmetry(images[chosen], one)
    return turned


def augment(images, rng, *, symmetries=True, rotation=0.0, zoom=0.0, shift=0.0, brightness=0.0):
    """Draw a random change for each picture.

    Parameters
    ----------
    images : ndarray of uint8, shape (n, s, s, channels)
    rng : numpy.random.Generator
    symmetries : bool
        One of the eight flips and quarter turns, each equally likely.
    rotation : float
        Largest free rotation, degrees, drawn uniformly to either side.
    zoom : float
        Largest relative change of scale, drawn uniformly in its logarithm to either side.
    shift : float
        Largest shift, pixels, drawn uniformly along each axis to either side.
    brightness : float
        Largest relative change of brightness, all bands together, uniform in its logarithm.

    Returns
    -------
    array of uint8, shape (n, s, s, channels)
        What leaves the frame is lost; what enters it is reflected from inside.
    """
    n = len(images)
    if symmetries:
        images = apply_symmetry(images, rng.integers(8, size=n))
    if not (rotation or zoom or shift or brightness):
        return images
    from ._tensorflow import tf

    angle = np.deg2rad(rng.uniform(-rotation, rotation, n))
    scale = np.exp(rng.uniform(-1, 1, n) * np.log1p(zoom))
    move = rng.uniform(-shift, shift, (n, 2))
    factor = np.exp(rng.uniform(-1, 1, n) * np.log1p(brightness)).astype(np.float32)
    centre = (images.shape[1] - 1) / 2
    cos, sin = np.cos(angle) * scale, np.sin(angle) * scale
    # Output pixel (x, y) is read at (a x + b y + c, d x + e y + f) of the input.
    rows = [cos, -sin, centre - (cos - sin) * centre + move[:, 0]]
    rows += [sin, cos, centre - (sin + cos) * centre + move[:, 1], 0 * cos, 0 * cos]
    values = tf.raw_ops.ImageProjectiveTransformV3(
        images=tf.cast(images, tf.float32),
        transforms=tf.constant(np.stack(rows, axis=1), tf.float32),
        output_shape=tf.constant(images.shape[1:3]),
        interpolation="BILINEAR",
        fill_mode="REFLECT",
        fill_value=0.0,
    )
    values *= factor[:, None, None, None]
    return tf.cast(tf.round(tf.clip_by_value(values, 0, 255)), tf.uint8)
