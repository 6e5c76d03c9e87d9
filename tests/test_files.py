import io
import zipfile

import numpy as np
import pytest

from galclass.errors import RunError
from galclass.files import locked, read_npz, write_npz


def test_a_small_archive_that_would_fill_the_memory_is_refused(tmp_path):
    path, content = tmp_path / "predictions.npz", io.BytesIO()
    np.save(content, np.zeros(10_000_000, np.uint8))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("labels.npy", content.getvalue())
    with pytest.raises(RunError, match=r"10,000,\d+ bytes in a file of"):
        read_npz(path, "labels", hint="galclass evaluate")
    write_npz(path, labels=np.arange(3))
    assert read_npz(path, "labels", hint="")["labels"].tolist() == [0, 1, 2]


def test_a_folder_is_locked_once_and_free_again_afterwards(tmp_path):
    for _ in range(2):
        with locked(tmp_path / "run"), pytest.raises(RunError, match="another process"):
            locked(tmp_path / "run").__enter__()
        assert not list((tmp_path / "run").iterdir())
