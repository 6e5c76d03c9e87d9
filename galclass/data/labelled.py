"""Labelled galaxies of one's own: a folder for each class, or a catalogue of files and labels."""

import json
import os
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..errors import DataError
from .arrays import IMAGE_SHAPE, MOST_CLASSES, SIDES, Images
from .images import SUFFIXES, iter_prepared

CATALOGUES = (".csv", ".ecsv", ".fits", ".parquet", ".xml")
MISSING = ("", "nan", "na", "n/a", "null", "--")  # in lower case: no label, as programs write it
# SDSS has identifiers of 19 digits; as real numbers they would be others.
INTEGER = r"0|-?[1-9]\d{0,18}"
REAL = r"([+-]?(\d{1,16}\.\d*|\.\d+)|0|-?[1-9]\d{0,14})([eE][+-]?\d+)?|nan|[+-]?inf"
SHOWN = 3  # of the files that cannot be read, or rows without a label, in an error


def is_catalogue(path: Path) -> bool:
    """Whether it is a folder, or a table by its name."""
    return path.is_dir() or path.suffix.lower() in CATALOGUES


def read_labelled(
    path: Path, image_column: str, label_column: str
) -> tuple[Images, NDArray[np.uint8], tuple[str, ...], float | None]:
    """Read the images, labels and class names of a folder of folders or of a catalogue.

    Parameters
    ----------
    path, image_column, label_column
        As ``data`` and these in :func:`galclass.load_data`.

    Returns
    -------
    images : ndarray of uint8, shape (N, s, s, 3)
    labels : ndarray of uint8, shape (N,)
    class_names : tuple of str
        Sorted; integer labels by their value.
    crop : float or None
        As :class:`galclass.data.dataset.Origin` has it.

    Raises
    ------
    FileNotFoundError, DataError
        As :func:`galclass.load_data`.
    """
    if path.is_dir():
        files, texts = _list_folders(path)
    else:
        table = read_catalogue(path)
        named, texts = (read_column(table, name, path) for name in (image_column, label_column))
        files = [path.parent / os.path.expanduser(name) for name in named]
        if twice := len(files) - len(set(files)):
            warnings.warn(
                f"{path}: {twice} rows name a file that another row names; a galaxy may then be "
                "trained on and tested",
                stacklevel=3,
            )
    names = sorted(set(texts), key=_by_value)
    if not 2 <= len(names) <= MOST_CLASSES:
        found = ", ".join(names[:5]) or "none"
        raise DataError(f"{path}: {len(names)} classes ({found}), expected 2 to {MOST_CLASSES}")
    labels = np.array([names.index(text) for text in texts], np.uint8)
    size, crop = _common_size(files)
    images, broken = np.empty((len(files), *size[::-1], 3), np.uint8), []
    for number, (_, image, error) in enumerate(iter_prepared(files, crop=crop, size=size)):
        if image is None:
            broken.append(str(error))
        else:
            images[number] = image
    if broken:
        shown = "; ".join(broken[:SHOWN])
        raise DataError(f"{path}: {len(broken)} of {len(files)} images cannot be read: {shown}")
    return images, labels, tuple(names), crop


def _list_folders(path: Path) -> tuple[list[Path], list[str]]:
    """The images of each sub-folder, as torchvision's ImageFolder has them."""
    found, others = list[Path](), list[Path]()
    for one in _list_visible(path):
        inside = _list_visible(one) if one.is_dir() else [one]
        if deeper := [file for file in inside if file.is_dir()]:
            raise DataError(f"{path}: folder {deeper[0].name} within {one.name}, expected images")
        images = [file for file in inside if file.suffix.lower() in SUFFIXES]
        others += [file for file in inside if file not in images]
        if not one.is_dir() and images:
            raise DataError(f"{path}: {one.name} is in no folder, expected one for each class")
        if one.is_dir() and not images:
            raise DataError(f"{path}: folder {one.name} holds no image; remove it")
        found += images
    if not found:
        raise DataError(f"{path} holds no folder of images, expected one for each class")
    if others:
        warnings.warn(
            f"{path}: {len(others)} files are left out, which are no images by their names, such "
            f"as {others[0].name}; expected {', '.join(SUFFIXES)}",
            stacklevel=4,
        )
    return found, [one.parent.name for one in found]


def _list_visible(folder: Path) -> list[Path]:
    return sorted(one for one in folder.iterdir() if not one.name.startswith("."))


def _by_value(name: str) -> tuple[int, int, str]:
    return (0, int(name), name) if re.fullmatch(INTEGER, name) else (1, 0, name)


