"""Wilson's confidence interval."""

from typing import Any

import numpy as np
from astropy.stats import binom_conf_interval

FEW = 10  # Figures and tables mark fractions of fewer galaxies as uncertain.


def wilson_interval(count: Any, n: Any, level: float = 0.95) -> tuple[Any, Any]:
    """Return Wilson's interval of a fraction (Wilson 1927, JASA 22, 209).

    Parameters
    ----------
    count : int or array of int
        Number of successes, 0 to `n`.
    n : int or array of int
        Number of trials, 1 or more.
    level : float, default 0.95
        Confidence level.

    Returns
    -------
    low, high : float or ndarray of float
        Both are from 0 to 1.
    """
    low, high = binom_conf_interval(count, n, confidence_level=level, interval="wilson")
    # Rounding can leave the range; [()] turns an array without dimensions into a number.
    return np.clip(low, 0, 1)[()], np.clip(high, 0, 1)[()]
