"""A galaxy by its position or name to its image in the Sloan Digital Sky Survey."""

import io
import json
from contextlib import suppress
from pathlib import Path
from threading import Lock, Semaphore
from time import sleep
from typing import Any
from zlib import crc32

import numpy as np
import pooch
import requests
from astropy.coordinates import SkyCoord, name_resolve
from astropy.utils.data import conf
from PIL import Image

from ..errors import DataError, DownloadError, ParameterError
from ..files import PathLike, whole_file
from .images import FIELD_PIXELS

PIXEL_IN_R90 = 0.02  # Side of a pixel of Galaxy Zoo 2's images (Willett et al. 2013, section 2).
SEARCH_RADIUS = 0.2  # arcmin
# Web services as in https://skyserver.sdss.org/dr12/en/help/docs/api.aspx.
SKYSERVER = "https://skyserver.sdss.org/dr18/SkyServerWS"
BUSY = (429, 503)
REFUSED = (400, 404)  # what is asked for; asking again is of no use
PAUSES = (1, 2)  # seconds between the three tries of a busy service
LONGEST_PAUSE = 30
AT_ONCE = Semaphore(4)  # requests of a process, however many threads there are
TURN, INTERVAL = Lock(), 0.1  # seconds between the starts of two


def sdss_cutout(
    position: float | str | SkyCoord,
    dec: float | None = None,
    *,
    cache: PathLike | None = None,
    server: str = SKYSERVER,
    timeout: float = 30.0,
) -> Path:
    """Fetch the image of a galaxy that Galaxy Zoo 2 would have shown.

    424 x 424 pixels of 0.02 petroR90_r each (Willett et al. 2013, section 2), centred on the SDSS
    galaxy nearest to the position, within 0.2 arcmin. Galaxy Zoo 2 took image and radius from
    DR7; this takes them from DR18. A galaxy of several arcmin may be in pieces in SDSS. A busy
    service (429 or 503) is asked three times, with pauses. All threads of a process together ask
    four times at once and ten times a second at most.

    Parameters
    ----------
    position : float, astropy.coordinates.SkyCoord or str
        Right ascension (ICRS, degrees); or a position, also as text, ``"202.47 47.195"``; or a
        name that Simbad, NED or VizieR knows, asked through CDS's Sesame.
    dec : float, optional
        Declination (ICRS, degrees), with a right ascension.
    cache : path-like, optional
        Directory to keep cutouts in. Default: ``cutouts`` in the user's cache for galclass.
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
    DataError
        The position is outside the footprint or holds no galaxy, or a service refuses it.
    DownloadError
        The name is unknown, or a service does not answer as expected.
    ParameterError
        The position is not one.
    RunError
        The cache cannot be written.

    Examples
    --------
    >>> import galclass
    >>> path = galclass.sdss_cutout(202.47, 47.195, cache="cutouts")
    >>> galclass.prepare(path).shape
    (1, 69, 69, 3)

    Or by name: ``galclass.sdss_cutout("M51")``.
    """
    ra, dec = _resolve(position, dec, timeout)
    folder = Path(cache or pooch.os_cache("galclass") / "cutouts").expanduser()
    target = folder / f"sdss_{ra:.5f}{dec:+.5f}_{crc32(server.encode()):08x}.jpg"
    if not (target.exists() and _is_cutout(target.read_bytes())):
        size = {"width": FIELD_PIXELS, "height": FIELD_PIXELS}
        asked = _nearest_galaxy(server, ra, dec, timeout) | size
        content = _get(f"{server}/ImgCutout/getjpeg", asked, timeout)
        if not _is_cutout(content):
            raise DownloadError(f"{server} gave {content[:60]!r}, no image; try again later")
        with whole_file(target) as temporary:
            temporary.write_bytes(content)
    return target


