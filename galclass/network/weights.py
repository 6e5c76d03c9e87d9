"""Read and write the weights of a network without Keras's deserialization.

Loading a ``.keras`` file with Keras can execute code that the file contains, and HDF5 can make it
read other files of this machine (CVE-2026-1669). Only arrays are read here, by name and shape.
"""

import hashlib
import io
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import h5py
import numpy as np
from numpy.typing import NDArray

from ..errors import DataError

if TYPE_CHECKING:
    import keras

POSITIONS = {"kernel": "0", "bias": "1"}  # of the variables of a layer in Keras's file
WEIGHTS_MEMBER = "model.weights.h5"  # Keras's name in its archive
# Path of a variable, such as "conv1_1/kernel", to its array or its shape.
Weights: TypeAlias = dict[str, NDArray[np.float32]]
Shapes: TypeAlias = dict[str, tuple[int, ...]]


def get_weights(model: "keras.Model") -> Weights:
    """Return the weights of a network by layer and variable name, in the order of the layers."""
    return {
        f"{layer.name}/{variable.name}": variable.numpy()
        for layer in model.layers
        for variable in layer.trainable_variables
    }


def set_weights(model: "keras.Model", weights: Weights) -> None:
    """Set those weights of a network whose name and shape match."""
    for layer in model.layers:
        for variable in layer.trainable_variables:
            array = weights.get(f"{layer.name}/{variable.name}")
            if array is not None and array.shape == tuple(variable.shape):
                variable.assign(array)


def read_weights(path: Path, shapes: Shapes) -> Weights:
    """Read the weights of a ``.keras`` file.

    Parameters
    ----------
    path : pathlib.Path
    shapes : dict of tuple of int
        Names of the variables, such as ``"conv1_1/kernel"``, and their shapes, in the order of the
        layers.

    Returns
    -------
    dict of ndarray of float32

    Raises
    ------
    DataError
        An array is missing, has the wrong shape or type, or is stored in another file.
    """
    expected_size = 4 * sum(int(np.prod(shape)) for shape in shapes.values())  # bytes of float32
    limit = 2 * expected_size + 2**20  # with room for the structure of HDF5
    with zipfile.ZipFile(path) as archive:
        size = archive.getinfo(WEIGHTS_MEMBER).file_size
        if size > limit:
            raise DataError(f"{size:,} bytes of weights, expected at most {limit:,}")
        content = archive.read(WEIGHTS_MEMBER)
    weights = {}
    with h5py.File(io.BytesIO(content), "r") as file:
        groups = _layer_groups(file)
        for name, shape in shapes.items():
            layer, variable = name.split("/")
            dataset = _get_own(groups.get(layer), POSITIONS[variable])
            if not isinstance(dataset, h5py.Dataset):
                raise DataError(f"{name} is not stored in the file, expected an array")
            if dataset.is_virtual or dataset.external:
                raise DataError(f"{name} is stored in another file, expected an array in this one")
            if dataset.shape != shape or dataset.dtype != np.float32:
                raise DataError(
                    f"{name}: {dataset.dtype} {dataset.shape}, expected float32 {shape}"
                )
            weights[name] = dataset[:]
    return weights


def _layer_groups(file: h5py.File) -> dict[str, h5py.Group]:
    """Return the group of variables of each layer, by the name of the layer.

    Keras names a group after the class of the layer; the attribute ``name`` is the layer's own.
    """
    groups = {}
    layers = _get_own(file, "layers")
    for key in layers or ():
        variables = _get_own(_get_own(layers, key), "vars")
        if isinstance(variables, h5py.Group):
            groups[str(variables.attrs.get("name"))] = variables
    return groups


def _get_own(group: h5py.Group | None, name: str) -> h5py.Group | h5py.Dataset | None:
    """Return a member that is stored in this file, None for any link to another place."""
    if isinstance(group, h5py.Group) and isinstance(group.get(name, getlink=True), h5py.HardLink):
        return group[name]
    return None


def weights_sha256(arrays: Iterable[NDArray[np.float32]]) -> str:
    """Return the hexadecimal sha256 of weights, in the order of the layers.

    The hash of the file would change with the date that Keras writes into it.
    """
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.shape}".encode())
        digest.update(np.ascontiguousarray(array, "<f4"))
    return digest.hexdigest()
