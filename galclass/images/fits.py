"""Read three FITS images as the bands of one galaxy."""

import math
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray
from PIL import Image

from ..data.arrays import as_array
from ..errors import DataError
from ..files import PathLike

FITS_SUFFIXES = (".fits", ".fit", ".fits.gz", ".fits.fz")
LARGEST_FLUX = 1e30  # nanomaggies; larger numbers are damage and would overflow in the stretch


def is_fits(image: Any) -> bool:
    """Return True for the path of a FITS file."""
    if not isinstance(image, str | os.PathLike):
        return False
    return os.fspath(image).lower().endswith(FITS_SUFFIXES)


def is_bands(image: Any) -> bool:
    """Return True for a tuple of three FITS paths or 2-D arrays.

    Any other tuple is a sequence of images.
    """
    if not isinstance(image, tuple) or len(image) != 3:
        return False
    return all(is_fits(band) or getattr(band, "ndim", 0) == 2 for band in image)


def order_bands(paths: Sequence[Path]) -> tuple[Path, Path, Path]:
    """Return the FITS files of one galaxy as (g, r, i), by the single letters in their names.

    Raises
    ------
    DataError
        There is not one file per band.
    """
    bands = []
    for letter in "gri":
        pattern = f"(?<![a-z]){letter}(?![a-z])"
        bands.append([path for path in paths if re.search(pattern, path.name, re.IGNORECASE)])
    if len(paths) != 3 or any(len(files) != 1 for files in bands):
        raise DataError(
            "expected three FITS files of a galaxy; name them like frame-g, frame-r and frame-i"
        )
    return bands[0][0], bands[1][0], bands[2][0]


def read_bands(bands: tuple[Any, Any, Any]) -> NDArray[np.float64]:
    """Read the bands g, r and i from FITS files or arrays.

    Parameters
    ----------
    bands : tuple of path-like or array, shape (height, width)
        g, r and i in nanomaggies. FITS images have the bottom row first, arrays the top row.

    Returns
    -------
    ndarray of float64, shape (3, height, width)
        The bands i, r and g, with the top row first.

    Raises
    ------
    DataError
        The bands have different shapes, or values that are not finite.
    """
    planes = []
    for band in bands:
        if isinstance(band, str | os.PathLike):
            planes.append(_read_fits(band))
        else:
            planes.append(as_array(band, "band"))
    for letter, plane in zip("gri", planes, strict=True):
        if plane.shape != planes[0].shape or not _is_valid(plane):
            raise DataError(
                f"band {letter} (shape {plane.shape}, dtype {plane.dtype}), expected one shape "
                "(height, width) for all bands, and no NaN or infinite flux"
            )
    return np.stack(planes[::-1]).astype(float)


def check_pixels(shape: tuple[int, ...]) -> None:
    """Raise a DataError for an image that is larger than Pillow's limit, before it is decoded."""
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and math.prod(shape) > limit:
        size = " x ".join(str(side) for side in shape)
        raise DataError(
            f"{size} pixels are too large, expected at most {limit:,} pixels; crop the image first"
        )


def _is_valid(plane: NDArray[Any]) -> bool:
    if plane.ndim != 2 or plane.size == 0 or plane.dtype.kind not in "fiu":
        return False
    # As float, because abs() of the smallest integer overflows. NaN is not below the limit either.
    fluxes = abs(plane.astype(float))
    return bool((fluxes < LARGEST_FLUX).all())


def _read_fits(path: PathLike) -> NDArray[Any]:
    """Return the first image of a FITS file, top row first."""
    # We open the file: if it is damaged, astropy would not close it.
    with open(os.path.expanduser(path), "rb") as file, fits.open(file, memmap=False) as hdus:
        images = [hdu for hdu in hdus if hdu.is_image and hdu.shape]
        if not images:
            raise DataError(f"{Path(path).name} holds no image")
        check_pixels(images[0].shape)
        return images[0].data[::-1]
