"""Tables of predictions read back as they were written, in every format."""

import json
import os
import sys

import numpy as np
import pytest
from astropy import units
from astropy.coordinates import SkyCoord
from astropy.io.votable import parse_single_table
from astropy.table import MaskedColumn, Table

from galclass.data.galaxy10 import CLASS_NAMES
from galclass.errors import DataError, MissingPackageError, ParameterError, RunError
from galclass.images.catalogue import read_catalogue
from galclass.prediction.table import (
    check_columns,
    check_names,
    check_table,
    join,
    to_table,
    write_table,
)

META = {"network": "mine", "temperature": 1.5, "crop": None, "class_names": [*CLASS_NAMES]}
SUFFIXES = ["ecsv", "csv", "fits", "parquet", "XML"]


def make(sources=("a.png", "b.png", "c.png")):
    """Return predictions of three galaxies, of which the second has no answer."""
    probabilities = np.full((3, 10), 0.04, np.float32)
    probabilities[0, 0] = 0.64  # class 0, which a missing answer must not look like
    probabilities[2, 9] = 0.64
    probabilities[1] = np.nan
    unusual = np.array([0.5, np.nan, 0.25], np.float32)
    errors = ["", "it is cut off", ""]
    cuts = np.full(10, 0.64, np.float32)
    cuts[9] = 0.7
    return to_table(sources, probabilities, errors, META, unusual=unusual, cuts=cuts)


def write(table, suffix, folder):
    """Write a table; return its path, and the table as astropy reads it."""
    if suffix == "parquet":
        pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    path = folder / f"new/table.{suffix}"
    write_table(table, path)
    assert list(path.parent.iterdir()) == [path]
    return path, Table.read(path, format={"csv": "ascii.csv", "XML": "votable"}.get(suffix))


def read_meta(path, table):
    """Return the metadata of predictions in a file."""
    if path.suffix == ".ecsv":
        return table.meta
    if path.suffix == ".fits":
        return json.loads(table.meta["GALCLASS"])
    if path.suffix == ".parquet":
        from pyarrow import parquet

        return json.loads(parquet.read_schema(path).metadata[b"galclass"])
    return json.loads(parse_single_table(path).infos[0].value)


def test_columns_hold_the_answers_and_explain_them():
    table = make()
    first = ["source", "class", "class_name", "probability", "runner_up", "entropy"]
    last = ["unusual", "error", "selected"]
    assert table.colnames == [*first, *(f"p{c}" for c in range(10)), *last]
    assert (table["class"].dtype, table["p0"].dtype) == (np.uint8, np.float32)
    assert table["class_name"].tolist() == [CLASS_NAMES[0], None, CLASS_NAMES[9]]
    assert table["selected"].tolist() == [True, None, False]
    assert "class_names" in table["runner_up"].description
    assert table.meta == META
    assert make([1, None, 3])["source"].tolist() == [1, None, 3]


def test_entropy_is_between_zero_and_the_one_of_equal_probabilities():
    probabilities = np.float32([np.eye(10)[3], np.full(10, 0.1)])
    table = to_table(["a", "b"], probabilities, ["", ""], META)
    np.testing.assert_allclose(table["entropy"], [0, np.log(10)], atol=1e-6)
    assert table["class"][1] != table["runner_up"][1]
    assert not {"unusual", "selected"} & set(table.colnames)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_format_keeps_answers_nulls_and_the_network(suffix, tmp_path):
    table = make()
    path, again = write(table, suffix, tmp_path)
    assert again.colnames == table.colnames
    assert again["source"].tolist() == ["a.png", "b.png", "c.png"]
    assert str(again["error"][1]) == "it is cut off"
    for name in set(table.colnames) - {"source", "error"}:
        null = again[name][1]
        assert null is np.ma.masked or str(null) in ("nan", "", "None"), (name, null)
        for row in (0, 2):
            value = table[name][row]
            if isinstance(value, np.bool_):
                assert str(again[name][row]) in (str(value), str(int(value)))
            elif isinstance(value, str):
                assert again[name][row] == value
            else:
                assert again[name][row] == pytest.approx(value)
    if suffix != "csv":
        assert read_meta(path, again) == META


@pytest.mark.parametrize("package", ["pandas", "polars"])
def test_data_frames_read_parquet_with_nulls(package, tmp_path):
    frames = pytest.importorskip(package, reason=f"{package} is not installed")
    frame = frames.read_parquet(write(make([7, 8, 9]), "parquet", tmp_path)[0])
    nulls = frame["class"].isna() if package == "pandas" else frame["class"].is_null()
    assert list(nulls) == [False, True, False]
    assert list(frame["source"]) == [7, 8, 9]


