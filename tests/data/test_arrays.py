"""What is no image, label or integer is refused with words that help."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import galclass
from galclass.data.arrays import check_images, check_integer, check_labels
from galclass.errors import DataError, ParameterError

IMAGES = hnp.arrays(np.uint8, st.tuples(st.integers(1, 3), *map(st.just, (69, 69, 3))))


def _converted(check, values):
    """What the conversion that the error names makes of the values."""
    with pytest.raises(DataError) as caught:
        check(values)
    conversion = re.search("(?:with|Take) (.*?)(, without NaN|, or names.*)?$", str(caught.value))[
        1
    ]
    return check(eval(conversion, {"images": values, "labels": values, "galclass": galclass}))


@settings(max_examples=25, deadline=None)
@given(IMAGES, st.lists(st.integers(0, 9), min_size=1), st.sampled_from([1.0, 255.0]))
def test_valid_arrays_pass_unchanged_and_convertible_images_come_back(images, labels, top):
    assert check_images(images) is images
    checked = check_labels(labels, len(labels))
    assert checked.dtype == np.uint8
    assert check_labels(checked) is checked
    np.testing.assert_array_equal(checked, labels)
    images = images.clip(2)  # Else images in 0-255 may look as if they were in 0-1.
    np.testing.assert_array_equal(_converted(check_images, images / top), images)


NAMES = np.array(galclass.CLASS_NAMES)


@pytest.mark.parametrize("kind", [NAMES, NAMES.astype(object), np.arange(10.0), np.eye(10)])
def test_the_conversion_that_the_error_names_gives_labels(kind):
    assert _converted(check_labels, kind[[3, 0, 9]]).tolist() == [3, 0, 9]


def test_tensors_are_taken_like_arrays():
    from galclass.network._tensorflow import tf

    assert check_images(tf.zeros((2, 69, 69, 3), tf.uint8)).shape == (2, 69, 69, 3)
    assert check_labels(tf.constant([1, 9])).tolist() == [1, 9]


def test_integers_are_those_of_python_and_numpy():
    values = (7, np.int8(7), np.uint64(7), np.array(7))
    assert [type(check_integer(value, "n", 1)) for value in values] == [int] * 4
    for wrong in (True, np.True_, 7.0, "7", None, 0, np.int64(-7), [7]):
        with pytest.raises(ParameterError, match=r"n=.*, expected an integer of 1 or more"):
            check_integer(wrong, "n", 1)
    with pytest.raises(ParameterError, match="n=8, expected an integer of 1 to 7"):
        check_integer(8, "n", 1, 7)
