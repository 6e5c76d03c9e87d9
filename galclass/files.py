"""Write files completely or not at all, lock folders, and compute hashes."""

import contextlib
import errno
import hashlib
import json
import os
import re
import secrets
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

import filelock
import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import RunError

PathLike: TypeAlias = str | os.PathLike[str]
LOCK = ".lock"
# What json, zipfile, zlib and numpy raise for damaged files.
DAMAGE = (OSError, ValueError, EOFError, KeyError, RecursionError, zipfile.BadZipFile, zlib.error)


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a temporary path, which replaces `path` if the block ends without an error.

    Raises
    ------
    RunError
        The disk is full, or the folder cannot be written.
    """
    # A random part, because processes in two containers may share a folder and a process number.
    temporary = path.with_name(f".{os.getpid()}-{secrets.token_hex(4)}.tmp{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        with contextlib.suppress(OSError):  # The first error is the one to report.
            temporary.unlink()
        if not isinstance(error, OSError):
            raise
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            reason = "the disk is full"
        else:
            reason = error.strerror or str(error)
        raise RunError(
            f"cannot write {path}: {reason}; free space or make the folder writable, and try again"
        ) from error


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes out of a folder.

    The operating system releases the lock of a process that was killed.

    Raises
    ------
    RunError
        Another process is writing there, or the folder cannot be created or written.
    """
    if os.path.lexists(folder) and not folder.is_dir():
        raise RunError(f"{folder} is a file; choose another output folder")
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
        # Deleted before the release, so that a waiting process notices. Windows does not allow it.
        with contextlib.suppress(OSError):
            (folder / LOCK).unlink()
        lock.release()


def remove_leftovers(folder: Path) -> None:
    """Delete the temporary files that a killed process left in a folder, which may be missing."""
    for path in folder.glob(".*"):
        if re.match(r"\.\d+-[0-9a-f]{8}\.tmp", path.name):
            path.unlink(missing_ok=True)


def read_json(path: Path, *, hint: str) -> dict[str, Any]:
    """Read a JSON object.

    Parameters
    ----------
    path : pathlib.Path
    hint : str
        The command that makes the file, for the error message.

    Raises
    ------
    RunError
        The file is missing or damaged.
    """
    with _explained(path, hint):
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError(f"a {type(content).__name__}, expected a JSON object")
        return content


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON object."""
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def read_npz(path: Path, *names: str, hint: str) -> dict[str, NDArray[Any]]:
    """Read named arrays; by default all of them.

    Parameters
    ----------
    path : pathlib.Path
    *names : str
    hint : str
        The command that makes the file, for the error message.

    Raises
    ------
    RunError
        The file is missing or damaged, or lacks an array.
    """
    with (
        _explained(path, hint),
        open(path, "rb") as file,  # NumPy would leave a damaged file open.
        np.load(file, allow_pickle=False) as arrays,
    ):
        # Files of galclass are not compressed; others may unpack to any size.
        size = sum(member.file_size for member in arrays.zip.infolist())
        if size > path.stat().st_size:
            raise ValueError(f"{size:,} bytes in a file of {path.stat().st_size:,}")
        return {name: arrays[name] for name in names or arrays.files}


def write_npz(path: Path, **arrays: ArrayLike) -> None:
    """Write named arrays."""
    with whole_file(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **{name: np.asarray(values) for name, values in arrays.items()})


@contextlib.contextmanager
def _explained(path: Path, hint: str) -> Iterator[None]:
    """Turn the errors of reading a file into a RunError with a hint."""
    try:
        yield
    except FileNotFoundError:
        raise RunError(f"no {path.name} in {path.parent}; make it with: {hint}") from None
    except DAMAGE as error:
        raise RunError(
            f"{path} cannot be read or is damaged: {error}; make it with: {hint}"
        ) from error


def sha256_of_file(path: PathLike) -> str:
    """Return the hexadecimal sha256 of a file."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while part := file.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()


def sha256_of_arrays(*arrays: NDArray[Any]) -> str:
    """Return the hexadecimal sha256 of the bytes of arrays, one after the other."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array))
    return digest.hexdigest()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Suppress what C++ libraries write to standard error, unless the block raises an error."""
    try:
        sys.stderr.flush()
        stderr = os.dup(2)
    except (AttributeError, OSError, ValueError):
        yield  # Programs with a graphical interface may have no standard error.
        return
    with tempfile.TemporaryFile() as messages:
        os.dup2(messages.fileno(), 2)
        try:
            yield
        except BaseException:
            messages.seek(0)
            os.write(stderr, messages.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
