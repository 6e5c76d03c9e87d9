"""Read labelled images: a folder per class, or a catalogue of files and labels."""

import os
import re
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from ..data.arrays import MAX_CLASSES, MAX_SIDE, MIN_SIDE, Images
from ..data.dataset import Dataset, Origin
from ..data.galaxy10 import IMAGE_SHAPE
from ..errors import DataError
from .catalogue import read_catalogue, read_column
from .prepare import DEFAULT_CROP, SUFFIXES, Framing, iter_prepared

SHOWN = 3  # files, sizes or errors in a message


def read_labelled(
    path: Path, *, image_column: str = "image", label_column: str = "label"
) -> Dataset:
    """Read labelled images from a folder with a folder per class, or from a catalogue.

    Parameters
    ----------
    path : pathlib.Path
        The folder, or the catalogue; file names in it are relative to its folder.
    image_column, label_column : str, default "image" and "label"
        Columns of the catalogue.

    Returns
    -------
    Dataset
        The class names are sorted; integers by their value. Images that are all square and of one
        size, from 32 to 256 pixels, are taken as they are (the crop of the origin is None);
        otherwise all become 69 x 69 pixels as in :func:`galclass.prepare`.

    Raises
    ------
    FileNotFoundError, DataError
        The catalogue or a column is missing, a row has no label, an image cannot be read, there
        are fewer than two classes, or the folder does not hold one folder of images per class.
    MissingPackageError
        The catalogue is Parquet and pyarrow is not installed.

    Warns
    -----
    UserWarning
        Images are cropped and scaled; a file is listed twice; files in a folder are left out.
    """
    if path.is_dir():
        files = _list_folders(path)
        texts = [file.parent.name for file in files]
    else:
        table = read_catalogue(path)
        files = [
            path.parent / os.path.expanduser(name)
            for name in read_column(table, image_column, path)
        ]
        texts = read_column(table, label_column, path)
        _warn_of_repeated(path, files)
    names = _sort_classes(path, texts)
    labels = np.array([names.index(text) for text in texts], np.uint8)
    framing = _choose_framing(path, files)
    images = _read_images(path, files, framing)
    name = path.resolve().name
    origin = replace(
        Origin.of_arrays(images, labels, names),
        kind="file",
        title=f"Galaxies of {name}",
        name=name,
        crop=framing.crop,
    )
    return Dataset(images, labels, origin)


def _list_folders(path: Path) -> list[Path]:
    """Return the images of all folders in a folder."""
    images: list[Path] = []
    others: list[Path] = []
    for entry in _list_visible(path):
        if entry.is_dir():
            class_images, class_others = _list_class(path, entry)
            images += class_images
            others += class_others
        elif _is_image(entry):
            raise DataError(
                f"{path}: {entry.name} is not in a folder, expected one folder per class; move it"
            )
        else:
            others.append(entry)
    if not images:
        raise DataError(f"{path} holds no folder of images, expected one folder per class")
    if others:
        warnings.warn(
            f"{path}: {len(others)} files are left out because of their names, such as "
            f"{others[0].name}; expected {', '.join(SUFFIXES)}",
            stacklevel=4,
        )
    return images


def _list_class(path: Path, folder: Path) -> tuple[list[Path], list[Path]]:
    """Return the images of one class, and the other files in its folder."""
    images = []
    others = []
    for entry in _list_visible(folder):
        if entry.is_dir():
            raise DataError(
                f"{path}: there is a folder {entry.name} in {folder.name}, expected images; move it"
            )
        if _is_image(entry):
            images.append(entry)
        else:
            others.append(entry)
    if not images:
        raise DataError(f"{path}: folder {folder.name} holds no image, expected some; remove it")
    return images, others


def _list_visible(folder: Path) -> list[Path]:
    return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES


def _warn_of_repeated(path: Path, files: Sequence[Path]) -> None:
    repeated = len(files) - len(set(files))
    if repeated:
        warnings.warn(
            f"{path}: {repeated} rows name a file that another row names; the same galaxy may be "
            "in the training set and in the test set",
            stacklevel=4,
        )


def _sort_classes(path: Path, texts: Sequence[str]) -> list[str]:
    names = sorted(set(texts), key=_sort_key)
    if not 2 <= len(names) <= MAX_CLASSES:
        raise DataError(
            f"{path}: {len(names)} classes ({', '.join(names[:SHOWN])}), expected 2 to "
            f"{MAX_CLASSES}; give labels of at least two classes"
        )
    return names


def _sort_key(name: str) -> tuple[int, int, str]:
    """Return a key that sorts integers by value, before all other names."""
    if re.fullmatch(r"0|-?[1-9]\d*", name):
        return 0, int(name), name
    return 1, 0, name


def _choose_framing(path: Path, files: Sequence[Path]) -> Framing:
    """Leave images of one suitable size as they are, or crop and scale as in Galaxy10."""
    sizes = set()
    for file in files:
        try:
            with Image.open(file) as image:
                sizes.add(image.size)
        except Exception:  # Whatever is wrong, reading the image reports it.
            continue
    if len(sizes) == 1:
        width, height = next(iter(sizes))
        if width == height and MIN_SIDE <= width <= MAX_SIDE:
            return Framing(width, None)
    if sizes:
        shown = ", ".join(f"{width} x {height}" for width, height in sorted(sizes)[:SHOWN])
        if len(sizes) > SHOWN:
            shown += " ..."
        warnings.warn(
            f"{path}: images of {shown} pixels, expected one square size of {MIN_SIDE} to "
            f"{MAX_SIDE} pixels. All are cropped and scaled to 69 x 69 pixels as in Galaxy10; see "
            "galclass.prepare",
            stacklevel=4,
        )
    return Framing(IMAGE_SHAPE[0], DEFAULT_CROP)


def _read_images(path: Path, files: Sequence[Path], framing: Framing) -> Images:
    images = np.empty((len(files), framing.side, framing.side, 3), np.uint8)
    errors = []
    for number, (_, image, error) in enumerate(iter_prepared(files, framing)):
        if image is None:
            errors.append(str(error))
        else:
            images[number] = image
    if errors:
        raise DataError(
            f"{path}: {len(errors)} of {len(files)} images cannot be read: "
            f"{'; '.join(errors[:SHOWN])}"
        )
    return images
