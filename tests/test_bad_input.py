"""Bad arrays and parameters are refused with advice, by every function that takes them."""

import numpy as np
import pytest
from astropy import units

import galclass
from galclass import train
from galclass.data.arrays import check_class_names, check_images, check_integer, check_labels
from galclass.data.dataset import Dataset, Origin
from galclass.errors import DataError, ParameterError, RunError
from galclass.load import write_data
from galclass.network.options import check_symmetric

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (80, 69, 69, 3), np.uint8)
LABELS = np.arange(80, dtype=np.uint8) % 10
TWO_CLASSES = Origin.of_arrays(IMAGES, LABELS % 2, ["a", "b"])

BAD_IMAGES = {
    "floats in 0-1": (IMAGES / 255, r"float64, expected uint8.* 0-1"),
    "integers in 0-255": (IMAGES.astype(int), r"int64, expected uint8.* 0-255"),
    "NaN": (IMAGES * np.nan, "NaN"),
    "booleans": (IMAGES > 99, "bool, expected uint8"),
    "words": (np.array(["a", "b"]), "<U1, expected uint8"),
    "None": (None, "object, expected uint8"),
    "ragged lists": ([[1, 2], [3]], "not an array"),
    "channels first": (IMAGES.transpose(0, 3, 1, 2), r"transpose\(0, 2, 3, 1\)"),
    "grey": (IMAGES[..., 0], "grey"),
    "four channels": (np.concatenate([IMAGES, IMAGES[..., :1]], -1), r"\(80, 69, 69, 4\)"),
    "too small": (IMAGES[:, :16, :16], r"\(80, 16, 16, 3\), expected \(N, s, s, 3\), s from 32"),
    "not square": (IMAGES[:, :64], r"\(80, 64, 69, 3\), expected"),
    "one image": (IMAGES[0], r"images\[None\]"),
    "a number": (np.uint8(3), r"\(\), expected"),
    "no image": (IMAGES[:0], "it is empty; expected one galaxy or more"),
    "a mask": (np.ma.masked_equal(IMAGES, 3), "masked"),
    "a unit": (IMAGES * units.Jy, "unit Jy"),
}
BAD_LABELS = {
    "one-hot": (np.eye(10)[LABELS], "one-hot.*argmax"),
    "a column": (LABELS[:, None], r"\(80, 1\), expected \(N,\)"),
    "floats": (LABELS.astype(float), "float64, expected integers"),
    "booleans": (LABELS > 4, "bool, expected integers"),
    "names": (np.array(["spiral"] * 80), "expected integers"),
    "classes from 1": (LABELS + 1, "1 to 10, expected 0-9"),
    "negative": (LABELS.astype(int) - 1, "-1 to 8, expected 0-9"),
    "no label": (LABELS[:0], "it is empty"),
    "too few": (LABELS[1:], "80 images but 79 labels"),
}


@pytest.mark.parametrize(("images", "words"), BAD_IMAGES.values(), ids=BAD_IMAGES)
def test_bad_images_are_refused(images, words):
    with pytest.raises(DataError, match=f"^images: .*{words}"):
        check_images(images)


@pytest.mark.parametrize(("labels", "words"), BAD_LABELS.values(), ids=BAD_LABELS)
def test_bad_labels_are_refused(labels, words):
    with pytest.raises(DataError, match=f"^labels: .*{words}"):
        check_labels(labels, 80, classes=10)


NUMBERS = [str(number) for number in range(256)]
BAD_NAMES = ["abc", ["a"], ["a", "a", "b"], ["a", " ", "b"], [1, 2, 3], NUMBERS]


def test_bad_parameters_are_refused():
    for value in (True, np.True_, 7.0, "7", None, 0, 9, np.int64(-7), [7]):
        with pytest.raises(ParameterError, match=r"n=.*, expected an integer of 1 to 8"):
            check_integer(value, "n", 1, 8)
    for names in BAD_NAMES:
        with pytest.raises(ParameterError, match=r"class_names=.*, expected 2 to 255 different"):
            check_class_names(names)
    for value in ("sometimes", None, 8, []):
        with pytest.raises(ParameterError, match="expected True, False or 'unsure'"):
            check_symmetric(value)


