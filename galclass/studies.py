"""Train a recipe with several seeds or folds: the spread of the metrics, and the ensemble."""

import os
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Table
from numpy.typing import ArrayLike, NDArray

from .data.arrays import check_integer
from .data.dataset import Origin
from .errors import ParameterError, RunError
from .evaluation.calibration import calibration_of
from .evaluation.evaluate import evaluate
from .evaluation.metrics import HEADLINE, compute_metrics
from .files import PathLike, write_json, write_npz
from .prediction import cluster
from .prediction.table import write_table
from .run import Run, load_run

# Settings passed on to train; the study sets all others itself.
SETTINGS = ("class_names", "recipe", "epochs", "split", "precision", "start")
DEFAULT_SEEDS = 5


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
    """Train a recipe several times; compute the spread of the metrics, and the ensemble.

    A study that was stopped resumes when it is called again; finished runs are not trained again.

    With `folds`, the probabilities that each galaxy gets from networks that were not trained on it
    are written into `out`: ``out_of_fold.npz`` with the arrays ``index`` (row in the data,
    ascending), ``label`` and ``probabilities`` (float32, shape (n, classes), calibrated), and the
    same as a table, ``out_of_fold.ecsv``. A galaxy in a fold was predicted by the network that was
    validated on this fold; a galaxy in the test set gets the mean of all networks. A class with
    one or two galaxies is only trained on, so its galaxies are not in these files.

    Parameters
    ----------
    images : ndarray of uint8, shape (N, s, s, 3)
    labels : ndarray of int, shape (N,)
    origin : Origin, optional
        Where the galaxies came from; see :func:`galclass.train`.
    out : path-like
        Folder for the runs ``seed-0``, ``seed-1``, ... or ``fold-1``, ``fold-2``, ... and for
        ``study.json``. If Ray runs on several machines, they must share it.
    seeds : int, optional
        Number of seeds: 0, 1, ... Default: 5 if `folds` is not given.
    folds : int, optional
        Cross-validate instead: divide the galaxies that are not in the test set into this many
        folds, and train one run per fold, with this fold as its validation set; see
        :func:`galclass.split`. All runs have seed 0 and the test set of the stratified split.
    engine : {"local", "ray"}
        Where to train: one run after the other in this process, or on a Ray cluster, with up to
        four CPUs or one GPU per run. If a worker dies, its run resumes from its checkpoint on
        another one.
    address : str, optional
        Address of the Ray cluster, see :func:`galclass.prediction.cluster.cluster`.
    verbose : bool, default True
        Print one line per epoch; with Ray, one line per run.
    **settings
        Settings of :func:`galclass.train`: class_names, recipe, epochs, split, precision, start.

    Returns
    -------
    dict
        See :func:`galclass.studies.summarise`; ``study.json`` has the same content.

    Raises
    ------
    ParameterError
        `seeds` is less than 1 or `folds` is less than 2, both are given, `split` is given with
        `folds`, or `out` holds runs of the other kind.
    DataError, RunError
        See :func:`galclass.train`.
    MissingPackageError
        Ray is not installed.

    Warns
    -----
    UserWarning
        The runs start from a network that may know these galaxies, so that the out-of-fold
        probabilities are not written.

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
    tasks = _list_trainings(out, seeds, folds, settings)
    dataset = (images, labels, origin)
    if engine == "local":
        for task in tasks:
            _train_and_evaluate(dataset, verbose=verbose, **task)
    else:

        def report(line: str) -> None:
            if verbose:
                print(line, flush=True)

        with cluster.cluster(address):
            cluster.run_tasks(_train_and_evaluate, tasks, report, dataset=dataset)
    runs = [load_run(task["out"]) for task in tasks]
    summary = summarise(runs)
    write_json(out / "study.json", summary)
    if folds is not None:
        _write_out_of_fold(out, runs)
    return summary


def _list_trainings(
    out: Path, seeds: int | None, folds: int | None, settings: dict[str, Any]
) -> list[dict[str, Any]]:
    """Return the arguments of each training of a study."""
    if unknown := settings.keys() - SETTINGS:
        raise ParameterError(f"unknown {sorted(unknown)}, expected settings of {SETTINGS}")
    if folds is None:
        if seeds is None:
            seeds = DEFAULT_SEEDS
        number = check_integer(seeds, "seeds", 1)
        _refuse_other_study(out, other="fold")
        return [{"out": out / f"seed-{k}", "seed": k, **settings} for k in range(number)]
    if seeds is not None or "split" in settings:
        raise ParameterError("folds given with seeds or split, expected one of them")
    number = check_integer(folds, "folds", 2)
    _refuse_other_study(out, other="seed")
    return [
        {"out": out / f"fold-{k}", "split": f"fold-{k}-of-{number}", **settings}
        for k in range(1, number + 1)
    ]


def _refuse_other_study(out: Path, other: str) -> None:
    if any(out.glob(f"{other}-*")):
        raise ParameterError(
            f"{out} holds a study of {other}s, expected the other kind; give another folder"
        )


def _train_and_evaluate(
    dataset: tuple[Any, Any, Any], *, out: Path, verbose: bool = False, **settings: Any
) -> str:
    """Train and evaluate a run, or do what is left of it; return a line to print."""
    from .training.train import train

    run = train(*dataset, out=out, resume=True, verbose=verbose, **settings)
    if not run.is_evaluated:
        evaluate(run, *dataset)
    return f"{run.path.name} is trained and evaluated"


def load_study(path: PathLike) -> list[Run]:
    """Open the runs of a study, in the order of their seeds or folds.

    Parameters
    ----------
    path : path-like
        The folder of the study.

    Raises
    ------
    RunError
        `path` does not hold a study.
    """
    path = Path(path).expanduser()
    folders = {}
    for folder in path.glob("*-*"):
        match = re.fullmatch(r"(?:seed|fold)-(\d+)", folder.name)
        if match:
            number = int(match[1])
            folders[number] = folder
    if not folders:
        raise RunError(f"no study in {path}; make one with: galclass study --out {path}")
    return [load_run(folders[number]) for number in sorted(folders)]


def summarise(runs: list[Run]) -> dict[str, Any]:
    """Compute the mean and the spread of test metrics, and the metrics of the ensemble.

    Parameters
    ----------
    runs : list of galclass.run.Run
        Evaluated runs with the same test galaxies.

    Returns
    -------
    dict
        ``recipe_name`` and ``origin``; ``seeds`` and ``splits`` of the runs; ``galaxies`` in the
        test set; ``mean``, ``std`` (sample standard deviation over the runs, None for a single
        run) and ``ensemble``, each with the metrics in
        :data:`galclass.evaluation.metrics.HEADLINE` that are defined for all runs; and
        ``val_accuracy``, the mean and the standard deviation of the best validation accuracies.
        The ensemble predicts the mean of the calibrated probabilities of the runs.

    Raises
    ------
    ParameterError
        The runs have different test galaxies.
    RunError
        A run is not evaluated.
    """
    first = runs[0]
    labels = first.predictions["labels"]
    for run in runs[1:]:
        if not np.array_equal(run.predictions["indices"], first.predictions["indices"]):
            raise ParameterError(
                f"{run.path.name} has other test galaxies than {first.path.name}; compare runs on "
                "the same data and split"
            )
    metrics = [run.metrics for run in runs]
    keys = [key for key in HEADLINE if all(row.get(key) is not None for row in metrics)]
    ensemble = compute_metrics(labels, _ensemble_probabilities(runs), first.class_names)
    best = [run.history["val_accuracy"].max() for run in runs]
    return {
        "recipe_name": first.manifest["recipe_name"],
        "origin": first.manifest["origin"],
        "seeds": [run.manifest["seed"] for run in runs],
        "splits": [run.manifest["split"]["protocol"] for run in runs],
        "galaxies": len(labels),
        "mean": {key: _mean([row[key] for row in metrics]) for key in keys},
        "std": {key: _deviation([row[key] for row in metrics]) for key in keys},
        "ensemble": {key: ensemble[key] for key in keys},
        "val_accuracy": {"mean": _mean(best), "std": _deviation(best)},
    }


def _ensemble_probabilities(runs: list[Run]) -> NDArray[np.float32]:
    """Return the mean of the calibrated probabilities of the test set."""
    calibrated = [calibration_of(run).apply(run.predictions["probabilities"]) for run in runs]
    return np.mean(calibrated, axis=0)


def _mean(values: list[float]) -> float:
    return float(np.mean(values))


def _deviation(values: list[float]) -> float | None:
    if len(values) == 1:
        return None
    return float(np.std(values, ddof=1))


def _write_out_of_fold(out: Path, runs: list[Run]) -> None:
    """Write the out-of-fold probabilities as arrays and as a table."""
    if any(_may_know_its_galaxies(run) for run in runs):
        warnings.warn(
            "the runs started from a network that may know these galaxies: no out_of_fold.npz and "
            "no out_of_fold.ecsv are written",
            stacklevel=3,
        )
        return
    pooled = _pool_out_of_fold(runs)
    write_npz(out / "out_of_fold.npz", **pooled)
    class_names = np.array(runs[0].class_names)
    table = Table(
        {
            "index": pooled["index"],
            "label": pooled["label"],
            "label_name": class_names[pooled["label"]],
        }
    )
    for c in range(len(class_names)):
        table[f"p{c}"] = pooled["probabilities"][:, c]
    table["index"].description = "row of the galaxy in the data, from 0"
    table["label"].description = "class in the data, from 0"
    table.meta["origin"] = str(runs[0].origin)
    write_table(table, out / "out_of_fold.ecsv", overwrite=True)


def _may_know_its_galaxies(run: Run) -> bool:
    """Return True if the network that a run started from may have seen the run's galaxies."""
    start = run.manifest["start"]
    if start is None:
        return False
    if run.origin.simulated:
        return True
    started_from_random_weights = start["start"] is None
    return not (started_from_random_weights and Origin.from_record(start["origin"]).simulated)


def _pool_out_of_fold(runs: list[Run]) -> dict[str, NDArray[Any]]:
    """Return index, label and probabilities of all galaxies in folds and the test set."""
    test = runs[0].predictions
    indices = [test["indices"]]
    labels = [test["labels"]]
    probabilities = [_ensemble_probabilities(runs)]
    for run in runs:
        fold = run.validation
        indices.append(fold["indices"])
        labels.append(fold["labels"])
        probabilities.append(calibration_of(run).apply(fold["probabilities"]))
    index = np.concatenate(indices)
    order = np.argsort(index)
    return {
        "index": index[order],
        "label": np.concatenate(labels)[order],
        "probabilities": np.concatenate(probabilities)[order].astype(np.float32),
    }
