"""SDSS's cutouts, from a stand-in that answers as SkyServer does."""

import io
import json
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import requests
from astropy.coordinates import SkyCoord
from astropy.coordinates.name_resolve import NameResolveError
from astropy.table import Table
from PIL import Image

from galclass import predict, prepare
from galclass.data.sdss import INTERVAL, sdss_cutout
from galclass.errors import DataError, DownloadError, ParameterError

SERVER = "http://127.0.0.1:1/dr18"  # where nobody answers
SEARCH, CUTOUT = "SearchTools/SqlSearch", "ImgCutout/getjpeg"
ROWS = [{"ra": 184.951, "dec": -0.8755, "petroR90_r": 12.5}]


def jpeg(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG")
    return file.getvalue()


@pytest.fixture
def sky(monkeypatch, tmp_path):
    """What SkyServer answers, the busy answers before, what it was asked, and the pauses."""
    image = jpeg(np.random.default_rng(0).integers(0, 256, (424, 424, 3), dtype=np.uint8))
    sky = SimpleNamespace(rows=ROWS, inside=True, sql=None, image=image, status={}, reason=None)
    sky.busy, sky.asked, sky.pauses = [], [], []
    sky.cutout = partial(sdss_cutout, server=SERVER, cache=tmp_path)

    def get(address, params, timeout):
        service, answer = address.removeprefix(f"{SERVER}/"), requests.Response()
        sky.asked.append((service, params))
        rows = [{"ok": sky.inside}] if "Footprint" in params.get("cmd", "") else sky.rows
        table = sky.sql or json.dumps([{"TableName": "Table1", "Rows": rows}]).encode()
        answer._content, answer.reason = {SEARCH: table, CUTOUT: sky.image}[service], sky.reason
        usual = (sky.status.get(service, 200), "")
        answer.status_code, answer.headers["Retry-After"] = sky.busy.pop(0) if sky.busy else usual
        return answer

    sky.turns = []  # Each request waits before it starts.
    monkeypatch.setattr(
        "galclass.data.sdss.sleep",
        lambda seconds: (sky.turns if seconds == INTERVAL else sky.pauses).append(seconds),
    )
    monkeypatch.setattr(requests, "get", get)
    return sky


def test_a_cutout_is_what_galaxy_zoo_showed(sky):
    path = sky.cutout(184.9511, -0.8754)
    (search, sql), (service, asked) = sky.asked
    assert (search, sql["format"], service) == (SEARCH, "json", CUTOUT)
    assert "FROM dbo.fGetNearbyObjEq(184.951100, -0.875400, 0.2) AS n JOIN Galaxy " in sql["cmd"]
    expected = {"ra": 184.951, "dec": -0.8755, "scale": 0.02 * 12.5, "width": 424, "height": 424}
    assert asked == pytest.approx(expected)
    assert path.read_bytes() == sky.image
    assert prepare(path).shape == (1, 69, 69, 3)


def test_a_cutout_is_fetched_once_and_again_when_damaged(sky, tmp_path):
    first = sky.cutout(10, 20)
    assert len(sky.turns) == 2
    assert sky.cutout(SkyCoord(10, 20, unit="deg").galactic) == first
    assert sky.cutout("10 20") == sky.cutout("10.0, +20") == first
    assert len(sky.asked) == 2
    first.write_bytes(sky.image[:1000])
    sky.cutout(10, 20)
    assert len(sky.asked) == 4
    assert first.read_bytes() == sky.image
    assert list(tmp_path.iterdir()) == [first]


def test_a_name_is_resolved(sky, monkeypatch):
    monkeypatch.setattr(SkyCoord, "from_name", lambda name: SkyCoord(202.4696, 47.1952, unit="deg"))
    sky.cutout("M51")
    assert "fGetNearbyObjEq(202.469600, 47.195200" in sky.asked[0][1]["cmd"]
    unknown = NameResolveError("No answer\n for nowhere")
    monkeypatch.setattr(SkyCoord, "from_name", lambda name: (_ for _ in ()).throw(unknown))
    with pytest.raises(DownloadError, match="No answer for nowhere; check the name"):
        sky.cutout("nowhere")


PROBLEMS = {
    "outside the SDSS footprint; check": {"rows": [], "inside": False},
    "no galaxy within 0.2 arcmin": {"rows": []},
    "no rows; try again": {"rows": [{"ra": 1}]},
    "no rows": {"sql": b"<html>maintenance</html>"},
    "503 Server Error": {"status": {SEARCH: 503}},
    "500 Server Error": {"status": {CUTOUT: 500}},
    "404 .*outside": {"status": {CUTOUT: 404}, "reason": "Requested is outside"},
    "<html>.*no image": {"image": b"<html>sorry</html>"},
    "no image": {"image": jpeg(np.zeros((424, 424, 3), np.uint8))},
}


@pytest.mark.parametrize("words", PROBLEMS)
def test_what_the_service_lacks_is_said_and_nothing_is_kept(words, sky, tmp_path):
    vars(sky).update(PROBLEMS[words])
    settled = "outside" in words or "no galaxy" in words
    with pytest.raises(DataError if settled else DownloadError, match=words):
        sky.cutout(10, 20)
    assert not list(tmp_path.iterdir())
    assert sky.pauses == ([1, 2] if "503" in words else [])


def test_a_search_that_is_refused_says_so_and_one_that_is_blocked_is_worth_another_try(sky):
    sky.status = {SEARCH: 404}
    with pytest.raises(DataError, match="404"):
        sky.cutout(10, 20)
    sky.status = {SEARCH: 403}
    with pytest.raises(DownloadError, match=r"403.*try again"):
        sky.cutout(10, 20)


@pytest.mark.parametrize("waits", [("", ""), ("7", "600"), ("0", "tomorrow")])
def test_a_busy_service_is_asked_again_after_a_pause(waits, sky):
    sky.busy = list(zip((429, 503), waits, strict=True))
    assert sky.cutout(10, 20).exists()
    assert sky.pauses == ([7, 30] if "7" in waits else [1, 2])


def test_a_service_that_is_down_is_given_up(tmp_path):
    with pytest.raises(DownloadError, match=r"ConnectionError.*try again later"):
        sdss_cutout(10, 20, server=SERVER, cache=tmp_path)


@pytest.mark.parametrize("position", [(10, None), (400, 0), (0, 91), (float("nan"), 0), ([1], 2)])
def test_what_is_no_position_is_refused(position, sky):
    with pytest.raises(ParameterError, match="expected"):
        sky.cutout(*position)


@pytest.mark.filterwarnings("ignore:.* unlike those of the training")
def test_a_catalogue_of_positions_goes_on_where_it_was_stopped(sky, monkeypatch):
    catalogue = Table({"ra": [10.0, 11.0, 12.0, 13.0], "dec": [1.0, 2.0, 3.0, 4.0]})
    monkeypatch.setattr("galclass.prediction.catalogue.sdss_cutout", sky.cutout)
    assert not any(predict(catalogue[:2])["error"])
    sky.status = {SEARCH: 503}
    assert [bool(error) for error in predict(catalogue)["error"]] == [False, False, True, True]
    sky.status, asked = {}, len(sky.asked)
    table = predict(catalogue)
    assert not any(table["error"])
    assert table["ra"].tolist() == catalogue["ra"].tolist()
    assert len(sky.asked) - asked == 4  # Two requests each for the two that failed.
    assert len(sky.turns) == len(sky.asked)
