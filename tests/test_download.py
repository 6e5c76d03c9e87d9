"""Galaxy10.h5 comes whole or not at all, from servers that fail in every way."""

import errno
import hashlib
import http.server
import io
import itertools
import os
import socket
import subprocess
import sys
import threading
import time

import pytest

from galclass import galaxy10
from galclass.galaxy10 import DownloadError, fetch_galaxy10

BODY = bytes(range(256)) * 1200
SHA256 = hashlib.sha256(BODY).hexdigest()


class _Server(http.server.ThreadingHTTPServer):
    """Answers the n-th request with the n-th fault, the last one again and again."""

    daemon_threads = True

    def __init__(self, *faults):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.faults = faults
        self.asked = []
        self.url = f"http://127.0.0.1:{self.server_port}/Galaxy10.h5"
        self.over = threading.Event()
        self.counter = itertools.count()

    def handle_error(self, request, client_address):
        pass  # The client hangs up where it should.


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        number = next(self.server.counter)
        self.server.asked.append(self.path)
        fault = self.server.faults[min(number, len(self.server.faults) - 1)]
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

    def answer_no_length_cut_off(self):
        self.head(None)
        self.wfile.write(BODY[:1000])

    def answer_chunked(self):
        self.protocol_version = "HTTP/1.1"
        self.head(None, **{"Transfer-Encoding": "chunked"})
        for start in range(0, len(BODY), 50_000):
            piece = BODY[start : start + 50_000]
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        self.wfile.write(b"0\r\n\r\n")

    def answer_slow(self):
        self.head(len(BODY))
        for start in range(0, len(BODY), len(BODY) // 10):
            self.wfile.write(BODY[start : start + len(BODY) // 10])
            time.sleep(0.1)

    def answer_drip(self):
        self.head(len(BODY))
        for _ in range(2000):
            if self.server.over.wait(0.02):
                break
            self.wfile.write(b"x")

    def answer_stall(self):
        self.server.over.wait(60)

    def answer_stall_inside(self):
        self.head(len(BODY))
        self.wfile.write(BODY[:70_000])
        self.server.over.wait(60)

    def answer_cut_off(self):
        self.head(len(BODY))
        self.wfile.write(BODY[:-5])

    def answer_too_long(self):
        self.head(len(BODY) + 9)
        self.wfile.write(BODY + b"and more.")

    def answer_too_short(self):
        self.head(len(BODY) - 9)
        self.wfile.write(BODY[:-9])

    def answer_other_content(self):
        self.head(len(BODY))
        self.wfile.write(BODY[::-1])

    def answer_web_page(self):
        self.head(22, **{"Content-Type": "text/html"})
        self.wfile.write(b"<html>Log in</html>   ")

    def answer_endless(self):
        self.head(None)
        while not self.server.over.is_set():
            self.wfile.write(BODY)

    def answer_nonsense(self):
        self.wfile.write(b"\x00\x01 this is not HTTP\r\n\r\n")

    def answer_hang_up(self):
        self.connection.shutdown(socket.SHUT_RDWR)

    def answer_404(self):
        self.head(0, 404)

    def answer_429(self):
        self.head(0, 429)

    def answer_500(self):
        self.head(0, 500)

    def answer_503(self):
        self.head(0, 503)

    def answer_redirect(self):
        self.head(0, 302, Location="/elsewhere")

    def answer_redirect_loop(self):
        self.head(0, 302, Location=self.path)

    def answer_redirect_to_a_file(self):
        self.head(0, 302, Location="file:///etc/hostname")


@pytest.fixture
def serve(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "*")
    servers = []

    def start(*faults):
        server = _Server(*faults)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        return server

    yield start
    for server in servers:
        server.over.set()
        server.shutdown()
        server.server_close()


@pytest.fixture
def fetch(tmp_path):
    def run(*urls, **keywords):
        keywords = {"timeout": 0.3, "pause": 0.01, "cache": tmp_path / "cache", **keywords}
        return fetch_galaxy10(urls=urls, sha256=SHA256, **keywords)

    return run


def _closed_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@pytest.mark.parametrize(
    ("faults", "requests"),
    [
        (["good"], 1),
        (["no_length"], 1),
        (["chunked"], 1),
        (["slow"], 1),
        (["redirect", "good"], 2),
        (["503", "good"], 2),
        (["500", "503", "good"], 3),
        (["429", "good"], 2),
        (["cut_off", "good"], 2),
        (["stall", "good"], 2),
        (["stall_inside", "good"], 2),
        (["drip", "good"], 2),
        (["hang_up", "good"], 2),
    ],
)
def test_a_passing_fault_is_overcome(serve, fetch, faults, requests):
    server = serve(*faults)
    path = fetch(server.url)
    assert path.read_bytes() == BODY
    assert [other.name for other in path.parent.iterdir()] == ["Galaxy10.h5"]
    assert len(server.asked) == requests


@pytest.mark.parametrize(
    ("fault", "words", "requests"),
    [
        ("404", "404 Not Found", 1),
        ("500", "500 Internal Server Error", 3),
        ("503", "503 Service Unavailable", 3),
        ("redirect_loop", "TooManyRedirects", 6),
        ("redirect_to_a_file", "No connection adapters", 1),
        ("stall", "[Tt]ime", 3),
        ("stall_inside", "[Tt]ime", 3),
        ("drip", "slower than 20 kB a second", 3),
        ("cut_off", "307195 bytes read, 5 more expected", 3),
        ("no_length_cut_off", "1,000 bytes, .* wrong sha256", 1),
        ("too_long", "307,209 bytes, .* wrong sha256", 1),
        ("too_short", "307,191 bytes, .* wrong sha256", 1),
        ("other_content", "307,200 bytes, .* wrong sha256", 1),
        ("web_page", "22 bytes, text/html.* wrong sha256", 1),
        ("endless", "more than 1,000,000 bytes", 1),
        ("nonsense", "BadStatusLine|ConnectionError|not this file|wrong sha256", None),
        ("hang_up", "RemoteDisconnected|reset", 3),
    ],
)
def test_a_lasting_fault_ends_soon_with_an_error_that_says_what_to_do(
    serve, fetch, tmp_path, monkeypatch, fault, words, requests
):
    monkeypatch.setattr(galaxy10, "LARGEST", 1_000_000)
    server = serve(fault)
    start = time.monotonic()
    with pytest.raises(DownloadError, match=words) as caught:
        fetch(server.url)
    assert time.monotonic() - start < 60
    message = str(caught.value)
    assert "by hand to data/Galaxy10.h5" in message
    assert "--data simulated" in message
    assert "\n" not in message
    assert requests in (None, len(server.asked))
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.parametrize("fault", ["404", "503", "other_content", "stall", "cut_off"])
def test_the_second_address_is_tried_where_the_first_fails(serve, fetch, fault):
    first, second = serve(fault), serve("good")
    assert fetch(first.url, second.url).read_bytes() == BODY
    assert len(second.asked) == 1


def test_a_refused_connection_and_an_unknown_host_end_with_both_reasons(
    fetch, tmp_path, monkeypatch
):
    monkeypatch.setenv("NO_PROXY", "*")
    known = socket.getaddrinfo

    def resolve(host, *arguments, **keywords):
        if str(host).endswith(".invalid"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return known(host, *arguments, **keywords)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    refused = f"http://127.0.0.1:{_closed_port()}/Galaxy10.h5"
    with pytest.raises(DownloadError) as caught:
        fetch(refused, "http://galaxies.invalid/Galaxy10.h5")
    assert "refused" in str(caught.value)
    assert "galaxies.invalid" in str(caught.value)
    assert "by hand" in str(caught.value)
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_whole_cached_file_is_not_fetched_again(serve, fetch):
    server = serve("good")
    assert fetch(server.url) == fetch(server.url)
    assert len(server.asked) == 1


def test_a_damaged_cached_file_is_reported_and_stays_until_the_new_one_is_whole(
    serve, fetch, tmp_path
):
    cached = tmp_path / "cache" / "Galaxy10.h5"
    cached.parent.mkdir()
    cached.write_bytes(BODY[:-1])
    server = serve("cut_off", "other_content", "good")
    with (
        pytest.warns(UserWarning, match="damaged .*fetched again"),
        pytest.raises(DownloadError),
    ):
        fetch(server.url, tries=2)
    assert cached.read_bytes() == BODY[:-1]
    with pytest.warns(UserWarning, match="damaged"):
        assert fetch(server.url).read_bytes() == BODY


def test_two_processes_that_fetch_at_once_both_get_the_file(serve, tmp_path):
    server = serve("slow")
    script = (
        "import sys; from galclass.galaxy10 import fetch_galaxy10, sha256_of\n"
        "path = fetch_galaxy10(urls=[sys.argv[1]], sha256=sys.argv[2], cache=sys.argv[3])\n"
        "print(sha256_of(path))"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, server.url, SHA256, tmp_path / "cache"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for process in processes:
        out, err = process.communicate(timeout=60)
        assert out.strip() == SHA256, err
        assert err == ""
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["Galaxy10.h5"]


def test_a_download_that_is_killed_leaves_no_file_and_its_remains_are_cleared_in_time(
    serve, fetch, tmp_path
):
    server = serve("stall_inside", "good")
    script = (
        "import sys; from galclass.galaxy10 import fetch_galaxy10\n"
        "fetch_galaxy10(urls=[sys.argv[1]], cache=sys.argv[2])"
    )
    cache = tmp_path / "cache"
    process = subprocess.Popen([sys.executable, "-c", script, server.url, cache])
    deadline = time.monotonic() + 60
    while not (cache.is_dir() and any(path.stat().st_size for path in cache.iterdir())):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.kill()
    process.wait()
    (partial,) = cache.iterdir()
    assert partial.name != "Galaxy10.h5"
    mine = cache / ".of-the-user.Galaxy10.h5"
    mine.touch()
    os.utime(mine, (0, 0))
    fetch(server.url)
    assert partial.exists(), "it might be another process's"
    (cache / "Galaxy10.h5").unlink()
    os.utime(partial, (0, 0))
    fetch(server.url)
    assert not partial.exists()
    assert mine.exists()


def test_a_cache_that_cannot_be_made_is_a_clear_error_before_any_request(serve, fetch, tmp_path):
    server = serve("good")
    (tmp_path / "file").touch()
    with pytest.raises(DownloadError, match=r"cannot (write|use).*Not a directory.*by hand"):
        fetch(server.url, cache=tmp_path / "file" / "cache")
    (tmp_path / "taken" / "Galaxy10.h5").mkdir(parents=True)
    with pytest.raises(DownloadError, match=r"cannot use the cache.*Is a directory.*by hand"):
        fetch(server.url, cache=tmp_path / "taken")
    assert server.asked == []


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EROFS, "Read-only file system"),
        (errno.EACCES, "Permission denied"),
    ],
)
def test_a_cache_that_cannot_be_written_is_a_clear_error(
    serve, fetch, tmp_path, monkeypatch, code, words
):
    class Full(io.FileIO):
        def write(self, piece):
            raise OSError(code, os.strerror(code))

    monkeypatch.setattr(
        galaxy10, "open", lambda path, mode: (Full if "w" in mode else open)(path, mode), False
    )
    server = serve("good")
    with pytest.raises(DownloadError, match=f"cannot write .*{words}.*by hand.*--data simulated"):
        fetch(server.url)
    assert list((tmp_path / "cache").iterdir()) == []
    assert len(server.asked) == 1


def test_no_bar_is_drawn_where_standard_error_is_no_terminal(serve, fetch, capfd):
    fetch(serve("slow").url)
    assert capfd.readouterr() == ("", "")
