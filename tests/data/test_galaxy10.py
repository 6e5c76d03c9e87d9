"""A file in Galaxy10's layout is read as it was written, or refused."""

import faulthandler
import io
import itertools
import random
import subprocess
import sys
import warnings
from pathlib import Path

import h5py
import numpy as np
import pytest

from galclass import CLASS_NAMES, load_galaxy10
from galclass.data import galaxy10
from galclass.data.galaxy10 import count_images, locate_galaxy10, read_attributes, write_galaxy10
from galclass.errors import DataError, ParameterError, RunError


def test_the_public_counts_sum_to_the_public_number():
    assert sum(galaxy10.CLASS_COUNTS) == 21785
    assert len(galaxy10.CLASS_COUNTS) == len(CLASS_NAMES) == len(galaxy10.PUBLISHED_RECALL) == 10


def test_a_file_is_read_as_it_was_written_and_more_attributes_do_no_harm(like_galaxy10, tmp_path):
    images, labels = like_galaxy10
    path = tmp_path / "some.h5"
    write_galaxy10(path, images, labels.astype(int), attributes={"origin_kind": "file", "n": 3})
    assert [file.name for file in tmp_path.iterdir()] == ["some.h5"]
    with h5py.File(path, "r+") as file:
        file.attrs.update({"array": np.arange(3), "empty": h5py.Empty("f4"), "real": 0.5})
        file.attrs["reference"] = file["ans"].ref
    found = load_galaxy10(str(path))
    assert found[0].dtype == found[1].dtype == np.uint8
    np.testing.assert_array_equal(found[0], images)
    np.testing.assert_array_equal(found[1], labels)
    assert read_attributes(path) == {"origin_kind": "file", "n": 3, "real": 0.5}


def test_images_are_counted_without_labels(like_galaxy10, tmp_path):
    with h5py.File(tmp_path / "some.h5", "w") as file:
        file["images"] = like_galaxy10[0][:7]
    assert count_images(tmp_path / "some.h5") == 7


def test_arrays_and_class_names_equal_those_of_astronn(like_galaxy10, tmp_path, monkeypatch):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # It imports pkg_resources, which warns.
        astronn = pytest.importorskip("astroNN.datasets.galaxy10sdss", reason="needs astroNN")
    path = tmp_path / "datasets" / "Galaxy10.h5"
    write_galaxy10(path, *like_galaxy10)
    monkeypatch.setattr(astronn, "astroNN_CACHE_DIR", str(tmp_path))
    known = galaxy10.DATASETS["galaxy10"]
    monkeypatch.setattr(astronn, "filehash", lambda *_, **keywords: known.sha256)
    for theirs, ours in zip(astronn.load_data(), load_galaxy10(path), strict=True):
        np.testing.assert_array_equal(theirs, ours)
        assert theirs.dtype == ours.dtype
    assert tuple(astronn.Galaxy10Class[c] for c in range(10)) == CLASS_NAMES


