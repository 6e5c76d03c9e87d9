"""Probability thresholds for samples of a given purity or completeness."""

from numbers import Real
from typing import Any

import numpy as np
from astropy.table import MaskedColumn, Table
from numpy.typing import NDArray

from ..data.arrays import Labels
from ..errors import ParameterError
from ..files import PathLike
from ..intervals import wilson_interval
from ..run import Run, as_run
from .calibration import calibration_of

# We require the lower end of the 68 % interval to reach the target: requiring only the measured
# purity would pick samples that look pure by luck.
CONFIDENCE = 0.6827
MEASURED = ("galaxies", "purity", "completeness", "purity_low", "purity_high")


def thresholds(
    run: Run | PathLike, *, purity: float | None = None, completeness: float | None = None
) -> Table:
    """Choose a probability threshold for each class.

    The sample of a class consists of the galaxies that are predicted as this class with a
    probability at or above the threshold. Thresholds are chosen on the validation set such that
    the lower end of the 68 % interval (Wilson's) reaches the target; the test set shows if the
    sample reaches it. The purity holds only for samples with the class fractions of the run's own
    galaxies.

    Parameters
    ----------
    run : Run or path-like
        An evaluated run.
    purity : float, optional
        Fraction of the sample that is of the class, between 0 and 1. The largest sample of this
        purity is chosen.
    completeness : float, optional
        Instead of `purity`: fraction of the class that is in the sample. The purest sample of this
        completeness is chosen.

    Returns
    -------
    astropy.table.Table
        One row per class: ``class`` (from 0), ``name``, ``threshold`` (a probability; masked if
        there are too few validation galaxies to reach the target), and for the sample of the
        validation set (``validation_...``) and of the test set (``test_...``): ``..._galaxies``,
        ``..._purity`` with its 95 % interval (Wilson's) from ``..._purity_low`` to
        ``..._purity_high``, and ``..._completeness``.

    Raises
    ------
    ParameterError
        `purity` and `completeness` are both given or both missing, or the value is not between 0
        and 1.
    RunError
        The run is not evaluated.

    Examples
    --------
    >>> import galclass
    >>> table = galclass.thresholds(galclass.load_pretrained(), purity=0.95)
    >>> print(table["name"][4], table["threshold"][4].round(2))
    Disk, Edge-on, Rounded Bulge 0.86
    """
    run = as_run(run)
    target_name, target = _check_target(purity, completeness)
    calibration = calibration_of(run)
    validation = run.validation
    test = run.predictions
    validation_probabilities = calibration.apply(validation["probabilities"])
    test_probabilities = calibration.apply(test["probabilities"])
    rows = []
    for c, name in enumerate(run.class_names):
        row: dict[str, Any] = {"class": c, "name": name}
        curve = sample_curve(validation["labels"], validation_probabilities, c)
        position = _choose_position(curve, target_name, target)
        if position is not None:
            threshold = float(curve["threshold"][position])
            test_curve = sample_curve(test["labels"], test_probabilities, c)
            row["threshold"] = threshold
            row |= _measure_sample("validation", curve, threshold)
            row |= _measure_sample("test", test_curve, threshold)
        rows.append(row)
    return _make_table(rows, target_name, target)


def _check_target(purity: float | None, completeness: float | None) -> tuple[str, float]:
    """Return the name and the value of the target."""
    name = "purity"
    target = purity
    if purity is None:
        name = "completeness"
        target = completeness
    is_single = purity is None or completeness is None
    if is_single and isinstance(target, Real) and not isinstance(target, bool) and 0 < target < 1:
        return name, float(target)
    raise ParameterError(
        f"purity={purity!r}, completeness={completeness!r}; expected one of them, between 0 and 1"
    )


def sample_curve(labels: Labels, probabilities: NDArray[Any], c: int) -> dict[str, NDArray[Any]]:
    """Compute purity and completeness of the sample of a class at every threshold.

    Parameters
    ----------
    labels : array of int, shape (n,)
    probabilities : array of float, shape (n, classes)
    c : int
        The class.

    Returns
    -------
    dict of ndarray
        ``threshold``, decreasing, and for the galaxies that are predicted as the class with this
        probability or more: ``galaxies`` (their number), ``correct`` (how many of them are of the
        class), ``purity`` and ``completeness``. ``purity_low`` and ``completeness_low`` are the
        lower ends of the 68 % intervals (Wilson's).
    """
    is_predicted = probabilities.argmax(axis=1) == c
    values = probabilities[is_predicted, c]
    order = np.argsort(-values, kind="stable")
    values = values[order]
    correct = np.cumsum(labels[is_predicted][order] == c)
    # Galaxies with equal probabilities are in the sample together.
    is_last = np.ones(len(values), bool)
    is_last[:-1] = values[1:] != values[:-1]
    galaxies = np.flatnonzero(is_last) + 1
    correct = correct[is_last]
    of_class = max(int((labels == c).sum()), 1)
    return {
        "threshold": values[is_last],
        "galaxies": galaxies,
        "correct": correct,
        "purity": correct / galaxies,
        "purity_low": wilson_interval(correct, galaxies, CONFIDENCE)[0],
        "completeness": correct / of_class,
        "completeness_low": wilson_interval(correct, of_class, CONFIDENCE)[0],
    }


def _choose_position(curve: dict[str, NDArray[Any]], target_name: str, target: float) -> int | None:
    """Return the position of the threshold in the curve, None if no sample reaches the target."""
    positions = np.flatnonzero(curve[f"{target_name}_low"] >= target)
    if len(positions) == 0:
        return None
    if target_name == "purity":
        return int(positions[-1])  # the largest sample
    return int(positions[curve["purity"][positions].argmax()])


def _measure_sample(
    part: str, curve: dict[str, NDArray[Any]], threshold: float
) -> dict[str, float]:
    """Return the columns of the table for the galaxies at or above a threshold."""
    # The thresholds of the curve decrease.
    position = int((curve["threshold"] >= threshold).sum()) - 1
    if position < 0:
        return {f"{part}_galaxies": 0}
    galaxies = int(curve["galaxies"][position])
    low, high = wilson_interval(int(curve["correct"][position]), galaxies)
    return {
        f"{part}_galaxies": galaxies,
        f"{part}_purity": float(curve["purity"][position]),
        f"{part}_completeness": float(curve["completeness"][position]),
        f"{part}_purity_low": float(low),
        f"{part}_purity_high": float(high),
    }


def _make_table(rows: list[dict[str, Any]], target_name: str, target: float) -> Table:
    """Return a table of rows that may lack values, which are masked."""
    columns = {"class": int, "name": str, "threshold": float}
    for part in ("validation", "test"):
        for name in MEASURED:
            columns[f"{part}_{name}"] = int if name == "galaxies" else float
    table = Table(meta={target_name: target})
    for name, kind in columns.items():
        mask = [name not in row for row in rows]
        values = np.array([row.get(name, 0) for row in rows], kind)
        if any(mask):
            table[name] = MaskedColumn(values, mask=mask)
        else:
            table[name] = values
    description = f"lowest probability; masked if no sample reaches a {target_name} of {target}"
    table["threshold"].description = description
    return table
