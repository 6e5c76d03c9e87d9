"""Read catalogues: tables of image files, or of positions on the sky."""

import os
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from astropy import units
from astropy.table import MaskedColumn, Table

from ..errors import DataError, MissingPackageError
from ..files import PathLike
from .prepare import Row
from .sdss import sdss_cutout

CATALOGUES = (".csv", ".ecsv", ".fits", ".parquet", ".xml")
MISSING = ("", "nan", "na", "n/a", "null", "--")  # missing values, in lower case
SHOWN = 3  # rows in an error message


def is_catalogue(path: Path) -> bool:
    """Return True if a path has the suffix of a table."""
    return path.suffix.lower() in CATALOGUES


def read_catalogue(path: Path) -> Table:
    """Read a catalogue in CSV, ECSV, FITS, Parquet or VOTable (``.xml``).

    Integers keep all their digits, and missing values are masked. In CSV, a column with integers
    that are not written as usual, such as ``007``, is text. Dates of Parquet become text.

    Parameters
    ----------
    path : pathlib.Path

    Returns
    -------
    astropy.table.Table

    Raises
    ------
    FileNotFoundError, DataError, MissingPackageError
        The file does not exist or cannot be read, or it is Parquet and pyarrow is not installed.
    """
    if not path.exists():
        raise FileNotFoundError(f"no catalogue {path}; give the path of a table")
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        require_pyarrow(path)
    try:
        if suffix == ".csv":
            table = _read_csv(path)
        elif suffix == ".ecsv":
            table = Table.read(path, format="ascii.ecsv")
        elif suffix == ".parquet":
            table = _read_parquet(path)
        elif suffix == ".xml":
            table = _read_votable(path)
        else:
            table = Table.read(path)
            table.convert_bytestring_to_unicode()
    except Exception as error:  # Each reader raises its own types.
        reason = " ".join(str(error).split())[:200]
        expected = "a table"
        if suffix == ".fits":
            expected = "a table; give FITS images as a tuple (g, r, i)"
        raise DataError(f"{path} cannot be read: {reason}; expected {expected}") from error
    return table


def require_pyarrow(path: PathLike) -> None:
    """Raise an error that explains how to install pyarrow if it is missing.

    Parameters
    ----------
    path : str or path-like
        The Parquet file to read or write, for the error message.
    """
    try:
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise MissingPackageError(
            f"{path}: Parquet needs pyarrow; pip install pyarrow, or use another format"
        ) from error


def _read_csv(path: Path) -> Table:
    settings = {"format": "ascii.csv", "encoding": "utf-8-sig"}
    table = Table.read(path, **settings)
    texts = Table.read(path, **settings, converters={"*": str})
    for name in table.colnames:
        if table[name].dtype.kind == "i":
            has_changed = table[name].astype(str) != texts[name]
            if np.ma.filled(has_changed, False).any():
                table[name] = texts[name]
    return table


def _read_votable(path: Path) -> Table:
    table = Table.read(path, format="votable")
    for name in table.colnames:
        # Text of variable length is read as objects.
        if table[name].dtype.kind == "O" and all(isinstance(value, str) for value in table[name]):
            table[name] = table[name].astype(str)
    return table


def _read_parquet(path: Path) -> Table:
    from pyarrow import parquet

    content = parquet.read_table(path)
    if b"table_meta_yaml" in (content.schema.metadata or {}):
        return Table.read(path)  # Written by astropy, which stores masks and units its own way.
    return Table({name: _to_column(content[name]) for name in content.column_names})


def _to_column(values: Any) -> MaskedColumn | list[Any]:
    """Return a column of pyarrow as astropy's Table takes it, with nulls masked."""
    import pyarrow as pa

    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    if pa.types.is_temporal(values.type):
        values = values.cast(pa.string())
    if pa.types.is_integer(values.type):  # A list would lose digits of large unsigned integers.
        return MaskedColumn(values.fill_null(0).to_numpy(), mask=values.is_null().to_numpy())
    return [np.ma.masked if value is None else value for value in values.to_pylist()]


