"""Folders and catalogues of labelled images become galaxies with the names of their classes."""

import shutil

import numpy as np
import pytest
from astropy.table import Table
from PIL import Image

from galclass.errors import DataError
from galclass.images.folders import read_labelled
from galclass.images.prepare import DEFAULT_CROP, prepare

NAMES = ("disk | thin", "smooth", "spiral")
SIDE = 36


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Twelve images of three classes that differ in brightness, and a catalogue of them."""
    base = tmp_path_factory.mktemp("own")
    rows = []
    for number in range(12):
        label = number % 3
        path = base / "images" / NAMES[label] / f"{number:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (SIDE, SIDE), (80 * label, number, 0)).save(path)
        rows.append((str(path.relative_to(base)), NAMES[label]))
    Table(rows=rows, names=("file", "kind")).write(base / "galaxies.ecsv")
    return base


def write_folder(path, sizes):
    """Write one class per image."""
    for name, size in zip("ab", sizes, strict=True):
        (path / name).mkdir()
        Image.new("RGB", size, (9, 99, 199)).save(path / name / "one.png")


def write_catalogue(path, rows):
    """Write a catalogue, and the small images a.png, b.png, c.png and d.png next to it."""
    for name in "abcd":
        Image.new("RGB", (40, 40)).save(path.parent / f"{name}.png")
    path.write_text("\n".join(["image,label", *rows, ""]), encoding="utf-8")


def test_a_folder_of_folders_and_a_catalogue_give_the_same_galaxies(folder):
    of_folder = read_labelled(folder / "images")
    catalogue = folder / "galaxies.ecsv"
    of_catalogue = read_labelled(catalogue, image_column="file", label_column="kind")
    for dataset, name in ((of_folder, "images"), (of_catalogue, "galaxies.ecsv")):
        assert dataset.images.shape == (12, SIDE, SIDE, 3)
        assert dataset.labels.dtype == np.uint8
        np.testing.assert_array_equal(dataset.images[:, 0, 0, 0] // 80, dataset.labels)
        assert dataset.origin.class_names == NAMES
        assert (dataset.origin.kind, dataset.origin.name) == ("file", name)
        assert str(dataset.origin) == f"Galaxies of {name}: 12"


@pytest.mark.parametrize("side", [32, 69, 256])
def test_square_images_of_one_size_are_left_whole(side, tmp_path):
    write_folder(tmp_path, [(side, side)] * 2)
    dataset = read_labelled(tmp_path)
    assert dataset.images.shape == (2, side, side, 3)
    assert dataset.origin.crop is None


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ([(424, 424), (300, 300)], "300 x 300, 424 x 424 pixels"),
        ([(24, 24)] * 2, "24 x 24 pixels"),
        ([(300, 300)] * 2, "300 x 300 pixels"),
        ([(60, 50)] * 2, "60 x 50 pixels"),
    ],
)
def test_other_images_are_cropped_and_scaled_with_a_warning(sizes, words, tmp_path):
    write_folder(tmp_path, sizes)
    with pytest.warns(UserWarning, match=f"{words}.*cropped and scaled to 69 x 69"):
        dataset = read_labelled(tmp_path)
    np.testing.assert_array_equal(dataset.images, prepare(sorted(tmp_path.glob("*/one.png"))))
    assert dataset.origin.crop == DEFAULT_CROP


def test_files_that_are_left_out_of_a_folder_are_named_in_a_warning(folder, tmp_path):
    images = shutil.copytree(folder / "images", tmp_path / "images")
    (images / "smooth" / "notes.txt").touch()
    (images / ".DS_Store").touch()
    (images / "linked").symlink_to(folder / "images" / "spiral")
    with pytest.warns(UserWarning, match=r"1 files are left out .* such as notes\.txt"):
        dataset = read_labelled(images)
    assert dataset.origin.class_names == ("disk | thin", "linked", "smooth", "spiral")


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ([], "holds no folder of images"),
        (["a/1.png", "b/notes.txt"], "folder b holds no image"),
        (["a/1.png", "b/deep/2.png"], "folder deep in b"),
        (["a/1.png", "b/2.png", "3.png"], r"3\.png is not in a folder"),
        (["a/1.png"], r"1 classes \(a\), expected 2"),
    ],
)
def test_folders_of_another_form_are_refused(files, words, tmp_path):
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 40)).save(tmp_path / name, "PNG")
    with pytest.raises(DataError, match=words):
        read_labelled(tmp_path)


@pytest.mark.filterwarnings("ignore:.*another row names")
@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (["a.png,x"], r"1 classes \(x\), expected 2"),
        ([f"a.png,{n}" for n in range(256)], "256 classes .* to 255"),
        (["a.png,x", "b.png,"], r"'label' is empty in 1 rows \(1"),
        (["a.png,x", "gone.png,y"], r"1 of 2 images cannot be read: no file.*gone\.png"),
    ],
)
def test_bad_catalogues_are_refused(rows, words, tmp_path):
    write_catalogue(tmp_path / "c.csv", rows)
    with pytest.raises(DataError, match=words):
        read_labelled(tmp_path / "c.csv")


def test_a_file_that_is_listed_twice_gives_a_warning(tmp_path):
    write_catalogue(tmp_path / "c.csv", ["a.png,x", "b.png,y", "a.png,y"])
    with pytest.warns(UserWarning, match="1 rows name a file that another row names"):
        read_labelled(tmp_path / "c.csv")


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        ((10, 9, -2, -11), ("-11", "-2", "9", "10")),
        (("02", "a", "10", "00"), ("10", "00", "02", "a")),
    ],
)
def test_integer_labels_are_sorted_by_their_value(labels, names, tmp_path):
    rows = [f"{name}.png,{label}" for name, label in zip("abcd", labels, strict=True)]
    write_catalogue(tmp_path / "c.csv", rows)
    assert read_labelled(tmp_path / "c.csv").origin.class_names == names
