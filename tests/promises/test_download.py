"""Galaxy10.h5 comes whole or not at all, from servers that fail in every way."""

import errno
import hashlib
import http.server
import os
import socket
import subprocess
import sys
import threading
import time

import pytest

from galclass.data import galaxy10
from galclass.data.galaxy10 import fetch_galaxy10
from galclass.errors import DownloadError

BODY = bytes(range(256)) * 1200
SHA256 = hashlib.sha256(BODY).hexdigest()


class _Server(http.server.ThreadingHTTPServer):
    """Answers every request with one fault."""

    daemon_threads = True

    def __init__(self, fault):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.fault = fault
        self.asked = []
        self.url = f"http://127.0.0.1:{self.server_port}/Galaxy10.h5"
        self.over = threading.Event()

    def handle_error(self, request, client_address):
        pass  # The client hangs up where it should.


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        fault = self.server.fault
        if fault.isdecimal():
            self.head(0, int(fault))
        else:
            getattr(self, f"answer_{fault}")()

    def log_message(self, *arguments):
        pass

    def head(self, length, status=200, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.end_headers()

    def answer_good(self):
        self.head(len(BODY))
        self.wfile.write(BODY)

    def answer_no_length(self):
        self.head(None)
        self.wfile.write(BODY)

    def answer_slow(self):
        self.head(len(BODY))
        for start in range(0, len(BODY), len(BODY) // 10):
            self.wfile.write(BODY[start : start + len(BODY) // 10])
            time.sleep(0.05)

    def answer_moved(self):
        if self.path != "/elsewhere":
            self.head(0, 302, Location="/elsewhere")
        else:
            self.answer_good()

    def answer_stall(self):
        self.server.over.wait(60)

    def answer_stall_inside(self):
        self.head(len(BODY))
        self.wfile.write(BODY[:70_000])
        self.server.over.wait(60)

    def answer_cut_off(self):
        self.head(len(BODY))
        self.wfile.write(BODY[:-5])

    def answer_other_content(self):
        self.head(len(BODY))
        self.wfile.write(BODY[::-1])

    def answer_hang_up(self):
        self.connection.shutdown(socket.SHUT_RDWR)

    def answer_redirect_to_a_file(self):
        self.head(0, 302, Location="file:///etc/hostname")


@pytest.fixture
def serve(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "*")
    servers = []

    def start(fault):
        server = _Server(fault)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        return server

    yield start
    for server in servers:
        server.over.set()
        server.shutdown()
        server.server_close()


@pytest.fixture
def fetch(tmp_path, monkeypatch):
    monkeypatch.setattr(galaxy10, "TIMEOUT", 0.3)

    def run(*urls, cache=tmp_path / "cache"):
        return fetch_galaxy10(urls=urls, sha256=SHA256, cache=cache)

    return run


def _fetch_elsewhere(server, cache):
    """Fetch in another process, which prints the path."""
    script = (
        "import sys; from galclass.data.galaxy10 import fetch_galaxy10\n"
        "print(fetch_galaxy10(urls=[sys.argv[1]], sha256=sys.argv[2], cache=sys.argv[3]))"
    )
    return subprocess.Popen(
        [sys.executable, "-c", script, server.url, SHA256, cache],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


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
    message = str(caught.value)
    assert f"Download {server.url} by hand to data/Galaxy10.h5" in message
    assert "--data simulated" in message
    assert "\n" not in message
    assert list((tmp_path / "cache").iterdir()) == []
    assert fetch(server.url, serve("good").url).read_bytes() == BODY


def test_without_a_network_every_address_is_named_with_its_reason(fetch, tmp_path, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "*")
    known = socket.getaddrinfo

    def resolve(host, *arguments, **keywords):
        if str(host).endswith(".invalid"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return known(host, *arguments, **keywords)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        refused = f"http://127.0.0.1:{one.getsockname()[1]}/Galaxy10.h5"
        unknown = "http://galaxies.invalid/Galaxy10.h5"
        with pytest.raises(
            DownloadError, match=f"{refused}: .*refused.*{unknown}: .*service not known.*by hand"
        ):
            fetch(refused, unknown)
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_damaged_cached_file_is_reported_and_stays_until_the_new_one_is_whole(
    serve, fetch, tmp_path
):
    cached = tmp_path / "cache" / "Galaxy10.h5"
    cached.parent.mkdir()
    cached.write_bytes(BODY[:-1])
    for fault in ("cut_off", "other_content"):
        with (
            pytest.warns(UserWarning, match="damaged .*fetched again"),
            pytest.raises(DownloadError),
        ):
            fetch(serve(fault).url, serve(fault).url)
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
        with pytest.raises(DownloadError, match=f"cannot use the cache .*{reason}.*by hand"):
            fetch(server.url, cache=tmp_path / cache)
    assert server.asked == []


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_cache_that_cannot_be_written_is_a_clear_error(serve, fetch, monkeypatch, code):
    def refuse(*arguments, **keywords):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("tempfile.NamedTemporaryFile", refuse)
    with pytest.raises(DownloadError, match=f"{os.strerror(code)}.*by hand.*--data simulated"):
        fetch(serve("good").url)


@pytest.mark.parametrize("visible", [False, True])
def test_a_bar_alone_is_shown_and_on_a_terminal_only(serve, fetch, capfd, monkeypatch, visible):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: visible, raising=False)
    fetch(serve("slow").url)
    out, error = capfd.readouterr()
    assert out == ""
    assert ("%" in error) == visible
    assert "Downloading data" not in error
