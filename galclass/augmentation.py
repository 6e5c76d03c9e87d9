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


def draw_warps(side, rng, *, rotation=0.0, zoom=0.0, shift=0.0, count=256):
    """Draw small changes of geometry, to be used on many pictures.

    Parameters
    ----------
    side : int
        Pixels along the side of the pictures.
    rng : numpy.random.Generator
    rotation : float
        Largest free rotation, degrees, drawn uniformly to either side.
    zoom : float
        Largest relative change of scale, drawn uniformly in its logarithm to either side.
    shift : float
        Largest shift, pixels, drawn uniformly along each axis to either side.
    count : int, default 256

    Returns
    -------
    list of scipy.sparse.csr_array of float32, shape (side^2, side^2)
        Each makes the pixels of a changed picture from those of the picture, by bilinear
        interpolation: what leaves the frame is lost, what enters it is reflected from inside.
        Empty where nothing is asked for.
    """
    if not (rotation or zoom or shift):
        return []
    from scipy.sparse import csr_array

    last = side - 1
    y, x = np.indices((side, side)).reshape(2, -1) - last / 2
    ends = np.arange(0, 4 * side**2 + 1, 4)
    warps = []
    for _ in range(count):
        angle = np.deg2rad(rng.uniform(-rotation, rotation))
        scale = np.exp(rng.uniform(-1, 1) * np.log1p(zoom))
        dx, dy = rng.uniform(-shift, shift, 2) + last / 2
        cos, sin = np.cos(angle) * scale, np.sin(angle) * scale
        # Where each pixel is read in the picture, reflected at its edges.
        read = np.stack([cos * x - sin * y + dx, sin * x + cos * y + dy])
        read = last - np.abs(last - np.abs(read) % (2 * last))
        corner = np.minimum(read.astype(int), last - 1)
        (fx, fy), (left, top) = read - corner, corner
        first = top * side + left
        pixels = np.stack([first, first + 1, first + side, first + side + 1], axis=1)
        weights = np.stack([(1 - fx) * (1 - fy), fx * (1 - fy), (1 - fx) * fy, fx * fy], axis=1)
        matrix = (weights.ravel().astype(np.float32), pixels.ravel().astype(np.int32), ends)
        warps.append(csr_array(matrix, shape=(side**2, side**2)))
    return warps


def augment(images, rng, *, warps=(), symmetries=True, brightness=0.0):
    """Draw a random change for each picture.

    Parameters
    ----------
    images : ndarray of uint8, shape (n, s, s, channels)
    rng : numpy.random.Generator
    warps : list, optional
        From :func:`draw_warps`: one of them, each equally likely. Default: none.
    symmetries : bool
        One of the eight flips and quarter turns, each equally likely.
    brightness : float
        Largest relative change of brightness, all bands together, uniform in its logarithm.

    Returns
    -------
    array of uint8, shape (n, s, s, channels)
    """
    n = len(images)
    if symmetries:
        images = apply_symmetry(images, rng.integers(8, size=n))
    if not (warps or brightness):
        return images
    which = rng.integers(max(len(warps), 1), size=n)
    factors = np.exp(rng.uniform(-1, 1, n) * np.log1p(brightness)).astype(np.float32)
    changed = np.empty_like(images)
    for k, image in enumerate(images):
        values = image.reshape(-1, image.shape[-1]).astype(np.float32)
        if warps:
            values = warps[which[k]] @ values
        if brightness:
            values *= factors[k]
        # Half a level more, since the conversion to uint8 cuts off.
        changed[k] = np.minimum(values + 0.5, 255).reshape(image.shape)
    return changed
