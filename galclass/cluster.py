"""Ray: where the work of :mod:`galclass.prediction.survey` and :mod:`galclass.studies` is done.

Ray carries names and numbers: images and results are on a path that all machines share.
"""

import functools
import itertools
import logging
import os
import pickle
import socket
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, TypeAlias

from .data.arrays import check_integer
from .errors import DownloadError, MissingPackageError, ParameterError, RunError
from .files import quiet

Engine: TypeAlias = Literal["local", "ray"]
Call: TypeAlias = Callable[..., Any]
Record: TypeAlias = dict[str, Any]

# Not for ever: a process may die because it needs more memory than there is.
RETRIES = 20


def check_engine(engine: str, address: str | None = None, workers: int | None = None) -> None:
    """Raise an error for what is no engine, not its setting or not installed."""
    if engine not in ("local", "ray"):
        raise ParameterError(f"engine={engine!r}, expected 'local' or 'ray'")
    if engine == "local":
        if (address, workers) != (None, None):
            raise ParameterError("address and workers are Ray's; give engine='ray' with them")
        return
    if workers is not None:
        check_integer(workers, "workers", 1)
    try:
        import ray  # noqa: F401
    except ImportError as error:
        raise MissingPackageError(f"engine 'ray': {error}; pip install 'galclass[ray]'") from error


@contextmanager
def cluster(address: str | None = None) -> Iterator[None]:
    """Connect to a Ray cluster, or start Ray on this machine, for the time of the block.

    Parameters
    ----------
    address : str, optional
        ``HOST:PORT``. Default: that of ``RAY_ADDRESS``, else Ray is started here without its
        dashboard. A connection that this process has already is used and left.

    Raises
    ------
    ParameterError, DownloadError
        The address has no such form, or no cluster answers there.
    """
    import ray

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # What goes wrong is raised in Python.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    if ray.is_initialized():
        yield
        return
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    options = {"include_dashboard": False} if address == "local" else {}
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        if host:  # Ray itself would try for many minutes.
            socket.create_connection((host.strip("[]"), port), timeout=10).close()
        with quiet():  # It writes that it reads the variable above.
            ray.init(address, logging_level=logging.ERROR, log_to_driver=False, **options)
    except OSError as error:
        if address == "local":
            raise
        raise DownloadError(
            f"no Ray cluster answers at {address}; start one (ray start --head), or leave the "
            "address out to start Ray on this machine"
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


def choose_precision(precision: Any) -> Any:
    """As :func:`galclass.network.hardware.choose_precision`, on a machine of the cluster."""
    import ray

    from .network.hardware import choose_precision

    return _get(ray.remote(**_worker_options())(choose_precision).remote(precision))


def map_with(
    worker: type, settings: Record, items: list[Any], each: Call, engine: str, workers: int | None
) -> None:
    """Apply a callable object to items, with Ray in any order; each process makes it once.

    When a process dies, its item is done again: this must be harmless.

    Parameters
    ----------
    worker, settings, items : class, dict and list
        Of the object, and the arguments that make it; with Ray, ``threads`` is added, its CPUs.
    each : callable
        Called here with what is returned for an item; what is raised is raised here.
    engine : {"local", "ray"}
    workers : int or None
        Processes of Ray, at most. None: one a CPU of the cluster, or one a GPU if it has any.
    """
    if engine == "local":
        for result in map(worker(**settings), items):
            each(result)
        return
    cpus, gpus = _cpus_and_gpus()
    options = _worker_options()
    # Made anew for each call, as files that the settings name may have changed since another one.
    made = pickle.dumps((worker, settings | {"threads": options["num_cpus"]}, uuid.uuid4()))
    # More than there are, so that none is idle between two items; 0: processes are used again.
    at_once = workers or 2 * (gpus or cpus or 1)
    tasks = [{"item": item} for item in items]
    _run(_apply, tasks, {"made": made}, each, at_once, max_calls=0, **options)


@functools.lru_cache(maxsize=1)
def _make(made: bytes) -> Call:
    """The object of a process."""
    worker, settings, _ = pickle.loads(made)
    return worker(**settings)


def _apply(made: bytes, item: Any) -> Any:
    return _make(made)(item)


def run_tasks(function: Call, tasks: list[Record], each: Call, **shared: Any) -> None:
    """Call a function for each task in a process of the cluster, and again if that dies.

    Parameters
    ----------
    function : callable
        At the top of a module.
    tasks : list of dict
        Arguments of the calls; `shared` ones are the same for all, and stored once on a machine.
    each : callable
        Called here with what a call returns, as it ends; what is raised is raised here.
    """
    import ray

    from .network.hardware import count_threads

    largest = max(node["Resources"].get("CPU", 1) for node in ray.nodes() if node["Alive"])
    # The last bits of the weights depend on the threads, not on the CPUs that they run on.
    options = _options(min(4, largest), TF_NUM_INTRAOP_THREADS=count_threads())
    _run(function, tasks, shared, each, len(tasks), **options)


def _run(
    function: Call, tasks: list[Record], shared: Record, each: Call, at_once: int, **options: Any
) -> None:
    """Call a function for each task, so many at once; whatever ends this ends them all."""
    import ray

    task = ray.remote(max_retries=RETRIES, **options)(function)
    shared = {name: ray.put(value) for name, value in shared.items()}
    left, waiting = iter(tasks), list[Any]()
    try:
        while True:
            more = itertools.islice(left, at_once - len(waiting))
            waiting.extend(task.remote(**one, **shared) for one in more)
            if not waiting:
                return
            (ready,), waiting = ray.wait(waiting)
            each(_get(ready))
    finally:  # Killed, as an interrupt would leave modules half imported for the next task.
        for one in waiting:
            ray.cancel(one, force=True)
        if waiting:
            ray.wait(waiting, num_returns=len(waiting), timeout=60)


def _worker_options() -> dict[str, Any]:
    """What a process that predicts takes: a CPU, or a GPU with its share of the CPUs."""
    cpus, gpus = _cpus_and_gpus()
    cpus = max(1, cpus // gpus) if gpus else 1
    # More threads than CPUs would hinder the other workers of a machine.
    return _options(cpus, TF_NUM_INTRAOP_THREADS=cpus, TF_NUM_INTEROP_THREADS=cpus)


def _options(cpus: int, **variables: Any) -> dict[str, Any]:
    """Ray's options for a process; TensorFlow reads the variables once, when it is imported."""
    variables = {"TF_CPP_MIN_LOG_LEVEL": 2, "KERAS_BACKEND": "tensorflow", **variables}
    # Processes that are used again may meet on a GPU.
    variables["TF_FORCE_GPU_ALLOW_GROWTH"] = "true"
    return {
        "num_cpus": cpus,
        "num_gpus": min(1, _cpus_and_gpus()[1]),
        "runtime_env": {"env_vars": {name: str(value) for name, value in variables.items()}},
    }


def _cpus_and_gpus() -> list[int]:
    from ray import cluster_resources

    return [int(cluster_resources().get(kind, 0)) for kind in ("CPU", "GPU")]


def _get(tasks: Any) -> Any:
    """What tasks return; what they raise is raised as if they had been called here."""
    from ray import exceptions, get

    try:
        return get(tasks)
    except exceptions.RayTaskError as error:
        raise error.cause from None
    except (exceptions.WorkerCrashedError, exceptions.OutOfMemoryError) as error:
        reason = " ".join(str(error).split())[:200]
        raise RunError(
            f"a process of the cluster ended too often: {reason}; give fewer workers if memory is "
            "short, and the same call again to resume"
        ) from error
