"""Sources of images: arrays and files, folders, catalogues, Parquet and HDF5 files.

A source lists images without decoding them. Large sources are divided into parts, which are
sources as well: small enough to send to another process, which reads the images.
"""

import os
from collections.abc import Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from astropy.table import Table

from ..data.arrays import check_images
from ..data.galaxy10 import open_galaxy10
from ..errors import DataError, ParameterError
from ..files import PathLike
from ..images.catalogue import is_catalogue, list_rows, read_catalogue, require_pyarrow
from ..images.prepare import ImageOrImages, Row, expand_path, list_images, name_source

HDF5_SUFFIXES = (".h5", ".hdf5")
PARQUET_ROWS_AT_A_TIME = 64
# An HDF5 chunk spans many images: reading one row would decompress the whole chunk, so blocks are
# read.
HDF5_ROWS_AT_A_TIME = 1024


class Source:
    """Images to classify, in order.

    Attributes
    ----------
    total : int or None
        Number of images, None if it is not known.
    catalogue : astropy.table.Table or None
        One row per image, to put before its predictions.
    """

    total: int | None
    catalogue: Table | None = None

    def rows(self) -> Iterable[Row]:
        """Return the name and the image of each row."""
        raise NotImplementedError

    def parts(self, size: int) -> Sequence["Listed | FileRows"]:
        """Divide the source into sources of at most `size` images; no part spans two files."""
        raise NotImplementedError

    def files(self) -> Sequence[Path]:
        """Return the files that the images are read from."""
        raise NotImplementedError


@dataclass(frozen=True)
class InMemory(Source):
    """Images that the caller gives as Python objects, which are never divided into parts.

    An iterator of images can be read once.
    """

    images: Iterable[Any]
    total: int | None

    def rows(self) -> Iterator[Row]:
        for number, image in enumerate(self.images):
            yield name_source(number, image), image


@dataclass(frozen=True)
class Listed(Source):
    """Image files or positions, and the rows of their catalogue."""

    named: Sequence[Row]
    total: int
    catalogue: Table | None = None

    def rows(self) -> Sequence[Row]:
        return self.named

    def parts(self, size: int) -> list["Listed"]:
        if any(callable(image) for _, image in self.named):
            raise ParameterError(
                "a survey takes a catalogue of image files, and this one has positions; use "
                "galclass.predict, which fetches their images"
            )
        parts = []
        for start, stop in _ranges(0, self.total, size):
            rows = None
            if self.catalogue is not None:
                rows = self.catalogue[start:stop]
            parts.append(Listed(self.named[start:stop], stop - start, rows))
        return parts

    def files(self) -> list[Path]:
        return [image for _, image in self.named if isinstance(image, Path)]


@dataclass(frozen=True)
class FileRows(Source):
    """A number of rows of a file, from `start`."""

    path: Path
    start: int
    total: int

    @property
    def stop(self) -> int:
        """int : the row after the last one."""
        return self.start + self.total

    def parts(self, size: int) -> list["FileRows"]:
        ranges = _ranges(self.start, self.stop, size)
        return [replace(self, start=start, total=stop - start) for start, stop in ranges]

    def files(self) -> list[Path]:
        return [self.path]


class Hdf5Rows(FileRows):
    """Rows of the column ``images`` of an HDF5 file."""

    def rows(self) -> Iterator[Row]:
        with open_galaxy10(self.path, "images") as file:
            for start, stop in _ranges(self.start, self.stop, HDF5_ROWS_AT_A_TIME):
                block = self._read_block(file["images"], start, stop)
                for row, image in zip(range(start, stop), block, strict=True):
                    yield f"{self.path}[{row}]", image

    def _read_block(self, images: h5py.Dataset, start: int, stop: int) -> Iterable[Any]:
        try:
            return images[start:stop]
        except OSError:  # Some rows are damaged.
            return [self._read_row(images, row) for row in range(start, stop)]

    def _read_row(self, images: h5py.Dataset, row: int) -> Any:
        try:
            return images[row]
        except OSError as error:
            return DataError(f"{self.path}[{row}] is damaged ({error}); copy the file again")


class ParquetRows(FileRows):
    """Rows of a Parquet file with the columns ``id`` and ``image``."""

    def rows(self) -> Iterator[Row]:
        import pyarrow as pa
        from pyarrow import parquet

        try:
            # A buffer, because a row group may be larger than the memory.
            with parquet.ParquetFile(self.path, buffer_size=1 << 20) as file:
                # Only the row groups that hold the rows are read; the first one may begin earlier.
                sizes = [file.metadata.row_group(g).num_rows for g in range(file.num_row_groups)]
                starts = np.cumsum([0, *sizes])
                limits = [self.start, self.stop - 1]
                first, last = np.searchsorted(starts, limits, side="right") - 1
                groups = list(range(first, last + 1))
                row = int(starts[first])
                for batch in file.iter_batches(PARQUET_ROWS_AT_A_TIME, groups, ["id", "image"]):
                    for name, image in zip(batch["id"], batch["image"], strict=True):
                        if self.start <= row < self.stop:
                            yield self._read_row(row, name, image)
                        row += 1
                    if row >= self.stop:
                        return
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{self.path} is damaged ({error}); copy it again") from error

    def _read_row(self, row: int, name: Any, image: Any) -> Row:
        import pyarrow as pa

        place = f"{self.path}[{row}]"
        content = image.as_py() or DataError(f"{place} has no image")
        source = name.as_py()
        if isinstance(source, int):
            # Keep the type of the column, so that the files of all parts have the same type.
            source = name.type.to_pandas_dtype()(source)
        if source is None and not pa.types.is_integer(name.type):
            source = place
        return source, content


