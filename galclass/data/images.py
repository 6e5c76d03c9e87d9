"""Images of galaxies (files, bytes, arrays, FITS bands) made into a network's input.

Galaxy10's own preprocessing: Galaxy Zoo 2's image of a galaxy has 424 x 424 pixels of
0.02 petroR90_r each; the central box (108, 108, 315, 315) of it is resized to 69 x 69 pixels with
PIL's bilinear filter. This gives the pixels of the published images again.
"""

import io
import itertools
import math
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from ..errors import DataError, DownloadError, GalclassError, ParameterError
from ..files import PathLike
from .arrays import IMAGE_SHAPE, Images, as_array, check_images
from .stretch import sdss_image

FORMATS = ("JPEG", "PNG", "TIFF", "WEBP", "GIF")
SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".gif")
FITS_SUFFIXES = (".fits", ".fit", ".fits.gz", ".fits.fz")
PATHS = (str, os.PathLike)
FIELD_PIXELS = 424
GALAXY10_CROP = (108 / FIELD_PIXELS, 315 / FIELD_PIXELS)
SIZE = IMAGE_SHAPE[1::-1]
LOOKAHEAD = 128  # Images prepared ahead of the reader: hides the decoding, bounds the memory.
LARGEST_FLUX = 1e30  # nanomaggies; larger numbers are damage, and overflow in the stretch

# A tuple holds the bands g, r and i.
ImageLike: TypeAlias = PathLike | bytes | Image.Image | NDArray[Any] | tuple[Any, Any, Any]
# One image, a directory of them or several.
Given: TypeAlias = ImageLike | Iterable[ImageLike]
# Its name; the image or None; why there is none or None.
Prepared: TypeAlias = tuple[str, Images | None, DataError | OSError | None]


def prepare(images: Given, *, crop: float | None = None) -> Images:
    """Make images into a network's input with Galaxy10's own preprocessing.

    Parameters
    ----------
    images : image, sequence of images, or ndarray of uint8, shape (n, height, width, 3)
        An image is the path of a JPEG, PNG, TIFF, WebP or GIF file (its first frame), or the bytes
        of one; a PIL image; an array of uint8 of shape (height, width, 3); or a tuple (g, r, i) of
        paths of FITS images or of 2-D arrays on one pixel grid, in nanomaggies per SDSS pixel,
        which become colours by SDSS's stretch (:func:`galclass.data.stretch.sdss_rgb`, which says
        how to convert counts and other pixel scales) and pass through a JPEG file, as SDSS's did.
        Arrays have the top row first, FITS images the bottom row. A path may also name a directory:
        all image files in it, sorted by name.
    crop : float, optional
        Side of the central square to keep, as a fraction of the shorter side of the image.
        Default: Galaxy10's 207/424 of it, and images of 69 x 69 pixels unchanged.

    Returns
    -------
    ndarray of uint8, shape (n, 69, 69, 3)

    Raises
    ------
    DataError
        An image is damaged, unreadable, not in colour, too large or in no known form, or there is
        none. The first such image ends it.
    FileNotFoundError
        A path does not exist.
    ParameterError
        `crop` is out of range.

    Examples
    --------
    An image as Galaxy Zoo 2 showed them, 424 pixels wide; yours may have any size:

    >>> from PIL import Image
    >>> import galclass
    >>> images, labels = galclass.simulate_galaxy10(1)
    >>> Image.fromarray(images[0]).resize((424, 424)).save("galaxy.png")
    >>> galclass.prepare("galaxy.png").shape
    (1, 69, 69, 3)
    >>> galclass.prepare(["galaxy.png", Image.open("galaxy.png")], crop=0.7).shape
    (2, 69, 69, 3)
    """
    return prepare_all(images, crop=crop)


def prepare_all(
    images: Given, *, crop: float | None = None, size: tuple[int, int] = SIZE
) -> Images:
    """As :func:`prepare`, for any width and height."""
    prepared = []
    for _, image, error in iter_prepared(images, crop=crop, size=size):
        if error:
            raise error
        prepared.append(image)
    if not prepared:
        raise DataError("no image given, expected at least one")
    return np.stack(prepared)


def iter_prepared(
    images: Given, *, crop: float | None = None, size: tuple[int, int] = SIZE
) -> Iterator[Prepared]:
    """Prepare images one after another, decoding the next ones in threads meanwhile.

    Parameters
    ----------
    images, crop
        As in :func:`prepare`; `images` may also be an iterator.
    size : tuple of int, default (69, 69)
        Width and height to make; images that have them are left unchanged without `crop`.

    Yields
    ------
    source : str
        The path, or ``"image 0"``, ``"image 1"`` ... by position.
    image : ndarray of uint8, shape (height, width, 3), or None
    error : DataError, OSError or None
        Why there is no image.

    Raises
    ------
    ParameterError
        `crop` is out of range.
    FileNotFoundError, DataError
        `images` is a path that does not exist, or a directory without images.
    """
    check_crop(crop)
    named = ((_name(number, one), one) for number, one in enumerate(list_images(images)))
    return prepare_named(named, crop=crop, size=size)


