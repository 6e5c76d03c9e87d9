"""One writer of tables: what is written reads back, whatever the format."""

import builtins
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

META = {"network": "mine", "sha256": "ab" * 32, "temperature": 1.5, "crop": None}
MEASURED = ("class", "class_name", "probability", "runner_up", "entropy", "p0", "p9")
SUFFIXES = ["ecsv", "csv", "fits", "parquet", "votable", "vot", "XML"]


def make(sources=("a.png", "b.png", "c.png")):
    """A table of three galaxies, of which the second has no answer."""
    rows = np.full((3, 10), 0.04, np.float32)
    rows[:, 0] = 0.64  # Class 0, which no missing answer may look like.
    rows[2] = rows[2, ::-1]
    rows[1] = np.nan
    return to_table(sources, rows, ["", "it is cut off", ""], META)


def write(table, suffix, folder):
    """The path of a written table, and the table read back by astropy from its name alone."""
    if suffix == "parquet":
        pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    path = folder / f"new/table.{suffix}"
    write_table(table, path)
    assert list(path.parent.iterdir()) == [path]
    kinds = {"csv": "ascii.csv", "XML": "votable"}
    return path, Table.read(path, format=kinds.get(suffix))


def is_null(value):
    return value is np.ma.masked or str(value) in ("nan", "", "None")


def test_the_columns_say_what_they_hold():
    table = make()
    assert table.colnames == [
        *("source", "class", "class_name", "probability", "runner_up", "entropy"),
        *(f"p{c}" for c in range(10)),
        "error",
    ]
    assert (table["class"].dtype, table["p0"].dtype) == (np.uint8, np.float32)
    assert table["class_name"].tolist() == [CLASS_NAMES[0], None, CLASS_NAMES[9]]
    for name in ("class", "runner_up"):
        assert "index into CLASS_NAMES; figures count from 1" in table[name].description
    assert table.meta == META


def test_the_entropy_is_zero_when_certain_and_ln_10_when_undecided():
    rows = np.float32([np.eye(10)[3], np.full(10, 0.1)])
    table = to_table(["a", "b"], rows, ["", ""], {})
    np.testing.assert_allclose(table["entropy"], [0, np.log(10)], atol=1e-6)
    assert table["class"][1] != table["runner_up"][1]  # equally likely, yet two of them


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_galaxy_without_an_answer_is_null_in_every_format(suffix, tmp_path):
    table = make()
    _, again = write(table, suffix, tmp_path)
    assert again.colnames == table.colnames
    assert again["source"].tolist() == ["a.png", "b.png", "c.png"]
    assert str(again["error"][1]) == "it is cut off"
    for name in MEASURED:
        assert is_null(again[name][1]), (name, again[name][1])
        for row in (0, 2):
            back, wanted = again[name][row], table[name][row]
            assert str(back) == wanted if name == "class_name" else back == pytest.approx(wanted)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("suffix", ["ecsv", "fits", "parquet", "vot"])
def test_a_file_says_which_network_and_settings_gave_it(suffix, tmp_path):
    path, again = write(make(), suffix, tmp_path)
    found = again.meta
    if suffix == "parquet":
        import pyarrow.parquet as pq

        found = json.loads(pq.read_schema(path).metadata[b"galclass"])
    elif suffix == "vot":
        found = json.loads(parse_single_table(path).infos[0].value)
    elif suffix == "fits":
        found = json.loads(found["GALCLASS"])
    assert found == META


def test_readers_of_parquet_find_plain_columns_and_nulls(tmp_path):
    pq = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    path, again = write(make([7, 8, 9]), "parquet", tmp_path)

    rows = pq.read_table(path)
    assert rows.column_names == again.colnames
    for name in MEASURED:
        assert [value is None for value in rows[name].to_pylist()] == [False, True, False], name
    assert rows["source"].to_pylist() == again["source"].tolist() == [7, 8, 9]
    assert str(rows.schema.field("class").type) == "uint8"


@pytest.mark.parametrize("package", ["pandas", "polars"])
def test_data_frames_read_parquet(package, tmp_path):
    frames = pytest.importorskip(package, reason=f"{package} is not installed")
    path, _ = write(make([7, 8, 9]), "parquet", tmp_path)
    frame = frames.read_parquet(path)
    nulls = frame["class"].isna() if package == "pandas" else frame["class"].is_null()
    assert list(nulls) == [False, True, False]
    assert list(frame["source"]) == [7, 8, 9]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_identifiers_keep_their_type_and_any_name_is_written(suffix, tmp_path):
    large = 2**62 + 1  # which a float does not hold
    _, again = write(make([1, large, 3]), suffix, tmp_path)
    assert again["source"].tolist() == [1, large, 3]
    not_utf8 = os.fsdecode(b"g\xff.png")
    _, again = write(make(["M 31", "Größe.png", not_utf8]), suffix, tmp_path / "names")
    found = [str(name) for name in again["source"]]
    assert found == ["M 31", "Gr\\xf6\\xdfe.png" if suffix == "fits" else "Größe.png", found[2]]
    assert found[2].startswith("g\\")
    assert found[2].endswith("ff.png")


def test_a_table_is_refused_before_any_work(tmp_path, monkeypatch):
    for wrong in ("table", "table.txt", "table.gz"):
        with pytest.raises(ParameterError, match=r"expected \.ecsv"):
            check_table(tmp_path / wrong)
    there = tmp_path / "there.csv"
    there.write_text("mine")
    with pytest.raises(FileExistsError, match="overwrite"):
        check_table(there)
    check_table(there, overwrite=True)
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(FileExistsError, match="exists"):
        check_table(tmp_path / "folder.csv", overwrite=True)
    with pytest.raises(OSError, match="cannot be written"):
        check_table(there / "below.csv")
    with monkeypatch.context() as patch:
        patch.setattr(os, "access", lambda *_: False)
        with pytest.raises(PermissionError, match="choose another folder"):
            check_table(tmp_path / "new" / "t.csv")
    real = builtins.__import__

    def without_pyarrow(name, *arguments, **keywords):
        if name == "pyarrow":
            raise ImportError(name)
        return real(name, *arguments, **keywords)

    monkeypatch.delitem(sys.modules, "pyarrow", raising=False)
    monkeypatch.setattr(builtins, "__import__", without_pyarrow)
    with pytest.raises(MissingPackageError, match="pip install pyarrow"):
        check_table(tmp_path / "t.parquet")


def test_a_file_is_replaced_whole_and_only_when_told(tmp_path, monkeypatch):
    table, path = make(), tmp_path / "t.csv"
    path.write_text("mine")
    with pytest.raises(FileExistsError):
        write_table(table, path)

    def half(self, file, **options):
        file.write_text("half")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Table, "write", half)
        with pytest.raises(RunError, match="disk is full"):
            write_table(table, path, overwrite=True)
    assert path.read_text() == "mine"
    write_table(table, path, overwrite=True)
    assert len(Table.read(path, format="csv")) == len(table)
    assert [file.name for file in tmp_path.iterdir()] == ["t.csv"]
