"""The published file arrives whole or not at all, from servers that fail in every way."""

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
# What a server with such a fault sends instead of BODY.
BODIES = {"stall_inside": BODY[:70_000], "cut_off": BODY[:-5], "other_content": BODY[::-1]}
STATUS = {"404": 404, "503": 503, "moved": 302, "redirect_to_a_file": 302}
LOCATION = {"moved": "/elsewhere", "redirect_to_a_file": "file:///etc/hostname"}
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


class Handler(http.server.BaseHTTPRequestHandler):
    """Answer every request with the fault of the server."""

    def do_GET(self):
        fault = self.server.fault
        self.server.requests.append(self.path)
        if fault == "hang_up":
            self.connection.shutdown(socket.SHUT_RDWR)
        elif fault == "stall":
            self.server.stopped.wait(60)
        elif fault in STATUS and self.path != "/elsewhere":
            self.send_response(STATUS[fault])
            self.send_header("Location", LOCATION.get(fault, ""))
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self.send_body(fault)

    def send_body(self, fault):
        self.send_response(200)
        if fault != "no_length":
            self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        body = BODIES.get(fault, BODY)
        for start in range(0, len(body), 30_000):
            self.wfile.write(body[start : start + 30_000])
            if fault == "slow":
                time.sleep(0.05)
        if fault == "stall_inside":
            self.server.stopped.wait(60)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def serve(monkeypatch):
    """Return a function that starts a server with a fault."""
    monkeypatch.setenv("NO_PROXY", "*")
    with contextlib.ExitStack() as stack:

        def start(fault):
            server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
            server.fault = fault
            server.requests = []
            server.stopped = threading.Event()
            server.url = f"http://127.0.0.1:{server.server_port}/Galaxy10.h5"
            server.handle_error = lambda *_: None  # The client may hang up.
            threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
            stack.callback(server.server_close)
            stack.callback(server.shutdown)
            stack.callback(server.stopped.set)
            return server

        yield start


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def fetch(cache, monkeypatch):
    """Return a function that fetches the file from some addresses."""
    monkeypatch.setattr(galaxy10, "TIMEOUT", 0.3)

    def run(*urls, cache=cache):
        return fetch_galaxy10(DATASETS["galaxy10"]._replace(urls=urls, sha256=SHA256), cache=cache)

    return run


def fetch_in_another_process(server, cache):
    """Start a process that fetches the file and prints its path."""
    program = (
        "import sys; from galclass.data.galaxy10 import DATASETS, fetch_galaxy10\n"
        "published = DATASETS['galaxy10']._replace(urls=[sys.argv[1]], sha256=sys.argv[2])\n"
        "print(fetch_galaxy10(published, cache=sys.argv[3]))"
    )
    command = [sys.executable, "-c", program, server.url, SHA256, cache]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("way", ["good", "no_length", "slow", "moved"])
def test_file_arrives_whole_and_is_not_downloaded_again(serve, fetch, cache, way):
    server = serve(way)
    path = fetch(server.url)
    assert path.read_bytes() == BODY
    assert list(cache.iterdir()) == [path]
    server.requests.clear()
    assert fetch(server.url) == path
    assert server.requests == []


@pytest.mark.parametrize(("fault", "words"), FAULTS.items())
def test_any_failure_is_explained_and_the_next_address_is_tried(serve, fetch, cache, fault, words):
    server = serve(fault)
    with pytest.raises(DownloadError, match=f"{server.url}: .*({words})") as caught:
        fetch(server.url)
    advice = f"Download {server.url} by hand to data/Galaxy10.h5, or use --data simulated"
    assert str(caught.value).endswith(advice)
    assert "\n" not in str(caught.value)
    assert list(cache.iterdir()) == []
    assert fetch(server.url, serve("good").url).read_bytes() == BODY


def test_without_a_network_the_error_gives_a_reason_for_each_address(fetch, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "*")
    unknown = "http://galaxies.invalid/Galaxy10.h5"
    real_getaddrinfo = socket.getaddrinfo

    def getaddrinfo(host, *arguments):
        if host.endswith(".invalid"):
            host = "no name"  # It is refused without asking a server.
        return real_getaddrinfo(host, *arguments)

    monkeypatch.setattr("socket.getaddrinfo", getaddrinfo)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        refused = f"http://127.0.0.1:{unused.getsockname()[1]}/Galaxy10.h5"
        reasons = f"{refused}: .*refused.*{unknown}: .*([Nn]ame|resol).*by hand"
        with pytest.raises(DownloadError, match=reasons):
            fetch(refused, unknown)


def test_damaged_file_in_the_cache_stays_until_the_new_one_is_whole(serve, fetch, cache):
    path = cache / "Galaxy10.h5"
    path.parent.mkdir()
    path.write_bytes(BODY[:-1])
    with pytest.warns(UserWarning, match="damaged .*again"), pytest.raises(DownloadError):
        fetch(serve("cut_off").url, serve("other_content").url)
    assert path.read_bytes() == BODY[:-1]
    with pytest.warns(UserWarning, match="damaged"):
        assert fetch(serve("good").url).read_bytes() == BODY
    assert list(cache.iterdir()) == [path]


def test_two_processes_that_download_at_once_both_get_the_file(serve, cache):
    server = serve("slow")
    processes = [fetch_in_another_process(server, cache) for _ in range(2)]
    for process in processes:
        output, error = process.communicate(timeout=60)
        assert output.strip() == str(cache / "Galaxy10.h5"), error
    assert (cache / "Galaxy10.h5").read_bytes() == BODY
    assert [path.name for path in cache.iterdir()] == ["Galaxy10.h5"]


def test_killed_download_leaves_no_file_of_that_name(serve, fetch, cache):
    process = fetch_in_another_process(serve("stall_inside"), cache)
    deadline = time.monotonic() + 60
    while not (cache.is_dir() and any(path.stat().st_size for path in cache.iterdir())):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.kill()
    process.communicate()
    assert not (cache / "Galaxy10.h5").exists()
    assert fetch(serve("good").url).read_bytes() == BODY


@pytest.mark.parametrize(
    ("folder", "reason"), [("file/cache", "Not a directory"), ("taken", "Is a directory")]
)
def test_unusable_cache_is_an_error_before_any_request(serve, fetch, tmp_path, folder, reason):
    server = serve("good")
    (tmp_path / "file").touch()
    (tmp_path / "taken" / "Galaxy10.h5").mkdir(parents=True)
    with pytest.raises(DownloadError, match=f"{folder}.*not be downloaded.*{reason}.*by hand"):
        fetch(server.url, cache=tmp_path / folder)
    assert server.requests == []


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_cache_that_cannot_be_written_is_an_error(serve, fetch, monkeypatch, code):
    error = mock.Mock(side_effect=OSError(code, os.strerror(code)))
    monkeypatch.setattr("tempfile.NamedTemporaryFile", error)
    with pytest.raises(DownloadError, match=f"{os.strerror(code)}.*by hand.*--data simulated"):
        fetch(serve("good").url)


@pytest.mark.parametrize("terminal", [False, True])
def test_progress_is_shown_on_a_terminal_only(serve, fetch, capfd, monkeypatch, terminal):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)
    fetch(serve("slow").url)
    captured = capfd.readouterr()
    assert captured.out == ""
    assert bool(captured.err) == terminal
    assert ("%" in captured.err) == terminal
