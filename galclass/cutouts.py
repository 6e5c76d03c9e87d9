"""Pictures of galaxies (files, arrays, positions on the sky) made into model input.

Galaxy10's own preprocessing: Galaxy Zoo 2's picture of a galaxy has 424 x 424 pixels of
0.02 petroR90_r each; the central box (108, 108, 315, 315) of it is resized to 69 x 69 pixels with
PIL's bilinear filter. This gives the pixels of the published pictures again.
"""

import hashlib
import io
import itertools
import json
import os
from collections import deque
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from ._types import Images, PathLike
from .galaxy10 import IMAGE_SHAPE, DataError, check_images

SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff")
FITS_SUFFIXES = (".fits", ".fit", ".fits.gz", ".fits.fz")
CROP_LOW, CROP_HIGH, FIELD_PIXELS = 108, 315, 424
PIXEL_IN_R90 = 0.02  # Side of a pixel of Galaxy Zoo 2's pictures (Willett et al. 2013, section 2).
SEARCH_RADIUS = 0.2  # arcmin
LOOKAHEAD = 128  # Pictures prepared ahead of the reader: hides the decoding, bounds the memory.
# Web services as in https://skyserver.sdss.org/dr12/en/help/docs/api.aspx.
SKYSERVER = "https://skyserver.sdss.org/dr18/SkyServerWS"
NO_COLOUR = (
    "a picture without colour, expected red, green and blue: classes are learnt from gri pictures. "
    "To have it as grey nevertheless, repeat the band: PIL.Image's convert('RGB')"
)

if TYPE_CHECKING:
    from astropy.coordinates import SkyCoord

# A tuple holds the bands g, r and i.
Picture: TypeAlias = PathLike | Image.Image | NDArray[np.uint8] | tuple[Any, Any, Any]
Pictures: TypeAlias = Picture | Iterable[Picture]


class CutoutError(OSError):
    """SDSS has no such picture, or a service did not give it."""


def prepare(pictures: Pictures, *, crop: float | None = None) -> Images:
    """Make pictures into model input with Galaxy10's own preprocessing.

    Parameters
    ----------
    pictures : picture, sequence of pictures, or ndarray of uint8, shape (n, height, width, 3)
        A picture is the path of a JPEG, PNG or TIFF file, or the bytes of one; a PIL image; an
        array of uint8 of shape (height, width, 3); or a tuple (g, r, i) of paths of FITS images or
        of 2-D arrays, aligned and in nanomaggies per pixel, which
        :func:`galclass.cutouts.lupton_rgb` makes into a picture. A path may also name a directory:
        all pictures in it, by name.
    crop : float, optional
        Side of the central square to keep, as a fraction of the shorter side of the picture.
        Default: Galaxy10's 207/424 of it, and pictures of 69 x 69 pixels unchanged.

    Returns
    -------
    ndarray of uint8, shape (n, 69, 69, 3)

    Raises
    ------
    DataError
        A picture is damaged, not in colour, too large or in no known form, or there is none.
    FileNotFoundError
        A path does not exist.

    Examples
    --------
    A picture as Galaxy Zoo 2 showed them, 424 pixels wide; yours may have any size:

    >>> from PIL import Image
    >>> import galclass
    >>> images, labels = galclass.simulate_galaxy10(1)
    >>> Image.fromarray(images[0]).resize((424, 424)).save("galaxy.png")
    >>> galclass.prepare("galaxy.png").shape
    (1, 69, 69, 3)
    >>> galclass.prepare(["galaxy.png", Image.open("galaxy.png")], crop=0.7).shape
    (2, 69, 69, 3)
    """
    images = []
    for _, image, error in iter_prepared(pictures, crop=crop):
        if error is not None:
            raise error
        images.append(image)
    if not images:
        raise DataError("no picture given, expected at least one")
    return np.stack(images)


def iter_prepared(pictures, *, crop=None):
    """Prepare pictures one after another, decoding the next ones in threads meanwhile.

    Parameters
    ----------
    pictures, crop
        As in :func:`prepare`; `pictures` may also be an iterator.

    Yields
    ------
    source : str
        The path, or ``"picture 0"``, ``"picture 1"`` ... by position.
    image : ndarray of uint8, shape (69, 69, 3), or None
    error : DataError, FileNotFoundError or None
        Why there is no image.

    Raises
    ------
    ValueError
        `crop` is out of range.
    FileNotFoundError, DataError
        `pictures` is a path that does not exist, or a directory without pictures.
    """
    named = ((_name(number, one), one) for number, one in enumerate(list_pictures(pictures)))
    return prepare_named(named, crop=crop)


