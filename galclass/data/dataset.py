"""Galaxies by name, with where they came from."""

import os
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, ParameterError
from ..files import PathLike, sha256_of_arrays, sha256_of_file
from . import galaxy10
from .arrays import Images, Labels
from .simulate import simulate_galaxy10

# The public file's mix of classes, but enough of each for a test: it has 17 boxy bulges in 21,785.
SIMULATED_FRACTIONS = np.maximum(np.array(galaxy10.CLASS_COUNTS) / sum(galaxy10.CLASS_COUNTS), 0.02)

KINDS = {
    "simulated": "Simulated galaxies, not observed ones",
    "galaxy10": "Galaxy10 SDSS",
    "file": "Galaxies of {}",
    "arrays": "Galaxies given as arrays, origin not stated",
}


@dataclass(frozen=True)
class Origin:
    """Where galaxies came from; ``str(origin)`` is one line for figures.

    Parameters
    ----------
    kind : {"simulated", "galaxy10", "file", "arrays"}
    name : str
        Of the file, without its folder, or the call that simulated them.
    sha256 : str
        Of the arrays: images, then labels as uint8.
    galaxies : int
        Number of galaxies.
    seed : int, optional
        Of the simulation.
    """

    kind: str
    name: str
    sha256: str
    galaxies: int
    seed: int | None = None

    def __post_init__(self) -> None:
        types = [type(value) for value in (self.kind, self.name, self.sha256, self.galaxies)]
        known = self.kind in KINDS and type(self.seed) in (int, type(None))
        if types != [str, str, str, int] or not known:
            raise DataError(f"origin {self!r}, expected one that load_data gives")

    def __str__(self) -> str:
        return f"{KINDS[self.kind].format(self.name)}: {self.galaxies:,}"

    @property
    def simulated(self) -> bool:
        """bool : whether the galaxies are simulated."""
        return self.kind == "simulated"

    @classmethod
    def of_arrays(cls, images: Images, labels: Labels) -> "Origin":
        """What can be known of bare arrays."""
        digest = sha256_of_arrays(images, np.asarray(labels, np.uint8))
        return cls("arrays", "arrays in memory", digest, len(labels))

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> "Origin":
        """The origin whose ``dataclasses.asdict`` a manifest holds."""
        fields: dict[str, Any] = {name: record.get(name) for name in cls.__match_args__}
        return cls(**fields)


class Dataset(NamedTuple):
    """Images, labels and their origin; unpacks as ``images, labels, origin``."""

    images: Images
    labels: NDArray[np.uint8]
    origin: Origin


def load_data(data: PathLike, *, n: int = 4000, seed: int = 0) -> Dataset:
    """Load the galaxies that `data` names, with their origin.

    Nothing is ever replaced: simulated galaxies come only by asking for ``"simulated"``, or from a
    file that says so.

    Parameters
    ----------
    data : str or path-like
        ``"simulated"`` (with the public file's mix of classes, but at least 2 % of each),
        ``"galaxy10"`` (found on this machine or downloaded) or the path of an
        HDF5 file in Galaxy10's layout.
    n : int, default 4000
        Number of galaxies to simulate; unused for files.
    seed : int, default 0
        Seed of the simulation; unused for files.

    Returns
    -------
    Dataset
        Named tuple ``images`` (uint8, (N, 69, 69, 3)), ``labels`` (uint8, (N,)) and ``origin``
        (:class:`galclass.data.dataset.Origin`), so that ``galclass.train(*data, out=...)`` and
        ``galclass.plot_examples(*data)`` know where the galaxies came from.

    Raises
    ------
    FileNotFoundError, DataError, DownloadError
        As :func:`galclass.load_galaxy10`.
    ParameterError
        `data` is neither a name nor a path, or `n` or `seed` is out of range.

    Examples
    --------
    >>> import galclass
    >>> images, labels, origin = galclass.load_data("simulated", n=200)
    >>> print(origin)
    Simulated galaxies, not observed ones: 200
    """
    if not isinstance(data, str | os.PathLike):
        raise ParameterError(f"data={type(data)}, expected 'simulated', 'galaxy10' or a path")
    if data == "simulated":
        images, labels = simulate_galaxy10(n, seed, class_fractions=SIMULATED_FRACTIONS)
        name = f"simulate_galaxy10({n}, {seed}, class_fractions=SIMULATED_FRACTIONS)"
        known: dict[str, Any] = {"kind": "simulated", "name": name, "seed": int(seed)}
    else:
        path = galaxy10.locate_galaxy10(None if data == "galaxy10" else data)
        images, labels = galaxy10.read_galaxy10(path)
        written = galaxy10.read_attributes(path)
        kind = "galaxy10" if sha256_of_file(path) == galaxy10.SHA256 else "file"
        known = {"kind": kind, "name": path.name}
        # The published file has no attributes.
        if written.get("origin_kind") == "simulated":
            known |= {"kind": "simulated", "seed": written.get("origin_seed")}
            # Of galaxies that were changed since, the name is that of the file.
            if written.get("origin_sha256") == sha256_of_arrays(images, labels):
                known["name"] = written.get("origin_name")
    return Dataset(images, labels, replace(Origin.of_arrays(images, labels), **known))


def write_data(path: PathLike, dataset: Dataset) -> None:
    """Write galaxies and their origin to an HDF5 file in Galaxy10's layout.

    Parameters
    ----------
    path : path-like
        An existing file is replaced.
    dataset : Dataset
    """
    known = {key: value for key, value in vars(dataset.origin).items() if value is not None}
    attributes = {f"origin_{key}": value for key, value in known.items()}
    galaxy10.write_galaxy10(path, *dataset[:2], attributes=attributes)
