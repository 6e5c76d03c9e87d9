"""Galaxy10.h5 comes whole or not at all, from servers that fail in every way."""

import contextlib
import errno
import hashlib
import http.server
import os
import socket
import subprocess
import sys
import threading
import time
from unittest import mock

import pytest

from galclass.data import galaxy10
from galclass.data.galaxy10 import DATASETS, fetch_galaxy10
from galclass.errors import DownloadError

BODY = bytes(range(256)) * 1200
SHA256 = hashlib.sha256(BODY).hexdigest()


BODIES = {"stall_inside": BODY[:70_000], "cut_off": BODY[:-5], "other_content": BODY[::-1]}
ANSWERS = {
    "404": (404, ""),
    "503": (503, ""),
    "moved": (302, "/elsewhere"),
    "redirect_to_a_file": (302, "file:///etc/hostname"),
}


class _Handler(http.server.BaseHTTPRequestHandler):
    """Answers every request with the server's fault."""

    def do_GET(self):
        fault = self.server.fault
        self.server.asked.append(self.path)
        if fault == "hang_up":
            return self.connection.shutdown(socket.SHUT_RDWR)
        if fault == "stall":
            return self.server.over.wait(60)
        status, place = ANSWERS.get(fault if self.path != "/elsewhere" else "good", (200, ""))
        self.send_response(status)
        self.send_header("Location", place)
        if fault != "no_length":
            self.send_header("Content-Length", str(len(BODY)) if status == 200 else "0")
        self.end_headers()
        body = BODIES.get(fault, BODY) if status == 200 else b""
        for start in range(0, len(body), 30_000):
            self.wfile.write(body[start : start + 30_000])
            time.sleep(0.05 * (fault == "slow"))
        if fault == "stall_inside":
            self.server.over.wait(60)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def serve(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "*")
    with contextlib.ExitStack() as stack:

        def start(fault):
            server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
            server.fault, server.asked, server.over = fault, [], threading.Event()
            server.url = f"http://127.0.0.1:{server.server_port}/Galaxy10.h5"
            server.handle_error = lambda *_: None  # The client hangs up where it should.
            threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
            for end in (server.server_close, server.shutdown, server.over.set):
                stack.callback(end)
            return server

        yield start


@pytest.fixture
def fetch(tmp_path, monkeypatch):
    monkeypatch.setattr(galaxy10, "TIMEOUT", 0.3)

    def run(*urls, cache=tmp_path / "cache"):
        return fetch_galaxy10(DATASETS["galaxy10"]._replace(urls=urls, sha256=SHA256), cache=cache)

    return run


def _fetch_elsewhere(server, cache):
    """Fetch in another process, which prints the path."""
    script = (
        "import sys; from galclass.data.galaxy10 import DATASETS, fetch_galaxy10\n"
        "wanted = DATASETS['galaxy10']._replace(urls=[sys.argv[1]], sha256=sys.argv[2])\n"
        "print(fetch_galaxy10(wanted, cache=sys.argv[3]))"
    )
    command = [sys.executable, "-c", script, server.url, SHA256, cache]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("way", ["good", "no_length", "slow", "moved"])
def test_the_file_arrives_whole_and_is_not_fetched_again(serve, fetch, way):
    server = serve(way)
    path = fetch(server.url)
    assert path.read_bytes() == BODY
    assert [other.name for other in path.parent.iterdir()] == ["Galaxy10.h5"]
    server.asked.clear()
    assert fetch(server.url) == path
    assert server.asked == []


FAULTS = {
    "404": "HTTPError: 404 Client Error: Not Found",
    "503": "HTTPError: 503 Server Error: Service Unavailable",
    "redirect_to_a_file": "No connection adapters",
    "stall": "[Tt]imed? ?out",
    "stall_inside": "[Tt]imed? ?out",
    "cut_off": "5 more expected",
    "other_content": "does not match the known hash",
    "hang_up": "RemoteDisconnected|[Rr]eset",
}


