"""What the network runs on: device, precision, threads and versions."""

import functools
import math
import os
import platform
import timeit
from typing import Any, Literal, TypeAlias, get_args

import numpy as np

from ..errors import ParameterError
from ._tensorflow import keras, tf

Precision: TypeAlias = Literal["auto", "float32", "bfloat16", "float16"]


def choose_precision(precision: Precision = "auto") -> Precision:
    """Resolve ``"auto"`` to what is fastest and safe on the machine at hand.

    bfloat16 on GPUs of compute capability 8 and above, and on CPUs where a small convolution and
    its gradients are faster in it (measured once a process); float16 on GPUs of capability 7
    (Colab's T4); else float32.

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
    return _best()[0] if precision == "auto" else precision


def explain_precision(precision: Precision) -> str:
    """Why :func:`choose_precision` takes what it does, as a manifest records it."""
    return _best()[1] if precision == "auto" else "asked for"


def describe_device() -> str:
    """The first GPU, else the CPU, as a manifest records it."""
    if details := _gpu():
        return f"GPU {details.get('device_name', 'unknown')}"
    return f"CPU {platform.machine()}"


def count_threads() -> int:
    """Threads of one operation: what TensorFlow was set to, else the CPUs of this process."""
    variable = os.environ.get("TF_NUM_INTRAOP_THREADS", "")
    chosen = tf.config.threading.get_intra_op_parallelism_threads()
    chosen = chosen or (int(variable) if variable.isdigit() else 0)
    allowed = getattr(os, "sched_getaffinity", lambda _: range(os.cpu_count() or 1))(0)
    return chosen or len(allowed)


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that the last bits of a result depend on."""
    return {
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "numpy": np.__version__,
    }


def _gpu() -> dict[str, Any]:
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return {}
    return {"device_name": "unknown", **tf.config.experimental.get_device_details(gpus[0])}


@functools.cache
def _best() -> tuple[Precision, str]:
    if details := _gpu():
        major, minor = details.get("compute_capability", (0, 0))
        reason = f"GPU of compute capability {major}.{minor}"
        return "bfloat16" if major >= 8 else "float16" if major == 7 else "float32", reason
    # Measured, since a processor's flags do not tell whether oneDNN is on and may use them. The
    # margin keeps float32 where the two differ by less than the clock does.
    half, full = _seconds("bfloat16"), _seconds("float32")
    took = f"{1000 * half:.1f} ms in bfloat16, {1000 * full:.1f} in float32"
    reason = f"a convolution with its gradients took {took}"
    return "bfloat16" if half < 0.8 * full else "float32", reason


def _seconds(dtype: str) -> float:
    """Least time of a convolution such as the network's first ones, infinite where it fails.

    With its gradients: with AVX2 alone they take ten times as long in bfloat16, while the
    convolution itself takes as long as in float32.
    """
    images, kernel = tf.ones((4, 34, 34, 64), dtype), tf.ones((3, 3, 64, 64), dtype)

    @tf.function
    def convolve() -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch([images, kernel])
            maps = tf.nn.conv2d(images, kernel, 1, "VALID")
        return [maps, *tape.gradient(maps, [images, kernel])]

    try:
        return min(timeit.repeat(lambda: convolve()[-1].numpy(), number=1, repeat=5))
    except tf.errors.OpError:
        return math.inf
