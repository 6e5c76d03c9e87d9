"""Whatever an image is, it becomes the same pixels, or one error that ends no batch."""

import csv
import faulthandler
import functools
import io
import itertools
import os
import random
import struct
import subprocess
import sys
import warnings
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest
from astropy.io import fits
from PIL import Image

from galclass.data.images import LOOKAHEAD, iter_prepared, prepare
from galclass.data.stretch import sdss_image
from galclass.errors import DataError, ParameterError


@pytest.fixture
def noise():
    return np.random.default_rng(0).integers(0, 256, (424, 424, 3), dtype=np.uint8)


def saved(path, array, **options):
    Image.fromarray(array).save(path, **options)
    return path


def test_real_cutouts_give_the_published_pixels(real_path):
    folder = real_path.parent / "cutouts"
    rows = list(csv.DictReader((folder / "labels.csv").read_text().splitlines()))
    paths = [folder / Path(row["file"]).name for row in rows]
    with h5py.File(real_path) as file:
        ids = file["galaxy_id"][:].tolist()
        places = [ids.index(int(path.stem)) for path in paths]
        images, labels = file["images"][:][places], file["ans"][:][places]
    assert len(set(places)) == 58
    assert labels.tolist() == [int(row["ans"]) for row in rows]
    np.testing.assert_array_equal(prepare(paths), images)


def test_every_form_of_an_image_gives_the_same_pixels_of_the_published_box(noise, tmp_path):
    whole = Image.fromarray(noise)
    expected = np.asarray(whole.crop((108, 108, 315, 315)).resize((69, 69), Image.BILINEAR))
    png, tiff = (saved(tmp_path / name, noise) for name in ("a.png", "b.tif"))
    webp = saved(tmp_path / "c.webp", noise, lossless=True)
    wide = np.pad(noise, ((0, 0), (50, 50), (0, 0)))  # Of which the central square is taken.
    content, rgba = png.read_bytes(), whole.convert("RGBA")
    for one in prepare([noise, whole, png, str(tiff), webp, content, rgba, wide]):
        np.testing.assert_array_equal(one, expected)
    for one in (png, noise, noise[None], iter([noise]), Image.open(webp), content):
        np.testing.assert_array_equal(prepare(one), expected[None])
    for crop, box in ((1, (0, 0, 424, 424)), (0.5, (106, 106, 318, 318))):
        by_hand = whole.crop(box).resize((69, 69), Image.BILINEAR)
        np.testing.assert_array_equal(prepare(noise, crop=crop)[0], np.asarray(by_hand))
    for wrong in (0, 1.5, float("nan"), "0.5"):
        with pytest.raises(ParameterError, match="crop"):
            prepare(noise, crop=wrong)
    ready = noise[:138, :69].reshape(2, 69, 69, 3)  # They pass unchanged.
    np.testing.assert_array_equal(prepare(ready), ready)
    assert (prepare(ready, crop=0.5) != ready).any()
    exif = Image.Exif()
    exif[0x0112] = 6  # To be shown turned by 90 degrees clockwise.
    path = saved(tmp_path / "turned.png", noise, exif=exif)
    np.testing.assert_array_equal(prepare(path)[0], prepare(np.rot90(noise, -1))[0])


@pytest.mark.parametrize("form", ["GIF", "WEBP", "TIFF"])
def test_of_several_frames_the_first_is_taken(form):
    first, second = (Image.new("RGB", (69, 69), colour) for colour in ("red", "blue"))
    file = io.BytesIO()
    first.save(file, form, save_all=True, append_images=[second])
    assert np.abs(prepare(file.getvalue()).astype(int) - [255, 0, 0]).max() <= 3


def test_a_directory_gives_its_images_sorted_by_name(tmp_path):
    names = ["b.jpg", "a.png", "e.webp", "c.tiff", "d.gif", "f.jpeg", "g.tif"]
    for name in names:
        saved(tmp_path / name, np.full((69, 69, 3), 7, np.uint8))
    (tmp_path / "notes.txt").write_text("no image")
    sources = [source for source, _, error in iter_prepared(tmp_path) if error is None]
    assert sources == [str(tmp_path / name) for name in sorted(names)]


