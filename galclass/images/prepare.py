"""Prepare images for the network: files, bytes, arrays and FITS bands.

The preprocessing is Galaxy10's own: the image of a galaxy in Galaxy Zoo 2 has 424 x 424 pixels of
0.02 petroR90_r each; its central box (108, 108, 315, 315) is resized to 69 x 69 pixels with PIL's
bilinear filter. This reproduces the pixels of the published images.
"""

import io
import itertools
import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from ..data.arrays import Images, check_images
from ..data.galaxy10 import GALAXY10_CROP, IMAGE_SHAPE
from ..errors import DataError, DownloadError, GalclassError, ParameterError
from ..files import PathLike
from ..simulation.stretch import sdss_image
from .fits import check_pixels, is_bands, is_fits, read_bands

FORMATS = ("JPEG", "PNG", "TIFF", "WEBP", "GIF")
SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".gif")
COLOUR_MODES = ("RGB", "RGBA", "RGBX", "P", "CMYK", "YCbCr")
PATHS = (str, os.PathLike)
# Images that are decoded before they are needed: enough to keep all threads busy, few enough to
# bound the memory.
LOOKAHEAD = 128

DEFAULT_CROP = GALAXY10_CROP  # for images whose crop no run states

# A tuple holds the bands g, r and i.
ImageLike: TypeAlias = PathLike | bytes | Image.Image | NDArray[Any] | tuple[Any, Any, Any]
# One image, a directory of images, or several images.
ImageOrImages: TypeAlias = ImageLike | Iterable[ImageLike]
# (name, image): name is text or a Parquet id (None if missing); image is an image, a function that
# fetches it, or a DataError.
Row: TypeAlias = tuple[Any, Any]
# The name of an image; the image, or None; the error, or None.
Prepared: TypeAlias = tuple[Any, Images | None, DataError | OSError | None]


class Framing(NamedTuple):
    """The way in which images of any size become square images of one size.

    Parameters
    ----------
    side : int
        Width and height to make, in pixels.
    crop : float or None
        Side of the central square to keep, as a fraction of the shorter side of the image.
        None: the largest central square.
    force : bool, default False
        Crop images that have the right size already, too, instead of leaving them unchanged.
    """

    side: int
    crop: float | None
    force: bool = False


def prepare(images: ImageOrImages, *, crop: float | None = None) -> Images:
    """Prepare images for the network with Galaxy10's own preprocessing.

    Parameters
    ----------
    images : image, sequence of images, or ndarray of uint8, shape (n, height, width, 3)
        An image is one of the following:

        - the path of a JPEG, PNG, TIFF, WebP or GIF file (its first frame), or the bytes of one;
        - a PIL image;
        - an array of uint8 of shape (height, width, 3), with the top row first; or (height,
          width, 1), whose channel is repeated three times, as in training;
        - a tuple (g, r, i) of paths of FITS images, which have the bottom row first;
        - a tuple (g, r, i) of arrays of shape (height, width), with the top row first.

        The bands of a tuple are on one pixel grid, in nanomaggies per SDSS pixel. SDSS's stretch
        turns them into colours (:func:`galclass.simulation.stretch.sdss_rgb`, which explains how
        to convert counts and other pixel scales). The result passes through a JPEG file, as
        SDSS's images did.

        A path may also be a directory: all image files in it, sorted by name.
    crop : float, optional
        Side of the central square to keep, as a fraction of the shorter side of the image.
        Default: Galaxy10's 207/424; images of 69 x 69 pixels are left unchanged.

    Returns
    -------
    ndarray of uint8, shape (n, 69, 69, 3)

    Raises
    ------
    DataError
        An image is damaged, cannot be read, is not in colour, is too large or is of another type,
        or `images` is empty. The first bad image raises the error.
    FileNotFoundError
        A path does not exist.
    ParameterError
        `crop` is out of range.

    Examples
    --------
    An image as Galaxy Zoo 2 showed it, 424 pixels wide; yours may have any size:

    >>> from PIL import Image
    >>> import galclass
    >>> images, labels = galclass.simulate_galaxy10(1)
    >>> Image.fromarray(images[0]).resize((424, 424)).save("galaxy.png")
    >>> galclass.prepare("galaxy.png").shape
    (1, 69, 69, 3)
    >>> galclass.prepare(["galaxy.png", Image.open("galaxy.png")], crop=0.7).shape
    (2, 69, 69, 3)
    """
    crop = check_crop(crop)
    if crop is None:
        framing = Framing(IMAGE_SHAPE[0], DEFAULT_CROP)
    else:
        framing = Framing(IMAGE_SHAPE[0], crop, force=True)
    return prepare_all(images, framing)


