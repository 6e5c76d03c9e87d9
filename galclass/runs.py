"""The run folder: what training and evaluation leave behind, read and written whole.

``manifest.json``     recipe, seed, data source, split, versions, precision, device, wall time
``history.csv``       a row an epoch
``model.keras``       weights of the best validation epoch
``last.keras``        weights of the last epoch
``checkpoint/``       what resuming needs, while training is unfinished
``examples.npz``      a few training pictures, for the figures
``predictions.npz``   test indices, true labels, probabilities
``metrics.json``      what they amount to
``mistakes.npz``      the pictures that are wrong with the most confidence
"""

import csv
import errno
import hashlib
import json
import os
import re
import secrets
import time
import zipfile
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import h5py
import numpy as np
from numpy.typing import NDArray

from ._types import PathLike, Precision

if TYPE_CHECKING:
    import keras

WEIGHTS = "model.weights.h5"  # as Keras names them in its archive


class RunError(RuntimeError):
    """A run folder is missing, unfinished, damaged, in the way or not writable."""


@dataclass(frozen=True)
class Run:
    """A run folder, read when asked.

    Parameters
    ----------
    path : pathlib.Path
        The folder.
    """

    path: Path

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """dict : how the run was made."""
        return read_json(self.path / "manifest.json")

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """dict : what :func:`galclass.evaluate` measured."""
        path = self.path / "metrics.json"
        metrics = read_json(path, hint="galclass evaluate")
        missing = {"accuracy", "galaxies", "classes", "confusion_matrix"} - metrics.keys()
        if missing:
            raise RunError(f"{path} lacks {sorted(missing)}; make it with: galclass evaluate")
        return metrics

    @cached_property
    def history(self) -> dict[str, NDArray[np.float64]]:
        """dict of ndarray, shape (epochs,) : one entry a column of ``history.csv``."""
        path = self.path / "history.csv"
        try:
            with open(path, newline="", encoding="utf-8") as file:
                rows = list(csv.DictReader(file))
            return {key: np.array([float(row[key]) for row in rows]) for key in rows[0]}
        except FileNotFoundError:
            raise RunError(f"no {path.name} in {self.path}; train the run first") from None
        except (IndexError, KeyError, TypeError, ValueError, OSError, csv.Error) as error:
            raise RunError(f"{path} is damaged: {error}") from error

    @cached_property
    def predictions(self) -> dict[str, NDArray[Any]]:
        """dict of ndarray : ``indices`` (n,), ``labels`` (n,), ``probabilities`` (n, classes)."""
        return _read_npz(self.path / "predictions.npz", "indices", "labels", "probabilities")

    @cached_property
    def examples(self) -> dict[str, NDArray[Any]]:
        """dict of ndarray : ``images`` uint8 (n, 69, 69, 3) and ``labels`` (n,)."""
        return _read_npz(self.path / "examples.npz", "images", "labels")

    @cached_property
    def mistakes(self) -> dict[str, NDArray[Any]]:
        """dict of ndarray : up to ten test galaxies that are confidently wrong.

        ``images`` uint8 (n, 69, 69, 3), ``labels``, ``predicted``, ``probabilities`` (n,).
        """
        names = ("images", "labels", "predicted", "probabilities")
        return _read_npz(self.path / "mistakes.npz", *names)

    @property
    def simulated(self) -> bool:
        """bool : whether the galaxies are simulated."""
        return self.manifest["source"]["kind"] == "simulated"

    def load_model(
        self, weights: Literal["model", "last"] = "model", *, precision: Precision = "float32"
    ) -> "keras.Model":
        """Build the network and read its weights; nothing in the file is ever executed.

        Parameters
        ----------
        weights : {"model", "last"}
            Of the best validation epoch, or of the last epoch.
        precision : {"float32", "bfloat16", "float16", "auto"}
            Arithmetic of the layers, whatever the training's was.

        Returns
        -------
        keras.Model

        Raises
        ------
        RunError
            The file is missing, is no Keras file or does not fit the network.
        """
        from .model import build_cnn

        path = self.path / f"{weights}.keras"
        if not path.is_file():
            raise RunError(f"no {path.name} in {self.path}; train the run first")
        try:
            model = build_cnn(**self.manifest["network"], precision=precision)
        except (TypeError, ValueError) as error:
            raise RunError(
                f"{self.path / 'manifest.json'} describes no network: {error}; copy the run again"
            ) from error
        try:
            _check_archive(path, largest=4 * model.count_params() + (1 << 20))
            model.load_weights(path)
        except RunError:
            raise
        except Exception as error:  # zipfile, zlib, h5py and Keras each raise their own kinds
            reason = " ".join(str(error).split())[:200]
            raise RunError(f"{path} does not hold this network's weights: {reason}") from error
        return model


