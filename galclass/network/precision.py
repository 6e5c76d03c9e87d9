"""The hardware that the network runs on: device, precision, threads and versions."""

import functools
import math
import os
import platform
import timeit
from typing import Any, get_args

import numpy as np

from ..errors import ParameterError
from ._tensorflow import keras, tf
from .options import Precision


def choose_precision(precision: Precision = "auto") -> Precision:
    """Resolve ``"auto"`` to the fastest safe precision of this machine.

    bfloat16 on GPUs of compute capability 8 and above, and on CPUs if it is measured to be faster
    for a small convolution with its gradients (once per process); float16 on GPUs of capability 7
    (Colab's T4); otherwise float32.

    Parameters
    ----------
    precision : {"auto", "float32", "bfloat16", "float16"}

    Returns
    -------
    str
        "float32", "bfloat16" or "float16".

    Raises
    ------
    ParameterError
        Unknown precision.
    """
    if precision not in get_args(Precision):
        raise ParameterError(
            f"unknown precision {precision!r}, expected one of {get_args(Precision)}"
        )
    if precision != "auto":
        return precision
    return _choose()[0]


def explain_precision(precision: Precision) -> str:
    """Return the reason of :func:`choose_precision`, for the manifest."""
    if precision != "auto":
        return "asked for"
    return _choose()[1]


def describe_device() -> str:
    """Return the name of the first GPU, or the type of the CPU, for the manifest."""
    details = _gpu_details()
    if details is None:
        return f"CPU {platform.machine()}"
    return f"GPU {details['device_name']}"


def count_threads() -> int:
    """Return the number of threads of one operation.

    TensorFlow's setting; without it, the variable ``TF_NUM_INTRAOP_THREADS``; without both, the
    number of CPUs that this process may use.
    """
    chosen = tf.config.threading.get_intra_op_parallelism_threads()
    if chosen:
        return chosen
    variable = os.environ.get("TF_NUM_INTRAOP_THREADS", "")
    if variable.isdigit() and int(variable):
        return int(variable)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that change the last bits of a result."""
    return {
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "numpy": np.__version__,
    }


def _gpu_details() -> dict[str, Any] | None:
    """Return TensorFlow's description of the first GPU, None if there is no GPU."""
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return None
    return {"device_name": "unknown", **tf.config.experimental.get_device_details(gpus[0])}


@functools.cache
def _choose() -> tuple[Precision, str]:
    """Return the precision for ``"auto"`` and the reason."""
    details = _gpu_details()
    if details is not None:
        major, minor = details.get("compute_capability", (0, 0))
        reason = f"GPU of compute capability {major}.{minor}"
        if major >= 8:
            return "bfloat16", reason
        if major == 7:
            return "float16", reason
        return "float32", reason
    # Measured, because the flags of a CPU do not show if TensorFlow's oneDNN uses bfloat16.
    half = _time_convolution("bfloat16")
    full = _time_convolution("float32")
    reason = (
        f"a convolution with its gradients took {1000 * half:.1f} ms in bfloat16, "
        f"{1000 * full:.1f} in float32"
    )
    # The margin keeps float32 if the two differ by less than the clock's noise.
    if half < 0.8 * full:
        return "bfloat16", reason
    return "float32", reason


def _time_convolution(dtype: str) -> float:
    """Return the shortest time of a convolution with its gradients; infinity if it fails.

    The gradients matter: with AVX2 alone they take ten times as long in bfloat16, although the
    convolution itself takes as long as in float32.
    """
    images = tf.ones((4, 34, 34, 64), dtype)
    kernel = tf.ones((3, 3, 64, 64), dtype)

    @tf.function
    def convolve() -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch([images, kernel])
            maps = tf.nn.conv2d(images, kernel, 1, "VALID")
        return [maps, *tape.gradient(maps, [images, kernel])]

    try:
        # numpy() waits for the result.
        return min(timeit.repeat(lambda: convolve()[-1].numpy(), number=1, repeat=5))
    except tf.errors.OpError:
        return math.inf