def prepare_all(images: ImageOrImages, framing: Framing) -> Images:
    """Prepare images in memory, or raise the error of the first bad one.

    Parameters
    ----------
    images
        See :func:`prepare`.
    framing : Framing

    Returns
    -------
    ndarray of uint8, shape (n, side, side, 3)

    Raises
    ------
    DataError, FileNotFoundError
        See :func:`prepare`.
    """
    prepared = []
    for _, image, error in iter_prepared(images, framing):
        if error is not None:
            raise error
        prepared.append(image)
    if not prepared:
        raise DataError("no image given, expected at least one")
    return np.stack(prepared)


def iter_prepared(images: ImageOrImages, framing: Framing) -> Iterator[Prepared]:
    """Prepare images one after another, while threads decode the next ones.

    Parameters
    ----------
    images
        See :func:`prepare`; may also be an iterator.
    framing : Framing

    Yields
    ------
    source : str
        The path, or ``"image 0"``, ``"image 1"`` ... by position.
    image : ndarray of uint8, shape (side, side, 3), or None
    error : DataError, OSError or None
        The reason for a missing image.

    Raises
    ------
    FileNotFoundError, DataError
        `images` is a path that does not exist, or a directory without images.
    """
    listed = list_images(images)
    named = ((name_source(number, image), image) for number, image in enumerate(listed))
    return prepare_named(named, framing)


def prepare_named(
    named: Iterable[Row], framing: Framing, *, threads: int | None = None
) -> Iterator[Prepared]:
    """Prepare images that have names, while threads decode the next ones.

    Parameters
    ----------
    named : iterable of tuple
        See :data:`Row`. A DataError is passed on.
    framing : Framing
    threads : int, optional
        Number of threads that decode. Default: one per CPU of the machine.

    Yields
    ------
    source, image, error
        See :func:`iter_prepared`.
    """
    pool = ThreadPoolExecutor(threads or os.cpu_count())
    futures = (pool.submit(_prepare_one, source, image, framing) for source, image in named)
    try:
        waiting = deque(itertools.islice(futures, LOOKAHEAD))
        while waiting:
            yield waiting.popleft().result()
            waiting.extend(itertools.islice(futures, 1))
    finally:
        pool.shutdown(cancel_futures=True)


def check_crop(crop: Any) -> float | None:
    """Return a crop as a float, or None.

    Raises
    ------
    ParameterError
        The crop is not a number above 0 and up to 1.
    """
    if crop is None:
        return None
    if not isinstance(crop, int | float | np.floating) or not 0 < crop <= 1:
        raise ParameterError(f"crop={crop!r}, expected a fraction of the image: 0 < crop <= 1")
    return float(crop)


def list_images(images: ImageOrImages) -> Iterable[Any]:
    """Return one image, a directory of images or several images as an iterable.

    Returns
    -------
    sequence, or `images` itself if it is another iterable
        The images of a directory are its JPEG, PNG, TIFF, WebP and GIF files, sorted by name.

    Raises
    ------
    FileNotFoundError, DataError
        `images` is a path that does not exist, or a directory without images.
    """
    if isinstance(images, PATHS):
        return _list_path(images)
    if isinstance(images, bytes) or is_bands(images) or not isinstance(images, Iterable):
        return [images]
    # A numeric array with up to three axes is one image; with four, it is several. An array of
    # paths is a sequence.
    if isinstance(images, np.ndarray) and images.ndim < 4 and images.dtype.kind in "biuf":
        return [images]
    return images


def _list_path(given: PathLike) -> list[Path]:
    path = expand_path(given)
    if not os.path.exists(path):
        raise FileNotFoundError(f"no file or directory {given!s}; give the path of an image")
    if not path.is_dir():
        return [path]
    files = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES)
    if not files:
        raise DataError(f"no image in {path}; expected files named *{', *'.join(SUFFIXES)}")
    return files


def expand_path(given: PathLike) -> Path:
    """Return a path with ``~`` replaced.

    Raises
    ------
    FileNotFoundError
        The path is empty, which pathlib would take for the working directory.
    """
    if not os.fspath(given):
        raise FileNotFoundError("no file or directory ''; give the path of an image")
    return Path(os.path.expanduser(given))


