"""Evaluate a run on its test set."""

import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..data.arrays import Images, Labels, check_images, check_labels
from ..data.dataset import Origin
from ..data.split import Split, split_record
from ..errors import RunError
from ..files import PathLike, sha256_of_arrays
from ..network.options import Symmetric
from ..run import Run, as_run
from .calibration import Calibration, choose_class_mix, fit_calibration
from .card import model_card
from .metrics import compute_metrics, headline
from .unusual import fit_usual

if TYPE_CHECKING:
    import keras

MISTAKES = 10


class Evaluation(NamedTuple):
    """The results of an evaluation.

    Parameters
    ----------
    metrics : dict
        The content of ``metrics.json``.
    arrays : dict of dict of ndarray
        The content of the ``.npz`` files, by their name without suffix.
    """

    metrics: dict[str, Any]
    arrays: dict[str, dict[str, NDArray[Any]]]


def evaluate(
    run: Run | PathLike,
    images: ArrayLike,
    labels: ArrayLike,
    origin: Origin | None = None,
    *,
    class_mix: str | None = None,
) -> dict[str, Any]:
    """Evaluate a run on its test set and write the results into its folder.

    The network predicts the validation set and the test set. The calibration is fitted to the
    validation set. All metrics are computed on the test set, from the probabilities that
    :func:`galclass.predict` returns for it.

    Parameters
    ----------
    run : Run or path-like
        A finished run.
    images : ndarray of uint8, shape (N, s, s, 3)
        The galaxies that the run was trained on, in the same order.
    labels : ndarray of int, shape (N,)
        Their classes, from 0.
    origin : Origin, optional
        Ignored; accepted so that ``evaluate(run, *data)`` works.
    class_mix : {"galaxy10"}, optional
        Correct the probabilities for the class fractions of the public Galaxy10 SDSS, which may
        differ from the training set; see
        :func:`galclass.evaluation.calibration.log_prior_shift`. Default: the correction of the
        previous evaluation, or no correction if there is none.

    Returns
    -------
    dict
        The metrics of :func:`galclass.compute_metrics`, and

        ``symmetric``
            ``"unsure"`` if the probabilities are averaged over the eight symmetries of each image
            for which one pass is less than 95 % sure, False if they are not averaged.
        ``calibration``
            ``temperature``; and ``class_shift``, ``class_mix`` and ``strength`` of the correction
            for other class fractions, None without it. See
            :class:`galclass.evaluation.calibration.Calibration`.
        ``calibration_note``
            Why no temperature was fitted; None if one was.

        and for comparison the overall metrics of other probabilities:

        ``one_pass``
            Without averaging over the symmetries. None if the run does not average.
        ``uncalibrated``
            Without calibration.
        ``uncorrected``
            Without the correction for other class fractions. None if there is no correction.

        They are also written to ``metrics.json``, and described in ``README.md``, the model card.
        The uncalibrated probabilities are in ``predictions.npz`` and ``validation.npz``.

    Raises
    ------
    RunError
        The run is unfinished, or it is a pretrained run inside the package, or it was trained on
        other galaxies.
    ParameterError
        The class fractions are unknown, or this run cannot be corrected for them.
    DataError
        Images or labels have the wrong shape or dtype.

    Warns
    -----
    UserWarning
        A class has no galaxies in the test set.

    Examples
    --------
    >>> import galclass
    >>> data = galclass.load_data("simulated", n=300)
    >>> metrics = galclass.evaluate("runs/mine", *data)
    >>> metrics["galaxies"]
    45
    >>> low, high = metrics["accuracy_interval"]
    >>> low <= metrics["accuracy"] <= high
    True
    """
    run = as_run(run)
    run.check_writable()
    run.require_complete()
    images = check_images(images)
    labels = check_labels(labels, len(images), classes=len(run.class_names))
    evaluation = compute_evaluation(run, images, labels, class_mix=class_mix)
    _warn_of_absent_classes(evaluation.metrics)
    for name, arrays in evaluation.arrays.items():
        run.write_arrays(name, **arrays)
    run.write_metrics(evaluation.metrics)
    run.write_card(model_card(run))
    return evaluation.metrics


