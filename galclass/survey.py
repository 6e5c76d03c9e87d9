"""Pictures of a survey in parts: each part is read, classified and written by itself.

The parts are a function of the source alone, and each has a file of its own, so that a run that
was stopped goes on with the parts whose files are missing, and any process can do any part.
"""

import hashlib
import os
import shutil
from contextlib import nullcontext
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from . import __version__, distributed
from .cutouts import check_crop, list_pictures, prepare_named
from .galaxy10 import DataError, count_images
from .prediction import classify, identify_network, load_network, require_pyarrow
from .runs import RunError, load_run, read_json, remove_leftovers, whole_file, write_json

PART_ROWS = 1000
HDF5_SUFFIXES = (".h5", ".hdf5")
PARQUET_COLUMNS = ("id", "image")
# Readers of Parquet pass over files whose names begin with _ or a dot.
MANIFEST = "_manifest.json"
PARQUET_ROWS_AT_A_TIME = 64
# h5py's own chunks hold a sliver of each of a thousand pictures: a row alone would unpack them all.
HDF5_ROWS_AT_A_TIME = 1024


class Part(NamedTuple):
    """Consecutive pictures of a source.

    Parameters
    ----------
    number : int
        From 0, in the order of the source.
    path : str
        A Parquet or HDF5 file, or a directory of pictures.
    start, stop : int
        The part's rows of the file, or of the directory's pictures sorted by name: from `start`
        up to but not including `stop`.
    names : tuple of str
        Of a directory's pictures, else empty.
    """

    number: int
    path: str
    start: int
    stop: int
    names: tuple = ()


def is_survey(source):
    """Whether it is the path of a directory, or of a Parquet or HDF5 file, by its name."""
    if not isinstance(source, str | os.PathLike):
        return False
    path = Path(source).expanduser()
    return path.is_dir() or path.suffix.lower() in (".parquet", *HDF5_SUFFIXES)


def list_parts(source, *, rows=PART_ROWS):
    """Divide a source into parts, none of which reaches over the end of a file.

    Parameters
    ----------
    source : str or path-like
        A directory of pictures; a Parquet file or a directory of them, with the columns ``id``
        (text or integer) and ``image`` (binary: the content of a JPEG, PNG or TIFF file); or an
        HDF5 file in Galaxy10's layout, whose ``images`` are taken.
    rows : int, default 1000
        Pictures in a part; the last one of a file may have fewer.

    Returns
    -------
    list of Part

    Raises
    ------
    FileNotFoundError
        `source` does not exist.
    DataError
        It is none of these, has other columns, or holds no picture.
    ImportError
        The source is Parquet, and pyarrow is not installed.
    ValueError
        `rows` is less than 1.
    """
    if not (isinstance(rows, int) and rows >= 1):
        raise ValueError(f"part_rows={rows!r}, expected an integer of 1 or more")
    path = Path(source).expanduser()
    if not path.exists():
        raise FileNotFoundError(f"no file or directory {path}; give the path of a source")
    files, names = [path], ()
    if path.is_dir():
        # A name that begins with a dot or _ is no part of a Parquet data set.
        files = sorted(file for file in path.glob("*.parquet") if file.name[0] not in "._")
        if not files:
            files, names = [path], tuple(file.name for file in list_pictures(path))
    if names:
        counts = [len(names)]
    elif files[0].suffix.lower() in HDF5_SUFFIXES:
        counts = [count_images(path)]
    elif files[0].suffix.lower() == ".parquet":
        require_pyarrow(path)
        counts = [_count_rows(file) for file in files]
    else:
        raise DataError(
            f"{path}: expected a directory of pictures or of Parquet files, or a file named "
            f"*.parquet, *{' or *'.join(HDF5_SUFFIXES)}"
        )
    if not sum(counts):
        raise DataError(f"{path} holds no picture, expected at least one")
    parts = []
    for file, count in zip(files, counts, strict=True):
        for start in range(0, count, rows):
            stop = min(start + rows, count)
            parts.append(Part(len(parts), str(file), start, stop, names[start:stop]))
    return parts


def count_rows(parts):
    """Number of pictures in parts."""
    return sum(part.stop - part.start for part in parts)


