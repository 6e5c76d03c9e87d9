"""The trained network in the box: half-precision weights in the package, and their card."""

import json
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ._types import Images, Labels, PathLike, Precision
from .runs import Run, RunError, weights_sha256, whole_file, write_npz

if TYPE_CHECKING:
    import keras

WEIGHTS_NAME, CARD_NAME = "pretrained.npz", "pretrained.json"


def load_pretrained(*, precision: Precision = "float32") -> "keras.Model":
    """The trained network that comes with galclass; it needs no network and no data.

    Its output is calibrated: the temperature, and the correction for the public Galaxy10's mix of
    classes, are part of its last layer. What it was trained on and how well it does is in
    :func:`galclass.pretrained.pretrained_card`.

    Parameters
    ----------
    precision : {"float32", "bfloat16", "float16", "auto"}
        Arithmetic, see :func:`galclass.model.choose_precision`. Half precision changes
        probabilities by about 0.01.

    Returns
    -------
    keras.Model
        Takes uint8 pictures of shape (n, 69, 69, 3), as :func:`galclass.prepare` makes them; gives
        probabilities of shape (n, 10).

    Raises
    ------
    RunError
        The package's files are damaged.

    Examples
    --------
    >>> import galclass
    >>> model = galclass.load_pretrained()
    >>> images, labels = galclass.simulate_galaxy10(20)
    >>> table = galclass.predict(model, images)
    >>> len(table), "class_name" in table.colnames
    (20, True)
    """
    from .model import build_cnn

    card = pretrained_card()
    path = resources.files("galclass") / WEIGHTS_NAME
    with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
        arrays = [stored[f"w{i}"].astype(np.float32) for i in range(len(stored.files))]
    if weights_sha256(arrays) != card["weights_sha256"]:
        raise RunError(f"{WEIGHTS_NAME} is damaged (wrong sha256); install galclass again")
    model = build_cnn(**card["network"], precision=precision)
    for variable, array in zip(model.trainable_variables, arrays, strict=True):
        variable.assign(array)
    return model


def pretrained_card() -> dict[str, Any]:
    """What is known of the network in the box: data, recipe, test metrics, prior and temperature.

    Returns
    -------
    dict
    """
    text = (resources.files("galclass") / CARD_NAME).read_text(encoding="utf-8")
    return json.loads(text)


def pack(
    run: Run,
    images: Images,
    labels: Labels,
    *,
    folder: PathLike,
    new_fractions: Sequence[float] | None = None,
) -> dict[str, Any]:
    """Make a run into the files of a network in the box.

    The temperature and the strength of the correction for the class mix are chosen on the
    validation galaxies; the test galaxies are used once, to measure what comes out, in the half
    precision in which it is stored.

    Parameters
    ----------
    run : galclass.runs.Run
        Finished.
    images, labels : ndarray
        The run's galaxies.
    folder : path-like
        Where ``pretrained.npz`` and ``pretrained.json`` are written.
    new_fractions : array of float, shape (10,), optional
        Mix of classes to correct for. Default: the public Galaxy10's.

    Returns
    -------
    dict
        The card.
    """
    from .calibration import (
        apply_temperature,
        choose_prior_strength,
        compute_calibration,
        fit_temperature,
        log_prior_shift,
        shift_prior,
    )
    from .evaluation import compute_metrics, headline, predict_proba, run_split
    from .galaxy10 import CLASS_COUNTS

    folder = Path(folder)
    new = CLASS_COUNTS if new_fractions is None else new_fractions
    parts = run_split(run, labels)
    model = run.load_model()
    old = np.bincount(labels[parts.train], minlength=10)
    truth = labels[parts.validation]
    raw = predict_proba(model, images, parts.validation, symmetric=True)
    temperature = fit_temperature(truth, raw)
    tempered = apply_temperature(raw, temperature)
    strength = choose_prior_strength(truth, tempered, old, new)
    before = predict_proba(model, images, parts.test, symmetric=True)

    kernel, bias = model.layers[-1].kernel, model.layers[-1].bias
    kernel.assign(kernel / temperature)
    bias.assign(bias / temperature + log_prior_shift(old, new, strength=strength))
    halves = [variable.numpy().astype(np.float16) for variable in model.trainable_variables]
    for variable, half in zip(model.trainable_variables, halves, strict=True):
        variable.assign(half.astype(np.float32))
    test = labels[parts.test]
    after = predict_proba(model, images, parts.test, symmetric=True)
    undone = shift_prior(after, new, old, strength=strength)
    card = {
        "network": run.manifest["network"],
        "recipe_name": run.manifest["recipe_name"],
        "recipe": run.manifest["recipe"],
        "seed": run.manifest["seed"],
        "source": run.manifest["source"],
        "split": run.manifest["split"],
        "class_counts": np.bincount(labels, minlength=10).tolist(),
        "temperature": temperature,
        "prior_strength": strength,
        "prior": [int(count) for count in new],
        "test": compute_metrics(test, after),
        "test_without_correction": headline(test, before),
        "calibration_on_own_mix": compute_calibration(test, undone),
        "weights_sha256": weights_sha256([half.astype(np.float32) for half in halves]),
    }
    write_npz(folder / WEIGHTS_NAME, **{f"w{i}": half for i, half in enumerate(halves)})
    with whole_file(folder / CARD_NAME) as temporary:
        temporary.write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    return card
