"""Compare surveys on Ray with the local engine on this computer.

This makes files of simulated galaxies, repeated, in Galaxy10's layout. Each measurement is a
separate process; its time includes the start of Ray and TensorFlow. The rate is measured from the
end of the first parts to the end of the last one, without the start. The memory of the
process and its descendants is measured twice a second; shared pages are counted once (Linux).

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
from typing import NamedTuple

PART_ROWS = 500


class Measurement(NamedTuple):
    seconds: float
    images_per_second: float  # between the ends of the first and the last parts
    peak_memory: float  # GB


def make_file(path, count):
    """Write two hundred simulated galaxies, repeated."""
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


def list_descendants(root):
    """Return the numbers of a process and its descendants."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            fields = (path / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # The process has ended.
            continue
        parents[int(path.name)] = int(fields[1])
    descendants = []
    for process in parents:
        ancestor = process
        while ancestor not in (root, 0):
            ancestor = parents.get(ancestor, 0)
        if ancestor == root:
            descendants.append(process)
    return descendants


def measure_memory(root):
    """Return the memory of a process and its descendants in GB."""
    total = 0.0
    for process in list_descendants(root):
        try:
            rows = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(row.split()[1]) for row in rows if row.startswith("Pss:")) / 1e6
    return total


def measure(source, folder, **settings):
    """Measure one survey in a separate process."""
    out = Path(folder) / f"{time.time_ns()}.parquet"
    work = json.dumps([str(source), str(out), settings])
    start = time.perf_counter()
    peak = 0.0
    process = subprocess.Popen([sys.executable, __file__, "--work", work])
    while process.poll() is None:
        peak = max(peak, measure_memory(process.pid))
        time.sleep(0.5)
    seconds = time.perf_counter() - start
    if process.returncode:
        raise SystemExit(f"{settings} ended with {process.returncode}")
    workers = 1
    if settings.get("engine") == "ray":
        workers = settings.get("workers", os.cpu_count())
    return Measurement(seconds, compute_rate(out, workers), peak)


def compute_rate(out, workers):
    """Return the images per second between the ends of the first and the last parts."""
    ends = sorted(path.stat().st_mtime for path in out.glob("part-*"))
    ends = ends[workers - 1 :]  # Workers that start together end their first parts together.
    if len(ends) < 2:
        return float("nan")
    return PART_ROWS * (len(ends) - 1) / (ends[-1] - ends[0])


def measure_row_size(folder, images):
    """Return the bytes of one row of results."""
    import h5py

    import galclass

    source = Path(folder) / "distinct.h5"
    out = Path(folder) / "distinct.parquet"
    with h5py.File(source, "w") as file:
        file["images"] = images
    galclass.predict_survey(source, out, symmetric=False)
    return sum(path.stat().st_size for path in out.glob("part-*")) / len(images)


def measure_decoding(images):
    """Return the milliseconds of a core that decoding and scaling a JPEG takes."""
    from PIL import Image

    from galclass.data.galaxy10 import GALAXY10_CROP
    from galclass.images.prepare import Framing, prepare_named

    named = []
    for image in images:
        content = io.BytesIO()
        Image.fromarray(image).resize((424, 424), Image.Resampling.BICUBIC).save(content, "JPEG")
        named.append(("an image", content.getvalue()))
    start = time.process_time()
    prepared = list(prepare_named(named, Framing(69, GALAXY10_CROP), threads=1))
    seconds = time.process_time() - start
    assert all(error is None for *_, error in prepared)
    return 1000 * seconds / len(named)


def compare_engines(source, folder, images, rounds):
    """Print a table of the engines."""
    local = []
    several_workers = []
    one_worker = []
    for _ in range(rounds):
        local.append(measure(source, folder))
        several_workers.append(measure(source, folder, engine="ray"))
        one_worker.append(measure(source, folder, engine="ray", workers=1))
    print(f"| {images:,} images, {rounds} rounds | s | times local | images/s | memory, GB |")
    print("|---|---|---|---|---|")
    engines = {
        "local": local,
        f"Ray, {os.cpu_count()} workers of one thread": several_workers,
        "Ray, one worker of one thread": one_worker,
    }
    for name, measurements in engines.items():
        pairs = zip(measurements, local, strict=True)
        ratio = statistics.median(one.seconds / other.seconds for one, other in pairs)
        print(
            f"| {name} | {statistics.median(one.seconds for one in measurements):.0f} "
            f"| {ratio:.2f} "
            f"| {statistics.median(one.images_per_second for one in measurements):.0f} "
            f"| {statistics.median(one.peak_memory for one in measurements):.2f} |"
        )
    pairs = zip(several_workers, one_worker, strict=True)
    gain = statistics.median(
        several.images_per_second / one.images_per_second for several, one in pairs
    )
    print(f"\nThe workers classify {gain:.2f} times the images per second of one.\n", flush=True)


def compare_memory(source, folder, counts):
    """Print the peak memory for surveys of different sizes."""
    print("| images, without averaging | local, GB | Ray, GB |\n|---|---|---|")
    for count in counts:
        make_file(source, count)
        local = measure(source, folder, symmetric=False, engine="local")
        ray = measure(source, folder, symmetric=False, engine="ray")
        print(f"| {count:,} | {local.peak_memory:.2f} | {ray.peak_memory:.2f} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=20_000, help="images of the survey")
    parser.add_argument(
        "--memory", type=int, nargs=2, default=(5000, 50_000), help="images for the memory"
    )
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each engine")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        predict(*json.loads(arguments.work))
        return
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "galaxies.h5"
        make_file(source, arguments.images)
        compare_engines(source, folder, arguments.images, arguments.rounds)
        compare_memory(source, folder, arguments.memory)

        import galclass

        images, _ = galclass.simulate_galaxy10(2000, 1)
        milliseconds = measure_decoding(images[:200])
        size = measure_row_size(folder, images)
        print(
            f"\nDecoding and scaling a JPEG of 424 x 424 pixels takes {milliseconds:.2f} ms of a "
            f"core.\nA row of results takes {size:.0f} bytes."
        )


if __name__ == "__main__":
    main()
