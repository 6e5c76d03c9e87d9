"""Sources of many pictures, and the folder of parts that their classes are written to."""

import io
import json
import os

import numpy as np
import pytest
from PIL import Image

from galclass import build_cnn, predict, survey
from galclass.galaxy10 import DataError, write_galaxy10
from galclass.runs import RunError
from galclass.survey import MANIFEST, is_survey, list_parts

pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed: no Parquet")
pq = pytest.importorskip("pyarrow.parquet")


@pytest.fixture(scope="module")
def model():
    return build_cnn(seed=3, filters=((4, 4), (4,), (4,)), dense_units=(8,))


@pytest.fixture(scope="module")
def images(pictures):
    return pictures[0][::9]


@pytest.fixture(scope="module")
def sources(images, pictures, tmp_path_factory):
    """The same twelve pictures as a directory, as Parquet and as HDF5; the fourth is broken."""
    path = tmp_path_factory.mktemp("sources")
    (path / "pictures").mkdir()
    encoded = []
    for i, image in enumerate(images):
        content = io.BytesIO()
        Image.fromarray(image).save(content, "PNG")
        content = content.getvalue()[: 3000 if i == 3 else None]
        encoded.append(content)
        (path / "pictures" / f"g{i:02d}.png").write_bytes(content)
    rows = pa.table({"id": np.arange(100, 112), "image": pa.array(encoded, pa.binary())})
    pq.write_table(rows, path / "one.parquet", row_group_size=5)
    (path / "several").mkdir()
    pq.write_table(rows[:7], path / "several" / "a.parquet", row_group_size=2)
    pq.write_table(rows[7:], path / "several" / "b.parquet")
    (path / "several" / "_metadata").write_text("not a part")
    write_galaxy10(path / "some.h5", images, pictures[1][::9])
    return path


def read(folder):
    """All rows of a folder of parts, in the order of the parts."""
    return pa.concat_tables(pq.read_table(path) for path in sorted(folder.glob("part-*")))


KINDS = ["pictures", "one.parquet", "several", "some.h5"]


@pytest.mark.parametrize("kind", KINDS)
def test_parts_hold_the_same_rows_as_the_table(kind, model, sources, tmp_path):
    table = predict(model, sources / kind)
    out = predict(model, sources / kind, out=tmp_path / "out.parquet", part_rows=5)
    rows = read(out)
    assert rows.column_names == table.colnames
    assert rows["source"].to_pylist() == table["source"].tolist()
    assert rows["error"].to_pylist() == table["error"].tolist()
    broken = np.asarray(table["error"] != "")
    assert np.flatnonzero(broken).tolist() == ([] if kind == "some.h5" else [3])
    for name in ("class", "class_name", "runner_up", "p0"):
        assert [value is None for value in rows[name].to_pylist()] == broken.tolist()
    np.testing.assert_allclose(
        rows["p2"].to_numpy()[~broken], np.asarray(table["p2"])[~broken], rtol=1e-5
    )
    assert rows["class"].to_pylist()[-1] == table["class"][-1]


def test_all_kinds_of_sources_give_the_same_probabilities(model, sources, images):
    expected = predict(model, images)["p4"]
    good = np.arange(len(images)) != 3
    for kind in KINDS:
        found = predict(model, sources / kind)
        np.testing.assert_allclose(found["p4"][good], expected[good], rtol=1e-5)
    assert predict(model, sources / "one.parquet")["source"].tolist()[:2] == ["100", "101"]
    path = sources / "some.h5"
    assert predict(model, path)["source"][7] == f"{path}[7]"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rows", [1, 3, 5, 100])
def test_every_picture_is_in_one_part(kind, rows, sources):
    parts = list_parts(sources / kind, rows=rows)
    names = [source for part in parts for source, _, _ in survey.iter_part(part)]
    everything = [source for source, _, _ in survey.iter_part(list_parts(sources / kind)[0])]
    if kind == "several":
        everything = [str(i) for i in range(100, 112)]
    assert names == everything
    assert len(set(names)) == 12
    assert [part.number for part in parts] == list(range(len(parts)))
    assert all(0 < part.stop - part.start <= rows for part in parts)


def test_a_stopped_run_goes_on_with_the_missing_parts_alone(model, sources, tmp_path, monkeypatch):
    out = tmp_path / "out.parquet"
    whole = predict(model, sources / "one.parquet", out=tmp_path / "whole.parquet", part_rows=3)
    real, done = survey.classify, []

    def stops(*arguments, **keywords):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(1)
        return real(*arguments, **keywords)

    with monkeypatch.context() as patch:
        patch.setattr(survey, "classify", stops)
        with pytest.raises(KeyboardInterrupt):
            predict(model, sources / "one.parquet", out=out, part_rows=3)
    (out / ".12-00c0ffee.part-000002.parquet").write_bytes(b"what a kill left")
    before = {path.name: path.stat().st_mtime_ns for path in out.glob("part-*")}
    assert sorted(before) == ["part-000000.parquet", "part-000001.parquet"]
    predict(model, sources / "one.parquet", out=out, part_rows=3)
    after = {path.name: path.stat().st_mtime_ns for path in out.glob("part-*")}
    assert len(after) == 4
    assert before.items() <= after.items()
    assert read(out).equals(read(whole))
    assert {path.name for path in out.iterdir()} == {*after, MANIFEST}
    with monkeypatch.context() as patch:
        patch.setattr(survey, "classify", stops)
        predict(model, sources / "one.parquet", out=out, part_rows=3)


