"""A finished run as a small folder that can be given away."""

import shutil
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from ..errors import RunError
from ..files import PathLike, whole_file, write_json, write_npz
from ..run import Run, as_run, load_run, weights_sha256
from .evaluate import measure, write_results

# Smaller arrays are not rounded: biases and the output layer cost nothing.
LARGE = 1000


def pack(
    run: Run | PathLike, images: ArrayLike, labels: ArrayLike, *, out: PathLike, note: str = ""
) -> Run:
    """Copy a finished run with weights in half precision, for the public Galaxy10's mix of classes.

    The copy is measured as it is: with rounded weights, and with its probabilities corrected for
    the public file's mix of classes (see :func:`galclass.network.calibration.log_prior_shift`).
    Temperature and strength of the correction are chosen on the validation galaxies. It holds no
    image, and no weights of the last epoch. About 3.4 MB.

    Parameters
    ----------
    run : galclass.run.Run or path-like
        Finished; it is left as it is.
    images, labels : ndarray
        The run's galaxies.
    out : path-like
        A folder that does not exist yet, or is empty.
    note : str, optional
        What the model card is to say of the galaxies.

    Returns
    -------
    galclass.run.Run
        The copy, evaluated.

    Raises
    ------
    RunError
        The run is not finished, the galaxies are not its, or `out` already exists.
    """
    run, out = as_run(run), Path(out).expanduser()
    run.require_complete()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise RunError(f"{out} already exists and is not empty; choose another folder")
    run.split(images, labels)
    model, seen = run.load_model(), run.seen
    for variable in model.trainable_variables:
        if np.size(variable) >= LARGE:
            variable.assign(variable.numpy().astype(np.float16).astype(np.float32))
    with whole_file(out / "model.keras") as temporary:
        model.save(temporary)  # Keras looks at the suffix.
        with zipfile.ZipFile(temporary) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_BZIP2) as archive:
            for name, member in members.items():
                archive.writestr(name, member)
    digest = weights_sha256(variable.numpy() for variable in model.trainable_variables)
    manifest = {**run.manifest, "packed": True, "weights_sha256": {"model": digest}}
    write_json(out / "manifest.json", {**manifest, "note": note} if note else manifest)
    shutil.copyfile(run.path / "history.csv", out / "history.csv")
    write_npz(out / "seen.npz", hashes=seen)
    if run.usual is not None:
        write_npz(out / "usual.npz", **run.usual)
    packed = load_run(out)
    measured = measure(packed, images, labels)
    write_npz(out / "predictions.npz", **measured.predictions)
    write_npz(out / "validation.npz", **measured.validation)
    write_results(packed, measured.metrics)
    return packed
