"""A galaxy by its position or name to its image in the Sloan Digital Sky Survey."""

import hashlib
import io
import json
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from ..errors import DownloadError, ParameterError
from ..files import PathLike, whole_file
from .images import FIELD_PIXELS

if TYPE_CHECKING:
    from astropy.coordinates import SkyCoord

PIXEL_IN_R90 = 0.02  # Side of a pixel of Galaxy Zoo 2's images (Willett et al. 2013, section 2).
SEARCH_RADIUS = 0.2  # arcmin
# Web services as in https://skyserver.sdss.org/dr12/en/help/docs/api.aspx.
SKYSERVER = "https://skyserver.sdss.org/dr18/SkyServerWS"
BUSY = (429, 503)
PAUSES = (1, 2)  # seconds between the three tries of a busy service
LONGEST_PAUSE = 30
OUTSIDE = (
    "is outside the SDSS footprint; prepare an image from another survey with galclass.prepare"
)


def sdss_cutout(
    position: "float | str | SkyCoord",
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
    service (429 or 503) is asked three times, with pauses.

    Parameters
    ----------
    position : float, astropy.coordinates.SkyCoord or str
        Right ascension (ICRS, degrees); or a position; or a name that Simbad, NED or VizieR
        knows, asked through CDS's Sesame.
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
    DownloadError
        The position is outside the footprint or holds no galaxy, the name is unknown, or a
        service does not answer as expected.
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
    import pooch

    ra, dec = _resolve(position, dec, timeout)
    folder = Path(cache or pooch.os_cache("galclass") / "cutouts").expanduser()
    service = hashlib.sha256(server.encode()).hexdigest()[:8]
    target = folder / f"sdss_{ra:.5f}{dec:+.5f}_{service}.jpg"
    if target.exists() and _is_cutout(target.read_bytes()):
        return target
    ra, dec, radius = _nearest_galaxy(server, ra, dec, timeout)
    size = {"width": FIELD_PIXELS, "height": FIELD_PIXELS}
    asked = {"ra": ra, "dec": dec, "scale": PIXEL_IN_R90 * radius, **size}
    content = _get(f"{server}/ImgCutout/getjpeg", asked, timeout)
    if not _is_cutout(content):
        raise DownloadError(
            f"{server}/ImgCutout did not answer with an image of {FIELD_PIXELS} x {FIELD_PIXELS} "
            f"pixels but with {content[:60]!r}...; try again later"
        )
    with whole_file(target) as temporary:
        temporary.write_bytes(content)
    return target


def _resolve(position: Any, dec: Any, timeout: float) -> tuple[float, float]:
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
            raise DownloadError(f"{reason}. Check the name, or give RA and Dec") from error
    if isinstance(position, SkyCoord):
        position, dec = position.icrs.ra.deg, position.icrs.dec.deg
    try:
        ra, dec = float(position), float(dec)
    except (TypeError, ValueError) as error:
        raise ParameterError(
            f"position {position!r}, {dec!r}; expected RA and Dec (degrees), one SkyCoord or a name"
        ) from error
    if not (0 <= ra <= 360 and -90 <= dec <= 90):
        raise ParameterError(f"RA {ra}, Dec {dec}; expected 0 to 360 and -90 to 90 degrees")
    return ra, dec


def _nearest_galaxy(
    server: str, ra: float, dec: float, timeout: float
) -> tuple[float, float, float]:
    """Position (degrees) and Petrosian R90 (arcsec) of the galaxy of SDSS at a position."""
    address, at = f"{server}/SearchTools/SqlSearch", f"{ra:.6f}, {dec:.6f}"
    search = (
        "SELECT TOP 1 p.ra, p.dec, p.petroR90_r "
        f"FROM dbo.fGetNearbyObjEq({at}, {SEARCH_RADIUS}) AS n "
        "JOIN Galaxy AS p ON p.objID = n.objID WHERE p.petroR90_r > 0 ORDER BY n.distance"
    )
    content = b""
    try:
        for sql in (search, f"SELECT dbo.fInFootprintEq({at}, 0) AS ok"):
            content = _get(address, {"cmd": sql, "format": "json"}, timeout)
            rows = json.loads(content)[0]["Rows"]
            if rows and sql == search:
                return float(rows[0]["ra"]), float(rows[0]["dec"]), float(rows[0]["petroR90_r"])
        outside = str(rows[0]["ok"]).lower() in ("0", "false")
    except (ValueError, LookupError, TypeError) as error:
        raise DownloadError(
            f"{address} gave {content[:60]!r}..., expected rows as JSON; try again later"
        ) from error
    where = f"RA {ra:.5f}, Dec {dec:+.5f}"
    if outside:
        raise DownloadError(f"{where} {OUTSIDE}")
    raise DownloadError(
        f"SDSS has no galaxy within {SEARCH_RADIUS} arcmin of {where}; "
        "check the position (ICRS, degrees)"
    )


def _get(address: str, asked: dict[str, Any], timeout: float) -> bytes:
    """What a service answers; a busy one is asked again after the pause that it asks for."""
    import requests

    for pause in (*PAUSES, None):
        try:
            answer = requests.get(address, params=asked, timeout=timeout)
        except requests.RequestException as error:
            raise DownloadError(
                f"{address} does not answer ({type(error).__name__}); check the network"
            ) from error
        if answer.status_code not in BUSY or pause is None:
            break
        wanted = answer.headers.get("Retry-After", "")
        sleep(min(max(pause, int(wanted) if wanted.isdecimal() else 0), LONGEST_PAUSE))
    if answer.ok:
        return answer.content
    if "footprint" in f"{answer.reason} {answer.text[:2000]}":
        raise DownloadError(f"RA {asked.get('ra')}, Dec {asked.get('dec')} {OUTSIDE}")
    raise DownloadError(f"{address} answered {answer.status_code} {answer.reason}; try again later")


def _is_cutout(content: bytes) -> bool:
    """Whether it is a whole JPEG image of the sky: SkyServer draws its errors on black."""
    try:
        with Image.open(io.BytesIO(content), formats=("JPEG",)) as image:
            if image.size != (FIELD_PIXELS, FIELD_PIXELS):
                return False
            # Measured: black is at most 14 % of 58 real cutouts.
            return bool(np.mean(np.asarray(image.convert("RGB")).max(axis=2) == 0) < 0.5)
    except (OSError, SyntaxError, ValueError):
        return False
