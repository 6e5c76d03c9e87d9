import csv
import io
import json
import os
import struct
import threading
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import h5py
import numpy as np
import pytest
from astropy.coordinates import SkyCoord, name_resolve
from astropy.io import fits
from astropy.utils.data import conf
from PIL import Image

from galclass.cutouts import (
    LOOKAHEAD,
    CutoutError,
    iter_prepared,
    lupton_rgb,
    prepare,
    sdss_cutout,
)
from galclass.galaxy10 import DataError


@pytest.fixture(scope="session")
def cutouts():
    folder = os.environ.get("GALCLASS_TEST_DATA")
    if not folder:
        pytest.skip("GALCLASS_TEST_DATA is not set: no real cutouts to test on")
    return Path(folder) / "cutouts"


@pytest.fixture
def noise():
    return np.random.default_rng(0).integers(0, 256, (424, 424, 3), dtype=np.uint8)


def saved(path, array, **options):
    Image.fromarray(array).save(path, **options)
    return path


def test_real_cutouts_give_the_published_pixels(cutouts, real_path):
    with open(cutouts / "labels.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    with h5py.File(real_path) as file:
        ids = file["galaxy_id"][:]
        places = [int(np.flatnonzero(ids == int(Path(row["file"]).stem))[0]) for row in rows]
        images = file["images"][sorted(places)][np.argsort(np.argsort(places))]
        labels = file["ans"][:][places]
    assert len(rows) == 58
    assert [int(row["ans"]) for row in rows] == labels.tolist()
    np.testing.assert_array_equal(prepare([cutouts / row["file"] for row in rows]), images)
    np.testing.assert_array_equal(
        prepare(cutouts), images[np.argsort([row["file"] for row in rows])]
    )


def test_424_pixels_are_cut_to_the_published_box(noise):
    by_hand = Image.fromarray(noise).crop((108, 108, 315, 315)).resize((69, 69), Image.BILINEAR)
    np.testing.assert_array_equal(prepare(noise)[0], np.asarray(by_hand))


def test_every_form_of_a_picture_gives_the_same_pixels(noise, tmp_path):
    expected = prepare(noise)
    png = saved(tmp_path / "a.png", noise)
    tiff = saved(tmp_path / "b.tif", noise)
    rgba = Image.fromarray(noise).convert("RGBA")
    several = prepare([noise, Image.fromarray(noise), png, str(tiff), rgba])
    for one in several:
        np.testing.assert_array_equal(one, expected[0])
    np.testing.assert_array_equal(prepare(png), expected)
    np.testing.assert_array_equal(prepare(noise[None]), expected)


def test_other_sizes_keep_the_same_fraction_of_the_field():
    y, x = np.mgrid[:848, :848] / 847
    smooth = (255 * np.stack([x, y, (x + y) / 2], axis=-1)).astype(np.uint8)
    small = np.asarray(Image.fromarray(smooth).resize((424, 424), Image.BOX))
    assert np.abs(prepare(smooth).astype(int) - prepare(small)).max() <= 1
    odd = np.asarray(Image.fromarray(smooth).resize((301, 301), Image.BOX))
    assert np.abs(prepare(odd).astype(int) - prepare(small)).max() <= 2


def test_of_a_wide_picture_the_central_square_is_taken(noise):
    wide = np.pad(noise, ((0, 0), (50, 50), (0, 0)))
    np.testing.assert_array_equal(prepare(wide), prepare(noise))


def test_crop_is_a_fraction_of_the_field(noise):
    whole = Image.fromarray(noise).resize((69, 69), Image.BILINEAR)
    half = Image.fromarray(noise).crop((106, 106, 318, 318)).resize((69, 69), Image.BILINEAR)
    np.testing.assert_array_equal(prepare(noise, crop=1)[0], np.asarray(whole))
    np.testing.assert_array_equal(prepare(noise, crop=0.5)[0], np.asarray(half))
    for wrong in (0, 1.5, float("nan")):
        with pytest.raises(ValueError, match="fraction of the field"):
            prepare(noise, crop=wrong)


def test_pictures_of_69_pixels_pass_unchanged(noise):
    ready = noise[:138, :69].reshape(2, 69, 69, 3)
    np.testing.assert_array_equal(prepare(ready), ready)
    assert (prepare(ready, crop=0.5) != ready).any()


def test_the_camera_s_orientation_is_obeyed(noise, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # To be shown turned by 90 degrees clockwise.
    path = saved(tmp_path / "turned.png", noise, exif=exif)
    np.testing.assert_array_equal(prepare(path)[0], prepare(np.rot90(noise, -1))[0])


def test_a_picture_of_16_bits_a_colour_keeps_its_high_bits(tmp_path):
    raw = (b"\0" + b"\x80\x01\x40\x02\x20\x03" * 69) * 69

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    path = tmp_path / "deep.png"
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 69, 69, 16, 2, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(raw))
        + chunk(b"IEND", b"")
    )
    assert (prepare(path) == [0x80, 0x40, 0x20]).all()


