"""Your own classes, sizes, folders and catalogues go through the whole of galclass."""

import datetime
import json
import shutil
from dataclasses import replace

import h5py
import numpy as np
import pytest
from astropy import units
from astropy.coordinates import SkyCoord
from astropy.table import MaskedColumn, Table
from PIL import Image

import galclass
from galclass import evaluate, load_data, load_galaxy10, load_pretrained, load_run, predict, train
from galclass.data.dataset import Dataset, Origin, write_data
from galclass.data.galaxy10 import DECALS_NAMES, write_galaxy10
from galclass.data.labelled import read_catalogue
from galclass.errors import DataError, ParameterError
from galclass.prediction.catalogue import check_writable
from galclass.prediction.table import write_table

NAMES = ("disk | thin", "smooth", "spiral")
SIDE = 36


@pytest.fixture(scope="session")
def folder(made_once):
    """A folder of 60 images of three classes, told by brightness, and a catalogue of the same."""

    def make(base):
        rng = np.random.default_rng(1)
        rows = []
        for number in range(60):
            name = NAMES[number % 3]
            (base / "images" / name).mkdir(parents=True, exist_ok=True)
            pixels = rng.integers(0, 60, (SIDE, SIDE, 3)) + 80 * (number % 3)
            path = base / "images" / name / f"{number:02d}.png"
            Image.fromarray(pixels.astype(np.uint8)).save(path)
            rows.append((10**17 + number, str(path.relative_to(base)), name, number / 2))
        table = Table(rows=rows, names=("id", "file", "kind", "redshift"))
        table["redshift"].unit = units.km / units.s
        table.write(base / "galaxies.ecsv")

    return made_once("own", make)


@pytest.fixture(scope="session")
def own(folder, made_once):
    """An evaluated run on them, with its figures."""

    def make(out):
        data = load_data(folder / "images")
        run = train(*data, out=out, recipe="quick", precision="float32", verbose=False)
        evaluate(run, *data)
        galclass.save_figures(run)

    return load_run(made_once("own-run", make))


