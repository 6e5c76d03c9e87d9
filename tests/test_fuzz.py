"""Damaged files end in the package's own error: no crash, no hang, nothing else."""

import subprocess
import sys

import pytest

# HDF5 is C: a file that crashed or hung it must not take the tests with it.
SCRIPT = """
import faulthandler, io, random, sys, warnings
from pathlib import Path
import h5py
import numpy as np
from PIL import Image
from galclass import prepare
from galclass.galaxy10 import DataError, read_galaxy10

first, last, folder = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
suffixes = sys.argv[4:]
warnings.simplefilter("ignore")  # Pillow warns of much that it then reads.
faulthandler.enable()
rng = np.random.default_rng(0)
originals = []
for suffix in suffixes:
    if suffix == "h5":
        break
    buffer = io.BytesIO()
    pixels = rng.integers(0, 60, (90, 90, 3)).astype("u1")
    Image.fromarray(pixels).save(buffer, {"jpg": "jpeg", "tif": "tiff"}.get(suffix, suffix))
    originals.append(buffer.getvalue())
for options in ({}, {"chunks": (1, 69, 69, 3), "compression": "gzip"}) if not originals else ():
    for libver in ("earliest", "latest"):
        buffer = io.BytesIO()
        with h5py.File(buffer, "w", libver=libver) as file:
            # Even grey packs well: most bytes of the file are then structure, not pixels.
            file.create_dataset("images", data=np.full((2, 69, 69, 3), 7, "u1"), **options)
            file.create_dataset("ans", data=np.array([1, 2], "u1"))
            file.attrs["kind"] = "simulated"
        originals.append(buffer.getvalue())

def structure(content):
    # Half of the changes fall where HDF5 keeps its headers rather than into even pixels.
    return [i for i, byte in enumerate(content) if byte != 7]

places = [structure(content) for content in originals]

def mutate(rng, which):
    content = bytearray(originals[which])
    for _ in range(rng.choice([1, 1, 2, 8])):
        kind = rng.choice(["flip", "byte", "extreme", "cut", "insert", "delete", "copy"])
        at = rng.choice(places[which]) if rng.random() < 0.7 else rng.randrange(len(content))
        at = min(at, len(content) - 1)
        if kind == "flip":
            content[at] ^= 1 << rng.randrange(8)
        elif kind == "byte":
            content[at] = rng.randrange(256)
        elif kind == "extreme":
            width = rng.choice([1, 2, 4, 8])
            content[at : at + width] = rng.choice([b"\\xff", b"\\x00", b"\\x7f"]) * width
        elif kind == "cut":
            del content[max(at, 1) :]
        elif kind == "insert":
            content[at:at] = rng.randbytes(rng.choice([1, 4, 100]))
        elif kind == "delete":
            del content[at : at + rng.choice([1, 4, 100])]
        else:
            start = rng.randrange(len(content))
            content[at : at + 64] = content[start : start + 64]
        if not content:
            content = bytearray(b"x")
    return bytes(content)

for number in range(first, last):
    print(number, flush=True)
    path = folder / f"{first}.{suffixes[number % len(suffixes)]}"
    path.write_bytes(mutate(random.Random(number), number % len(originals)))
    faulthandler.dump_traceback_later(20, exit=True)
    try:
        if path.suffix == ".h5":
            images, labels = read_galaxy10(path)
        else:
            images, labels = prepare([path]), np.zeros(1)
    except DataError as error:
        assert path.name in str(error)
        print("refused")
    else:
        assert images.dtype == np.uint8 and images.shape[1:] == (69, 69, 3)
        assert len(images) == len(labels) and labels.max() < 10
        print("read")
"""


def _read_mutated(first, last, folder, *suffixes):
    arguments = [str(first), str(last), str(folder), *suffixes]
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", SCRIPT, *arguments],
        capture_output=True,
        text=True,
        timeout=300,
    )
    lines = done.stdout.split("\n")
    numbers = [line for line in lines if line.isdigit()]
    assert done.returncode == 0, f"file {numbers[-1]}: {done.stderr[-2000:]}"
    return lines.count("refused"), lines.count("read")


@pytest.mark.slow
@pytest.mark.parametrize("suffixes", [["h5"], ["jpg", "png", "tif"]])
def test_two_thousand_mutated_files_are_read_or_refused(tmp_path, suffixes):
    refused, read = _read_mutated(0, 2000, tmp_path, *suffixes)
    assert refused + read == 2000
    assert refused > 500
    assert read > 200


@pytest.mark.parametrize("suffixes", [["h5"], ["jpg", "png", "tif"]])
def test_a_few_mutated_files_are_read_or_refused(tmp_path, suffixes):
    assert sum(_read_mutated(2000, 2100, tmp_path, *suffixes)) == 100