def read_column(table: Table, name: str, path: Path) -> list[str]:
    """Return a column as stripped strings.

    Parameters
    ----------
    table : astropy.table.Table
    name : str
        Name of the column.
    path : pathlib.Path
        The file of the table, for error messages.

    Raises
    ------
    DataError
        The column does not exist, a value is missing, or the values are neither text nor integers.
    """
    if name not in table.colnames:
        raise DataError(f"{path} has no column {name!r}, expected one of {table.colnames}")
    values = np.ma.asarray(table[name])
    texts = [str(value).strip() for value in values]
    is_missing = np.ma.getmaskarray(values) | np.isin([text.lower() for text in texts], MISSING)
    if is_missing.any():
        rows = np.flatnonzero(is_missing)
        shown = ", ".join(map(str, rows[:SHOWN]))
        if len(rows) > SHOWN:
            shown += " ..."
        raise DataError(
            f"{path}: column {name!r} is empty in {len(rows)} rows ({shown}); fill it, or leave "
            "these rows out"
        )
    if values.dtype.kind == "f":
        raise DataError(f"{path}: column {name!r} is {values.dtype}, expected text or integers")
    return texts


def list_rows(catalogue: Table, image_column: str, folder: Path | None) -> list[Row]:
    """List the images of a catalogue, one per row.

    Parameters
    ----------
    catalogue : astropy.table.Table
        With a column of image files; or, without it, with columns ``ra`` and ``dec`` (ICRS, in
        degrees or with a unit), for cutouts of SDSS.
    image_column : str
        Name of the column of image files. If the column is given, it must exist; only the default,
        ``"image"``, falls back to ``ra`` and ``dec``.
    folder : pathlib.Path or None
        The file names are relative to it. None: the working directory.

    Returns
    -------
    list of tuple
        See :data:`galclass.images.prepare.Row`.

    Raises
    ------
    DataError
        The catalogue does not have these columns, or has no rows.
    """
    if len(catalogue) == 0:
        raise DataError("the catalogue has no rows, expected one or more")
    if image_column in catalogue.colnames:
        return [_file_row(row, name, folder) for row, name in enumerate(catalogue[image_column])]
    names = {name.lower(): name for name in catalogue.colnames}
    expected = f"{image_column!r} with image files"
    if image_column == "image":
        if "ra" in names and "dec" in names:
            right_ascensions = _to_degrees(catalogue[names["ra"]])
            declinations = _to_degrees(catalogue[names["dec"]])
            positions = zip(right_ascensions, declinations, strict=True)
            return [_position_row(row, ra, dec) for row, (ra, dec) in enumerate(positions)]
        expected += ", or ra and dec"
    raise DataError(f"the catalogue has columns {catalogue.colnames}, expected {expected}")


def _file_row(row: int, name: Any, folder: Path | None) -> Row:
    text = str(name).strip()
    if np.ma.is_masked(name) or text.lower() in MISSING:
        return f"row {row}", DataError("no image file is given, expected one")
    path = Path(os.path.expanduser(text))
    if folder is not None:
        path = folder / path
    return text, path


def _position_row(row: int, ra: float, dec: float) -> Row:
    source = f"row {row}, RA {ra:.5f}, Dec {dec:+.5f}"
    if not (0 <= ra <= 360 and -90 <= dec <= 90):
        return source, DataError("not a position; expected RA 0 to 360 and Dec -90 to 90 degrees")
    return source, partial(sdss_cutout, ra, dec)


def _to_degrees(column: Any) -> list[float]:
    try:
        values = np.ma.asarray(getattr(column, "value", column), float)  # A Quantity has a value.
        angles = units.Quantity(np.ma.filled(values, np.nan), column.unit or units.deg)
        return angles.to_value(units.deg).tolist()
    except (TypeError, ValueError) as error:  # Text, or a unit that is not an angle.
        raise DataError(
            f"column {column.info.name} of {column.dtype} in {column.unit}, expected numbers in "
            "degrees, or with the unit of an angle"
        ) from error