def test_a_folder_of_folders_and_a_catalogue_are_galaxies_with_the_names_of_their_classes(folder):
    for given, columns in (
        (folder / "images", {}),
        (folder / "galaxies.ecsv", {"image_column": "file", "label_column": "kind"}),
    ):
        images, labels, origin = load_data(given, **columns)
        assert images.shape == (60, SIDE, SIDE, 3)
        assert (origin.class_names, origin.kind, origin.name) == (NAMES, "file", given.name)
        np.testing.assert_array_equal(images.mean(axis=(1, 2, 3)) // 80, labels)


def test_images_of_several_sizes_are_prepared_as_galaxy10s_which_is_said(tmp_path):
    for name, size in (("a", 424), ("b", 300)):
        (tmp_path / name).mkdir()
        Image.new("RGB", (size, size), (9, 99, 199)).save(tmp_path / name / "one.png")
    with pytest.warns(UserWarning, match=r"2 sizes .* cropped and scaled to 69 x 69"):
        data = load_data(tmp_path)
    assert (data.images.shape, data.origin.crop) == ((2, 69, 69, 3), None)


def test_what_is_left_out_of_a_folder_is_said_or_an_error(folder, tmp_path):
    images = shutil.copytree(folder / "images", tmp_path / "images")
    (images / "smooth" / "notes.txt").touch()
    (images / ".DS_Store").touch()
    with pytest.warns(UserWarning, match=r"1 files are left out, .* such as notes\.txt"):
        assert len(load_data(images).labels) == 60
    (images / "smooth" / "notes.txt").unlink()
    (images / "linked").symlink_to(folder / "images" / "spiral")
    assert load_data(images).origin.class_names == (*sorted((*NAMES, "linked")),)
    (images / "empty").mkdir()
    with pytest.raises(DataError, match="folder empty holds no image"):
        load_data(images)
    (images / "empty" / "deep").mkdir()
    with pytest.raises(DataError, match="folder deep within empty"):
        load_data(images)
    shutil.rmtree(images / "empty")
    shutil.copy(next((images / "spiral").iterdir()), images)
    with pytest.raises(DataError, match="is in no folder"):
        load_data(images)


def test_a_run_on_own_classes_is_whole_and_never_mentions_galaxy10(own, folder, tmp_path):
    assert own.metrics["accuracy"] == 1
    assert [row["name"] for row in own.metrics["classes"]] == list(NAMES)
    assert own.metrics["public_mix"] is own.metrics["reweighted_accuracy"] is None
    assert galclass.verify(own, folder / "images") == []
    written = [path for path in own.path.rglob("*") if path.suffix in (".json", ".md", ".svg")]
    assert len(written) > 8
    for path in written:
        assert "galaxy10" not in path.read_text().lower(), path
    assert "| 1 disk \\| thin |" in (own.path / "README.md").read_text()
    forged = shutil.copytree(own.path, tmp_path / "forged") / "manifest.json"
    forged.write_text(forged.read_text().replace('"smooth"', '"rough"'))
    lines = galclass.verify(forged.parent, folder / "images")
    assert any("class_names" in line for line in lines)


def test_predictions_have_the_runs_classes_and_its_size(own, folder):
    paths = sorted((folder / "images" / "smooth").iterdir())
    table = predict([*paths, Image.open(paths[0]).resize((50, 50))], run=own)
    assert table["class_name"].tolist()[:-1] == ["smooth"] * 20
    assert [name for name in table.colnames if name[0] == "p" and name[1:].isdigit()] == [
        *("p0", "p1", "p2")
    ]
    assert table.meta["class_names"] == list(NAMES)
    assert galclass.embed(paths[:4], run=own).shape == (4, 60)
    galclass.plot_predictions(table, paths)


def test_metadata_of_a_catalogue_are_kept_or_a_warning_says_that_they_are_replaced(own, folder):
    catalogue = Table({"file": [str(next((folder / "images" / "smooth").iterdir()))]})
    catalogue.meta = {"by": "me", "network": "mine", "version": 3}
    with pytest.warns(UserWarning, match=r"catalogue are replaced: \['network'\]"):
        classified = predict(catalogue, run=own, image_column="file")
    assert (classified.meta["by"], classified.meta["version"]) == ("me", 3)
    assert classified.meta["network"] == own.path.name
    del catalogue.meta["network"]
    assert predict(catalogue, run=own, image_column="file").meta["by"] == "me"


@pytest.mark.parametrize(
    ("texts", "kind"),
    [
        (["1237648720693755918", "-1237648720693755919"], "i"),
        (["9999999999999999999", "1"], "U"),
        (["1.5", "1237648720693755918"], "U"),
        (["007", "8"], "U"),
        (["-0", "0"], "U"),
        (["1_000", "2"], "U"),
        (["1e5", "-2.25"], "f"),
        (["1200000000000000.0", "nan"], "f"),
        (["+1.0", "-02.5"], "f"),
    ],
)
def test_numbers_in_csv_keep_all_their_digits(texts, kind, tmp_path):
    (tmp_path / "c.csv").write_text("\n".join(["number", *texts]))
    column = read_catalogue(tmp_path / "c.csv")["number"]
    assert column.dtype.kind == kind
    expected = [{"i": int, "f": float, "U": str}[kind](text) for text in texts]
    np.testing.assert_array_equal(column.tolist(), expected)


@pytest.mark.parametrize("suffix", ["ecsv", "csv", "fits", "parquet", "xml"])
def test_a_catalogue_comes_back_with_its_rows_columns_units_and_masks(
    own, folder, tmp_path, suffix
):
    catalogue = Table.read(folder / "galaxies.ecsv")[:5]
    catalogue["note"] = MaskedColumn(np.arange(5), mask=[0, 1, 0, 0, 0])
    catalogue["file"][3] = "gone.png"
    table = predict(catalogue, run=own, image_column="file", folder=folder)
    assert table["class_name"].tolist() == [*NAMES, None, NAMES[1]]
    write_table(table, tmp_path / f"t.{suffix}")
    read = Table.read(
        tmp_path / f"t.{suffix}", **({"format": "ascii.csv"} if suffix == "csv" else {})
    )
    assert read.colnames[:6] == ["id", "file", "kind", "redshift", "note", "source"]
    assert read["id"].tolist() == catalogue["id"].tolist()
    note = [None if value is None or np.isnan(value) else value for value in read["note"].tolist()]
    assert note == [0, None, 2, 3, 4]
    if suffix not in ("csv", "parquet"):
        assert read["redshift"].unit == units.km / units.s
    if suffix == "xml":
        assert read["id"].meta["ucd"] == "meta.id"


def test_positions_of_a_catalogue_are_fetched_and_those_without_a_galaxy_are_marked(
    folder, own, monkeypatch
):
    image = next((folder / "images" / "smooth").iterdir())

    def cutout(ra, dec):
        if dec < 0:
            raise DataError("outside the SDSS footprint")
        return image

    monkeypatch.setattr("galclass.prediction.catalogue.sdss_cutout", cutout)
    catalogue = Table({"RA": [1.0, 2.0, 400.0, np.nan], "Dec": [3.0, -4.0, 5.0, 6.0]})
    table = predict(catalogue, run=own)
    assert table["class_name"].tolist() == ["smooth", None, None, None]
    assert [bool(error) for error in table["error"]] == [False, True, True, True]
    catalogue["RA"] = np.array([1.0, 2.0, 3.0, 23.9]) * units.hourangle
    assert predict(catalogue, run=own)["source"][3].startswith("row 3, RA 358.5")
    catalogue["Dec"].unit = units.m
    with pytest.raises(DataError, match="Dec of float64 in m, expected numbers, in degrees"):
        predict(catalogue, run=own)


BAD = {
    "one class": ("file,label\na/1.png,x\n", "1 classes \\(x\\), expected 2"),
    "no such column": ("name,label\na/1.png,x\n", "no column 'image', expected one of"),
    "no label": ("image,label\na/1.png,x\na/2.png,\n", "'label' is empty in 1 rows \\(1"),
    "no file": ("image,label\na/1.png,x\na/9.png,y\n", "1 of 2 images cannot be read: no file"),
    "real numbers": ("image,label\na/1.png,0.5\na/2.png,1.5\n", "float64, expected text"),
    "no table": ("image,label\n1,2,3\n1\n", "no table that can be read"),
}


@pytest.mark.parametrize(("content", "words"), BAD.values(), ids=BAD)
def test_a_bad_catalogue_is_refused(content, words, tmp_path):
    (tmp_path / "a").mkdir()
    for number in (1, 2):
        Image.new("RGB", (40, 40)).save(tmp_path / "a" / f"{number}.png")
    (tmp_path / "c.csv").write_text(content)
    columns = {"image_column": "file"} if "file," in content else {}
    with pytest.raises(DataError, match=words):
        load_data(tmp_path / "c.csv", **columns)


def test_bad_folders_and_names_are_refused_before_anything_is_written(folder, tmp_path):
    (tmp_path / "only").mkdir()
    Image.new("RGB", (40, 40)).save(tmp_path / "only" / "1.png")
    with pytest.raises(DataError, match="1 classes"):
        load_data(tmp_path)
    images, labels, origin = load_data(folder / "images")
    for names in (["a"], "abc", ["a", "a", "b"], ["a", "", "b"], [1, 2, 3]):
        with pytest.raises(ParameterError, match="class_names"):
            train(images, labels, out=tmp_path / "new", class_names=names)
    with pytest.raises(DataError, match="0 to 2, expected 0-1"):
        train(images, labels, out=tmp_path / "new", class_names=["a", "b"])
    with pytest.raises(DataError, match="columns \\['class'\\]"):
        predict(Table({"image": ["x.png"], "class": [1]}))
    with pytest.raises(DataError, match=r"classes .* expected the run's"):
        evaluate(load_pretrained(), images, labels, origin, other="others")
    assert not (tmp_path / "new").exists()


@pytest.mark.slow
def test_grey_images_are_repeated_and_names_can_be_given(tmp_path):
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (40, 32, 32, 1), np.uint8), np.arange(40) % 2
    settings = {"recipe": "quick", "epochs": 1, "precision": "float32", "verbose": False}
    run = train(images, labels, out=tmp_path / "run", class_names=["no", "yes"], **settings)
    assert run.image_shape == (32, 32, 3)
    assert evaluate(run, images, labels)["classes"][1]["name"] == "yes"
    assert len(predict(images, run=run)) == 40
    assert galclass.embed(images[:3], run=run).shape == (3, 60)