def read_catalogue(path: Path) -> Any:
    """Read a table that astropy knows; in CSV, what is no number as it is written stays text.

    Returns
    -------
    astropy.table.Table

    Raises
    ------
    FileNotFoundError, DataError
        There is none, or it cannot be read.
    """
    from astropy.table import Table

    if not path.exists():
        raise FileNotFoundError(f"no catalogue {path}; give the path of a table")
    try:
        if path.suffix.lower() == ".csv":
            return _read_csv(path)
        if path.suffix.lower() == ".parquet":
            return _read_parquet(path)
        ecsv = {"format": "ascii.ecsv"} if path.suffix.lower() == ".ecsv" else {}
        table = Table.read(path, **ecsv)
        table.convert_bytestring_to_unicode()  # The text of FITS.
        return table
    except Exception as error:  # Each reader raises its own kinds.
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"{path} is no table that can be read: {reason}") from error


def _read_csv(path: Path) -> Any:
    """A table whose columns are numbers where they are written so and keep their digits."""
    from astropy.io.ascii import convert_numpy
    from astropy.table import MaskedColumn, Table

    settings = {"converters": {"*": [convert_numpy(str)]}, "fill_values": []}
    table = Table.read(path, format="ascii.csv", encoding="utf-8-sig", **settings)
    for name in table.colnames:
        texts = [str(text) for text in table[name]]
        empty = [not text for text in texts]
        kinds = ((int, INTEGER), (float, REAL))
        for kind, pattern in kinds if not all(empty) else ():
            if all(re.fullmatch(pattern, text) for text in texts if text):
                values = [kind(text or 0) for text in texts]
                if kind is int and max(map(abs, values)) >= 2**63:
                    break
                table[name] = MaskedColumn(values, mask=empty) if any(empty) else values
                break
    return table


def _read_parquet(path: Path) -> Any:
    """A table of a Parquet file, with its nulls masked, which astropy reads of numbers only.

    What astropy wrote it reads itself: it has masks, and units, in a way of its own.
    """
    import pyarrow as pa
    from astropy.table import MaskedColumn, Table
    from pyarrow import parquet

    read, table = parquet.read_table(path), Table()
    written = read.schema.metadata or {}
    if b"table_meta_yaml" in written:
        return Table.read(path)
    for name in read.column_names:
        column = read[name].combine_chunks()
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        values = column.to_pylist()
        missing = [value is None for value in values]
        known = next((value for value in values if value is not None), "")
        number = pa.types.is_integer(column.type) or pa.types.is_floating(column.type)
        kind = column.type.to_pandas_dtype() if number else None
        whole = np.array([known if value is None else value for value in values], kind)
        table[name] = MaskedColumn(whole, mask=missing) if any(missing) else whole
    units = json.loads(written.get(b"units", "{}")) if b"galclass" in written else {}
    for name, unit in units.items():
        table[name].unit = unit
    return table


def read_column(table: Any, name: str, path: Any) -> list[str]:
    """The texts of a column, none of which is missing, without blanks at their ends."""
    if name not in table.colnames:
        raise DataError(f"{path} has no column {name!r}, expected one of {table.colnames}")
    values = np.ma.asarray(table[name])
    texts = [
        one.decode("utf-8", "replace") if isinstance(one, bytes) else str(one) for one in values
    ]
    texts = [text.strip() for text in texts]
    missing = np.ma.getmaskarray(values) | np.isin([text.lower() for text in texts], MISSING)
    if missing.any():
        rows = np.flatnonzero(missing)
        shown = ", ".join(map(str, rows[:SHOWN]))
        raise DataError(f"{path}: column {name!r} is empty in {len(rows)} rows ({shown} ...)")
    if values.dtype.kind == "f":
        raise DataError(f"{path}: column {name!r} is {values.dtype}, expected text or integers")
    return texts


def _common_size(files: list[Path]) -> tuple[tuple[int, int], float | None]:
    """The size that all files have, if it is one to train on as it is; else Galaxy10's; a crop."""
    sizes = set()
    for file in files:
        try:
            with Image.open(file) as image:
                sizes.add(image.size)
        except Exception:  # Whatever is wrong, reading it says so.
            continue
    width, height = next(iter(sizes)) if len(sizes) == 1 else (0, 1)
    if width == height and SIDES[0] <= width <= SIDES[1]:
        return (width, height), None if width == IMAGE_SHAPE[0] else 1.0
    if sizes:
        shown = ", ".join(f"{width} x {height}" for width, height in sorted(sizes)[:SHOWN])
        warnings.warn(
            f"images of {len(sizes)} sizes ({shown} ...), expected one, square and of "
            f"{SIDES[0]} to {SIDES[1]} pixels: all are cropped and scaled to 69 x 69 pixels as "
            "Galaxy10's were, see prepare",
            stacklevel=4,
        )
    return IMAGE_SHAPE[1::-1], None
