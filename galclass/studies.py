"""The same recipe with several seeds or folds: the spread, and the ensemble."""

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from . import distributed
from ._types import Engine, PathLike
from .evaluation import HEADLINE, compute_metrics, evaluate
from .runs import load_run, write_json


def study(
    images: ArrayLike,
    labels: ArrayLike,
    *,
    out: PathLike,
    seeds: int | None = None,
    folds: int | None = None,
    engine: Engine = "local",
    address: str | None = None,
    verbose: bool = True,
    **settings: Any,
) -> dict[str, Any]:
    """Train a recipe several times and measure the spread and the ensemble.

    A study that was stopped goes on where it was when it is called again; finished runs are not
    trained anew.

    Parameters
    ----------
    images : ndarray of uint8, shape (N, 69, 69, 3)
    labels : ndarray of int, shape (N,)
    out : path-like
        Folder for the runs ``seed-0``, ``seed-1``, ... or ``fold-1``, ``fold-2``, ... and
        ``study.json``. With Ray on several machines, one that they share.
    seeds : int, optional
        Number of seeds: 0, 1, ... Default: 5, unless `folds` is given.
    folds : int, optional
        Instead of seeds: cross-validation by as many folds of the galaxies that are not for
        testing, all with seed 0, see :func:`galclass.split`. The test galaxies are those of the
        stratified split in all of them.
    engine : {"local", "ray"}
        Where the runs are trained: one after the other in this process, or as tasks on a Ray
        cluster, with up to four CPUs or one GPU each. A run whose process or machine is lost
        goes on from its checkpoint elsewhere.
    address : str, optional
        Of the Ray cluster, see :func:`galclass.distributed.cluster`.
    verbose : bool, default True
        A line an epoch; with Ray, a line a run.
    **settings
        For :func:`galclass.train`: recipe, epochs, split_protocol, precision, source.

    Returns
    -------
    dict
        As :func:`galclass.studies.summarise`.

    Raises
    ------
    ValueError
        `seeds` is less than 1 or `folds` less than 2, both are given, `split_protocol` is given
        with `folds`, or `out` holds runs of the other kind; else as :func:`galclass.train`.
    ImportError
        Ray is asked for, and not installed.

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
    distributed.check_engine(engine, address)
    out = Path(os.path.abspath(os.path.expanduser(out)))
    tasks = _list_runs(out, seeds, folds, settings)
    if engine == "local":
        for task in tasks:
            _train_and_evaluate(images, labels, verbose=verbose, **task)
    else:
        with distributed.cluster(address):
            done = distributed.run_tasks(_train_and_evaluate, tasks, images=images, labels=labels)
            for name in done:
                if verbose:
                    print(f"{name} is trained and evaluated", flush=True)
    summary = summarise([load_run(task["out"]) for task in tasks])
    write_json(out / "study.json", summary)
    return summary


def _list_runs(out, seeds, folds, settings):
    """Arguments of each training of a study."""
    if seeds is not None and folds is not None:
        raise ValueError(f"seeds={seeds} and folds={folds}, expected one of them")
    kind, number, least = ("seed", seeds, 1) if folds is None else ("fold", folds, 2)
    number = 5 if number is None else number
    if not (isinstance(number, int) and number >= least):
        raise ValueError(f"{kind}s={number!r}, expected an integer of {least} or more")
    other = {"seed": "fold", "fold": "seed"}[kind]
    if any(out.glob(f"{other}-*")):
        raise ValueError(f"{out} holds a study of {other}s, now it is {kind}s; give another folder")
    if kind == "seed":
        return [{"out": out / f"seed-{k}", "seed": k, **settings} for k in range(number)]
    if "split_protocol" in settings:
        raise ValueError("split_protocol and folds given, expected one of them")
    return [
        {"out": out / f"fold-{k}", "split_protocol": f"fold-{k}-of-{number}", **settings}
        for k in range(1, number + 1)
    ]


def _train_and_evaluate(images, labels, *, out, verbose=False, **settings):
    """Go on with a run up to its metrics; the name of its folder."""
    from .training import train

    run = train(images, labels, out=out, resume=True, verbose=verbose, **settings)
    if not (run.path / "metrics.json").exists():
        evaluate(run, images, labels)
    return run.path.name


def load_study(path):
    """The runs of a study, in the order of their seeds or folds.

    Returns
    -------
    list of galclass.runs.Run

    Raises
    ------
    RunError
        No study in `path`.
    """
    path = Path(path).expanduser()
    found = [folder for kind in ("seed", "fold") for folder in path.glob(f"{kind}-*")]
    found.sort(key=lambda folder: int(folder.name.partition("-")[2]))
    return [load_run(folder) for folder in found or [path / "seed-0"]]


def summarise(runs):
    """Mean and standard deviation of the test metrics of runs, and their ensemble's.

    Parameters
    ----------
    runs : list of galclass.runs.Run
        Evaluated runs that share their test galaxies.

    Returns
    -------
    dict
        ``seeds``; ``splits``; ``galaxies``; ``mean``, ``std`` (sample standard deviation over the
        runs, None for one) and ``ensemble`` (of the mean of the runs' probabilities), each with
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
        "splits": [run.manifest["split"]["protocol"] for run in runs],
        "galaxies": len(first["labels"]),
        "mean": {key: float(np.mean(values)) for key, values in rows.items()},
        "std": {key: _spread(values) for key, values in rows.items()},
        "ensemble": {key: ensemble[key] for key in rows},
        "public_mix": public_mix,
        "val_accuracy": {"mean": float(np.mean(best)), "std": _spread(best)},
    }


def _spread(values):
    return float(np.std(values, ddof=1)) if len(values) > 1 else None
