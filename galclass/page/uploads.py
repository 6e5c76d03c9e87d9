"""Images that visitors of the page give: uploaded files, positions and names."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from ..errors import DataError, ParameterError
from ..images.fits import is_fits, order_bands
from ..images.sdss import sdss_cutout

MAX_IMAGES = 200  # per upload
MAX_NAME_LENGTH = 99

# The name and the image: a path, an array, a function that fetches it, or an error.
NamedImage: TypeAlias = tuple[str, Any]


def take_files(files: Sequence[str]) -> list[NamedImage]:
    """Return uploaded files with their names; FITS files are the bands of one galaxy.

    Parameters
    ----------
    files : sequence of str
        Paths of the uploaded files.
    """
    paths = [Path(file) for file in files]
    bands = [path for path in paths if is_fits(path)]
    named: list[NamedImage] = [(path.name, path) for path in paths if path not in bands]
    if bands:
        names = ", ".join(path.name for path in bands)
        named.append((names, partial(order_bands, bands)))
    if len(named) > MAX_IMAGES:
        error = DataError(
            f"{len(named)} images, expected {MAX_IMAGES} at most; use galclass predict"
        )
        return [("too many", error)]
    return named


def look_up(place: str) -> list[NamedImage]:
    """Return the galaxy in SDSS at a position or with a name; it is fetched later."""
    # A program that calls the page can send more than the text box accepts.
    place = place.strip()[:MAX_NAME_LENGTH]
    if not place:
        return []
    return [(place, partial(sdss_cutout, place))]


def refuse_addresses(file_input: Any) -> None:
    """Make Gradio's file input refuse web addresses, which Gradio would fetch.

    Parameters
    ----------
    file_input : gradio.File
    """
    move: Callable[[Any], Any] = file_input.async_move_resource_to_block_cache

    async def move_upload(path: Any) -> Any:
        if "://" in str(path):
            raise ParameterError(f"{str(path)[:MAX_NAME_LENGTH]} is an address, expected a file")
        return await move(path)

    file_input.async_move_resource_to_block_cache = move_upload
