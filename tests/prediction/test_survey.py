"""Sources of many images, and the folder of parts that their classes are written to."""

import io
import json
import os

import h5py
import numpy as np
import pytest
from astropy.table import Table
from PIL import Image

from galclass import build_cnn, predict, predict_survey
from galclass.data.galaxy10 import write_galaxy10
from galclass.errors import DataError, ParameterError, RunError
from galclass.prediction import sources as reading
from galclass.prediction import survey
from galclass.prediction.survey import MANIFEST

pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed: no Parquet")
pq = pytest.importorskip("pyarrow.parquet")

SMALL = {"filters": ((4, 4), (4,), (4,)), "dense_units": (8,)}
KINDS = ["images", "one.parquet", "several", "some.h5"]


@pytest.fixture(scope="module")
def model():
    return build_cnn(seed=3, **SMALL)


@pytest.fixture(scope="module")
def images(images_of_brightness):
    return images_of_brightness[0][::9]


@pytest.fixture(scope="module")
def sources(images, images_of_brightness, tmp_path_factory):
    """The same twelve images as a directory, as Parquet and as HDF5; the fourth is broken."""
    path = tmp_path_factory.mktemp("sources")
    (path / "images").mkdir()
    encoded = []
    for i, image in enumerate(images):
        content = io.BytesIO()
        Image.fromarray(image).save(content, "PNG")
        encoded.append(content.getvalue()[: 3000 if i == 3 else None])
        (path / "images" / f"g{i:02d}.png").write_bytes(encoded[-1])
    rows = pa.table({"id": np.arange(100, 112), "image": pa.array(encoded, pa.binary())})
    pq.write_table(rows, path / "one.parquet", row_group_size=5)
    (path / "several").mkdir()
    pq.write_table(rows[:7], path / "several" / "a.parquet", row_group_size=2)
    pq.write_table(rows[7:], path / "several" / "b.parquet")
    (path / "several" / "_metadata").write_text("not a part")
    write_galaxy10(path / "some.h5", images, images_of_brightness[1][::9])
    return path


def read(folder):
    """All rows of a folder of parts, in the order of the parts."""
    return pa.concat_tables(pq.read_table(path) for path in sorted(folder.glob("part-*")))


def times(folder):
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("part-*")}


@pytest.mark.parametrize("kind", KINDS)
def test_parts_hold_the_same_rows_as_the_table(kind, model, sources, images, tmp_path):
    table = predict(sources / kind, run=model)
    out = predict_survey(sources / kind, tmp_path / "out", run=model, part_rows=5)
    rows = read(out)
    assert rows.column_names == table.colnames
    assert rows["source"].to_pylist() == table["source"].tolist()
    assert rows["error"].to_pylist() == table["error"].tolist()
    broken = np.asarray(table["error"] != "")
    assert np.flatnonzero(broken).tolist() == ([] if kind == "some.h5" else [3])
    for name in ("class", "class_name", "runner_up", "p0"):
        assert [value is None for value in rows[name].to_pylist()] == broken.tolist()
    good = np.arange(len(images)) != 3
    expected = predict(images, run=model)["p4"][good]
    for found in (rows["p4"].to_numpy()[good], table["p4"][good]):
        np.testing.assert_allclose(found, expected, rtol=1e-5)
    opened = [Table.read(path) for path in sorted(out.glob("part-*"))]
    assert [name for one in opened for name in one["source"]] == table["source"].tolist()


def test_identifiers_keep_their_type_and_rows_their_place(model, sources, tmp_path):
    ids = [2**62 + 1, None, 7]
    image = (sources / "images" / "g00.png").read_bytes()
    rows = {"id": pa.array(ids, pa.int64()), "image": pa.array([image, image, None])}
    pq.write_table(pa.table(rows), tmp_path / "s.parquet")
    out = predict_survey(tmp_path / "s.parquet", tmp_path / "out", run=model, part_rows=1)
    assert {str(pq.read_schema(path).field("source").type) for path in out.glob("part-*")} == {
        "int64"
    }
    assert read(out)["source"].to_pylist() == ids
    assert "no image" in read(out)["error"].to_pylist()[2]
    path = sources / "some.h5"
    assert predict(path, run=model)["source"][7] == f"{path}[7]"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rows", [1, 5, 100])
