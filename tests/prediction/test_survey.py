"""Sources of many images, and the folder of parts that their classes are written to."""

import io
import json
import os
import shutil
from functools import partial

import h5py
import numpy as np
import pytest
from astropy import units
from astropy.table import MaskedColumn, Table
from PIL import Image

from galclass import build_cnn, predict, predict_survey
from galclass.data.galaxy10 import write_galaxy10
from galclass.errors import DataError, DownloadError, ParameterError, RunError
from galclass.prediction import catalogue as catalogues
from galclass.prediction import sources as reading
from galclass.prediction import survey
from galclass.prediction.survey import MANIFEST

pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed: no Parquet")
pq = pytest.importorskip("pyarrow.parquet")

SMALL = {"filters": ((4, 4), (4,), (4,)), "dense_units": (8,)}


@pytest.fixture(scope="module")
def model():
    return build_cnn(seed=3, **SMALL)


@pytest.fixture(scope="module")
def images(like_galaxy10):
    return like_galaxy10[0][::9]


@pytest.fixture(scope="module")
def sources(images, like_galaxy10, tmp_path_factory):
    """The same twelve images as a directory, as Parquet and as HDF5; the fourth is broken."""
    path = tmp_path_factory.mktemp("sources")
    for name in ("images", "several"):
        (path / name).mkdir()
    encoded = []
    for i, image in enumerate(images):
        content = io.BytesIO()
        Image.fromarray(image).save(content, "PNG")
        encoded.append(content.getvalue()[: 3000 if i == 3 else None])
        (path / "images" / f"g{i:02d}.png").write_bytes(encoded[-1])
    rows = pa.table({"id": np.arange(100, 112), "image": pa.array(encoded, pa.binary())})
    pq.write_table(rows, path / "one.parquet", row_group_size=5)
    pq.write_table(rows[:7], path / "several" / "a.parquet", row_group_size=2)
    pq.write_table(rows[7:], path / "several" / "b.parquet")
    (path / "several" / "_metadata").write_text("not a part")
    write_galaxy10(path / "some.h5", images, like_galaxy10[1][::9])
    return path


def read(folder):
    """All rows of a folder of parts, in the order of the parts."""
    return pa.concat_tables(pq.read_table(path) for path in sorted(folder.glob("part-*")))


def files(folder):
    return {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.iterdir()}


@pytest.mark.parametrize("kind", ["images", "one.parquet", "several", "some.h5"])
@pytest.mark.parametrize("part_rows", [1, 5, 100])
def test_parts_hold_the_rows_of_the_table(kind, part_rows, model, sources, images, tmp_path):
    table, good = predict(sources / kind, run=model), np.arange(12) != 3
    out = predict_survey(sources / kind, tmp_path / "out", run=model, part_rows=part_rows)
    rows, paths = read(out), sorted(out.glob("part-*"))
    assert rows.column_names == table.colnames
    for name in ("source", "error"):
        assert rows[name].to_pylist() == table[name].tolist()
    broken = (table["error"] != "").tolist()
    assert broken == (~good & (kind != "some.h5")).tolist()
    for name in ("class", "class_name", "runner_up", "p0"):
        assert [value is None for value in rows[name].to_pylist()] == broken
    expected = predict(images, run=model)["p4"][good]
    for found in (rows["p4"].to_numpy()[good], table["p4"][good]):
        np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert [path.name for path in paths] == [f"part-{k:06d}.parquet" for k in range(len(paths))]
    assert max(pq.read_metadata(path).num_rows for path in paths) <= part_rows


@pytest.mark.parametrize("suffix", [".ecsv", ".csv", ".fits", ".xml"])
def test_parts_of_a_catalogue_hold_its_rows_in_order(suffix, model, sources, tmp_path):
    names = [f"images/g{i:02d}.png" for i in (5, 0, 3, 9, 1)]
    given = Table(
        {"objid": np.arange(5) + 2**60, "file": names, "r": [1.0, 2, 3, 4, 5] * units.mag}
    )
    given["r"] = MaskedColumn(given["r"], mask=[False] * 4 + [True])
    catalogue = sources / f"catalogue{suffix}"
    given.write(catalogue, format={".xml": "votable", ".ecsv": "ascii.ecsv"}.get(suffix))
    ask = partial(predict_survey, catalogue, run=model, part_rows=2)
    rows = read(ask(tmp_path / "out", image_column="file"))
    table = predict(given, run=model, image_column="file", folder=sources)
    assert rows.column_names == table.colnames
    assert rows["objid"].to_pylist() == given["objid"].tolist()
    assert rows["file"].to_pylist() == names
    assert rows["r"].to_pylist() == [1, 2, 3, 4, None]
    assert rows["class"].to_pylist() == table["class"].tolist()
    assert [bool(error) for error in rows["error"].to_pylist()] == [0, 0, 1, 0, 0]
    with pytest.raises(RunError, match="cannot resume"):
        ask(tmp_path / "out", image_column="objid")
    with pytest.raises(DataError, match="expected 'image' with image files, or ra and dec"):
        ask(tmp_path / "none")


