"""Damaged images and HDF5 files are read or refused; they never crash or hang a decoder."""

import faulthandler
import io
import itertools
import json
import random
import subprocess
import sys
import warnings
from pathlib import Path

import h5py
import numpy as np
import pytest
from astropy.io import fits
from PIL import Image

from galclass.data.dataset import Origin
from galclass.data.galaxy10 import CLASS_NAMES, load_galaxy10
from galclass.errors import DataError
from galclass.images.prepare import Framing, prepare_all

FORMATS = ["jpg", "png", "tif", "webp", "gif", "fits", "fits.fz", "h5"]
PILLOW = {"jpg": "jpeg", "tif": "tiff"}
GREY = 7  # of the galaxies in HDF5 files, so that most bytes with other values are structure


def make_images(suffix):
    pixels = np.random.default_rng(0).integers(0, 60, (90, 90, 3)).astype("u1")
    file = io.BytesIO()
    if suffix == "fits":
        fits.PrimaryHDU(pixels[..., 0].astype(np.float32)).writeto(file)
    elif suffix == "fits.fz":
        compressed = fits.CompImageHDU(pixels[..., 0].astype(np.float32))
        fits.HDUList([fits.PrimaryHDU(), compressed]).writeto(file)
    else:
        Image.fromarray(pixels).save(file, PILLOW.get(suffix, suffix))
    return [file.getvalue()]


def make_galaxies():
    """Return files in Galaxy10's layout, as different versions of HDF5 write them."""
    images = np.full((2, 69, 69, 3), GREY, np.uint8)
    labels = np.array([1, 2], np.uint8)
    record = Origin.of_arrays(images, labels, CLASS_NAMES).record()
    packed = {"chunks": (1, 69, 69, 3), "compression": "gzip"}
    contents = []
    for options, version in itertools.product(({}, packed), ("earliest", "latest")):
        file = io.BytesIO()
        with h5py.File(file, "w", libver=version) as galaxies:
            galaxies.create_dataset("images", data=images, **options)
            galaxies["ans"] = labels
            galaxies.attrs["class_names"] = list(CLASS_NAMES)
            galaxies.attrs["origin"] = json.dumps({**record, "kind": "simulated"})
        contents.append(file.getvalue())
    return contents


def damage(content, structure, rng):
    """Change a few bytes, mostly in the structure of a file."""
    for _ in range(rng.choice([1, 1, 2, 8])):
        at = rng.randrange(len(content))
        if rng.random() < 0.7:
            at = min(rng.choice(structure), len(content) - 1)
        flipped = bytes([content[at] ^ 1 << rng.randrange(8)])
        extreme = rng.choice([b"\xff", b"\x00", b"\x7f", b"9"]) * rng.choice([1, 2, 4, 8])
        new = rng.choice([flipped, extreme, rng.randbytes(rng.choice([1, 4, 100])), b""])
        removed = rng.choice([len(new), len(new), len(new), 0, 1, 4, 100, len(content)])
        content = content[:at] + new + content[at + removed :] or b"x"
    return content


def read(path):
    """Return "read" or "refused"; raise an error for anything else."""
    source = path
    if "fits" in path.name:
        source = (path, path, path)
    try:
        if path.suffix == ".h5":
            images, labels, origin = load_galaxy10(path)
            assert labels.max() < len(origin.class_names)
        else:
            images = prepare_all([source], Framing(69, None))
    except DataError as error:
        if path.name not in str(error):
            raise
        return "refused"
    assert images.dtype == np.uint8
    assert images.shape[1:] == (69, 69, 3)
    return "read"


def read_damaged_files(suffix, count, folder):
    """Print the end of each file; an error, a crash or a hang ends this process."""
    warnings.simplefilter("ignore")  # Pillow and astropy warn about files that they then read.
    faulthandler.enable()
    path = Path(folder) / f"damaged.{suffix}"
    if suffix == "h5":
        contents = make_galaxies()
        structures = [[at for at, byte in enumerate(one) if byte != GREY] for one in contents]
    else:
        contents = make_images(suffix)
        structures = [range(min(len(contents[0]), 400))]
    for number in range(int(count)):
        original = number % len(contents)
        rng = random.Random(number)
        path.write_bytes(damage(contents[original], structures[original], rng))
        print(number, end=" ", flush=True)
        faulthandler.dump_traceback_later(20, exit=True)
        print(read(path), flush=True)


@pytest.mark.parametrize("count", [60, pytest.param(1000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("suffix", FORMATS)
def test_damaged_files_are_read_or_refused(suffix, count, tmp_path):
    # In another process, because decoders are written in C and can crash.
    command = [sys.executable, __file__, suffix, str(count), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout[-20:] + done.stderr[-2000:]
    refused = done.stdout.count("refused")
    assert refused > count / 10
    if suffix != "png":  # Its checksums find every change.
        assert count - refused > count / 20


if __name__ == "__main__":
    read_damaged_files(*sys.argv[1:])
