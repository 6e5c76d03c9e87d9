"""The same recipe with several seeds: the spread, and the ensemble."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ._types import PathLike
from .evaluation import HEADLINE, compute_metrics, evaluate
from .runs import load_run, write_json


def study(
    images: ArrayLike, labels: ArrayLike, *, out: PathLike, seeds: int = 5, **settings: Any
) -> dict[str, Any]:
    """Train a recipe with several seeds and measure the spread and the ensemble.

    A study that was stopped goes on where it was when it is called again; finished seeds are not
    trained anew.

    Parameters
    ----------
    images : ndarray of uint8, shape (N, 69, 69, 3)
    labels : ndarray of int, shape (N,)
    out : path-like
        Folder for the runs ``seed-0``, ``seed-1``, ... and ``study.json``.
    seeds : int, default 5
        Number of seeds: 0, 1, ...
    **settings
        For :func:`galclass.train`: recipe, epochs, split_protocol, precision, source, verbose.

    Returns
    -------
    dict
        As :func:`galclass.studies.summarise`.

    Raises
    ------
    ValueError
        `seeds` is less than 1; else as :func:`galclass.train`.

    Examples
    --------
    >>> import galclass
    >>> images, labels = galclass.simulate_galaxy10(100, class_fractions="balanced")
    >>> summary = galclass.study(
    ...     images, labels, out="runs/study", seeds=2, epochs=1, verbose=False
    ... )
    >>> summary["seeds"], summary["galaxies"]
    ([0, 1], 15)
    >>> mean, spread = summary["mean"]["accuracy"], summary["std"]["accuracy"]
    """
    from .training import train

    if not (isinstance(seeds, int) and seeds >= 1):
        raise ValueError(f"seeds={seeds!r}, expected an integer of 1 or more")
    out = Path(out).expanduser()
    for seed in range(seeds):
        run = train(images, labels, out=out / f"seed-{seed}", seed=seed, resume=True, **settings)
        if not (run.path / "metrics.json").exists():
            evaluate(run, images, labels)
    summary = summarise(load_study(out)[:seeds])
    write_json(out / "study.json", summary)
    return summary


def load_study(path):
    """The runs of a study, in the order of their seeds.

    Returns
    -------
    list of galclass.runs.Run

    Raises
    ------
    RunError
        No study in `path`.
    """
    path = Path(path).expanduser()
    seeds = sorted(path.glob("seed-*"), key=lambda folder: int(folder.name.partition("-")[2]))
    return [load_run(folder) for folder in seeds or [path / "seed-0"]]


def summarise(runs):
    """Mean and standard deviation of the test metrics of runs, and their ensemble's.

    Parameters
    ----------
    runs : list of galclass.runs.Run
        Evaluated runs that share their test galaxies.

    Returns
    -------
    dict
        ``seeds``; ``galaxies``; ``mean``, ``std`` (sample standard deviation over the seeds, None
        for one seed) and ``ensemble`` (of the mean of the runs' probabilities), each with
        accuracy, balanced accuracy, macro-F1, re-weighted accuracy and log loss; ``public_mix``,
        the mean and standard deviation of these after the correction for the public file's class
        fractions, where all runs have it (see :func:`galclass.evaluate`); ``val_accuracy``
        with the mean and standard deviation of the best validation accuracies.

    Raises
    ------
    ValueError
        The runs have different test galaxies.
    """
    first = runs[0].predictions
    for run in runs[1:]:
        if not np.array_equal(run.predictions["indices"], first["indices"]):
            raise ValueError(
                f"{run.path.name} has other test galaxies than {runs[0].path.name}; "
                "compare runs on the same data and split"
            )
    rows = {key: [run.metrics[key] for run in runs] for key in HEADLINE}
    rows = {key: values for key, values in rows.items() if None not in values}
    probabilities = np.mean([run.predictions["probabilities"] for run in runs], axis=0)
    ensemble = compute_metrics(first["labels"], probabilities)
    corrected = [run.metrics.get("public_mix") for run in runs]
    public_mix = None
    if all(corrected):
        both = {key: [each[key] for each in corrected] for key in ("strength", *rows)}
        public_mix = {
            "mean": {key: float(np.mean(values)) for key, values in both.items()},
            "std": {key: _spread(values) for key, values in both.items()},
        }
    best = [float(run.history["val_accuracy"].max()) for run in runs]
    return {
        "recipe_name": runs[0].manifest["recipe_name"],
        "source": runs[0].manifest["source"],
        "seeds": [run.manifest["seed"] for run in runs],
        "galaxies": len(first["labels"]),
        "mean": {key: float(np.mean(values)) for key, values in rows.items()},
        "std": {key: _spread(values) for key, values in rows.items()},
        "ensemble": {key: ensemble[key] for key in rows},
        "public_mix": public_mix,
        "val_accuracy": {"mean": float(np.mean(best)), "std": _spread(best)},
    }


def _spread(values):
    return float(np.std(values, ddof=1)) if len(values) > 1 else None
