"""Probabilities to cut at, for samples of known purity or completeness."""

from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..data.arrays import Labels
from ..errors import ParameterError

if TYPE_CHECKING:
    from astropy.table import Table

# Of the interval whose lower end has to reach the target: one standard deviation. The largest
# sample whose purity itself reaches it would be one that chance has favoured.
CONFIDENCE = 0.6827


def share_interval(count: Any, n: Any, level: float = 0.95) -> tuple[Any, Any]:
    """Wilson's interval (1927, JASA 22, 209) of a share, `count` galaxies of `n`; or of arrays."""
    from astropy.stats import binom_conf_interval

    low, high = binom_conf_interval(count, n, confidence_level=level, interval="wilson")
    return np.clip(low, 0, 1)[()], np.clip(high, 0, 1)[()]


def sample_curve(labels: Labels, probabilities: NDArray[Any], c: int) -> dict[str, NDArray[Any]]:
    """What the galaxies that are predicted to be of a class are, cut at each probability.

    Parameters
    ----------
    labels : array of int, shape (n,)
    probabilities : array of float, shape (n, classes)
    c : int
        The class.

    Returns
    -------
    dict of ndarray
        ``threshold``, falling, and of the galaxies at or above it: ``galaxies``, how many;
        ``right``, how many of them are of the class; ``purity``; and ``completeness``, the share
        of all of the class that they are. ``purity_low`` and ``completeness_low`` are the lower
        ends of their Wilson intervals of one standard deviation (68 %).
    """
    chosen = probabilities.argmax(axis=1) == c
    values, right = probabilities[chosen, c], labels[chosen] == c
    order = np.argsort(-values, kind="stable")
    values, found = values[order], np.cumsum(right[order])
    last = np.flatnonzero(np.append(values[1:] != values[:-1], True))[: len(values)]
    galaxies, found = last + 1, found[last]
    of_class = max(int((labels == c).sum()), 1)
    return {
        "threshold": values[last],
        "galaxies": galaxies,
        "right": found,
        "purity": found / galaxies,
        "purity_low": share_interval(found, galaxies, CONFIDENCE)[0],
        "completeness": found / of_class,
        "completeness_low": share_interval(found, of_class, CONFIDENCE)[0],
    }


def choose_thresholds(
    validation: tuple[Labels, NDArray[Any]],
    test: tuple[Labels, NDArray[Any]],
    class_names: tuple[str, ...],
    *,
    purity: float | None = None,
    completeness: float | None = None,
) -> "Table":
    """The table that :meth:`galclass.run.Run.thresholds` returns; labels and probabilities each."""
    from astropy.table import MaskedColumn, Table

    key, target = ("purity", purity) if completeness is None else ("completeness", completeness)
    valid = isinstance(target, Real) and not isinstance(target, bool) and 0 < float(target) < 1
    if not valid or (purity is None) == (completeness is None):
        found = f"purity={purity!r}, completeness={completeness!r}"
        raise ParameterError(f"{found}; expected one of them, between 0 and 1")
    rows = []
    for c, name in enumerate(class_names):
        curve = sample_curve(*validation, c)
        good = np.flatnonzero(curve[f"{key}_low"] >= target)
        row: dict[str, Any] = {"class": c, "name": name, "threshold": None}
        if len(good):
            # The largest sample that is pure enough, the purest that is complete enough.
            at = good[-1] if key == "purity" else good[curve["purity"][good].argmax()]
            row["threshold"] = float(curve["threshold"][at])
            row |= _measured("validation_", curve, int(at))
            tested = sample_curve(*test, c)
            at = int((tested["threshold"] >= row["threshold"]).sum()) - 1
            row |= _measured("test_", tested, at) if at >= 0 else {"test_galaxies": 0}
        rows.append(row)
    measured = ("galaxies", "purity", "completeness", "purity_low", "purity_high")
    names = [f"{part}_{name}" for part in ("validation", "test") for name in measured]
    table = Table(meta={key: target})
    for name in ("class", "name", "threshold", *names):
        values = [row.get(name) for row in rows]
        mask = [value is None for value in values]
        kind = str if name == "name" else int if name.endswith(("class", "galaxies")) else float
        filled = np.array([value or 0 for value in values], kind)
        table[name] = MaskedColumn(filled, mask=mask) if any(mask) else filled
    why = f"none where too few validation galaxies have a {key} of {target}"
    table["threshold"].description = f"least probability; {why}"
    return table


def _measured(prefix: str, curve: dict[str, NDArray[Any]], at: int) -> dict[str, Any]:
    galaxies, right = int(curve["galaxies"][at]), int(curve["right"][at])
    low, high = map(float, share_interval(right, galaxies))
    shares = {key: float(curve[key][at]) for key in ("purity", "completeness")}
    measured = {"galaxies": galaxies, **shares, "purity_low": low, "purity_high": high}
    return {f"{prefix}{key}": value for key, value in measured.items()}
