"""Catalogues: their images in, their rows with the classes out."""

import tempfile
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data.sdss import sdss_cutout
from ..errors import DataError
from .table import write_table

if TYPE_CHECKING:
    from astropy.table import Table


def list_rows(
    catalogue: "Table", image_column: str, folder: Path | None
) -> list[tuple[str, Path | DataError | Callable[[], Path]]]:
    """A name and an image for each row, or what fetches it, or why there is none.

    Parameters
    ----------
    catalogue : astropy.table.Table
        With a column of image files; or, without it, with ``ra`` and ``dec``, in degrees or with a
        unit, for the cutouts of SDSS.
    image_column : str
        Where it is not the default, "image", there must be such a column.
    folder : pathlib.Path, optional
        What the files' names are relative to. Default: the working directory.

    Raises
    ------
    DataError
        No such columns, or no row.
    """
    names = {name.lower(): name for name in catalogue.colnames}
    if not len(catalogue):
        raise DataError("the catalogue has no row, expected at least one")
    if image_column in catalogue.colnames:
        return [_file(row, value, folder) for row, value in enumerate(catalogue[image_column])]
    if image_column != "image" or not {"ra", "dec"} <= names.keys():
        found = f"columns {catalogue.colnames}"
        other = ", or ra and dec" if image_column == "image" else ""
        raise DataError(f"{found}, expected {image_column!r} with image files{other}")
    positions = [_degrees(catalogue[names[name]]) for name in ("ra", "dec")]
    return [_position(row, *position) for row, position in enumerate(zip(*positions, strict=True))]


def _file(row: int, value: Any, folder: Path | None) -> tuple[str, Path | DataError]:
    value = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    if np.ma.is_masked(value) or not str(value).strip():
        return f"row {row}", DataError("no image file is named, expected one")
    path = Path(str(value).strip()).expanduser()
    return str(value).strip(), path if folder is None else folder / path


def _degrees(column: Any) -> list[float]:
    from astropy import units

    try:
        values = np.ma.filled(np.ma.asarray(getattr(column, "value", column), float), np.nan)
        return units.Quantity(values, column.unit or units.deg).to_value(units.deg).tolist()
    except (TypeError, ValueError) as error:  # Text, or a unit that is unknown or of no angle.
        found = f"{column.info.name} of {column.dtype} in {column.unit}"
        raise DataError(f"{found}, expected numbers, in degrees or with their unit") from error


def _position(row: int, ra: float, dec: float) -> tuple[str, Any]:
    name = f"row {row}, RA {ra:.5f}, Dec {dec:+.5f}"
    if not (0 <= ra <= 360 and -90 <= dec <= 90):
        return name, DataError("expected RA 0 to 360 and Dec -90 to 90 degrees")
    return name, partial(sdss_cutout, ra, dec)


def join(catalogue: "Table", classes: "Table") -> "Table":
    """The catalogue's rows with the columns of their classes, and the metadata of both."""
    joined = catalogue.copy()
    for name in classes.colnames:
        joined[name] = classes[name]
    joined.meta = {**catalogue.meta, **classes.meta}
    both = catalogue.meta.keys() & classes.meta.keys()
    if lost := sorted(key for key in both if str(catalogue.meta[key]) != str(classes.meta[key])):
        warnings.warn(f"metadata of the catalogue are replaced: {lost}", stacklevel=3)
    return joined


def check_writable(catalogue: "Table", suffix: str) -> None:
    """Refuse a catalogue, before the work, that a format of tables cannot hold.

    Raises
    ------
    DataError
        What is wrong, in the words of the library that would write it.
    """
    with tempfile.TemporaryDirectory() as folder:
        try:
            write_table(catalogue, Path(folder) / f"trial{suffix}")
        except Exception as error:  # Each writer raises its own kinds.
            reason = " ".join(str(error).split())[:200]
            other = {".parquet": "", ".ecsv": ", or choose .xml"}.get(suffix, ", or choose .ecsv")
            how = f"leave columns out{other}"
            raise DataError(
                f"the catalogue cannot be written as {suffix}: {reason}; {how}"
            ) from error


def check_columns(catalogue: "Table", added: list[str]) -> None:
    """Refuse a catalogue, before the work, that has columns of the names to be added.

    In capitals as well: FITS does not tell them apart.
    """
    if taken := [name for name in catalogue.colnames if name.lower() in added]:
        raise DataError(f"the catalogue has columns {taken}, which are added; rename them first")
