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


@settings(max_examples=10, deadline=None)
@given(IMAGES, st.sampled_from([1.0, 255.0]))
def test_conversion_advised_by_the_error_works(images, maximum):
    assert check_images(images) is images
    images = images.clip(2)  # Otherwise images in 0-255 may look as if they were in 0-1.
    floats = images * (maximum / 255)
    np.testing.assert_array_equal(convert_as_advised(check_images, floats), images)


@pytest.mark.parametrize("values", [NAMES, NAMES.astype(object), np.arange(10.0), np.eye(10)])
def test_conversion_of_labels_advised_by_the_error_works(values):
    assert convert_as_advised(check_labels, values[[3, 0, 9]]).tolist() == [3, 0, 9]


def test_integers_become_uint8_labels_and_a_grey_channel_is_repeated():
    labels = check_labels([3, 0, 9], 3)
    assert labels.dtype == np.uint8
    assert labels.tolist() == [3, 0, 9]
    assert check_labels(labels) is labels
    grey = np.arange(32 * 32, dtype=np.uint8).reshape(1, 32, 32, 1)
    np.testing.assert_array_equal(check_images(grey), np.repeat(grey, 3, axis=3))


def test_tensors_are_taken_like_arrays():
    from galclass.network._tensorflow import tf

    assert check_images(tf.zeros((2, 69, 69, 3), tf.uint8)).shape == (2, 69, 69, 3)
    assert check_labels(tf.constant([1, 9])).tolist() == [1, 9]


@pytest.mark.parametrize("value", [7, np.int8(7), np.uint64(7), np.array(7)])
def test_integers_of_numpy_become_integers_of_python(value):
    number = check_integer(value, "n", 1)
    assert type(number) is int
    assert number == 7
