"""Galaxies keep their origin, on the disk too."""

import json
import pickle
from dataclasses import asdict, replace

import numpy as np
import pytest

from galclass import load_data, simulate_galaxy10
from galclass.data import galaxy10
from galclass.data.dataset import SIMULATED_FRACTIONS, Dataset, Origin, write_data
from galclass.errors import DataError
from galclass.files import sha256_of_arrays, sha256_of_file

CALL = "simulate_galaxy10(12, 5, class_fractions=SIMULATED_FRACTIONS)"


@pytest.fixture(scope="module")
def simulated():
    return load_data("simulated", n=12, seed=5)


def test_simulated_galaxies_say_what_they_are_and_come_back_as_they_were(simulated, tmp_path):
    arrays = simulate_galaxy10(12, 5, class_fractions=SIMULATED_FRACTIONS)
    write_data(tmp_path / "mine.h5", simulated)
    for found in (simulated, load_data(tmp_path / "mine.h5", n=3, seed=1)):
        np.testing.assert_array_equal(found.images, arrays[0])
        np.testing.assert_array_equal(found.labels, arrays[1])
        assert found.origin == Origin("simulated", CALL, sha256_of_arrays(*arrays), 12, seed=5)
    assert str(simulated.origin) == "Simulated galaxies, not observed ones: 12"


def test_changed_simulated_galaxies_are_still_simulated(simulated, tmp_path):
    part = Dataset(simulated.images[:4], simulated.labels[:4], simulated.origin)
    write_data(tmp_path / "mine.h5", part)
    known = {"kind": "simulated", "name": "mine.h5", "seed": 5}
    expected = replace(Origin.of_arrays(*part[:2]), **known)
    assert load_data(tmp_path / "mine.h5").origin == expected


def test_files_are_known_by_name_without_folder_and_the_published_one_by_its_hash(
    like_galaxy10, tmp_path, monkeypatch
):
    path = tmp_path / "mine.h5"
    expected = Origin("file", "mine.h5", sha256_of_arrays(*like_galaxy10), 100)
    # Whatever a file claims of itself.
    write_data(path, Dataset(*like_galaxy10, replace(expected, kind="galaxy10")))
    assert load_data(path).origin == expected
    assert str(expected) == "Galaxies of mine.h5: 100"
    known = galaxy10.DATASETS["galaxy10"]._replace(sha256=sha256_of_file(path))
    monkeypatch.setitem(galaxy10.DATASETS, "galaxy10", known)
    monkeypatch.setenv("GALCLASS_DATA", str(path))
    for data in (path, "galaxy10"):
        assert str(load_data(data).origin) == "Galaxy10 SDSS: 100"


def test_origins_of_bare_arrays_say_so_and_survive_json_and_pickle(simulated):
    origin = Origin.of_arrays(simulated.images, simulated.labels.astype(int))
    assert str(origin) == "Galaxies given as arrays, origin not stated: 12"
    assert origin.sha256 == simulated.origin.sha256
    assert Origin.from_record(json.loads(json.dumps(origin.record()))) == origin
    assert pickle.loads(pickle.dumps(simulated)).origin == simulated.origin


@pytest.mark.parametrize("wrong", [{"kind": "dream"}, {"galaxies": "3"}, {"name": None}])
def test_records_of_no_origin_are_refused(simulated, wrong):
    with pytest.raises(DataError, match=r"origin .*expected"):
        Origin.from_record(asdict(simulated.origin) | wrong)
