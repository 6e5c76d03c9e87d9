"""Types that several signatures share."""

import os
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Images: TypeAlias = NDArray[np.uint8]
Labels: TypeAlias = NDArray[np.integer[Any]]
PathLike: TypeAlias = str | os.PathLike[str]
FigureSize: TypeAlias = Literal["page", "column"]
Precision: TypeAlias = Literal["auto", "float32", "bfloat16", "float16"]
Engine: TypeAlias = Literal["local", "ray"]
Source: TypeAlias = dict[str, Any]
