"""Fine-tuning: what training starts from, and whether that network has seen the test set."""

import warnings
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..data.arrays import check_images
from ..data.dataset import Dataset, Origin
from ..data.split import Split
from ..errors import RunError
from ..files import PathLike
from ..network.symmetry import hash_images
from ..network.weights import Weights, get_weights, weights_sha256
from ..run import Run, as_run, load_pretrained

STARTS: dict[str, Any] = {"pretrained": "galaxy10", "simulated": "simulated"}


class Start(NamedTuple):
    """What training starts from.

    Parameters
    ----------
    weights : dict of ndarray
        By name; empty for random weights.
    seen : ndarray of uint64
        Hashes of the training and validation images of this run and of the runs that it starts
        from.
    record : dict or None
        The entry of the manifest.
    """

    weights: Weights
    seen: NDArray[np.uint64]
    record: dict[str, Any] | None


def seen_by(run: Run | PathLike, images: ArrayLike) -> NDArray[np.bool_]:
    """Find the images that a run, or the run that it started from, was trained or validated on.

    An image is found if it is identical, or identical under a flip or rotation. The same galaxy in
    other pixels, such as from another survey, is not found.

    Parameters
    ----------
    run : Run or path-like
    images : ndarray of uint8, shape (n, s, s, 3)
        Of the size of the network's images.

    Returns
    -------
    ndarray of bool, shape (n,)

    Raises
    ------
    DataError, RunError
        The images are not in this form, or the run cannot be read.

    Examples
    --------
    >>> import galclass
    >>> images, labels = galclass.simulate_galaxy10(3)
    >>> galclass.seen_by(galclass.load_pretrained(), images).any()
    np.False_
    """
    run = as_run(run)
    images = check_images(images, shape=run.image_shape)
    return np.isin(hash_images(images), run.seen)


def is_independent(run: Run, origin: Origin) -> Literal[True] | None:
    """Tell if image hashes are enough to show that a run has not seen galaxies.

    Parameters
    ----------
    run : Run
    origin : Origin
        Origin of the galaxies.

    Returns
    -------
    True or None
        True if this holds for every data set that the run, or a run that it started from, was
        trained on: one of the two data sets is simulated, or both are the same. None if it is not
        known: another file of real galaxies may show the same galaxies in other pixels.
    """
    for trained_on in _origins(run.manifest):
        one_is_simulated = trained_on.simulated or origin.simulated
        if not one_is_simulated and trained_on.sha256 != origin.sha256:
            return None
    return True


def _origins(manifest: dict[str, Any]) -> Iterator[Origin]:
    """Yield the origins of a run and of the runs that it started from."""
    record: dict[str, Any] | None = manifest
    while record is not None:
        yield Origin.from_record(record["origin"])
        record = record["start"]


def open_start(start: Run | PathLike) -> Run:
    """Return the run to start from, which is given as such, by its path or by a name."""
    if isinstance(start, str) and start in STARTS:
        return load_pretrained(STARTS[start])
    return as_run(start)


def read_start(start: Run | PathLike | None, dataset: Dataset, parts: Split) -> Start:
    """Read the weights to start from, and check that their run has not seen the test set.

    Raises
    ------
    RunError
        The run is unfinished, or was trained or validated on galaxies of the test set.

    Warns
    -----
    UserWarning
        It is not known whether the test galaxies are other galaxies than those of the run.
    """
    hashes = hash_images(dataset.images)
    used = np.concatenate([parts.train, parts.validation])
    if start is None:
        return Start({}, np.unique(hashes[used]), None)
    run = open_start(start)
    run.require_complete()
    leaked = int(np.isin(hashes[parts.test], run.seen).sum())
    if leaked:
        raise RunError(
            f"{run.path} was trained on {leaked:,} of the {len(parts.test):,} test galaxies, "
            f"expected none; use its split ({run.manifest['split']['protocol']!r}) if these are "
            "the same galaxies, or use other galaxies"
        )
    independent = is_independent(run, dataset.origin)
    if not independent:
        warnings.warn(
            f"{run.path.name} was trained on {run.origin.title}, and {dataset.origin.name} may "
            "hold the same galaxies in other pixels: it is not known whether the test set is "
            "independent",
            stacklevel=3,
        )
    weights = get_weights(run.load_model())
    record = {key: run.manifest[key] for key in ("recipe_name", "seed", "origin", "split", "start")}
    record["weights_sha256"] = weights_sha256(weights.values())
    record["independent"] = independent
    if run.class_names != dataset.origin.class_names:  # The outputs mean something else.
        weights = {name: weights[name] for name in weights if not name.startswith("classes/")}
    return Start(weights, np.union1d(hashes[used], run.seen), record)
