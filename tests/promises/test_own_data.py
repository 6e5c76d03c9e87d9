"""Your own classes, sizes, folders and catalogues go through the whole of galclass."""

import shutil

import h5py
import numpy as np
import pytest
from astropy import units
from astropy.table import MaskedColumn, Table
from PIL import Image

import galclass
from galclass import evaluate, load_data, load_galaxy10, load_pretrained, load_run, predict, train
from galclass.data.dataset import Dataset, Origin, write_data
from galclass.data.galaxy10 import DECALS_NAMES, write_galaxy10
from galclass.errors import DataError, DownloadError, ParameterError
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


def test_images_of_several_sizes_are_prepared_as_galaxy10s(folder, tmp_path):
    for name, size in (("a", 424), ("b", 300)):
        (tmp_path / name).mkdir()
        Image.new("RGB", (size, size), (9, 99, 199)).save(tmp_path / name / "one.png")
    assert load_data(tmp_path).images.shape == (2, 69, 69, 3)


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
            raise DownloadError("outside the SDSS footprint")
        return image

    monkeypatch.setattr("galclass.prediction.catalogue.sdss_cutout", cutout)
    catalogue = Table({"RA": [1.0, 2.0, 400.0, np.nan], "Dec": [3.0, -4.0, 5.0, 6.0]})
    table = predict(catalogue, run=own)
    assert table["class_name"].tolist() == ["smooth", None, None, None]
    assert [bool(error) for error in table["error"]] == [False, True, True, True]
    catalogue["RA"] = np.array([1.0, 2.0, 3.0, 23.9]) * units.hourangle
    assert predict(catalogue, run=own)["source"][3].startswith("row 3, RA 358.5")
    catalogue["Dec"].unit = units.m
    with pytest.raises(DataError, match="Dec in m, expected degrees"):
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


def test_grey_images_are_repeated_and_names_can_be_given(tmp_path):
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (40, 32, 32, 1), np.uint8), np.arange(40) % 2
    settings = {"recipe": "quick", "epochs": 1, "precision": "float32", "verbose": False}
    run = train(images, labels, out=tmp_path / "run", class_names=["no", "yes"], **settings)
    assert run.image_shape == (32, 32, 3)
    assert evaluate(run, images, labels)["classes"][1]["name"] == "yes"
    assert len(predict(images, run=run)) == 40


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
    assert again.origin.sha256 == data.origin.sha256
    assert Origin.from_record(again.origin.record()) == again.origin