def iter_part(part, *, crop=None, threads=None):
    """Prepare the pictures of a part, as :func:`galclass.cutouts.prepare_named` does.

    Yields
    ------
    source : str
        The path of a picture, the ``id`` of a row of Parquet, or ``"FILE[17]"`` for the picture
        at index 17 of an HDF5 file.
    image : ndarray of uint8, shape (69, 69, 3), or None
    error : DataError, FileNotFoundError or None

    Raises
    ------
    DataError
        A Parquet file is damaged, so that its further rows cannot be told apart.
    """
    path = Path(part.path)
    if part.names:
        named = ((str(path / name), path / name) for name in part.names)
    elif path.suffix.lower() in HDF5_SUFFIXES:
        named = _read_hdf5(part)
    else:
        named = _read_parquet(part)
    return prepare_named(named, crop=crop, threads=threads)


class PartClassifier:
    """Classifies parts and writes their tables; the network is loaded once.

    Parameters
    ----------
    network, precision
        As for :func:`galclass.prediction.load_network`.
    folder : path-like
        Where the files of the parts go.
    symmetric, batch_size, crop
        As for :func:`galclass.predict`.
    threads : int, optional
        Threads that decode. Default: one a CPU of the machine.
    """

    def __init__(
        self, network, folder, *, precision, symmetric, batch_size, crop=None, threads=None
    ):
        self.model, temperature = load_network(network, precision)
        self.settings = {
            "temperature": temperature,
            "symmetric": symmetric,
            "batch_size": batch_size,
        }
        self.folder, self.reading = Path(folder), {"crop": crop, "threads": threads}

    def __call__(self, part):
        """Write the table of a part, unless it is there already; the number of its pictures."""
        path = part_path(self.folder, part)
        if not path.exists():
            prepared = iter_part(part, **self.reading)
            table = classify(self.model, prepared, **self.settings)
            with whole_file(path) as temporary:
                _write_parquet(table, temporary)
        return part.stop - part.start


def predict_parts(
    network,
    source,
    out,
    *,
    symmetric=True,
    precision="float32",
    batch_size=64,
    crop=None,
    part_rows=PART_ROWS,
    engine="local",
    address=None,
    workers=None,
    overwrite=False,
    progress=False,
):
    """Classify the pictures of a source into a folder of Parquet files.

    A run that was stopped goes on where it was when it is called again: files that are there are
    not written anew.

    Parameters
    ----------
    network, symmetric, precision, batch_size, crop, engine, address, workers, progress
        As for :func:`galclass.predict`.
    source, part_rows
        As for :func:`list_parts`.
    out : path-like
        The folder, ``NAME.parquet``.
    overwrite : bool, default False
        Delete the parts of another run in `out` first.

    Returns
    -------
    pathlib.Path
        The folder: ``part-000000.parquet`` ..., each with the columns of :func:`galclass.predict`,
        null where those are masked, and ``_manifest.json``, which says of what and how.

    Raises
    ------
    FileNotFoundError, DataError, ValueError, ImportError
        As for :func:`list_parts` and :func:`galclass.predict`.
    FileExistsError
        `out` is in the way.
    galclass.runs.RunError
        `out` holds the parts of another source, network or setting, or cannot be written.
    """
    from tqdm.auto import tqdm

    from .model import choose_precision

    out = Path(os.path.abspath(os.path.expanduser(out)))
    if out.suffix.lower() != ".parquet":
        raise ValueError(f"{out}: expected a folder named NAME.parquet for the parts")
    distributed.check_engine(engine, address, workers)
    require_pyarrow(out)
    check_crop(crop)
    if batch_size < 1:
        raise ValueError(f"batch_size={batch_size}, expected 1 or more")
    if not isinstance(source, str | os.PathLike):
        raise ValueError(f"source {type(source)}, expected the path of one where out is given")
    # Absolute, as other machines have another working directory.
    source = os.path.abspath(os.path.expanduser(source))
    parts = list_parts(source, rows=part_rows)
    if hasattr(network, "input_shape"):  # A network that is given has its own.
        precision = None
    else:
        choose_precision(precision)
        if isinstance(network, str | os.PathLike):
            network = load_run(os.path.abspath(os.path.expanduser(network)))
    asked = {"symmetric": symmetric, "crop": crop, "precision": precision, "part_rows": part_rows}
    manifest = {
        "galclass": __version__,
        "source": {"path": source, "sha256": _fingerprint(parts)},
        "network": identify_network(network),
        "settings": asked,
        "parts": len(parts),
        "rows": count_rows(parts),
    }
    missing, before = parts, _manifest_before(out, overwrite)
    if before is not None:
        if precision == "auto":
            asked["precision"] = before["settings"].get("precision")
        _refuse_other_parts(out, before, manifest)
        remove_leftovers(out)
        missing = [part for part in parts if not part_path(out, part).exists()]
        if not missing:
            return out
    here = engine == "local"
    with nullcontext() if here else distributed.cluster(address):
        if asked["precision"] == "auto":
            choose = choose_precision if here else distributed.choose_precision
            asked["precision"] = choose("auto")
        if before is None:
            if (out / MANIFEST).exists():
                shutil.rmtree(out)
            write_json(out / MANIFEST, manifest)
        settings = {
            "network": network,
            "folder": out,
            "precision": asked["precision"],
            "symmetric": symmetric,
            "batch_size": batch_size,
            "crop": crop,
        }
        if here:
            finished = map(PartClassifier(**settings), missing)
        else:
            finished = distributed.map_with(PartClassifier, settings, missing, workers=workers)
        total, done = count_rows(parts), count_rows(parts) - count_rows(missing)
        with tqdm(total=total, initial=done, unit="picture", disable=not progress) as bar:
            for rows in finished:
                bar.update(rows)
    lacking = sum(not part_path(out, part).exists() for part in missing)
    if lacking:
        raise RunError(
            f"{lacking} parts that other machines wrote are not in {out} here; give a folder that "
            "all machines share"
        )
    remove_leftovers(out)
    return out


