"""TensorFlow and Keras, imported without the page of notes that they print.

TensorFlow writes about missing GPUs and about oneDNN to the process's standard error before its
own log settings apply (https://github.com/tensorflow/tensorflow/issues/100442); a notebook shows
that in red.
"""

import contextlib
import os

from ..errors import MissingPackageError
from ..files import quiet

# Sums are split among the threads of an operation, so that the last bits of a result depend on
# their number: a fixed one gives the same weights on machines with other numbers of cores. Four
# costs about 5 % on two cores. TensorFlow's variable TF_NUM_INTRAOP_THREADS chooses another.
THREADS = 4
WRONG = (
    "Keras runs on {!r}, galclass needs 'tensorflow'; set the environment variable "
    "KERAS_BACKEND=tensorflow before Keras is imported"
)

if os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow":
    raise MissingPackageError(WRONG.format(os.environ["KERAS_BACKEND"]))
with quiet():
    import keras
    import tensorflow as tf

    tf.config.list_physical_devices()
    chosen = os.environ.get("TF_NUM_INTRAOP_THREADS")
    if not chosen and not tf.config.threading.get_intra_op_parallelism_threads():
        with contextlib.suppress(RuntimeError):  # Too late where TensorFlow has run already.
            tf.config.threading.set_intra_op_parallelism_threads(THREADS)

if keras.backend.backend() != "tensorflow":
    raise MissingPackageError(WRONG.format(keras.backend.backend()))

__all__ = ["keras", "tf"]