def test_other_sizes_keep_the_same_fraction_of_the_field():
    y, x = np.mgrid[:848, :848] / 847
    smooth = (255 * np.stack([x, y, (x + y) / 2], axis=-1)).astype(np.uint8)
    small, odd = (Image.fromarray(smooth).resize((n, n), Image.BOX) for n in (424, 301))
    expected = prepare(small).astype(int)
    assert np.abs(prepare(smooth) - expected).max() <= 1
    assert np.abs(prepare(odd) - expected).max() <= 2


def test_an_image_of_16_bits_a_colour_keeps_its_high_bits():
    def chunk(content):
        checksum = struct.pack(">I", zlib.crc32(content))
        return struct.pack(">I", len(content) - 4) + content + checksum

    rows = zlib.compress((b"\0" + b"\x80\x01\x40\x02\x20\x03" * 69) * 69)
    header = struct.pack(">IIBBBBB", 69, 69, 16, 2, 0, 0, 0)
    chunks = [chunk(b"IHDR" + header), chunk(b"IDAT" + rows), chunk(b"IEND")]
    assert (prepare(b"".join([b"\x89PNG\r\n\x1a\n", *chunks])) == [0x80, 0x40, 0x20]).all()


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (np.full((424, 424, 3), 0.5), "0-1"),
        (np.full((424, 424, 3), 200.0), "0-255"),
        (np.full((424, 424, 3), np.nan), "NaN"),
        (np.zeros((424, 424, 3), np.uint16), "uint16.*expected uint8"),
        (np.zeros((424, 424), np.uint8), "dstack"),
        (np.zeros((3, 424, 424), np.uint8), "moveaxis"),
        (np.zeros((424, 424, 4), np.uint8), r"\(424, 424, 4\)"),
        (np.zeros((0, 424, 3), np.uint8), r"\(0, 424, 3\)"),
        (np.zeros((1, 1, 3), np.uint8), "1 x 1.*crop"),
        (3.5, "float.*expected"),
    ],
)
def test_an_array_that_is_no_colour_image_is_refused(image, words):
    with pytest.raises(DataError, match=f"image 0.*{words}"):
        prepare([image])


