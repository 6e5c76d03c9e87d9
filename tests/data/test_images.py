"""Whatever an image is, it becomes the same pixels, or one error that ends no batch."""

import csv
import faulthandler
import io
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
    with open(folder / "labels.csv", newline="") as file:
        classes = {int(Path(row["file"]).stem): int(row["ans"]) for row in csv.DictReader(file)}
    with h5py.File(real_path) as file:
        ids = file["galaxy_id"][:]
        places = np.flatnonzero(np.isin(ids, list(classes)))
        images, labels = file["images"][places], file["ans"][places]
    assert len(classes) == len(places) == 58
    assert [classes[i] for i in ids[places]] == labels.tolist()
    paths = [folder / f"{i}.jpg" for i in ids[places]]
    np.testing.assert_array_equal(prepare(paths), images)
    np.testing.assert_array_equal(prepare(folder), images[np.argsort(paths)])


def test_424_pixels_are_cut_to_the_published_box(noise):
    by_hand = Image.fromarray(noise).crop((108, 108, 315, 315)).resize((69, 69), Image.BILINEAR)
    np.testing.assert_array_equal(prepare(noise)[0], np.asarray(by_hand))


def test_every_form_of_an_image_gives_the_same_pixels(noise, tmp_path):
    expected = prepare(noise)
    png = saved(tmp_path / "a.png", noise)
    tiff = saved(tmp_path / "b.tif", noise)
    webp = saved(tmp_path / "c.webp", noise, lossless=True)
    rgba = Image.fromarray(noise).convert("RGBA")
    several = [noise, Image.fromarray(noise), png, str(tiff), webp, png.read_bytes(), rgba]
    for one in prepare(several):
        np.testing.assert_array_equal(one, expected[0])
    for one in (png, noise[None], iter([noise]), Image.open(webp), png.read_bytes()):
        np.testing.assert_array_equal(prepare(one), expected)
    ((_, found, _),) = iter_prepared(noise)
    np.testing.assert_array_equal(found, expected[0])


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
    small = np.asarray(Image.fromarray(smooth).resize((424, 424), Image.BOX))
    assert np.abs(prepare(smooth).astype(int) - prepare(small)).max() <= 1
    odd = np.asarray(Image.fromarray(smooth).resize((301, 301), Image.BOX))
    assert np.abs(prepare(odd).astype(int) - prepare(small)).max() <= 2


def test_of_a_wide_image_the_central_square_is_taken(noise):
    wide = np.pad(noise, ((0, 0), (50, 50), (0, 0)))
    np.testing.assert_array_equal(prepare(wide), prepare(noise))


def test_crop_is_a_fraction_of_the_field(noise):
    whole = Image.fromarray(noise).resize((69, 69), Image.BILINEAR)
    half = Image.fromarray(noise).crop((106, 106, 318, 318)).resize((69, 69), Image.BILINEAR)
    np.testing.assert_array_equal(prepare(noise, crop=1)[0], np.asarray(whole))
    np.testing.assert_array_equal(prepare(noise, crop=0.5)[0], np.asarray(half))
    for wrong in (0, 1.5, float("nan"), "0.5"):
        with pytest.raises(ParameterError, match="fraction of the field"):
            prepare(noise, crop=wrong)


def test_images_of_69_pixels_pass_unchanged(noise):
    ready = noise[:138, :69].reshape(2, 69, 69, 3)
    np.testing.assert_array_equal(prepare(ready), ready)
    assert (prepare(ready, crop=0.5) != ready).any()


def test_the_camera_s_orientation_is_obeyed(noise, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # To be shown turned by 90 degrees clockwise.
    path = saved(tmp_path / "turned.png", noise, exif=exif)
    np.testing.assert_array_equal(prepare(path)[0], prepare(np.rot90(noise, -1))[0])


def test_an_image_of_16_bits_a_colour_keeps_its_high_bits():
    def chunk(kind, data):
        content = kind + data
        return struct.pack(">I", len(data)) + content + struct.pack(">I", zlib.crc32(content))

    rows = zlib.compress((b"\0" + b"\x80\x01\x40\x02\x20\x03" * 69) * 69)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 69, 69, 16, 2, 0, 0, 0))
    file = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    assert (prepare(file) == [0x80, 0x40, 0x20]).all()


