"""A run measured on its own galaxies: what it amounts to, and its files."""

import re
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..data.arrays import Images, Labels, check_images, check_labels, check_symmetric
from ..data.dataset import Origin
from ..data.galaxy10 import CLASS_COUNTS
from ..errors import DataError, ParameterError, RunError
from ..files import PathLike, read_json, whole_file, write_json, write_npz
from ..network.calibration import (
    Calibration,
    choose_prior_strength,
    fit_temperature,
    log_prior_shift,
)
from ..network.symmetry import hash_images
from ..run import Run, as_run
from .card import model_card
from .metrics import compute_calibration, compute_metrics, headline

if TYPE_CHECKING:
    from ..network.probabilities import Symmetric

# With fewer validation galaxies a fitted temperature says more about chance than about the network.
FEWEST = 50


class Measurement(NamedTuple):
    """What a run and its galaxies give: the content of the files that `evaluate` writes."""

    metrics: dict[str, Any]
    predictions: dict[str, NDArray[Any]]
    validation: dict[str, NDArray[Any]]
    mistakes: dict[str, NDArray[Any]]


def measure(
    run: Run, images: ArrayLike, labels: ArrayLike, *, symmetric: "Symmetric | None" = None
) -> Measurement:
    """Measure a run on its own test galaxies; nothing is written.

    Parameters
    ----------
    run : galclass.run.Run
        A packed one (:func:`galclass.evaluation.pack.pack`) is measured with its probabilities
        corrected for the public Galaxy10's mix of classes.
    images, labels, symmetric
        As in :func:`galclass.evaluate`.

    Returns
    -------
    Measurement
        Named tuple of ``metrics`` (dict, as :func:`galclass.evaluate` returns), ``predictions``
        (arrays ``indices``, ``labels``, ``probabilities`` of the test set, not calibrated),
        ``validation`` (the same of the validation galaxies) and ``mistakes``
        (:func:`find_mistakes`).

    Raises
    ------
    RunError
        The galaxies are not those of the run, or its model is missing or damaged.
    """
    from ..network.probabilities import predict_proba

    images, names = check_images(images), run.class_names
    labels = check_labels(labels, len(images), classes=len(names))
    train, validation, test = run.split(images, labels)
    run.require_complete()
    symmetric = check_symmetric(run.symmetric if symmetric is None else symmetric)
    truth, validated, model = labels[test], labels[validation], run.load_model()
    counts = np.bincount(labels[train], minlength=len(names))
    plain = predict_proba(model, images, test)
    raw = predict_proba(model, images, test, symmetric=symmetric) if symmetric else plain
    probabilities = predict_proba(model, images, validation, symmetric=symmetric)
    galaxy10 = run.origin.has_galaxy10_classes
    temperature, strength, note = _fit(validated, probabilities, counts if galaxy10 else None)
    calibration, corrected, public_mix = Calibration(temperature), None, None
    if strength is not None:
        shift = log_prior_shift(counts, CLASS_COUNTS, strength=strength)
        corrected = Calibration(temperature, tuple(shift.tolist()))
        public_mix = {"strength": strength, **headline(truth, corrected.apply(raw), names)}
    # A packed run's probabilities are corrected for the public mix, a run's are as they are.
    packed = bool(run.manifest.get("packed"))
    applied = corrected if packed else None
    metrics = {
        "symmetric": symmetric,
        **compute_metrics(truth, applied.apply(raw) if applied else raw, names),
        "calibration": (applied or calibration).record(),
        "calibration_note": note,
        "uncalibrated": compute_calibration(truth, raw),
        "calibrated": compute_calibration(truth, calibration.apply(raw)),
        "public_mix": public_mix,
        "uncorrected": headline(truth, raw, names) if applied else None,
        "plain": headline(truth, plain, names),
        "last_epoch": None,
    }
    if not packed:
        last = predict_proba(run.load_model("last"), images, test)
        metrics["last_epoch"] = headline(truth, last, names)
    predictions = {"indices": test, "labels": truth, "probabilities": raw}
    kept = {"indices": validation, "labels": validated, "probabilities": probabilities}
    return Measurement(metrics, predictions, kept, find_mistakes(images, predictions))


