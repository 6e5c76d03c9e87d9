"""Ray: where the work of :mod:`galclass.prediction.survey` and :mod:`galclass.studies` is done.

Ray carries names and numbers: images and results are on a path that all machines share.
"""

import functools
import logging
import os
import pickle
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, TypeAlias

from .data.arrays import check_integer
from .errors import DownloadError, MissingPackageError, ParameterError
from .files import quiet

Engine: TypeAlias = Literal["local", "ray"]


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
        import ray.data  # noqa: F401
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
    # Else it writes pages on each of Ray Data's actors; what goes wrong is raised in Python.
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
    worker: type, settings: dict[str, Any], items: list[Any], *, workers: int | None = None
) -> Iterator[Any]:
    """Apply a callable object to items, in any order; each process makes its object once.

    When a worker dies, its items are done again: this must be harmless.

    Parameters
    ----------
    worker, settings, items : class, dict and list
        Of the object, and the arguments that make it; ``threads`` is added, its CPUs.
    workers : int, optional
        Processes, at most. Default: one a CPU of the cluster, or one a GPU if it has any.

    Yields
    ------
    object
        What is returned for an item; what is raised is raised here.
    """
    from ray.data import ActorPoolStrategy, DataContext, from_items

    options = _worker_options()
    workers = workers or max(1, _cpus_and_gpus()[options["num_gpus"]])
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    DataContext.get_current().enable_progress_bars = False
    # Many blocks, so that all workers end together; bytes, as Ray Data would look into an item.
    rows = [{"item": pickle.dumps(item)} for item in items]
    data = from_items(rows, override_num_blocks=min(len(items), 64 * workers))
    pool = ActorPoolStrategy(min_size=1, max_size=workers, initial_size=workers)
    arguments = worker, settings | {"threads": options["num_cpus"]}
    options |= {"compute": pool, "fn_constructor_args": arguments}
    for row in data.map_batches(_Worker, batch_size=1, **options).iter_rows():
        result = pickle.loads(row["result"])
        if isinstance(result, Exception):
            raise result
        yield result


class _Worker:
    """An object in a process of Ray Data, which makes it when it is first called."""

    def __init__(self, worker: type, settings: dict[str, Any]) -> None:
        self.make = functools.cache(functools.partial(worker, **settings))

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        (item,) = batch["item"]
        try:
            result = self.make()(pickle.loads(item))
        except Exception as error:  # Raised by map_with; Ray Data would pass on its text alone.
            result = error
        return {"result": [pickle.dumps(result)]}


def run_tasks(
    function: Callable[..., Any], tasks: list[dict[str, Any]], **shared: Any
) -> Iterator[Any]:
    """Call a function for each task in a process of its own, and again if that dies.

    Parameters
    ----------
    function : callable
        At the top of a module.
    tasks : list of dict
        Arguments of the calls; `shared` ones are the same for all, and stored once on a machine.

    Yields
    ------
    object
        What a call returns, as it ends.
    """
    import ray

    from .network.hardware import count_threads

    largest = max(node["Resources"].get("CPU", 1) for node in ray.nodes() if node["Alive"])
    # The last bits of the weights depend on the threads, not on the CPUs that they run on.
    options = _options(min(4, largest), TF_NUM_INTRAOP_THREADS=count_threads())
    # Not for ever: a worker may die because it needs more memory than there is.
    task = ray.remote(max_retries=20, **options)(function)
    shared = {name: ray.put(value) for name, value in shared.items()}
    waiting = [task.remote(**one, **shared) for one in tasks]
    while waiting:
        ready, waiting = ray.wait(waiting)
        yield from _get(ready)


def _worker_options() -> dict[str, Any]:
    """What a process that predicts takes: a CPU, or a GPU with its share of the CPUs."""
    cpus, gpus = _cpus_and_gpus()
    cpus = max(1, cpus // gpus) if gpus else 1
    # More threads than CPUs would hinder the other workers of a machine.
    return _options(cpus, TF_NUM_INTRAOP_THREADS=cpus, TF_NUM_INTEROP_THREADS=cpus)


def _options(cpus: int, **variables: Any) -> dict[str, Any]:
    """Ray's options for a process; TensorFlow reads the variables once, when it is imported."""
    variables = {"TF_CPP_MIN_LOG_LEVEL": 2, "KERAS_BACKEND": "tensorflow", **variables}
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
