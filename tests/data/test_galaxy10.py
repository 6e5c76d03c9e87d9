"""A file in the layout of Galaxy10 is read as it is, or refused."""

import json
import os
import warnings
from dataclasses import replace
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import pytest

from galclass import CLASS_NAMES, load_galaxy10
from galclass.data import galaxy10
from galclass.data.dataset import Origin
from galclass.data.galaxy10 import DECALS_NAMES, GALAXY10_CROP, locate_galaxy10
from galclass.errors import DataError, ParameterError
from galclass.files import sha256_of_file

IMAGES = np.random.default_rng(0).integers(0, 256, (20, 69, 69, 3), np.uint8)
LARGE = np.zeros((20, 256, 256, 3), np.uint8)
LABELS = np.arange(20, dtype=np.uint8) % 10


def write_file(path, images=IMAGES, ans=LABELS, **attributes):
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        if images is not None:
            file["images"] = images
        if ans is not None:
            file["ans"] = ans
        file.attrs.update(attributes)


def make_published(path, monkeypatch):
    """Let a file pass for the published one."""
    published = galaxy10.DATASETS["galaxy10"]._replace(sha256=sha256_of_file(path))
    monkeypatch.setitem(galaxy10.DATASETS, "galaxy10", published)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """The home and working directory of a user who does not have Galaxy10."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("GALCLASS_DATA", raising=False)
    monkeypatch.setattr(galaxy10, "fetch_galaxy10", lambda published: Path("fetched"))
    return tmp_path


def test_class_counts_sum_to_the_published_number():
    assert sum(galaxy10.CLASS_COUNTS) == 21785
    assert len(galaxy10.CLASS_COUNTS) == len(CLASS_NAMES) == len(DECALS_NAMES) == 10


def test_file_is_read_as_it_was_written_and_other_content_does_no_harm(tmp_path):
    path = tmp_path / "some.h5"
    write_file(path, array=np.arange(3), empty=h5py.Empty("f4"), real=0.5)
    with h5py.File(path, "r+") as file:
        file["ra"] = np.zeros(20)
        file.attrs["reference"] = file["ans"].ref
    images, labels, origin = load_galaxy10(str(path))
    assert images.dtype == labels.dtype == np.uint8
    np.testing.assert_array_equal(images, IMAGES)
    np.testing.assert_array_equal(labels, LABELS)
    assert str(origin) == "Galaxies of some.h5: 20"
    expected = Origin.of_arrays(IMAGES, LABELS, CLASS_NAMES)
    expected = replace(expected, kind="file", name="some.h5", crop=GALAXY10_CROP)
    assert origin == replace(expected, title=origin.title)


def test_file_may_name_its_own_classes(tmp_path):
    names = ["disk", "smooth", "spiral"]
    for stored in (names, np.array(names, "S")):
        write_file(tmp_path / "own.h5", ans=LABELS % 3, class_names=stored)
        origin = load_galaxy10(tmp_path / "own.h5").origin
        assert origin.class_names == ("disk", "smooth", "spiral")
        assert origin.crop is None


def test_file_without_names_has_the_classes_of_the_published_file_of_its_size(
    tmp_path, monkeypatch
):
    path = tmp_path / "some.h5"
    write_file(path, LARGE)
    origin = load_galaxy10(path).origin
    assert origin.class_names == DECALS_NAMES
    assert origin.crop is None
    write_file(path, IMAGES[:, :50, :50])
    with pytest.raises(DataError, match=r"50 x 50 pixels without names .*expected 69 .* or 256 "):
        load_galaxy10(path)
    other = galaxy10.DATASETS["decals"]._replace(title="Other", side=69)
    monkeypatch.setitem(galaxy10.DATASETS, "other", other)
    write_file(path)
    with pytest.raises(DataError, match=r"without names .*write the names"):
        load_galaxy10(path)
    write_file(path, class_names=list(CLASS_NAMES))
    assert load_galaxy10(path).origin.class_names == CLASS_NAMES


def test_file_without_names_that_lacks_classes_gives_a_warning(tmp_path):
    write_file(tmp_path / "few.h5", ans=LABELS % 8)
    with pytest.warns(UserWarning, match=r"few.h5 does not name .*no galaxies of \[8, 9\]"):
        load_galaxy10(tmp_path / "few.h5")
    write_file(tmp_path / "few.h5", ans=LABELS % 8, class_names=list(CLASS_NAMES))
    load_galaxy10(tmp_path / "few.h5")  # A warning would be an error.


def test_file_in_galclass_data_must_fit(home, monkeypatch):
    monkeypatch.setenv("GALCLASS_DATA", "~/mine.h5")
    write_file(home / "mine.h5", LARGE)
    with pytest.raises(DataError, match=r"256 x 256 pixels, expected 69 x 69 as in Galaxy10 SDSS"):
        load_galaxy10()
    assert load_galaxy10("decals").origin.class_names == DECALS_NAMES
    write_file(home / "mine.h5", ans=LABELS % 2, class_names=["disk", "smooth"])
    with pytest.raises(DataError, match=r"'disk'.*expected the classes of Galaxy10 SDSS"):
        load_galaxy10()
    assert load_galaxy10(home / "mine.h5").origin.class_names == ("disk", "smooth")


def test_published_file_is_recognized_by_its_hash_and_not_by_what_it_states(home, monkeypatch):
    stated = Origin.of_arrays(IMAGES, LABELS, CLASS_NAMES)
    stated = replace(stated, kind="galaxy10", title="Galaxy10 SDSS")
    path = home / "mine.h5"
    write_file(path, class_names=list(CLASS_NAMES), origin=json.dumps(stated.record()))
    assert str(load_galaxy10(path).origin) == "Galaxies of mine.h5: 20"
    make_published(path, monkeypatch)
    monkeypatch.setenv("GALCLASS_DATA", str(path))
    for name_or_path in ("galaxy10", path):
        origin = load_galaxy10(name_or_path).origin
        assert str(origin) == "Galaxy10 SDSS: 20"
        assert origin.kind == "galaxy10"
    with pytest.raises(DataError, match=r"Galaxy10 SDSS, expected Galaxy10 DECaLS"):
        load_galaxy10("decals")


def test_selected_simulated_galaxies_are_still_simulated(tmp_path):
    stated = Origin.of_arrays(IMAGES, LABELS, CLASS_NAMES)
    stated = replace(stated, kind="simulated", name="simulate_galaxy10(20)", seed=5)
    path = tmp_path / "mine.h5"
    attributes = {"class_names": list(CLASS_NAMES), "origin": json.dumps(stated.record())}
    write_file(path, IMAGES[:7], LABELS[:7], **attributes)
    sha256 = Origin.of_arrays(IMAGES[:7], LABELS[:7]).sha256
    expected = replace(stated, name="mine.h5", galaxies=7, sha256=sha256)
    assert load_galaxy10(path).origin == expected


def test_arrays_and_class_names_equal_those_of_astronn(tmp_path, monkeypatch):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # It imports pkg_resources, which warns.
        astronn = pytest.importorskip("astroNN.datasets.galaxy10sdss", reason="needs astroNN")
    path = tmp_path / "datasets" / "Galaxy10.h5"
    write_file(path)
    monkeypatch.setattr(astronn, "astroNN_CACHE_DIR", str(tmp_path))
    published = galaxy10.DATASETS["galaxy10"].sha256
    monkeypatch.setattr(astronn, "filehash", lambda *_, **keywords: published)
    for theirs, ours in zip(astronn.load_data(), load_galaxy10(path)[:2], strict=True):
        np.testing.assert_array_equal(theirs, ours)
        assert theirs.dtype == ours.dtype
    assert tuple(astronn.Galaxy10Class[c] for c in range(10)) == CLASS_NAMES


def test_file_in_the_working_directory_must_be_the_published_one(home, monkeypatch):
    path = Path("data") / "Galaxy10.h5"
    path.mkdir(parents=True)
    with pytest.raises(DataError, match="directory"):
        load_galaxy10()
    path.rmdir()
    write_file(path)
    with pytest.raises(DataError, match="is not the published"):
        load_galaxy10()
    make_published(path, monkeypatch)
    assert load_galaxy10().origin.kind == "galaxy10"


def test_damaged_file_of_astronn_is_not_used(home, monkeypatch):
    path = home / ".astroNN" / "datasets" / "Galaxy10.h5"
    write_file(path)
    with pytest.warns(UserWarning, match="damaged .* is not used"):
        assert locate_galaxy10() == Path("fetched")
    make_published(path, monkeypatch)
    assert locate_galaxy10() == path


def write_cut_off(path):
    write_file(path)
    path.write_bytes(path.read_bytes()[:-3000])


def write_group(path):
    write_file(path, images=None)
    with h5py.File(path, "r+") as file:
        file["images/x"] = IMAGES


def write_virtual(path):
    write_file(path, images=None)
    layout = h5py.VirtualLayout(IMAGES.shape, "u1")
    layout[...] = h5py.VirtualSource("other.h5", "images", IMAGES.shape)
    with h5py.File(path, "r+") as file:
        file.create_virtual_dataset("images", layout)


def write_promise(path):
    with h5py.File(path, "w") as file:
        file.create_dataset("images", (10**9, 69, 69, 3), "u1", chunks=(1, 69, 69, 3))
        file.create_dataset("ans", (10**9,), "u1", chunks=(1000,))


BAD_FILES = {
    "a web page": (lambda path: path.write_text("<html>"), "HDF5"),
    "a folder": (lambda path: path.mkdir(), "directory"),
    "a pipe": (os.mkfifo, "special file"),
    "cut off": (write_cut_off, "cannot read|cut off"),
    "no images": (partial(write_file, images=None), "no column 'images'"),
    "no labels": (partial(write_file, ans=None), "no column 'ans'"),
    "a group": (write_group, "no column 'images'"),
    "a virtual column": (write_virtual, "no column 'images' in it"),
    "a link": (partial(write_file, images=h5py.ExternalLink("other.h5", "x")), "read|in it"),
    "floats": (partial(write_file, images=IMAGES / 255), "float64.*uint8"),
    "not square": (partial(write_file, images=IMAGES[:, 1:]), r"\(20, 68, 69, 3\), expected"),
    "a number": (partial(write_file, images=np.uint8(1)), r"uint8 \(\), expected"),
    "fewer labels": (partial(write_file, ans=LABELS[1:]), "20 images.* 19 labels"),
    "words": (partial(write_file, ans=["spiral"] * 20), "object, expected"),
    "classes from 1": (partial(write_file, ans=LABELS + 1), "1 to 10"),
    "no galaxy": (partial(write_file, images=IMAGES[:0], ans=LABELS[:0]), "empty"),
    "a promise of 14 TB": (write_promise, "1,000,000,000 galaxies"),
    "a damaged origin": (partial(write_file, origin="{"), "attribute origin is damaged"),
    "one name": (partial(write_file, class_names="disk"), "class_names .*expected a list"),
    "numbers as names": (partial(write_file, class_names=[1, 2]), "class_names .*expected a list"),
    "bytes as names": (partial(write_file, class_names=b"ab"), "class_names .*expected a list"),
}


@pytest.mark.parametrize(("write", "words"), BAD_FILES.values(), ids=BAD_FILES)
def test_bad_file_is_refused(write, words, tmp_path):
    write(tmp_path / "some.h5")
    with pytest.raises(DataError, match=words) as caught:
        load_galaxy10(tmp_path / "some.h5")
    assert "some.h5" in str(caught.value)


def test_what_is_not_the_path_of_a_readable_file_is_refused(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match=r"no file nowhere.h5; give"):
        load_galaxy10("nowhere.h5")
    with pytest.raises(FileNotFoundError, match="no file a"):
        load_galaxy10("a\0.h5")
    with pytest.raises(ParameterError, match="expected the path"):
        load_galaxy10(IMAGES)
    write_file(tmp_path / "some.h5")
    (tmp_path / "some.h5").chmod(0)
    if os.geteuid() == 0:  # Root may read everything.
        monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(PermissionError, match="permission"):
        load_galaxy10(tmp_path / "some.h5")
