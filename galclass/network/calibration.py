"""Calibration of probabilities, and how it is fitted on validation galaxies."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..data.arrays import Labels
from ..errors import ParameterError


@dataclass(frozen=True)
class Calibration:
    """What makes a network's probabilities agree with how often it is right.

    Parameters
    ----------
    temperature : float, default 1
        More than 0: above 1 softens the probabilities, below 1 sharpens them; the class stays the
        same. Guo et al. 2017 (arXiv 1706.04599), equation 9, on probabilities:
        p^(1/T) / sum p^(1/T), which is the softmax of the logits divided by T.
    class_shift : tuple of float, shape (classes,), optional
        Added to the logarithm of each class's probability after the temperature, for another mix of
        classes than the training galaxies'; see :func:`log_prior_shift`.
    """

    temperature: float = 1.0
    class_shift: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise ParameterError(f"temperature={self.temperature}, expected more than 0")

    def apply(self, probabilities: ArrayLike) -> NDArray[np.float64]:
        """Calibrate probabilities of shape (n, classes)."""
        logits = np.log(np.clip(np.asarray(probabilities, float), 1e-30, 1)) / self.temperature
        if self.class_shift is not None:
            logits += self.class_shift
        softened = np.exp(logits - logits.max(axis=1, keepdims=True))
        return softened / softened.sum(axis=1, keepdims=True)

    def record(self) -> dict[str, Any]:
        """The calibration as JSON holds it."""
        shift = None if self.class_shift is None else list(self.class_shift)
        return {**asdict(self), "class_shift": shift}

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> "Calibration":
        """The calibration that :meth:`record` gave."""
        shift = record["class_shift"]
        return cls(record["temperature"], None if shift is None else tuple(shift))


def fit_temperature(labels: Labels, probabilities: ArrayLike) -> float:
    """The temperature, between 0.1 and 10, that gives the lowest log loss.

    Parameters
    ----------
    labels : array of int, shape (n,)
        Of validation galaxies.
    probabilities : array of float, shape (n, classes)
    """
    from scipy.optimize import minimize_scalar

    rows = np.arange(len(labels))

    def log_loss(log_temperature: float) -> float:
        softened = Calibration(np.exp(log_temperature)).apply(probabilities)
        return -np.log(np.maximum(softened[rows, labels], 1e-30)).mean()

    found = minimize_scalar(log_loss, bounds=(np.log(0.1), np.log(10)), method="bounded")
    return float(np.exp(found.x))


def log_prior_shift(
    fractions: ArrayLike, new_fractions: ArrayLike, *, strength: float = 1.0
) -> NDArray[np.float64]:
    """What another mix of classes adds to the logarithm of each class's probability.

    Saerens et al. 2002 (Neural Computation 14, 21), equation 2.4: p'_c is proportional to
    p_c (new_c / old_c).

    Parameters
    ----------
    fractions, new_fractions : array of float, shape (classes,)
        Class fractions, or counts, of the training galaxies and of those to classify; more than 0.
    strength : float, default 1
        Exponent of the ratio: 0 changes nothing, 1 corrects fully.

    Returns
    -------
    ndarray of float64, shape (classes,)
    """
    old, new = np.asarray(fractions, float), np.asarray(new_fractions, float)
    if old.shape != new.shape or not (old > 0).all() or not (new > 0).all():
        raise ParameterError(
            f"class fractions {fractions} and {new_fractions}, expected equally many above 0"
        )
    return strength * np.log((new / new.sum()) / (old / old.sum()))


def choose_prior_strength(
    labels: Labels,
    probabilities: ArrayLike,
    fractions: ArrayLike,
    new_fractions: ArrayLike,
    *,
    largest_loss: float = 0.005,
) -> float:
    """The strength of :func:`log_prior_shift` that serves the new mix at little loss on the old.

    Parameters
    ----------
    labels : array of int, shape (n,)
        Of validation galaxies, of every class.
    probabilities : array of float, shape (n, classes)
    fractions, new_fractions : array of float, shape (classes,)
    largest_loss : float, default 0.005
        Plain accuracy that may be given up.

    Returns
    -------
    float
        Of 0, 0.1 ... 1, the one with the highest accuracy re-weighted to `new_fractions` whose
        plain accuracy is at most `largest_loss` below that of strength 0.
    """
    support = np.bincount(labels, minlength=len(np.asarray(fractions)))
    if not support.all():
        raise ParameterError(f"validation galaxies {support}, expected some of every class")
    weights = np.asarray(new_fractions, float) / np.sum(new_fractions)
    measured = {}
    for strength in np.arange(11) / 10:
        shift = log_prior_shift(fractions, new_fractions, strength=strength)
        correct = Calibration(1.0, tuple(shift)).apply(probabilities).argmax(axis=1) == labels
        recall = np.bincount(labels, correct, minlength=len(support)) / support
        measured[float(strength)] = float(weights @ recall), float(correct.mean())
    allowed = [s for s, (_, plain) in measured.items() if plain >= measured[0][1] - largest_loss]
    return max(allowed, key=lambda strength: measured[strength][0])
