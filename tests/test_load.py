"""Galaxies are loaded by name or path, keep their origin in a file, and belong to their run."""

from dataclasses import replace

import h5py
import numpy as np
import pytest
from PIL import Image

from galclass.data.dataset import Dataset, Origin
from galclass.data.galaxy10 import CLASS_NAMES, GALAXY10_CROP
from galclass.errors import DataError, ParameterError, RunError
from galclass.files import sha256_of_arrays
from galclass.load import load_data, load_run_data, write_data
from galclass.run import Run
from galclass.simulation.simulate import SIMULATED_FRACTIONS, simulate_galaxy10


@pytest.fixture(scope="module")
def simulated():
    return load_data("simulated", n=12, seed=5)


def make_run(path, origin):
    """Write a run folder that has only a manifest."""
    run = Run(path)
    run.write_manifest({"recipe": {}, "origin": origin.record(), "split": {}, "network": {}})
    return run


@pytest.fixture
def own(tmp_path):
    """A folder of three classes, and a catalogue of two of them."""
    folder = tmp_path / "own"
    for name in ("disk", "smooth", "spiral"):
        (folder / name).mkdir(parents=True)
        Image.new("RGB", (40, 40), (len(name), 0, 0)).save(folder / name / "one.png")
    (folder / "c.csv").write_text("file,kind\ndisk/one.png,a\nsmooth/one.png,b\n")
    return folder


def test_simulated_galaxies_state_their_origin_and_keep_it_in_a_file(simulated, tmp_path):
    images, labels = simulate_galaxy10(12, 5, class_fractions=SIMULATED_FRACTIONS)
    write_data(tmp_path / "mine.h5", simulated)
    for dataset in (simulated, load_data(tmp_path / "mine.h5", n=3, seed=1)):
        np.testing.assert_array_equal(dataset.images, images)
        np.testing.assert_array_equal(dataset.labels, labels)
        assert dataset.labels.dtype == np.uint8
        assert dataset.origin == Origin(
            kind="simulated",
            title="Simulated galaxies, not observed ones",
            name="simulate_galaxy10(12, 5, class_fractions=SIMULATED_FRACTIONS)",
            sha256=sha256_of_arrays(images, labels.astype(np.uint8)),
            galaxies=12,
            class_names=CLASS_NAMES,
            seed=5,
            crop=GALAXY10_CROP,
        )


@pytest.mark.filterwarnings("ignore:.*1 files are left out")
def test_own_classes_keep_their_names_and_crop_in_a_file(own, tmp_path):
    dataset = load_data(own)
    write_data(tmp_path / "own.h5", dataset)
    origin = load_data(tmp_path / "own.h5").origin
    assert str(origin) == "Galaxies of own.h5: 3"
    assert origin.class_names == ("disk", "smooth", "spiral")
    assert (origin.sha256, origin.crop) == (dataset.origin.sha256, None)
    cropped = replace(dataset.origin, crop=0.75)
    write_data(tmp_path / "own.h5", Dataset(dataset.images[:2], dataset.labels[:2], cropped))
    assert load_data(tmp_path / "own.h5").origin.crop == 0.75


def test_dataset_without_an_origin_is_written_as_the_published_file(
    like_galaxy10, tmp_path, monkeypatch
):
    images, labels = like_galaxy10
    write_data(tmp_path / "some.h5", Dataset(images, labels.astype(int), None))
    with h5py.File(tmp_path / "some.h5") as file:
        assert set(file) == {"images", "ans"}
        assert not file.attrs
    monkeypatch.setenv("GALCLASS_DATA", str(tmp_path / "some.h5"))
    dataset = load_data("galaxy10")
    np.testing.assert_array_equal(dataset.images, images)
    np.testing.assert_array_equal(dataset.labels, labels)
    assert dataset.origin.class_names == CLASS_NAMES
    with pytest.raises(DataError, match="69 x 69 pixels, expected 256"):
        load_data("decals")
    with pytest.raises(DataError, match="0 to 10, expected 0-9"):
        write_data(tmp_path / "x.h5", Dataset(images, np.arange(100) % 11, None))


def test_data_that_are_neither_a_name_nor_an_existing_path_are_refused():
    for data in (np.zeros((2, 69, 69, 3)), None, ""):
        with pytest.raises(ParameterError, match="expected 'simulated', 'galaxy10' or a path"):
            load_data(data)
    for data in ("galaxy 10", "gone.csv", "/dev/null/x.h5"):
        with pytest.raises(FileNotFoundError, match="no "):
            load_data(data)


def test_run_on_own_galaxies_needs_their_path(simulated, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_data("secret.h5", simulated)
    for kind in ("file", "arrays", "secret.h5"):
        origin = replace(simulated.origin, kind=kind, name="mine.h5")
        run = make_run(tmp_path / f"run on {kind}", origin)
        with pytest.raises(RunError, match=r"not record where its data \(mine\.h5\) are; pass"):
            load_run_data(run)


def test_simulated_galaxies_of_a_run_are_simulated_again(simulated, tmp_path):
    run = make_run(tmp_path / "run", simulated.origin)
    assert load_run_data(run).origin == simulated.origin
    other = Dataset(simulated.images[::-1], simulated.labels[::-1], simulated.origin)
    write_data(tmp_path / "other.h5", other)
    expected = r"other\.h5 does not hold the run's simulate_galaxy10.*sha256"
    with pytest.raises(RunError, match=expected):
        load_run_data(run, tmp_path / "other.h5")


def test_own_galaxies_of_a_run_are_found_by_their_path_and_columns(own, tmp_path):
    columns = {"image_column": "file", "label_column": "kind"}
    dataset = load_data(own / "c.csv", **columns)
    run = make_run(tmp_path / "run", dataset.origin)
    assert load_run_data(run.path, own / "c.csv", **columns).origin == dataset.origin
    with pytest.raises(DataError, match="no column 'image'"):
        load_run_data(run, own / "c.csv")