def test_training_starts_from_the_layers_that_fit(folder, tmp_path):
    images, labels, origin = load_data(folder / "images")
    settings = {"recipe": "quick", "epochs": 1, "precision": "float32", "verbose": False}
    settings |= {"start": "simulated"}
    rate = {"recipe": galclass.Recipe(epochs=1, learning_rate=1e-12)}
    run = train(images, labels, origin, out=tmp_path / "run", **settings | rate)
    models = load_pretrained("simulated").load_model(), run.load_model()
    start, found = ({v.path[13:]: v.numpy() for v in model.trainable_variables} for model in models)
    fitting = {path for path in found if found[path].shape == start[path].shape}
    same = {path for path in fitting if np.allclose(found[path], start[path], atol=1e-4)}
    assert {"conv1_1/kernel", "conv1_2/kernel", "conv2_1/kernel", "conv3_1/kernel"} <= same
    assert "classes/kernel" not in same
    assert run.manifest["start"]["origin"]["kind"] == "simulated"
    assert run.manifest["start"]["independent"]


def test_decals_is_the_other_galaxy10_and_neither_is_read_as_the_other(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    path, labels = tmp_path / "Galaxy10_DECals.h5", np.arange(20, dtype=np.uint8) % 10
    write_galaxy10(path, rng.integers(0, 256, (20, 256, 256, 3), np.uint8), labels)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GALCLASS_DATA", str(path))
        with pytest.raises(DataError, match="layout of Galaxy10 DECaLS, expected Galaxy10 SDSS"):
            load_galaxy10()
    with h5py.File(path, "r+") as file:
        file.attrs.clear()  # As the published file, which has none.
    assert load_data(path).origin.class_names == DECALS_NAMES
    monkeypatch.setenv("GALCLASS_DATA", str(path))
    assert load_galaxy10("decals")[0].shape == (20, 256, 256, 3)
    write_galaxy10(tmp_path / "g.h5", rng.integers(0, 256, (3, 50, 50, 3), np.uint8), labels[:3])
    with h5py.File(tmp_path / "g.h5", "r+") as file:
        file.attrs.clear()
    with pytest.raises(DataError, match=r"50 x 50 pixels, expected 69 .*256"):
        load_data(tmp_path / "g.h5")


def test_own_classes_survive_a_file(folder, tmp_path):
    data = load_data(folder / "images")
    write_data(tmp_path / "own.h5", Dataset(*data))
    again = load_data(tmp_path / "own.h5")
    assert again.origin.class_names == NAMES
    assert (again.origin.sha256, again.origin.crop) == (data.origin.sha256, 1)
    prepared = replace(data.origin, crop=None)
    write_data(tmp_path / "part.h5", Dataset(data.images[:9], data.labels[:9], prepared))
    assert load_data(tmp_path / "part.h5").origin.crop is None
    assert Origin.from_record(again.origin.record()) == again.origin


@pytest.mark.filterwarnings("ignore:.* unlike those of the training")
def test_larger_images_are_scaled_as_those_of_the_training_were(own, folder):
    path = next((folder / "images" / "smooth").iterdir())
    large = Image.open(path).resize((4 * SIDE, 4 * SIDE), Image.Resampling.NEAREST)
    same = galclass.embed(path, run=own)
    alike, cropped = (galclass.embed(large, run=own, crop=crop) for crop in (None, 0.5))
    assert own.origin.crop == 1
    assert np.abs(alike - same).max() < np.abs(cropped - same).max()
    table = predict(large, run=own)
    assert table.meta["crop"] == 1


def test_text_that_looks_like_a_number_stays_text(folder, tmp_path):
    paths = sorted((folder / "images" / "smooth").iterdir())[:4]
    rows = [f"{path},0{n % 2},00{n},{n}.5" for n, path in enumerate(paths)]
    content = "\n".join(["\ufeffimage,label,id,ra", *rows, ""])
    (tmp_path / "c.csv").write_text(content, encoding="utf-8")
    assert load_data(tmp_path / "c.csv").origin.class_names == ("00", "01")
    table = read_catalogue(tmp_path / "c.csv")
    assert table["id"].tolist() == ["000", "001", "002", "003"]
    assert table["ra"].tolist() == [0.5, 1.5, 2.5, 3.5]


@pytest.mark.parametrize("missing", ["nan", "N/A", "  ", "null"])
def test_a_label_that_stands_for_none_is_no_class(folder, tmp_path, missing):
    paths = sorted((folder / "images" / "smooth").iterdir())[:3]
    rows = [f"{path},{label}" for path, label in zip(paths, ["a", "b", missing], strict=True)]
    (tmp_path / "c.csv").write_text("\n".join(["image,label", *rows, ""]))
    with pytest.raises(DataError, match=r"'label' is empty in 1 rows \(2"):
        load_data(tmp_path / "c.csv")


@pytest.mark.parametrize("suffix", ["fits", "xml", "parquet", "ecsv"])
def test_training_takes_catalogues_of_every_format(folder, tmp_path, suffix):
    table = Table.read(folder / "galaxies.ecsv")
    table["file"] = [str(folder / name) for name in table["file"]]
    table.write(tmp_path / f"c.{suffix}", **({"format": "votable"} if suffix == "xml" else {}))
    data = load_data(tmp_path / f"c.{suffix}", image_column="file", label_column="kind")
    assert data.origin.class_names == NAMES


def test_catalogues_of_pandas_are_read_with_nulls_and_categories(tmp_path):
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    frame = pandas.DataFrame({"image": ["a", "b"], "note": ["x", None], "n": [1, None]})
    frame["kind"] = pandas.Categorical(["p", "q"])
    frame["day"] = [datetime.date(2026, 1, 2), None]
    frame.to_parquet(tmp_path / "c.parquet")
    table = read_catalogue(tmp_path / "c.parquet")
    assert table["note"].tolist() == ["x", None]
    assert table["kind"].tolist() == ["p", "q"]
    assert table["n"][0] == 1
    assert table["day"].tolist() == [datetime.date(2026, 1, 2), None]


def test_what_a_format_cannot_hold_is_refused_before_the_work(folder):
    table = Table.read(folder / "galaxies.ecsv")[:2]
    table["where"] = SkyCoord([1, 2], [3, 4], unit="deg")
    for suffix in (".fits", ".parquet", ".xml"):
        with pytest.raises(DataError, match=f"cannot be written as {suffix}"):
            check_writable(table, suffix)
    check_writable(table, ".ecsv")


def test_masked_truth_values_stay_masked_and_other_byte_orders_are_written(own, folder, tmp_path):
    table = Table({"image": sorted(map(str, (folder / "images" / "smooth").iterdir()))[:2]})
    table["flag"] = MaskedColumn([False, True], mask=[True, False])
    table["big"] = np.array([1.5, 2.5], ">f8")
    found = predict(table, run=own)
    write_table(found, tmp_path / "t.fits")
    read = Table.read(tmp_path / "t.fits")
    assert (read["flag"].mask.tolist(), read["flag"][1]) == ([True, False], 1)
    write_table(found, tmp_path / "t.parquet")
    assert read_catalogue(tmp_path / "t.parquet")["flag"].tolist() == [None, True]
    assert read_catalogue(tmp_path / "t.parquet")["big"].tolist() == [1.5, 2.5]


def test_positions_that_are_none_are_refused_in_our_words():
    with pytest.raises(DataError, match="expected numbers, in degrees"):
        predict(Table({"ra": ["12:00:00"], "dec": ["+10:00:00"]}))


def test_more_classes_than_a_byte_holds_are_refused(tmp_path):
    images, labels = np.zeros((2, 32, 32, 3), np.uint8), [0, 1]
    with pytest.raises(ParameterError, match="expected 2 to 255"):
        train(images, labels, out=tmp_path / "x", class_names=[f"c{n}" for n in range(256)])


@pytest.mark.slow
def test_runs_of_older_versions_are_resumed_and_verified(
    images_of_brightness, copied, measured_data
):
    path = copied.path / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["origin"]["class_names"]
    path.write_text(json.dumps(manifest))
    assert galclass.verify(copied.path, measured_data) == []
    settings = {"epochs": 3, "precision": "float32", "verbose": False, "resume": True}
    assert train(*images_of_brightness, out=copied.path, **settings).path == copied.path
    del manifest["network"]["input_shape"], manifest["origin"]["crop"]
    path.write_text(json.dumps(manifest))
    older = load_run(copied.path)
    assert (older.image_shape, older.origin.crop) == ((69, 69, 3), None)


def test_own_classes_of_galaxy10s_images_keep_its_scale(galaxies):
    origin = Origin.of_arrays(galaxies.images, galaxies.labels % 3, ["a", "b", "c"])
    assert origin.crop is None
    assert Origin.of_arrays(galaxies.images[:, 2:66, 2:66], galaxies.labels).crop == 1


def test_integer_labels_are_sorted_by_their_value(folder, tmp_path):
    paths = sorted((folder / "images" / "smooth").iterdir())[:4]
    rows = [f"{path},{label}" for path, label in zip(paths, (10, 9, -2, -11), strict=True)]
    (tmp_path / "c.csv").write_text("\n".join(["image,label", *rows, ""]))
    assert load_data(tmp_path / "c.csv").origin.class_names == ("-11", "-2", "9", "10")


def test_a_row_without_an_image_is_neither_selected_nor_not(folder, own):
    path = next((folder / "images" / "smooth").iterdir())
    selected = predict([path, "gone.png"], run=own, purity=0.5)["selected"]
    assert selected.tolist() in ([True, None], [False, None])
