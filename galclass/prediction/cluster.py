"""Ray, on which surveys and studies can run on several processes and machines.

Ray carries names and numbers only: images and results are on a disk that all machines share.
"""

import functools
import itertools
import logging
import os
import pickle
import socket
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, TypeAlias

from ..data.arrays import check_integer
from ..errors import DownloadError, MissingPackageError, ParameterError, RunError
from ..files import quiet
from ..network.options import Precision

Engine: TypeAlias = Literal["local", "ray"]

# A process that runs out of memory dies on every attempt, so the number of attempts is limited.
RETRIES = 20
CONNECTION_TIMEOUT = 10  # seconds
STOP_TIMEOUT = 60  # seconds
STUDY_CPUS = 4  # CPUs of a process that trains


def check_engine(engine: str, address: str | None = None, workers: int | None = None) -> None:
    """Validate the engine and its options.

    Raises
    ------
    ParameterError, MissingPackageError
        The engine is unknown, an option is invalid or of the other engine, or Ray is not
        installed.
    """
    if engine not in ("local", "ray"):
        raise ParameterError(f"engine={engine!r}, expected 'local' or 'ray'")
    if engine == "local":
        if address is not None or workers is not None:
            raise ParameterError(
                f"address={address!r}, workers={workers!r} are options of Ray; give engine='ray' "
                "with them"
            )
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

    A connection that this process has already is used and left open.

    Parameters
    ----------
    address : str, optional
        ``HOST:PORT``. Default: the environment variable ``RAY_ADDRESS``; without it, Ray is started
        on this machine, without its dashboard.

    Raises
    ------
    DownloadError
        No cluster answers at the address.
    """
    import ray

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Errors are raised in Python; Ray's C++ part would also write them.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    if ray.is_initialized():
        yield
        return
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    options = {}
    if address == "local":
        options["include_dashboard"] = False
    try:
        _check_answer(address)
        with quiet():  # Ray prints a line about RAY_ADDRESS.
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


def _check_answer(address: str) -> None:
    """Raise an OSError if nothing answers; Ray itself would try for many minutes."""
    if address == "local":
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host:  # "auto", for example, has no host.
        socket.create_connection((host.strip("[]"), port), timeout=CONNECTION_TIMEOUT).close()


def choose_cluster_precision() -> Precision:
    """Return the fastest safe precision of a machine of the cluster."""
    import ray

    from ..network.precision import choose_precision

    choose_remotely = ray.remote(**_worker_options())(choose_precision)
    return _get(choose_remotely.remote("auto"))


def map_with(
    worker_class: type,
    settings: dict[str, Any],
    items: Sequence[Any],
    on_result: Callable[[Any], Any],
    engine: Engine,
    max_workers: int | None,
) -> None:
    """Apply a callable object to items; every process makes the object once.

    With Ray, the items are done in any order. If a process dies, its item is repeated, so that a
    repetition must do no harm.

    Parameters
    ----------
    worker_class : class
        Class of the object.
    settings : dict
        Its arguments. With Ray, ``threads`` is added: the number of CPUs of a process.
    items : sequence
    on_result : callable
        Called here with each result. Errors of the object are raised here.
    engine : {"local", "ray"}
    max_workers : int or None
        Largest number of Ray workers. None: one per CPU of the cluster, or one per GPU if it has
        any.
    """
    if engine == "local":
        for result in map(worker_class(**settings), items):
            on_result(result)
        return
    cpus, gpus = _count_cpus_and_gpus()
    options = _worker_options()
    settings = {**settings, "threads": options["num_cpus"]}
    # The random id defeats the cache of _unpack, so that each call loads the run again.
    packed = pickle.dumps((worker_class, settings, uuid.uuid4()))
    at_once = max_workers
    if at_once is None:
        # Two tasks per process, so that a process need not wait for its next item.
        at_once = 2 * (gpus or cpus or 1)
    tasks = [{"item": item} for item in items]
    # max_calls=0: Ray keeps a process after a task instead of starting a new one.
    _run(_apply, tasks, {"packed": packed}, on_result, at_once, max_calls=0, **options)


def _apply(packed: bytes, item: Any) -> Any:
    return _unpack(packed)(item)


@functools.lru_cache(maxsize=1)
def _unpack(packed: bytes) -> Callable[[Any], Any]:
    """Make the object of a process."""
    worker_class, settings, _ = pickle.loads(packed)
    return worker_class(**settings)


def run_tasks(
    function: Callable[..., Any],
    tasks: Sequence[dict[str, Any]],
    on_result: Callable[[Any], Any],
    **shared: Any,
) -> None:
    """Call a function for each task in a process of the cluster; repeat it if the process dies.

    Parameters
    ----------
    function : callable
        A function defined at module level, so that Ray can pickle it.
    tasks : sequence of dict
        Keyword arguments of each call.
    on_result : callable
        Called here with the result of each call when it ends. Errors are raised here.
    **shared
        Keyword arguments of all calls, which Ray stores once per machine.
    """
    import ray

    from ..network.precision import count_threads

    cpus = max(node["Resources"].get("CPU", 1) for node in ray.nodes() if node["Alive"])
    # Use as many threads as a local training, so that the weights are the same bit for bit.
    options = _process_options(min(STUDY_CPUS, cpus), TF_NUM_INTRAOP_THREADS=count_threads())
    _run(function, tasks, shared, on_result, len(tasks), **options)


def _run(
    function: Callable[..., Any],
    tasks: Iterable[dict[str, Any]],
    shared: dict[str, Any],
    on_result: Callable[[Any], Any],
    at_once: int,
    **options: Any,
) -> None:
    """Call a function for each task, `at_once` of them at a time; an error stops all calls."""
    import ray

    remote = ray.remote(max_retries=RETRIES, **options)(function)
    stored = {name: ray.put(value) for name, value in shared.items()}
    left = iter(tasks)
    waiting: list[Any] = []
    try:
        while True:
            for task in itertools.islice(left, at_once - len(waiting)):
                waiting.append(remote.remote(**task, **stored))
            if not waiting:
                return
            ready, waiting = ray.wait(waiting)
            on_result(_get(ready[0]))
    finally:
        # force=True kills the process; an interrupted one could be used again with half-imported
        # modules.
        for call in waiting:
            ray.cancel(call, force=True)
        if waiting:
            ray.wait(waiting, num_returns=len(waiting), timeout=STOP_TIMEOUT)


def _worker_options() -> dict[str, Any]:
    """Return Ray's options for a process that predicts: a CPU, or a GPU with its share of CPUs."""
    cpus, gpus = _count_cpus_and_gpus()
    share = 1
    if gpus:
        share = max(1, cpus // gpus)
    # More threads than CPUs would slow the other processes of the machine down.
    return _process_options(share, TF_NUM_INTRAOP_THREADS=share, TF_NUM_INTEROP_THREADS=share)


def _process_options(cpus: int, **variables: Any) -> dict[str, Any]:
    """Return Ray's options for a process; TensorFlow reads the environment when it is imported."""
    _, gpus = _count_cpus_and_gpus()
    environment = {
        "TF_CPP_MIN_LOG_LEVEL": 2,
        "KERAS_BACKEND": "tensorflow",
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",  # Processes that are used again may share a GPU.
        **variables,
    }
    return {
        "num_cpus": cpus,
        "num_gpus": min(1, gpus),
        "runtime_env": {"env_vars": {name: str(value) for name, value in environment.items()}},
    }


def _count_cpus_and_gpus() -> tuple[int, int]:
    import ray

    resources = ray.cluster_resources()
    return int(resources.get("CPU", 0)), int(resources.get("GPU", 0))


def _get(call: Any) -> Any:
    """Return the result of a call; raise its error as if it had been raised here."""
    import ray
    from ray import exceptions

    try:
        return ray.get(call)
    except exceptions.RayTaskError as error:
        raise error.cause from None
    except (exceptions.WorkerCrashedError, exceptions.OutOfMemoryError) as error:
        reason = " ".join(str(error).split())[:200]
        raise RunError(
            f"a process of the cluster died too often: {reason}; give fewer workers if memory is "
            "short, and repeat the call to resume"
        ) from error