def compute_evaluation(
    run: Run, images: Images, labels: Labels, *, class_mix: str | None = None
) -> Evaluation:
    """Compute everything that :func:`evaluate` writes.

    Parameters
    ----------
    run : Run
    images : ndarray of uint8, shape (N, s, s, 3)
    labels : ndarray of uint8, shape (N,)
    class_mix : {"galaxy10", "none"}, optional
        See :func:`evaluate`.

    Returns
    -------
    Evaluation

    Raises
    ------
    RunError, ParameterError
        See :func:`evaluate`.
    """
    parts = check_galaxies(run, images, labels)
    class_mix = choose_class_mix(run, class_mix, labels[parts.train], labels[parts.validation])
    names = run.class_names
    symmetric = run.symmetric

    model = run.load_model()
    validation = _predict_part(model, images, labels, parts.validation, symmetric)
    test = _predict_part(model, images, labels, parts.test, symmetric)
    calibration, note = fit_calibration(
        validation["labels"],
        validation["probabilities"],
        class_mix=class_mix,
        class_counts=np.bincount(labels[parts.train], minlength=len(names)).tolist(),
    )
    probabilities = calibration.apply(test["probabilities"])

    compared: dict[str, NDArray[Any] | None] = {
        "one_pass": None,
        "uncalibrated": test["probabilities"],
        "uncorrected": None,
    }
    if symmetric:
        one_pass = _predict_part(model, images, labels, parts.test, False)
        compared["one_pass"] = calibration.apply(one_pass["probabilities"])
    if class_mix is not None:
        without_correction = Calibration(calibration.temperature)
        compared["uncorrected"] = without_correction.apply(test["probabilities"])
    metrics = {
        "symmetric": symmetric,
        **compute_metrics(test["labels"], probabilities, names),
        "calibration": calibration.record(),
        "calibration_note": note,
        **_measure_headlines(test["labels"], compared, names),
    }
    arrays = {
        "predictions": test,
        "validation": validation,
        "examples": find_examples(images, labels, parts.train),
        "mistakes": find_mistakes(images, test["indices"], test["labels"], probabilities),
        "usual": fit_usual(images[parts.train], images[parts.validation]),
    }
    return Evaluation(metrics, arrays)


def check_galaxies(run: Run, images: Images, labels: Labels) -> Split:
    """Return the split of a run, after checking that these are its galaxies.

    Raises
    ------
    RunError
        The run was trained on other galaxies, in another order or with other labels.
    """
    origin = run.origin
    recorded = run.manifest["split"]
    if sha256_of_arrays(images, labels) == origin.sha256:
        parts, record = split_record(labels, recorded.get("protocol"))
        if record == recorded:
            return parts
    raise RunError(
        f"these {len(labels):,} galaxies are not the {origin.galaxies:,} of the run, or they are "
        f"in another order; give the galaxies of {origin.name}"
    )


def _predict_part(
    model: "keras.Model",
    images: Images,
    labels: Labels,
    indices: NDArray[np.int64],
    symmetric: Symmetric,
) -> dict[str, NDArray[Any]]:
    """Return indices, labels and uncalibrated probabilities of some of the galaxies."""
    from ..network.probabilities import predict_proba

    probabilities = predict_proba(model, images, indices, symmetric=symmetric)
    return {"indices": indices, "labels": labels[indices], "probabilities": probabilities}


def _measure_headlines(
    labels: Labels, compared: dict[str, NDArray[Any] | None], names: tuple[str, ...]
) -> dict[str, dict[str, float | None] | None]:
    """Return the overall metrics of each kind of probabilities; None for a missing kind."""
    headlines: dict[str, dict[str, float | None] | None] = {}
    for key, probabilities in compared.items():
        headlines[key] = None
        if probabilities is not None:
            headlines[key] = headline(compute_metrics(labels, probabilities, names))
    return headlines


def find_examples(
    images: Images, labels: Labels, train: NDArray[np.int64]
) -> dict[str, NDArray[Any]]:
    """Return the first training image of each class, and the classes."""
    classes, positions = np.unique(labels[train], return_index=True)
    return {"images": images[train[positions]], "labels": classes}


def find_mistakes(
    images: Images, indices: NDArray[np.int64], labels: Labels, probabilities: NDArray[Any]
) -> dict[str, NDArray[Any]]:
    """Find the galaxies of the test set that are misclassified with the highest probability.

    Parameters
    ----------
    images : ndarray of uint8, shape (N, s, s, 3)
        All galaxies of the run.
    indices : ndarray of int, shape (n,)
        Indices of the test set.
    labels : ndarray of int, shape (n,)
        Their true classes.
    probabilities : ndarray of float, shape (n, classes)
        Their calibrated probabilities.

    Returns
    -------
    dict of ndarray
        ``images``, ``labels``, ``predicted`` and ``probabilities`` of up to ten galaxies, the
        highest probability first.
    """
    predicted = probabilities.argmax(axis=1)
    highest = probabilities.max(axis=1)
    wrong = np.flatnonzero(predicted != labels)
    chosen = wrong[np.argsort(-highest[wrong], kind="stable")][:MISTAKES]
    return {
        "images": images[indices[chosen]],
        "labels": labels[chosen],
        "predicted": predicted[chosen],
        "probabilities": highest[chosen],
    }


def _warn_of_absent_classes(metrics: dict[str, Any]) -> None:
    absent = [c for c, row in enumerate(metrics["classes"]) if row["support"] == 0]
    if absent:
        warnings.warn(
            f"the test set has no galaxies of the classes {absent}: their recall is not known, and "
            "macro-F1 is given for all classes and for those present",
            stacklevel=3,
        )
