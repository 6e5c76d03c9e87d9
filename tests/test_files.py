"""Files are written completely or not at all, and damaged or hostile ones are refused."""

import errno
import io
import os
import zipfile

import numpy as np
import pytest

from galclass.errors import RunError
from galclass.files import locked, read_npz, remove_leftovers, whole_file, write_json, write_npz

FULL = OSError(errno.ENOSPC, "No space left on device")
READ_ONLY = OSError(errno.EROFS, "Read-only file system")


@pytest.mark.parametrize(
    ("error", "expected", "words"),
    [
        (FULL, RunError, r"cannot write .*: the disk is full.*free"),
        (READ_ONLY, RunError, r"cannot write .*: Read-only file system.*free"),
        (KeyboardInterrupt("stop"), KeyboardInterrupt, "stop"),
    ],
)
def test_file_that_cannot_be_written_leaves_the_previous_one(error, expected, words, tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("before")
    with pytest.raises(expected, match=f"(?i){words}"), whole_file(path) as temporary:  # noqa: PT012
        temporary.write_text("half")
        raise error
    with pytest.raises(RunError, match=r"cannot write .*(Not a directory|File exists)"):
        write_json(path / "some.json", {})
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_file_is_renamed_only_after_fsync(tmp_path, monkeypatch):
    def fail(file):
        raise FULL

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(RunError, match=r"some.json: the disk is full"):
        write_json(tmp_path / "some.json", {})
    assert list(tmp_path.iterdir()) == []


def test_arrays_are_read_as_they_were_written(tmp_path):
    path = tmp_path / "new" / "some.npz"
    write_npz(path, labels=np.arange(3), images=np.eye(2))
    np.testing.assert_equal(read_npz(path, "labels", hint=""), {"labels": np.arange(3)})
    assert set(read_npz(path, hint="")) == {"labels", "images"}
    with pytest.raises(RunError, match=r"some.npz .*'other.*; make it with: galclass train"):
        read_npz(path, "other", hint="galclass train")


def test_archives_that_run_code_or_fill_the_memory_are_refused(tmp_path):
    path = tmp_path / "some.npz"
    np.savez(path, labels=np.array([{}], object))
    with pytest.raises(RunError, match="allow_pickle=False"):
        read_npz(path, "labels", hint="")
    content = io.BytesIO()
    np.save(content, np.zeros(10_000_000, np.uint8))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("labels.npy", content.getvalue())
    with pytest.raises(RunError, match=r"10,000,\d+ bytes in a file of"):
        read_npz(path, "labels", hint="")


def test_folder_is_locked_once_and_free_afterwards(tmp_path):
    folder = tmp_path / "run"
    for _ in range(2):
        with locked(folder), pytest.raises(RunError, match="another process"):
            locked(folder).__enter__()
        assert list(folder.iterdir()) == []


def test_only_temporary_files_of_killed_processes_are_deleted(tmp_path):
    kept = {tmp_path / name for name in (".hidden", "1-00000000.tmp.json", ".12-zz.tmp.json")}
    for path in (*kept, tmp_path / ".123-0123abcd.tmp.json"):
        path.touch()
    remove_leftovers(tmp_path)
    assert set(tmp_path.iterdir()) == kept
