"""Labelled galaxies of one's own: a folder for each class, or a catalogue of files and labels."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..errors import DataError
from .arrays import IMAGE_SHAPE, SIDES, Images
from .images import SUFFIXES, iter_prepared

CATALOGUES = (".csv", ".ecsv", ".fits", ".parquet", ".xml")
SHOWN = 3  # of the files that cannot be read, or rows without a label, in an error


def is_catalogue(path: Path) -> bool:
    """Whether it is a folder, or a table by its name."""
    return path.is_dir() or path.suffix.lower() in CATALOGUES


def read_labelled(
    path: Path, image_column: str, label_column: str
) -> tuple[Images, NDArray[np.uint8], tuple[str, ...]]:
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

    Raises
    ------
    FileNotFoundError, DataError
        As :func:`galclass.load_data`.
    """
    if path.is_dir():
        files, texts = _list_folders(path)
    else:
        files, texts = _list_catalogue(path, image_column, label_column)
    names = sorted(set(texts), key=lambda name: (len(name) if name.isdigit() else 0, name))
    if not 2 <= len(names) <= 256:
        found = ", ".join(names[:5]) or "none"
        raise DataError(f"{path}: {len(names)} classes ({found}), expected 2 to 256")
    labels = np.array([names.index(text) for text in texts], np.uint8)
    size = _common_size(files)
    images, broken = np.empty((len(files), *size[::-1], 3), np.uint8), []
    for number, (_, image, error) in enumerate(iter_prepared(files, size=size)):
        if image is None:
            broken.append(str(error))
        else:
            images[number] = image
    if broken:
        shown = "; ".join(broken[:SHOWN])
        raise DataError(f"{path}: {len(broken)} of {len(files)} images cannot be read: {shown}")
    return images, labels, tuple(names)


def _list_folders(path: Path) -> tuple[list[Path], list[str]]:
    """The images of each sub-folder, as torchvision's ImageFolder has them."""
    found = sorted(one for one in path.glob("*/*") if one.suffix.lower() in SUFFIXES)
    found = [one for one in found if not any(part.startswith(".") for part in one.parts[-2:])]
    if not found:
        raise DataError(f"{path} holds no folder of images, expected one for each class")
    return found, [one.parent.name for one in found]


def _list_catalogue(path: Path, *columns: str) -> tuple[list[Path], list[str]]:
    files, labels = (read_column(read_catalogue(path), name, path) for name in columns)
    folder = path.parent
    return [folder / os.path.expanduser(str(file)) for file in files], [str(one) for one in labels]


def read_catalogue(path: Path) -> Any:
    """Read a table that astropy knows.

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
        if path.suffix.lower() in (".csv", ".ecsv"):
            return Table.read(path, format=f"ascii.{path.suffix.lower()[1:]}")
        return Table.read(path)
    except Exception as error:  # Each reader raises its own kinds.
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"{path} is no table that can be read: {reason}") from error


def read_column(table: Any, name: str, path: Any) -> Iterable[Any]:
    """The values of a column, none of which is missing; text without blanks at its ends."""
    if name not in table.colnames:
        raise DataError(f"{path} has no column {name!r}, expected one of {table.colnames}")
    values = np.ma.asarray(table[name])
    texts = [str(value).strip() for value in values.filled().tolist()]
    if values.dtype.kind == "S":
        texts = [value.decode("utf-8", "replace").strip() for value in values.filled("").tolist()]
    missing = np.ma.getmaskarray(values) | (np.array(texts) == "")
    if missing.any():
        rows = np.flatnonzero(missing)
        shown = ", ".join(map(str, rows[:SHOWN]))
        raise DataError(f"{path}: column {name!r} is empty in {len(rows)} rows ({shown} ...)")
    if values.dtype.kind == "f":
        raise DataError(f"{path}: column {name!r} is {values.dtype}, expected text or integers")
    return texts


def _common_size(files: list[Path]) -> tuple[int, int]:
    """The size that all files have, if it is one to train on as it is; else Galaxy10's."""
    sizes = set()
    for file in files:
        try:
            with Image.open(file) as image:
                sizes.add(image.size)
        except Exception:  # Whatever is wrong, reading it says so.
            continue
    width, height = sizes.pop() if len(sizes) == 1 else (0, 1)
    fits = width == height and SIDES[0] <= width <= SIDES[1]
    return (width, height) if fits else IMAGE_SHAPE[1::-1]