EVEN = np.full((80, 10), 0.1)
TAKE = {
    "train": lambda images, labels, out, run: train(images, labels, out=out),
    "study": lambda images, labels, out, run: galclass.study(images, labels, out=out),
    "evaluate": lambda images, labels, out, run: galclass.evaluate(run, images, labels),
    "plot_examples": lambda images, labels, out, run: galclass.plot_examples(images, labels),
    "write_data": lambda images, labels, out, run: write_data(out, Dataset(images, labels, None)),
}
TAKE_IMAGES = {
    "predict": lambda images, labels, out, run: galclass.predict(images),
    "embed": lambda images, labels, out, run: galclass.embed(images),
    "seen_by": lambda images, labels, out, run: galclass.seen_by(run, images),
}
TAKE_LABELS = {
    "split": lambda images, labels, out, run: galclass.split(labels),
    "compute_metrics": lambda images, labels, out, run: galclass.compute_metrics(labels, EVEN),
    "plot_class_counts": lambda images, labels, out, run: galclass.plot_class_counts(labels),
}


@pytest.mark.parametrize("name", [*TAKE, *TAKE_IMAGES])
def test_every_function_refuses_bad_images(name, trained, tmp_path):
    take = {**TAKE, **TAKE_IMAGES}[name]
    with pytest.raises(DataError, match=r"float64.*expected.*uint8"):
        take(IMAGES / 255, LABELS, tmp_path / "new", trained)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", [*TAKE, *TAKE_LABELS])
def test_every_function_refuses_bad_labels(name, trained, tmp_path):
    take = {**TAKE, **TAKE_LABELS}[name]
    with pytest.raises(DataError, match=r"float64.*expected integers"):
        take(IMAGES, LABELS.astype(float), tmp_path / "new", trained)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"labels": LABELS[:-1]}, DataError, "80 images but 79 labels"),
        ({"labels": LABELS * 0 + 3}, DataError, "all galaxies are of class 3, expected two"),
        ({"images": IMAGES[:30], "labels": LABELS[:30]}, ParameterError, "are too few to split"),
        ({"class_names": ["a", "b"]}, DataError, "0 to 9, expected 0-1"),
        ({"class_names": ["a"]}, ParameterError, r"class_names=\('a',\), expected 2 to 255"),
        ({"origin": TWO_CLASSES}, DataError, "0 to 9, expected 0-1"),
        ({"origin": "SDSS"}, ParameterError, "origin='SDSS', expected the one of load_data"),
        ({"recipe": "best"}, ParameterError, "recipe='best', expected a Recipe or one of"),
        ({"recipe": {"epochs": 3}}, ParameterError, "recipe={'epochs': 3}, expected a Recipe"),
        ({"epochs": 0}, ParameterError, "epochs=0, expected an integer of 1 or more"),
        ({"seed": -1}, ParameterError, "seed=-1, expected an integer of 0 or more"),
        ({"split": "lucky"}, ParameterError, "unknown split 'lucky', expected 'stratified'"),
        ({"precision": "int8"}, ParameterError, "unknown precision 'int8', expected one of"),
        ({"start": "nowhere"}, RunError, "no run folder nowhere; make one with"),
        ({"start": 3}, ParameterError, "run=3, expected a Run or the path"),
        ({"out": ""}, ParameterError, "out='', expected the path of a folder"),
        ({"out": "/dev/null"}, RunError, "/dev/null is a file; choose another output folder"),
    ],
)
def test_bad_settings_of_a_training_are_refused_before_anything_is_written(
    settings, error, words, tmp_path
):
    settings = {"images": IMAGES, "labels": LABELS, "out": tmp_path / "new", **settings}
    with pytest.raises(error, match=words):
        train(**settings)
    assert list(tmp_path.iterdir()) == []
