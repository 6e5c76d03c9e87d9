"""Images in every accepted form become the same pixels; a bad image never ends a batch."""

import csv
import io
import os
import struct
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest
from astropy.io import fits
from PIL import Image

from galclass.errors import DataError, ParameterError
from galclass.images.prepare import (
    DEFAULT_CROP,
    LOOKAHEAD,
    Framing,
    crop_box,
    iter_prepared,
    prepare,
    prepare_all,
    prepare_named,
)

GALAXY10_BOX = (108, 108, 315, 315)


@pytest.fixture
def noise():
    return np.random.default_rng(0).integers(0, 256, (424, 424, 3), dtype=np.uint8)


def save(path, pixels, **options):
    Image.fromarray(pixels).save(path, **options)
    return path


def cut_by_hand(pixels, box):
    image = Image.fromarray(pixels).crop(box)
    return np.asarray(image.resize((69, 69), Image.Resampling.BILINEAR))


def test_real_cutouts_give_the_published_pixels(real_path):
    folder = real_path.parent / "cutouts"
    rows = list(csv.DictReader((folder / "labels.csv").read_text().splitlines()))
    paths = [folder / Path(row["file"]).name for row in rows]
    with h5py.File(real_path) as file:
        ids = file["galaxy_id"][:].tolist()
        places = [ids.index(int(path.stem)) for path in paths]
        images = file["images"][:][places]
    assert len(set(places)) == 58
    np.testing.assert_array_equal(prepare(paths), images)


def test_all_forms_of_an_image_give_the_pixels_of_the_published_box(noise, tmp_path):
    expected = cut_by_hand(noise, GALAXY10_BOX)
    image = Image.fromarray(noise)
    png = save(tmp_path / "a.png", noise)
    tiff = save(tmp_path / "b.tif", noise)
    webp = save(tmp_path / "c.webp", noise, lossless=True)
    content = png.read_bytes()
    wide = np.pad(noise, ((0, 0), (50, 50), (0, 0)))
    for one in prepare([noise, image, png, str(tiff), webp, content, image.convert("RGBA"), wide]):
        np.testing.assert_array_equal(one, expected)
    for one in (png, noise, noise[None], iter([noise]), Image.open(webp), content):
        np.testing.assert_array_equal(prepare(one), expected[None])
    paths = np.array([str(png), str(tiff)])
    np.testing.assert_array_equal(prepare(paths), [expected, expected])
    grey = noise[..., :1]
    np.testing.assert_array_equal(prepare(grey), prepare(np.repeat(grey, 3, axis=2)))


def test_a_given_crop_is_kept_in_whole_pixels_and_applies_to_all_images(noise):
    for crop, box in (
        (1, (0, 0, 424, 424)),
        (0.5, (106, 106, 318, 318)),
        (1e-9, (211, 211, 212, 212)),
    ):
        np.testing.assert_array_equal(prepare(noise, crop=crop)[0], cut_by_hand(noise, box))
    small = noise[:69, :69]
    np.testing.assert_array_equal(prepare(small)[0], small)
    expected = cut_by_hand(small, (17, 17, 51, 51))
    np.testing.assert_array_equal(prepare(small, crop=0.5)[0], expected)
    for crop in (0, 1.5, float("nan"), "0.5"):
        with pytest.raises(ParameterError, match="crop="):
            prepare(noise, crop=crop)


def test_a_framing_says_how_images_of_any_size_become_square(noise):
    for size, framing, box in (
        ((424, 424), Framing(69, DEFAULT_CROP), GALAXY10_BOX),
        ((524, 424), Framing(69, DEFAULT_CROP), (158, 108, 365, 315)),
        ((60, 41), Framing(69, None), (9, 0, 50, 41)),
        ((50, 50), Framing(50, 0.5), (0, 0, 50, 50)),
        ((50, 50), Framing(50, 0.5, force=True), (12, 12, 37, 37)),
    ):
        assert crop_box(size, framing) == box
    whole = prepare_all(noise, Framing(69, None))[0]
    np.testing.assert_array_equal(whole, cut_by_hand(noise, (0, 0, 424, 424)))
    np.testing.assert_array_equal(prepare_all(noise, Framing(424, 0.5))[0], noise)