def prepare_named(named, *, crop=None, threads=None):
    """Prepare pictures that have names, as :func:`iter_prepared` does.

    Parameters
    ----------
    named : iterable of tuple
        ``(source, picture)``; in place of a picture may be the DataError that reading it gave.
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
    ValueError
        `crop` is out of range.
    """
    check_crop(crop)
    threads = threads or os.cpu_count() or 1
    return _in_threads(lambda item: _prepare_one(item[0], item[1], crop), named, threads)


def check_crop(crop):
    """Raise a ValueError for a `crop` that is no fraction of the field."""
    if crop is not None and not 0 < crop <= 1:
        raise ValueError(f"crop={crop}, expected a fraction of the field: 0 < crop <= 1")


def list_pictures(pictures):
    """One picture, a directory of them or several, as an iterable of pictures.

    Returns
    -------
    sequence, or iterator where `pictures` is one
        The pictures of a directory are its JPEG, PNG and TIFF files, sorted by name.
    """
    if isinstance(pictures, str | os.PathLike):
        path = Path(pictures).expanduser()
        if not path.exists():
            raise FileNotFoundError(f"no file or directory {path}; give the path of a picture")
        if not path.is_dir():
            return [path]
        found = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES)
        if not found:
            raise DataError(f"no picture in {path}; expected files named *{', *'.join(SUFFIXES)}")
        return found
    single = isinstance(pictures, Image.Image | bytes) or _is_bands(pictures)
    if single or (isinstance(pictures, np.ndarray) and pictures.ndim < 4):
        return [pictures]
    return pictures


def lupton_rgb(g: NDArray[Any], r: NDArray[Any], i: NDArray[Any]) -> Images:
    """Compose aligned g, r and i images into a colour picture like SkyServer's.

    The asinh scaling of Lupton et al. 2004 (PASP 116, 133) with the numbers of D. Lang's
    ``sdss_rgb`` (Legacy Surveys viewer, legacysurvey/imagine, ``map/views.py``), which imitates
    SkyServer's pictures: bands times 2.5, 1.5 and 1.0, plus 0.02; F(I) = asinh(20 I) / sqrt(20) of
    their mean I. Too bright pixels keep their colour, as in Lupton et al.

    Parameters
    ----------
    g, r, i : ndarray of float, shape (height, width)
        Flux above the sky, nanomaggies per SDSS pixel (0.396 arcsec), on one pixel grid. Multiply
        nanomaggies per pixel of p arcsec by (0.396 / p) squared.

    Returns
    -------
    ndarray of uint8, shape (height, width, 3)
        Red, green and blue from i, r and g. Rows stay in their order: a FITS image starts with the
        bottom row, a picture with the top row.

    Raises
    ------
    DataError
        Shapes differ or are not two-dimensional, or a value is NaN or infinite.
    """
    from astropy.visualization import make_lupton_rgb

    bands = [np.asarray(band) for band in (g, r, i)]
    shapes = [band.shape for band in bands]
    if len(set(shapes)) > 1 or bands[0].ndim != 2 or not bands[0].size:
        raise DataError(f"g, r, i of shapes {shapes}, expected one shape (height, width)")
    for name, band in zip("gri", bands, strict=True):
        if band.dtype.kind not in "fiu" or not np.isfinite(band).all():
            raise DataError(
                f"band {name} (dtype {band.dtype}) holds NaN, infinite values or no numbers; "
                "expected finite fluxes: mend them first, for instance with numpy.nan_to_num"
            )
    blue, green, red = (
        np.maximum(band.astype(float) * scale + 0.02, 0)
        for band, scale in zip(bands, (2.5, 1.5, 1.0), strict=True)
    )
    # astropy writes F(I) as asinh(Q I / stretch) * 0.1 / asinh(0.1 Q).
    softening = 20
    q = 10 * np.sinh(0.1 * np.sqrt(softening))
    with np.errstate(invalid="ignore"):  # 0 / 0 where all bands are black, which stay black.
        return make_lupton_rgb(red, green, blue, stretch=q / softening, Q=q)