def test_the_file_is_found_where_it_is_and_told_from_others(like_galaxy10, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GALCLASS_DATA", "~/mine.h5")
    write_galaxy10("mine.h5", *like_galaxy10)
    assert locate_galaxy10() == tmp_path / "mine.h5"
    monkeypatch.delenv("GALCLASS_DATA")
    monkeypatch.setattr(galaxy10, "fetch_galaxy10", lambda wanted: Path("fetched"))
    assert locate_galaxy10() == Path("fetched")
    in_astronn = tmp_path / ".astroNN" / "datasets" / "Galaxy10.h5"
    write_galaxy10(in_astronn, *like_galaxy10)
    with pytest.warns(UserWarning, match="damaged .* is not used"):
        assert locate_galaxy10() == Path("fetched")
    in_data = Path("data") / "Galaxy10.h5"
    write_galaxy10(in_data, *like_galaxy10)
    with pytest.raises(DataError, match="is not the published"):
        locate_galaxy10()
    known = galaxy10.DATASETS["galaxy10"]._replace(sha256=galaxy10.sha256_of_file(in_data))
    monkeypatch.setitem(galaxy10.DATASETS, "galaxy10", known)
    assert locate_galaxy10() == in_data
    in_data.unlink()
    assert locate_galaxy10() == in_astronn


def test_what_is_no_path_and_what_cannot_be_written_is_refused(like_galaxy10, tmp_path):
    with pytest.raises(ParameterError, match="expected the path"):
        load_galaxy10(like_galaxy10[0])
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match=r"cannot write .*(Not a directory|File exists)"):
        write_galaxy10(tmp_path / "file" / "some.h5", *like_galaxy10)
    with pytest.raises(DataError, match="100 images but 99 labels"):
        write_galaxy10(tmp_path / "x.h5", like_galaxy10[0], like_galaxy10[1][1:])
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_the_real_subset_has_the_counts_that_its_readme_gives(real_path):
    images, labels = load_galaxy10(real_path)
    assert np.bincount(labels).tolist() == [138, 4576, 3996, 278, 989, 14, 376, 487, 416, 227]
    assert images.shape == (11497, 69, 69, 3)


def _originals():
    """Small files, most of whose bytes are structure: even grey packs well."""
    packed = {"chunks": (1, 69, 69, 3), "compression": "gzip"}
    for options, version in itertools.product(({}, packed), ("earliest", "latest")):
        buffer = io.BytesIO()
        with h5py.File(buffer, "w", libver=version) as file:
            file.create_dataset("images", data=np.full((2, 69, 69, 3), 7, "u1"), **options)
            file.create_dataset("ans", data=np.array([1, 2], "u1"))
            file.attrs["origin_kind"] = "simulated"
        yield buffer.getvalue()


def _mutated(content, rng):
    structure = [at for at, byte in enumerate(content) if byte != 7]
    for _ in range(rng.choice([1, 1, 2, 8])):
        at = rng.choice(structure) if rng.random() < 0.7 else rng.randrange(len(content))
        at = min(at, len(content) - 1)
        flipped = bytes([content[at] ^ 1 << rng.randrange(8)])
        extreme = rng.choice([b"\xff", b"\x00", b"\x7f"]) * rng.choice([1, 2, 4, 8])
        new = rng.choice([flipped, extreme, rng.randbytes(rng.choice([1, 4, 100])), b""])
        gone = rng.choice([len(new)] * 3 + [0, 1, 4, 100, len(content)])
        content = content[:at] + new + content[at + gone :] or b"x"
    return content


def _read_mutated(count, path):
    """Print how each mutated file ended; anything but a DataError ends this process."""
    faulthandler.enable()
    for number, original in zip(range(count), itertools.cycle(_originals()), strict=False):
        path.write_bytes(_mutated(original, random.Random(number)))
        faulthandler.dump_traceback_later(20, exit=True)
        try:
            images, labels = load_galaxy10(path)
            kinds = set(map(type, read_attributes(path).values()))
        except DataError as error:
            print(number, "refused" if path.name in str(error) else error, flush=True)
        else:
            assert (images.dtype, images.shape) == (np.uint8, (len(labels), 69, 69, 3))
            assert kinds <= {str, int}
            assert labels.max() < 10
            print(number, "read", flush=True)


@pytest.mark.parametrize("count", [60, pytest.param(1000, marks=pytest.mark.slow)])
def test_damaged_files_are_read_or_refused(count, tmp_path):
    # HDF5 is C: a file that crashed or hung it must not take the tests with it.
    command = [sys.executable, __file__, str(count), tmp_path / "mutated.h5"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    refused, read = done.stdout.count("refused"), done.stdout.count("read")
    assert refused + read == count, done.stdout[-20:] + done.stderr[-2000:]
    assert refused > count / 4
    assert read > count / 10


if __name__ == "__main__":
    _read_mutated(int(sys.argv[1]), Path(sys.argv[2]))
