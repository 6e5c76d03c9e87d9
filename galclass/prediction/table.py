"""Tables of predictions: made, checked and written in one place, whatever their format."""

import itertools
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import MissingPackageError, ParameterError
from ..files import PathLike, whole_file

if TYPE_CHECKING:
    from astropy.table import Table

SUFFIXES = (".ecsv", ".csv", ".fits", ".parquet", ".xml")
# What a column of this name is, in the words of the IVOA (UCD1+ 1.5), where it does not say itself.
UCDS = {"id": "meta.id", "ra": "pos.eq.ra", "dec": "pos.eq.dec"}
# Marks a class that is not there where a format has no nulls; astropy's own, 63, is less clear.
NO_CLASS = 255


def to_table(
    sources: Sequence[Any],
    probabilities: NDArray[np.float32],
    errors: Sequence[str],
    meta: dict[str, Any],
    unusual: NDArray[np.float32] | None = None,
) -> "Table":
    """The table that :func:`galclass.predict` returns; NaN probabilities are masked rows."""
    from astropy.table import MaskedColumn, Table
    from scipy.special import entr

    broken, class_names = np.isnan(probabilities[:, 0]), meta["class_names"]
    order = np.argsort(-np.nan_to_num(probabilities), axis=1, kind="stable")
    measured = {
        "class": order[:, 0].astype(np.uint8),
        "class_name": np.array([_escaped(name) for name in class_names])[order[:, 0]],
        "probability": probabilities.max(axis=1),
        "runner_up": order[:, 1].astype(np.uint8),
        "entropy": entr(np.float64(probabilities)).sum(axis=1).astype(np.float32),
        **{f"p{c}": probabilities[:, c] for c in range(len(class_names))},
    }
    measured |= {} if unusual is None else {"unusual": unusual}
    table = Table({"source": _names(sources)}, meta=meta)
    for name, values in measured.items():
        fill = NO_CLASS if values.dtype == np.uint8 else None
        masked = MaskedColumn(values, mask=broken, fill_value=fill)
        table[name] = masked if broken.any() else values
    table["error"] = np.array([_escaped(error) for error in errors], str)
    for name in ("class", "runner_up"):
        table[name].description = "from 0, index into class_names; figures count from 1"
    if unusual is not None:
        table["unusual"].description = "share of validation images that are more usual, 0 to 1"
    # As words: VOTable and FITS know no unit for nats.
    table["entropy"].description = "Shannon entropy of p0, p1 ..., nats"
    return table


def columns_of(meta: dict[str, Any]) -> list[str]:
    """Names of the columns that the predictions of a network add."""
    rows = np.ones((1, len(meta["class_names"])), np.float32)
    return [*to_table(["x"], rows, [""], meta, rows[:, 0]).colnames, "selected"]


def _names(sources: Sequence[Any]) -> NDArray[Any]:
    """Names as text, or as integers where all of them are, with null ones masked."""
    if any(isinstance(source, str) for source in sources):
        return np.array([_escaped(str(source)) for source in sources])
    missing = [source is None for source in sources]
    known = next((source for source in sources if source is not None), 0)
    filled = [type(known)(0) if source is None else source for source in sources]
    return np.ma.array(filled, mask=missing) if any(missing) else np.array(filled)


