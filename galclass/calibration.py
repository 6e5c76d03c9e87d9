"""Whether probabilities can be taken at their word, and the temperature that mends them."""

import numpy as np

BINS = 15


def apply_temperature(probabilities, temperature):
    """Soften (temperature above 1) or sharpen probabilities; the class stays the same.

    Guo et al. 2017 (arXiv 1706.04599), equation 9, on probabilities: p^(1/T) / sum p^(1/T), which
    is the softmax of the logits divided by T.

    Parameters
    ----------
    probabilities : array of float, shape (n, classes)
    temperature : float
        More than 0.

    Returns
    -------
    ndarray of float64, shape (n, classes)
    """
    if not temperature > 0:
        raise ValueError(f"temperature={temperature}, expected more than 0")
    logits = np.log(np.clip(np.asarray(probabilities, float), 1e-30, 1)) / temperature
    softened = np.exp(logits - logits.max(axis=1, keepdims=True))
    return softened / softened.sum(axis=1, keepdims=True)


def fit_temperature(labels, probabilities):
    """The temperature that gives the lowest log loss; to be fitted on validation galaxies.

    Parameters
    ----------
    labels : array of int, shape (n,)
    probabilities : array of float, shape (n, classes)

    Returns
    -------
    float
        Between 0.1 and 10.
    """
    from scipy.optimize import minimize_scalar

    rows = np.arange(len(labels))

    def log_loss(log_temperature):
        softened = apply_temperature(probabilities, np.exp(log_temperature))
        return -np.log(np.maximum(softened[rows, labels], 1e-30)).mean()

    found = minimize_scalar(log_loss, bounds=(np.log(0.1), np.log(10)), method="bounded")
    return float(np.exp(found.x))


def reliability(labels, probabilities, *, bins=BINS):
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
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    which = np.minimum((confidence * bins).astype(int), bins - 1)
    galaxies = np.bincount(which, minlength=bins)
    with np.errstate(invalid="ignore"):
        return {
            "galaxies": galaxies,
            "confidence": np.bincount(which, confidence, minlength=bins) / galaxies,
            "accuracy": np.bincount(which, right, minlength=bins) / galaxies,
        }


def compute_calibration(labels, probabilities):
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
    chosen = np.clip(probabilities[np.arange(len(labels)), labels], 1e-7, 1)
    return {
        "calibration_error": float(np.nansum(gap * curve["galaxies"]) / len(labels)),
        "brier": float(np.square(probabilities - truth).sum(axis=1).mean()),
        "log_loss": float(-np.log(chosen).mean()),
    }


def shift_prior(probabilities, fractions, new_fractions, *, strength=1.0):
    """Correct probabilities for another mix of classes than that of the training galaxies.

    Saerens et al. 2002 (Neural Computation 14, 21), equation 2.4: p'_c is proportional to
    p_c (new_c / old_c).

    Parameters
    ----------
    probabilities : array of float, shape (n, classes)
    fractions, new_fractions : array of float, shape (classes,)
        Class fractions, or counts, of the training galaxies and of those to classify; more than 0.
    strength : float, default 1
        Exponent of the ratio: 0 changes nothing, 1 corrects fully.

    Returns
    -------
    ndarray of float64, shape (n, classes)
    """
    shifted = np.asarray(probabilities, float) * np.exp(
        log_prior_shift(fractions, new_fractions, strength=strength)
    )
    return shifted / shifted.sum(axis=1, keepdims=True)


def log_prior_shift(fractions, new_fractions, *, strength=1.0):
    """What :func:`shift_prior` adds to each class's logit, shape (classes,)."""
    old, new = np.asarray(fractions, float), np.asarray(new_fractions, float)
    if old.shape != new.shape or not (old > 0).all() or not (new > 0).all():
        raise ValueError(
            f"class fractions {fractions} and {new_fractions}, expected equally many above 0"
        )
    return strength * np.log((new / new.sum()) / (old / old.sum()))


def choose_prior_strength(labels, probabilities, fractions, new_fractions, *, largest_loss=0.005):
    """The strength of :func:`shift_prior` that serves the new mix at little loss on the old one.

    To be chosen on validation galaxies.

    Parameters
    ----------
    labels : array of int, shape (n,)
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
    from .evaluation import compute_metrics

    def measure(strength):
        shifted = shift_prior(probabilities, fractions, new_fractions, strength=strength)
        metrics = compute_metrics(labels, shifted, class_fractions=new_fractions)
        if metrics["reweighted_accuracy"] is None:
            raise ValueError("a class has no validation galaxy, expected all classes; add galaxies")
        return metrics["reweighted_accuracy"], metrics["accuracy"]

    measured = {strength / 10: measure(strength / 10) for strength in range(11)}
    allowed = [s for s, (_, plain) in measured.items() if plain >= measured[0][1] - largest_loss]
    return max(allowed, key=lambda strength: measured[strength][0])