def prepare_named(
    named: Iterable[tuple[str, Any]],
    *,
    crop: float | None = None,
    size: tuple[int, int] = SIZE,
    threads: int | None = None,
) -> Iterator[Prepared]:
    """Prepare images that have names, as :func:`iter_prepared` does, when the first is taken.

    Parameters
    ----------
    named : iterable of tuple
        ``(source, image)``; in place of an image may be the DataError that reading it gave, or a
        function that fetches it.
    crop, size
        As in :func:`iter_prepared`.
    threads : int, optional
        Threads that decode. Default: one a CPU of the machine.

    Yields
    ------
    source, image, error
        As :func:`iter_prepared`.

    Raises
    ------
    ParameterError
        `crop` is out of range.
    """
    check_crop(crop)
    pool = ThreadPoolExecutor(threads or os.cpu_count())
    calls = (pool.submit(_prepare_one, *one, crop, size) for one in named)
    try:
        waiting = list(itertools.islice(calls, LOOKAHEAD))
        while waiting:
            yield waiting.pop(0).result()
            waiting += itertools.islice(calls, 1)
    finally:
        pool.shutdown(cancel_futures=True)


def check_crop(crop: float | None) -> float | None:
    """A fraction of the field or None as such, or a ParameterError that says what it is."""
    if crop is not None and not (isinstance(crop, int | float | np.floating) and 0 < crop <= 1):
        raise ParameterError(f"crop={crop!r}, expected a fraction of the field: 0 < crop <= 1")
    return None if crop is None else float(crop)


def list_images(images: Given) -> Iterable[Any]:
    """One image, a directory of them or several, as an iterable of images.

    Returns
    -------
    sequence, or iterator where `images` is one
        The images of a directory are its JPEG, PNG, TIFF, WebP and GIF files, sorted by name.

    Raises
    ------
    FileNotFoundError, DataError
        `images` is a path that does not exist, or a directory without images.
    """
    if isinstance(images, PATHS):
        path = Path(os.path.expanduser(images))
        if not os.path.exists(path) or not os.fspath(images):
            raise FileNotFoundError(f"no file or directory {images!s}; give the path of an image")
        if not path.is_dir():
            return [path]
        found = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES)
        if not found:
            raise DataError(f"no image in {path}; expected files named *{', *'.join(SUFFIXES)}")
        return found
    single = isinstance(images, bytes) or _is_bands(images)
    if single or (
        isinstance(images, np.ndarray) and images.ndim < 4 and images.dtype.kind in "biuf"
    ):
        return [images]
    return images if isinstance(images, Iterable) else [images]


def _name(number: int, image: Any) -> str:
    names = image if isinstance(image, tuple) else (image,)
    return ", ".join(os.fspath(n) for n in names if isinstance(n, PATHS)) or f"image {number}"


def _prepare_one(source: str, image: Any, crop: float | None, size: tuple[int, int]) -> Prepared:
    """One image, or its error: whatever it does, it must not end the others."""
    if isinstance(image, DataError):
        return source, None, image
    try:
        image = image() if callable(image) else image
        return source, _resize(read_image(image), crop, size), None
    except FileNotFoundError as error:
        missing = Path(error.filename or source).name if isinstance(image, tuple) else source
        failure = FileNotFoundError(f"no file {missing}; give an image's path")
    except DownloadError as error:
        failure = DownloadError(f"{source}: {error}")
    except GalclassError as error:
        failure = DataError(f"{source}: {error}")
    except Exception as error:  # Each decoder raises its own kinds on damaged files.
        reason = str(error)
        if isinstance(image, PATHS):  # It may lie where nobody is to know.
            reason = reason.replace(os.fspath(image), source)
        found = f"{source} cannot be read ({type(error).__name__}: {reason}): no image, cut off or"
        failure = DataError(f"{found} too large; expected {', '.join(FORMATS)} or three FITS bands")
    return source, None, failure


