"""Galaxy morphology: Galaxy10 SDSS and a small convolutional network, reproducibly.

The public names are loaded when they are first used, so that ``import galclass`` is fast and does
not import TensorFlow.
"""

import os

import lazy_loader

# TensorFlow and Keras read these once, when they are imported.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__all__ += ["__version__"]
