"""Catalogues of every format are read with all digits, missing values and positions."""

import datetime
from functools import partial

import numpy as np
import pytest
from astropy import units
from astropy.io import fits
from astropy.table import MaskedColumn, Table

from galclass.errors import DataError
from galclass.images.catalogue import is_catalogue, list_rows, read_catalogue, read_column
from galclass.images.sdss import sdss_cutout

LARGE = 1237648720693755918  # an identifier of SDSS, which no real number holds exactly


@pytest.mark.parametrize("suffix", ["csv", "ecsv", "fits", "parquet", "xml"])
def test_identifiers_text_and_missing_values_are_read(suffix, tmp_path):
    path = tmp_path / f"c.{suffix}"
    if suffix == "parquet":
        pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    table = Table({"id": [LARGE, -LARGE, 1], "file": ["a.png", "b.png", "é.png"]})
    if suffix == "fits":
        table["file"][2] = "c.png"
    table["votes"] = MaskedColumn([1, 2, 3], mask=[False, True, False])
    formats = {"csv": "ascii.csv", "ecsv": "ascii.ecsv", "xml": "votable"}
    table.write(path, format=formats.get(suffix, suffix))
    assert is_catalogue(path)
    read = read_catalogue(path)
    assert read["id"].tolist() == [LARGE, -LARGE, 1]
    assert read["file"].tolist() == table["file"].tolist()
    assert read["file"].dtype.kind == "U"
    assert read["votes"].tolist() == [1, None, 3]


@pytest.mark.parametrize(
    ("texts", "values"),
    [
        ([str(LARGE), str(-LARGE), ""], [LARGE, -LARGE, None]),
        (["007", "8", ""], ["007", "8", None]),
        (["+1", "2"], ["+1", "2"]),
        (["1_000", "2"], ["1_000", "2"]),
        (["1e5", "-02.5", "nan"], [1e5, -2.5, np.nan]),
    ],
)
def test_integers_in_csv_are_numbers_if_they_are_written_as_usual(texts, values, tmp_path):
    rows = [f"{text},x" for text in texts]
    content = "\n".join(["number,note", *rows, ""])
    (tmp_path / "c.csv").write_text(content, encoding="utf-8-sig")  # as spreadsheets write it
    found = read_catalogue(tmp_path / "c.csv")["number"].tolist()
    assert [type(value) for value in found] == [type(value) for value in values]
    assert str(found) == str(values)


def test_text_of_variable_length_in_votables_is_text(tmp_path):
    field = '<FIELD name="file" datatype="char" arraysize="*"/>'
    rows = "<TR><TD>a.png</TD></TR><TR><TD></TD></TR>"
    table = f"<TABLE>{field}<DATA><TABLEDATA>{rows}</TABLEDATA></DATA></TABLE>"
    (tmp_path / "c.xml").write_text(
        f'<VOTABLE version="1.4"><RESOURCE>{table}</RESOURCE></VOTABLE>'
    )
    column = read_catalogue(tmp_path / "c.xml")["file"]
    assert column.dtype.kind == "U"
    assert column.tolist() == ["a.png", ""]


def test_parquet_of_pandas_is_read_with_nulls_categories_and_dates(tmp_path):
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    frame = pandas.DataFrame({"note": ["x", None], "kind": pandas.Categorical(["p", "q"])})
    frame["flag"] = [True, None]
    frame["day"] = [datetime.date(2026, 1, 2), None]
    frame["id"] = pandas.array([2**63 + 1, None], dtype="UInt64")
    frame.to_parquet(tmp_path / "c.parquet")
    table = read_catalogue(tmp_path / "c.parquet")
    assert table["note"].tolist() == ["x", None]
    assert table["kind"].tolist() == ["p", "q"]
    assert table["flag"].tolist() == [True, None]
    assert table["day"].tolist() == ["2026-01-02", None]
    assert table["id"].tolist() == [2**63 + 1, None]