ARRAYS = {
    "zero to one": (np.full((424, 424, 3), 0.5), ["0-1", "astype"]),
    "floats to 255": (np.full((424, 424, 3), 200.0), ["0-255", "round"]),
    "NaN": (np.full((424, 424, 3), np.nan), ["NaN"]),
    "16 bits": (np.zeros((424, 424, 3), np.uint16), ["uint16", "expected uint8"]),
    "grey": (np.zeros((424, 424), np.uint8), ["without colour", "convert"]),
    "channels first": (np.zeros((3, 424, 424), np.uint8), ["last axis"]),
    "RGBA": (np.zeros((424, 424, 4), np.uint8), ["(424, 424, 4)", "(height, width, 3)"]),
    "no pixel": (np.zeros((0, 424, 3), np.uint8), ["(0, 424, 3)"]),
    "one pixel": (np.zeros((1, 1, 3), np.uint8), ["1 x 1", "larger crop"]),
    "no array": (3.5, ["float", "expected a path"]),
}


@pytest.mark.parametrize("kind", ARRAYS)
def test_an_array_that_is_no_colour_picture_is_refused(kind):
    picture, words = ARRAYS[kind]
    with pytest.raises(DataError) as caught:
        prepare([picture])
    assert all(word in str(caught.value) for word in ["picture 0", *words])


