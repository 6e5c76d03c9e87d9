"""An origin states where galaxies came from, and survives JSON and pickle."""

import json
import pickle

import pytest

from galclass.data.dataset import Dataset, Origin
from galclass.errors import DataError, ParameterError
from galclass.files import sha256_of_arrays


@pytest.fixture
def origin(images_of_brightness):
    return Origin.of_arrays(*images_of_brightness)


def test_origin_of_arrays_is_not_stated(images_of_brightness):
    images, labels = images_of_brightness
    origin = Origin.of_arrays(images, labels.astype(int))
    assert str(origin) == "Galaxies given as arrays, origin not stated: 100"
    assert origin.sha256 == sha256_of_arrays(images, labels)
    assert origin.crop is None
    assert not origin.simulated


def test_class_names_are_never_guessed(images_of_brightness, origin):
    images, labels = images_of_brightness
    assert origin.class_names == tuple("0123456789")
    assert Origin.of_arrays(images, labels % 3).class_names == ("0", "1", "2")
    assert Origin.of_arrays(images, labels % 3, ["a", "b", "c"]).class_names == ("a", "b", "c")
    with pytest.raises(ParameterError, match="different names"):
        Origin.of_arrays(images, labels % 3, ["a", "a", "b"])


def test_origin_survives_json_and_pickle(origin, images_of_brightness):
    stated = Origin.from_record({**origin.record(), "kind": "simulated", "seed": 5, "crop": 0.5})
    assert stated.simulated
    for one in (origin, stated):
        assert Origin.from_record(json.loads(json.dumps(one.record()))) == one
        dataset = Dataset(*images_of_brightness, one)
        assert pickle.loads(pickle.dumps(dataset)).origin == one


def test_record_that_is_not_an_origin_is_refused(origin):
    record = origin.record()
    bad = [("kind", 3), ("galaxies", "3"), ("name", None), ("crop", 2.0), ("seed", 0.5), ("x", 1)]
    records = [{**record, field: value} for field, value in bad]
    for missing in ("sha256", "class_names"):
        records.append({field: record[field] for field in record if field != missing})
    for one in records:
        with pytest.raises(DataError, match="expected"):
            Origin.from_record(one)
