"""A survey writes the predictions of each shard to a file, and resumes after a stop."""

import json
import os
import shutil

import numpy as np
import pytest
from astropy import units
from astropy.table import MaskedColumn, Table
from PIL import Image

from galclass import build_cnn, predict, predict_survey
from galclass.data.dataset import Dataset
from galclass.errors import DataError, ParameterError, RunError
from galclass.evaluation.calibration import calibration_of
from galclass.load import write_data
from galclass.prediction import survey
from galclass.prediction.survey import MANIFEST

pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed: no Parquet")
pq = pytest.importorskip("pyarrow.parquet")

SMALL = {"filters": ((4, 4), (4,), (4,)), "dense_units": (8,)}


@pytest.fixture(scope="module")
def model():
    return build_cnn(seed=3, **SMALL)


@pytest.fixture(scope="module")
def sources(like_galaxy10, tmp_path_factory):
    """The same twelve images as a folder, as Parquet and as HDF5; the fourth one is cut off."""
    path = tmp_path_factory.mktemp("sources")
    (path / "images").mkdir()
    images, labels = like_galaxy10
    encoded = []
    for number, image in enumerate(images[::9]):
        file = path / "images" / f"g{number:02d}.png"
        Image.fromarray(image).save(file)
        encoded.append(file.read_bytes())
    encoded[3] = encoded[3][:3000]
    (path / "images" / "g03.png").write_bytes(encoded[3])
    rows = pa.table({"id": np.arange(100, 112), "image": pa.array(encoded, pa.binary())})
    pq.write_table(rows, path / "some.parquet")
    write_data(path / "some.h5", Dataset(images[::9], labels[::9], None))
    return path


def read(folder):
    """Return all rows of a survey, in the order of the parts."""
    return pa.concat_tables(pq.read_table(path) for path in sorted(folder.glob("part-*")))


def files(folder):
    return {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.iterdir()}


@pytest.mark.parametrize("kind", ["images", "some.parquet", "some.h5"])
@pytest.mark.parametrize("part_rows", [1, 5, 100])
def test_parts_hold_the_rows_of_predict(kind, part_rows, model, sources, tmp_path):
    table = predict(sources / kind, run=model)
    names = [f"class {c}" for c in range(10)]
    settings = {"run": model, "class_names": names, "part_rows": part_rows}
    out = predict_survey(sources / kind, tmp_path / "out", **settings)
    rows = read(out)
    assert rows.column_names == table.colnames
    assert rows["source"].to_pylist() == table["source"].tolist()
    assert rows["error"].to_pylist() == table["error"].tolist()
    assert rows["class_name"].to_pylist() == [
        None if c is None else names[c] for c in table["class"].tolist()
    ]
    broken = [] if kind == "some.h5" else [3]
    for name in ("class", "class_name", "runner_up", "p0"):
        nulls = [value is None for value in rows[name].to_pylist()]
        assert np.flatnonzero(nulls).tolist() == broken
    np.testing.assert_allclose(
        np.delete(rows["p4"].to_numpy(), broken), np.delete(table["p4"], broken), rtol=1e-5
    )
    paths = sorted(out.glob("part-*"))
    assert [path.name for path in paths] == [f"part-{k:06d}.parquet" for k in range(len(paths))]
    assert max(pq.read_metadata(path).num_rows for path in paths) == min(part_rows, 12)


@pytest.mark.parametrize("suffix", ["csv", "ecsv", "fits", "parquet", "xml"])
def test_parts_of_a_catalogue_hold_its_columns(suffix, model, sources, tmp_path):
    names = [f"images/g{number:02d}.png" for number in (5, 0, 3, 9, 1)]
    columns = {"objid": np.arange(5) + 2**60, "file": names, "r": [1.0, 2, 3, 4, 5] * units.mag}
    catalogue = Table(columns)
    catalogue["r"] = MaskedColumn(catalogue["r"], mask=[False] * 4 + [True])
    path = sources / f"catalogue.{suffix}"
    formats = {"csv": "ascii.csv", "ecsv": "ascii.ecsv", "xml": "votable"}
    catalogue.write(path, format=formats.get(suffix, suffix))
    settings = {"run": model, "part_rows": 2}
    rows = read(predict_survey(path, tmp_path / "out", image_column="file", **settings))
    table = predict(catalogue, run=model, image_column="file", folder=sources)
    assert rows.column_names == table.colnames
    assert rows["objid"].to_pylist() == catalogue["objid"].tolist()
    assert rows["file"].to_pylist() == names
    assert rows["r"].to_pylist() == [1, 2, 3, 4, None]
    assert rows["class"].to_pylist() == table["class"].tolist()
    assert [bool(error) for error in rows["error"].to_pylist()] == [0, 0, 1, 0, 0]
    with pytest.raises(RunError, match="cannot resume"):
        predict_survey(path, tmp_path / "out", image_column="objid", **settings)