def load_run(path: PathLike) -> Run:
    """Open a run folder.

    Parameters
    ----------
    path : str or path-like
        A folder that :func:`galclass.train` made.

    Returns
    -------
    Run
        With ``manifest``, ``history``, ``predictions``, ``metrics`` and ``load_model()``.

    Raises
    ------
    RunError
        No such folder, or no readable manifest in it.

    Examples
    --------
    >>> import galclass
    >>> run = galclass.load_run("runs/mine")
    >>> run.manifest["recipe_name"], run.manifest["seed"]
    ('default', 0)
    >>> 0 <= run.metrics["accuracy"] <= 1
    True
    >>> model = run.load_model()
    >>> model.output_shape
    (None, 10)
    """
    path = Path(os.path.expanduser(path))
    if not path.is_dir():
        raise RunError(f"no run folder {path}; make one with: galclass train --out {path}")
    run = Run(path)
    missing = {"recipe", "seed", "source", "split", "network"} - run.manifest.keys()
    if missing:
        raise RunError(f"{path / 'manifest.json'} lacks {sorted(missing)}; is this a galclass run?")
    for key in ("recipe", "source", "split", "network"):
        if not isinstance(run.manifest[key], dict):
            raise RunError(
                f"{path / 'manifest.json'}: {key!r} is {run.manifest[key]!r}, expected a JSON "
                "object; copy the run again"
            )
    return run


def weights_sha256(arrays):
    """Hexadecimal sha256 of a network's weights, in the order of its variables.

    The file itself would not do: Keras writes the date into it.

    Parameters
    ----------
    arrays : iterable of ndarray of float32
    """
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.shape}".encode())
        digest.update(np.ascontiguousarray(array, "<f4"))
    return digest.hexdigest()


def _check_archive(path, *, largest):
    """Refuse an archive whose weights are oversized or lie in other files of this machine.

    Keras follows such links in some versions (CVE-2026-1669), and unpacks whatever there is.
    """
    with zipfile.ZipFile(path) as archive:
        size = archive.getinfo(WEIGHTS).file_size
        if size > largest:
            raise RunError(
                f"{path} holds {size:,} bytes of weights, expected {largest:,} at most for this "
                "network; it is not the file that the run wrote"
            )
        outside = []
        with archive.open(WEIGHTS) as member, h5py.File(member, "r") as file:

            def look(name, link):
                if not isinstance(link, h5py.HardLink):
                    outside.append(name)
                    return
                item = file[name]
                if isinstance(item, h5py.Dataset) and (item.is_virtual or item.external):
                    outside.append(name)

            file.visititems_links(look)
    if outside:
        raise RunError(
            f"{path}: {outside[0]!r} points to data elsewhere, expected arrays; "
            "it is not the file that the run wrote"
        )


def read_json(path, *, hint="galclass train"):
    """Read a JSON object, or say which command makes it."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunError(f"no {path.name} in {path.parent}; make it with: {hint}") from None
    except OSError as error:
        raise RunError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise RunError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(content, dict):
        raise RunError(f"{path} holds a {type(content).__name__}, expected a JSON object")
    return content


def _read_npz(path, *names):
    try:
        # Opened here, since NumPy leaves the file of a damaged archive open.
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in names}
    except FileNotFoundError:
        raise RunError(f"no {path.name} in {path.parent}; run: galclass evaluate") from None
    except Exception as error:  # zipfile, zlib and numpy each raise their own kinds
        raise RunError(f"{path} is damaged: {error}") from error


@contextmanager
def whole_file(path):
    """Give a temporary path beside `path`, which takes its place when the block ends well.

    Raises
    ------
    RunError
        The disk is full, or the folder cannot be written.
    """
    # Processes in different containers can share a folder and have the same number.
    temporary = path.with_name(f".{os.getpid()}-{secrets.token_hex(4)}.{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        _remove(temporary)
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        reason = "the disk is full" if full else (error.strerror or str(error))
        raise RunError(f"cannot write {path}: {reason}. Free or unlock it and try again") from error
    except BaseException:
        _remove(temporary)
        raise


def _remove(path):
    # What went wrong before is to be reported, not that this fails for the same reason.
    with suppress(OSError):
        path.unlink()


def remove_leftovers(folder, name="*", *, older_than=0.0):
    """Delete the temporary files that a killed process left in a folder.

    Parameters
    ----------
    folder : pathlib.Path
        May be missing.
    name : str, default "*"
        Of the file that should have been written.
    older_than : float, default 0
        Age in seconds, for folders that other processes may be writing to now.
    """
    for path in folder.glob(f".*.{name}"):
        if re.match(r"\.\d+-[0-9a-f]{8}\.", path.name):
            with suppress(FileNotFoundError):  # Another process may be faster.
                if time.time() - path.stat().st_mtime >= older_than:
                    path.unlink()


def write_json(path, content):
    """Write a JSON object, whole or not at all."""
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def write_npz(path, **arrays):
    """Write named arrays, whole or not at all."""
    with whole_file(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **arrays)


def write_history(path, rows):
    """Write a list of dicts with equal keys as CSV, whole or not at all."""
    with whole_file(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
