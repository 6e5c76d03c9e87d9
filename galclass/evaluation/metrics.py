"""Metrics of predicted probabilities against true classes: arrays in, numbers out."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..data.arrays import Labels, check_labels
from ..data.galaxy10 import CLASS_COUNTS, CLASS_NAMES
from ..errors import DataError
from ..network.thresholds import share_interval

BINS = 15
# Below this many true galaxies a recall says little; tables and figures mark such classes.
FEW = 10
HEADLINE = ("accuracy", "balanced_accuracy", "macro_f1", "reweighted_accuracy", "log_loss")
RESAMPLES = 1000


def confusion_matrix(labels: Labels, predicted: Labels, *, classes: int = 10) -> NDArray[np.int64]:
    """Counts in the published orientation: rows predicted, columns true.

    Parameters
    ----------
    labels, predicted : array of int, shape (n,)

    Returns
    -------
    ndarray of int64, shape (classes, classes)
        The transpose of scikit-learn's.

    Raises
    ------
    DataError
        Not class numbers, out of range, or not as many of the one as of the other.
    """
    from sklearn import metrics

    # Scikit-learn leaves galaxies out whose class is not in its list.
    labels = check_labels(labels, classes=classes)
    predicted = check_labels(predicted, classes=classes, name="predicted")
    if len(labels) != len(predicted):
        raise DataError(f"{len(labels)} labels but {len(predicted)} predicted; expected one each")
    return metrics.confusion_matrix(labels, predicted, labels=np.arange(classes)).T


def compute_metrics(
    labels: Labels, probabilities: ArrayLike, class_names: Sequence[str] | None = None
) -> dict[str, Any]:
    """Metrics of predicted probabilities against true classes.

    Parameters
    ----------
    labels : array of int, shape (n,)
        True classes.
    probabilities : array of float, shape (n, classes)
    class_names : sequence of str, shape (classes,), optional
        Default: Galaxy10's for ten classes, else their numbers.

    Returns
    -------
    dict
        ``galaxies``; ``accuracy``; ``balanced_accuracy`` (mean recall over the classes present);
        ``macro_f1`` over all classes and ``macro_f1_present`` over those present;
        ``reweighted_accuracy`` (recall weighted with the public Galaxy10's class fractions; None
        where a class is absent, or they are not its ten); ``log_loss`` (mean of -ln p of the true
        class); ``confusion_matrix`` (rows predicted, columns true); and ``classes``: a list with
        ``name``, ``precision``, ``recall``, ``recall_interval`` and ``support``; precision is None
        where nothing was predicted as the class, recall and its interval where it is absent.

        ``accuracy_interval`` and ``recall_interval`` are Wilson's (:func:`share_interval`).
        ``balanced_accuracy_interval`` and those of macro-F1 and of the re-weighted accuracy
        are percentiles of 1,000 resamples of the galaxies with replacement (bootstrap), of those
        resamples that hold every class present; None where fewer than 100 do. All are 95 %.

    Raises
    ------
    DataError
        Shapes that do not fit, or probabilities that are not finite, in 0-1 and summing to 1.
    """
    probabilities = np.asarray(probabilities)
    if probabilities.ndim != 2 or probabilities.dtype.kind not in "fiu":
        found = f"probabilities {probabilities.dtype} of shape {probabilities.shape}"
        raise DataError(f"{found}, expected float of shape (n, classes)")
    n, classes = probabilities.shape
    labels = check_labels(labels, n, classes=classes)
    if not np.allclose(probabilities.sum(axis=1), 1, atol=1e-3) or probabilities.min() < 0:
        raise DataError("probabilities must be finite, 0 to 1, and sum to 1 in each row")
    matrix = confusion_matrix(labels, probabilities.argmax(axis=1), classes=classes)
    # The galaxies of a resample fall into the matrix's cells as its counts' shares say.
    resamples = np.random.default_rng(0).multinomial(n, matrix.ravel() / n, RESAMPLES)
    resamples = resamples.reshape(-1, classes, classes)
    present = (resamples.sum(axis=1) > 0).sum(axis=1)
    names = CLASS_NAMES if classes == len(CLASS_NAMES) else [str(c) for c in range(classes)]
    names = names if class_names is None else class_names
    public = tuple(names) == CLASS_NAMES
    resampled = _compose(resamples[present == (matrix.sum(axis=0) > 0).sum()], public)
    metrics: dict[str, Any] = {"galaxies": n, **_share("accuracy", np.trace(matrix), n)}
    for name, value in _compose(matrix, public).items():
        values = resampled[name]
        defined = len(values) >= RESAMPLES / 10 and not np.isnan(values).any()
        interval = np.percentile(values, [2.5, 97.5]).tolist() if defined else None
        metrics |= {name: None if np.isnan(value) else float(value), f"{name}_interval": interval}
    metrics["log_loss"] = _log_loss(labels, probabilities)
    metrics["classes"] = []
    for c, name in enumerate(names):
        correct, predicted, support = matrix[c, c], int(matrix[c].sum()), int(matrix[:, c].sum())
        precision = float(correct / predicted) if predicted else None
        row = {"name": name, "precision": precision, **_share("recall", correct, support)}
        metrics["classes"].append({**row, "support": support})
    metrics["confusion_matrix"] = matrix.tolist()
    return metrics


def headline(
    labels: Labels, probabilities: ArrayLike, class_names: Sequence[str] | None = None
) -> dict[str, float | None]:
    """The metrics named in ``HEADLINE``, as :func:`compute_metrics` gives them."""
    metrics = compute_metrics(labels, probabilities, class_names)
    return {key: metrics[key] for key in HEADLINE}


def reliability(
    labels: Labels, probabilities: ArrayLike, *, bins: int = BINS
) -> dict[str, NDArray[Any]]:
    """Accuracy against confidence, in equal bins of the largest probability.

    Parameters
    ----------
    labels : array of int, shape (n,)
    probabilities : array of float, shape (n, classes)
    bins : int, default 15

    Returns
    -------
    dict of ndarray, shape (bins,)
        ``galaxies``, and ``confidence`` (mean largest probability) and ``accuracy``, NaN in empty
        bins.
    """
    probabilities = np.asarray(probabilities, float)
    confidence, correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    which = np.minimum((confidence * bins).astype(int), bins - 1)
    galaxies = np.bincount(which, minlength=bins)
    with np.errstate(invalid="ignore"):
        return {
            "galaxies": galaxies,
            "confidence": np.bincount(which, confidence, minlength=bins) / galaxies,
            "accuracy": np.bincount(which, correct, minlength=bins) / galaxies,
        }


def compute_calibration(labels: Labels, probabilities: ArrayLike) -> dict[str, float]:
    """Expected calibration error, Brier score and log loss.

    Parameters
    ----------
    labels : array of int, shape (n,)
    probabilities : array of float, shape (n, classes)

    Returns
    -------
    dict
        ``calibration_error``: mean of ``|accuracy - confidence|`` over 15 bins, weighted by their
        galaxies (Naeini et al. 2015, AAAI 29, 2901; Guo et al. 2017, equation 3). ``brier``: mean
        over galaxies of the sum over classes of (p - [true])^2 (Brier 1950, MWR 78, 1), 0 to 2.
        ``log_loss``: mean of -ln p of the true class.
    """
    probabilities = np.asarray(probabilities, float)
    curve = reliability(labels, probabilities)
    gap = np.abs(curve["accuracy"] - curve["confidence"])
    truth = np.eye(probabilities.shape[1])[labels]
    return {
        "calibration_error": float(np.nansum(gap * curve["galaxies"]) / len(labels)),
        "brier": float(np.square(probabilities - truth).sum(axis=1).mean()),
        "log_loss": _log_loss(labels, probabilities),
    }


def top_confusions(matrix: ArrayLike, count: int = 5) -> list[tuple[int, int, float, int]]:
    """The largest shares of a class that are predicted as another class.

    Parameters
    ----------
    matrix : array of int, shape (classes, classes)
        Rows predicted, columns true.
    count : int, default 5

    Returns
    -------
    list of tuple
        ``(true, predicted, share, support)``, the largest share first; classes with fewer than
        ten true galaxies are left out.
    """
    matrix = np.asarray(matrix)
    support = matrix.sum(axis=0)
    share = np.where(support >= FEW, matrix / np.maximum(support, 1), 0)
    np.fill_diagonal(share, 0)
    order = np.argsort(share, axis=None)[::-1][:count]
    pairs = [divmod(int(i), len(matrix)) for i in order]
    return [(t, p, float(share[p, t]), int(support[t])) for p, t in pairs if share[p, t] > 0]


def _compose(matrix: NDArray[np.int64], public: bool) -> dict[str, NDArray[np.float64]]:
    """What is composed of recall and precision, for matrices (..., classes, classes)."""
    correct, support = np.diagonal(matrix, axis1=-2, axis2=-1), matrix.sum(axis=-2)
    recall = np.where(support > 0, correct / np.maximum(support, 1), np.nan)
    f1 = 2 * correct / np.maximum(matrix.sum(axis=-1) + support, 1)
    fractions = np.full(recall.shape[-1], np.nan)
    if public:  # Its classes are Galaxy10's.
        fractions = np.divide(CLASS_COUNTS, sum(CLASS_COUNTS))
    return {
        "balanced_accuracy": np.nanmean(recall, axis=-1),
        "macro_f1": f1.mean(axis=-1),
        "macro_f1_present": np.nanmean(np.where(support > 0, f1, np.nan), axis=-1),
        "reweighted_accuracy": recall @ fractions,
    }


def _share(name: str, count: int, n: int) -> dict[str, Any]:
    interval = list(map(float, share_interval(count, n))) if n else None
    return {name: float(count / n) if n else None, f"{name}_interval": interval}


def _log_loss(labels: Labels, probabilities: NDArray[Any]) -> float:
    chosen = probabilities[np.arange(len(labels)), labels].astype(float)
    return float(-np.log(np.clip(chosen, 1e-7, 1)).mean())