def test_a_catalogue_that_changes_meanwhile_is_classified_as_it_was(
    model, sources, tmp_path, monkeypatch
):
    path = tmp_path / "c.csv"
    paths = [str(sources / "images" / f"g{number:02d}.png") for number in (0, 1, 2)]
    Table({"image": paths, "id": [0, 1, 2]}).write(path)
    classify = survey.classify

    def change(*given, **settings):
        Table({"image": paths[::-1], "id": [2, 1, 0]}).write(path, overwrite=True)
        return classify(*given, **settings)

    monkeypatch.setattr(survey, "classify", change)
    rows = read(predict_survey(path, tmp_path / "out", run=model, part_rows=1))
    assert rows["id"].to_pylist() == [0, 1, 2]


def test_a_survey_whose_files_changed_is_not_resumed(model, sources, tmp_path):
    catalogue = tmp_path / "c.csv"
    Table({"image": ["a.png", "b.png"]}).write(catalogue)
    shutil.copy(sources / "images" / "g00.png", tmp_path / "a.png")
    rows = read(predict_survey(catalogue, tmp_path / "out", run=model))
    assert [bool(error) for error in rows["error"].to_pylist()] == [False, True]
    shutil.copy(sources / "images" / "g01.png", tmp_path / "b.png")  # It has arrived.
    with pytest.raises(RunError, match="cannot resume"):
        predict_survey(catalogue, tmp_path / "out", run=model)


def test_a_survey_that_a_full_disk_stops_resumes_with_the_missing_parts(
    model, sources, tmp_path, monkeypatch
):
    out = tmp_path / "out"
    settings = {"run": model, "part_rows": 3}
    write_table = pq.write_table
    written = []

    def fill_disk(table, path, **options):
        write_table(table, path, **options)
        written.append(path)
        if len(written) > 2:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq, "write_table", fill_disk)
    with pytest.raises(RunError, match="full"):
        predict_survey(sources / "some.parquet", out, **settings)
    before = files(out)
    assert sorted(before) == [MANIFEST, "part-000000.parquet", "part-000001.parquet"]
    (out / ".12-00c0ffee.tmp.parquet").write_bytes(b"left by a killed process")
    monkeypatch.setattr(pq, "write_table", write_table)
    predict_survey(sources / "some.parquet", out, **settings)
    whole = predict_survey(sources / "some.parquet", tmp_path / "whole", **settings)
    assert read(out).equals(read(whole))
    assert before.items() <= files(out).items()
    assert len(files(out)) == 5
    monkeypatch.setattr(survey, "load_network", None)  # Nothing is left to classify.
    predict_survey(sources / "some.parquet", out, **settings)


def test_parts_of_something_else_are_not_mixed(model, sources, tmp_path):
    source = tmp_path / "s.parquet"
    target = tmp_path / "target.parquet"
    target.write_bytes((sources / "some.parquet").read_bytes())
    source.symlink_to(target)
    settings = {"source": source, "out": tmp_path / "out", "run": model}
    out = predict_survey(**settings)
    before = files(out)
    for name, value, words in (
        ("source", sources / "some.h5", "source"),
        ("run", build_cnn(seed=4, **SMALL), "network"),
        ("class_names", [f"class {c}" for c in range(10)], "class_names"),
        ("symmetric", True, "symmetric"),
        ("part_rows", 5, "part_rows"),
        ("crop", 0.5, "crop"),
        ("crop", 207 / 424, "crop"),  # The default, but now for all images.
    ):
        with pytest.raises(RunError, match=f"resume.*{words}"):
            predict_survey(**{**settings, name: value})
    os.utime(target, ns=(1, 1))  # The link itself stays as it was.
    with pytest.raises(RunError, match=r"resume.*source"):
        predict_survey(**settings)
    assert files(out) == before


def test_a_survey_is_replaced_if_it_is_allowed_and_nothing_else(model, sources, tmp_path):
    out = predict_survey(sources / "images", tmp_path / "out", run=model, part_rows=1)
    (out / "mine").mkdir()
    (out / "mine" / "thesis.txt").write_text("years of work")
    predict_survey(sources / "some.h5", out, run=model, symmetric=np.False_, overwrite=True)
    assert (out / "mine" / "thesis.txt").read_text() == "years of work"
    manifest = json.loads((out / MANIFEST).read_text())
    assert manifest["source"]["path"] == str(sources / "some.h5")
    assert read(out).num_rows == manifest["rows"] == 12