def test_a_catalogue_that_no_part_can_hold_is_refused_before_the_work(model, sources, tmp_path):
    columns = {
        "p3": ([1.0] * 3, "p3"),
        "wide": ([[[1, 2]]] * 3, "cannot be written.*leave columns out$"),
        "mixed": (np.array([None, None, "x"], object), "'mixed' has values of several kinds"),
        "lists": (np.array([[1], [2.5], []], object), "'lists' has values of several kinds"),
    }
    for name, (column, reason) in columns.items():
        given = Table({"image": ["images/g00.png"] * 3, name: column})
        given.write(sources / f"{name}.ecsv")
        with pytest.raises(DataError, match=reason):
            predict_survey(sources / f"{name}.ecsv", tmp_path / "out", run=model, part_rows=1)
    assert not (tmp_path / "out").exists()


def test_a_catalogue_that_changes_during_a_survey_is_classified_as_it_was(
    model, sources, tmp_path, monkeypatch
):
    path, files = tmp_path / "c.csv", [sources / "images" / f"g{i:02d}.png" for i in (0, 1, 2)]
    Table({"image": [str(file) for file in files], "id": [0, 1, 2]}).write(path)
    classify = survey.classify

    def change(*given, **settings):
        Table({"image": [str(file) for file in files[::-1]], "id": [2, 1, 0]}).write(
            path, overwrite=True
        )
        return classify(*given, **settings)

    monkeypatch.setattr(survey, "classify", change)
    rows = read(predict_survey(path, tmp_path / "out", run=model, part_rows=1))
    assert rows["id"].to_pylist() == [0, 1, 2]


def test_a_survey_whose_image_files_changed_or_arrived_is_not_resumed(model, sources, tmp_path):
    Table({"image": ["a.png", "b.png"]}).write(tmp_path / "c.csv")
    shutil.copy(sources / "images" / "g00.png", tmp_path / "a.png")
    ask = partial(predict_survey, tmp_path / "c.csv", tmp_path / "out", run=model)
    assert [bool(error) for error in read(ask())["error"].to_pylist()] == [False, True]
    shutil.copy(sources / "images" / "g01.png", tmp_path / "b.png")
    with pytest.raises(RunError, match="cannot resume"):
        ask()


def test_a_service_that_fails_stops_a_survey_which_asks_again(
    model, sources, tmp_path, monkeypatch
):
    answers = {1.0: sources / "images" / "g00.png", 3.0: DataError("outside the SDSS footprint")}

    def answer(ra, dec):
        found = answers.get(ra, DownloadError("no answer; try again later"))
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr(catalogues, "sdss_cutout", answer)
    Table({"ra": [1.0, 2, 3], "dec": [0.0] * 3}).write(tmp_path / "c.csv")
    ask = partial(predict_survey, tmp_path / "c.csv", tmp_path / "out", run=model, part_rows=1)
    with pytest.raises(DownloadError, match=r"row 1, .*no answer; try again later, with the same"):
        ask()
    answers[2.0] = answers[1.0]
    errors = read(ask())["error"].to_pylist()
    assert errors[:2] == ["", ""]
    assert errors[2].endswith("outside the SDSS footprint")


def test_a_row_of_a_catalogue_has_its_number_in_all_parts(model, sources, tmp_path):
    given = Table({"ra": [400.0, 500.0, 600.0], "dec": [0.0] * 3})
    given.write(tmp_path / "positions.ecsv")
    ask = partial(predict_survey, tmp_path / "positions.ecsv", run=model, part_rows=1)
    sources = read(ask(tmp_path / "out"))["source"].to_pylist()
    assert [source[:5] for source in sources] == ["row 0", "row 1", "row 2"]


def test_identifiers_keep_their_type_and_rows_their_place(model, sources, tmp_path):
    ids, image = [2**62 + 1, None, 7], (sources / "images" / "g00.png").read_bytes()
    rows = {"id": pa.array(ids, pa.int64()), "image": pa.array([image, image, None])}
    pq.write_table(pa.table(rows), tmp_path / "s.parquet")
    rows = read(predict_survey(tmp_path / "s.parquet", tmp_path / "out", run=model, part_rows=1))
    assert str(rows["source"].type) == "int64"
    assert rows["source"].to_pylist() == ids
    assert "no image" in rows["error"].to_pylist()[2]
    path = sources / "some.h5"
    assert predict(path, run=model)["source"][7] == f"{path}[7]"


def test_a_survey_that_a_full_disk_stops_resumes_with_the_missing_parts_alone(
    model, sources, tmp_path, monkeypatch
):
    ask = partial(predict_survey, sources / "one.parquet", run=model, part_rows=3)
    out, write, done = tmp_path / "out", pq.write_table, []

    def full(table, path, **options):
        write(table, path, **options)
        done.append(path)
        if len(done) > 2:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq, "write_table", full)
    with pytest.raises(RunError, match="full"):
        ask(out)
    before = files(out)
    assert sorted(before) == [MANIFEST, "part-000000.parquet", "part-000001.parquet"]
    (out / ".12-00c0ffee.tmp.parquet").write_bytes(b"what a kill left")
    monkeypatch.setattr(pq, "write_table", write)
    assert read(ask(out)).equals(read(ask(tmp_path / "whole")))
    assert before.items() <= files(out).items()
    assert len(files(out)) == 5
    monkeypatch.setattr(survey, "classify", None)  # There is nothing left to classify.
    ask(out)