@dataclass(frozen=True)
class Several(Source):
    """Files one after the other."""

    sources: Sequence[FileRows]
    total: int

    def rows(self) -> Iterator[Row]:
        for source in self.sources:
            yield from source.rows()

    def parts(self, size: int) -> list[FileRows]:
        return [part for source in self.sources for part in source.parts(size)]

    def files(self) -> list[Path]:
        return [source.path for source in self.sources]


def open_source(
    images: ImageOrImages | Table,
    *,
    image_column: str = "image",
    folder: PathLike | None = None,
) -> Source:
    """Open the images that :func:`galclass.predict` takes.

    Parameters
    ----------
    images, image_column, folder
        See :func:`galclass.predict`.

    Returns
    -------
    Source

    Raises
    ------
    FileNotFoundError
        `images` is a path that does not exist.
    DataError
        No images are given, the file is damaged, or columns are missing.
    MissingPackageError
        The file is Parquet, and pyarrow is not installed.
    """
    if folder is not None:
        folder = Path(folder).expanduser()
    if isinstance(images, str | os.PathLike):
        source = _open_path(images, image_column, folder)
    elif isinstance(images, Table):
        source = _list_catalogue(images, image_column, folder)
    else:
        source = _open_in_memory(images)
    if source.total == 0:
        raise DataError(f"{images} holds no image, expected at least one")
    return source


def _open_in_memory(images: Any) -> InMemory:
    if isinstance(images, np.ndarray) and images.ndim == 4:
        # One error for all of them, instead of one per image.
        images = check_images(images, shape=(*images.shape[1:3], 3))
    listed = list_images(images)
    total = None
    if isinstance(listed, Sized):
        total = len(listed)
    return InMemory(listed, total)


def _list_catalogue(catalogue: Table, image_column: str, folder: Path | None) -> Listed:
    return Listed(list_rows(catalogue, image_column, folder), len(catalogue), catalogue)


def _open_path(images: PathLike, image_column: str, folder: Path | None) -> Source:
    path = expand_path(images)
    suffix = path.suffix.lower()
    if path.is_dir():
        # The names of other files of a Parquet data set begin with a dot or _.
        files = sorted(file for file in path.glob("*.parquet") if file.name[0] not in "._")
        if files:
            return _open_parquet_folder(path, files)
    elif suffix in HDF5_SUFFIXES:
        with open_galaxy10(path, "images") as file:
            return Hdf5Rows(path, 0, len(file["images"]))
    elif is_catalogue(path):
        if suffix == ".parquet" and image_column == "image":
            with_images = _open_parquet(path)
            if with_images is not None:
                return with_images
        return _list_catalogue(read_catalogue(path), image_column, folder or path.parent)
    paths = list(list_images(path))
    return Listed([(str(path), path) for path in paths], len(paths))


def _open_parquet(path: Path) -> ParquetRows | None:
    """Open a Parquet file with the columns ``id`` and ``image``; return None for a catalogue."""
    require_pyarrow(path)
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            types = {field.name: field.type for field in file.schema_arrow}
            count = file.metadata.num_rows
    except (pa.ArrowException, OSError) as error:
        raise DataError(
            f"{path} is not a complete Parquet file ({error}); copy it again"
        ) from error
    if types.get("image") not in (pa.binary(), pa.large_binary()):
        return None
    id_type = types.get("id", pa.null())
    if not pa.types.is_integer(id_type) and id_type not in (pa.string(), pa.large_string()):
        raise DataError(
            f"{path} has images and the column 'id' is {id_type}, expected text or integers"
        )
    return ParquetRows(path, 0, count)


def _open_parquet_folder(path: Path, files: Sequence[Path]) -> Several:
    sources = []
    for file in files:
        source = _open_parquet(file)
        if source is None:
            raise DataError(
                f"{file} has no column 'image' of encoded images (binary), expected one in all "
                f"Parquet files of {path}"
            )
        sources.append(source)
    return Several(sources, sum(source.total for source in sources))


def _ranges(start: int, stop: int, size: int) -> list[tuple[int, int]]:
    """Divide a range into ranges of at most `size`."""
    return [(first, min(first + size, stop)) for first in range(start, stop, size)]