def test_parts_of_something_else_are_not_mixed(model, sources, tmp_path):
    out, source = tmp_path / "out.parquet", tmp_path / "s.parquet"
    source.write_bytes((sources / "one.parquet").read_bytes())
    predict(model, source, out=out)
    content = {path.name: path.read_bytes() for path in out.iterdir()}
    other = build_cnn(seed=4, filters=((4, 4), (4,), (4,)), dense_units=(8,))
    for words, arguments in {
        "source": (model, sources / "some.h5", {}),
        "network": (other, source, {}),
        "settings.*symmetric": (model, source, {"symmetric": False}),
        "settings.*part_rows": (model, source, {"part_rows": 5}),
        "settings.*crop": (model, source, {"crop": 0.5}),
    }.items():
        network, pictures, settings = arguments
        with pytest.raises(RunError, match=f"cannot go on: .*{words}"):
            predict(network, pictures, out=out, **settings)
    os.utime(source, ns=(1, 1))
    with pytest.raises(RunError, match=r"cannot go on: .*source"):
        predict(model, source, out=out)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == content
    predict(model, sources / "some.h5", out=out, overwrite=True)
    manifest = json.loads((out / MANIFEST).read_text())
    assert manifest["source"]["path"] == str(sources / "some.h5")
    assert read(out).num_rows == manifest["rows"] == 12


def test_a_part_appears_whole_or_not_at_all(model, sources, tmp_path, monkeypatch):
    out = tmp_path / "out.parquet"

    def full(table, path):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(survey, "_write_parquet", full)
        with pytest.raises(RunError, match="disk is full"):
            predict(model, sources / "some.h5", out=out)
    assert [path.name for path in out.iterdir()] == [MANIFEST]


def test_wrong_use_is_refused_before_anything_is_written(model, sources, images, tmp_path):
    out = tmp_path / "out.parquet"
    pq.write_table(pa.table({"id": [1], "image": ["text"]}), tmp_path / "text.parquet")
    pq.write_table(pa.table({"name": [1]}), tmp_path / "names.parquet")
    (tmp_path / "cut.parquet").write_bytes((sources / "one.parquet").read_bytes()[:-9])
    (tmp_path / "cut.h5").write_bytes((sources / "some.h5").read_bytes()[:999])
    (tmp_path / "empty").mkdir()
    two = build_cnn(classes=2, filters=((4,),), dense_units=())
    source = sources / "some.h5"
    for error, words, arguments, settings in [
        (FileNotFoundError, "no file", (model, tmp_path / "gone"), {}),
        (DataError, "no picture in", (model, tmp_path / "empty"), {}),
        (DataError, "expected a directory", (model, sources / "pictures" / "g00.png"), {}),
        (DataError, "expected 'id'", (model, tmp_path / "text.parquet"), {}),
        (DataError, r"columns name \(int64\)", (model, tmp_path / "names.parquet"), {}),
        (DataError, "no whole Parquet", (model, tmp_path / "cut.parquet"), {}),
        (DataError, "damaged|HDF5", (model, tmp_path / "cut.h5"), {}),
        (ValueError, "the path of one", (model, images), {}),
        (DataError, "2 classes, expected 10", (two, source), {}),
        (ValueError, "part_rows=0", (model, source), {"part_rows": 0}),
        (ValueError, "crop=2", (model, source), {"crop": 2}),
        (ValueError, "batch_size=0", (model, source), {"batch_size": 0}),
        (ValueError, "engine='dask'", (model, source), {"engine": "dask"}),
        (ValueError, "are Ray's", (model, source), {"workers": 2}),
        (ValueError, "unknown precision", (None, source), {"precision": "float8"}),
        (RunError, "no run folder", (tmp_path / "gone", source), {}),
    ]:
        with pytest.raises(error, match=words):
            predict(*arguments, out=out, **settings)
        assert not out.exists()
    with pytest.raises(ValueError, match=r"NAME\.parquet"):
        predict(model, source, out=tmp_path / "out")
    with pytest.raises(ValueError, match="engine='ray' given without out"):
        predict(model, source, engine="ray")
    (out / "mine").mkdir(parents=True)
    for overwrite in (False, True):
        with pytest.raises(FileExistsError, match="no folder of parts"):
            predict(model, source, out=out, overwrite=overwrite)


def test_a_damaged_row_of_hdf5_is_a_row_with_its_error(model, sources, images, tmp_path):
    import h5py

    path = tmp_path / "damaged.h5"
    path.write_bytes((sources / "some.h5").read_bytes())
    with h5py.File(path) as file:
        chunk = file["images"].id.get_chunk_info(5)
    with open(path, "rb+") as file:
        file.seek(chunk.byte_offset)
        file.write(b"\xff" * chunk.size)
    table = predict(model, path)
    assert np.flatnonzero(table["error"] != "").tolist() == [5]
    assert "[5] is damaged" in table["error"][5]


def test_compressed_chunks_of_hdf5_are_not_unpacked_for_each_row(images, tmp_path, monkeypatch):
    import h5py

    many = np.concatenate([images] * 10)
    with h5py.File(tmp_path / "chunks.h5", "w") as file:
        file.create_dataset("images", data=many, compression="gzip")
        assert file["images"].chunks[0] > 1
    real, reads = h5py.Dataset.__getitem__, []

    def counted(dataset, rows, *others):
        reads.append(rows)
        return real(dataset, rows, *others)

    monkeypatch.setattr(h5py.Dataset, "__getitem__", counted)
    part = list_parts(tmp_path / "chunks.h5", rows=100)[1]
    found = [image for _, image, _ in survey.iter_part(part)]
    np.testing.assert_array_equal(found, many[100:])
    assert len(reads) == 1


def test_without_labels_hdf5_is_a_source(model, images, tmp_path):
    import h5py

    with h5py.File(tmp_path / "images.h5", "w") as file:
        file["images"] = images
    assert is_survey(tmp_path / "images.h5")
    assert len(predict(model, tmp_path / "images.h5")) == len(images)
