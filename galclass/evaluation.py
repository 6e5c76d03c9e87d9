"""Probabilities, and the metrics that they amount to."""

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._types import Images, Labels
from .calibration import (
    apply_temperature,
    choose_prior_strength,
    compute_calibration,
    fit_temperature,
    shift_prior,
)
from .galaxy10 import CLASS_COUNTS, CLASS_NAMES, DataError, check_images, check_labels
from .runs import Run, RunError, write_json, write_npz
from .sources import describe_arrays

if TYPE_CHECKING:
    import keras

# Below this many true galaxies a recall says little; tables and figures mark such classes.
FEW = 10
HEADLINE = ("accuracy", "balanced_accuracy", "macro_f1", "reweighted_accuracy", "log_loss")


def predict_proba(
    model: "keras.Model",
    images: Images,
    indices: NDArray[np.integer[Any]] | None = None,
    *,
    symmetric: bool = False,
    batch_size: int = 64,
) -> NDArray[np.float32]:
    """Class probabilities of pictures.

    Parameters
    ----------
    model : keras.Model
        As :func:`galclass.build_cnn` makes it.
    images : ndarray of uint8, shape (N, 69, 69, 3)
    indices : array of int, shape (n,), optional
        Which of them, in this order. Default: all.
    symmetric : bool, default False
        Average the probabilities over the eight flips and quarter turns of each picture.
    batch_size : int, default 64
        Pictures at a time; it bounds the memory, not the result.

    Returns
    -------
    ndarray of float32, shape (n, classes)
        Each row sums to 1.
    """
    from .augmentation import apply_symmetry
    from .model import forward

    images = check_images(images, shape=tuple(model.input_shape[1:]))
    indices = np.arange(len(images)) if indices is None else np.asarray(indices)
    if indices.ndim != 1 or not np.issubdtype(indices.dtype, np.integer) or len(indices) == 0:
        raise DataError(f"indices {indices.dtype} {indices.shape}, expected one integer or more")
    if indices.min() < 0 or indices.max() >= len(images):
        raise DataError(
            f"indices from {indices.min()} to {indices.max()}, expected 0-{len(images) - 1}"
        )
    if batch_size < 1:
        raise ValueError(f"batch_size={batch_size}, expected 1 or more")
    elements = range(8) if symmetric else (0,)
    parts = []
    for start in range(0, len(indices), batch_size):
        batch = images[indices[start : start + batch_size]]
        turned = [forward(model, apply_symmetry(batch, e)).numpy() for e in elements]
        parts.append(np.mean(turned, axis=0))
    return np.concatenate(parts)


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
    labels: Labels,
    probabilities: ArrayLike,
    *,
    class_fractions: ArrayLike | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Metrics of predicted probabilities against true classes.

    Parameters
    ----------
    labels : array of int, shape (n,)
        True classes.
    probabilities : array of float, shape (n, classes)
    class_fractions : array of float, shape (classes,), optional
        Class mix for the re-weighted accuracy. Default: the public Galaxy10 file's.
    seed : int, default 0
        Seed of the bootstrap.

    Returns
    -------
    dict
        ``accuracy``, its 95 % bootstrap interval ``accuracy_interval`` (percentiles of 10,000
        resamples of the galaxies), ``balanced_accuracy`` (mean recall over the classes present),
        ``macro_f1`` over all classes and ``macro_f1_present`` over those present,
        ``reweighted_accuracy`` (sum over classes of fraction times recall; None where a class
        with a fraction is absent), ``log_loss`` (mean of -ln p of the true class), ``galaxies``,
        ``confusion_matrix`` (rows predicted, columns true) and ``classes``: a list with
        ``name``, ``precision``, ``recall`` and ``support``; precision is None where nothing was
        predicted as the class, recall where the class is absent.

    Raises
    ------
    DataError
        Shapes that do not fit, or probabilities that are not finite, in 0-1 and summing to 1.
    """
    probabilities = np.asarray(probabilities)
    if probabilities.ndim != 2 or probabilities.dtype.kind not in "fiu":
        raise DataError(
            f"probabilities {probabilities.dtype} of shape {probabilities.shape}, "
            "expected float of shape (n, classes)"
        )
    classes = probabilities.shape[1]
    labels = check_labels(labels, len(probabilities), classes=classes)
    if not np.allclose(probabilities.sum(axis=1), 1, atol=1e-3) or probabilities.min() < 0:
        raise DataError("probabilities must be finite, 0 to 1, and sum to 1 in each row")
    matrix = confusion_matrix(labels, probabilities.argmax(axis=1), classes=classes)
    right, predicted, support = np.diag(matrix), matrix.sum(axis=1), matrix.sum(axis=0)
    with np.errstate(invalid="ignore"):
        recall, precision = right / support, right / predicted
    f1 = 2 * right / np.maximum(predicted + support, 1)
    present = support > 0
    n = len(labels)
    # Resampling galaxies with replacement makes the number of right ones binomial.
    resampled = np.random.default_rng(seed).binomial(n, right.sum() / n, 10_000) / n
    if class_fractions is None and classes == len(CLASS_COUNTS):
        class_fractions = CLASS_COUNTS
    reweighted = None
    if class_fractions is not None:
        fractions = np.asarray(class_fractions, float)
        if fractions.shape != (classes,) or not (fractions >= 0).all() or not fractions.sum() > 0:
            raise DataError(
                f"class_fractions {class_fractions}, expected {classes} numbers of 0 or more"
            )
        fractions = fractions / fractions.sum()
        if present[fractions > 0].all():
            reweighted = float(np.sum((fractions * recall)[fractions > 0]))
    chosen = probabilities[np.arange(n), labels].astype(float)
    return {
        "galaxies": n,
        "accuracy": float(right.sum() / n),
        "accuracy_interval": np.percentile(resampled, [2.5, 97.5]).tolist(),
        "balanced_accuracy": float(recall[present].mean()),
        "macro_f1": float(f1.mean()),
        "macro_f1_present": float(f1[present].mean()),
        "reweighted_accuracy": reweighted,
        "log_loss": float(-np.log(np.clip(chosen, 1e-7, 1)).mean()),
        "classes": [
            {
                "name": CLASS_NAMES[c] if classes == len(CLASS_NAMES) else str(c),
                "precision": float(precision[c]) if predicted[c] else None,
                "recall": float(recall[c]) if support[c] else None,
                "support": int(support[c]),
            }
            for c in range(classes)
        ],
        "confusion_matrix": matrix.tolist(),
    }


def top_confusions(
    run: Run | NDArray[np.integer[Any]], count: int = 5
) -> list[tuple[int, int, float, int]]:
    """The largest shares of a class that are called another class.

    Parameters
    ----------
    run : galclass.runs.Run, or ndarray of int, shape (classes, classes)
        An evaluated run, or counts with rows predicted and columns true.
    count : int, default 5

    Returns
    -------
    list of tuple
        ``(true, predicted, share, support)``, the largest share first; classes with fewer than
        ten true galaxies are left out.

    Examples
    --------
    Three classes with 20 galaxies each; 5 of class 1 are called class 2:

    >>> import numpy as np
    >>> import galclass
    >>> matrix = np.array([[20, 0, 0], [0, 15, 1], [0, 5, 19]])
    >>> galclass.top_confusions(matrix)
    [(1, 2, 0.25, 20), (2, 1, 0.05, 20)]

    Of an evaluated run:

    >>> run = galclass.load_run("runs/mine")
    >>> for true, predicted, share, support in galclass.top_confusions(run, 2):
    ...     names = galclass.CLASS_NAMES[true], galclass.CLASS_NAMES[predicted]
    """
    matrix = np.asarray(getattr(run, "metrics", {"confusion_matrix": run})["confusion_matrix"])
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise DataError(f"matrix of shape {matrix.shape}, expected (classes, classes)")
    support = matrix.sum(axis=0)
    share = np.where(support >= FEW, matrix / np.maximum(support, 1), 0)
    np.fill_diagonal(share, 0)
    order = np.argsort(share, axis=None)[::-1][:count]
    pairs = [divmod(int(i), len(matrix)) for i in order]
    return [(t, p, float(share[p, t]), int(support[t])) for p, t in pairs if share[p, t] > 0]


def evaluate(
    run: Run, images: ArrayLike, labels: ArrayLike, *, symmetric: bool | None = None
) -> dict[str, Any]:
    """Measure a run on its own test galaxies and write the result into its folder.

    Parameters
    ----------
    run : galclass.runs.Run
    images : ndarray of uint8, shape (N, 69, 69, 3)
    labels : ndarray of int, shape (N,)
        The same galaxies, in the same order, as for training.
    symmetric : bool, optional
        Average the probabilities over the eight flips and quarter turns. Default: as the run's
        recipe says. The figures without it, and those of the last epoch's weights, are reported
        beside the chosen ones.

    Returns
    -------
    dict
        As :func:`galclass.evaluation.compute_metrics`, and ``symmetric``, ``plain`` and
        ``last_epoch``; ``temperature``, fitted on the validation galaxies, and the calibration of
        the test galaxies without and with it, ``uncalibrated`` and ``calibrated``; ``public_mix``,
        what the temperature and :func:`galclass.calibration.shift_prior` towards the public file's
        class fractions give, its ``strength`` chosen on the validation galaxies (None where they
        lack a class). Also in ``metrics.json``; the probabilities, without the temperature, are in
        ``predictions.npz``, and the most confident mistakes in ``mistakes.npz``.

    Raises
    ------
    RunError
        The galaxies are not those of the run.

    Examples
    --------
    >>> import galclass
    >>> images, labels, source = galclass.load_data("simulated", n=300)
    >>> run = galclass.load_run("runs/mine")
    >>> metrics = galclass.evaluate(run, images, labels)
    >>> metrics["galaxies"]
    45
    >>> low, high = metrics["accuracy_interval"]
    >>> low <= metrics["accuracy"] <= high
    True
    """
    images, labels = check_images(images), check_labels(labels, len(images))
    parts = run_split(run, labels)
    test = parts.test
    recorded = run.manifest["source"]
    # The split knows the labels alone; of files, the hash of the arrays is not recorded.
    of_arrays = recorded["kind"] in ("simulated", "arrays")
    if of_arrays and describe_arrays(images, labels)["sha256"] != recorded["sha256"]:
        raise RunError(
            "these pictures are not the run's, though their labels are; give "
            f"{recorded['name']}, in the same order"
        )
    absent = sorted(set(range(len(CLASS_NAMES))) - set(labels[test].tolist()))
    if absent:
        warnings.warn(
            f"no test galaxy is of classes {absent}: they have no recall, and macro-F1 is given "
            "over all classes and over those present",
            stacklevel=2,
        )
    if symmetric is None:
        symmetric = run.manifest["recipe"]["symmetric_prediction"]
    model = run.load_model()
    plain = predict_proba(model, images, test)
    probabilities = plain
    if symmetric:
        probabilities = predict_proba(model, images, test, symmetric=True)
    truth = labels[parts.validation]
    validated = predict_proba(model, images, parts.validation, symmetric=symmetric)
    temperature = fit_temperature(truth, validated)
    calibrated = apply_temperature(probabilities, temperature)
    counts = np.bincount(labels[parts.train], minlength=len(CLASS_NAMES))
    public_mix = None
    if counts.all() and set(truth) == set(range(len(CLASS_NAMES))):
        strength = choose_prior_strength(
            truth, apply_temperature(validated, temperature), counts, CLASS_COUNTS
        )
        public_mix = for_public_mix(labels[test], calibrated, counts, strength)
    last = predict_proba(run.load_model("last"), images, test)
    metrics = {
        "symmetric": bool(symmetric),
        **compute_metrics(labels[test], probabilities),
        "temperature": temperature,
        "uncalibrated": compute_calibration(labels[test], probabilities),
        "calibrated": compute_calibration(labels[test], calibrated),
        "public_mix": public_mix,
        "plain": headline(labels[test], plain),
        "last_epoch": headline(labels[test], last),
    }
    write_npz(
        run.path / "predictions.npz",
        indices=test,
        labels=labels[test],
        probabilities=probabilities,
    )
    said = probabilities.argmax(axis=1)
    wrong = np.flatnonzero(said != labels[test])
    wrong = wrong[np.argsort(-probabilities[wrong, said[wrong]], kind="stable")][:10]
    write_npz(
        run.path / "mistakes.npz",
        images=images[test[wrong]],
        labels=labels[test[wrong]],
        predicted=said[wrong],
        probabilities=probabilities[wrong, said[wrong]],
    )
    write_json(run.path / "metrics.json", metrics)
    for name in ("metrics", "predictions", "mistakes"):
        run.__dict__.pop(name, None)
    return metrics


def for_public_mix(labels, probabilities, counts, strength):
    """Headline metrics after the correction for the public file's class fractions.

    `probabilities` have had their temperature; `counts` are the training galaxies of each class;
    `strength` is that of :func:`galclass.calibration.shift_prior`.
    """
    shifted = shift_prior(probabilities, counts, CLASS_COUNTS, strength=strength)
    return {"strength": strength, **headline(labels, shifted)}


def evaluate_simulated(run: Run, n: int = 1000, *, seed: int | None = None) -> dict[str, Any]:
    """Classify simulated galaxies that the run has not seen, and whose true parameters are known.

    Predictions are plain, of one orientation of each galaxy, whatever the recipe says.

    Parameters
    ----------
    run : galclass.runs.Run
    n : int, default 1000
        Galaxies to simulate, with the mix of classes of ``load_data("simulated")``.
    seed : int, optional
        Of the simulation. Default: one more than that of the run's galaxies, else 1.

    Returns
    -------
    dict
        ``labels`` and ``predicted``, classes of shape (n,); ``parameters``, the structured array of
        :func:`galclass.simulate_galaxy10`; ``source``, their origin; and ``trained_on``, the
        origin of the run's galaxies.

    Raises
    ------
    ValueError
        `seed` is that of the run's own galaxies.

    Examples
    --------
    >>> import galclass
    >>> run = galclass.load_run("runs/mine")
    >>> measured = galclass.evaluate_simulated(run, 50)
    >>> measured["predicted"].shape, measured["parameters"]["signal_to_noise"].shape
    ((50,), (50,))
    """
    from .simulate import simulate_galaxy10
    from .sources import SIMULATED_FRACTIONS

    trained_on = run.manifest["source"]
    seen = trained_on.get("simulation_seed", 0)
    seed = seen + 1 if seed is None else seed
    if trained_on["kind"] == "simulated" and seed == seen:
        raise ValueError(f"seed={seed} gives the run's own galaxies, expected another; give one")
    images, labels, parameters = simulate_galaxy10(
        n, seed, class_fractions=SIMULATED_FRACTIONS, return_parameters=True
    )
    probabilities = predict_proba(run.load_model(precision="auto"), images)
    return {
        "labels": labels,
        "predicted": probabilities.argmax(axis=1),
        "parameters": parameters,
        "source": {
            "kind": "simulated",
            "name": f"simulate_galaxy10({n}, {seed}, class_fractions=SIMULATED_FRACTIONS)",
            "galaxies": n,
        },
        "trained_on": trained_on,
    }


def run_split(run, labels):
    """The run's split, drawn again from the labels and compared with its manifest.

    Returns
    -------
    galclass.galaxy10.Split

    Raises
    ------
    RunError
        The split differs from the one that the run was trained with.
    """
    from .training import describe_split

    recorded = run.manifest["split"]
    parts, found = describe_split(labels, recorded["protocol"])
    if found != recorded:
        differing = [key for key in found if found[key] != recorded.get(key)]
        raise RunError(
            f"these {len(labels)} galaxies are not the run's {run.manifest['source']['galaxies']} "
            f"({', '.join(differing)} of the split differ); give {run.manifest['source']['name']}"
        )
    return parts


def headline(labels, probabilities):
    """The metrics that are reported beside the chosen ones."""
    metrics = compute_metrics(labels, probabilities)
    return {key: metrics[key] for key in HEADLINE}