def test_a_survey_that_another_process_has_begun_is_not_replaced(
    model, sources, tmp_path, monkeypatch
):
    settings = {"source": sources / "some.h5", "out": tmp_path / "out", "run": model}
    lock = survey.locked

    def lock_after_another(folder):
        monkeypatch.undo()
        predict_survey(**settings, part_rows=5)
        return lock(folder)

    monkeypatch.setattr(survey, "locked", lock_after_another)
    with pytest.raises(RunError, match="cannot resume"):
        predict_survey(**settings)
    assert len(list((tmp_path / "out").glob("part-*"))) == 3


def test_a_survey_records_its_run_and_keeps_its_precision(measured, sources, tmp_path):
    out = tmp_path / "out"
    predict_survey(sources / "some.h5", out, run=measured, part_rows=6)
    network = json.loads((out / MANIFEST).read_text())["network"]
    assert network["network"] == measured.path.name
    assert network["precision"] in ("float32", "bfloat16", "float16")
    assert network["crop"] is None
    (metadata,) = {pq.read_schema(path).metadata[b"galclass"] for path in out.glob("part-*")}
    assert json.loads(metadata) == network
    assert network["temperature"] == calibration_of(measured).temperature
    (out / "part-000001.parquet").unlink()
    # As on another machine, whose choice would be another one: the first choice is kept.
    fixed = "float32" if network["precision"] == "bfloat16" else "bfloat16"
    with pytest.raises(RunError, match="resume"):
        predict_survey(sources / "some.h5", out, run=measured, part_rows=6, precision=fixed)
    predict_survey(sources / "some.h5", out, run=str(measured.path), part_rows=6)
    assert read(out).num_rows == 12


COLUMNS = {
    "p3": ([1.0] * 3, r"columns \['p3'\], which the predictions add"),
    "vectors": (np.ones((3, 2)), "'vectors' has several values per row"),
    "objects": (np.array([None, 1, "x"], object), "'objects' holds neither numbers nor text"),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_columns_that_no_part_can_hold_are_refused_before_the_work(name, model, tmp_path):
    column, words = COLUMNS[name]
    Table({"image": ["a.png"] * 3, name: column}).write(tmp_path / "c.ecsv")
    with pytest.raises(DataError, match=words):
        predict_survey(tmp_path / "c.ecsv", tmp_path / "out", run=model)
    assert not (tmp_path / "out").exists()


def test_wrong_use_is_refused_before_anything_is_written(model, sources, tmp_path):
    source = sources / "some.h5"
    made = tmp_path / "made"
    made.mkdir()
    Table({"ra": [1.0], "dec": [2.0]}).write(tmp_path / "positions.csv")
    grey = build_cnn(input_shape=(69, 69, 1), filters=((4,),), dense_units=())
    for error, words, given, settings in [
        (DataError, "no image", made, {}),
        (ParameterError, "a single image", sources / "images" / "g00.png", {}),
        (ParameterError, r"positions; use galclass\.predict", tmp_path / "positions.csv", {}),
        (ParameterError, "expected a path", np.zeros((2, 69, 69, 3), np.uint8), {}),
        (DataError, "3 channels", source, {"run": grey}),
        (ParameterError, "part_rows=0", source, {"part_rows": 0}),
        (ParameterError, "crop=2", source, {"crop": 2}),
        (ParameterError, "batch_size=0", source, {"batch_size": 0}),
        (ParameterError, "'float8'", source, {"run": None, "precision": "float8"}),
        (RunError, "no run folder", source, {"run": tmp_path / "gone"}),
        (FileExistsError, "another folder", made, {"out": made / "out"}),
    ]:
        with pytest.raises(error, match=words):
            predict_survey(given, **{"out": tmp_path / "out", "run": model, **settings})
        assert not [*tmp_path.glob("out"), *made.iterdir()]


def test_a_folder_that_is_not_a_survey_is_left_alone(model, sources, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    for overwrite in (False, True):
        with pytest.raises(FileExistsError, match="not a survey"):
            predict_survey(sources / "some.h5", tmp_path, run=model, overwrite=overwrite)
    (tmp_path / MANIFEST).write_text("{}")
    with pytest.raises(RunError, match="cannot resume"):
        predict_survey(sources / "some.h5", tmp_path, run=None)
    assert sorted(files(tmp_path)) == [MANIFEST, "thesis.txt"]