def read_image(image: Any) -> Image.Image:
    """An image in any accepted form as a PIL image in RGB."""
    if _is_bands(image):
        return sdss_image(_read_bands(image))
    if _is_fits(image):
        raise DataError("one FITS image; give a tuple of three: (g, r, i)")
    if isinstance(image, np.ndarray) and image.shape[2:] in ((3,), (1,)) and image.size:
        shape = (*image.shape[:2], 3)
        return Image.fromarray(check_images(image[None], shape=shape, name="array")[0])
    if isinstance(image, (bytes, *PATHS)):
        file = io.BytesIO(image) if isinstance(image, bytes) else os.path.expanduser(image)
        with Image.open(file, formats=FORMATS) as opened:
            # Pillow itself only warns up to twice its limit, and refuses above.
            _check_size(opened.size)
            opened.load()
            image = opened.copy()
    if not isinstance(image, Image.Image):
        raise DataError(
            f"{type(image).__name__} {getattr(image, 'shape', '')}: expected a path, bytes, a PIL "
            "image, (g, r, i), or an array (height, width, 3): see numpy.moveaxis, numpy.dstack"
        )
    image = ImageOps.exif_transpose(image)
    clear = image.has_transparency_data and np.min(image.convert("RGBA").getchannel("A")) < 255
    if image.mode not in ("RGB", "RGBA", "RGBX", "P", "CMYK", "YCbCr") or clear:
        found = f"mode {image.mode}, without colour or with transparent pixels"
        raise DataError(f"{found}; expected red, green and blue (see PIL.Image.Image.convert)")
    return image.convert("RGB")


def _check_size(size: tuple[int, ...]) -> None:
    if math.prod(size) > (Image.MAX_IMAGE_PIXELS or math.inf):
        raise Image.DecompressionBombError(f"{size} pixels; crop it first")


def _is_fits(item: Any) -> bool:
    return isinstance(item, PATHS) and os.fspath(item).lower().endswith(FITS_SUFFIXES)


def order_bands(paths: Sequence[Path]) -> tuple[Path, Path, Path]:
    """FITS files as the bands (g, r, i) of one galaxy, by the single letters in their names.

    Raises
    ------
    DataError
        Not one file of each band.
    """
    letter = "(?<![a-z]){}(?![a-z])"
    found = [[p for p in paths if re.search(letter.format(b), p.name, re.I)] for b in "gri"]
    if len(paths) != 3 or [len(files) for files in found] != [1, 1, 1]:
        raise DataError("expected three FITS files of a galaxy: frame-g, frame-r and frame-i")
    return found[0][0], found[1][0], found[2][0]


def _is_bands(image: Any) -> bool:
    """Whether it is a tuple (g, r, i): three JPEG paths in a tuple are three images."""
    bands = image if isinstance(image, tuple) else ()
    return [_is_fits(band) or getattr(band, "ndim", 0) == 2 for band in bands] == [True] * 3


def _read_bands(bands: tuple[Any, ...]) -> NDArray[Any]:
    """Bands g, r and i, of FITS files or arrays, as i, r and g with the top row first."""
    planes = [_read_fits(b) if isinstance(b, PATHS) else as_array(b, "band") for b in bands]
    for name, plane in zip("gri", planes, strict=True):
        alike = plane.ndim == 2 and plane.size and plane.shape == planes[0].shape
        # NaN is not smaller either
        if not (alike and plane.dtype.kind in "fiu" and (abs(plane * 1.0) < LARGEST_FLUX).all()):
            found = f"band {name} (shape {plane.shape}, dtype {plane.dtype})"
            raise DataError(f"{found}, expected one shape (height, width), no NaN or infinite flux")
    return np.stack(planes[::-1]).astype(float)


def _read_fits(path: PathLike) -> NDArray[Any]:
    """The first image of a FITS file, with the top row first; an empty one where it has none."""
    from astropy.io import fits

    # Opened here, since astropy leaves damaged files open.
    with open(os.path.expanduser(path), "rb") as file, fits.open(file, memmap=False) as hdus:
        planes = [hdu for hdu in hdus if hdu.is_image and hdu.shape]
        if not planes:
            return np.empty((0, 0))
        _check_size(planes[0].shape)
        return planes[0].data[::-1]


def crop_box(size: tuple[int, int], crop: float | None) -> NDArray[np.float64]:
    """Left and top, right and bottom of what is cut out of an image of a size (pixels)."""
    side = min(size)
    low, high = GALAXY10_CROP if crop is None else ((1 - crop) / 2, (1 + crop) / 2)
    return (np.array(size) - side) / 2 + side * np.array([[low], [high]])


def _resize(image: Image.Image, crop: float | None, size: tuple[int, int]) -> Images:
    """Cut the central square out of an RGB image and resize it."""
    if crop is None and image.size == size:
        return np.asarray(image)
    box = crop_box(image.size, crop)
    if box[1, 0] - box[0, 0] < 1:
        raise DataError(f"{image.width} x {image.height} pixels, expected more or a larger crop")
    # Cropped to whole pixels before, since resize(box=...) also reads pixels around the box.
    corner = np.floor(box[0])
    image = image.crop((*corner, *np.ceil(box[1])))
    return np.asarray(image.resize(size, Image.Resampling.BILINEAR, tuple((box - corner).ravel())))
