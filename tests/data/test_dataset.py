"""Galaxies keep their origin, on the disk too."""

import json
import pickle
from dataclasses import asdict, replace

import h5py
import numpy as np
import pytest

from galclass import load_data, simulate_galaxy10
from galclass.data import galaxy10
from galclass.data.dataset import SIMULATED_FRACTIONS, Dataset, Origin, write_data
from galclass.data.galaxy10 import write_galaxy10
from galclass.errors import DataError, ParameterError
from galclass.files import sha256_of_arrays, sha256_of_file


@pytest.fixture(scope="module")
def simulated():
    return load_data("simulated", n=12, seed=5)


def test_simulated_galaxies_come_only_by_that_name_and_say_what_they_are(simulated):
    images, labels = simulate_galaxy10(12, 5, class_fractions=SIMULATED_FRACTIONS)
    np.testing.assert_array_equal(simulated.images, images)
    np.testing.assert_array_equal(simulated.labels, labels)
    assert simulated.origin == Origin(
        "simulated",
        "simulate_galaxy10(12, 5, class_fractions=SIMULATED_FRACTIONS)",
        sha256_of_arrays(images, labels.astype("u1")),
        12,
        seed=5,
    )
    assert str(simulated.origin) == "Simulated galaxies, not observed ones: 12"
    assert simulated.origin.simulated


def test_simulated_galaxies_of_a_file_come_back_as_they_were(simulated, tmp_path):
    write_data(tmp_path / "mine.h5", simulated)
    again = load_data(tmp_path / "mine.h5", n=3, seed=1)
    np.testing.assert_array_equal(again.images, simulated.images)
    np.testing.assert_array_equal(again.labels, simulated.labels)
    assert again.origin == simulated.origin


def test_changed_simulated_galaxies_are_still_simulated(simulated, tmp_path):
    path = tmp_path / "mine.h5"
    write_data(path, simulated)
    with h5py.File(path, "r+") as file:
        file["images"][0] = 0
    found = load_data(path)
    assert (found.origin.kind, found.origin.name, found.origin.seed) == ("simulated", "mine.h5", 5)
    assert found.origin.sha256 == sha256_of_arrays(found.images, found.labels)
    part = Dataset(simulated.images[:4], simulated.labels[:4], simulated.origin)
    write_data(path, part)
    assert load_data(path).origin == replace(
        Origin.of_arrays(*part[:2]), kind="simulated", name="mine.h5", seed=5
    )


def test_the_origin_of_a_file_is_its_name_without_its_folder(images_of_brightness, tmp_path):
    path = tmp_path / "mine.h5"
    write_galaxy10(path, *images_of_brightness)
    origin = load_data(path).origin
    assert origin == Origin("file", "mine.h5", sha256_of_arrays(*images_of_brightness), 100)
    assert str(origin) == "Galaxies of mine.h5: 100"
    assert str(tmp_path) not in repr(origin)
    # Whatever a file claims of itself: only its own hash makes it the published one.
    claimed = replace(origin, kind="galaxy10")
    write_data(path, Dataset(*images_of_brightness, claimed))
    assert load_data(path).origin == origin


def test_the_published_file_is_known_by_its_hash_wherever_it_is(
    images_of_brightness, tmp_path, monkeypatch
):
    path = tmp_path / "renamed.h5"
    write_galaxy10(path, *images_of_brightness)
    monkeypatch.setattr(galaxy10, "SHA256", sha256_of_file(path))
    monkeypatch.setenv("GALCLASS_DATA", str(path))
    for data in (path, "galaxy10"):
        origin = load_data(data).origin
        assert (origin.kind, str(origin)) == ("galaxy10", "Galaxy10 SDSS: 100")


def test_bare_arrays_have_an_origin_that_says_so(simulated):
    origin = Origin.of_arrays(simulated.images, simulated.labels.astype(int))
    assert str(origin) == "Galaxies given as arrays, origin not stated: 12"
    assert origin.sha256 == simulated.origin.sha256
    assert not origin.simulated


def test_origins_survive_json_and_pickle(simulated):
    record = json.loads(json.dumps(asdict(simulated.origin)))
    assert Origin.from_record(record) == simulated.origin
    assert pickle.loads(pickle.dumps(simulated)).origin == simulated.origin


@pytest.mark.parametrize(
    "record",
    [
        {},
        5,
        {"kind": "dream", "name": "x", "sha256": "", "galaxies": 3},
        {"kind": "file", "name": "x", "sha256": "", "galaxies": "3"},
        {"kind": "file", "name": None, "sha256": "", "galaxies": 3},
        {"kind": "file", "name": "x", "sha256": "", "galaxies": 3, "colour": 1},
    ],
)
def test_records_of_no_origin_are_refused(record):
    with pytest.raises(DataError, match=r"origin .*expected"):
        Origin.from_record(record)


@pytest.mark.parametrize("keywords", [{"data": 5}, {"n": 0}, {"n": 2.5}, {"seed": -1}])
def test_other_data_is_refused(keywords):
    with pytest.raises(ParameterError, match="expected"):
        load_data(**{"data": "simulated", **keywords})