def test_parquet_of_astropy_keeps_its_units(tmp_path):
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    pytest.importorskip("pandas", reason="pandas is not installed")
    Table({"ra": [3.5, 1.0] * units.rad}).write(tmp_path / "c.parquet")
    assert read_catalogue(tmp_path / "c.parquet")["ra"].unit == units.rad


def test_files_that_are_not_tables_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no catalogue .*gone\.csv"):
        read_catalogue(tmp_path / "gone.csv")
    (tmp_path / "c.csv").write_text("image,label\n1,2,3\n1\n")
    with pytest.raises(DataError, match=r"c\.csv cannot be read: .*; expected a table$"):
        read_catalogue(tmp_path / "c.csv")
    fits.PrimaryHDU(np.ones((3, 3))).writeto(tmp_path / "i.fits")
    with pytest.raises(DataError, match=r"give FITS images as a tuple \(g, r, i\)"):
        read_catalogue(tmp_path / "i.fits")


@pytest.mark.parametrize("missing", ["nan", "N/A", "  ", "null", np.ma.masked])
def test_missing_texts_are_refused_as_labels_and_are_errors_as_image_files(missing, tmp_path):
    table = Table({"name": ["a.png", "/b.png", missing]})
    with pytest.raises(DataError, match=r"'name' is empty in 1 rows \(2\)"):
        read_column(table, "name", tmp_path / "c.csv")
    rows = list_rows(table, "name", tmp_path)
    assert rows[0] == ("a.png", tmp_path / "a.png")
    assert str(rows[1][1]) == "/b.png"
    assert rows[2][0] == "row 2"
    assert "no image file is given" in str(rows[2][1])


def test_columns_of_labels_are_text_or_integers(tmp_path):
    table = Table({"number": [LARGE, 2], "text": [" a", "b "], "real": [0.5, 1.5]})
    assert read_column(table, "number", tmp_path) == [str(LARGE), "2"]
    assert read_column(table, "text", tmp_path) == ["a", "b"]
    with pytest.raises(DataError, match="'real' is float64, expected text or integers"):
        read_column(table, "real", tmp_path)
    with pytest.raises(DataError, match="no column 'kind', expected one of"):
        read_column(table, "kind", tmp_path)


def test_positions_in_any_unit_are_fetched_and_others_have_an_error():
    catalogue = Table({"RA": [1.0, 2.0, 400.0, np.nan], "Dec": [3.0, -4.0, 5.0, 6.0]})
    rows = list_rows(catalogue, "image", None)
    assert rows[1][0] == "row 1, RA 2.00000, Dec -4.00000"
    assert (rows[1][1].func, rows[1][1].args) == (sdss_cutout, (2.0, -4.0))
    for _, image in rows[2:]:
        assert "not a position" in str(image)
    catalogue["RA"] = np.array([1.0, 2.0, 3.0, 23.9]) * units.hourangle
    rows = list_rows(catalogue, "image", None)
    assert isinstance(rows[3][1], partial)
    assert rows[3][0].startswith("row 3, RA 358.5")


@pytest.mark.parametrize(
    ("columns", "image_column", "words"),
    [
        ({"file": ["a.png"]}, "image", "expected 'image' with image files, or ra and dec$"),
        # A misspelled column is never replaced by positions.
        ({"ra": [10.0], "dec": [2.0]}, "fille", "expected 'fille' with image files$"),
        ({"ra": ["12:00"], "dec": [2.0]}, "image", "column ra of <U5 in None, expected numbers"),
        ({"ra": [1.0], "dec": [2.0] * units.m}, "image", "dec of float64 in m, expected numbers"),
        ({"image": []}, "image", "no rows"),
    ],
)
def test_catalogues_without_images_are_refused(columns, image_column, words):
    with pytest.raises(DataError, match=words):
        list_rows(Table(columns), image_column, None)
