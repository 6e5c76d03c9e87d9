"""Surveys: Ray against the local engine on this computer, and how they scale.

Makes files of simulated galaxies, repeated, in Galaxy10's layout. Each measurement is a process of
its own, start of Ray and TensorFlow included in its time; the rate is that between the ends of the
first and last shards, without the start. Memory is that of the process and all that it started,
shared pages counted once, sampled twice a second (Linux).

    python benchmarks/distributed.py [--images 20000] [--memory 5000 50000] [--rounds 3]
"""

import argparse
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PART_ROWS = 500


def make_file(path, count):
    """Two hundred simulated galaxies, repeated."""
    import h5py
    import numpy as np

    from galclass import simulate_galaxy10

    images, _ = simulate_galaxy10(200, 0)
    with h5py.File(path, "w") as file:
        column = file.create_dataset("images", (count, *images.shape[1:]), np.uint8)
        for start in range(0, count, len(images)):
            column[start : start + len(images)] = images[: count - start]


def predict(source, out, settings):
    import galclass

    galclass.predict_survey(source, out, part_rows=PART_ROWS, **settings)


def memory(root):
    """Memory of a process and its descendants, GB."""
    parents, total = {}, 0.0
    for path in Path("/proc").glob("[0-9]*"):
        try:
            fields = (path / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # It has ended.
            continue
        parents[int(path.name)] = int(fields[1])
    for pid in parents:
        ancestor = pid
        while ancestor not in (root, 0):
            ancestor = parents.get(ancestor, 0)
        if ancestor != root:
            continue
        try:
            rows = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(row.split()[1]) for row in rows if row.startswith("Pss:")) / 1e6
    return total


def measure(source, folder, **settings):
    """Seconds, images a second between the first and last shards, and peak memory, GB."""
    out = Path(folder) / f"{time.time_ns()}.parquet"
    work = json.dumps([str(source), str(out), settings])
    start, peak = time.perf_counter(), 0.0
    process = subprocess.Popen([sys.executable, __file__, "--work", work])
    while process.poll() is None:
        peak = max(peak, memory(process.pid))
        time.sleep(0.5)
    seconds = time.perf_counter() - start
    if process.returncode:
        raise SystemExit(f"{settings} ended with {process.returncode}")
    ends = sorted(path.stat().st_mtime for path in out.glob("part-*"))
    # Workers that start together end their first shards together.
    workers = settings.get("workers", os.cpu_count()) if settings.get("engine") == "ray" else 1
    ends = ends[workers - 1 :]
    rate = PART_ROWS * (len(ends) - 1) / (ends[-1] - ends[0]) if len(ends) > 1 else float("nan")
    return seconds, rate, peak


def cost_of_reading_and_writing(folder, count=2000):
    """Milliseconds of a core that a JPEG of 424 pixels takes, and bytes of a row of results."""
    import h5py
    from PIL import Image

    import galclass
    from galclass.data.images import prepare_named

    images, _ = galclass.simulate_galaxy10(count, 1)
    source, out = Path(folder) / "distinct.h5", Path(folder) / "distinct.parquet"
    with h5py.File(source, "w") as file:
        file["images"] = images
    galclass.predict_survey(source, out, symmetric=False)
    size = sum(path.stat().st_size for path in out.glob("part-*"))
    encoded = []
    for image in images[:200]:
        content = io.BytesIO()
        Image.fromarray(image).resize((424, 424), Image.Resampling.BICUBIC).save(content, "JPEG")
        encoded.append(("an image", content.getvalue()))
    start = time.process_time()
    assert all(error is None for *_, error in prepare_named(encoded, threads=1))
    return 1000 * (time.process_time() - start) / len(encoded), size / count


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--memory", type=int, nargs=2, default=(5000, 50_000))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--work", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        predict(*json.loads(arguments.work))
        return
    ways = {
        "local": {},
        f"Ray, {os.cpu_count()} workers of one thread": {"engine": "ray"},
        "Ray, one worker of one thread": {"engine": "ray", "workers": 1},
    }
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "galaxies.h5"
        make_file(source, arguments.images)
        found = {name: [] for name in ways}
        for _ in range(arguments.rounds):
            for name, settings in ways.items():
                found[name].append(measure(source, folder, **settings))
        local, ray, one = found.values()
        title = f"{arguments.images:,} images, {arguments.rounds} rounds"
        print(f"| {title} | s | times local | images/s | memory, GB |\n|---|---|---|---|---|")
        for name, rows in found.items():
            seconds, rate, peak = map(statistics.median, zip(*rows, strict=True))
            ratio = statistics.median(a[0] / b[0] for a, b in zip(rows, local, strict=True))
            print(f"| {name} | {seconds:.0f} | {ratio:.2f} | {rate:.0f} | {peak:.2f} |")
        gain = statistics.median(b[1] / a[1] for a, b in zip(one, ray, strict=True))
        print(f"\nthey give {gain:.2f} times the images a second of one worker\n", flush=True)
        print("| images, without averaging | local, GB | Ray, GB |\n|---|---|---|")
        for count in arguments.memory:
            make_file(source, count)
            peaks = [
                measure(source, folder, symmetric=False, engine=engine)[2]
                for engine in ("local", "ray")
            ]
            print(f"| {count:,} | {peaks[0]:.2f} | {peaks[1]:.2f} |", flush=True)
        milliseconds, size = cost_of_reading_and_writing(folder)
        print(
            f"\na JPEG of 424 x 424 pixels is decoded and scaled in {milliseconds:.2f} ms of a core"
        )
        print(f"a row of results takes {size:.0f} bytes")


if __name__ == "__main__":
    main()
