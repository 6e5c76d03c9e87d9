"""The same recipe with several seeds or folds: the spread, and the ensemble."""

import os
import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from . import cluster
from .data.arrays import check_integer
from .data.dataset import Origin
from .errors import ParameterError, RunError
from .evaluation.evaluate import evaluate
from .evaluation.metrics import HEADLINE, compute_metrics
from .files import PathLike, write_json
from .run import Run, load_run

if TYPE_CHECKING:
    from astropy.table import Table

# What train can be given; a study sets the rest.
SETTINGS = ("class_names", "recipe", "epochs", "split", "precision", "start")


def study(
    images: ArrayLike,
    labels: ArrayLike,
    origin: Origin | None = None,
    *,
    out: PathLike,
    seeds: int | None = None,
    folds: int | None = None,
    engine: cluster.Engine = "local",
    address: str | None = None,
    verbose: bool = True,
    **settings: Any,
) -> dict[str, Any]:
    """Train a recipe several times and measure the spread and the ensemble.

    A study that was stopped resumes when it is called again; finished runs are not
    trained anew.

    Parameters
    ----------
    images : ndarray of uint8, shape (N, 69, 69, 3)
    labels : ndarray of int, shape (N,)
    origin : Origin, optional
        As for :func:`galclass.train`.
    out : path-like
        Folder for the runs ``seed-0``, ``seed-1``, ... or ``fold-1``, ``fold-2``, ... and
        ``study.json``. With Ray on several machines, one that they share.
    seeds : int, optional
        Number of seeds: 0, 1, ... Default: 5, unless `folds` is given.
    folds : int, optional
        Instead of seeds: cross-validation by as many folds of the galaxies that are not for
        testing, all with seed 0, see :func:`galclass.split`. The test set is that of the
        stratified split in all of them.
    engine : {"local", "ray"}
        Where the runs are trained: one after the other in this process, or as tasks on a Ray
        cluster, with up to four CPUs or one GPU each. A run whose worker dies is resumed
        from its checkpoint elsewhere.
    address : str, optional
        Of the Ray cluster, see :func:`galclass.cluster.cluster`.
    verbose : bool, default True
        A line an epoch; with Ray, a line a run.
    **settings
        For :func:`galclass.train`: class_names, recipe, epochs, split, precision, start.

    Returns
    -------
    dict
        As :func:`galclass.studies.summarise`.

    Raises
    ------
    ParameterError
        `seeds` is less than 1 or `folds` less than 2, both are given, `split` is given with
        `folds`, or `out` holds runs of the other kind; else as :func:`galclass.train`.
    MissingPackageError
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
    cluster.check_engine(engine, address)
    out = Path(os.path.abspath(os.path.expanduser(out)))
    tasks = _list_runs(out, seeds, folds, settings)
    data = (images, labels, origin)
    if engine == "local":
        for task in tasks:
            _train_and_evaluate(data, verbose=verbose, **task)
    else:
        with cluster.cluster(address):
            tell = partial(print, flush=True) if verbose else str
            cluster.run_tasks(_train_and_evaluate, tasks, tell, data=data)
    summary = summarise([load_run(task["out"]) for task in tasks])
    write_json(out / "study.json", summary)
    return summary


def _list_runs(
    out: Path, seeds: int | None, folds: int | None, settings: dict[str, Any]
) -> list[dict[str, Any]]:
    """Arguments of each training of a study."""
    if unknown := settings.keys() - SETTINGS:
        raise ParameterError(f"unknown {sorted(unknown)}, expected settings of {SETTINGS}")
    if folds is not None and (seeds is not None or "split" in settings):
        raise ParameterError("folds given with seeds or split, expected one of them")
    kind, other = ("seed", "fold") if folds is None else ("fold", "seed")
    if any(out.glob(f"{other}-*")):
        raise ParameterError(f"{out} holds a study of {other}s, not {kind}s; give another folder")
    if folds is None:
        number = check_integer(5 if seeds is None else seeds, "seeds", 1)
        return [{"out": out / f"seed-{k}", "seed": k, **settings} for k in range(number)]
    number = check_integer(folds, "folds", 2)
    splits = {k: f"fold-{k}-of-{number}" for k in range(1, number + 1)}
    return [{"out": out / f"fold-{k}", "split": name, **settings} for k, name in splits.items()]


def _train_and_evaluate(
    data: tuple[Any, Any, Any], *, out: Path, verbose: bool = False, **settings: Any
) -> str:
    """Resume a run up to its metrics, and say so."""
    from .training.train import train

    run = train(*data, out=out, resume=True, verbose=verbose, **settings)
    if not (run.path / "metrics.json").exists():
        evaluate(run, *data)
    return f"{run.path.name} is trained and evaluated"


def load_study(path: PathLike) -> list[Run]:
    """The runs of a study, in the order of their seeds or folds.

    Raises
    ------
    RunError
        No study in `path`.
    """
    path = Path(path).expanduser()
    named = [re.fullmatch(r"(?:seed|fold)-(\d+)", folder.name) for folder in path.glob("*-*")]
    found = [path / name[0] for name in sorted(filter(None, named), key=lambda name: int(name[1]))]
    return [load_run(folder) for folder in found or [path / "seed-0"]]


def doubtful_labels(path: PathLike) -> "Table":
    """The galaxies of a study by folds, those whose labels the networks find least likely first.

    Each is judged by the networks that were not trained on it: a galaxy of a fold by the network
    that was validated on that, one of the test set by all. Galaxies of classes with fewer than
    three are trained on by all and are not in it.

    Parameters
    ----------
    path : str or path-like
        A study of folds.

    Returns
    -------
    astropy.table.Table
        ``index`` (in the data), ``label``, ``label_name``, ``probability`` (calibrated, of the
        label), ``predicted`` and ``predicted_name``; classes from 0.

    Raises
    ------
    RunError
        No study, one of seeds, or not finished; or it started from a run that may have been trained
        on these galaxies.
    """
    from astropy.table import Table

    runs = load_study(path)
    protocols = [run.manifest["split"]["protocol"] for run in runs]
    if protocols != [f"fold-{k}-of-{len(runs)}" for k in range(1, len(runs) + 1)]:
        raise RunError(f"{path} is a study of {protocols}, expected all folds; see study --folds")
    starts = [run.manifest["start"] for run in runs if run.manifest["start"]]
    simulated = any(run.origin.kind == "simulated" for run in runs)
    if any(x["start"] or x["origin"]["kind"] != "simulated" or simulated for x in starts):
        raise RunError(f"{path} started from a run that may know these galaxies; give no --start")
    parts = [(run.validation, run.calibration) for run in runs]
    each = [calibration.apply(part["probabilities"]) for part, calibration in parts]
    tested = [run.calibration.apply(run.predictions["probabilities"]) for run in runs]
    probabilities = np.concatenate([*each, np.mean(tested, axis=0)])
    known = [*(part for part, _ in parts), runs[0].predictions]
    indices, labels = (
        np.concatenate([part[key] for part in known]) for key in ("indices", "labels")
    )
    chosen = probabilities[np.arange(len(labels)), labels]
    names, predicted = np.array(runs[0].class_names), probabilities.argmax(axis=1)
    table = Table({"index": indices, "label": labels, "label_name": names[labels]})
    table["probability"] = chosen.astype(np.float32)
    table["predicted"], table["predicted_name"] = predicted.astype(np.uint8), names[predicted]
    return table[np.argsort(chosen, kind="stable")]


def summarise(runs: list[Run]) -> dict[str, Any]:
    """Mean and standard deviation of the test metrics of runs, and their ensemble's.

    Parameters
    ----------
    runs : list of galclass.run.Run
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
    ParameterError
        The runs have different test galaxies.
    """
    first = runs[0].predictions
    for run in runs[1:]:
        if not np.array_equal(run.predictions["indices"], first["indices"]):
            raise ParameterError(
                f"{run.path.name} has other test galaxies than {runs[0].path.name}; "
                "compare runs on the same data and split"
            )
    metrics, mixes = [run.metrics for run in runs], [run.metrics["public_mix"] for run in runs]
    keys = [key for key in HEADLINE if None not in [row[key] for row in metrics]]
    probabilities = np.mean([run.predictions["probabilities"] for run in runs], axis=0)
    ensemble = compute_metrics(first["labels"], probabilities, runs[0].class_names)
    best = _summary([{"best": run.history["val_accuracy"].max()} for run in runs], ["best"])
    return {
        "recipe_name": runs[0].manifest["recipe_name"],
        "origin": runs[0].manifest["origin"],
        "seeds": [run.manifest["seed"] for run in runs],
        "splits": [run.manifest["split"]["protocol"] for run in runs],
        "galaxies": len(first["labels"]),
        **_summary(metrics, keys),
        "ensemble": {key: ensemble[key] for key in keys},
        "public_mix": _summary(mixes, ["strength", *keys]) if all(mixes) else None,
        "val_accuracy": {key: value["best"] for key, value in best.items()},
    }


def _summary(rows: list[dict[str, Any]], keys: list[str]) -> dict[str, dict[str, Any]]:
    """Mean and spread of each of several quantities."""
    mean = {key: float(np.mean([row[key] for row in rows])) for key in keys}
    if len(rows) == 1:
        return {"mean": mean, "std": dict.fromkeys(keys)}
    return {"mean": mean, "std": {k: float(np.std([row[k] for row in rows], ddof=1)) for k in keys}}