def name_source(number: int, image: Any) -> str:
    """Return the path of an image, the paths of its bands, or its number."""
    parts = (image,)
    if isinstance(image, tuple):
        parts = image
    paths = [os.fspath(part) for part in parts if isinstance(part, PATHS)]
    if paths:
        return ", ".join(paths)
    return f"image {number}"


def _prepare_one(source: str, image: Any, framing: Framing) -> Prepared:
    """Prepare one image; return an error instead of raising it."""
    if isinstance(image, DataError):
        return source, None, image
    try:
        if callable(image):
            image = image()
        return source, _frame(read_image(image), framing), None
    except FileNotFoundError as error:
        missing = source
        if isinstance(image, tuple) and error.filename is not None:
            missing = Path(error.filename).name
        return source, None, FileNotFoundError(f"no file {missing}; give the path of an image")
    except DownloadError as error:
        return source, None, DownloadError(f"{source}: {error}")
    except GalclassError as error:
        return source, None, DataError(f"{source}: {error}")
    except Exception as error:  # Each decoder raises its own types for damaged files.
        return source, None, _describe_failure(source, image, error)


def _describe_failure(source: str, image: Any, error: Exception) -> DataError:
    reason = f"{type(error).__name__}: {error}"
    if isinstance(image, PATHS):  # Uploaded files are in folders that no message should show.
        reason = reason.replace(os.fspath(image), source)
    return DataError(
        f"{source} cannot be read ({reason}): it is not an image, cut off or too large; "
        f"expected {', '.join(FORMATS)} or three FITS bands"
    )


def read_image(image: Any) -> Image.Image:
    """Return one image, in any accepted form, as a PIL image in RGB.

    Raises
    ------
    DataError
        The image is of another type or shape, has no colour, or is too large. Decoders raise
        errors of many types for damaged files.
    """
    if is_bands(image):
        return sdss_image(read_bands(image))
    if is_fits(image):
        raise DataError("a single FITS image; give the three bands as a tuple (g, r, i)")
    if isinstance(image, np.ndarray) and image.shape[2:] in ((3,), (1,)) and image.size:
        shape = (*image.shape[:2], 3)
        return Image.fromarray(check_images(image[None], shape=shape, name="array")[0])
    if isinstance(image, (bytes, *PATHS)):
        image = _decode(image)
    if not isinstance(image, Image.Image):
        raise DataError(
            f"{type(image).__name__} {getattr(image, 'shape', '')}: expected a path, bytes, a PIL "
            "image, (g, r, i), or an array (height, width, 3): see numpy.moveaxis, numpy.dstack"
        )
    return _convert_to_rgb(image)


def _decode(content: PathLike | bytes) -> Image.Image:
    file: Any
    if isinstance(content, bytes):
        file = io.BytesIO(content)
    else:
        file = os.path.expanduser(content)
    with Image.open(file, formats=FORMATS) as opened:
        # Pillow only warns above its limit; it raises an error above twice the limit.
        check_pixels(opened.size)
        opened.load()
        return opened.copy()


def _convert_to_rgb(image: Image.Image) -> Image.Image:
    image = ImageOps.exif_transpose(image)
    transparent = False
    if image.has_transparency_data:
        transparent = np.min(image.convert("RGBA").getchannel("A")) < 255
    if image.mode not in COLOUR_MODES or transparent:
        raise DataError(
            f"an image of mode {image.mode}, without colour or with transparent pixels; expected "
            "red, green and blue (see PIL.Image.Image.convert)"
        )
    return image.convert("RGB")


def crop_box(size: tuple[int, int], framing: Framing) -> tuple[int, int, int, int]:
    """Return the box that is cut out of an image, in whole pixels.

    Parameters
    ----------
    size : tuple of int
        Width and height of the image, in pixels.
    framing : Framing

    Returns
    -------
    left, top, right, bottom : int
        (108, 108, 315, 315) for Galaxy10's crop of an image of 424 x 424 pixels.
    """
    width, height = size
    if size == (framing.side, framing.side) and not framing.force:
        return 0, 0, width, height
    kept = min(size)
    if framing.crop is not None:
        kept = max(1, round(framing.crop * kept))
    left = (width - kept) // 2
    top = (height - kept) // 2
    return left, top, left + kept, top + kept


def _frame(image: Image.Image, framing: Framing) -> Images:
    """Cut the central square out of an image and resize it."""
    # Cropped first: resize(box=...) would also read the pixels around the box.
    square = image.crop(crop_box(image.size, framing))
    size = (framing.side, framing.side)
    return np.asarray(square.resize(size, Image.Resampling.BILINEAR))