def test_every_image_is_in_one_part(kind, rows, sources):
    parts = reading.list_parts(sources / kind, rows=rows)
    names = [source for part in parts for source, _, _ in reading.iter_part(part)]
    whole = reading.list_parts(sources / kind)
    assert names == [source for part in whole for source, _, _ in reading.iter_part(part)]
    assert len(set(names)) == 12
    assert [part.number for part in parts] == list(range(len(parts)))
    assert all(0 < part.stop - part.start <= rows for part in parts)


def test_a_stopped_survey_resumes_with_the_missing_parts_alone(
    model, sources, tmp_path, monkeypatch
):
    source, out = sources / "one.parquet", tmp_path / "out"
    whole = predict_survey(source, tmp_path / "whole", run=model, part_rows=3)
    real, done = survey.classify, []

    def stops(*arguments, **keywords):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(1)
        return real(*arguments, **keywords)

    with monkeypatch.context() as patch:
        patch.setattr(survey, "classify", stops)
        with pytest.raises(KeyboardInterrupt):
            predict_survey(source, out, run=model, part_rows=3)
    (out / ".12-00c0ffee.tmp.parquet").write_bytes(b"what a kill left")
    before = times(out)
    assert sorted(before) == ["part-000000.parquet", "part-000001.parquet"]
    predict_survey(source, out, run=model, part_rows=3)
    assert len(times(out)) == 4
    assert before.items() <= times(out).items()
    assert read(out).equals(read(whole))
    assert {path.name for path in out.iterdir()} == {*times(out), MANIFEST}
    monkeypatch.setattr(survey, "classify", stops)  # There is nothing left to classify.
    predict_survey(source, out, run=model, part_rows=3)


def test_parts_of_something_else_are_not_mixed(model, sources, tmp_path):
    out, source, target = tmp_path / "out", tmp_path / "s.parquet", tmp_path / "target.parquet"
    target.write_bytes((sources / "one.parquet").read_bytes())
    source.symlink_to(target)
    predict_survey(source, out, run=model)
    content = {path.name: path.read_bytes() for path in out.iterdir()}
    other = build_cnn(seed=4, **SMALL)
    for words, given, settings in [
        ("source", sources / "some.h5", {}),
        ("network", source, {"run": other}),
        ("symmetric", source, {"symmetric": True}),
        ("settings.*part_rows", source, {"part_rows": 5}),
        ("settings.*crop", source, {"crop": 0.5}),
    ]:
        with pytest.raises(RunError, match=f"cannot resume: .*{words}"):
            predict_survey(given, out, **{"run": model, **settings})
    os.utime(target, ns=(1, 1))  # The link itself stays as it was.
    with pytest.raises(RunError, match=r"cannot resume: .*source"):
        predict_survey(source, out, run=model)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == content
    predict_survey(sources / "some.h5", out, run=model, overwrite=True)
    manifest = json.loads((out / MANIFEST).read_text())
    assert manifest["source"]["path"] == str(sources / "some.h5")
    assert read(out).num_rows == manifest["rows"] == 12


def test_a_run_is_recorded_and_its_precision_kept(measured, sources, tmp_path, monkeypatch):
    out = predict_survey(sources / "some.h5", tmp_path / "out", run=measured, part_rows=6)
    manifest = json.loads((out / MANIFEST).read_text())
    assert manifest["network"]["network"] == measured.path.name
    assert manifest["settings"]["precision"] in ("float32", "bfloat16", "float16")
    (metadata,) = {pq.read_schema(path).metadata[b"galclass"] for path in out.glob("part-*")}
    assert json.loads(metadata)["temperature"] == measured.calibration.temperature
    (out / "part-000001.parquet").unlink()
    # As on a machine for which "auto" is something else: the first machine's choice is kept.
    fixed = "float32" if manifest["settings"]["precision"] == "bfloat16" else "bfloat16"
    with pytest.raises(RunError, match="cannot resume"):
        predict_survey(sources / "some.h5", out, run=measured, part_rows=6, precision=fixed)
    predict_survey(sources / "some.h5", out, run=str(measured.path), part_rows=6)
    assert read(out).num_rows == 12


