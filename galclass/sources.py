"""Which galaxies a study is about: by name, with where they came from."""

import hashlib
import os
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import galaxy10
from ._types import Images, Labels, PathLike, Source
from .runs import Run, RunError

# The public file's mix of classes, but enough of each for a test: it has 17 boxy bulges in 21,785.
SIMULATED_FRACTIONS = np.maximum(np.array(galaxy10.CLASS_COUNTS) / sum(galaxy10.CLASS_COUNTS), 0.02)


class Dataset(NamedTuple):
    """Images, labels and their origin; unpacks as ``images, labels, source``."""

    images: Images
    labels: NDArray[np.uint8]
    source: Source


def load_data(data: PathLike, *, n: int = 4000, seed: int = 0) -> Dataset:
    """Load the galaxies that `data` names, with a record of their origin.

    Nothing is ever replaced: simulated galaxies come only by asking for ``"simulated"``.

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
        Named tuple ``images`` (uint8, (N, 69, 69, 3)), ``labels`` (uint8, (N,)) and ``source``,
        a dict with ``kind`` ("simulated", "galaxy10" or "file"), ``name``, ``galaxies`` and
        ``sha256``, as it goes into a run's manifest.

    Raises
    ------
    FileNotFoundError, galclass.galaxy10.DataError, galclass.galaxy10.DownloadError
        As :func:`galclass.load_galaxy10`.
    TypeError
        `data` is neither a name nor a path.

    Examples
    --------
    >>> import galclass
    >>> images, labels, source = galclass.load_data("simulated", n=200)
    >>> galclass.describe_source(source)
    'Simulated galaxies, not observed ones: 200'
    """
    if not isinstance(data, (str, os.PathLike)):
        raise TypeError(f"data={type(data)}, expected 'simulated', 'galaxy10' or a path")
    if data == "simulated":
        from .simulate import simulate_galaxy10

        images, labels = simulate_galaxy10(n, seed, class_fractions=SIMULATED_FRACTIONS)
        source = {
            "kind": "simulated",
            "name": f"simulate_galaxy10({n}, {seed}, class_fractions=SIMULATED_FRACTIONS)",
            "sha256": _sha256_of_arrays(images, labels),
            "simulation_seed": seed,
        }
    else:
        path = galaxy10.locate_galaxy10(None if data == "galaxy10" else data)
        images, labels = galaxy10.read_galaxy10(path)
        digest = galaxy10.sha256_of(path)
        kind = "galaxy10" if digest == galaxy10.SHA256 else "file"
        source = {"kind": kind, "name": path.name, "sha256": digest}
    return Dataset(images, labels, {**source, "galaxies": len(labels)})


def load_run_data(run: Run, data: PathLike | None = None) -> Dataset:
    """Load the galaxies of a run again, and make sure that they are the same.

    Parameters
    ----------
    run : galclass.runs.Run
    data : str or path-like, optional
        As in :func:`load_data`. Default: what the manifest says; a manifest holds no path, so
        that a file of your own must be given.

    Returns
    -------
    Dataset

    Raises
    ------
    RunError
        The file must be given, or the galaxies are not those of the run.
    """
    recorded = run.manifest["source"]
    if data is None:
        if recorded["kind"] not in ("simulated", "galaxy10"):
            raise RunError(
                f"the run was trained on {recorded['name']}, whose place is not recorded; "
                "give it with --data PATH"
            )
        data = recorded["kind"]
    loaded = load_data(data, n=recorded["galaxies"], seed=recorded.get("simulation_seed", 0))
    if recorded["kind"] in ("simulated", "arrays"):
        # A hash of arrays is recorded, which a file may hold as well.
        digest = _sha256_of_arrays(loaded.images, loaded.labels)
        loaded = loaded._replace(source={**loaded.source, "sha256": digest})
    if loaded.source["sha256"] != recorded["sha256"]:
        raise RunError(
            f"{loaded.source['name']} (sha256 {loaded.source['sha256'][:12]}...) is not the run's "
            f"{recorded['name']} (sha256 {recorded['sha256'][:12]}...); give the same galaxies"
        )
    return loaded


def describe_arrays(images: Images, labels: Labels) -> Source:
    """The origin that can be told of bare arrays: their number and their sha256."""
    return {
        "kind": "arrays",
        "name": "arrays in memory",
        "sha256": _sha256_of_arrays(images, labels),
        "galaxies": len(labels),
    }


def _sha256_of_arrays(images, labels):
    digest = hashlib.sha256(np.ascontiguousarray(images))
    digest.update(np.ascontiguousarray(labels))
    return digest.hexdigest()
