"""Make, check and write tables of predictions."""

import json
import os
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io.votable import from_table
from astropy.io.votable.tree import Info
from astropy.table import MaskedColumn, Table, hstack
from numpy.typing import NDArray
from scipy.special import entr

from ..errors import DataError, ParameterError
from ..files import PathLike, whole_file
from ..images.catalogue import require_pyarrow

FIRST_COLUMNS = ("source", "class", "class_name", "probability", "runner_up", "entropy")
LAST_COLUMNS = ("unusual", "error", "selected")  # after the probabilities p0, p1 ...
# UCDs of catalogue columns in the words of the IVOA (UCD1+ 1.5), for columns that state none.
UCDS = {"id": "meta.id", "ra": "pos.eq.ra", "dec": "pos.eq.dec"}
# Fills masked classes (uint8); numpy.ma would fill uint8 with 63, which may be a class.
NO_CLASS = 255


def to_table(
    sources: Sequence[Any],
    probabilities: NDArray[np.float32],
    errors: Sequence[str],
    meta: dict[str, Any],
    *,
    unusual: NDArray[np.float32] | None = None,
    cuts: NDArray[np.float32] | None = None,
) -> Table:
    """Make the table that :func:`galclass.predict` returns.

    Parameters
    ----------
    sources : sequence of str, or of int or None, shape (n,)
    probabilities : ndarray of float32, shape (n, classes)
        NaN for images that could not be read, whose rows are masked.
    errors : sequence of str, shape (n,)
        Empty for images that could be read.
    meta : dict
        Metadata of the table, with ``class_names``.
    unusual : ndarray of float32, shape (n,), optional
        See :func:`galclass.evaluation.unusual.rank_unusual`.
    cuts : ndarray of float32, shape (classes,), optional
        Smallest probability in the sample of each class.
    """
    no_answer = np.isnan(probabilities[:, 0])
    order = np.argsort(-np.nan_to_num(probabilities), axis=1, kind="stable")
    classes = order[:, 0]
    highest = probabilities.max(axis=1)
    class_names = np.array([_escape(name) for name in meta["class_names"]])
    table = Table({"source": _make_source_column(sources)}, meta=meta)

    def add(name: str, values: NDArray[Any], description: str | None = None) -> None:
        if no_answer.any():
            fill_value = NO_CLASS if values.dtype == np.uint8 else None
            values = MaskedColumn(values, mask=no_answer, fill_value=fill_value)
        table[name] = values
        table[name].description = description

    class_description = "counted from 0, index into class_names; figures count from 1"
    add("class", classes.astype(np.uint8), class_description)
    add("class_name", class_names[classes])
    add("probability", highest)
    add("runner_up", order[:, 1].astype(np.uint8), class_description)
    # VOTable and FITS do not know nats as a unit.
    entropy = entr(probabilities.astype(np.float64)).sum(axis=1)
    add("entropy", entropy.astype(np.float32), "Shannon entropy of p0, p1 ..., in nats")
    for c in range(len(class_names)):
        add(f"p{c}", probabilities[:, c])
    if unusual is not None:
        add("unusual", unusual, "fraction of validation images that are more usual, 0 to 1")
    table["error"] = np.array([_escape(error) for error in errors], str)
    if cuts is not None:
        add("selected", highest >= cuts[classes], "in the sample of its class")
    names = [name for name in list_columns(len(class_names)) if name in table.colnames]
    return table[names]


def list_columns(classes: int) -> list[str]:
    """Return the names of all columns that predictions can have, in order.

    :func:`to_table` leaves out a column that is not listed here, because :func:`check_names` would
    not refuse it in a catalogue.
    """
    probabilities = [f"p{c}" for c in range(classes)]
    return [*FIRST_COLUMNS, *probabilities, *LAST_COLUMNS]


def _make_source_column(sources: Sequence[Any]) -> NDArray[Any]:
    """Return sources as text, or as integers if all of them are; None is masked."""
    if any(isinstance(source, str) for source in sources):
        return np.array([_escape(str(source)) for source in sources])
    is_missing = [source is None for source in sources]
    if not any(is_missing):
        return np.array(sources)
    integer = next((type(source) for source in sources if source is not None), int)
    filled = [integer(0) if source is None else source for source in sources]
    return np.ma.array(filled, mask=is_missing)


