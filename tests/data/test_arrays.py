"""What is no image, label or integer is refused with words that help."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import galclass
from galclass.data.arrays import check_images, check_integer, check_labels
from galclass.errors import DataError, ParameterError

few = settings(max_examples=25, deadline=None)
IMAGES = hnp.arrays(np.uint8, st.tuples(st.integers(1, 3), *map(st.just, (69, 69, 3))))
BLACK = np.zeros((2, 69, 69, 3))


@few
@given(IMAGES, st.lists(st.integers(0, 9), min_size=1))
def test_valid_images_and_labels_pass_unchanged(images, labels):
    assert check_images(images) is images
    checked = check_labels(labels, len(labels))
    assert checked.dtype == np.uint8
    assert check_labels(checked) is checked
    np.testing.assert_array_equal(checked, labels)


@few
@given(IMAGES, st.sampled_from([1.0, 255.0]))
def test_the_conversion_that_the_error_names_gives_the_images_back(images, top):
    images = images.clip(2)  # Else images in 0-255 may look as if they were in 0-1.
    with pytest.raises(DataError) as caught:
        check_images(images / top)
    conversion = str(caught.value).partition("convert with ")[2]
    np.testing.assert_array_equal(eval(conversion, {"images": images / top}), images)


def test_tensors_are_taken_like_arrays():
    from galclass.network._tensorflow import tf

    assert check_images(tf.zeros((2, 69, 69, 3), tf.uint8)).shape == (2, 69, 69, 3)
    assert check_labels(tf.constant([1, 9])).tolist() == [1, 9]


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (np.array(["spiral", "edge-on", "spiral"]), [1, 0, 1]),
        (np.array(["spiral", "edge-on", "spiral"], object), [1, 0, 1]),
        (np.array([3.0, 0.0, 9.0]), [3, 0, 9]),
        (np.eye(10)[[3, 0, 9]], [3, 0, 9]),
    ],
    ids=["text", "objects", "floats", "one-hot"],
)
def test_the_conversion_that_the_error_names_gives_labels(labels, expected):
    with pytest.raises(DataError) as caught:
        check_labels(labels)
    conversion = str(caught.value).partition("convert with ")[2].partition(", or ")[0]
    found = eval(conversion, {"labels": labels, "np": np})
    assert check_labels(found).tolist() == expected


def test_names_of_classes_become_labels_as_the_error_says():
    labels = np.array(galclass.CLASS_NAMES)[[3, 0, 9]]
    with pytest.raises(DataError) as caught:
        check_labels(labels)
    conversion = str(caught.value).partition("Galaxy10's names with ")[2]
    assert eval(conversion, {"labels": labels, "galclass": galclass}) == [3, 0, 9]


def test_values_that_no_conversion_helps_get_other_words():
    for images in (BLACK * 1j, BLACK - 1):
        with pytest.raises(DataError, match="expected uint8; give pixel values 0-255"):
            check_images(images)
    with pytest.raises(DataError, match="NaN or infinite values; replace these"):
        check_images(BLACK + np.nan)
    with pytest.raises(DataError, match="NaN or infinite values; leave these galaxies out"):
        check_labels([1.0, np.nan])


def test_integers_are_those_of_python_and_numpy():
    values = (7, np.int8(7), np.uint64(7), np.array(7))
    assert [type(check_integer(value, "n", 1)) for value in values] == [int] * 4
    for wrong in (True, np.True_, 7.0, "7", None, 0, np.int64(-7), [7]):
        with pytest.raises(ParameterError, match=r"n=.*, expected an integer of 1 or more"):
            check_integer(wrong, "n", 1)
    with pytest.raises(ParameterError, match="n=8, expected an integer of 1 to 7"):
        check_integer(8, "n", 1, 7)
