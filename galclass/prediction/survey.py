"""Classify large sources of images, here or on a Ray cluster.

A source is divided into parts, which depend on the source alone. The predictions of each part are
written to a separate file: a survey that was stopped resumes with the files that are missing, and
any process can write any of them.
"""

import hashlib
import os
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from tqdm.auto import tqdm

from ..data.arrays import check_integer
from ..errors import ParameterError, RunError
from ..files import LOCK, PathLike, locked, read_json, remove_leftovers, write_json
from ..images.catalogue import require_pyarrow
from ..images.prepare import prepare_named
from ..network.options import Precision, Symmetric
from ..run import Run
from . import cluster
from .network import AnyNetwork, identify_network, is_model, load_network, open_run
from .predict import classify
from .source import FileRows, Listed, Source, open_source
from .table import check_columns, check_names, join, write_table

IDENTITY = {"source", "network", "settings"}  # entries of the manifest that identify a survey
MANIFEST = "_manifest.json"  # Readers of Parquet ignore files whose names begin with _ or a dot.
# The file of a part, and the source of its images.
Part: TypeAlias = tuple[Path, Listed | FileRows]


def predict_survey(
    source: PathLike,
    out: PathLike,
    *,
    run: AnyNetwork = None,
    class_names: Sequence[str] | None = None,
    symmetric: Symmetric | None = None,
    precision: Precision = "auto",
    crop: float | None = None,
    batch_size: int = 64,
    part_rows: int = 1000,
    image_column: str = "image",
    engine: cluster.Engine = "local",
    address: str | None = None,
    workers: int | None = None,
    overwrite: bool = False,
    progress: bool = False,
) -> Path:
    """Classify the images of a large source into a folder of Parquet files.

    A survey that was stopped resumes when it is called again: parts that exist are kept.

    Parameters
    ----------
    source : path-like
        A directory of images, a catalogue of image files, an HDF5 file, a Parquet file with images
        or a directory of such files; see :func:`galclass.predict`.
    out : path-like
        The folder. With Ray on several machines, it must be on a disk that all of them share.
    run, class_names, symmetric, precision, crop, batch_size, progress
        See :func:`galclass.predict`.
    part_rows : int, default 1000
        Largest number of images in a part.
    image_column : str, default "image"
        Column of a catalogue with the image files; they are relative to its folder.
    engine : {"local", "ray"}
        Classify in this process, or in the processes of a Ray cluster.
    address : str, optional
        Address of the Ray cluster, ``HOST:PORT``. Default: the environment variable
        ``RAY_ADDRESS``; without it, Ray is started on this machine.
    workers : int, optional
        Largest number of Ray workers. Default: one per CPU of the cluster, or one per GPU if it
        has any.
    overwrite : bool, default False
        Delete the parts of another survey in `out` first.

    Returns
    -------
    pathlib.Path
        The folder. It holds ``part-000000.parquet`` ..., each with the columns of
        :func:`galclass.predict`, null where these are masked; and ``_manifest.json``, which
        records the source, the network and the settings.

    Raises
    ------
    FileNotFoundError, DataError, MissingPackageError
        See :func:`galclass.predict`; Parquet cannot hold a column of the catalogue; or Ray or
        pyarrow is not installed.
    ParameterError
        See :func:`galclass.predict`; or the source is of another kind, such as a catalogue of
        positions.
    FileExistsError
        `out` exists and is not a survey, or is within the source.
    DownloadError
        No Ray cluster answers at the address.
    RunError
        `out` holds the parts of another source, network or setting, another process is writing
        into it, or it cannot be written.

    Examples
    --------
    >>> import galclass
    >>> folder = galclass.predict_survey("Galaxy10.h5", "classes", symmetric=False)
    >>> from astropy.table import Table
    >>> len(Table.read(folder / "part-000000.parquet"))
    300
    """
    cluster.check_engine(engine, address, workers)
    batch_size = check_integer(batch_size, "batch_size", 1)
    part_rows = check_integer(part_rows, "part_rows", 1)
    source = _make_absolute(source, "source")
    out = _make_absolute(out, "out")
    if out == source or source in out.parents:
        raise FileExistsError(f"{out} is within the source {source}; choose another folder")
    require_pyarrow(out)
    images = open_source(source, image_column=image_column)
    parts = _list_parts(source, images, out, part_rows)
    if not is_model(run):
        run = Run(open_run(run).path.absolute())
    options: dict[str, Any] = {"class_names": class_names, "symmetric": symmetric, "crop": crop}
    network = identify_network(run, **options)
    precision = _check_precision(precision)
    if images.catalogue is not None:
        check_names(images.catalogue, network)
        check_columns(images.catalogue, ".parquet")
    fingerprint = _fingerprint(source, images)
    with _connected(engine, address), locked(out):
        earlier = _read_manifest(out, overwrite)
        if not is_model(run):
            precision = _choose_precision(precision, earlier, engine)
            network["precision"] = precision
        manifest = {
            "source": {"path": str(source), "sha256": fingerprint},
            "parts": len(parts),
            "rows": images.total,
            "network": network,
            "settings": {"part_rows": part_rows, "image_column": image_column},
        }
        _begin_or_resume(out, earlier, manifest)
        settings = {
            "run": run,
            "options": {**options, "precision": precision},
            "batch_size": batch_size,
        }
        _classify_parts(parts, settings, engine, workers, progress)
        remove_leftovers(out)  # A worker may have died.
    return out