def sdss_cutout(
    position: "float | str | SkyCoord",
    dec: float | None = None,
    *,
    cache: PathLike | None = None,
    server: str = SKYSERVER,
    timeout: float = 30.0,
) -> Path:
    """Fetch the picture of a galaxy that Galaxy Zoo 2 would have shown.

    424 x 424 pixels of 0.02 petroR90_r each (Willett et al. 2013, section 2), centred on the SDSS
    galaxy nearest to the position, within 0.2 arcmin. Galaxy Zoo 2 took picture and radius from
    DR7; this takes them from DR18. A galaxy of several arcmin may be in pieces in SDSS.

    Parameters
    ----------
    position : float, astropy.coordinates.SkyCoord or str
        Right ascension (ICRS, degrees); or a position; or a name that Simbad, NED or VizieR
        knows, asked through CDS's Sesame.
    dec : float, optional
        Declination (ICRS, degrees), with a right ascension.
    cache : path-like, optional
        Directory to keep pictures in. Default: ``cutouts`` in the user's cache for galclass.
    server : str
        Address of SkyServer's web services.
    timeout : float, default 30
        Seconds without an answer after which a service is given up.

    Returns
    -------
    pathlib.Path
        The JPEG file. It is fetched once only.

    Raises
    ------
    CutoutError
        The position is outside the footprint or holds no galaxy, the name is unknown, or a
        service does not answer as expected.
    ValueError
        The position is not one.
    galclass.runs.RunError
        The cache cannot be written.

    Examples
    --------
    >>> import galclass
    >>> path = galclass.sdss_cutout(202.47, 47.195, cache="pictures")
    >>> galclass.prepare(path).shape
    (1, 69, 69, 3)

    Or by name: ``galclass.sdss_cutout("M51")``.
    """
    import pooch

    from .runs import whole_file

    ra, dec = _resolve(position, dec, timeout)
    folder = Path(cache or pooch.os_cache("galclass") / "cutouts").expanduser()
    service = hashlib.sha256(server.encode()).hexdigest()[:8]
    target = folder / f"sdss_{ra:.5f}{dec:+.5f}_{service}.jpg"
    if target.exists() and _is_cutout(target.read_bytes()):
        return target
    rows = _query(
        server,
        "SELECT TOP 1 p.ra, p.dec, p.petroR90_r "
        f"FROM dbo.fGetNearbyObjEq({ra:.6f}, {dec:.6f}, {SEARCH_RADIUS}) AS n "
        "JOIN Galaxy AS p ON p.objID = n.objID WHERE p.petroR90_r > 0 ORDER BY n.distance",
        timeout,
    )
    if not rows:
        rows = _query(server, f"SELECT dbo.fInFootprintEq({ra:.6f}, {dec:.6f}, 0) AS ok", timeout)
        if rows and str(rows[0].get("ok")).lower() in ("0", "false"):
            raise CutoutError(
                f"RA {ra:.5f}, Dec {dec:+.5f} is outside the SDSS footprint; prepare a picture "
                "from another survey with galclass.cutouts.prepare"
            )
        raise CutoutError(
            f"SDSS has no galaxy within {SEARCH_RADIUS} arcmin of RA {ra:.5f}, Dec {dec:+.5f}; "
            "check the position (ICRS, degrees)"
        )
    try:
        galaxy = {key: float(rows[0][key]) for key in ("ra", "dec", "petroR90_r")}
    except (KeyError, TypeError, ValueError) as error:
        raise CutoutError(f"{server} gave {rows[0]}, expected ra, dec and petroR90_r") from error
    asked = {
        "ra": galaxy["ra"],
        "dec": galaxy["dec"],
        "scale": PIXEL_IN_R90 * galaxy["petroR90_r"],
        "width": FIELD_PIXELS,
        "height": FIELD_PIXELS,
    }
    content = _get(f"{server}/ImgCutout/getjpeg", asked, timeout)
    if not _is_cutout(content):
        raise CutoutError(
            f"{server}/ImgCutout did not answer with a picture of {FIELD_PIXELS} x {FIELD_PIXELS} "
            f"pixels but with {content[:60]!r}...; try again later"
        )
    with whole_file(target) as temporary:
        temporary.write_bytes(content)
    return target


def _in_threads(function, items, threads):
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


