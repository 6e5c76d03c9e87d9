"""Cutouts of SDSS, from a stand-in that answers as SkyServer does."""

import io
import json

import numpy as np
import pytest
import requests
from astropy.coordinates import SkyCoord
from astropy.coordinates.name_resolve import NameResolveError
from astropy.table import Table
from PIL import Image

from galclass.errors import DataError, DownloadError, ParameterError
from galclass.images import sdss
from galclass.images.catalogue import list_rows
from galclass.images.prepare import Framing, prepare, prepare_named
from galclass.images.sdss import sdss_cutout

SERVER = "http://127.0.0.1:1/dr18"  # nobody answers there
SEARCH = "SearchTools/SqlSearch"
CUTOUT = "ImgCutout/getjpeg"


def jpeg(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG")
    return file.getvalue()


class Sky:
    """SkyServer's answers, the requests to it, and the pauses between them."""

    def __init__(self, cache):
        noise = np.random.default_rng(0).integers(0, 256, (424, 424, 3), dtype=np.uint8)
        self.cache = cache
        self.rows = [{"ra": 184.951, "dec": -0.8755, "petroR90_r": 12.5}]
        self.footprint = [{"ok": True}]
        self.image = jpeg(noise)
        self.content = None  # of the search, instead of rows
        self.status = {}
        self.reason = None
        self.busy = []  # status and Retry-After of the next answers
        self.requests = []
        self.turns = []
        self.pauses = []

    def cutout(self, *position):
        return sdss_cutout(*position, server=SERVER, cache=self.cache)

    def get(self, address, params, timeout):
        service = address.removeprefix(f"{SERVER}/")
        self.requests.append((service, params))
        answer = requests.Response()
        answer.reason = self.reason
        answer.status_code = self.status.get(service, 200)
        if self.busy:
            answer.status_code, answer.headers["Retry-After"] = self.busy.pop(0)
        if service == CUTOUT:
            answer._content = self.image
            return answer
        rows = self.rows
        if "Footprint" in params["cmd"]:
            rows = self.footprint
        answer._content = self.content or json.dumps([{"Rows": rows}]).encode()
        return answer

    def sleep(self, seconds):
        if seconds == sdss.INTERVAL:
            self.turns.append(seconds)
        else:
            self.pauses.append(seconds)


@pytest.fixture
def sky(monkeypatch, tmp_path):
    sky = Sky(tmp_path)
    monkeypatch.setattr(sdss, "sleep", sky.sleep)
    monkeypatch.setattr(requests, "get", sky.get)
    return sky


def test_a_cutout_is_the_image_that_galaxy_zoo_showed(sky):
    path = sky.cutout(184.9511, -0.8754)
    (search, query), (service, parameters) = sky.requests
    assert (search, query["format"], service) == (SEARCH, "json", CUTOUT)
    assert "FROM dbo.fGetNearbyObjEq(184.951100, -0.875400, 0.2) AS n JOIN Galaxy " in query["cmd"]
    expected = {"ra": 184.951, "dec": -0.8755, "scale": 0.02 * 12.5, "width": 424, "height": 424}
    assert parameters == pytest.approx(expected)
    assert path.read_bytes() == sky.image
    assert prepare(path).shape == (1, 69, 69, 3)


def test_a_cutout_is_fetched_only_once_unless_it_is_damaged(sky, tmp_path):
    first = sky.cutout(10, 20)
    assert sky.cutout(SkyCoord(10, 20, unit="deg").galactic) == first
    assert sky.cutout("10 20") == sky.cutout("10.0, +20") == first
    assert len(sky.requests) == len(sky.turns) == 2
    first.write_bytes(sky.image[:1000])
    sky.cutout(10, 20)
    assert len(sky.requests) == 4
    assert first.read_bytes() == sky.image
    assert list(tmp_path.iterdir()) == [first]


def test_a_name_is_resolved_and_an_unknown_one_is_an_error(sky, monkeypatch):
    def resolve(name):
        if name == "M51":
            return SkyCoord(202.4696, 47.1952, unit="deg")
        raise NameResolveError(f"No answer\n for {name}. Second sentence")

    monkeypatch.setattr(SkyCoord, "from_name", resolve)
    sky.cutout("M51")
    assert "fGetNearbyObjEq(202.469600, 47.195200" in sky.requests[0][1]["cmd"]
    with pytest.raises(DownloadError, match="No answer for nowhere; check the name"):
        sky.cutout("nowhere")


PROBLEMS = [
    (DataError, "outside the SDSS footprint; check", {"rows": [], "footprint": [{"ok": 0}]}),
    (DataError, "no galaxy within 0.2 arcmin", {"rows": []}),
    (DataError, "404", {"status": {SEARCH: 404}}),
    (DataError, "404 .*elsewhere", {"status": {CUTOUT: 404}, "reason": "Requested is elsewhere"}),
    (DownloadError, "403.*try again", {"status": {SEARCH: 403}}),
    (DownloadError, "expected rows.*try again", {"rows": [], "footprint": []}),
    (DownloadError, "expected rows.*try again", {"rows": [{"ra": 1}]}),
    (DownloadError, "maintenance.*expected rows", {"content": b"<html>maintenance</html>"}),
    (DownloadError, "500 Server Error", {"status": {CUTOUT: 500}}),
    (DownloadError, "<html>.*expected an image", {"image": b"<html>sorry</html>"}),
    (DownloadError, "expected an image", {"image": jpeg(np.zeros((424, 424, 3), np.uint8))}),
]


@pytest.mark.parametrize(("expected", "words", "answers"), PROBLEMS)
def test_a_missing_cutout_is_explained_and_nothing_is_kept(expected, words, answers, sky, tmp_path):
    vars(sky).update(answers)
    with pytest.raises(expected, match=words):
        sky.cutout(10, 20)
    assert not list(tmp_path.iterdir())
    assert not sky.pauses


@pytest.mark.parametrize(
    ("waits", "pauses"), [(("", ""), [1, 2]), (("7", "600"), [7, 30]), (("0", "tomorrow"), [1, 2])]
)
def test_a_busy_service_gets_two_more_requests_after_pauses(waits, pauses, sky):
    sky.busy = list(zip((429, 503), waits, strict=True))
    assert sky.cutout(10, 20).exists()
    sky.busy = [*zip((429, 503), waits, strict=True), (503, "")]
    with pytest.raises(DownloadError, match="503 Server Error"):
        sky.cutout(11, 20)
    assert sky.pauses == 2 * pauses


def test_a_service_that_does_not_answer_is_given_up(tmp_path):
    with pytest.raises(DownloadError, match=r"ConnectionError.*try again later"):
        sdss_cutout(10, 20, server=SERVER, cache=tmp_path)


@pytest.mark.parametrize(
    "position", [(10, None), (400, 0), (0, 91), (float("nan"), 0), ([1], 2), ("10 91",), ("nan 0",)]
)
def test_wrong_positions_are_refused(position, sky):
    with pytest.raises(ParameterError, match="expected RA"):
        sky.cutout(*position)
    assert not sky.requests


def test_a_stopped_catalogue_of_positions_fetches_only_what_is_missing(sky, monkeypatch):
    monkeypatch.setattr("galclass.images.catalogue.sdss_cutout", sky.cutout)
    catalogue = Table({"ra": [10.0, 11.0, 12.0, 13.0], "dec": [1.0, 2.0, 3.0, 4.0]})

    def fetch(rows):
        named = list_rows(rows, "image", None)
        return [error is None for _, _, error in prepare_named(named, Framing(69, None))]

    assert fetch(catalogue[:2]) == [True, True]
    sky.status = {SEARCH: 503}
    assert fetch(catalogue) == [True, True, False, False]
    sky.status = {}
    before = len(sky.requests)
    assert fetch(catalogue) == [True, True, True, True]
    assert len(sky.requests) - before == 4  # two for each of the two that failed
    assert len(sky.turns) == len(sky.requests)
