"""Sources of many images, divided into parts that can be read one by one."""

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import h5py

from ..data.arrays import check_integer
from ..data.galaxy10 import count_images
from ..data.images import SIZE, Prepared, list_images, prepare_named
from ..data.labelled import CATALOGUES, is_catalogue, read_catalogue
from ..errors import DataError
from ..files import PathLike
from .catalogue import list_rows
from .table import require_pyarrow

if TYPE_CHECKING:
    from astropy.table import Table

PART_ROWS = 1000
HDF5_SUFFIXES = (".h5", ".hdf5")
PARQUET_COLUMNS = ("id", "image")
PARQUET_ROWS_AT_A_TIME = 64
# h5py's own chunks hold a sliver of each of a thousand images: a row alone would unpack them all.
HDF5_ROWS_AT_A_TIME = 1024


class Part(NamedTuple):
    """Consecutive images of a source.

    Parameters
    ----------
    number : int
        From 0, in the order of the source.
    path : str
        A Parquet or HDF5 file, a directory of images or a catalogue.
    start, stop : int
        The part's rows of the file, or of the directory's images sorted by name: from `start`
        up to but not including `stop`.
    names : tuple of str
        Of a directory's images, else empty.
    named : tuple
        Of the rows of a catalogue, names and images as ``list_rows`` gives them, else empty.
    rows : astropy.table.Table or None
        These rows.
    """

    number: int
    path: str
    start: int
    stop: int
    names: tuple = ()
    named: tuple = ()
    rows: "Table | None" = None


def is_source(source: PathLike) -> bool:
    """Whether it is the path of a directory, or of a Parquet or HDF5 file, by its name."""
    path = Path(source).expanduser()
    return path.is_dir() or path.suffix.lower() in (".parquet", *HDF5_SUFFIXES)


def list_parts(
    source: PathLike, *, rows: int = PART_ROWS, image_column: str = "image"
) -> list[Part]:
    """Divide a source into parts, none of which reaches over the end of a file.

    Parameters
    ----------
    source : str or path-like
        A directory of images; a Parquet file or a directory of them, with the columns ``id``
        (text or integer) and ``image`` (binary: the content of an image file); an HDF5
        file in Galaxy10's layout, whose ``images`` are taken; or a catalogue in CSV, ECSV, FITS
        or VOTable, see :func:`galclass.prediction.catalogue.list_rows`.
    rows : int, default 1000
        Images in a part; the last one of a file may have fewer.
    image_column : str, default "image"
        Of a catalogue: its column of image files, relative to its folder.

    Returns
    -------
    list of Part

    Raises
    ------
    FileNotFoundError
        `source` does not exist.
    DataError
        It is none of these, has other columns, or holds no image.
    MissingPackageError
        The source is Parquet, and pyarrow is not installed.
    ParameterError
        `rows` is less than 1.
    """
    rows = check_integer(rows, "part_rows", 1)
    path = Path(source).expanduser()
    if not path.exists() or not os.fspath(source):
        raise FileNotFoundError(f"no file or directory {source!s}; give the path of a source")
    files, names, catalogue = [path], tuple[str, ...](), None
    if path.is_dir():
        # A name that begins with a dot or _ is no part of a Parquet data set.
        files = sorted(file for file in path.glob("*.parquet") if file.name[0] not in "._")
        if not files:
            files, names = [path], tuple(file.name for file in list_images(path))
    if names:
        counts = [len(names)]
    elif files[0].suffix.lower() in HDF5_SUFFIXES:
        counts = [count_images(path)]
    elif files[0].suffix.lower() == ".parquet":
        require_pyarrow(path)
        counts = [_count_rows(file) for file in files]
    elif is_catalogue(path):
        # Once, for all parts, whatever becomes of the file meanwhile.
        catalogue = read_catalogue(path)
        named = list_rows(catalogue, image_column, path.parent)
        counts = [len(named)]
    else:
        raise DataError(
            f"{path}: expected a directory of images or of Parquet files, or a file named "
            f"*.parquet or *{' or *'.join(HDF5_SUFFIXES)}, or a catalogue: "
            f"*{', *'.join(CATALOGUES)}"
        )
    if not sum(counts):
        raise DataError(f"{path} holds no image, expected at least one")
    parts = []
    for file, count in zip(files, counts, strict=True):
        for start in range(0, count, rows):
            stop = min(start + rows, count)
            part = Part(len(parts), str(file), start, stop, names[start:stop])
            if catalogue is not None:
                part = part._replace(named=tuple(named[start:stop]), rows=catalogue[start:stop])
            parts.append(part)
    return parts


