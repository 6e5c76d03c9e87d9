"""Make a run folder that can be given away: small, and without images.

The folder has the weights of a finished run, with arrays of more than 1,000 weights rounded to half
precision, and is evaluated again with these weights. It is a run like any other, of about 5 MB.
These commands made the two pretrained networks of the package:

    python benchmarks/make_pretrained.py runs/from_simulated/seed-0 --data Galaxy10_subset.h5 \
        --class-mix galaxy10 --out runs/pretrained
    python benchmarks/make_pretrained.py runs/simulated_start/run \
        --data runs/simulated_start/galaxies.h5 --class-mix galaxy10 --out runs/pretrained_simulated
"""

import argparse
import shutil
import zipfile
from pathlib import Path

import numpy as np

from galclass import evaluate, load_run
from galclass.errors import RunError
from galclass.load import load_run_data
from galclass.network.weights import get_weights, set_weights, weights_sha256
from galclass.run import Run

LARGE = 1000  # Smaller arrays, such as biases, take hardly any space.


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", help="finished run")
    parser.add_argument("--data", required=True, help="the galaxies of the run")
    parser.add_argument("--out", required=True, type=Path, help="new folder")
    parser.add_argument("--class-mix", choices=["galaxy10"], help="class fractions to correct for")
    parser.add_argument("--note", help="text about the galaxies for the model card")
    arguments = parser.parse_args()

    run = load_run(arguments.run)
    run.require_complete()
    dataset = load_run_data(run, arguments.data)
    pretrained = copy_run(run, arguments.out, arguments.note)
    evaluate(pretrained, *dataset, class_mix=arguments.class_mix)
    for name in ("examples.npz", "mistakes.npz"):
        (pretrained.path / name).unlink()


def copy_run(run: Run, out: Path, note: str | None = None) -> Run:
    """Copy a finished run with rounded weights; the copy is not evaluated."""
    if out.exists():
        raise RunError(f"{out} exists; choose another folder")
    model = run.load_model()
    weights = get_weights(model)
    for name, array in weights.items():
        if array.size > LARGE:
            weights[name] = array.astype(np.float16).astype(np.float32)
    set_weights(model, weights)
    manifest = run.manifest
    manifest["weights_sha256"] = weights_sha256(weights.values())
    manifest["weights_precision"] = "float16"
    if note is not None:
        manifest["note"] = note
    out.mkdir(parents=True)
    copy = Run(out)
    copy.write_manifest(manifest)
    copy.write_model(model)
    compress(out / "model.keras")
    for name in ("history.csv", "seen.npz"):
        shutil.copyfile(run.path / name, out / name)
    return copy


def compress(path: Path) -> None:
    """Compress the members of a zip archive."""
    with zipfile.ZipFile(path) as archive:
        members = {member: archive.read(member) for member in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


if __name__ == "__main__":
    main()