def _resolve(position: Any, dec: Any, timeout: float) -> tuple[float, float]:
    """Right ascension and declination, ICRS degrees, of anything that names a position."""
    with suppress(TypeError, ValueError), conf.set_temp("remote_timeout", timeout):
        try:
            if isinstance(position, str) and dec is None:
                with suppress(ValueError):
                    numbers: Any = map(float, position.replace(",", " ").split())
                    position, dec = numbers
            if isinstance(position, str) and dec is None:
                position = SkyCoord.from_name(position)
        except name_resolve.NameResolveError as error:
            reason = " ".join(str(error).split()).partition(". ")[0]
            raise DownloadError(f"{reason}; check the name") from error
        if isinstance(position, SkyCoord):
            position, dec = position.icrs.ra.deg, position.icrs.dec.deg
        if 0 <= float(position) <= 360 and -90 <= float(dec) <= 90:
            return float(position), float(dec)
    raise ParameterError(f"{position!r}, {dec!r}; expected RA 0-360, Dec -90-90, SkyCoord or name")


def _nearest_galaxy(server: str, ra: float, dec: float, timeout: float) -> dict[str, float]:
    """Position (degrees) of the galaxy of SDSS at a position, and its scale (arcsec a pixel)."""
    address, at = f"{server}/SearchTools/SqlSearch", f"{ra:.6f}, {dec:.6f}"
    galaxies = "Galaxy AS p ON p.objID = n.objID WHERE p.petroR90_r > 0 ORDER BY n.distance"
    near = f"dbo.fGetNearbyObjEq({at}, {SEARCH_RADIUS}) AS n JOIN {galaxies}"
    search = f"SELECT TOP 1 p.ra, p.dec, p.petroR90_r FROM {near}"
    try:
        for sql in (search, f"SELECT dbo.fInFootprintEq({at}, 0) AS ok"):
            content = _get(address, {"cmd": sql, "format": "json"}, timeout)
            rows = json.loads(content)[0]["Rows"]
            if rows and sql == search:
                scale = PIXEL_IN_R90 * float(rows[0]["petroR90_r"])
                return {"ra": float(rows[0]["ra"]), "dec": float(rows[0]["dec"]), "scale": scale}
        inside = str(rows[0]["ok"]).lower() not in ("0", "false")
    except DataError:  # Refused; it is a ValueError as well.
        raise
    except (ValueError, LookupError, TypeError) as error:
        raise DownloadError(f"{address} gave {content[:60]!r}, no rows; try again later") from error
    found = f"no galaxy within {SEARCH_RADIUS} arcmin" if inside else "outside the SDSS footprint"
    raise DataError(f"RA {ra:.5f}, Dec {dec:+.5f}: {found}; check it, or prepare another image")


def _get(address: str, asked: dict[str, Any], timeout: float) -> bytes:
    """What a service answers; a busy one is asked again after the pause that it asks for."""
    pauses = list(PAUSES)
    while True:
        try:
            with AT_ONCE:
                with TURN:
                    sleep(INTERVAL)
                answer = requests.get(address, params=asked, timeout=timeout)
            if answer.status_code not in BUSY or not pauses:
                answer.raise_for_status()
                return answer.content
        except requests.RequestException as error:
            answer = error.response
            reason = type(error).__name__ if answer is None else f"{error!s:.80}"
            if answer is not None and answer.status_code in REFUSED:
                raise DataError(f"{address}: {reason}") from error
            raise DownloadError(f"{address}: {reason}; try again later") from error
        wanted = answer.headers.get("Retry-After", "")
        sleep(min(max(pauses.pop(0), int(wanted) if wanted.isdecimal() else 0), LONGEST_PAUSE))


def _is_cutout(content: bytes) -> bool:
    """Whether it is a whole JPEG image of the sky: SkyServer draws its errors on black."""
    try:
        pixels = np.asarray(Image.open(io.BytesIO(content), formats=("JPEG",)).convert("RGB"))
    except (OSError, SyntaxError, ValueError):
        return False
    # Measured: black is at most 14 % of 58 real cutouts.
    return pixels.shape[:2] == (FIELD_PIXELS,) * 2 and np.mean(pixels.max(axis=2) == 0) < 0.5