def test_a_part_appears_whole_or_not_at_all(model, sources, tmp_path, monkeypatch):
    def full(table, path, **options):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq, "write_table", full)
    with pytest.raises(RunError, match="disk is full"):
        predict_survey(sources / "some.h5", tmp_path / "out", run=model)
    assert [path.name for path in (tmp_path / "out").iterdir()] == [MANIFEST]


def test_wrong_use_is_refused_before_anything_is_written(model, sources, images, tmp_path):
    out = tmp_path / "out"
    pq.write_table(pa.table({"id": [1], "image": ["text"]}), tmp_path / "text.parquet")
    pq.write_table(pa.table({"name": [1]}), tmp_path / "names.parquet")
    (tmp_path / "cut.parquet").write_bytes((sources / "one.parquet").read_bytes()[:-9])
    (tmp_path / "cut.h5").write_bytes((sources / "some.h5").read_bytes()[:999])
    (tmp_path / "empty").mkdir()
    two = build_cnn(classes=2, filters=((4,),), dense_units=())
    source = sources / "some.h5"
    for error, words, given, settings in [
        (FileNotFoundError, "no file", tmp_path / "gone", {}),
        (DataError, "no image in", tmp_path / "empty", {}),
        (DataError, "expected a directory", sources / "images" / "g00.png", {}),
        (DataError, "expected 'id'", tmp_path / "text.parquet", {}),
        (DataError, r"columns name \(int64\)", tmp_path / "names.parquet", {}),
        (DataError, "no whole Parquet", tmp_path / "cut.parquet", {}),
        (DataError, "damaged|HDF5", tmp_path / "cut.h5", {}),
        (ParameterError, "the path of one", images, {}),
        (DataError, "10 classes|ten classes", source, {"run": two}),
        (ParameterError, "part_rows=0", source, {"part_rows": 0}),
        (ParameterError, "crop=2", source, {"crop": 2}),
        (ParameterError, "batch_size=0", source, {"batch_size": 0}),
        (ParameterError, "are Ray's", source, {"workers": 2}),
        (ParameterError, "precision 'float8'", source, {"run": None, "precision": "float8"}),
        (RunError, "no run folder", source, {"run": tmp_path / "gone"}),
    ]:
        with pytest.raises(error, match=words):
            predict_survey(given, out, **{"run": model, **settings})
        assert not out.exists()
    inside = sources / "images" / "out"
    with pytest.raises((FileExistsError, ParameterError), match="another folder"):
        predict_survey(sources / "images", inside, run=model)
    assert not inside.exists()
    (out / "mine").mkdir(parents=True)
    for overwrite in (False, True):
        with pytest.raises(FileExistsError, match="no folder of parts"):
            predict_survey(source, out, run=model, overwrite=overwrite)


def test_a_damaged_row_of_hdf5_is_a_row_with_its_error(model, sources, tmp_path):
    path = tmp_path / "damaged.h5"
    path.write_bytes((sources / "some.h5").read_bytes())
    with h5py.File(path) as file:
        chunk = file["images"].id.get_chunk_info(5)
    with open(path, "rb+") as file:
        file.seek(chunk.byte_offset)
        file.write(b"\xff" * chunk.size)
    table = predict(path, run=model)
    assert np.flatnonzero(table["error"] != "").tolist() == [5]
    assert "[5] is damaged" in table["error"][5]


def test_compressed_chunks_of_hdf5_are_not_unpacked_for_each_row(images, tmp_path, monkeypatch):
    many = np.concatenate([images] * 10)
    with h5py.File(tmp_path / "chunks.h5", "w") as file:
        file.create_dataset("images", data=many, compression="gzip")
        assert file["images"].chunks[0] > 1
    real, reads = h5py.Dataset.__getitem__, []

    def counted(dataset, rows, *others):
        reads.append(rows)
        return real(dataset, rows, *others)

    monkeypatch.setattr(h5py.Dataset, "__getitem__", counted)
    part = reading.list_parts(tmp_path / "chunks.h5", rows=100)[1]  # without labels, too
    found = [image for _, image, _ in reading.iter_part(part)]
    np.testing.assert_array_equal(found, many[100:])
    assert len(reads) == 1