@pytest.mark.filterwarnings("ignore:OverflowError.* reverting to String")  # in CSV
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_identifiers_keep_all_digits(suffix, tmp_path):
    sources = np.array([2**63 + 12345, 7, 8], np.uint64)
    _, again = write(make(sources), suffix, tmp_path)
    assert [int(source) for source in again["source"]] == sources.tolist()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_odd_names_lose_no_row(suffix, tmp_path):
    names = ["#1.png", "line\nbreak\x07.png", "Größe.png"]
    _, again = write(make(names), suffix, tmp_path)
    letters = "Gr\\xf6\\xdfe.png" if suffix == "fits" else "Größe.png"
    assert again["source"].tolist() == ["#1.png", "line\\nbreak\\x07.png", letters]
    _, again = write(make(["a", os.fsdecode(b"g\xff.png"), "c"]), suffix, tmp_path / "bytes")
    assert str(again["source"][1]).endswith("ff.png")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_catalogues_keep_their_rows_columns_units_and_masks(suffix, tmp_path):
    catalogue = Table({"id": [2**62 + 1, 2, 3], "code": ["007", "b", "c"]})
    catalogue["z"] = [1.5, 2.5, 3.5] * units.km / units.s
    catalogue["note"] = MaskedColumn([0, 1, 2], mask=[False, True, False])
    catalogue["big"] = np.array([1.5, 2.5, 3.5], ">f8")
    catalogue["flag"] = MaskedColumn([False, True, True], mask=[True, False, False])
    path, _ = write(join(catalogue, make()), suffix, tmp_path)
    again = read_catalogue(path)
    assert again.colnames[:7] == [*catalogue.colnames, "source"]
    for name in ("id", "code", "note", "big"):
        assert again[name].tolist() == catalogue[name].tolist()
    assert again["flag"].tolist() in ([None, True, True], [None, "True", "True"])
    if suffix not in ("csv", "parquet"):
        assert again["z"].unit == units.km / units.s
    if suffix == "XML":
        assert again["id"].meta["ucd"] == "meta.id"


@pytest.mark.parametrize("kind", ["u1", "i2", "u2", "i4", "u4", "i8"])
def test_no_number_becomes_null_in_fits(kind, tmp_path):
    limits = np.iinfo(kind)
    # 63, 16959 and 999999 stand for null in NumPy and astropy.
    numbers = [limits.max, 63, 16959, 999999, 0, limits.min]
    numbers = [number for number in numbers if number <= limits.max]
    mask = [False] * len(numbers) + [True]
    table = Table({"votes": MaskedColumn(np.array([*numbers, 5], kind), mask=mask)})
    _, again = write(table, "fits", tmp_path)
    assert again["votes"].tolist() == [*numbers, None]


COLUMNS = {
    "coordinates": SkyCoord([1, 2], [3, 4], unit="deg"),
    "objects": np.array([None, "x"], object),
    "vectors": np.ones((2, 3)),
    "lines": ["see\n#2", "b"],
}
REFUSED = {
    "ecsv": {"lines"},
    "csv": {"coordinates", "objects", "vectors"},
    "fits": {"coordinates", "objects"},
    "parquet": {"coordinates", "objects", "vectors"},
    "xml": {"coordinates", "objects"},
}


@pytest.mark.parametrize("suffix", REFUSED)
def test_columns_that_a_format_cannot_hold_are_refused_and_the_others_written(suffix, tmp_path):
    for name, column in COLUMNS.items():
        table = Table({"row": [1, 2], name: column})
        if name in REFUSED[suffix]:
            with pytest.raises(DataError, match=f"'{name}' .*which .{suffix} cannot"):
                check_columns(table, f".{suffix}")
        else:
            _, again = write(table, suffix, tmp_path / name)
            assert again["row"].tolist() == [1, 2]


def test_catalogues_with_columns_of_the_predictions_are_refused():
    for name in make().colnames:
        for taken in (name, name.upper()):
            with pytest.raises(DataError, match=rf"columns \['{taken}'\].*rename"):
                check_names(Table({"image": ["a.png"], taken: [1]}), META)


def test_paths_that_cannot_be_written_are_refused(tmp_path, monkeypatch):
    there = tmp_path / "there.csv"
    there.write_text("mine")
    (tmp_path / "folder.csv").mkdir()
    for path, error, words, overwrite in (
        ("table", ParameterError, "ecsv", False),
        ("t.txt", ParameterError, "ecsv", False),
        (there, FileExistsError, "overwrite", False),
        (tmp_path / "folder.csv", FileExistsError, "exists", True),
        (there / "below.csv", OSError, "cannot be written", False),
    ):
        with pytest.raises(error, match=words):
            check_table(path, overwrite=overwrite)
    check_table(there, overwrite=True)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingPackageError, match="pip install pyarrow"):
        check_table(tmp_path / "t.parquet")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(PermissionError, match="folder"):
        check_table(tmp_path / "new" / "t.csv")


def test_a_file_is_replaced_completely_and_only_if_it_is_allowed(tmp_path, monkeypatch):
    path = tmp_path / "t.csv"
    path.write_text("mine")

    def write_half(self, file, **options):
        file.write_text("half")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Table, "write", write_half)
        with pytest.raises(RunError, match="full"):
            write_table(make(), path, overwrite=True)
    with pytest.raises(FileExistsError):
        write_table(make(), path)
    assert path.read_text() == "mine"
    write_table(make(), path, overwrite=True)
    assert len(Table.read(path, format="csv")) == 3
    assert [file.name for file in tmp_path.iterdir()] == ["t.csv"]