def _name(number, picture):
    names = picture if isinstance(picture, tuple) else (picture,)
    paths = [os.fspath(name) for name in names if isinstance(name, str | os.PathLike)]
    return ", ".join(paths) or f"picture {number}"


def _prepare_one(source, picture, crop):
    if isinstance(picture, DataError):
        return source, None, picture
    try:
        return source, _resize(_read(picture, source), crop, source), None
    except (DataError, FileNotFoundError) as error:
        return source, None, error


def _read(picture, source):
    """A picture in any accepted form as a PIL image in RGB."""
    if _is_bands(picture):
        bands = [_read_fits(b) if isinstance(b, str | os.PathLike) else b for b in picture]
        return Image.fromarray(lupton_rgb(*bands))
    if isinstance(picture, str | os.PathLike):
        return _read_file(Path(picture).expanduser(), source)
    if isinstance(picture, bytes):
        return _decode(io.BytesIO(picture), source)
    if isinstance(picture, Image.Image):
        return _to_rgb(picture, source)
    if not isinstance(picture, np.ndarray):
        raise DataError(
            f"{source}: a {type(picture).__name__}, expected a path, bytes of a picture, a "
            "PIL image, an array of shape (height, width, 3) or a tuple (g, r, i) of FITS paths or "
            "arrays"
        )
    if picture.ndim == 2:
        raise DataError(f"{source}: shape {picture.shape}, {NO_COLOUR}")
    if picture.ndim != 3 or picture.shape[2] != 3 or not picture.size:
        raise DataError(
            f"{source}: shape {picture.shape}, expected (height, width, 3): red, green and blue "
            "on the last axis; see numpy.moveaxis"
        )
    return Image.fromarray(check_images(picture[None], shape=picture.shape, name=source)[0])


def _read_file(path, source):
    if not path.exists():
        raise FileNotFoundError(f"no file {path}; give the path of a picture")
    if path.is_dir():
        raise DataError(f"{path} is a directory, expected a picture; give its name alone")
    if _is_fits(path):
        raise DataError(f"{path} is one FITS image; give a tuple of three: (g, r, i)")
    return _decode(path, source)


def _decode(file, source):
    try:
        with Image.open(file, formats=("JPEG", "PNG", "TIFF")) as image:
            # Pillow itself only warns up to twice its limit, and refuses above.
            if Image.MAX_IMAGE_PIXELS and image.width * image.height > Image.MAX_IMAGE_PIXELS:
                raise Image.DecompressionBombError(f"{image.width} x {image.height} pixels")
            image.load()
            return _to_rgb(ImageOps.exif_transpose(image), source)
    except DataError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(
            f"{source} is too large ({error}), expected {Image.MAX_IMAGE_PIXELS:,} pixels at most; "
            "crop it first, or raise PIL.Image.MAX_IMAGE_PIXELS if you trust it"
        ) from error
    except Image.UnidentifiedImageError as error:
        raise DataError(f"{source} is not a JPEG, PNG or TIFF picture (or is empty)") from error
    except Exception as error:  # Pillow's decoders each raise their own kinds on damaged files.
        raise DataError(
            f"{source} is damaged or cut off ({error}); fetch or copy it again"
        ) from error


def _to_rgb(image, source):
    if image.mode == "RGB":
        return image
    if image.mode in ("RGBA", "RGBX", "P", "CMYK", "YCbCr"):
        if image.has_transparency_data and image.convert("RGBA").getextrema()[3][0] < 255:
            raise DataError(f"{source} has transparent pixels, expected none; draw it on black")
        return image.convert("RGB")
    raise DataError(f"{source}: mode {image.mode}, {NO_COLOUR}")


def _is_fits(item):
    return isinstance(item, str | os.PathLike) and os.fspath(item).lower().endswith(FITS_SUFFIXES)


def _is_bands(picture):
    """Whether it is a tuple (g, r, i): three JPEG paths in a tuple are three pictures."""
    return (
        isinstance(picture, tuple)
        and len(picture) == 3
        and all(_is_fits(band) or getattr(band, "ndim", 0) == 2 for band in picture)
    )