def _fit(
    labels: Labels, probabilities: NDArray, counts: NDArray | None
) -> tuple[float, float | None, str | None]:
    """Temperature and prior strength of validation galaxies, and a note where there is no fit.

    The prior is the public Galaxy10's: without counts of its classes there is no strength.
    """
    if len(labels) < FEWEST:
        note = f"not fitted: {len(labels)} validation galaxies, expected {FEWEST} or more"
        return 1.0, None, note
    if (probabilities.argmax(axis=1) == labels).all():
        return 1.0, None, "not fitted: all validation galaxies are correctly classified"
    temperature, strength = fit_temperature(labels, probabilities), None
    if counts is not None and counts.all() and np.bincount(labels, minlength=len(counts)).all():
        tempered = Calibration(temperature).apply(probabilities)
        strength = choose_prior_strength(labels, tempered, counts, CLASS_COUNTS)
    return temperature, strength, None


def find_mistakes(
    images: Images, predictions: dict[str, NDArray[Any]], count: int = 10
) -> dict[str, NDArray[Any]]:
    """The galaxies of the test set that are misclassified with the highest probability.

    Parameters
    ----------
    images : ndarray of uint8, shape (N, s, s, 3)
        All galaxies of the run.
    predictions : dict of ndarray
        As :attr:`galclass.run.Run.predictions`.
    count : int, default 10
        How many, at most.

    Returns
    -------
    dict of ndarray
        ``images``, ``labels``, ``predicted`` and ``probabilities``, the highest first.
    """
    labels, probabilities = predictions["labels"], predictions["probabilities"]
    predicted, highest = probabilities.argmax(axis=1), probabilities.max(axis=1)
    chosen = np.flatnonzero(predicted != labels)
    chosen = chosen[np.argsort(-highest[chosen], kind="stable")][:count]
    return {
        "images": images[predictions["indices"][chosen]],
        "labels": labels[chosen],
        "predicted": predicted[chosen],
        "probabilities": highest[chosen],
    }


