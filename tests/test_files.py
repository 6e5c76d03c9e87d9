"""Files are written completely or not at all, and damaged or hostile ones are refused."""

import errno
import io
import os
import zipfile

import numpy as np
import pytest

from galclass.errors import RunError
from galclass.files import locked, read_npz, remove_leftovers, whole_file, write_json, write_npz


@pytest.mark.parametrize(
    ("error", "expected", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), RunError, "the disk is full. Free"),
        (OSError(errno.EROFS, "Read-only file system"), RunError, "Read-only file system. Free"),
        (KeyError("unknown"), KeyError, "unknown"),
        (KeyboardInterrupt("stop"), KeyboardInterrupt, "stop"),
    ],
)
def test_file_that_cannot_be_written_leaves_the_previous_one(error, expected, words, tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("before")
    with pytest.raises(expected, match=words), whole_file(path) as temporary:  # noqa: PT012
        temporary.write_text("half")
        raise error
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_file_gets_its_name_when_it_is_synchronized(tmp_path, monkeypatch):
    def fail(file):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(RunError, match=r"some.json: the disk is full"):
        write_json(tmp_path / "some.json", {})
    assert list(tmp_path.iterdir()) == []


def test_file_in_place_of_a_folder_is_an_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match=r"cannot write .*(Not a directory|File exists)"):
        write_json(tmp_path / "file" / "some.json", {})


def test_arrays_are_read_as_they_were_written(tmp_path):
    path = tmp_path / "new" / "some.npz"
    write_npz(path, labels=np.arange(3), images=np.eye(2))
    np.testing.assert_equal(read_npz(path, "labels", hint=""), {"labels": np.arange(3)})
    assert set(read_npz(path, hint="")) == {"labels", "images"}
    with pytest.raises(RunError, match=r"some.npz .*'other.*; make it with: galclass train"):
        read_npz(path, "other", hint="galclass train")


def test_pickled_objects_are_not_loaded(tmp_path):
    np.savez(tmp_path / "some.npz", labels=np.array([{}], object))
    with pytest.raises(RunError, match="allow_pickle=False"):
        read_npz(tmp_path / "some.npz", "labels", hint="")


def test_small_archive_that_would_fill_the_memory_is_refused(tmp_path):
    content = io.BytesIO()
    np.save(content, np.zeros(10_000_000, np.uint8))
    with zipfile.ZipFile(tmp_path / "some.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("labels.npy", content.getvalue())
    with pytest.raises(RunError, match=r"10,000,\d+ bytes in a file of"):
        read_npz(tmp_path / "some.npz", "labels", hint="")


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
