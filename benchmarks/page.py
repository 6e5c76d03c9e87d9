"""The page under load: bad uploads, then many visitors at once; seconds an answer and memory."""

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


def bad_files(folder, n):
    """Files that are no images of galaxies: noise, cut off, empty, huge, of one pixel."""
    rng = np.random.default_rng(0)
    (image,), _ = simulate_galaxy10(1)
    Image.fromarray(image).save(folder / "whole.png")
    whole = (folder / "whole.png").read_bytes()
    Image.new("RGB", (20_000, 20_000)).save(folder / "huge.png")
    kinds = (
        lambda: rng.bytes(int(rng.integers(1, 50_000))),
        lambda: whole[: int(rng.integers(1, len(whole)))],
        lambda: b"",
        lambda: (folder / "huge.png").read_bytes(),
        lambda: b"SIMPLE  =                    T" + rng.bytes(3000),
    )
    for i in range(n):
        path = folder / f"bad{i}{('.png', '.jpg', '.gif', '.png', '.fits')[i % 5]}"
        path.write_bytes(kinds[i % 5]())
        yield path


def ask(client, path):
    """Upload a file and wait for the answer; its HTML."""
    from gradio_client import handle_file

    client.predict([handle_file(path)], api_name="/_take")
    return client.predict(CROP, api_name="/answer")[-1]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bad", type=int, default=200)
    parser.add_argument("--visitors", type=int, default=20)
    parser.add_argument("--images", type=int, default=5, help="of each visitor")
    args = parser.parse_args()

    import psutil
    from gradio_client import Client

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (image,), _ = simulate_galaxy10(1)
        Image.fromarray(image).resize((424, 424)).save(folder / "galaxy.png")
        uploads = folder / "uploads"
        words = [sys.executable, "-m", "galclass", "page"]
        environment = os.environ | {"GRADIO_TEMP_DIR": str(uploads)}
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment) as server:
            address, process = server.stdout.readline().split()[0], psutil.Process(server.pid)

            def report(what):
                size, files = process.memory_info().rss / 2**20, sum(1 for _ in uploads.rglob("*"))
                print(f"{what}: {size:,.0f} MB of memory, {files} files", flush=True)

            client = Client(address, verbose=False)
            ask(client, folder / "galaxy.png")
            report("one answer")
            refused = ['role="alert"' in ask(client, path) for path in bad_files(folder, args.bad)]
            assert "<h2>" in ask(client, folder / "galaxy.png")
            report(f"{sum(refused)} of {args.bad} bad files answered with a sentence")

            def visit(_):
                own, seconds = Client(address, verbose=False), []
                for _ in range(args.images):
                    start = time.perf_counter()
                    assert "<h2>" in ask(own, folder / "galaxy.png")
                    seconds.append(time.perf_counter() - start)
                return seconds

            with ThreadPoolExecutor(args.visitors) as pool:
                seconds = np.concatenate(list(pool.map(visit, range(args.visitors))))
            report(
                f"{args.visitors} visitors, {len(seconds)} answers, {np.median(seconds):.2f} s "
                f"(median), {seconds.max():.2f} s (longest)"
            )
            server.terminate()


if __name__ == "__main__":
    main()
