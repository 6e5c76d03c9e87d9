"""A survey writes the predictions of each part to a file, and resumes after a stop."""

import json
import os
import shutil

import numpy as np
import pytest
from astropy import units
from astropy.table import MaskedColumn, Table

from galclass import build_cnn, predict, predict_survey
from galclass.errors import DataError, ParameterError, RunError
from galclass.evaluation.calibration import calibration_of
from galclass.prediction import survey
from galclass.prediction.survey import MANIFEST

pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed: no Parquet")
pq = pytest.importorskip("pyarrow.parquet")


def read(folder):
    """Return all rows of a survey, in the order of the parts."""
    return pa.concat_tables(pq.read_table(path) for path in sorted(folder.glob("part-*")))


def files(folder):
    return {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.iterdir()}


@pytest.mark.parametrize("kind", ["images", "one.parquet", "several", "some.h5"])
@pytest.mark.parametrize("part_rows", [1, 5, 100])
def test_parts_hold_the_rows_of_predict(kind, part_rows, model, sources, tmp_path):
    settings = {"run": model, "class_names": [f"class {c}" for c in range(10)]}
    table = predict(sources / kind, **settings)
    out = predict_survey(sources / kind, tmp_path / "out", part_rows=part_rows, **settings)
    rows = read(out)
    assert rows.column_names == table.colnames
    for name in ("source", "class", "class_name", "runner_up", "error"):
        assert rows[name].to_pylist() == table[name].tolist()
    np.testing.assert_allclose(rows["p4"].to_numpy(), table["p4"], rtol=1e-5)
    paths = sorted(out.glob("part-*"))
    assert [path.name for path in paths] == [f"part-{k:06d}.parquet" for k in range(len(paths))]
    assert max(pq.read_metadata(path).num_rows for path in paths) <= part_rows


def test_parts_of_a_catalogue_hold_its_columns_and_nulls(model, sources, tmp_path):
    names = [f"images/{name}.png" for name in ("g05", "g00", "gone", "g09", "g01")]
    catalogue = Table({"objid": np.arange(5) + 2**60, "file": names})
    catalogue["r"] = MaskedColumn([1.0, 2, 3, 4, 5], mask=[False] * 4 + [True], unit=units.mag)
    catalogue.write(sources / "magnitudes.ecsv", overwrite=True)
    settings = {"source": sources / "magnitudes.ecsv", "run": model, "part_rows": 2}
    rows = read(predict_survey(out=tmp_path / "out", image_column="file", **settings))
    table = predict(catalogue, run=model, image_column="file", folder=sources)
    assert rows.column_names == table.colnames
    for name in (*catalogue.colnames, "class", "class_name", "error"):
        assert rows[name].to_pylist() == table[name].tolist()
    assert [answer is None for answer in rows["p0"].to_pylist()] == [0, 0, 1, 0, 0]
    with pytest.raises(RunError, match="cannot resume"):
        predict_survey(out=tmp_path / "out", image_column="objid", **settings)


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


def test_a_survey_that_a_full_disk_stops_resumes_with_the_missing_parts(
    model, sources, tmp_path, monkeypatch
):
    out = tmp_path / "out"
    settings = {"source": sources / "one.parquet", "run": model, "part_rows": 3}
    write_table = pq.write_table
    written = []

    def fill_disk(table, path, **options):
        write_table(table, path, **options)
        written.append(path)
        if len(written) > 2:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq, "write_table", fill_disk)
    with pytest.raises(RunError, match="full"):
        predict_survey(out=out, **settings)
    before = files(out)
    assert sorted(before) == [MANIFEST, "part-000000.parquet", "part-000001.parquet"]
    (out / ".12-00c0ffee.tmp.parquet").write_bytes(b"left by a killed process")
    monkeypatch.setattr(pq, "write_table", write_table)
    predict_survey(out=out, **settings)
    whole = predict_survey(out=tmp_path / "whole", **settings)
    assert read(out).equals(read(whole))
    assert before.items() <= files(out).items()
    assert len(files(out)) == 5
    monkeypatch.setattr(survey, "load_network", None)  # Nothing is left to classify.
    predict_survey(out=out, **settings)


