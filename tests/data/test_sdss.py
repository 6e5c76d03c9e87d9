"""SDSS's cutouts, from a server of our own that answers as SkyServer does."""

import io
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from astropy.coordinates import SkyCoord, name_resolve
from astropy.utils.data import conf
from PIL import Image

from galclass import prepare
from galclass.data.sdss import sdss_cutout
from galclass.errors import DownloadError, ParameterError


def jpeg(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG")
    return file.getvalue()


class StandIn:
    """SkyServer and Sesame as far as they are asked, with what they were asked."""

    rows = ({"ra": 184.951, "dec": -0.8755, "petroR90_r": 12.5},)
    inside = True
    image = None
    sql_status = image_status = 200
    sql_answer = None
    reason = None

    def __init__(self):
        self.asked, self.pauses, self.busy = [], [], []

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
            return self.image_status, self.image
        return 404, b"no such service"


@pytest.fixture
def skyserver(monkeypatch):
    stand_in = StandIn()
    stand_in.image = jpeg(np.random.default_rng(0).integers(0, 256, (424, 424, 3), dtype=np.uint8))
    monkeypatch.setattr("galclass.data.sdss.sleep", stand_in.pauses.append)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            parts = urlsplit(self.path)
            stand_in.raw = self.path
            query = {key: values[0] for key, values in parse_qs(parts.query).items()}
            status, content = stand_in.answer(parts.path, query)
            status, wanted = stand_in.busy.pop(0) if stand_in.busy else (status, None)
            self.send_response(status, stand_in.reason if status != 200 else None)
            if wanted:
                self.send_header("Retry-After", wanted)
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
    assert path.read_bytes() == skyserver.image
    assert prepare(path).shape == (1, 69, 69, 3)


def test_a_cutout_is_fetched_once_and_again_when_damaged(skyserver, tmp_path):
    first = sdss_cutout(10, 20, server=skyserver.server, cache=tmp_path)
    position = SkyCoord(10, 20, unit="deg").galactic
    assert sdss_cutout(position, server=skyserver.server, cache=tmp_path) == first
    assert len(skyserver.asked) == 2
    first.write_bytes(skyserver.image[:1000])
    sdss_cutout(10, 20, server=skyserver.server, cache=tmp_path)
    assert len(skyserver.asked) == 4
    assert first.read_bytes() == skyserver.image
    assert list(tmp_path.iterdir()) == [first]


def test_a_name_is_resolved(skyserver, tmp_path):
    with (
        name_resolve.sesame_url.set([f"{skyserver.host}/sesame/"]),
        conf.set_temp("allow_internet", True),
    ):
        sdss_cutout("M51", server=skyserver.server, cache=tmp_path)
        assert "fGetNearbyObjEq(202.469600, 47.195200" in skyserver.asked[-2][1]["cmd"]
        with pytest.raises(DownloadError, match="Unable to find coordinates for name 'nowhere'"):
            sdss_cutout("nowhere", server=skyserver.server, cache=tmp_path)


PROBLEMS = {
    "outside the SDSS footprint": {"rows": [], "inside": False},
    "no galaxy within 0.2 arcmin": {"rows": []},
    "expected rows as JSON; try again": {"rows": [{"ra": 1}]},
    "answered 503": {"sql_status": 503},
    "expected rows as JSON": {"sql_answer": b"<html>maintenance</html>"},
    "answered 500": {"image_status": 500},
    "RA 184.951, Dec -0.8755 is outside the SDSS footprint": {
        "image_status": 404,
        "reason": "Requested (ra, dec) is outside the SDSS footprint.",
    },
    "<html>": {"image": b"<html>sorry</html>"},
    "did not answer with an image": {"image": jpeg(np.zeros((424, 424, 3), np.uint8))},
}


@pytest.mark.parametrize("words", PROBLEMS)
def test_what_the_service_lacks_is_said_and_nothing_is_kept(words, skyserver, tmp_path):
    for name, value in PROBLEMS[words].items():
        setattr(skyserver, name, value)
    with pytest.raises(DownloadError, match=words):
        sdss_cutout(10, 20, server=skyserver.server, cache=tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("busy", "pauses"),
    [
        ([(503, None)], [1]),
        ([(429, None), (503, None)], [1, 2]),
        ([(429, "7"), (503, "600")], [7, 30]),
        ([(503, "0"), (503, "tomorrow")], [1, 2]),
    ],
)
def test_a_busy_service_is_asked_again_after_a_pause(busy, pauses, skyserver, tmp_path):
    skyserver.busy = busy.copy()
    path = sdss_cutout(10, 20, server=skyserver.server, cache=tmp_path)
    assert path.read_bytes() == skyserver.image
    assert skyserver.pauses == pauses


@pytest.mark.parametrize(("status", "tries"), [(503, 3), (429, 3), (500, 1), (404, 1)])
def test_a_busy_service_is_given_up_after_three_tries(status, tries, skyserver, tmp_path):
    skyserver.sql_status = status
    with pytest.raises(DownloadError, match=f"answered {status}"):
        sdss_cutout(10, 20, server=skyserver.server, cache=tmp_path)
    assert len(skyserver.asked) == tries
    assert len(skyserver.pauses) == tries - 1


def test_a_service_that_is_down_or_silent_is_given_up(skyserver, tmp_path):
    with pytest.raises(DownloadError, match=r"does not answer \(ConnectionError\)"):
        sdss_cutout(10, 20, server="http://127.0.0.1:1/dr18", cache=tmp_path)
    free = threading.Event()
    skyserver.answer = lambda path, query: (free.wait(5), (200, b""))[1]
    with pytest.raises(DownloadError, match=r"does not answer \(ReadTimeout\)"):
        sdss_cutout(10, 20, server=skyserver.server, cache=tmp_path, timeout=0.2)
    free.set()


@pytest.mark.parametrize("position", [(10, None), (400, 0), (0, 91), (float("nan"), 0), ([1], 2)])
def test_what_is_no_position_is_refused(position, tmp_path):
    with pytest.raises(ParameterError, match="expected"):
        sdss_cutout(*position, server="http://127.0.0.1:1", cache=tmp_path)