def test_parts_of_something_else_are_not_mixed(model, sources, tmp_path):
    source, target = tmp_path / "s.parquet", tmp_path / "target.parquet"
    target.write_bytes((sources / "one.parquet").read_bytes())
    source.symlink_to(target)
    settings = {"source": source, "out": tmp_path / "out", "run": model}
    out = predict_survey(**settings)
    before = files(out)
    for name, value, words in (
        ("source", sources / "some.h5", "source"),
        ("run", build_cnn(seed=4, **SMALL), "network"),
        ("symmetric", True, "symmetric"),
        ("part_rows", 5, "part_rows"),
        ("crop", 0.5, "crop"),
    ):
        with pytest.raises(RunError, match=f"resume.*{words}"):
            predict_survey(**{**settings, name: value})
    os.utime(target, ns=(1, 1))  # The link itself stays as it was.
    with pytest.raises(RunError, match=r"resume.*source"):
        predict_survey(**settings)
    assert files(out) == before
    predict_survey(sources / "some.h5", out, run=model, overwrite=True)
    manifest = json.loads((out / MANIFEST).read_text())
    assert manifest["source"]["path"] == str(sources / "some.h5")
    assert read(out).num_rows == manifest["rows"] == 12


def test_a_run_is_recorded_and_its_precision_kept(measured, sources, tmp_path):
    ask = partial(predict_survey, sources / "some.h5", tmp_path / "out", part_rows=6)
    out = ask(run=measured)
    manifest = json.loads((out / MANIFEST).read_text())
    assert manifest["network"]["network"] == measured.path.name
    (metadata,) = {pq.read_schema(path).metadata[b"galclass"] for path in out.glob("part-*")}
    assert json.loads(metadata)["temperature"] == measured.calibration.temperature
    (out / "part-000001.parquet").unlink()
    # As on a machine for which "auto" is something else: the first machine's choice is kept.
    fixed = "float32" if manifest["settings"]["precision"] == "bfloat16" else "bfloat16"
    with pytest.raises(RunError, match="resume"):
        ask(run=measured, precision=fixed)
    assert read(ask(run=str(measured.path))).num_rows == 12


# Those that the commands refuse are in test_bad_input.py.
def test_wrong_use_is_refused_before_anything_is_written(model, sources, images, tmp_path):
    source, made = sources / "some.h5", tmp_path / "made"
    made.mkdir()
    pq.write_table(pa.table({"id": [1], "image": ["text"]}), tmp_path / "text.parquet")
    (tmp_path / "cut.parquet").write_bytes((sources / "one.parquet").read_bytes()[:-9])
    (tmp_path / "cut.h5").write_bytes(source.read_bytes()[:999])
    grey = build_cnn(input_shape=(69, 69, 1), filters=((4,),), dense_units=())
    for error, words, given, settings in [
        (DataError, "no image", made, {}),
        (DataError, "expected a directory", sources / "images" / "g00.png", {}),
        (DataError, r"image \(string\).*expected 'id'", tmp_path / "text.parquet", {}),
        (DataError, "Parquet", tmp_path / "cut.parquet", {}),
        (DataError, "damaged|HDF5", tmp_path / "cut.h5", {}),
        (ParameterError, "path", images, {}),
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


def test_a_damaged_row_of_hdf5_is_a_row_with_its_error(model, sources, tmp_path):
    path = tmp_path / "damaged.h5"
    path.write_bytes((sources / "some.h5").read_bytes())
    with h5py.File(path) as file, open(path, "rb+") as raw:
        chunk = file["images"].id.get_chunk_info(5)
        raw.seek(chunk.byte_offset)
        raw.write(b"\xff" * chunk.size)
    errors = predict(path, run=model)["error"].tolist()
    assert [i for i, error in enumerate(errors) if error] == [5]
    assert "[5]" in errors[5]


def test_compressed_chunks_of_hdf5_are_not_unpacked_for_each_row(images, tmp_path, monkeypatch):
    many, real, reads = np.concatenate([images] * 10), h5py.Dataset.__getitem__, []
    with h5py.File(tmp_path / "chunks.h5", "w") as file:  # without labels, too
        file.create_dataset("images", data=many, compression="gzip")
        assert file["images"].chunks[0] > 1

    def counted(dataset, rows, *others):
        reads.append(rows)
        return real(dataset, rows, *others)

    monkeypatch.setattr(h5py.Dataset, "__getitem__", counted)
    part = reading.list_parts(tmp_path / "chunks.h5", rows=100)[1]
    found = [image for _, image, _ in reading.iter_part(part)]
    np.testing.assert_array_equal(found, many[100:])
    assert len(reads) == 1
