"""One writer of tables: what is written reads back, whatever the format."""

import json
import os
import sys

import numpy as np
import pytest
from astropy.io.votable import parse_single_table
from astropy.table import Table

from galclass.data.galaxy10 import CLASS_NAMES
from galclass.errors import MissingPackageError, ParameterError, RunError
from galclass.prediction.table import check_table, to_table, write_table

META = {"network": "mine", "temperature": 1.5, "crop": None, "class_names": [*CLASS_NAMES]}
MEASURED = ("class", "class_name", "probability", "runner_up", "entropy", "p0", "p9")
SUFFIXES = ["ecsv", "csv", "fits", "parquet", "XML"]


def make(sources=("a.png", "b.png", "c.png")):
    """A table of three galaxies, of which the second has no answer."""
    rows = np.full((3, 10), 0.04, np.float32)
    rows[0, 0] = rows[2, 9] = 0.64  # Class 0, which no missing answer may look like.
    rows[1] = np.nan
    return to_table(sources, rows, ["", "it is cut off", ""], META)


def write(table, suffix, folder):
    """The path of a written table, and the table read back by astropy from its name alone."""
    if suffix == "parquet":
        pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    path = folder / f"new/table.{suffix}"
    write_table(table, path)
    assert list(path.parent.iterdir()) == [path]
    return path, Table.read(path, format={"csv": "ascii.csv", "XML": "votable"}.get(suffix))


def test_the_columns_say_what_they_hold():
    table = make()
    first = ["source", "class", "class_name", "probability", "runner_up", "entropy"]
    assert table.colnames == [*first, *(f"p{c}" for c in range(10)), "error"]
    assert (table["class"].dtype, table["p0"].dtype) == (np.uint8, np.float32)
    assert table["class_name"].tolist() == [CLASS_NAMES[0], None, CLASS_NAMES[9]]
    assert all("class_names" in table[name].description for name in ("class", "runner_up"))
    assert table.meta == META
    table = to_table(["a", "b"], np.float32([np.eye(10)[3], np.full(10, 0.1)]), ["", ""], META)
    np.testing.assert_allclose(table["entropy"], [0, np.log(10)], atol=1e-6)
    assert table["class"][1] != table["runner_up"][1]  # Equally likely, yet two of them.


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_says_its_network_and_a_galaxy_without_an_answer_is_null(suffix, tmp_path):
    table = make()
    path, again = write(table, suffix, tmp_path)
    assert again.colnames == table.colnames
    assert again["source"].tolist() == ["a.png", "b.png", "c.png"]
    assert str(again["error"][1]) == "it is cut off"
    for name in MEASURED:
        null, text = again[name][1], name == "class_name"
        assert null is np.ma.masked or str(null) in ("nan", "", "None"), (name, null)
        for row in (0, 2):
            back, wanted = again[name][row], table[name][row]
            assert str(back) == wanted if text else back == pytest.approx(wanted)
    if suffix == "parquet":
        from pyarrow import parquet

        rows = parquet.read_table(path)  # As other readers find it.
        assert rows.column_names == again.colnames
        for name in MEASURED:
            assert [value is None for value in rows[name].to_pylist()] == [False, True, False]
        assert str(rows.schema.field("class").type) == "uint8"
        assert json.loads(rows.schema.metadata[b"galclass"]) == META
    elif suffix == "fits":
        assert json.loads(again.meta["GALCLASS"]) == META
    elif suffix == "ecsv":
        assert again.meta == META
    elif suffix != "csv":
        assert json.loads(parse_single_table(path).infos[0].value) == META


@pytest.mark.parametrize("package", ["pandas", "polars"])
def test_data_frames_read_parquet(package, tmp_path):
    frames = pytest.importorskip(package, reason=f"{package} is not installed")
    frame = frames.read_parquet(write(make([7, 8, 9]), "parquet", tmp_path)[0])
    nulls = frame["class"].isna() if package == "pandas" else frame["class"].is_null()
    assert list(nulls) == [False, True, False]
    assert list(frame["source"]) == [7, 8, 9]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_identifiers_keep_their_type_and_any_name_is_written(suffix, tmp_path):
    large = 2**62 + 1  # Which a float does not hold.
    _, again = write(make([1, large, 3]), suffix, tmp_path)
    assert again["source"].tolist() == [1, large, 3]
    names = ["M 31", "Größe.png", os.fsdecode(b"g\xff.png")]  # The last is not UTF-8.
    _, again = write(make(names), suffix, tmp_path / "names")
    *found, not_utf8 = map(str, again["source"])
    assert found == ["M 31", "Gr\\xf6\\xdfe.png" if suffix == "fits" else "Größe.png"]
    assert not_utf8.startswith("g\\")
    assert not_utf8.endswith("ff.png")


def test_a_table_is_refused_before_any_work(tmp_path, monkeypatch):
    there = tmp_path / "there.csv"
    there.write_text("mine")
    (tmp_path / "folder.csv").mkdir()
    for path, error, words, overwrite in (
        *((name, ParameterError, "ecsv", False) for name in ("table", "t.txt", "t.gz")),
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


def test_a_file_is_replaced_whole_and_only_when_told(tmp_path, monkeypatch):
    table, path = make(), tmp_path / "t.csv"
    path.write_text("mine")

    def half(self, file, **options):
        file.write_text("half")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Table, "write", half)
        with pytest.raises(RunError, match="full"):
            write_table(table, path, overwrite=True)
    with pytest.raises(FileExistsError):
        write_table(table, path)
    assert path.read_text() == "mine"
    write_table(table, path, overwrite=True)
    assert len(Table.read(path, format="csv")) == len(table)
    assert [file.name for file in tmp_path.iterdir()] == ["t.csv"]
