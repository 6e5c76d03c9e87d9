"""Answers that were once wrong, or work that was once lost, without a word."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace

import h5py
import numpy as np
import pytest
from astropy import units
from astropy.table import MaskedColumn, Table
from PIL import Image

import galclass
from galclass import (
    evaluate,
    load_data,
    load_pretrained,
    load_run,
    plot_predictions,
    predict,
    predict_survey,
    train,
)
from galclass.data.dataset import Origin
from galclass.data.labelled import read_catalogue
from galclass.errors import DataError, ParameterError, RunError
from galclass.evaluation.pack import pack
from galclass.network.symmetry import hash_images
from galclass.prediction.catalogue import check_writable
from galclass.prediction.table import write_table
from galclass.run import Run
from galclass.studies import load_study

QUICK = {"epochs": 1, "precision": "float32", "verbose": False}
MASK = np.arange(100) == 3


@pytest.mark.parametrize("suffix", ["ecsv", "fits", "parquet", "xml"])
def test_integer_identifiers_keep_every_digit(suffix, measured, images_of_brightness, tmp_path):
    pa, pq = (pytest.importorskip(f"pyarrow{name}") for name in ("", ".parquet"))
    Image.fromarray(images_of_brightness[0][0]).save(tmp_path / "a.png")
    encoded, ids = (tmp_path / "a.png").read_bytes(), [2**63 + 12345, 7, 2**64 - 3]
    rows = {"id": pa.array(ids, pa.uint64()), "image": [encoded] * 3}
    pq.write_table(pa.table(rows), tmp_path / "u.parquet")
    table = predict(tmp_path / "u.parquet", run=measured)
    assert table["source"].dtype == np.uint64
    write_table(table, tmp_path / f"t.{suffix}")
    assert [int(one) for one in Table.read(tmp_path / f"t.{suffix}")["source"]] == ids


@pytest.mark.parametrize("suffix", ["ecsv", "csv", "fits", "parquet", "xml"])
def test_odd_names_lose_no_row_and_break_no_table(suffix, measured, images_of_brightness, tmp_path):
    names = ["#1.png", "bell\x07.png", "line\nbreak.png", "plain.png"]
    for name in names:
        Image.fromarray(images_of_brightness[0][0]).save(tmp_path / name)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        write_table(predict(names, run=measured), f"t.{suffix}")
        found = Table.read(f"t.{suffix}", **({"format": "ascii.csv"} if suffix == "csv" else {}))
    assert [str(name) for name in found["source"]][::3] == names[::3]
    assert len(found) == 4


@pytest.mark.slow
def test_evaluating_writes_neither_into_the_package_nor_for_another_way_of_averaging(
    copied, images_of_brightness, like_galaxy10
):
    before = {path: path.read_bytes() for path in copied.path.rglob("*") if path.is_file()}
    assert evaluate(copied, *images_of_brightness, symmetric=np.True_)["symmetric"] is True
    assert {path: path.read_bytes() for path in copied.path.rglob("*") if path.is_file()} == before
    folder = load_pretrained().path
    with pytest.warns(UserWarning, match="not independent"):
        assert evaluate(load_pretrained(), *like_galaxy10, other="x")["galaxies"] == 100
    assert not (folder / "others").exists()


@pytest.mark.parametrize(
    "bad",
    [
        np.ma.masked_array(np.ones((9, 9)), mask=np.eye(9)),
        np.ones((9, 9)) * units.Jy,
    ],
)
def test_a_mask_or_a_unit_is_never_dropped(bad, images_of_brightness, tmp_path):
    with pytest.raises(DataError, match=r"mask|unit"):
        galclass.prepare((bad, bad, bad))
    images, labels = images_of_brightness
    with pytest.raises(DataError, match="masked"):
        train(images, np.ma.masked_array(labels, mask=MASK), out=tmp_path / "x")


def test_overwriting_a_survey_or_a_run_deletes_nothing_but_it(
    measured, images_of_brightness, tmp_path
):
    pytest.importorskip("pyarrow", reason="pyarrow is not installed: no Parquet")
    source, out = tmp_path / "images", tmp_path / "out"
    source.mkdir()
    Image.fromarray(images_of_brightness[0][0]).save(source / "a.png")
    predict_survey(source, out, run=measured)
    (out / "mine").mkdir()
    (out / "mine" / "thesis.txt").write_text("years of work")
    predict_survey(source, out, run=measured, symmetric=np.False_, overwrite=True)
    run = shutil.copytree(measured.path, tmp_path / "run")
    (run / "notes.txt").write_text("years of work")
    train(*images_of_brightness, out=run, overwrite=True, **QUICK)
    assert (out / "mine" / "thesis.txt").read_text() == (run / "notes.txt").read_text()
    assert not (run / "metrics.json").exists()


def test_a_survey_that_began_meanwhile_is_not_deleted(measured, images_of_brightness, tmp_path):
    pytest.importorskip("pyarrow", reason="pyarrow is not installed: no Parquet")
    (tmp_path / "images").mkdir()
    Image.fromarray(images_of_brightness[0][0]).save(tmp_path / "images" / "a.png")
    settings = {"source": tmp_path / "images", "out": tmp_path / "out", "run": measured}
    with pytest.MonkeyPatch.context() as patch:
        from galclass.prediction import survey

        real = survey.locked

        def locked(folder):
            patch.undo()
            predict_survey(**settings, symmetric=True)  # By another process, just before.
            return real(folder)

        patch.setattr(survey, "locked", locked)
        with pytest.raises(RunError, match="cannot resume"):
            predict_survey(**settings, symmetric=False)
    assert len(Table.read(tmp_path / "out" / "part-000000.parquet")) == 1


@pytest.mark.slow
def test_a_run_without_a_correction_of_the_class_mix_is_packed(
    measured, images_of_brightness, tmp_path
):
    packed = pack(measured, *images_of_brightness, out=tmp_path / "packed")
    assert packed.metrics["uncorrected"] is None
    assert "Without it" not in (packed.path / "README.md").read_text()


def test_a_start_is_never_the_folder_that_it_goes_into(copied, images_of_brightness):
    with pytest.raises(ParameterError, match="out and start"):
        train(*images_of_brightness, out=copied.path, start=copied, overwrite=True, **QUICK)
    assert load_run(copied.path).manifest["status"] == "complete"


def test_an_unfinished_run_says_so(copied, images_of_brightness):
    manifest = copied.manifest | {"status": "training"}
    (copied.path / "manifest.json").write_text(json.dumps(manifest))
    images, labels = images_of_brightness
    for call in (
        lambda: predict(images[:1], run=copied.path),
        lambda: evaluate(copied.path, images, labels),
        lambda: evaluate(copied.path, images + 1, labels, other="x"),
    ):
        with pytest.raises(RunError, match=r"unfinished.*resume"):
            call()


def test_other_results_say_whose_they_are_and_replace_no_others(copied, images_of_brightness):
    images, labels = images_of_brightness
    origin = load_data("simulated", n=30).origin
    metrics = evaluate(copied, images[:20] + 1, labels[:20], origin, other="a")
    assert (metrics["origin"]["galaxies"], metrics["origin"]["sha256"] == origin.sha256) == (20, 0)
    with pytest.raises(RunError, match="other galaxies"):
        evaluate(copied, images + 1, labels, other="a")
    with pytest.raises(ParameterError, match="other=5"):
        evaluate(copied, images + 1, labels, other=5)


def test_a_mirrored_galaxy_is_the_same_galaxy(images_of_brightness):
    images = images_of_brightness[0][:5]
    for changed in (images[:, ::-1], images[:, :, ::-1], images.swapaxes(1, 2)):
        np.testing.assert_array_equal(hash_images(changed), hash_images(images))
    assert len(set(hash_images(images).tolist())) == 5


def test_the_empty_path_is_no_folder(tmp_path, monkeypatch, images_of_brightness):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(images_of_brightness[0][0]).save("a.png")
    with pytest.raises(FileNotFoundError):
        predict("")
    with pytest.raises(ParameterError, match="out=''"):
        train(*images_of_brightness, out="", **QUICK)
    with pytest.raises(RunError, match="no run folder"):
        load_run("")


def test_a_copy_beside_the_runs_of_a_study_is_no_run_of_it(copied, tmp_path):
    for name in ("seed-0", "seed-10", "seed-2", "seed-0.bak"):
        shutil.copytree(copied.path, tmp_path / "study" / name)
    found = [run.path.name for run in load_study(tmp_path / "study")]
    assert found == ["seed-0", "seed-2", "seed-10"]


def test_an_array_of_names_is_several_images_and_a_picture_is_turned_as_its_file(
    measured, images_of_brightness, tmp_path
):
    image = Image.fromarray(images_of_brightness[0][0])
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / "a.png", exif=exif)
    names = np.array([str(tmp_path / "a.png")] * 2)
    assert len(predict(names, run=measured)) == 2
    with Image.open(names[0]) as opened:
        np.testing.assert_array_equal(galclass.prepare(opened), galclass.prepare(str(names[0])))
    image.save(tmp_path / "key.png", transparency=image.getpixel((0, 0)))
    with pytest.raises(DataError, match="transparent"):
        galclass.prepare(tmp_path / "key.png")


@pytest.mark.slow
def test_another_backend_of_keras_is_named_in_one_line():
    program = [sys.executable, "-m", "galclass", "predict", os.devnull]
    environment = {**os.environ, "KERAS_BACKEND": "jax"}
    done = subprocess.run(program, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "KERAS_BACKEND=tensorflow" in done.stderr


def test_parquet_catalogues_keep_units_masks_and_long_numbers(tmp_path):
    pa, pq = (pytest.importorskip(f"pyarrow{name}") for name in ("", ".parquet"))
    ids = [17, 2**63 + 1, 2**63 + 2]
    table = Table({"id": np.array(ids, np.uint64), "ra": [3.5, 1.0, 2.0] * units.rad})
    table["ra"] = MaskedColumn(table["ra"], mask=[False, True, False])
    table.write(tmp_path / "astropy.parquet")
    write_table(table, tmp_path / "own.parquet")
    for name in ("astropy", "own"):
        read = read_catalogue(tmp_path / f"{name}.parquet")
        assert read.colnames == ["id", "ra"]
        assert read["id"].tolist() == ids
        assert read["ra"].unit == units.rad
        assert read["ra"].tolist() == [3.5, None, 2.0]
    pq.write_table(pa.table({"id": pa.array([None, *ids], pa.uint64())}), tmp_path / "p.parquet")
    assert read_catalogue(tmp_path / "p.parquet")["id"].tolist() == [None, *ids]


def test_a_column_that_is_named_and_not_there_is_never_replaced_by_positions(measured):
    table = Table({"file": ["mine.png"], "ra": [10.0], "dec": [2.0]})
    with pytest.raises(DataError, match=r"expected 'fille' with image files$"):
        predict(table, run=measured, image_column="fille")


def test_real_galaxies_are_never_said_to_be_others_than_galaxy10s(images_of_brightness):
    run = load_pretrained()
    origin = Origin.of_arrays(*images_of_brightness)
    hashes = np.arange(3, dtype=np.uint64)
    for kind, expected in (("file", False), ("simulated", True), ("decals", True)):
        assert run.is_independent(replace(origin, kind=kind, name="mine"), hashes) is expected


def test_predictions_are_shown_as_the_network_saw_them(images_of_brightness, measured):
    edges = np.full((80, 80, 3), 255, np.uint8)
    edges[10:70, 10:70] = 0
    table = predict(edges, run=measured)
    assert table.meta["crop"] == 1
    (shown,) = (ax for ax in plot_predictions(table, edges).axes if ax.images)
    assert np.asarray(shown.images[0].get_array())[0].min() > 200


def test_the_galaxy_at_the_threshold_is_in_the_sample(measured, images_of_brightness, monkeypatch):
    (probability,) = predict(images_of_brightness[0][:1], run=measured)["probability"]
    cut = np.nextafter(np.float64(probability), 2)
    monkeypatch.setattr(Run, "thresholds", lambda *_, **__: Table({"threshold": [cut] * 10}))
    assert predict(images_of_brightness[0][:1], run=measured, purity=0.5)["selected"][0]


@pytest.mark.parametrize("side", [24, 300])
def test_images_that_are_not_taken_as_they_are_are_said_to_be_cropped(side, tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
        Image.new("RGB", (side, side)).save(tmp_path / name / "one.png")
    with pytest.warns(UserWarning, match=f"1 sizes .{side} x {side} .*cropped and scaled"):
        load_data(tmp_path)


def test_a_file_that_is_listed_twice_is_said(tmp_path):
    rows = ["image,label"]
    for name in ("a.png", "b.png"):
        Image.new("RGB", (40, 40)).save(tmp_path / name)
        rows.append(f"{name},{name[0]}")
    (tmp_path / "c.csv").write_text("\n".join([*rows, "a.png,b"]))
    with pytest.warns(UserWarning, match="1 rows name a file that another row names"):
        load_data(tmp_path / "c.csv")


@pytest.mark.parametrize("kind", ["u1", "i2", "u2", "i4", "u4", "i8"])
def test_no_number_of_a_catalogue_becomes_null_in_fits(kind, tmp_path):
    numbers = [int(np.iinfo(kind).max), 63, 16959, 0, int(np.iinfo(kind).min)]
    numbers = [number for number in numbers if number <= np.iinfo(kind).max]
    column = MaskedColumn(np.array([*numbers, 5], kind), mask=[False] * len(numbers) + [True])
    write_table(Table({"votes": column}), tmp_path / "t.fits")
    assert Table.read(tmp_path / "t.fits")["votes"].tolist() == [*numbers, None]


@pytest.mark.parametrize("suffix", [".csv", ".ecsv"])
def test_text_that_would_break_a_table_is_refused_before_the_work(suffix):
    with pytest.raises(DataError, match="'note': text with a line that begins with #"):
        check_writable(Table({"note": ["see\n#2", "b"]}), suffix)


def test_decimals_with_more_digits_than_a_real_number_has_stay_text(tmp_path):
    path = tmp_path / "c.csv"
    path.write_text("id,value\n1237648722295423106.0,-05.10\n")
    row = read_catalogue(path)[0]
    assert (str(row["id"]), row["value"]) == ("1237648722295423106.0", -5.1)


@pytest.mark.parametrize("name", ["Class", "SOURCE"])
def test_names_that_fits_does_not_tell_apart_are_refused(name, measured):
    with pytest.raises(DataError, match="rename"):
        predict(Table({"image": ["a.png"], name: [1]}), run=measured)


def test_names_of_classes_as_h5py_writes_a_list_are_read(tmp_path):
    with h5py.File(tmp_path / "own.h5", "w") as file:
        file["images"], file["ans"] = np.zeros((6, 69, 69, 3), np.uint8), np.arange(6) % 3
        file.attrs["class_names"] = ["disk", "smooth", "spiral"]
    assert load_data(tmp_path / "own.h5").origin.class_names == ("disk", "smooth", "spiral")
