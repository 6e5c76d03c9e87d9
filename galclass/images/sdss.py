"""Fetch the image of a galaxy from the Sloan Digital Sky Survey, by position or name."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from threading import Lock, Semaphore
from time import sleep
from typing import Any
from zlib import crc32

import numpy as np
import pooch
import requests
from astropy.coordinates import SkyCoord
from astropy.coordinates.name_resolve import NameResolveError
from astropy.utils.data import conf
from PIL import Image

from ..errors import DataError, DownloadError, ParameterError
from ..files import PathLike, whole_file

# Galaxy Zoo 2's images (Willett et al. 2013, MNRAS 435, 2835, section 2).
CUTOUT_SIDE = 424  # pixels
PIXEL_IN_R90 = 0.02  # side of a pixel in petroR90_r
SEARCH_RADIUS = 0.2  # arcmin
# Web services as described in https://skyserver.sdss.org/dr12/en/help/docs/api.aspx.
SKYSERVER = "https://skyserver.sdss.org/dr18/SkyServerWS"
BUSY = (429, 503)  # HTTP status
REFUSED = (400, 404)  # HTTP status for a request that would be refused again
PAUSES = (1, 2)  # seconds between the three requests to a busy service
LONGEST_PAUSE = 30  # seconds
INTERVAL = 0.1  # seconds between the starts of two requests
AT_ONCE = Semaphore(4)  # simultaneous requests of a process, however many threads there are
TURN = Lock()


def sdss_cutout(
    position: float | str | SkyCoord,
    dec: float | None = None,
    *,
    cache: PathLike | None = None,
    server: str = SKYSERVER,
    timeout: float = 30.0,
) -> Path:
    """Fetch the image of a galaxy as Galaxy Zoo 2 would have shown it.

    The image has 424 x 424 pixels of 0.02 petroR90_r each (Willett et al. 2013, section 2). Its
    centre is the SDSS galaxy nearest to the position, within 0.2 arcmin. Galaxy Zoo 2 took images
    and radii from DR7; this function takes them from DR18. SDSS may have split a galaxy of
    several arcmin into pieces. A busy service (HTTP status 429 or 503) gets three requests, with
    pauses between them. All threads of a process together send at most four requests at once and
    ten per second.

    Parameters
    ----------
    position : float, astropy.coordinates.SkyCoord or str
        Right ascension (ICRS, degrees); or a position, also as text, ``"202.47 47.195"``; or a
        name that Simbad, NED or VizieR knows (CDS's Sesame resolves it).
    dec : float, optional
        Declination (ICRS, degrees), if `position` is a right ascension.
    cache : path-like, optional
        Directory for cutouts. Default: ``cutouts`` in the user's cache directory for galclass.
    server : str
        Address of SkyServer's web services.
    timeout : float, default 30
        Seconds to wait for an answer of a service.

    Returns
    -------
    pathlib.Path
        The JPEG file. A cutout that is in the cache is not fetched again.

    Raises
    ------
    DataError
        The position is outside the footprint or not near a galaxy, or a service refuses it.
    DownloadError
        The name is unknown, or a service does not answer as expected.
    ParameterError
        `position` and `dec` are not a position.
    RunError
        The cache cannot be written.

    Examples
    --------
    >>> import galclass
    >>> path = galclass.sdss_cutout(202.47, 47.195, cache="cutouts")
    >>> galclass.prepare(path).shape
    (1, 69, 69, 3)

    By name: ``galclass.sdss_cutout("M51")``.
    """
    ra, dec = _resolve_position(position, dec, timeout)
    if cache is None:
        cache = pooch.os_cache("galclass") / "cutouts"
    name = f"sdss_{ra:.5f}{dec:+.5f}_{crc32(server.encode()):08x}.jpg"
    path = Path(cache).expanduser() / name
    if path.exists() and _is_cutout(path.read_bytes()):
        return path
    galaxy = _find_galaxy(server, ra, dec, timeout)
    content = _fetch_cutout(server, galaxy, timeout)
    with whole_file(path) as temporary:
        temporary.write_bytes(content)
    return path


def _resolve_position(position: Any, dec: Any, timeout: float) -> tuple[float, float]:
    """Return right ascension and declination (ICRS, degrees)."""
    try:
        return _read_position(position, dec, timeout)
    except (TypeError, ValueError):
        raise ParameterError(
            f"{position!r}, {dec!r}; expected RA 0 to 360, Dec -90 to 90, a SkyCoord or a name"
        ) from None


def _read_position(position: Any, dec: Any, timeout: float) -> tuple[float, float]:
    """Return a position, or raise a TypeError or ValueError if it is not valid."""
    if isinstance(position, str) and dec is None:
        position = _resolve_text(position, timeout)
    if isinstance(position, SkyCoord):
        dec = position.icrs.dec.deg
        position = position.icrs.ra.deg
    ra = float(position)
    dec = float(dec)
    if not (0 <= ra <= 360 and -90 <= dec <= 90):
        raise ValueError("out of range")
    return ra, dec


def _resolve_text(text: str, timeout: float) -> SkyCoord:
    """Return the position that a text gives as two numbers (degrees) or by a name."""
    try:
        ra, dec = (float(number) for number in text.replace(",", " ").split())
    except ValueError:
        return _look_up_name(text, timeout)
    return SkyCoord(ra, dec, unit="deg")


def _look_up_name(name: str, timeout: float) -> SkyCoord:
    try:
        with conf.set_temp("remote_timeout", timeout):
            return SkyCoord.from_name(name)
    except NameResolveError as error:
        reason = " ".join(str(error).split()).partition(". ")[0]
        raise DownloadError(f"{reason}; check the name") from error


def _find_galaxy(server: str, ra: float, dec: float, timeout: float) -> dict[str, float]:
    """Return ``ra``, ``dec`` (degrees) and ``petroR90_r`` (arcsec) of the nearest SDSS galaxy."""
    near = f"dbo.fGetNearbyObjEq({ra:.6f}, {dec:.6f}, {SEARCH_RADIUS}) AS n"
    search = (
        f"SELECT TOP 1 p.ra, p.dec, p.petroR90_r FROM {near} JOIN Galaxy AS p "
        "ON p.objID = n.objID WHERE p.petroR90_r > 0 ORDER BY n.distance"
    )
    galaxy = _query(server, search, _read_galaxy, timeout)
    if galaxy is not None:
        return galaxy
    footprint = f"SELECT dbo.fInFootprintEq({ra:.6f}, {dec:.6f}, 0) AS ok"
    if _query(server, footprint, _read_footprint, timeout):
        reason = f"SDSS has no galaxy within {SEARCH_RADIUS} arcmin"
    else:
        reason = "it is outside the SDSS footprint"
    raise DataError(
        f"RA {ra:.5f}, Dec {dec:+.5f}: {reason}; check the position, or prepare another image"
    )


def _read_galaxy(rows: list[dict[str, Any]]) -> dict[str, float] | None:
    if not rows:
        return None
    return {name: float(rows[0][name]) for name in ("ra", "dec", "petroR90_r")}


def _read_footprint(rows: list[dict[str, Any]]) -> bool:
    return str(rows[0]["ok"]).lower() not in ("0", "false")


def _query(
    server: str, sql: str, read_rows: Callable[[list[dict[str, Any]]], Any], timeout: float
) -> Any:
    """Send a query to SkyServer's database and read the rows of its answer."""
    address = f"{server}/SearchTools/SqlSearch"
    content = _get(address, {"cmd": sql, "format": "json"}, timeout)
    try:
        return read_rows(json.loads(content)[0]["Rows"])
    except (ValueError, LookupError, TypeError) as error:
        raise DownloadError(
            f"{address} returned {content[:60]!r}, expected rows of a table; try again later"
        ) from error


def _fetch_cutout(server: str, galaxy: dict[str, float], timeout: float) -> bytes:
    """Return the JPEG file of a galaxy."""
    parameters = {
        "ra": galaxy["ra"],
        "dec": galaxy["dec"],
        "scale": PIXEL_IN_R90 * galaxy["petroR90_r"],  # arcsec per pixel
        "width": CUTOUT_SIDE,
        "height": CUTOUT_SIDE,
    }
    content = _get(f"{server}/ImgCutout/getjpeg", parameters, timeout)
    if not _is_cutout(content):
        raise DownloadError(
            f"{server} returned {content[:60]!r}, expected an image; try again later"
        )
    return content


def _get(address: str, parameters: dict[str, Any], timeout: float) -> bytes:
    """Return the answer of a service; repeat the request after a pause if it is busy."""
    pauses = list(PAUSES)
    while True:
        try:
            with AT_ONCE:
                with TURN:  # One thread after another waits, so that requests start at intervals.
                    sleep(INTERVAL)
                answer = requests.get(address, params=parameters, timeout=timeout)
            if answer.status_code not in BUSY or not pauses:
                answer.raise_for_status()
                return answer.content
        except requests.RequestException as error:
            raise _describe_failure(address, error) from error
        pause = pauses.pop(0)
        requested = answer.headers.get("Retry-After", "")
        if requested.isdecimal():
            pause = max(pause, int(requested))
        sleep(min(pause, LONGEST_PAUSE))


def _describe_failure(address: str, error: requests.RequestException) -> DataError | DownloadError:
    if error.response is None:
        return DownloadError(f"{address}: {type(error).__name__}; try again later")
    reason = str(error)[:80]
    if error.response.status_code in REFUSED:
        return DataError(f"{address}: {reason}; check the position")
    return DownloadError(f"{address}: {reason}; try again later")


def _is_cutout(content: bytes) -> bool:
    """Return True for a complete JPEG image of the sky.

    SkyServer returns errors as text on a black image.
    """
    try:
        with Image.open(io.BytesIO(content), formats=("JPEG",)) as image:
            pixels = np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError, ValueError):
        return False
    # Measured: at most 14 % of the pixels of 58 real cutouts are black.
    black = np.mean(pixels.max(axis=2) == 0)
    return bool(pixels.shape[:2] == (CUTOUT_SIDE, CUTOUT_SIDE) and black < 0.5)