ARRAYS = {
    "zero to one": (np.full((424, 424, 3), 0.5), ["0-1", "astype"]),
    "floats to 255": (np.full((424, 424, 3), 200.0), ["0-255", "round"]),
    "NaN": (np.full((424, 424, 3), np.nan), ["NaN"]),
    "16 bits": (np.zeros((424, 424, 3), np.uint16), ["uint16", "expected uint8"]),
    "grey": (np.zeros((424, 424), np.uint8), ["without colour", "dstack"]),
    "channels first": (np.zeros((3, 424, 424), np.uint8), ["last axis"]),
    "RGBA": (np.zeros((424, 424, 4), np.uint8), ["(424, 424, 4)", "(height, width, 3)"]),
    "no pixel": (np.zeros((0, 424, 3), np.uint8), ["(0, 424, 3)"]),
    "one pixel": (np.zeros((1, 1, 3), np.uint8), ["1 x 1", "larger crop"]),
    "no array": (3.5, ["float", "expected a path"]),
}


@pytest.mark.parametrize("kind", ARRAYS)
def test_an_array_that_is_no_colour_image_is_refused(kind):
    image, words = ARRAYS[kind]
    with pytest.raises(DataError) as caught:
        prepare([image])
    assert all(word in str(caught.value) for word in ["image 0", *words])


def test_a_file_that_is_no_colour_image_is_refused(noise, tmp_path):
    saved(tmp_path / "cut.jpg", noise)
    saved(tmp_path / "cut.png", noise)
    for name in ("cut.jpg", "cut.png"):
        os.truncate(tmp_path / name, 5000)
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "words.jpg").write_bytes(b"<html>404</html>")
    saved(tmp_path / "grey.png", noise[..., 0])
    saved(tmp_path / "deep.tif", noise[..., 0].astype(np.uint16))
    saved(tmp_path / "clear.png", np.dstack([noise, np.zeros((424, 424), np.uint8)]))
    for name, words in {
        "cut.jpg": "cut off",
        "cut.png": "cut off",
        "empty.jpg": "no image, .*JPEG, PNG, TIFF",
        "words.jpg": "no image, .*JPEG, PNG, TIFF",
        "one.fits": "three",
        "grey.png": "without colour",
        "deep.tif": "without colour",
        "clear.png": "transparent",
    }.items():
        with pytest.raises(DataError, match=f"{name}.*{words}"):
            prepare([tmp_path / name])


