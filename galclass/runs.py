"""The run folder: what training and evaluation leave behind, read and written whole.

``manifest.json``     recipe, seed, data source, split, versions, precision, device, wall time
``history.csv``       a row an epoch
``model.keras``       weights of the best validation epoch
``last.keras``        weights of the last epoch
``checkpoint/``       what resuming needs, while training is unfinished
``examples.npz``      a few training pictures, for the figures
``predictions.npz``   test indices, true labels, probabilities
``metrics.json``      what they amount to
"""

import csv
import errno
import json
import os
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np


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
    def manifest(self):
        """dict : how the run was made."""
        return read_json(self.path / "manifest.json")

    @cached_property
    def metrics(self):
        """dict : what :func:`galclass.evaluate` measured."""
        return read_json(self.path / "metrics.json", hint="galclass evaluate")

    @cached_property
    def history(self):
        """dict of ndarray, shape (epochs,) : one entry a column of ``history.csv``."""
        path = self.path / "history.csv"
        try:
            with open(path, newline="", encoding="utf-8") as file:
                rows = list(csv.DictReader(file))
            return {key: np.array([float(row[key]) for row in rows]) for key in rows[0]}
        except FileNotFoundError:
            raise RunError(f"no {path.name} in {self.path}; train the run first") from None
        except (IndexError, KeyError, TypeError, ValueError, csv.Error) as error:
            raise RunError(f"{path} is damaged: {error}") from error

    @cached_property
    def predictions(self):
        """dict of ndarray : ``indices`` (n,), ``labels`` (n,), ``probabilities`` (n, classes)."""
        return _read_npz(self.path / "predictions.npz", "indices", "labels", "probabilities")

    @cached_property
    def examples(self):
        """dict of ndarray : ``images`` uint8 (n, 69, 69, 3) and ``labels`` (n,)."""
        return _read_npz(self.path / "examples.npz", "images", "labels")

    @property
    def simulated(self):
        """bool : whether the galaxies are simulated."""
        return self.manifest["source"]["kind"] == "simulated"

    def load_model(self, weights="model"):
        """Build the network and read its weights; nothing in the file is ever executed.

        Parameters
        ----------
        weights : {"model", "last"}
            Of the best validation epoch, or of the last epoch.

        Returns
        -------
        keras.Model
            In float32, whatever precision it was trained in.

        Raises
        ------
        RunError
            The file is missing, is no Keras file or does not fit the network.
        """
        from .model import build_cnn

        path = self.path / f"{weights}.keras"
        if not path.is_file():
            raise RunError(f"no {path.name} in {self.path}; train the run first")
        model = build_cnn(**self.manifest["network"])
        try:
            model.load_weights(path)
        except (ValueError, OSError, KeyError, RuntimeError) as error:
            raise RunError(f"{path} does not hold this network's weights: {error}") from error
        return model


def load_run(path):
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
    """
    path = Path(path).expanduser()
    if not path.is_dir():
        raise RunError(f"no run folder {path}; make one with: galclass train --out {path}")
    run = Run(path)
    missing = {"recipe", "seed", "source", "split", "network"} - run.manifest.keys()
    if missing:
        raise RunError(f"{path / 'manifest.json'} lacks {sorted(missing)}; is this a galclass run?")
    return run


def read_json(path, *, hint="galclass train"):
    """Read a JSON object, or say which command makes it."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunError(f"no {path.name} in {path.parent}; make it with: {hint}") from None
    except ValueError as error:
        raise RunError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(content, dict):
        raise RunError(f"{path} holds a {type(content).__name__}, expected a JSON object")
    return content


def _read_npz(path, *names):
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in names}
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
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        reason = "the disk is full" if full else (error.strerror or str(error))
        raise RunError(f"cannot write {path}: {reason}. Free or unlock it and try again") from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


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