def _escape(text: str) -> str:
    """Escape control characters, and bytes of file names that are not UTF-8."""
    letters = []
    for letter in text:
        if not letter.isprintable():
            letter = letter.encode("unicode_escape").decode()
        letters.append(letter)
    return "".join(letters)


def check_names(catalogue: Table, meta: dict[str, Any]) -> None:
    """Raise a DataError if a catalogue has columns that predictions can have.

    Upper and lower case count as the same, because FITS does not distinguish them.

    Parameters
    ----------
    catalogue : astropy.table.Table
    meta : dict
        See :func:`to_table`.
    """
    added = {name.lower() for name in list_columns(len(meta["class_names"]))}
    taken = [name for name in catalogue.colnames if name.lower() in added]
    if taken:
        raise DataError(
            f"the catalogue has columns {taken}, which the predictions add; rename them first"
        )


def join(catalogue: Table, predictions: Table) -> Table:
    """Put the columns of a catalogue before the columns of its predictions.

    The metadata of both are kept; entries of the predictions replace entries of the same name.

    Warns
    -----
    UserWarning
        An entry of the catalogue's metadata is replaced.
    """
    replaced = sorted(catalogue.meta.keys() & predictions.meta.keys())
    if replaced:
        warnings.warn(
            f"the catalogue's metadata {replaced} are replaced by the predictions' own; rename "
            "them first to keep them",
            stacklevel=3,
        )
    joined = hstack([catalogue, predictions], join_type="exact", metadata_conflicts="silent")
    joined.meta.update(predictions.meta)
    return joined