def test_other_sizes_keep_the_same_fraction_of_the_field():
    y, x = np.mgrid[:848, :848] / 847
    smooth = (255 * np.stack([x, y, (x + y) / 2], axis=-1)).astype(np.uint8)
    small, odd = (Image.fromarray(smooth).resize((n, n), Image.BOX) for n in (424, 301))
    expected = prepare(small).astype(int)
    assert np.abs(prepare(smooth) - expected).max() <= 1
    assert np.abs(prepare(odd) - expected).max() <= 2


def test_the_orientation_that_a_file_states_is_applied(noise, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # 90 degrees clockwise
    path = save(tmp_path / "turned.png", noise, exif=exif)
    turned = prepare(np.rot90(noise, -1))
    np.testing.assert_array_equal(prepare([path, Image.open(path)]), [*turned, *turned])


@pytest.mark.parametrize("form", ["GIF", "WEBP", "TIFF"])
def test_the_first_of_several_frames_is_taken(form):
    red = Image.new("RGB", (69, 69), "red")
    file = io.BytesIO()
    red.save(file, form, save_all=True, append_images=[Image.new("RGB", (69, 69), "blue")])
    assert np.abs(prepare(file.getvalue()).astype(int) - [255, 0, 0]).max() <= 3


def test_an_image_of_16_bits_per_colour_keeps_its_high_bits():
    def chunk(content):
        checksum = struct.pack(">I", zlib.crc32(content))
        return struct.pack(">I", len(content) - 4) + content + checksum

    rows = zlib.compress((b"\0" + b"\x80\x01\x40\x02\x20\x03" * 69) * 69)
    header = struct.pack(">IIBBBBB", 69, 69, 16, 2, 0, 0, 0)
    chunks = [chunk(b"IHDR" + header), chunk(b"IDAT" + rows), chunk(b"IEND")]
    assert (prepare(b"".join([b"\x89PNG\r\n\x1a\n", *chunks])) == [0x80, 0x40, 0x20]).all()


def test_a_directory_gives_its_images_sorted_by_name(tmp_path):
    names = ["b.jpg", "a.PNG", "e.webp", "c.tiff", "d.gif", "f.jpeg", "g.tif"]
    for name in names:
        save(tmp_path / name, np.full((69, 69, 3), 7, np.uint8))
    (tmp_path / "notes.txt").touch()
    sources = [source for source, _, error in iter_prepared(tmp_path, Framing(69, None))]
    assert sources == [str(tmp_path / name) for name in sorted(names)]


ARRAYS = [
    (np.full((424, 424, 3), 0.5), "0-1"),
    (np.full((424, 424, 3), 200.0), "0-255"),
    (np.full((424, 424, 3), np.nan), "NaN"),
    (np.zeros((424, 424, 3), np.uint16), "uint16.*expected uint8"),
    (np.zeros((424, 424), np.uint8), "dstack"),
    (np.zeros((3, 424, 424), np.uint8), "moveaxis"),
    (np.zeros((424, 424, 4), np.uint8), r"\(424, 424, 4\)"),
    (np.zeros((0, 424, 3), np.uint8), r"\(0, 424, 3\)"),
    (3.5, "float.*expected"),
]


@pytest.mark.parametrize(("image", "words"), ARRAYS)
def test_an_array_that_is_not_a_colour_image_is_refused(image, words):
    with pytest.raises(DataError, match=f"image 0.*{words}"):
        prepare([image])


FILES = {
    "cut.jpg": "cut off",
    "cut.png": "cut off",
    "empty.jpg": "not an image.*JPEG",
    "words.jpg": "not an image.*JPEG",
    "grey.png": "without colour",
    "deep.tif": "without colour",
    "clear.png": "transparent",
    "key.png": "transparent",
    "one.fits": "three bands",
}


def test_a_file_that_is_not_a_colour_image_is_refused(noise, tmp_path):
    for name in ("cut.jpg", "cut.png"):
        os.truncate(save(tmp_path / name, noise), 5000)
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "words.jpg").write_bytes(b"<html>404</html>")
    save(tmp_path / "grey.png", noise[..., 0])
    save(tmp_path / "deep.tif", noise[..., 0].astype(np.uint16))
    save(tmp_path / "clear.png", np.dstack([noise, np.zeros((424, 424), np.uint8)]))
    save(tmp_path / "key.png", noise, transparency=tuple(noise[0, 0].tolist()))
    for name, words in FILES.items():
        with pytest.raises(DataError, match=f"{name}.*{words}"):
            prepare([tmp_path / name])


