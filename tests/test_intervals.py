import numpy as np
import pytest

from galclass.intervals import wilson_interval


def test_intervals_are_those_of_newcombe():
    """Newcombe 1998, Statistics in Medicine 17, 857, table I, method 3."""
    expected = {(81, 263): (0.2553, 0.3662), (15, 148): (0.0624, 0.1605), (0, 20): (0, 0.1611)}
    for (count, n), interval in expected.items():
        assert wilson_interval(count, n) == pytest.approx(interval, abs=5e-5)


def test_arrays_give_arrays_within_0_and_1():
    low, high = wilson_interval(np.array([0, 5, 10]), 10)
    assert low[0] == 0
    assert high[2] == 1
    assert ((low < [0.01, 0.5, 1]) & (high > [0, 0.5, 0.99])).all()
    assert wilson_interval(5, 10, level=0.5)[0] > low[1]
