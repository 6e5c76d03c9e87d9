"""Metrics of predicted probabilities: arrays in, numbers out."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..data.arrays import Labels, as_array, check_labels
from ..data.galaxy10 import CLASS_COUNTS, CLASS_NAMES
from ..errors import DataError
from ..intervals import FEW, wilson_interval

BINS = 15
RESAMPLES = 1000
MOST_CONFUSIONS = 5
# The overall metrics and their titles. Model card, summary, studies and command line show all
# that are listed here; compute_metrics computes them.
HEADLINE = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "macro_f1": "Macro-F1",
    "reweighted_accuracy": "Accuracy at Galaxy10's class mix",
    "log_loss": "Log loss",
    "calibration_error": "Calibration error",
    "brier": "Brier score",
}
# These are shown as numbers, all others in percent.
NUMBERS = {"log_loss", "brier"}


class Confusion(NamedTuple):
    """Galaxies of one class that are predicted as another.

    Parameters
    ----------
    true, predicted : int
        The two classes.
    fraction : float
        Fraction of the true class that is predicted as the other.
    support : int
        Number of galaxies of the true class.
    """

    true: int
    predicted: int
    fraction: float
    support: int


def compute_metrics(
    labels: ArrayLike, probabilities: ArrayLike, class_names: Sequence[str] | None = None
) -> dict[str, Any]:
    """Compute the metrics of predicted probabilities.

    Parameters
    ----------
    labels : array of int, shape (n,)
        True classes, from 0.
    probabilities : array of float, shape (n, K)
        Each row sums to 1. The predicted class is the one with the largest probability.
    class_names : sequence of str, shape (K,), optional
        Default: the numbers of the classes.

    Returns
    -------
    dict
        ``galaxies``
            n.
        ``accuracy``
            Fraction of galaxies that are correctly classified.
        ``balanced_accuracy``
            Mean recall of the classes that are present.
        ``macro_f1``, ``macro_f1_present``
            Mean F1 of all classes, and of the classes that are present.
        ``reweighted_accuracy``
            Mean recall, weighted with the class fractions of the public Galaxy10 SDSS. None for
            other classes, or if a class is absent.
        ``log_loss``, ``calibration_error``, ``brier``
            See :func:`compute_calibration`.
        ``accuracy_interval``, ``balanced_accuracy_interval``, ...
            The 95 % interval of the metrics down to ``reweighted_accuracy``: Wilson's for the
            accuracy, and for the others percentiles of 1,000 resamples of the galaxies with
            replacement (bootstrap). Resamples that lack a class are dropped; None if fewer than
            100 remain.
        ``classes``
            A list with one dict per class: ``name``, ``precision``, ``recall``,
            ``recall_interval`` (Wilson's, 95 %), ``f1`` and ``support`` (the number of galaxies).
            The precision is None if no galaxy is predicted as the class. The recall and its
            interval are None if no galaxy has the class. F1 is None if both apply.
        ``confusion_matrix``
            Lists of counts: rows predicted, columns true.

    Raises
    ------
    DataError
        The shapes do not match, or the probabilities are not from 0 to 1 with a sum of 1.

    Examples
    --------
    >>> import galclass
    >>> labels = [0, 1, 1]
    >>> probabilities = [[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]]
    >>> metrics = galclass.compute_metrics(labels, probabilities, ["disk", "smooth"])
    >>> round(metrics["accuracy"], 3), metrics["confusion_matrix"]
    (0.667, [[1, 1], [0, 1]])

    Galaxies that a run has not seen:

    >>> import numpy as np
    >>> run = galclass.load_run("runs/mine")
    >>> other = galclass.load_data("simulated", n=30, seed=1)
    >>> table = galclass.predict(other.images, run=run)
    >>> probabilities = np.stack([table[f"p{c}"] for c in range(10)], axis=1)
    >>> metrics = galclass.compute_metrics(other.labels, probabilities, run.class_names)
    >>> metrics["galaxies"]
    30
    """
    probabilities = _check_probabilities(probabilities)
    galaxies, classes = probabilities.shape
    labels = check_labels(labels, galaxies, classes=classes)
    if class_names is None:
        class_names = [str(c) for c in range(classes)]
    if len(class_names) != classes:
        raise DataError(f"{len(class_names)} class names, expected {classes}, one per column")
    matrix = confusion_matrix(labels, probabilities.argmax(axis=1), classes=classes)
    correct = int(np.trace(matrix))
    return {
        "galaxies": galaxies,
        "accuracy": correct / galaxies,
        "accuracy_interval": _interval(correct, galaxies),
        **_compute_averages(matrix, tuple(class_names)),
        **compute_calibration(labels, probabilities),
        "classes": [_describe_class(matrix, c, name) for c, name in enumerate(class_names)],
        "confusion_matrix": matrix.tolist(),
    }


def _check_probabilities(probabilities: ArrayLike) -> NDArray[Any]:
    probabilities = as_array(probabilities, "probabilities")
    if probabilities.ndim != 2 or probabilities.dtype.kind not in "fiu":
        raise DataError(
            f"probabilities {probabilities.dtype} of shape {probabilities.shape}, expected float "
            "of shape (n, classes)"
        )
    sums = probabilities.sum(axis=1)
    if not np.allclose(sums, 1, atol=1e-3) or probabilities.min() < 0:
        raise DataError(
            f"probabilities from {probabilities.min()} to {probabilities.max()}, expected finite "
            "numbers from 0 to 1 with a sum of 1 in each row; leave out images without a prediction"
        )
    return probabilities


def confusion_matrix(labels: Labels, predicted: Labels, *, classes: int) -> NDArray[np.int64]:
    """Count the galaxies of each true and predicted class.

    Parameters
    ----------
    labels, predicted : array of int, shape (n,)
        True and predicted classes, from 0.
    classes : int
        Number of classes.

    Returns
    -------
    ndarray of int64, shape (classes, classes)
        Rows predicted, columns true, as published. scikit-learn's matrix is the transpose.
    """
    matrix = np.zeros((classes, classes), np.int64)
    np.add.at(matrix, (predicted, labels), 1)
    return matrix


def headline(metrics: Mapping[str, Any]) -> dict[str, float | None]:
    """Return the overall metrics in the order of ``HEADLINE``; None for one that is missing."""
    return {key: metrics.get(key) for key in HEADLINE}


def format_metric(key: str, value: float | None) -> str:
    """Return an overall metric as text, in percent if it is a fraction; "-" if it is None."""
    if value is None:
        return "-"
    if key in NUMBERS:
        return f"{value:.3f}"
    return f"{100 * value:.1f} %"


def reliability(labels: Labels, probabilities: ArrayLike) -> dict[str, NDArray[Any]]:
    """Compute accuracy against confidence, in 15 equal bins of the largest probability.

    Parameters
    ----------
    labels : array of int, shape (n,)
    probabilities : array of float, shape (n, classes)

    Returns
    -------
    dict of ndarray, shape (15,)
        ``galaxies``, ``confidence`` (mean largest probability) and ``accuracy``; the last two are
        NaN in empty bins.
    """
    probabilities = np.asarray(probabilities, float)
    confidence = probabilities.max(axis=1)
    is_correct = probabilities.argmax(axis=1) == labels
    bin_numbers = np.minimum((confidence * BINS).astype(int), BINS - 1)
    galaxies = np.bincount(bin_numbers, minlength=BINS)
    with np.errstate(invalid="ignore"):
        return {
            "galaxies": galaxies,
            "confidence": np.bincount(bin_numbers, confidence, minlength=BINS) / galaxies,
            "accuracy": np.bincount(bin_numbers, is_correct, minlength=BINS) / galaxies,
        }


def compute_calibration(labels: Labels, probabilities: ArrayLike) -> dict[str, float]:
    """Compute log loss, expected calibration error and Brier score.

    Parameters
    ----------
    labels : array of int, shape (n,)
    probabilities : array of float, shape (n, classes)

    Returns
    -------
    dict
        ``log_loss``
            Mean of -ln p of the true class.
        ``calibration_error``
            Mean of ``|accuracy - confidence|`` over 15 bins, weighted by their galaxies (Naeini
            et al. 2015, AAAI 29, 2901; Guo et al. 2017, arXiv 1706.04599, equation 3).
        ``brier``
            Mean over galaxies of the sum over classes of (p - t)^2, 0 to 2, with t = 1 for the
            true class and 0 for the others (Brier 1950, MWR 78, 1).
    """
    probabilities = np.asarray(probabilities)
    of_true_class = probabilities[np.arange(len(labels)), labels].astype(float)
    curve = reliability(labels, probabilities)
    gap = np.abs(curve["accuracy"] - curve["confidence"])
    truth = np.eye(probabilities.shape[1])[labels]
    return {
        "log_loss": float(-np.log(np.clip(of_true_class, 1e-7, 1)).mean()),
        "calibration_error": float(np.nansum(gap * curve["galaxies"]) / len(labels)),
        "brier": float(np.square(probabilities - truth).sum(axis=1).mean()),
    }


def top_confusions(matrix: ArrayLike) -> list[Confusion]:
    """Find the five pairs of classes that are confused most often.

    Parameters
    ----------
    matrix : array of int, shape (classes, classes)
        Rows predicted, columns true.

    Returns
    -------
    list of Confusion
        Five or fewer, the largest fraction first. True classes with fewer than ten galaxies are
        left out.
    """
    matrix = np.asarray(matrix)
    support = matrix.sum(axis=0)
    fractions = np.where(support >= FEW, matrix / np.maximum(support, 1), 0)
    np.fill_diagonal(fractions, 0)
    confusions = []
    for cell in np.argsort(fractions, axis=None)[::-1][:MOST_CONFUSIONS].tolist():
        predicted, true = divmod(cell, len(matrix))
        fraction = float(fractions[predicted, true])
        if fraction > 0:
            confusions.append(Confusion(true, predicted, fraction, int(support[true])))
    return confusions


def _compute_averages(matrix: NDArray[np.int64], class_names: tuple[str, ...]) -> dict[str, Any]:
    """Return the averages over classes, each with its bootstrap interval."""
    galaxies = matrix.sum()
    # Drawing n galaxies with replacement is the same as drawing the n counts of the matrix from a
    # multinomial distribution.
    resamples = np.random.default_rng(0).multinomial(galaxies, matrix.ravel() / galaxies, RESAMPLES)
    resamples = resamples.reshape(-1, *matrix.shape)
    classes_present = (matrix.sum(axis=0) > 0).sum()
    holds_all = (resamples.sum(axis=1) > 0).sum(axis=1) == classes_present
    resampled = _average_classes(resamples[holds_all], class_names)
    averages: dict[str, Any] = {}
    for key, average in _average_classes(matrix, class_names).items():
        value: float | None = float(average)
        interval = None
        if np.isnan(average):
            value = None
        elif len(resampled[key]) >= RESAMPLES / 10:
            interval = np.percentile(resampled[key], [2.5, 97.5]).tolist()
        averages[key] = value
        averages[f"{key}_interval"] = interval
    return averages


def _average_classes(
    matrix: NDArray[np.int64], class_names: tuple[str, ...]
) -> dict[str, NDArray[np.float64]]:
    """Average recall and F1 over classes, for matrices of shape (..., classes, classes)."""
    correct = np.diagonal(matrix, axis1=-2, axis2=-1)
    support = matrix.sum(axis=-2)
    predicted = matrix.sum(axis=-1)
    recall = np.where(support > 0, correct / np.maximum(support, 1), np.nan)
    f1 = 2 * correct / np.maximum(predicted + support, 1)
    reweighted = np.full(recall.shape[:-1], np.nan)
    if class_names == CLASS_NAMES:
        reweighted = recall @ np.divide(CLASS_COUNTS, sum(CLASS_COUNTS))
    return {
        "balanced_accuracy": np.nanmean(recall, axis=-1),
        "macro_f1": f1.mean(axis=-1),
        "macro_f1_present": np.nanmean(np.where(support > 0, f1, np.nan), axis=-1),
        "reweighted_accuracy": reweighted,
    }


def _describe_class(matrix: NDArray[np.int64], c: int, name: str) -> dict[str, Any]:
    """Return the metrics of one class."""
    correct = int(matrix[c, c])
    predicted = int(matrix[c].sum())
    support = int(matrix[:, c].sum())
    return {
        "name": name,
        "precision": _divide(correct, predicted),
        "recall": _divide(correct, support),
        "recall_interval": _interval(correct, support),
        "f1": _divide(2 * correct, predicted + support),
        "support": support,
    }


def _divide(count: int, n: int) -> float | None:
    if n == 0:
        return None
    return count / n


def _interval(count: int, n: int) -> list[float] | None:
    """Return Wilson's 95 % interval of a fraction; None without galaxies."""
    if n == 0:
        return None
    low, high = wilson_interval(count, n)
    return [float(low), float(high)]
