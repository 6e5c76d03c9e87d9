"""Images of galaxies (files, bytes, arrays, FITS bands) made into a network's input.

Galaxy10's own preprocessing: Galaxy Zoo 2's image of a galaxy has 424 x 424 pixels of
0.02 petroR90_r each; the central box (108, 108, 315, 315) of it is resized to 69 x 69 pixels with
PIL's bilinear filter. This gives the pixels of the published images again.
"""

import io
import itertools
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from numbers import Real
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from ..errors import DataError, ParameterError
from ..files import PathLike
from .arrays import IMAGE_SHAPE, Images, check_images
from .stretch import sdss_image

FORMATS = ("JPEG", "PNG", "TIFF", "WEBP", "GIF")
SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".gif")
FITS_SUFFIXES = (".fits", ".fit", ".fits.gz", ".fits.fz")
CROP_LOW, CROP_HIGH, FIELD_PIXELS = 108, 315, 424
LOOKAHEAD = 128  # Images prepared ahead of the reader: hides the decoding, bounds the memory.
LARGEST_FLUX = 1e30  # nanomaggies; larger numbers are damage, and overflow in the stretch

# A tuple holds the bands g, r and i.
ImageLike: TypeAlias = PathLike | bytes | Image.Image | NDArray[Any] | tuple[Any, Any, Any]
# Its name; the image or None; why there is none or None.
Prepared: TypeAlias = tuple[str, Images | None, DataError | FileNotFoundError | None]


def prepare(images: ImageLike | Iterable[ImageLike], *, crop: float | None = None) -> Images:
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
    prepared = []
    for _, image, error in iter_prepared(images, crop=crop):
        if error is not None:
            raise error
        prepared.append(image)
    if not prepared:
        raise DataError("no image given, expected at least one")
    return np.stack(prepared)


def iter_prepared(
    images: ImageLike | Iterable[ImageLike], *, crop: float | None = None
) -> Iterator[Prepared]:
    """Prepare images one after another, decoding the next ones in threads meanwhile.

    Parameters
    ----------
    images, crop
        As in :func:`prepare`; `images` may also be an iterator.

    Yields
    ------
    source : str
        The path, or ``"image 0"``, ``"image 1"`` ... by position.
    image : ndarray of uint8, shape (69, 69, 3), or None
    error : DataError, FileNotFoundError or None
        Why there is no image.

    Raises
    ------
    ParameterError
        `crop` is out of range.
    FileNotFoundError, DataError
        `images` is a path that does not exist, or a directory without images.
    """
    named = ((_name(number, one), one) for number, one in enumerate(list_images(images)))
    return prepare_named(named, crop=crop)