def part_path(folder, part):
    """Path of the file that holds a part's table."""
    return Path(folder) / f"part-{part.number:06d}.parquet"


def _count_rows(path):
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
            "(binary, the content of a JPEG, PNG or TIFF file)"
        )
    return rows


def _read_parquet(part):
    """Names and encoded pictures of the rows of a part."""
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
                        source = str(name) if name.is_valid else f"{part.path}[{row}]"
                        yield source, image.as_py() or DataError(f"{source} has no picture")
                    row += 1
                if row >= part.stop:
                    return
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{part.path} is damaged ({error}); copy it again") from error


def _read_hdf5(part):
    """Names and pictures of the rows of a part."""
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


def _fingerprint(parts):
    """Hash of names, sizes and times of change of the files; their content would take too long."""
    digest = hashlib.sha256()
    files = {path: None for part in parts for path in _files(part)}
    for path in files:
        found = os.lstat(path)
        digest.update(f"{path} {found.st_size} {found.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _files(part):
    return [os.path.join(part.path, name) for name in part.names] or [part.path]


def _manifest_before(out, overwrite):
    """The manifest in a folder of parts, or None where there is none to go on with."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return None
    if not (out / MANIFEST).is_file():
        raise FileExistsError(
            f"{out} exists and is no folder of parts that galclass made; choose another name"
        )
    if overwrite:
        return None
    before = read_json(out / MANIFEST, hint="galclass predict")
    if not isinstance(before.get("settings"), dict):
        raise RunError(f"{out / MANIFEST} has no settings; replace the folder (--overwrite)")
    return before


def _refuse_other_parts(out, before, now):
    for key in ("source", "network", "settings"):
        if before.get(key) != now[key]:
            raise RunError(
                f"cannot go on: the parts in {out} are of {key} {before.get(key)}, now it is "
                f"{now[key]}; give the same, choose another folder or replace it (--overwrite)"
            )


def _write_parquet(table, path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    # Not by astropy, which writes masks as further columns where there are any.
    columns = {}
    for name in table.colnames:
        values = np.ma.asarray(table[name])
        columns[name] = pa.array(values.data, mask=np.ma.getmaskarray(values))
    pq.write_table(pa.table(columns), path)