def check_table(path: PathLike, *, overwrite: bool = False) -> Path:
    """Check, before the work, that a table can be written to a path.

    Parameters
    ----------
    path : str or path-like
        Ends in ``.ecsv``, ``.csv``, ``.fits``, ``.parquet`` or ``.xml`` (VOTable).
    overwrite : bool, default False
        Allow that the file exists.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    ParameterError
        The path has another suffix.
    FileExistsError, PermissionError
        The file exists, or its folder cannot be written.
    MissingPackageError
        The file is Parquet, and pyarrow is not installed.
    """
    path = Path(path).expanduser()
    suffix = path.suffix.lower()
    if suffix not in WRITERS:
        raise ParameterError(f"{path}: expected a name that ends in {', '.join(WRITERS)}")
    if path.is_dir() or (path.exists() and not overwrite):
        raise FileExistsError(f"{path} exists; choose another name, or overwrite it (--overwrite)")
    existing = next(folder for folder in path.absolute().parents if folder.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        raise PermissionError(f"{existing} cannot be written; unlock it, or choose another folder")
    if suffix == ".parquet":
        require_pyarrow(path)
    return path


def check_columns(table: Table, suffix: str) -> None:
    """Raise a DataError if a format cannot hold a column of a table; see :func:`write_table`.

    Parameters
    ----------
    table : astropy.table.Table
    suffix : {".ecsv", ".csv", ".fits", ".parquet", ".xml"}
    """
    for name in table.colnames:
        problem = _find_problem(table[name], suffix)
        if problem is not None:
            other = ".parquet or .xml" if suffix == ".ecsv" else ".ecsv"
            raise DataError(
                f"column {name!r} {problem}, which {suffix} cannot hold; leave the column out, or "
                f"choose {other}"
            )


def _find_problem(column: Any, suffix: str) -> str | None:
    kind = getattr(column, "dtype", np.dtype(object)).kind  # Coordinates and times have no dtype.
    if suffix == ".ecsv":
        # astropy's ECSV reader drops lines inside a text that are empty or begin with #.
        if kind in "UO" and any("\n" in value for value in column if isinstance(value, str)):
            return "has text with line breaks"
        return None
    if kind not in "biufUS":
        return "holds neither numbers nor text"
    if column.ndim > 1 and suffix in (".csv", ".parquet"):
        return "has several values per row"
    return None


def write_table(table: Table, path: PathLike, *, overwrite: bool = False) -> None:
    """Write a table completely or not at all, in the format that its name states.

    ==============  ===========================  ================================================
    Format          Missing values               Limits
    ==============  ===========================  ================================================
    ``.ecsv``       null                         Text with line breaks is refused.
    ``.csv``        empty                        Numbers and text, one per row. No units,
                                                 descriptions or metadata.
    ``.fits``       TNULL (integers), NaN        Numbers and text. Missing text is empty. Text is
                    (reals)                      ASCII, other letters are escaped with backslashes.
                                                 Booleans become integers if some are missing.
    ``.parquet``    null                         Numbers and text, one per row. No units or
                                                 descriptions.
    ``.xml``        null                         Numbers and text. Unsigned 64-bit integers become
                                                 text.
    ==============  ===========================  ================================================

    The metadata are in ECSV's header; as JSON they are FITS's card ``GALCLASS``, the entry
    ``galclass`` of Parquet's metadata, and VOTable's ``INFO`` of this name.

    Parameters
    ----------
    table : astropy.table.Table
    path, overwrite
        See :func:`check_table`.

    Raises
    ------
    ParameterError, FileExistsError, PermissionError, MissingPackageError
        See :func:`check_table`.
    DataError
        The format cannot hold a column.
    RunError
        The file cannot be written.
    """
    path = check_table(path, overwrite=overwrite)
    suffix = path.suffix.lower()
    check_columns(table, suffix)
    table = Table(table)  # A copy, because the writers change columns.
    with whole_file(path) as temporary:
        WRITERS[suffix](table, temporary)


def _write_csv(table: Table, path: Path) -> None:
    table.write(path, format="ascii.csv")


def _write_ecsv(table: Table, path: Path) -> None:
    table.write(path, format="ascii.ecsv")
    # astropy writes a first value such as #1.png without quotes, and would read its row as a
    # comment. The header's lines begin with "# ", with a blank.
    text = path.read_text(encoding="utf-8")
    path.write_text(re.sub(r"(?m)^(#\S+)", r'"\1"', text), encoding="utf-8")


def _write_fits(table: Table, path: Path) -> None:
    table.meta = {"GALCLASS": json.dumps(table.meta, default=str)}  # Cards cannot be nested.
    for name in table.colnames:
        column = table[name]
        if column.dtype.kind == "U":
            text = np.ma.filled(column, "")
            table[name] = np.char.encode(text, "ascii", "backslashreplace")
        elif np.ma.is_masked(column) and column.dtype.kind in "biu":
            if column.dtype.kind == "b":  # astropy would write False.
                column = column.astype(np.uint8)
            column.fill_value = _find_unused(column)
            table[name] = column
    table.write(path, format="fits")


def _find_unused(column: MaskedColumn) -> int:
    """Return an integer that no row has; it stands for missing values in FITS."""
    taken = set(column.compressed().tolist())
    limits = np.iinfo(column.dtype)
    for number in range(limits.max, limits.min - 1, -1):
        if number not in taken:
            return number
    raise DataError(f"column {column.name!r} has all numbers and missing values; choose .ecsv")


def _write_votable(table: Table, path: Path) -> None:
    for name in table.colnames:
        if table[name].dtype == np.uint64:
            table[name] = table[name].astype(str)
    document = from_table(table)
    content = document.get_first_table()
    for field in content.fields:
        if not field.ucd:
            field.ucd = UCDS.get(field.name.lower())
    # INFO and not DESCRIPTION: astropy wraps the text of a description, which breaks the JSON.
    content.infos.append(Info(name="galclass", value=json.dumps(table.meta, default=str)))
    document.to_xml(str(path))


def _write_parquet(table: Table, path: Path) -> None:
    """Write Parquet with pyarrow; astropy writes zeros for missing values."""
    import pyarrow as pa
    from pyarrow import parquet

    table.convert_bytestring_to_unicode()
    columns = {}
    meta = {"galclass": json.dumps(table.meta, default=str)}
    for name in table.colnames:
        values = np.ma.asarray(table[name])
        native = values.data.astype(values.dtype.newbyteorder("="), copy=False)
        columns[name] = pa.array(native, mask=np.ma.getmaskarray(values))
        if values.dtype.kind == "U":
            # astropy reads nulls as the text 'None' and needs the column width for it.
            length = values.dtype.itemsize // 4
            meta[f"table::len::{name}"] = str(max(length, len("None")))
    parquet.write_table(pa.table(columns).replace_schema_metadata(meta), path)


WRITERS = {
    ".csv": _write_csv,
    ".ecsv": _write_ecsv,
    ".fits": _write_fits,
    ".parquet": _write_parquet,
    ".xml": _write_votable,
}