def test_a_file_that_is_no_colour_image_is_refused(noise, tmp_path):
    for name in ("cut.jpg", "cut.png"):
        os.truncate(saved(tmp_path / name, noise), 5000)
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "words.jpg").write_bytes(b"<html>404</html>")
    saved(tmp_path / "grey.png", noise[..., 0])
    saved(tmp_path / "deep.tif", noise[..., 0].astype(np.uint16))
    saved(tmp_path / "clear.png", np.dstack([noise, np.zeros((424, 424), np.uint8)]))
    for names, error, words in (
        ("cut.jpg cut.png", DataError, "cut off"),
        ("empty.jpg words.jpg", DataError, "no image.*JPEG"),
        ("one.fits", DataError, "three"),
        ("grey.png deep.tif", DataError, "colour"),
        ("clear.png", DataError, "transparent"),
        ("gone.jpg", FileNotFoundError, "no file"),
    ):
        for path in map(tmp_path.joinpath, names.split()):
            with pytest.raises(error, match=f"{path.name}.*{words}|{words}.*{path.name}"):
                prepare([path])
    (tmp_path / "folder").mkdir()
    for images, error, words in (
        (tmp_path / "gone", FileNotFoundError, "gone"),
        ((tmp_path / "gone.fits",) * 3, FileNotFoundError, r"gone\.fits"),
        (tmp_path / "folder", DataError, "no image"),
        ([tmp_path], DataError, "directory"),
        ([], DataError, "at least one"),
    ):
        with pytest.raises(error, match=words):
            prepare(images)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("limit", [424 * 424 - 1, 424 * 424 // 3])
def test_an_image_above_pillow_s_limit_is_not_decoded(limit, noise, tmp_path, monkeypatch):
    path, band = saved(tmp_path / "bomb.png", noise), tmp_path / "bomb.fits"
    fits.writeto(band, noise[..., 0])
    assert prepare([(band,) * 3]).shape == (1, 69, 69, 3)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    for image in (path, (band,) * 3):
        with pytest.raises(DataError, match="too large"):
            prepare(image)


def test_streaming_keeps_the_order_and_reads_little_ahead():
    taken, count = [], 3 * LOOKAHEAD
    images = (taken.append(i) or np.full((69, 69, 3), i % 256, np.uint8) for i in range(count))
    stream = iter_prepared(images)
    source, image, error = next(stream)
    assert (source, image[0, 0, 0], error) == ("image 0", 0, None)
    assert len(taken) == LOOKAHEAD
    assert [image[0, 0, 0] for _, image, _ in stream] == [i % 256 for i in range(1, count)]


def test_three_bands_become_the_colours_of_sdss_the_right_way_up(tmp_path):
    g, r, i = np.random.default_rng(1).gamma(1, 0.3, (3, 69, 69)).astype(np.float32)
    expected = np.asarray(sdss_image(np.stack([i, r, g]).astype(float)))
    np.testing.assert_array_equal(prepare((g, r, i))[0], expected)
    np.testing.assert_array_equal(prepare([(g.astype(">f8"), r, i)])[0], expected)
    bands = np.zeros((3, 424, 424), np.float32)
    bands[:, 250:300, 210:215] = 0.5  # Above the centre: FITS counts rows from the bottom.
    paths = tuple(tmp_path / f"{name}.fits" for name in "gri")
    for path, band in zip(paths, bands, strict=True):
        fits.writeto(path, band)
    ((source, image, _),) = iter_prepared([paths])
    assert image[5:30].max() > 100
    assert image[40:].max() < 50
    np.testing.assert_array_equal(prepare([tuple(bands[:, ::-1])])[0], image)
    assert source == ", ".join(map(str, paths))


def test_bands_that_do_not_make_an_image_are_refused(tmp_path):
    band, bad, cube = np.ones((10, 10)), tmp_path / "bad.fits", tmp_path / "cube.fits"
    bad.write_bytes(b"SIMPLE  =    maybe")
    fits.writeto(cube, np.zeros((3, 10, 10)))
    for bands, words in (
        ((band, band[:5], band), "one shape"),
        ((band[:0],) * 3, r"\(0, 10\)|one shape"),
        ((band, np.full((10, 10), np.nan), band), "band r.*NaN"),
        ((band, np.full((10, 10), 1e200), band), "band r.*infinite"),
        ((band, band > 0, band), "band r.*bool"),
        ((bad,) * 3, r"bad\.fits.*FITS"),
        ((cube,) * 3, r"\(3, 10, 10\)"),
    ):
        with pytest.raises(DataError, match=words):
            prepare(bands)


def test_no_image_ends_a_batch(noise, tmp_path):
    good = noise[:69, :69]
    whole = saved(tmp_path / "whole.png", noise).read_bytes()
    header = fits.PrimaryHDU(np.ones((69, 69))).header.tostring().encode()
    (tmp_path / "kind.fits").write_bytes(header.replace(b"BITPIX", b"BITPUX"))
    (tmp_path / "cut.fits").write_bytes(header)
    (tmp_path / "cut.fits.gz").write_bytes(b"\x1f\x8b\x08")
    closed = Image.open(tmp_path / "whole.png")
    closed.close()
    small = saved(tmp_path / "small.png", good).read_bytes()
    opened = [Image.open(io.BytesIO(content[:3000])) for content in (whole, small)]
    files = [(tmp_path / name,) * 3 for name in ("kind.fits", "cut.fits", "cut.fits.gz")]
    names = ["a" * 300 + ".jpg", "a\0b.jpg", "a" * 300 + "/b.fits", ("a" * 300 + ".fits",) * 3]
    bad = [*names, *opened, closed, whole[:3000], *files, DataError("its row"), None, {}]
    batch = [one for image in bad for one in (image, good)]
    answers = list(iter_prepared(batch))
    assert len(answers) == len(batch)
    for given, (source, image, error) in zip(bad, answers[::2], strict=True):
        assert (image, type(error)) == (None, DataError)
        assert source in str(error) or error is given
    for _, image, error in answers[1::2]:
        np.testing.assert_array_equal(image, good)
        assert error is None
    with pytest.raises(DataError, match="its row"):
        prepare([good, DataError("its row"), None])


@functools.cache
def original(suffix):
    """A whole file of a format, as bytes."""
    pixels = np.random.default_rng(0).integers(0, 60, (90, 90, 3)).astype("u1")
    band, file = pixels[..., 0].astype(np.float32), io.BytesIO()
    if suffix.startswith("fits"):
        compressed = [fits.CompImageHDU(band)] if suffix == "fits.fz" else []
        fits.HDUList([fits.PrimaryHDU(None if compressed else band), *compressed]).writeto(file)
    else:
        Image.fromarray(pixels).save(file, {"jpg": "jpeg", "tif": "tiff"}.get(suffix, suffix))
    return file.getvalue()


def mutated(content, rng):
    """A file with a few bytes changed, mostly in its first 400, where its structure is."""
    for _ in range(rng.choice([1, 1, 2, 8])):
        at = rng.randrange(min(len(content), 400) if rng.random() < 0.7 else len(content))
        flipped = bytes([content[at] ^ 1 << rng.randrange(8)])
        extreme = rng.choice([b"\xff", b"\x00", b"\x7f", b"9"]) * rng.choice([1, 2, 4, 8])
        new = rng.choice([flipped, extreme, rng.randbytes(rng.choice([1, 4, 100])), b""])
        gone = rng.choice([len(new), len(new), 0, 1, 4, 100, rng.choice([100, len(content)])])
        content = content[:at] + new + content[at + gone :] or b"x"
    return content


FORMATS = ["jpg", "png", "tif", "webp", "gif", "fits", "fits.fz"]


def read_mutated(count, folder):
    """Print how each mutated file ended; anything but an image or a DataError ends this process."""
    warnings.simplefilter("ignore")  # Pillow and astropy warn of much that they then read.
    faulthandler.enable()
    for suffix, number in itertools.product(FORMATS, range(int(count))):
        print(suffix, number, "begun", flush=True)
        path = Path(folder) / f"mutated.{suffix}"
        path.write_bytes(mutated(original(suffix), random.Random(number)))
        faulthandler.dump_traceback_later(20, exit=True)
        ((_, image, error),) = iter_prepared([(path,) * 3 if "fits" in suffix else path])
        if error is None:
            assert (image.dtype, image.shape) == (np.uint8, (69, 69, 3))
        else:
            assert (type(error), path.name in str(error)) == (DataError, True)
        print(suffix, number, "read" if error is None else "refused")


@pytest.mark.parametrize("count", [60, pytest.param(500, marks=pytest.mark.slow)])
def test_mutated_files_are_read_or_refused(count, tmp_path):
    # Decoders are C: a file that crashed or hung one must not take the tests with it.
    command = [sys.executable, __file__, str(count), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    ends = [line.split() for line in done.stdout.splitlines()]
    assert done.returncode == 0, f"file {ends[-1:]}: {done.stderr[-2000:]}"
    both = {(suffix, end) for suffix in FORMATS for end in ("read", "refused")}
    found = {(suffix, end) for suffix, _, end in ends if end != "begun"}
    assert found >= both - {("png", "read")}  # Whose checksums find every change.
    assert len(ends) == 2 * count * len(FORMATS)


if __name__ == "__main__":
    read_mutated(*sys.argv[1:])
