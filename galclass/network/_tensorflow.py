"""Import TensorFlow and Keras without their messages.

TensorFlow writes about missing GPUs and about oneDNN to the standard error of the process before
its own log settings apply (https://github.com/tensorflow/tensorflow/issues/100442); a notebook
shows these messages in red.
"""

import contextlib
import os

from ..errors import MissingPackageError
from ..files import quiet

# The sums of an operation are split among its threads, so that the last bits of a result depend
# on their number: a fixed number gives the same weights on machines with other numbers of cores.
# Four threads cost about 5 % on two cores. TensorFlow's variable TF_NUM_INTRAOP_THREADS sets
# another number.
THREADS = 4
WRONG_BACKEND = (
    "Keras uses the backend {!r}, expected 'tensorflow'; set the environment variable "
    "KERAS_BACKEND=tensorflow before Keras is imported"
)

backend = os.environ.get("KERAS_BACKEND", "tensorflow")
if backend != "tensorflow":
    raise MissingPackageError(WRONG_BACKEND.format(backend))
with quiet():
    import keras
    import tensorflow as tf

    tf.config.list_physical_devices()
    threads_are_set = (
        os.environ.get("TF_NUM_INTRAOP_THREADS")
        or tf.config.threading.get_intra_op_parallelism_threads()
    )
    if not threads_are_set:
        with contextlib.suppress(RuntimeError):  # Too late if TensorFlow is in use already.
            tf.config.threading.set_intra_op_parallelism_threads(THREADS)

if keras.backend.backend() != "tensorflow":
    raise MissingPackageError(WRONG_BACKEND.format(keras.backend.backend()))

__all__ = ["keras", "tf"]