def check_table(path: PathLike, *, overwrite: bool = False) -> Path:
    """Refuse, before the work, what :func:`write_table` could not write.

    Parameters
    ----------
    path : str or path-like
        Ends in ``.ecsv``, ``.csv``, ``.fits``, ``.parquet`` or ``.xml`` (VOTable).
    overwrite : bool, default False
        Whether the file may exist.

    Raises
    ------
    ParameterError
        Another suffix.
    FileExistsError, PermissionError
        The file already exists, or its folder cannot be written.
    MissingPackageError
        Parquet is asked for, and pyarrow is not installed.
    """
    path = Path(path).expanduser()
    if path.suffix.lower() not in SUFFIXES:
        raise ParameterError(f"{path}: unknown kind of table, expected {', '.join(SUFFIXES)}")
    if path.is_dir() or (path.exists() and not overwrite):
        raise FileExistsError(f"{path} exists; choose another name, or overwrite a file of yours")
    existing = next(folder for folder in path.absolute().parents if folder.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        raise PermissionError(f"{existing} cannot be written; unlock it, or choose another folder")
    if path.suffix.lower() == ".parquet":
        require_pyarrow(path)
    return path


def require_pyarrow(path: PathLike) -> None:
    """Raise an error that says what to do where Parquet cannot be read or written."""
    try:
        import pyarrow  # noqa: F401
    except ImportError as error:
        how = "pip install pyarrow, or choose .ecsv or .fits"
        raise MissingPackageError(f"{path}: Parquet needs pyarrow; {how}") from error


def write_table(table: "Table", path: PathLike, *, overwrite: bool = False) -> None:
    """Write a table, whole or not at all, in the format that the file's name asks for.

    Parameters
    ----------
    table : astropy.table.Table
    path, overwrite
        As for :func:`check_table`. A masked number is null in ECSV, Parquet and VOTable, an empty
        field in CSV; in FITS a masked class is the column's TNULL, a masked probability NaN. Text
        that is not ASCII is escaped with backslashes in FITS.

    Raises
    ------
    ParameterError, FileExistsError, PermissionError, MissingPackageError
        As :func:`check_table`.
    RunError
        The file cannot be written.
    """
    path = check_table(path, overwrite=overwrite)
    writers = {".fits": _write_fits, ".parquet": _write_parquet, ".xml": _write_votable}
    with whole_file(path) as temporary:
        writers.get(path.suffix.lower(), _write_text)(table, temporary)


def _write_text(table: "Table", path: Path) -> None:
    for name in table.colnames:
        kind = getattr(table[name], "dtype", np.dtype(float)).kind
        if kind in "UO" and any("\n#" in str(text) for text in table[name]):
            found = f"column {name!r}: text with a line that begins with #"
            raise ParameterError(f"{found}, which .parquet and .xml can hold")
    table.write(path, format=f"ascii.{path.suffix.lower()[1:]}")
    lines = path.read_text(encoding="utf-8").split("\n")
    header = next(i for i, line in enumerate(lines) if not line.startswith("#"))
    # A name that begins with # would be read as a comment.
    rows = [re.sub(r"^(#[^ ,]*)", r'"\1"', line) for line in lines[header + 1 :]]
    path.write_text("\n".join(lines[: header + 1] + rows), encoding="utf-8")


def _write_fits(table: "Table", path: Path) -> None:
    from astropy.table import MaskedColumn

    table = table.copy()  # Text is ASCII in FITS, metadata are not nested.
    table.meta = {"GALCLASS": json.dumps(table.meta, default=str)}
    for name in table.colnames:
        if table[name].dtype.kind == "U":
            text = np.ma.filled(table[name], "")
            table[name] = [one.encode("ascii", "backslashreplace") for one in text]
        elif table[name].dtype.kind == "b" and np.ma.is_masked(table[name]):
            # FITS knows no null among truth values.
            table[name] = MaskedColumn(table[name].astype(np.uint8), fill_value=NO_CLASS)
        elif table[name].dtype.kind in "iu" and np.ma.is_masked(table[name]):
            table[name].fill_value = _unused(table[name])
    table.write(path)


def _unused(column: Any) -> int:
    """A number of the column's kind that no row has, which stands for null in FITS."""
    limits, taken = np.iinfo(column.dtype), set(column.compressed().tolist())
    numbers = itertools.chain((limits.max, limits.min), range(limits.max))
    return next(number for number in numbers if number not in taken)


def _write_votable(table: "Table", path: Path) -> None:
    from astropy.io.votable import from_table, tree

    table = table.copy()
    for name in table.colnames:
        if table[name].dtype == np.uint64:  # VOTable has none.
            table[name] = table[name].astype(str)
    document = from_table(table)
    for field in document.get_first_table().fields:
        field.ucd = field.ucd or UCDS.get(field.name.lower())
    # Not as a description, which is wrapped, within a hash too.
    info = tree.Info(name="galclass", value=json.dumps(table.meta, default=str))
    document.get_first_table().infos.append(info)
    document.to_xml(str(path))


def _write_parquet(table: "Table", path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    # Not by astropy, which writes masks as further columns.
    units = {name: str(table[name].unit) for name in table.colnames if table[name].info.unit}
    columns, meta = {}, {"galclass": json.dumps(table.meta, default=str)}
    meta |= {"units": json.dumps(units)} if units else {}
    for name in table.colnames:
        values = np.ma.asarray(table[name])
        native = values.data.astype(values.dtype.newbyteorder("="), copy=False)
        columns[name] = pa.array(native, mask=np.ma.getmaskarray(values))
        if values.dtype.kind == "U":  # Its length, without which astropy cannot read nulls.
            meta[f"table::len::{name}"] = str(max(len("None"), values.dtype.itemsize // 4))
    pq.write_table(pa.table(columns).replace_schema_metadata(meta), path)


def _escaped(text: str) -> str:
    """Text whose control characters, and what is no UTF-8 in a file name, are escaped."""
    letters = (c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return "".join(letters)