def _read_fits(path):
    from astropy.io import fits

    path = Path(path).expanduser()
    if not path.exists():
        raise FileNotFoundError(f"no file {path}; give the path of a FITS image")
    try:
        with fits.open(path, memmap=False) as hdus:
            plane = next((hdu.data for hdu in hdus if hdu.is_image and hdu.data is not None), None)
    except (OSError, ValueError, TypeError, IndexError) as error:
        raise DataError(f"{path} is not a whole FITS file ({error}); copy it again") from error
    if plane is None or plane.ndim != 2:
        found = "no image" if plane is None else f"an image of shape {plane.shape}"
        raise DataError(f"{path} holds {found}, expected one of shape (height, width)")
    return plane[::-1]


def _resize(image, crop, source):
    """Cut the central square out of an RGB picture and resize it to 69 x 69 pixels."""
    size = IMAGE_SHAPE[1::-1]
    if crop is None and image.size == size:
        return np.asarray(image)
    if crop is None:
        low, high = CROP_LOW / FIELD_PIXELS, CROP_HIGH / FIELD_PIXELS
    else:
        low, high = (1 - crop) / 2, (1 + crop) / 2
    side = min(image.size)
    if side * (high - low) < 1:
        raise DataError(
            f"{source}: {image.width} x {image.height} pixels, of which the crop leaves none; "
            "expected a picture of a galaxy, or give a larger crop"
        )
    offsets = [(length - side) / 2 for length in image.size]
    box = np.array([offset + side * edge for edge in (low, high) for offset in offsets])
    # Cropped to whole pixels before, since resize(box=...) also reads pixels around the box.
    outer = np.r_[np.floor(box[:2]), np.ceil(box[2:])].astype(int)
    inner = tuple((box - np.tile(outer[:2], 2)).tolist())
    cropped = image.crop(tuple(outer.tolist()))
    return np.asarray(cropped.resize(size, Image.Resampling.BILINEAR, box=inner))


def _resolve(position, dec, timeout):
    """Right ascension and declination, ICRS degrees, of anything that names a position."""
    from astropy.coordinates import SkyCoord
    from astropy.coordinates.name_resolve import NameResolveError
    from astropy.utils.data import conf

    if isinstance(position, str) and dec is None:
        try:
            with conf.set_temp("remote_timeout", timeout):
                position = SkyCoord.from_name(position)
        except NameResolveError as error:
            reason = " ".join(str(error).split())
            raise CutoutError(f"{reason}. Check the name, or give RA and Dec") from error
    if isinstance(position, SkyCoord):
        position, dec = position.icrs.ra.deg, position.icrs.dec.deg
    try:
        ra, dec = float(position), float(dec)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"position {position!r}, {dec!r}; expected RA and Dec (degrees), one SkyCoord or a name"
        ) from error
    if not (0 <= ra <= 360 and -90 <= dec <= 90):
        raise ValueError(f"RA {ra}, Dec {dec}; expected 0 to 360 and -90 to 90 degrees")
    return ra, dec


def _query(server, sql, timeout):
    """Rows of an SQL query to SkyServer, a dict each."""
    address = f"{server}/SearchTools/SqlSearch"
    content = _get(address, {"cmd": sql, "format": "json"}, timeout)
    try:
        return json.loads(content)[0]["Rows"]
    except (ValueError, LookupError, TypeError) as error:
        raise CutoutError(
            f"{address} gave {content[:60]!r}..., expected rows as JSON; try again later"
        ) from error


def _get(address, asked, timeout):
    import requests

    try:
        answer = requests.get(address, params=asked, timeout=timeout)
    except requests.RequestException as error:
        raise CutoutError(
            f"{address} does not answer ({type(error).__name__}); check the network or try later"
        ) from error
    if not answer.ok:
        if "footprint" in f"{answer.reason} {answer.text[:2000]}":
            raise CutoutError(
                f"RA {asked.get('ra')}, Dec {asked.get('dec')} is outside the SDSS footprint"
            )
        raise CutoutError(
            f"{address} answered {answer.status_code} {answer.reason}; try again later"
        )
    return answer.content


def _is_cutout(content):
    """Whether it is a whole JPEG picture of the sky: SkyServer draws its errors on black."""
    try:
        with Image.open(io.BytesIO(content), formats=("JPEG",)) as image:
            if image.size != (FIELD_PIXELS, FIELD_PIXELS):
                return False
            # Measured: black is at most 14 % of 58 real pictures.
            return np.mean(np.asarray(image.convert("RGB")).max(axis=2) == 0) < 0.5
    except (OSError, SyntaxError, ValueError):
        return False
