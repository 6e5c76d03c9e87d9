import warnings

import h5py
import numpy as np
import pytest

from galclass import CLASS_NAMES, load_galaxy10, split
from galclass.galaxy10 import CLASS_COUNTS, SHA256, find_copies, locate_galaxy10, write_galaxy10
from galclass.sources import load_data


def test_the_public_counts_sum_to_the_public_number():
    assert sum(CLASS_COUNTS) == 21785
    assert len(CLASS_COUNTS) == len(CLASS_NAMES) == 10


def test_a_file_is_read_as_it_was_written(pictures, tmp_path):
    images, labels = pictures
    write_galaxy10(tmp_path / "some.h5", images, labels)
    read_images, read_labels = load_galaxy10(tmp_path / "some.h5")
    assert read_images.dtype == read_labels.dtype == np.uint8
    np.testing.assert_array_equal(read_images, images)
    np.testing.assert_array_equal(read_labels, labels)


def test_arrays_and_class_names_equal_those_of_astronn(pictures, tmp_path, monkeypatch):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # It imports pkg_resources, which warns.
        astronn = pytest.importorskip("astroNN.datasets.galaxy10sdss", reason="needs astroNN")
    path = tmp_path / "datasets" / "Galaxy10.h5"
    write_galaxy10(path, *pictures)
    monkeypatch.setattr(astronn, "astroNN_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(astronn, "filehash", lambda *args, **kwargs: SHA256)
    for theirs, ours in zip(astronn.load_data(), load_galaxy10(path), strict=True):
        np.testing.assert_array_equal(theirs, ours)
        assert theirs.dtype == ours.dtype
    assert tuple(astronn.Galaxy10Class[c] for c in range(10)) == CLASS_NAMES


def test_the_environment_names_the_file(pictures, tmp_path, monkeypatch):
    write_galaxy10(tmp_path / "mine.h5", *pictures)
    monkeypatch.setenv("GALCLASS_DATA", str(tmp_path / "mine.h5"))
    assert len(load_galaxy10()[0]) == 100


def test_another_file_in_the_place_of_the_published_one_is_not_taken_for_it(
    pictures, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GALCLASS_DATA", raising=False)
    write_galaxy10(tmp_path / "data" / "Galaxy10.h5", *pictures)
    with pytest.raises(ValueError, match="not the published"):
        locate_galaxy10()


def test_the_origin_of_a_file_is_its_name_and_hash_without_its_folder(pictures, tmp_path):
    write_galaxy10(tmp_path / "mine.h5", *pictures)
    source = load_data(tmp_path / "mine.h5").source
    assert source["kind"] == "file"
    assert source["name"] == "mine.h5"
    assert len(source["sha256"]) == 64
    assert str(tmp_path) not in str(source)


def test_the_stratified_split_is_the_public_comparisons():
    from sklearn.model_selection import train_test_split

    labels = np.random.default_rng(0).choice(10, 3000, p=np.array(CLASS_COUNTS) / 21785)
    labels[:30] = np.repeat(np.arange(10), 3)
    rest, test = train_test_split(np.arange(3000), test_size=0.15, stratify=labels, random_state=42)
    train, validation = train_test_split(
        rest, test_size=0.1765, stratify=labels[rest], random_state=42
    )
    for ours, theirs in zip(split(labels), (train, validation, test), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_the_published_split_has_the_published_sizes():
    labels = np.repeat(np.arange(10), CLASS_COUNTS)
    assert [len(part) for part in split(labels, "published")] == [13942, 3486, 4357]


def test_copies_are_found_also_flipped_or_turned(pictures):
    images = pictures[0][:20].copy()
    images[7] = np.rot90(images[3])
    images[11] = images[3, :, ::-1]
    images[15] = images[2]
    assert sorted(find_copies(images)) == [[2, 15], [3, 7, 11]]
    assert find_copies(pictures[0][:20]) == []


def test_no_real_galaxy_is_in_two_parts_of_the_split(real_path):
    images, labels = load_galaxy10(real_path)
    part_of = np.empty(len(labels), int)
    for number, part in enumerate(split(labels)):
        part_of[part] = number
    assert all(len(set(part_of[group])) == 1 for group in find_copies(images))


def test_the_real_subset_has_the_counts_that_its_readme_gives(real_path):
    with h5py.File(real_path) as file:
        raw = file["ans"][:]
    images, labels = load_galaxy10(real_path)
    np.testing.assert_array_equal(labels, raw)
    assert np.bincount(labels).tolist() == [138, 4576, 3996, 278, 989, 14, 376, 487, 416, 227]
    assert images.shape == (11497, 69, 69, 3)


def test_folds_share_the_test_galaxies_and_each_other_galaxy_validates_once():
    labels = np.repeat(np.arange(10), 20)
    plain = split(labels)
    parts = [split(labels, f"fold-{k}-of-4") for k in range(1, 5)]
    for part in parts:
        np.testing.assert_array_equal(part.test, plain.test)
        together = np.concatenate(part)
        np.testing.assert_array_equal(np.sort(together), np.arange(200))
        counts = np.bincount(labels[part.validation], minlength=10)
        assert counts.max() - counts.min() <= 1
    validated = np.concatenate([part.validation for part in parts])
    rest = np.concatenate([plain.train, plain.validation])
    np.testing.assert_array_equal(np.sort(validated), np.sort(rest))
    for wrong in ("fold-0-of-4", "fold-5-of-4", "fold-1-of-1", "fold-1"):
        with pytest.raises(ValueError, match="split"):
            split(labels, wrong)