def test_paths_without_images_are_refused(tmp_path):
    (tmp_path / "folder").mkdir()
    for images, expected, words in (
        (tmp_path / "gone", FileNotFoundError, "gone"),
        ("", FileNotFoundError, "no file or directory"),
        ([tmp_path / "gone.jpg"], FileNotFoundError, r"no file .*gone\.jpg"),
        ((tmp_path / "gone.fits",) * 3, FileNotFoundError, r"no file gone\.fits"),
        (tmp_path / "folder", DataError, "no image"),
        ([tmp_path], DataError, "directory"),
        ([], DataError, "at least one"),
    ):
        with pytest.raises(expected, match=words):
            prepare(images)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("limit", [424 * 424 - 1, 424 * 424 // 3])
def test_an_image_above_the_limit_of_pillow_is_not_decoded(limit, noise, tmp_path, monkeypatch):
    path = save(tmp_path / "bomb.png", noise)
    bands = (tmp_path / "bomb.fits",) * 3
    fits.writeto(bands[0], noise[..., 0])
    assert prepare([path, bands]).shape == (2, 69, 69, 3)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    for image in (path, bands):
        with pytest.raises(DataError, match="too large"):
            prepare(image)


def test_streaming_keeps_the_order_and_reads_only_a_little_ahead():
    taken = []

    def make_images():
        for number in range(3 * LOOKAHEAD):
            taken.append(number)
            yield np.full((69, 69, 3), number % 256, np.uint8)

    stream = iter_prepared(make_images(), Framing(69, None))
    for number in range(3 * LOOKAHEAD):
        source, image, error = next(stream)
        assert (source, image[0, 0, 0], error) == (f"image {number}", number % 256, None)
        assert len(taken) <= LOOKAHEAD + number


def test_a_bad_image_never_ends_a_batch(noise, tmp_path):
    good = noise[:69, :69]
    whole = save(tmp_path / "whole.png", noise).read_bytes()
    small = save(tmp_path / "small.png", good).read_bytes()
    header = fits.PrimaryHDU(np.ones((69, 69))).header.tostring().encode()
    (tmp_path / "kind.fits").write_bytes(header.replace(b"BITPIX", b"BITPUX"))
    (tmp_path / "cut.fits").write_bytes(header)
    (tmp_path / "cut.fits.gz").write_bytes(b"\x1f\x8b\x08")
    closed = Image.open(tmp_path / "whole.png")
    closed.close()
    bad = ["a" * 300 + ".jpg", "a\0b.jpg", "a" * 300 + "/b.fits", ("a" * 300 + ".fits",) * 3]
    bad += [Image.open(io.BytesIO(content[:3000])) for content in (whole, small)]
    bad += [(tmp_path / name,) * 3 for name in ("kind.fits", "cut.fits", "cut.fits.gz")]
    bad += [closed, whole[:3000], DataError("its row"), None, {}]
    batch = [image for one in bad for image in (one, good)]
    answers = list(iter_prepared(batch, Framing(69, None)))
    for given, (source, image, error) in zip(bad, answers[::2], strict=True):
        assert image is None
        assert type(error) is DataError
        assert source in str(error) or error is given
    for _, image, error in answers[1::2]:
        np.testing.assert_array_equal(image, good)
        assert error is None


def test_errors_show_the_name_of_an_image_and_not_its_path(tmp_path):
    upload = tmp_path / "secret" / "a.jpg"
    upload.parent.mkdir()
    upload.write_bytes(b"words")
    ((_, _, error),) = prepare_named([("mine.jpg", upload)], Framing(69, None), threads=1)
    assert "mine.jpg cannot be read" in str(error)
    assert "secret" not in str(error)
