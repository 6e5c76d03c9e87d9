"""The published file arrives whole or not at all, from servers that fail in every way."""

import contextlib
import errno
import hashlib
import os
import socket
import socketserver
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
HEADER = f"HTTP/1.0 200 OK\r\nContent-Length: {len(BODY)}\r\n\r\n".encode()
GOOD = HEADER + BODY
MOVED = b"HTTP/1.0 302 Found\r\nContent-Length: 0\r\nLocation: "
WAYS = {
    "good": GOOD,
    "no length": b"HTTP/1.0 200 OK\r\n\r\n" + BODY,
    "moved": MOVED + b"/elsewhere\r\n\r\n",
}
NO_CONTENT = b"\r\nContent-Length: 0\r\n\r\n"
# The answer of a faulty server, the seconds until it closes the connection, and the reason given.
FAULTS = {
    "404": (b"HTTP/1.0 404 Not Found" + NO_CONTENT, 0, "HTTPError: 404 Client Error: Not Found"),
    "503": (b"HTTP/1.0 503 Busy" + NO_CONTENT, 0, "HTTPError: 503 Server Error: Busy"),
    "redirect": (MOVED + b"file:///etc/hostname\r\n\r\n", 0, "No connection adapters"),
    "stall": (b"", 60, "[Tt]imed? ?out"),
    "stall inside": (HEADER + BODY[:70_000], 60, "[Tt]imed? ?out"),
    "cut off": (GOOD[:-5], 0, "5 more expected"),
    "other content": (HEADER + BODY[::-1], 0, "does not match the known hash"),
    "hang up": (b"", 0, "RemoteDisconnected|[Rr]eset"),
}
PROGRAM = """
import sys
from galclass.data.galaxy10 import DATASETS, fetch_galaxy10
published = DATASETS["galaxy10"]._replace(urls=[sys.argv[1]], sha256=sys.argv[2])
print(fetch_galaxy10(published, cache=sys.argv[3]))
"""


class Handler(socketserver.BaseRequestHandler):
    """Send the answer of the server in pieces."""

    def handle(self):
        server = self.server
        request = self.request.recv(10_000)
        server.requests.append(request)
        answer = server.answer
        if b"/elsewhere" in request:
            answer = GOOD
        for start in range(0, len(answer), 30_000):
            self.request.sendall(answer[start : start + 30_000])
            time.sleep(server.pause)
        time.sleep(server.wait)


@pytest.fixture
def serve(monkeypatch):
    """Return a function that starts a server with an answer."""
    monkeypatch.setenv("NO_PROXY", "*")
    with contextlib.ExitStack() as stack:

        def start(answer, pause=0, wait=0):
            server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
            server.daemon_threads = True
            server.answer = answer
            server.pause = pause
            server.wait = wait
            server.requests = []
            server.url = f"http://127.0.0.1:{server.server_address[1]}/Galaxy10.h5"
            server.handle_error = lambda *_: None  # The client may hang up.
            threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
            stack.callback(server.server_close)
            stack.callback(server.shutdown)
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
    command = [sys.executable, "-c", PROGRAM, server.url, SHA256, cache]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("answer", WAYS.values(), ids=WAYS)
def test_file_arrives_whole_and_is_not_downloaded_again(serve, fetch, cache, answer):
    server = serve(answer)
    path = fetch(server.url)
    assert path.read_bytes() == BODY
    assert list(cache.iterdir()) == [path]
    server.requests.clear()
    assert fetch(server.url) == path
    assert server.requests == []


@pytest.mark.parametrize(("answer", "wait", "reason"), FAULTS.values(), ids=FAULTS)
def test_any_failure_is_explained_and_the_next_address_is_tried(
    serve, fetch, cache, answer, wait, reason
):
    server = serve(answer, wait=wait)
    with pytest.raises(DownloadError, match=f"{server.url}: .*({reason})") as caught:
        fetch(server.url)
    advice = f"Download {server.url} by hand to data/Galaxy10.h5, or use --data simulated"
    assert str(caught.value).endswith(advice)
    assert "\n" not in str(caught.value)
    assert list(cache.iterdir()) == []
    assert fetch(server.url, serve(GOOD).url).read_bytes() == BODY