def evaluate(
    run: Run | PathLike,
    images: ArrayLike,
    labels: ArrayLike,
    origin: Origin | None = None,
    *,
    symmetric: "Symmetric | None" = None,
    other: str | None = None,
) -> dict[str, Any]:
    """Measure a run on its own test galaxies and write the result into its folder.

    Parameters
    ----------
    run : galclass.run.Run or path-like
    images : ndarray of uint8, shape (N, s, s, 3)
    labels : ndarray of int, shape (N,)
        The same galaxies, in the same order, as for training.
    origin : Origin, optional
        Of other galaxies; the run's own are known.
    symmetric : bool or "unsure", optional
        As for :func:`galclass.predict`.
    other : str, optional
        The galaxies are not the run's, and this is their name: all of them are classified, with
        the run's calibration as :func:`galclass.predict` does it, and measured.

    Returns
    -------
    dict
        As :func:`galclass.evaluation.metrics.compute_metrics`, and

        ``symmetric``
            Whether the probabilities are averaged over the eight symmetries: True, False or
            "unsure", where one pass is less than 95 % sure.
        ``calibration``, ``calibration_note``
            The temperature, fitted on the validation galaxies, and why it is 1 where there is
            nothing to fit.
        ``uncalibrated``, ``calibrated``
            :func:`galclass.evaluation.metrics.compute_calibration` of the test set without
            and with the temperature.
        ``public_mix``
            Metrics after the temperature and the correction for the public Galaxy10's mix of
            classes, whose ``strength`` is chosen on the validation galaxies; None where these lack
            a class or are too few, or the classes are others.
        ``uncorrected``
            For a packed run, whose metrics are those of the corrected probabilities: what they
            were before; else None.
        ``plain``, ``last_epoch``
            Metrics without the symmetries, and of the last epoch's weights without them.

        Nothing is written for another `symmetric` than the run's, whose predictions are calibrated
        for its own, nor into the pretrained run. Else they are in ``metrics.json``, too; the
        probabilities, not calibrated, in ``predictions.npz`` and, of the validation galaxies, in
        ``validation.npz``, the most confident mistakes in ``mistakes.npz``, and the model card in
        ``README.md``.

        Of other galaxies: as ``compute_metrics``, and ``symmetric``, ``calibrated``, ``origin`` and
        ``independent`` (whether they are none of those that the run was trained on, as far as
        their name tells); in ``others/NAME.json``, the calibrated probabilities in
        ``others/NAME.npz``. The files of the run's own test stay as they are.

    Raises
    ------
    RunError
        No finished run, or the galaxies are not its; or some of the others are those it was trained
        with, or there is a result of this name for other galaxies.
    ParameterError
        `other` is no name of a file.

    Warns
    -----
    UserWarning
        No test galaxy is of some class; or the other galaxies may be those of the training, in
        other pixels.

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
    run, symmetric = as_run(run), check_symmetric(symmetric)
    if other is not None:
        return _evaluate_others(run, images, labels, origin, symmetric, other)
    metrics, predictions, validation, mistakes = measure(run, images, labels, symmetric=symmetric)
    absent = [c for c, row in enumerate(metrics["classes"]) if not row["support"]]
    if absent:
        warnings.warn(
            f"no test galaxy is of classes {absent}: they have no recall, and macro-F1 is given "
            "over all classes and over those present",
            stacklevel=2,
        )
    if symmetric in (None, run.symmetric) and not run.packaged:
        write_npz(run.path / "predictions.npz", **predictions)
        write_npz(run.path / "validation.npz", **validation)
        if not run.manifest.get("packed"):
            write_npz(run.path / "mistakes.npz", **mistakes)
        write_results(run, metrics)
    return metrics


def _evaluate_others(
    run: Run,
    images: ArrayLike,
    labels: ArrayLike,
    origin: Origin | None,
    symmetric: "Symmetric | None",
    name: str,
) -> dict[str, Any]:
    from ..network.probabilities import predict_proba

    names = run.class_names
    if isinstance(origin, Origin) and origin.class_names != names:
        raise DataError(f"classes {origin.class_names}, expected the run's: {names}")
    images = check_images(images, shape=run.image_shape)
    labels = check_labels(labels, len(images), classes=len(names))
    run.require_complete()
    if not isinstance(name, str) or not re.fullmatch(r"\w[\w.-]*", name):
        raise ParameterError(f"other={name!r}, expected a name of letters, digits, _ . and -")
    if not isinstance(origin, Origin | None):
        raise ParameterError(f"origin={origin!r}, expected the one that load_data gives, or None")
    found, hashes = Origin.of_arrays(images, labels, names), hash_images(images)
    origin = replace(origin or found, sha256=found.sha256, galaxies=found.galaxies)
    path = run.path / "others" / f"{name}.json"
    if path.exists() and read_json(path, hint="")["origin"]["sha256"] != found.sha256:
        raise RunError(f"{path} is of other galaxies; give another name")
    if leaked := int(np.isin(hashes, run.seen).sum()):
        raise RunError(
            f"{run.path} was trained with {leaked:,} of these {len(images):,} galaxies, expected "
            "none; leave them out, or give the run's own galaxies without `other`"
        )
    independent = run.is_independent(origin, hashes)
    if not independent:
        warnings.warn(
            f"{origin.name} may hold the galaxies of the training in other pixels: the figures are "
            "then not independent",
            stacklevel=3,
        )
    symmetric = run.symmetric if symmetric is None else symmetric
    raw = predict_proba(run.load_model(), images, symmetric=symmetric)
    probabilities = run.calibration.apply(raw)
    metrics = {
        "origin": origin.record(),
        "independent": independent,
        "symmetric": symmetric,
        **compute_metrics(labels, probabilities, names),
        "calibrated": compute_calibration(labels, probabilities),
    }
    if not run.packaged:
        write_npz(path.with_suffix(".npz"), labels=labels, probabilities=probabilities)
        write_json(path, metrics)
    return metrics


def write_results(run: Run, metrics: dict[str, Any]) -> None:
    """Write the metrics of a run and its model card."""
    write_json(run.path / "metrics.json", metrics)
    run.forget()
    with whole_file(run.path / "README.md") as temporary:
        temporary.write_text(model_card(run), encoding="utf-8")
