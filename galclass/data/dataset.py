"""Galaxies and where they came from."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, ParameterError
from ..files import sha256_of_arrays
from .arrays import Images, Labels, check_class_names


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where galaxies came from; ``str(origin)`` is one line for figures.

    Parameters
    ----------
    kind : str
        ``"simulated"``, ``"file"``, ``"arrays"``, or the name of a published data set
        (``"galaxy10"``, ``"decals"``).
    title : str
        Description for figures, such as ``"Galaxy10 SDSS"``.
    name : str
        Name of the file or folder, without its parent folders, or the call that simulated the
        galaxies.
    sha256 : str
        Hash of the arrays: images, then labels as uint8.
    galaxies : int
        Number of galaxies.
    class_names : tuple of str
        Names of the classes, in the order of the labels.
    seed : int, optional
        Seed of the simulation.
    crop : float, optional
        Fraction of the side of the original images that was kept, more than 0 and at most 1. A
        network that was trained on these galaxies crops other images by the same fraction, except
        images of its own size. None: the original images were not cropped.

    Raises
    ------
    DataError
        A field has the wrong type.
    """

    kind: str
    title: str
    name: str
    sha256: str
    galaxies: int
    class_names: tuple[str, ...]
    seed: int | None = None
    crop: float | None = None

    def __post_init__(self) -> None:
        valid = (
            all(type(text) is str for text in (self.kind, self.title, self.name, self.sha256))
            and type(self.galaxies) is int
            and type(self.seed) in (int, type(None))
            and (self.crop is None or (type(self.crop) is float and 0 < self.crop <= 1))
        )
        if not valid:
            raise DataError(f"{self!r}: expected an origin that load_data returns")

    def __str__(self) -> str:
        return f"{self.title}: {self.galaxies:,}"

    @property
    def simulated(self) -> bool:
        """bool : the galaxies are simulated."""
        return self.kind == "simulated"

    @classmethod
    def of_arrays(
        cls, images: Images, labels: Labels, class_names: Sequence[str] | None = None
    ) -> "Origin":
        """Return the origin of arrays that come without one.

        Parameters
        ----------
        images : ndarray of uint8, shape (N, s, s, 3)
        labels : ndarray of int, shape (N,)
        class_names : sequence of str, optional
            Default: the numbers of the classes, from ``"0"`` to the largest label, at least two.
        """
        if class_names is None:
            class_names = class_names_of(labels, None)
        return cls(
            kind="arrays",
            title="Galaxies given as arrays, origin not stated",
            name="arrays in memory",
            sha256=sha256_of_arrays(images, np.asarray(labels, np.uint8)),
            galaxies=len(labels),
            class_names=check_class_names(class_names),
        )

    def record(self) -> dict[str, Any]:
        """Return the origin as JSON stores it."""
        return {**asdict(self), "class_names": list(self.class_names)}

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> "Origin":
        """Return the origin that :meth:`record` gave.

        Raises
        ------
        DataError
            The record lacks a field, or a field has the wrong type.
        """
        try:
            names = check_class_names(record["class_names"])
            return cls(**{**record, "class_names": names})
        except (KeyError, TypeError, ParameterError) as error:
            raise DataError(f"origin {record!r}: expected a record of an origin") from error


def class_names_of(labels: Labels, origin: Origin | None) -> tuple[str, ...]:
    """Return the class names of an origin; without one, the numbers of the classes.

    Raises
    ------
    ParameterError
        `origin` is not an Origin.
    """
    if origin is None:
        return tuple(str(c) for c in range(max(2, int(labels.max()) + 1)))
    if not isinstance(origin, Origin):
        raise ParameterError(f"origin={origin!r}, expected the one of load_data, or None")
    return origin.class_names


class Dataset(NamedTuple):
    """Images, labels and their origin; unpacks as ``images, labels, origin``.

    Parameters
    ----------
    images : ndarray of uint8, shape (N, s, s, 3)
    labels : ndarray of uint8, shape (N,)
        Classes, from 0.
    origin : Origin
    """

    images: Images
    labels: NDArray[np.uint8]
    origin: Origin