def test_without_a_network_the_error_gives_a_reason_for_each_address(serve, fetch, monkeypatch):
    stopped = serve(GOOD)
    stopped.shutdown()
    stopped.server_close()
    real = socket.getaddrinfo

    def find(host, *arguments):
        if host == "unknown":
            raise socket.gaierror(-2, "Name or service not known")
        return real(host, *arguments)

    monkeypatch.setattr("socket.getaddrinfo", find)
    reasons = f"{stopped.url}: .*refused.*http://unknown/x: .*not known.*by hand"
    with pytest.raises(DownloadError, match=reasons):
        fetch(stopped.url, "http://unknown/x")


def test_damaged_file_in_the_cache_stays_until_the_new_one_is_whole(serve, fetch, cache):
    path = cache / "Galaxy10.h5"
    path.parent.mkdir()
    path.write_bytes(BODY[:-1])
    with pytest.warns(UserWarning, match="damaged .*again"), pytest.raises(DownloadError):
        fetch(serve(GOOD[:-5]).url, serve(GOOD[:-1]).url)
    assert path.read_bytes() == BODY[:-1]
    with pytest.warns(UserWarning, match="damaged"):
        assert fetch(serve(GOOD).url).read_bytes() == BODY
    assert list(cache.iterdir()) == [path]


def test_two_processes_that_download_at_once_both_get_the_file(serve, cache):
    server = serve(GOOD, pause=0.05)
    processes = [fetch_in_another_process(server, cache) for _ in range(2)]
    for process in processes:
        output, error = process.communicate(timeout=60)
        assert output.strip() == str(cache / "Galaxy10.h5"), error
    assert (cache / "Galaxy10.h5").read_bytes() == BODY
    assert [path.name for path in cache.iterdir()] == ["Galaxy10.h5"]


def test_killed_download_leaves_no_file_of_that_name(serve, fetch, cache):
    process = fetch_in_another_process(serve(GOOD[:70_000], wait=60), cache)
    deadline = time.monotonic() + 60
    while not (cache.is_dir() and any(path.stat().st_size for path in cache.iterdir())):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.kill()
    process.communicate()
    assert not (cache / "Galaxy10.h5").exists()
    assert fetch(serve(GOOD).url).read_bytes() == BODY


def test_unusable_cache_is_an_error_before_any_request(serve, fetch, tmp_path, monkeypatch):
    server = serve(GOOD)
    (tmp_path / "file").touch()
    (tmp_path / "taken" / "Galaxy10.h5").mkdir(parents=True)
    for folder, reason in (("file/cache", "Not a directory"), ("taken", "Is a directory")):
        words = f"{folder}.*not be downloaded.*{reason}.*by hand"
        with pytest.raises(DownloadError, match=words):
            fetch(server.url, cache=tmp_path / folder)
    assert server.requests == []
    for code in (errno.ENOSPC, errno.EROFS, errno.EACCES):
        full = mock.Mock(side_effect=OSError(code, os.strerror(code)))
        monkeypatch.setattr("tempfile.NamedTemporaryFile", full)
        with pytest.raises(DownloadError, match=f"{os.strerror(code)}.*by hand.*--data simulated"):
            fetch(server.url)


@pytest.mark.parametrize("terminal", [False, True])
def test_progress_is_shown_on_a_terminal_only(serve, fetch, capfd, monkeypatch, terminal):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)
    assert fetch(serve(GOOD, pause=0.05).url).read_bytes() == BODY
    captured = capfd.readouterr()
    assert captured.out == ""
    assert bool(captured.err) == terminal
    assert ("%" in captured.err) == terminal
