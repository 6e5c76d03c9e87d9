"""Measure the page under load: bad uploads, then many visitors at once.

It prints the seconds per answer and the memory of the server.

    python benchmarks/page.py
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from galclass import simulate_galaxy10

CROP = 0.488


def write_bad_files(folder, count):
    """Write files that cannot be classified: noise, truncated, empty, huge, a damaged header."""
    rng = np.random.default_rng(0)
    images, _ = simulate_galaxy10(1)
    Image.fromarray(images[0]).save(folder / "whole.png")
    whole = (folder / "whole.png").read_bytes()
    Image.new("RGB", (20_000, 20_000)).save(folder / "huge.png")
    huge = (folder / "huge.png").read_bytes()
    paths = []
    for number in range(count):
        kinds = [
            (".png", rng.bytes(int(rng.integers(1, 50_000)))),
            (".jpg", whole[: int(rng.integers(1, len(whole)))]),
            (".gif", b""),
            (".png", huge),
            (".fits", b"SIMPLE  =                    T" + rng.bytes(3000)),
        ]
        suffix, content = kinds[number % len(kinds)]
        path = folder / f"bad{number}{suffix}"
        path.write_bytes(content)
        paths.append(path)
    return paths


def ask(client, path):
    """Upload a file, wait for the answer and return its HTML."""
    from gradio_client import handle_file

    client.predict([handle_file(path)], api_name="/take")
    return client.predict(CROP, api_name="/answer")[-1]


def visit(address, path, images):
    """Ask several times as a new visitor; return the seconds of each answer."""
    from gradio_client import Client

    client = Client(address, verbose=False)
    seconds = []
    for _ in range(images):
        start = time.perf_counter()
        assert "<h2>" in ask(client, path)
        seconds.append(time.perf_counter() - start)
    return seconds


def report(text, process, uploads):
    """Print a result with the memory of the server and the number of uploaded files."""
    megabytes = process.memory_info().rss / 2**20
    files = sum(1 for _ in uploads.rglob("*"))
    print(f"{text}: {megabytes:,.0f} MB of memory, {files} files", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bad", type=int, default=200, help="number of bad files")
    parser.add_argument("--visitors", type=int, default=20, help="number of visitors")
    parser.add_argument("--images", type=int, default=5, help="images per visitor")
    arguments = parser.parse_args()

    import psutil
    from gradio_client import Client

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        galaxy = folder / "galaxy.png"
        images, _ = simulate_galaxy10(1)
        Image.fromarray(images[0]).resize((424, 424)).save(galaxy)
        uploads = folder / "uploads"
        command = [sys.executable, "-m", "galclass", "page"]
        environment = os.environ | {"GRADIO_TEMP_DIR": str(uploads)}
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, env=environment
        ) as server:
            address = server.stdout.readline().split()[0]
            process = psutil.Process(server.pid)
            client = Client(address, verbose=False)
            ask(client, galaxy)
            report("one answer", process, uploads)

            bad_files = write_bad_files(folder, arguments.bad)
            refused = sum('role="alert"' in ask(client, path) for path in bad_files)
            assert "<h2>" in ask(client, galaxy)
            report(
                f"{refused} of {arguments.bad} bad files answered with a sentence",
                process,
                uploads,
            )

            visitors = arguments.visitors
            with ThreadPoolExecutor(visitors) as pool:
                answers = [
                    pool.submit(visit, address, galaxy, arguments.images) for _ in range(visitors)
                ]
                seconds = np.concatenate([answer.result() for answer in answers])
            report(
                f"{visitors} visitors, {len(seconds)} answers, {np.median(seconds):.2f} s "
                f"(median), {seconds.max():.2f} s (longest)",
                process,
                uploads,
            )
            server.terminate()


if __name__ == "__main__":
    main()
