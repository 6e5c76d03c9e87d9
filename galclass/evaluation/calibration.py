"""Calibration of probabilities: the temperature, and the correction for other class fractions."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar

from ..data.arrays import Labels
from ..data.galaxy10 import CLASS_COUNTS, CLASS_NAMES
from ..errors import ParameterError, RunError
from ..run import Run

# With fewer validation galaxies, a fit would depend on chance rather than on the network.
MIN_VALIDATION_GALAXIES = 50
# Largest loss of accuracy that a correction for other class fractions may cause.
LARGEST_LOSS = 0.005


@dataclass(frozen=True)
class Calibration:
    """Calibration of the probabilities of a network.

    Parameters
    ----------
    temperature : float, default 1
        More than 0: values above 1 make the probabilities more equal, values below 1 less; the
        predicted class stays the same. Guo et al. 2017 (arXiv 1706.04599), equation 9, applied to
        probabilities: p^(1/T) / sum p^(1/T), which is the softmax of the logits divided by T.
    class_shift : tuple of float, shape (classes,), optional
        Added to the logarithm of the probability of each class after the temperature, to correct
        for class fractions that differ from the training set; see :func:`log_prior_shift`.
    class_mix : {"galaxy10"}, optional
        'galaxy10' if `class_shift` corrects to the class fractions of Galaxy10 SDSS.
    strength : float, optional
        Strength of this correction, 0 to 1.

    Raises
    ------
    ParameterError
        The temperature is not more than 0.
    """

    temperature: float = 1.0
    class_shift: tuple[float, ...] | None = None
    class_mix: str | None = None
    strength: float | None = None

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise ParameterError(f"temperature={self.temperature}, expected more than 0")

    def apply(self, probabilities: ArrayLike) -> NDArray[np.float64]:
        """Calibrate probabilities.

        Parameters
        ----------
        probabilities : array of float, shape (n, classes)

        Returns
        -------
        ndarray of float64, shape (n, classes)
        """
        logits = np.log(np.clip(np.asarray(probabilities, float), 1e-30, 1)) / self.temperature
        if self.class_shift is not None:
            logits += self.class_shift
        exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
        return exponentials / exponentials.sum(axis=1, keepdims=True)

    def record(self) -> dict[str, Any]:
        """Return the calibration as JSON stores it."""
        record = asdict(self)
        if self.class_shift is not None:
            record["class_shift"] = list(self.class_shift)
        return record

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> "Calibration":
        """Return the calibration that :meth:`record` gave."""
        class_shift = record["class_shift"]
        if class_shift is not None:
            class_shift = tuple(class_shift)
        return cls(record["temperature"], class_shift, record["class_mix"], record["strength"])


def calibration_of(run: Run) -> Calibration:
    """Return the calibration of a run; before the evaluation, one that changes nothing.

    Raises
    ------
    RunError
        The metrics of the run are damaged.
    """
    if not run.is_evaluated:
        return Calibration()
    try:
        return Calibration.from_record(run.metrics["calibration"])
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(
            f"{run.path / 'metrics.json'} does not hold a calibration ({error!r}); make it with: "
            "galclass evaluate"
        ) from error


def choose_class_mix(
    run: Run, class_mix: str | None, train_labels: Labels, validation_labels: Labels
) -> str | None:
    """Return the class fractions to correct for, after checking that this is possible.

    Parameters
    ----------
    run : Run
    class_mix : {"galaxy10", "none"} or None
        None: the class fractions that the previous evaluation corrected for.
    train_labels, validation_labels : array of int
        Classes of the training and of the validation set.

    Returns
    -------
    "galaxy10" or None
        None if nothing is to be corrected.

    Raises
    ------
    ParameterError
        The class fractions are unknown, or cannot be corrected for.
    """
    if class_mix == "none":
        return None
    if class_mix is None:
        try:
            class_mix = calibration_of(run).class_mix
        except RunError:  # The metrics are damaged; a new evaluation replaces them.
            return None
    check_class_mix(class_mix, run.class_names, train_labels, validation_labels)
    return class_mix


def check_class_mix(
    class_mix: str | None,
    class_names: tuple[str, ...],
    train_labels: Labels,
    validation_labels: Labels,
) -> None:
    """Raise a ParameterError if the class fractions cannot be corrected.

    Parameters
    ----------
    class_mix : {"galaxy10"} or None
        None is always valid.
    class_names : tuple of str
    train_labels, validation_labels : array of int
        Classes of the training and of the validation set.
    """
    if class_mix is None:
        return
    if class_mix != "galaxy10":
        raise ParameterError(f"class_mix={class_mix!r}, expected 'galaxy10' or 'none'")
    if class_names != CLASS_NAMES:
        raise ParameterError(
            f"class_mix='galaxy10' for the classes {class_names}, expected the classes of Galaxy10 "
            "SDSS; evaluate without it"
        )
    if len(validation_labels) < MIN_VALIDATION_GALAXIES:
        raise ParameterError(
            f"class_mix='galaxy10' for {len(validation_labels)} validation galaxies, expected "
            f"{MIN_VALIDATION_GALAXIES} or more; evaluate without it, or train on more galaxies"
        )
    in_both = np.intersect1d(train_labels, validation_labels)
    absent = np.setdiff1d(np.arange(len(class_names)), in_both)
    if len(absent):
        raise ParameterError(
            f"class_mix='galaxy10', but the classes {absent.tolist()} have no training or no "
            "validation galaxies, expected some of every class; evaluate without it, or train on "
            "more galaxies"
        )


def fit_calibration(
    labels: Labels,
    probabilities: ArrayLike,
    *,
    class_mix: str | None = None,
    class_counts: Sequence[int] | None = None,
) -> tuple[Calibration, str | None]:
    """Fit the calibration to validation galaxies.

    Parameters
    ----------
    labels : array of int, shape (n,)
        Classes of the validation galaxies.
    probabilities : array of float, shape (n, classes)
    class_mix : {"galaxy10"}, optional
        Correct for these class fractions, which :func:`choose_class_mix` returned.
    class_counts : sequence of int, shape (classes,), optional
        Numbers of training galaxies, for `class_mix`.

    Returns
    -------
    Calibration
    str or None
        Why no temperature was fitted; None if one was.
    """
    temperature = 1.0
    note = None
    if len(labels) < MIN_VALIDATION_GALAXIES:
        note = (
            f"not fitted: {len(labels)} validation galaxies, expected {MIN_VALIDATION_GALAXIES} or "
            "more"
        )
    elif (np.argmax(probabilities, axis=1) == labels).all():
        note = "not fitted: all validation galaxies are correctly classified"
    else:
        temperature = fit_temperature(labels, probabilities)
    calibration = Calibration(temperature)
    if class_mix is None:
        return calibration, note
    tempered = calibration.apply(probabilities)
    strength = choose_prior_strength(labels, tempered, class_counts, CLASS_COUNTS)
    shift = log_prior_shift(class_counts, CLASS_COUNTS, strength=strength)
    return Calibration(temperature, tuple(shift.tolist()), class_mix, strength), note


def fit_temperature(labels: Labels, probabilities: ArrayLike) -> float:
    """Fit the temperature, between 0.1 and 10, that gives the lowest log loss.

    Parameters
    ----------
    labels : array of int, shape (n,)
        Classes of validation galaxies.
    probabilities : array of float, shape (n, classes)
    """
    rows = np.arange(len(labels))

    def log_loss(log_temperature: float) -> float:
        calibrated = Calibration(np.exp(log_temperature)).apply(probabilities)
        return -np.log(np.maximum(calibrated[rows, labels], 1e-30)).mean()

    optimum = minimize_scalar(log_loss, bounds=(np.log(0.1), np.log(10)), method="bounded")
    return float(np.exp(optimum.x))


def log_prior_shift(
    fractions: ArrayLike, new_fractions: ArrayLike, *, strength: float = 1.0
) -> NDArray[np.float64]:
    """Compute the shift of each log probability for other class fractions.

    Saerens et al. 2002 (Neural Computation 14, 21), equation 2.4: p'_c is proportional to
    p_c (new_c / old_c).

    Parameters
    ----------
    fractions, new_fractions : array of float, shape (classes,)
        Class fractions, or counts, of the training galaxies and of the galaxies to classify; more
        than 0.
    strength : float, default 1
        Exponent of the ratio: 0 changes nothing, 1 corrects fully.

    Returns
    -------
    ndarray of float64, shape (classes,)

    Raises
    ------
    ParameterError
        The two lists differ in length, or a value is not above 0.
    """
    old = np.asarray(fractions, float)
    new = np.asarray(new_fractions, float)
    if old.shape != new.shape or not (old > 0).all() or not (new > 0).all():
        raise ParameterError(
            f"class fractions {fractions} and {new_fractions}, expected two lists of the same "
            "length, all values above 0"
        )
    return strength * np.log((new / new.sum()) / (old / old.sum()))


def choose_prior_strength(
    labels: Labels, probabilities: ArrayLike, fractions: ArrayLike, new_fractions: ArrayLike
) -> float:
    """Choose the strength of :func:`log_prior_shift` on validation galaxies.

    Parameters
    ----------
    labels : array of int, shape (n,)
        Classes of the validation galaxies; every class is present.
    probabilities : array of float, shape (n, classes)
    fractions, new_fractions : array of float, shape (classes,)
        See :func:`log_prior_shift`.

    Returns
    -------
    float
        The strength, in steps of 0.1, with the best accuracy at the new fractions; strengths that
        lose more than 0.005 of the accuracy at the present fractions are not considered.
    """
    support = np.bincount(labels)
    new = np.asarray(new_fractions, float)

    def measure(strength: float) -> tuple[float, float]:
        """Return the accuracy at the present and at the new class fractions."""
        shift = log_prior_shift(fractions, new_fractions, strength=strength)
        predicted = Calibration(1.0, tuple(shift)).apply(probabilities).argmax(axis=1)
        is_correct = predicted == labels
        recall = np.bincount(labels, is_correct, minlength=len(support)) / support
        return float(is_correct.mean()), float(new / new.sum() @ recall)

    least_accuracy = measure(0.0)[0] - LARGEST_LOSS
    best_strength = 0.0
    best_accuracy = 0.0
    for strength in (np.arange(11) / 10).tolist():
        accuracy, new_accuracy = measure(strength)
        if accuracy >= least_accuracy and new_accuracy > best_accuracy:
            best_strength = strength
            best_accuracy = new_accuracy
    return best_strength