def test_a_file_that_is_no_colour_picture_is_refused(noise, tmp_path):
    whole = saved(tmp_path / "whole.jpg", noise).read_bytes()
    for name, content, words in (
        ("cut.jpg", whole[: len(whole) // 2], "cut off"),
        ("cut.png", saved(tmp_path / "w.png", noise).read_bytes()[:5000], "cut off"),
        ("empty.jpg", b"", "not a JPEG, PNG or TIFF"),
        ("words.jpg", b"<html>404</html>", "not a JPEG, PNG or TIFF"),
        ("one.fits", b"SIMPLE", "three"),
    ):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(DataError, match=words) as caught:
            prepare([path])
        assert name in str(caught.value)
    grey = saved(tmp_path / "grey.png", noise[..., 0])
    deep = saved(tmp_path / "deep.tif", noise[..., 0].astype(np.uint16))
    for path in (grey, deep):
        with pytest.raises(DataError, match="without colour"):
            prepare(path)
    clear = saved(tmp_path / "clear.png", np.dstack([noise, np.zeros((424, 424), np.uint8)]))
    with pytest.raises(DataError, match="transparent"):
        prepare(clear)


def test_paths_that_lead_to_no_picture_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file .*gone\.jpg"):
        prepare([tmp_path / "gone.jpg"])
    with pytest.raises(FileNotFoundError, match="no file or directory"):
        prepare(tmp_path / "gone")
    with pytest.raises(DataError, match="no picture in"):
        prepare(tmp_path)
    with pytest.raises(DataError, match="is a directory"):
        prepare([tmp_path])
    with pytest.raises(DataError, match="at least one"):
        prepare([])


@pytest.mark.filterwarnings("default::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("limit", [424 * 424 - 1, 424 * 424 // 3])
def test_a_picture_above_pillow_s_limit_is_not_decoded(limit, noise, tmp_path, monkeypatch):
    path = saved(tmp_path / "bomb.png", noise)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with pytest.raises(DataError, match="too large"):
        prepare(path)


def test_streaming_keeps_the_order_reports_the_broken_and_reads_little_ahead(noise, tmp_path):
    path = saved(tmp_path / "a.png", noise)
    taken = []

    def pictures():
        for i in range(3 * LOOKAHEAD):
            taken.append(i)
            yield np.full((69, 69, 3), i % 256, np.uint8)
        yield path
        yield tmp_path / "gone.png"

    stream = iter_prepared(pictures())
    source, image, error = next(stream)
    assert (source, image[0, 0, 0], error) == ("picture 0", 0, None)
    assert len(taken) == LOOKAHEAD
    rest = list(stream)
    values = [image[0, 0, 0] for _, image, _ in rest[:-2]]
    assert values == [i % 256 for i in range(1, 3 * LOOKAHEAD)]
    assert rest[-2][0] == str(path)
    np.testing.assert_array_equal(rest[-2][1], prepare(noise)[0])
    assert rest[-1][1] is None
    assert isinstance(rest[-1][2], FileNotFoundError)


def test_three_bands_become_the_colours_of_sdss():
    rng = np.random.default_rng(1)
    g, r, i = rng.gamma(1, 0.3, (3, 50, 60))
    rgb = lupton_rgb(g, r, i)
    red, green, blue = i + 0.02, 1.5 * r + 0.02, 2.5 * g + 0.02
    mean = (red + green + blue) / 3
    scaled = np.dstack([red, green, blue]) * (np.arcsinh(20 * mean) / np.sqrt(20) / mean)[..., None]
    expected = scaled / np.maximum(scaled.max(axis=2, keepdims=True), 1) * 255
    assert rgb.dtype == np.uint8
    assert np.abs(rgb - expected).max() <= 1.01
    assert (lupton_rgb(*np.full((3, 4, 4), -1.0)) == 0).all()


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


def test_bands_that_do_not_make_a_picture_are_refused(tmp_path):
    band = np.ones((10, 10))
    with pytest.raises(DataError, match="one shape"):
        lupton_rgb(band, band, band[:5])
    with pytest.raises(DataError, match=r"band r .*NaN"):
        lupton_rgb(band, np.full((10, 10), np.nan), band)
    bad = tmp_path / "bad.fits"
    bad.write_bytes(b"SIMPLE  =    maybe")
    with pytest.raises(DataError, match="not a whole FITS"):
        prepare((bad, bad, bad))
    fits.writeto(tmp_path / "cube.fits", np.zeros((3, 10, 10)))
    with pytest.raises(DataError, match=r"shape \(3, 10, 10\)"):
        prepare((tmp_path / "cube.fits",) * 3)
    with pytest.raises(FileNotFoundError, match=r"gone\.fits"):
        prepare((tmp_path / "gone.fits",) * 3)


class StandIn:
    """SkyServer and Sesame as far as they are asked, with what they were asked."""

    rows = ({"ra": 184.951, "dec": -0.8755, "petroR90_r": 12.5},)
    inside = True
    picture = None
    sql_status = picture_status = 200
    sql_answer = None
    reason = None

    def __init__(self):
        self.asked = []

    def answer(self, path, query):
        self.asked.append((path, query))
        if path.startswith("/sesame"):
            known = "M51" in path or "M51" in str(query) or "M51" in self.raw
            return 200, b"%J 202.4696 +47.1952 = x\n" if known else b"#! nothing found\n"
        if path.endswith("/SearchTools/SqlSearch"):
            rows = [{"ok": self.inside}] if "fInFootprintEq" in query["cmd"] else self.rows
            content = json.dumps([{"TableName": "Table1", "Rows": list(rows)}]).encode()
            return self.sql_status, self.sql_answer or content
        if path.endswith("/ImgCutout/getjpeg"):
            return self.picture_status, self.picture
        return 404, b"no such service"


@pytest.fixture
def skyserver(noise):
    stand_in = StandIn()
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "JPEG")
    stand_in.picture = buffer.getvalue()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            parts = urlsplit(self.path)
            stand_in.raw = self.path
            query = {key: values[0] for key, values in parse_qs(parts.query).items()}
            status, content = stand_in.answer(parts.path, query)
            self.send_response(status, stand_in.reason if status != 200 else None)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *arguments):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        stand_in.host = f"http://127.0.0.1:{server.server_port}"
        stand_in.server = f"{stand_in.host}/dr18/SkyServerWS"
        yield stand_in
        server.shutdown()


def test_a_cutout_is_what_galaxy_zoo_showed(skyserver, tmp_path):
    path = sdss_cutout(184.9511, -0.8754, server=skyserver.server, cache=tmp_path)
    (search, sql), (service, asked) = skyserver.asked
    assert search == "/dr18/SkyServerWS/SearchTools/SqlSearch"
    assert sql["format"] == "json"
    assert "fGetNearbyObjEq(184.951100, -0.875400" in sql["cmd"]
    assert "JOIN Galaxy " in sql["cmd"]
    assert service == "/dr18/SkyServerWS/ImgCutout/getjpeg"
    assert (asked["width"], asked["height"]) == ("424", "424")
    assert float(asked["scale"]) == pytest.approx(0.02 * 12.5)
    assert (float(asked["ra"]), float(asked["dec"])) == (184.951, -0.8755)
    assert path.read_bytes() == skyserver.picture
    assert prepare(path).shape == (1, 69, 69, 3)


def test_a_cutout_is_fetched_once_and_again_when_damaged(skyserver, tmp_path):
    first = sdss_cutout(10, 20, server=skyserver.server, cache=tmp_path)
    position = SkyCoord(10, 20, unit="deg").galactic
    assert sdss_cutout(position, server=skyserver.server, cache=tmp_path) == first
    assert len(skyserver.asked) == 2
    first.write_bytes(skyserver.picture[:1000])
    sdss_cutout(10, 20, server=skyserver.server, cache=tmp_path)
    assert len(skyserver.asked) == 4
    assert first.read_bytes() == skyserver.picture
    assert list(tmp_path.iterdir()) == [first]


def test_a_name_is_resolved(skyserver, tmp_path):
    with (
        name_resolve.sesame_url.set([f"{skyserver.host}/sesame/"]),
        conf.set_temp("allow_internet", True),
    ):
        sdss_cutout("M51", server=skyserver.server, cache=tmp_path)
        assert "fGetNearbyObjEq(202.469600, 47.195200" in skyserver.asked[-2][1]["cmd"]
        with pytest.raises(CutoutError, match="Unable to find coordinates for name 'nowhere'"):
            sdss_cutout("nowhere", server=skyserver.server, cache=tmp_path)


def black_tile():
    buffer = io.BytesIO()
    Image.new("RGB", (424, 424)).save(buffer, "JPEG")
    return buffer.getvalue()


PROBLEMS = {
    "outside the SDSS footprint": {"rows": [], "inside": False},
    "no galaxy within 0.2 arcmin": {"rows": []},
    "expected ra, dec and petroR90_r": {"rows": [{"ra": 1}]},
    "answered 503": {"sql_status": 503},
    "expected rows as JSON": {"sql_answer": b"<html>maintenance</html>"},
    "answered 500": {"picture_status": 500},
    "is outside the SDSS footprint$": {
        "picture_status": 404,
        "reason": "Requested (ra, dec) is outside the SDSS footprint.",
    },
    "<html>": {"picture": b"<html>sorry</html>"},
    "did not answer with a picture": {"picture": black_tile()},
}


@pytest.mark.parametrize("words", PROBLEMS)
def test_what_the_service_lacks_is_said_and_nothing_is_kept(words, skyserver, tmp_path):
    for name, value in PROBLEMS[words].items():
        setattr(skyserver, name, value)
    with pytest.raises(CutoutError, match=words):
        sdss_cutout(10, 20, server=skyserver.server, cache=tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_service_that_is_down_or_silent_is_given_up(skyserver, tmp_path):
    with pytest.raises(CutoutError, match=r"does not answer \(ConnectionError\)"):
        sdss_cutout(10, 20, server="http://127.0.0.1:1/dr18", cache=tmp_path)
    free = threading.Event()
    skyserver.answer = lambda path, query: (free.wait(5), (200, b""))[1]
    with pytest.raises(CutoutError, match=r"does not answer \(ReadTimeout\)"):
        sdss_cutout(10, 20, server=skyserver.server, cache=tmp_path, timeout=0.2)
    free.set()


@pytest.mark.parametrize("position", [(10, None), (400, 0), (0, 91), (float("nan"), 0), ([1], 2)])
def test_what_is_no_position_is_refused(position, tmp_path):
    with pytest.raises(ValueError, match="expected"):
        sdss_cutout(*position, server="http://127.0.0.1:1", cache=tmp_path)