def _make_absolute(path: PathLike, name: str) -> Path:
    """Return an absolute path, because other machines have another working directory."""
    if not isinstance(path, str | os.PathLike):
        raise ParameterError(f"{name}={type(path)}, expected a path")
    return Path(os.path.abspath(os.path.expanduser(path)))


def _list_parts(path: Path, source: Source, out: Path, part_rows: int) -> list[Part]:
    if path.is_file() and isinstance(source, Listed) and source.catalogue is None:
        raise ParameterError(
            f"{path} is a single image or of unknown type, expected a folder of images, a "
            "catalogue, or Parquet or HDF5 files; use galclass.predict for single images"
        )
    parts = source.parts(part_rows)
    return [(out / f"part-{number:06d}.parquet", part) for number, part in enumerate(parts)]


def _check_precision(precision: Precision) -> Precision:
    """Return a precision; ``"auto"`` is resolved where the network will predict."""
    if precision == "auto":
        return precision
    from ..network.precision import choose_precision

    return choose_precision(precision)


def _fingerprint(path: Path, source: Source) -> str:
    """Return a hash of the names, sizes and dates of files.

    Hashing the contents would take too long.
    """
    paths = source.files()
    if path.is_file():
        paths = [path, *paths]
    digest = hashlib.sha256()
    for path in dict.fromkeys(paths):
        try:
            status = os.stat(path)
            line = f"{path} {status.st_size} {status.st_mtime_ns}\n"
        except (OSError, ValueError):  # The row of this file will have an error.
            line = f"{path} is missing\n"
        digest.update(line.encode("utf-8", "replace"))
    return digest.hexdigest()


def _connected(engine: cluster.Engine, address: str | None) -> Any:
    if engine == "local":
        return nullcontext()
    return cluster.cluster(address)


def _read_manifest(out: Path, overwrite: bool) -> dict[str, Any] | None:
    """Return the manifest of the survey to resume, None for a new survey."""
    names = {path.name for path in out.iterdir()}
    if names <= {LOCK}:
        return None
    manifest = {}
    if (out / MANIFEST).is_file():
        manifest = read_json(out / MANIFEST, hint="galclass survey")
    if not manifest.keys() >= IDENTITY:  # Other programs use the name, too.
        raise FileExistsError(
            f"{out} exists and is not a survey of galclass; choose another folder"
        )
    if overwrite:
        return None
    return manifest


def _choose_precision(
    precision: Precision, earlier: dict[str, Any] | None, engine: cluster.Engine
) -> Any:
    """Choose one precision for all parts: for ``"auto"``, the precision of existing parts."""
    if precision != "auto":
        return precision
    if earlier is not None and isinstance(earlier.get("network"), dict):
        return earlier["network"].get("precision")
    if engine == "ray":
        return cluster.choose_cluster_precision()
    from ..network.precision import choose_precision

    return choose_precision("auto")


def _begin_or_resume(out: Path, earlier: dict[str, Any] | None, manifest: dict[str, Any]) -> None:
    """Write the manifest of a new survey, or check that the earlier survey is the same."""
    if earlier is None:
        for path in out.glob("part-[0-9]*.parquet"):
            path.unlink()
        write_json(out / MANIFEST, manifest)
    else:
        _check_same(out, earlier, manifest)
    remove_leftovers(out)


def _check_same(out: Path, earlier: dict[str, Any], manifest: dict[str, Any]) -> None:
    for key in sorted(IDENTITY):
        if earlier.get(key) != manifest[key]:
            raise RunError(
                f"cannot resume: the parts in {out} are of {key} {earlier.get(key)}, now it is "
                f"{manifest[key]}; give the same, choose another folder, or replace the parts "
                "(--overwrite)"
            )


def _classify_parts(
    parts: Sequence[Part],
    settings: dict[str, Any],
    engine: cluster.Engine,
    workers: int | None,
    progress: bool,
) -> None:
    missing = [(path, images) for path, images in parts if not path.exists()]
    if not missing:
        return
    total = sum(images.total for _, images in parts)
    done = total - sum(images.total for _, images in missing)
    with tqdm(total=total, initial=done, unit="image", disable=not progress) as bar:
        cluster.map_with(PartClassifier, settings, missing, bar.update, engine, workers)
    lacking = [path for path, _ in missing if not path.exists()]
    if lacking:
        raise RunError(
            f"{len(lacking)} parts that other machines wrote are not in {lacking[0].parent} here; "
            "give a folder that all machines share"
        )


@dataclass
class PartClassifier:
    """Classify parts and write their files, with a network that is loaded once."""

    run: AnyNetwork
    options: dict[str, Any]
    batch_size: int
    threads: int | None = None

    def __post_init__(self) -> None:
        self.network = load_network(self.run, **self.options)

    def __call__(self, part: Part) -> int:
        """Classify a part, unless its file exists; return its number of images."""
        path, images = part
        # Ray repeats a task if its process died, perhaps after it had written the file.
        if not path.exists():
            prepared = prepare_named(images.rows(), self.network.framing, threads=self.threads)
            table = classify(self.network, prepared, batch_size=self.batch_size)
            if images.catalogue is not None:
                table = join(images.catalogue, table)
            # Another process may have written the same file meanwhile.
            write_table(table, path, overwrite=True)
        return images.total