def count_rows(parts: Iterable[Part]) -> int:
    """Number of images in parts."""
    return sum(part.stop - part.start for part in parts)


def iter_part(
    part: Part,
    *,
    crop: float | None = None,
    size: tuple[int, int] = SIZE,
    threads: int | None = None,
) -> Iterator[Prepared]:
    """Prepare the images of a part, as :func:`galclass.data.images.prepare_named` does.

    Yields
    ------
    source : str or int
        The path of an image, the ``id`` of a row of Parquet, or ``"FILE[17]"`` for the image
        at index 17 of an HDF5 file.
    image : ndarray of uint8, shape (height, width, 3), or None
    error : DataError, OSError or None

    Raises
    ------
    DataError
        A Parquet file is damaged, so that its further rows cannot be told apart.
    """
    path = Path(part.path)
    if part.named:
        named = iter(part.named)
    elif part.names:
        named = ((str(path / name), path / name) for name in part.names)
    elif path.suffix.lower() in HDF5_SUFFIXES:
        named = _read_hdf5(part)
    else:
        named = _read_parquet(part)
    return prepare_named(named, crop=crop, size=size, threads=threads)


def _count_rows(path: Path) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            found = {field.name: field.type for field in file.schema_arrow}
            rows = file.metadata.num_rows
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} is no whole Parquet file ({error}); copy it again") from error
    name, image = (found.get(column, pa.null()) for column in PARQUET_COLUMNS)
    named = pa.types.is_integer(name) or name in (pa.string(), pa.large_string())
    if not (named and image in (pa.binary(), pa.large_binary())):
        columns = ", ".join(f"{column} ({kind})" for column, kind in found.items())
        raise DataError(
            f"{path} has the columns {columns}; expected 'id' (text or integer) and 'image' "
            "(binary, the content of a JPEG, PNG, TIFF, WebP or GIF file), or a catalogue as CSV, "
            "ECSV, FITS or VOTable"
        )
    return rows


def _read_parquet(part: Part) -> Iterator[tuple[Any, Any]]:
    """Names and encoded images of the rows of a part."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        # Through a buffer, since a row group may be larger than the memory.
        with pq.ParquetFile(part.path, buffer_size=1 << 20) as file:
            end, groups = 0, {}
            for group in range(file.num_row_groups):
                start, end = end, end + file.metadata.row_group(group).num_rows
                if end > part.start and start < part.stop:
                    groups[group] = start
            row = min(groups.values())
            for batch in file.iter_batches(PARQUET_ROWS_AT_A_TIME, [*groups], [*PARQUET_COLUMNS]):
                for name, image in zip(batch["id"], batch["image"], strict=True):
                    if part.start <= row < part.stop:
                        place = f"{part.path}[{row}]"
                        # A null among integers stays one, so that all parts have one type.
                        null = None if pa.types.is_integer(name.type) else place
                        source = name.as_py() if name.is_valid else null
                        if source is not None and null is None:  # Of the column's own type.
                            source = name.type.to_pandas_dtype()(source)
                        yield source, image.as_py() or DataError(f"{place} has no image")
                    row += 1
                if row >= part.stop:
                    return
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{part.path} is damaged ({error}); copy it again") from error


def _read_hdf5(part: Part) -> Iterator[tuple[str, Any]]:
    """Names and images of the rows of a part."""
    with h5py.File(part.path, "r") as file:
        images = file["images"]
        for start in range(part.start, part.stop, HDF5_ROWS_AT_A_TIME):
            stop = min(start + HDF5_ROWS_AT_A_TIME, part.stop)
            try:
                block = images[start:stop]
            except OSError:  # Of some of the rows.
                block = None
            for row in range(start, stop):
                source = f"{part.path}[{row}]"
                try:
                    yield source, images[row] if block is None else block[row - start]
                except OSError as error:
                    yield source, DataError(f"{source} is damaged ({error}); copy the file again")


def fingerprint(parts: Iterable[Part]) -> str:
    """Hash of names, sizes and times of change of the files; their content would take too long."""
    digest = hashlib.sha256()
    for path in dict.fromkeys(path for part in parts for path in _files(part)):
        try:
            found = os.stat(path) if os.path.exists(path) else os.lstat(path)
            known = f"{path} {found.st_size} {found.st_mtime_ns}\n"
        except (OSError, ValueError):  # No file: a row with its error.
            known = f"{path} is missing\n"
        digest.update(known.encode("utf-8", "replace"))
    return digest.hexdigest()


def _files(part: Part) -> list[str]:
    if part.named:
        return [part.path, *(str(image) for _, image in part.named if isinstance(image, Path))]
    return [os.path.join(part.path, name) for name in part.names] or [part.path]