@pytest.mark.parametrize(("fault", "words"), FAULTS.items())
def test_whatever_fails_at_one_address_the_next_is_tried_and_then_what_to_do_is_said(
    serve, fetch, tmp_path, fault, words
):
    server = serve(fault)
    with pytest.raises(DownloadError, match=f"{server.url}: .*({words})") as caught:
        fetch(server.url)
    by_hand = f"Download {server.url} by hand to data/Galaxy10.h5, or use --data simulated"
    assert str(caught.value).endswith(by_hand)
    assert "\n" not in str(caught.value)
    assert list((tmp_path / "cache").iterdir()) == []
    assert fetch(server.url, serve("good").url).read_bytes() == BODY


def test_without_a_network_every_address_is_named_with_its_reason(fetch, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "*")
    unknown, known = "http://galaxies.invalid/Galaxy10.h5", socket.getaddrinfo
    monkeypatch.setattr(
        "socket.getaddrinfo",
        lambda host, *others: known("no name" if host.endswith(".invalid") else host, *others),
    )
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        refused = f"http://127.0.0.1:{one.getsockname()[1]}/Galaxy10.h5"
        reasons = f"{refused}: .*refused.*{unknown}: .*([Nn]ame|resol).*by hand"
        with pytest.raises(DownloadError, match=reasons):
            fetch(refused, unknown)


def test_a_damaged_cached_file_is_reported_and_stays_until_the_new_one_is_whole(
    serve, fetch, tmp_path
):
    cached = tmp_path / "cache" / "Galaxy10.h5"
    cached.parent.mkdir()
    cached.write_bytes(BODY[:-1])
    with pytest.warns(UserWarning, match="damaged .*fetched again"), pytest.raises(DownloadError):
        fetch(serve("cut_off").url, serve("other_content").url)
    assert cached.read_bytes() == BODY[:-1]
    with pytest.warns(UserWarning, match="damaged"):
        assert fetch(serve("good").url).read_bytes() == BODY
    assert list(cached.parent.iterdir()) == [cached]


def test_two_processes_that_fetch_at_once_both_get_the_file(serve, tmp_path):
    server, cache = serve("slow"), tmp_path / "cache"
    for process in [_fetch_elsewhere(server, cache) for _ in range(2)]:
        out, error = process.communicate(timeout=60)
        assert out.strip() == str(cache / "Galaxy10.h5"), error
    assert (cache / "Galaxy10.h5").read_bytes() == BODY
    assert [path.name for path in cache.iterdir()] == ["Galaxy10.h5"]


def test_a_download_that_is_killed_leaves_no_file_of_the_name(serve, fetch, tmp_path):
    server, cache = serve("stall_inside"), tmp_path / "cache"
    process = _fetch_elsewhere(server, cache)
    deadline = time.monotonic() + 60
    while not (cache.is_dir() and any(path.stat().st_size for path in cache.iterdir())):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.kill()
    process.communicate()
    assert not (cache / "Galaxy10.h5").exists()
    assert fetch(serve("good").url).read_bytes() == BODY


def test_a_cache_that_cannot_be_used_is_a_clear_error_before_any_request(serve, fetch, tmp_path):
    server = serve("good")
    (tmp_path / "file").touch()
    (tmp_path / "taken" / "Galaxy10.h5").mkdir(parents=True)
    for cache, reason in (("file/cache", "Not a directory"), ("taken", "Is a directory")):
        with pytest.raises(DownloadError, match=f"{cache}.* not be fetched.*{reason}.*by hand"):
            fetch(server.url, cache=tmp_path / cache)
    assert server.asked == []


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_cache_that_cannot_be_written_is_a_clear_error(serve, fetch, monkeypatch, code):
    error = mock.Mock(side_effect=OSError(code, os.strerror(code)))
    monkeypatch.setattr("tempfile.NamedTemporaryFile", error)
    with pytest.raises(DownloadError, match=f"{os.strerror(code)}.*by hand.*--data simulated"):
        fetch(serve("good").url)


@pytest.mark.parametrize("visible", [False, True])
def test_a_bar_is_shown_on_a_terminal_only(serve, fetch, capfd, monkeypatch, visible):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: visible, raising=False)
    fetch(serve("slow").url)
    out, error = capfd.readouterr()
    assert (out, "%" in error, bool(error)) == ("", visible, visible)
