"""Files that are written whole or not at all, whatever is in them."""

import contextlib
import errno
import hashlib
import json
import os
import re
import secrets
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

import filelock
import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import RunError

PathLike: TypeAlias = str | os.PathLike[str]
LOCK = ".lock"


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a temporary path next to `path`, which takes its place when the block ends well.

    Raises
    ------
    RunError
        The disk is full, or the folder cannot be written.
    """
    # Processes in different containers can share a folder and have the same number.
    temporary = path.with_name(f".{os.getpid()}-{secrets.token_hex(4)}.tmp{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        with contextlib.suppress(OSError):  # What failed before is to be reported.
            temporary.unlink()
        if not isinstance(error, OSError):
            raise
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        reason = "the disk is full" if full else (error.strerror or str(error))
        raise RunError(f"cannot write {path}: {reason}. Free or unlock it and try again") from error


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes out of a folder; the system ends the lock of one that was killed.

    Raises
    ------
    RunError
        Another process is at work there, or the folder cannot be made or written.
    """
    if os.path.lexists(folder) and not folder.is_dir():
        raise RunError(f"{folder} is no folder, expected a new one or a run; choose another name")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(folder / LOCK)
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise RunError(
            f"another process is writing into {folder}; wait for it, or choose another folder"
        ) from None
    except OSError as error:
        raise RunError(f"cannot write {folder}: {error.strerror or error}; unlock it") from error
    try:
        yield
    finally:
        # While it is held: who has opened it before then sees that it is gone. Not on Windows.
        with contextlib.suppress(OSError):
            (folder / LOCK).unlink()
        lock.release()


def remove_leftovers(folder: Path, *, older_than: float = 0.0) -> None:
    """Delete the temporary files that a killed process left in a folder.

    Parameters
    ----------
    folder : pathlib.Path
        May be missing.
    older_than : float, default 0
        Age in seconds, for folders that other processes may be writing to now.
    """
    for path in folder.glob(".*"):
        if re.match(r"\.\d+-[0-9a-f]{8}\.tmp", path.name):
            with contextlib.suppress(FileNotFoundError):  # Another process may be faster.
                if time.time() - path.stat().st_mtime >= older_than:
                    path.unlink()


def read_json(path: Path, *, hint: str) -> dict[str, Any]:
    """Read a JSON object, or raise a RunError that says which command makes it (`hint`)."""
    with _reading(path, hint):
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError(f"a {type(content).__name__}, expected a JSON object")
        return content


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON object."""
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def read_npz(path: Path, *names: str, hint: str) -> dict[str, NDArray[Any]]:
    """Read named arrays, or raise a RunError that says which command makes them (`hint`)."""
    # Opened here, since NumPy leaves the file of a damaged archive open.
    with (
        _reading(path, hint),
        open(path, "rb") as file,
        np.load(file, allow_pickle=False) as arrays,
    ):
        # Ours are not compressed: what would grow is not one of them.
        size = sum(member.file_size for member in arrays.zip.infolist())
        if size > path.stat().st_size:
            raise ValueError(f"{size:,} bytes in a file of {path.stat().st_size:,}")
        return {name: arrays[name] for name in names or arrays.files}


@contextlib.contextmanager
def _reading(path: Path, hint: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise RunError(f"no {path.name} in {path.parent}; make it with: {hint}") from None
    except Exception as error:  # json, zipfile, zlib and numpy each raise their own kinds
        raise RunError(
            f"{path} cannot be read or is damaged: {error}; make it with: {hint}"
        ) from error


def write_npz(path: Path, **arrays: ArrayLike) -> None:
    """Write named arrays."""
    with whole_file(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **{name: np.asarray(values) for name, values in arrays.items()})


def sha256_of_file(path: PathLike) -> str:
    """Hexadecimal sha256 of a file, read in pieces."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def sha256_of_arrays(*arrays: NDArray[Any]) -> str:
    """Hexadecimal sha256 of the bytes of arrays, one after the other."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array))
    return digest.hexdigest()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hold back what libraries in C++ write to standard error, unless the block fails."""
    try:
        sys.stderr.flush()
        stderr = os.dup(2)
    except (AttributeError, OSError, ValueError):
        yield  # There is no standard error, as in some windowed programs.
        return
    with tempfile.TemporaryFile() as notes:
        os.dup2(notes.fileno(), 2)
        try:
            yield
        except BaseException:
            notes.seek(0)
            os.write(stderr, notes.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
