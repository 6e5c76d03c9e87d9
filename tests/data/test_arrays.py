"""Valid arrays and integers pass, and error messages name conversions that work."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import galclass
from galclass.data.arrays import check_images, check_integer, check_labels
from galclass.errors import DataError

IMAGES = hnp.arrays(np.uint8, st.tuples(st.integers(1, 3), *map(st.just, (69, 69, 3))))
NAMES = np.array(galclass.CLASS_NAMES)


def convert_as_advised(check, values):
    """Return the values after the conversion that the error message names."""
    with pytest.raises(DataError) as caught:
        check(values)
    advice = re.search("(?:with|Take) (.*?)(, without NaN|, or other names.*)?$", str(caught.value))
    names = {"images": values, "labels": values, "galclass": galclass}
    return check(eval(advice[1], names))


@settings(max_examples=25, deadline=None)
@given(IMAGES)
def test_valid_images_pass_unchanged(images):
    assert check_images(images) is images


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=1))
def test_valid_labels_become_uint8_with_equal_values(labels):
    checked = check_labels(labels, len(labels))
    assert checked.dtype == np.uint8
    np.testing.assert_array_equal(checked, labels)
    assert check_labels(checked) is checked


@settings(max_examples=25, deadline=None)
@given(IMAGES, st.sampled_from([1.0, 255.0]))
def test_advised_conversion_restores_images_of_floats(images, maximum):
    images = images.clip(2)  # Otherwise images in 0-255 may look as if they were in 0-1.
    floats = images * (maximum / 255)
    np.testing.assert_array_equal(convert_as_advised(check_images, floats), images)


@pytest.mark.parametrize("values", [NAMES, NAMES.astype(object), np.arange(10.0), np.eye(10)])
def test_advised_conversion_gives_labels(values):
    assert convert_as_advised(check_labels, values[[3, 0, 9]]).tolist() == [3, 0, 9]


def test_grey_channel_is_repeated():
    grey = np.arange(32 * 32, dtype=np.uint8).reshape(1, 32, 32, 1)
    images = check_images(grey)
    assert images.shape == (1, 32, 32, 3)
    assert (images == grey).all()


def test_tensors_are_taken_like_arrays():
    from galclass.network._tensorflow import tf

    assert check_images(tf.zeros((2, 69, 69, 3), tf.uint8)).shape == (2, 69, 69, 3)
    assert check_labels(tf.constant([1, 9])).tolist() == [1, 9]


@pytest.mark.parametrize("value", [7, np.int8(7), np.uint64(7), np.array(7)])
def test_integers_of_numpy_become_integers_of_python(value):
    number = check_integer(value, "n", 1)
    assert type(number) is int
    assert number == 7