def test_paths_that_lead_to_no_image_are_refused(tmp_path):
    for images, error, words in (
        ([tmp_path / "gone.jpg"], FileNotFoundError, r"no file .*gone\.jpg"),
        (tmp_path / "gone", FileNotFoundError, "no file or directory"),
        ((tmp_path / "gone.fits",) * 3, FileNotFoundError, r"no file .*gone\.fits;"),
        (tmp_path, DataError, "no image in"),
        ([tmp_path], DataError, "directory"),
        ([], DataError, "at least one"),
    ):
        with pytest.raises(error, match=words):
            prepare(images)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("limit", [424 * 424 - 1, 424 * 424 // 3])
def test_an_image_above_pillow_s_limit_is_not_decoded(limit, noise, tmp_path, monkeypatch):
    path = saved(tmp_path / "bomb.png", noise)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with pytest.raises(DataError, match="too large"):
        prepare(path)


def test_streaming_keeps_the_order_reports_the_broken_and_reads_little_ahead(noise, tmp_path):
    path = saved(tmp_path / "a.png", noise)
    taken = []

    def images():
        for i in range(3 * LOOKAHEAD):
            taken.append(i)
            yield np.full((69, 69, 3), i % 256, np.uint8)
        yield path
        yield tmp_path / "gone.png"

    stream = iter_prepared(images())
    source, image, error = next(stream)
    assert (source, image[0, 0, 0], error) == ("image 0", 0, None)
    assert len(taken) == LOOKAHEAD
    rest = list(stream)
    values = [image[0, 0, 0] for _, image, _ in rest[:-2]]
    assert values == [i % 256 for i in range(1, 3 * LOOKAHEAD)]
    assert rest[-2][0] == str(path)
    np.testing.assert_array_equal(rest[-2][1], prepare(noise)[0])
    assert rest[-1][1] is None
    assert isinstance(rest[-1][2], FileNotFoundError)


def test_three_bands_become_the_colours_of_sdss():
    g, r, i = np.random.default_rng(1).gamma(1, 0.3, (3, 69, 69)).astype(np.float32)
    expected = np.asarray(sdss_image(np.stack([i, r, g]).astype(float)))
    np.testing.assert_array_equal(prepare((g, r, i))[0], expected)
    np.testing.assert_array_equal(prepare([(g.astype(">f8"), r, i)])[0], expected)


def test_fits_images_are_turned_the_right_way_up_and_prepared(tmp_path):
    bands = np.zeros((3, 424, 424), np.float32)
    bands[:, 250:300, 210:215] = 0.5  # Above the centre: FITS counts rows from the bottom.
    paths = tuple(tmp_path / f"{name}.fits" for name in "gri")
    for path, band in zip(paths, bands, strict=True):
        fits.writeto(path, band)
    (image,) = prepare(paths)
    assert image[5:30].max() > 100
    assert image[40:].max() < 50
    np.testing.assert_array_equal(prepare([tuple(bands[:, ::-1])])[0], image)
    ((source, _, _),) = iter_prepared([paths])
    assert source == ", ".join(map(str, paths))


def test_bands_that_do_not_make_an_image_are_refused(tmp_path):
    band = np.ones((10, 10))
    for wrong, words in (
        (band[:5], "one shape"),
        (band[:0], "one shape"),
        (np.full((10, 10), np.nan), r"band r .*NaN"),
        (np.full((10, 10), 1e200), r"band r .*infinite"),
        (band > 0, "band r .*bool"),
    ):
        with pytest.raises(DataError, match=words):
            prepare((band[: len(wrong) or 10], wrong, band))
    bad = tmp_path / "bad.fits"
    bad.write_bytes(b"SIMPLE  =    maybe")
    with pytest.raises(DataError, match=r"bad\.fits cannot be read .*FITS"):
        prepare((bad, bad, bad))
    fits.writeto(tmp_path / "cube.fits", np.zeros((3, 10, 10)))
    with pytest.raises(DataError, match=r"shape \(3, 10, 10\)"):
        prepare((tmp_path / "cube.fits",) * 3)


def test_no_image_ends_a_batch(noise, tmp_path):
    good = noise[:69, :69]
    whole = saved(tmp_path / "whole.png", noise).read_bytes()
    header = fits.PrimaryHDU(np.ones((69, 69))).header.tostring().encode()
    (tmp_path / "kind.fits").write_bytes(header.replace(b"BITPIX", b"BITPUX"))
    (tmp_path / "cut.fits").write_bytes(header)
    (tmp_path / "cut.fits.gz").write_bytes(b"\x1f\x8b\x08")
    closed = Image.open(tmp_path / "whole.png")
    closed.close()
    bad = [
        "a" * 300 + ".jpg",
        "a\0b.jpg",
        "a" * 300 + "/b.fits",
        Image.open(io.BytesIO(whole[:3000])),
        Image.open(io.BytesIO(saved(tmp_path / "small.png", good).read_bytes()[:3000])),
        closed,
        whole[:3000],
        *((tmp_path / name,) * 3 for name in ("kind.fits", "cut.fits", "cut.fits.gz")),
        ("a" * 300 + ".fits",) * 3,
        DataError("its row could not be read"),
        None,
        {},
    ]
    batch = [one for image in bad for one in (image, good)]
    answers = list(iter_prepared(batch))
    assert len(answers) == len(batch)
    for given, (source, image, error) in zip(batch, answers, strict=True):
        if given is good:
            np.testing.assert_array_equal(image, good)
            assert error is None
        else:
            assert (image, type(error)) == (None, DataError)
            assert source in str(error) or error is given
    with pytest.raises(DataError, match="its row could not be read"):
        prepare([good, DataError("its row could not be read"), None])


def original(suffix):
    """A whole file of a format, as bytes."""
    pixels = np.random.default_rng(0).integers(0, 60, (90, 90, 3)).astype("u1")
    band, file = pixels[..., 0].astype(np.float32), io.BytesIO()
    if suffix == "fits":
        fits.PrimaryHDU(band).writeto(file)
    elif suffix == "fits.fz":
        fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(band)]).writeto(file)
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
    for suffix in FORMATS:
        content, path = original(suffix), Path(folder) / f"mutated.{suffix}"
        for number in range(int(count)):
            print(suffix, number, "begun", flush=True)
            path.write_bytes(mutated(content, random.Random(number)))
            faulthandler.dump_traceback_later(20, exit=True)
            given = (path,) * 3 if suffix.startswith("fits") else path
            ((_, image, error),) = iter_prepared([given])
            if error is None:
                assert (image.dtype, image.shape) == (np.uint8, (69, 69, 3))
            else:
                assert type(error) is DataError
                assert path.name in str(error)
            print(suffix, number, "read" if error is None else "refused")


@pytest.mark.parametrize("count", [200, pytest.param(2000, marks=pytest.mark.slow)])
def test_mutated_files_are_read_or_refused(count, tmp_path):
    # Decoders are C: a file that crashed or hung one must not take the tests with it.
    command = [sys.executable, __file__, str(count), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    ends = [line.split() for line in done.stdout.splitlines()]
    assert done.returncode == 0, f"file {ends[-1:]}: {done.stderr[-2000:]}"
    for suffix in FORMATS:
        read, refused = ([suffix, end] in [e[::2] for e in ends] for end in ("read", "refused"))
        assert refused
        assert read or suffix == "png"  # whose checksums find every change
    assert sum(end[2] != "begun" for end in ends) == count * len(FORMATS)


if __name__ == "__main__":
    read_mutated(*sys.argv[1:])