def test_parts_of_something_else_are_not_mixed(model, sources, tmp_path):
    catalogue = tmp_path / "c.csv"
    target = tmp_path / "target.png"
    Table({"image": ["a.png", "b.png"]}).write(catalogue)
    shutil.copy(sources / "images" / "g00.png", target)
    (tmp_path / "a.png").symlink_to(target)
    settings = {"source": catalogue, "out": tmp_path / "out", "run": model}
    out = predict_survey(**settings)
    before = files(out)
    other = build_cnn(seed=4, filters=((4,),), dense_units=())
    for name, value, words in (
        ("source", sources / "some.h5", "source"),
        ("run", other, "network"),
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


def test_a_survey_whose_missing_image_has_arrived_is_not_resumed(model, sources, tmp_path):
    catalogue = tmp_path / "c.csv"
    Table({"image": ["a.png"]}).write(catalogue)
    predict_survey(catalogue, tmp_path / "out", run=model)
    shutil.copy(sources / "images" / "g01.png", tmp_path / "a.png")
    with pytest.raises(RunError, match=r"cannot resume.*source"):
        predict_survey(catalogue, tmp_path / "out", run=model)


def test_a_survey_is_replaced_if_it_is_allowed_and_nothing_else(model, sources, tmp_path):
    out = predict_survey(sources / "images", tmp_path / "out", run=model, part_rows=1)
    (out / "thesis.txt").write_text("years of work")
    predict_survey(sources / "some.h5", out, run=model, symmetric=np.False_, overwrite=True)
    assert (out / "thesis.txt").read_text() == "years of work"
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
    settings = {"source": sources / "some.h5", "out": tmp_path / "out", "part_rows": 6}
    out = predict_survey(run=measured, **settings)
    network = json.loads((out / MANIFEST).read_text())["network"]
    assert network["network"] == measured.path.name
    assert network["temperature"] == calibration_of(measured).temperature
    (metadata,) = {pq.read_schema(path).metadata[b"galclass"] for path in out.glob("part-*")}
    assert json.loads(metadata) == network
    (out / "part-000001.parquet").unlink()
    # As on another machine, whose choice would be another one: the first choice is kept.
    fixed = "float32" if network["precision"] == "bfloat16" else "bfloat16"
    with pytest.raises(RunError, match="resume"):
        predict_survey(run=measured, precision=fixed, **settings)
    predict_survey(run=str(measured.path), **settings)
    assert read(out).num_rows == 12


def test_wrong_use_is_refused_before_anything_is_written(model, sources, tmp_path):
    source = sources / "some.h5"
    made = tmp_path / "made"
    made.mkdir()
    Table({"ra": [1.0], "dec": [2.0]}).write(tmp_path / "positions.csv")
    for name, column in {
        "p3": [1.0, 2.0],
        "vectors": np.ones((2, 2)),
        "objects": np.array([None, 1], object),
    }.items():
        Table({"image": ["a.png"] * 2, name: column}).write(tmp_path / f"{name}.ecsv")
    grey = build_cnn(input_shape=(69, 69, 1), filters=((4,),), dense_units=())
    for error, words, given, settings in [
        (DataError, "no image", made, {}),
        (DataError, r"columns \['p3'\], which the predictions add", tmp_path / "p3.ecsv", {}),
        (DataError, "has several values per row", tmp_path / "vectors.ecsv", {}),
        (DataError, "holds neither numbers nor text", tmp_path / "objects.ecsv", {}),
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
    assert sorted(files(tmp_path)) == ["thesis.txt"]


def test_parts_of_another_program_are_never_replaced(model, sources, tmp_path):
    (tmp_path / MANIFEST).write_text('{"format": "another"}')
    part = tmp_path / "part-00000.parquet"
    part.write_bytes(b"years of work")
    for overwrite in (False, True):
        with pytest.raises(FileExistsError, match="not a survey of galclass"):
            predict_survey(sources / "some.h5", tmp_path, run=model, overwrite=overwrite)
    assert part.read_bytes() == b"years of work"