def prepare_named(
    named: Iterable[tuple[str, ImageLike | DataError]],
    *,
    crop: float | None = None,
    threads: int | None = None,
) -> Iterator[Prepared]:
    """Prepare images that have names, as :func:`iter_prepared` does.

    Parameters
    ----------
    named : iterable of tuple
        ``(source, image)``; in place of an image may be the DataError that reading it gave.
    crop
        As in :func:`prepare`.
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
    threads = threads or os.cpu_count() or 1
    return _in_threads(lambda item: _prepare_one(item, crop), named, threads)


def check_crop(crop: float | None) -> None:
    """Raise a ParameterError for a `crop` that is no fraction of the field."""
    if crop is not None and not (isinstance(crop, Real) and 0 < crop <= 1):
        raise ParameterError(f"crop={crop!r}, expected a fraction of the field: 0 < crop <= 1")


def list_images(images: ImageLike | Iterable[ImageLike]) -> Iterable[Any]:
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
    if isinstance(images, str | os.PathLike):
        path = Path(os.path.expanduser(images))
        if not os.path.exists(path):
            raise FileNotFoundError(f"no file or directory {path}; give the path of an image")
        if not path.is_dir():
            return [path]
        found = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES)
        if not found:
            raise DataError(f"no image in {path}; expected files named *{', *'.join(SUFFIXES)}")
        return found
    single = isinstance(images, Image.Image | bytes) or _is_bands(images)
    if single or (isinstance(images, np.ndarray) and images.ndim < 4):
        return [images]
    return images if isinstance(images, Iterable) else [images]


def _in_threads(function: Callable[[Any], Any], items: Iterable[Any], threads: int) -> Iterator:
    """Map over an iterator in order, at most LOOKAHEAD items ahead of the reader."""
    with ThreadPoolExecutor(threads) as pool:
        items, waiting = iter(items), deque()
        try:
            waiting.extend(pool.submit(function, i) for i in itertools.islice(items, LOOKAHEAD))
            while waiting:
                yield waiting.popleft().result()
                waiting.extend(pool.submit(function, i) for i in itertools.islice(items, 1))
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _name(number: int, image: Any) -> str:
    names = image if isinstance(image, tuple) else (image,)
    paths = [os.fspath(name) for name in names if isinstance(name, str | os.PathLike)]
    return ", ".join(paths) or f"image {number}"


def _prepare_one(item: tuple[str, Any], crop: float | None) -> Prepared:
    """One image, or its error: whatever it does, it must not end the others."""
    source, image = item
    try:
        if isinstance(image, DataError):
            raise image
        return source, _resize(_read(image, source), crop, source), None
    except DataError as error:
        return source, None, error
    except FileNotFoundError as error:
        missing = f"no file {error.filename or source}; give the path of an image"
        return source, None, FileNotFoundError(missing)
    except Exception as error:  # Each decoder raises its own kinds on damaged files.
        found = f"{source} cannot be read ({type(error).__name__}: {error})"
        expected = f"expected {', '.join(FORMATS)} or FITS; fetch or copy it again"
        reason = f"{found}: it is no image, damaged, cut off or too large; {expected}"
        return source, None, DataError(reason)


def _read(image: Any, source: str) -> Image.Image:
    """An image in any accepted form as a PIL image in RGB."""
    if _is_bands(image):
        bands = [_read_fits(b) if isinstance(b, str | os.PathLike) else b for b in image]
        return _compose(bands, source)
    if isinstance(image, str | os.PathLike):
        if _is_fits(image):
            raise DataError(f"{source} is one FITS image; give a tuple of three: (g, r, i)")
        return _decode(Path(os.path.expanduser(image)), source)
    if isinstance(image, bytes):
        return _decode(io.BytesIO(image), source)
    if isinstance(image, Image.Image):
        return _to_rgb(image, source)
    if not isinstance(image, np.ndarray):
        raise DataError(
            f"{source}: a {type(image).__name__}, expected a path, bytes of an image file, a PIL "
            "image, an array (height, width, 3) or a tuple (g, r, i) of FITS paths or arrays"
        )
    if image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise DataError(
            f"{source}: shape {image.shape}, expected (height, width, 3): red, green and blue on "
            "the last axis (see numpy.moveaxis; without colour, repeat the band with numpy.dstack)"
        )
    return Image.fromarray(check_images(image[None], shape=image.shape, name=source)[0])


def _decode(file: Path | io.BytesIO, source: str) -> Image.Image:
    with Image.open(file, formats=FORMATS) as image:
        # Pillow itself only warns up to twice its limit, and refuses above.
        if Image.MAX_IMAGE_PIXELS and image.width * image.height > Image.MAX_IMAGE_PIXELS:
            raise DataError(
                f"{source} is too large ({image.width} x {image.height} pixels), expected "
                f"{Image.MAX_IMAGE_PIXELS:,} pixels at most; crop it first"
            )
        image.load()
        return _to_rgb(ImageOps.exif_transpose(image), source)


def _to_rgb(image: Image.Image, source: str) -> Image.Image:
    if image.mode == "RGB":
        return image
    if image.mode in ("RGBA", "RGBX", "P", "CMYK", "YCbCr"):
        if (
            image.has_transparency_data
            and image.convert("RGBA").getchannel("A").getextrema()[0] != 255
        ):
            raise DataError(f"{source} has transparent pixels, expected none; draw it on black")
        return image.convert("RGB")
    raise DataError(
        f"{source}: mode {image.mode}, without colour, expected red, green and blue, since "
        "classes are learnt from gri images; have it as grey with PIL.Image's convert('RGB')"
    )


def _is_fits(item: Any) -> bool:
    return isinstance(item, str | os.PathLike) and os.fspath(item).lower().endswith(FITS_SUFFIXES)


def _is_bands(image: Any) -> bool:
    """Whether it is a tuple (g, r, i): three JPEG paths in a tuple are three images."""
    return (
        isinstance(image, tuple)
        and len(image) == 3
        and all(_is_fits(band) or getattr(band, "ndim", 0) == 2 for band in image)
    )


def _read_fits(path: PathLike) -> NDArray[Any]:
    """The first image of a FITS file, with the top row first."""
    from astropy.io import fits

    # Opened here, since astropy leaves damaged files open.
    with open(os.path.expanduser(path), "rb") as file, fits.open(file, memmap=False) as hdus:
        plane = next((hdu.data for hdu in hdus if hdu.is_image and hdu.data is not None), None)
    if plane is None or plane.ndim != 2:
        found = "no image" if plane is None else f"an image of shape {plane.shape}"
        raise DataError(f"{path} holds {found}, expected one of shape (height, width)")
    return plane[::-1]


def _compose(bands: list[Any], source: str) -> Image.Image:
    """Bands g, r and i as the colours of SDSS."""
    bands = [np.asarray(band) for band in bands]
    shapes = [band.shape for band in bands]
    if len(set(shapes)) > 1 or not bands[0].size:
        raise DataError(f"{source}: g, r, i of shapes {shapes}, expected one shape (height, width)")
    for name, band in zip("gri", bands, strict=True):
        # NaN is not smaller either
        if band.dtype.kind not in "fiu" or not (np.abs(band.astype(float)) < LARGEST_FLUX).all():
            raise DataError(
                f"{source}: band {name} (dtype {band.dtype}) holds NaN, infinite values or no "
                "numbers; expected finite fluxes: replace them, for instance with numpy.nan_to_num"
            )
    return sdss_image(np.stack(bands[::-1]).astype(float))


def _resize(image: Image.Image, crop: float | None, source: str) -> Images:
    """Cut the central square out of an RGB image and resize it to 69 x 69 pixels."""
    size = (IMAGE_SHAPE[1], IMAGE_SHAPE[0])
    if crop is None and image.size == size:
        return np.asarray(image)
    low, high = CROP_LOW / FIELD_PIXELS, CROP_HIGH / FIELD_PIXELS
    if crop is not None:
        low, high = (1 - crop) / 2, (1 + crop) / 2
    side = min(image.size)
    if side * (high - low) < 1:
        raise DataError(
            f"{source}: {image.width} x {image.height} pixels, of which the crop leaves none; "
            "expected an image of a galaxy, or give a larger crop"
        )
    offsets = [(length - side) / 2 for length in image.size]
    box = np.array([offset + side * edge for edge in (low, high) for offset in offsets])
    # Cropped to whole pixels before, since resize(box=...) also reads pixels around the box.
    outer = np.r_[np.floor(box[:2]), np.ceil(box[2:])].astype(int)
    inner = tuple((box - np.tile(outer[:2], 2)).tolist())
    image = image.crop(tuple(outer.tolist()))
    return np.asarray(image.resize(size, Image.Resampling.BILINEAR, box=inner))
