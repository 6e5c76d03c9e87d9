"""Surveys: each part of a source is read, classified and written by itself.

The parts are a function of the source alone, and each has a file of its own, so that a survey that
was stopped resumes with the parts whose files are missing, and any process can do any part.
"""

import os
from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm.auto import tqdm

from .. import cluster
from ..data.arrays import check_integer
from ..data.images import Prepared, check_crop
from ..errors import DataError, DownloadError, ParameterError, RunError
from ..files import LOCK, PathLike, locked, read_json, remove_leftovers, write_json
from ..run import as_run, load_pretrained
from .catalogue import check_columns, check_writable, join
from .predict import AnyNetwork, classify, identify_network, is_model, load_network
from .sources import PART_ROWS, Part, count_rows, fingerprint, iter_part, list_parts
from .table import columns_of, require_pyarrow, write_table

if TYPE_CHECKING:
    from ..network.hardware import Precision
    from ..network.probabilities import Symmetric

# Readers of Parquet pass over files whose names begin with _ or a dot.
MANIFEST = "_manifest.json"


def predict_survey(
    source: PathLike,
    out: PathLike,
    *,
    run: AnyNetwork = None,
    symmetric: "Symmetric | None" = None,
    precision: "Precision" = "auto",
    crop: float | None = None,
    batch_size: int = 64,
    part_rows: int = PART_ROWS,
    image_column: str = "image",
    engine: cluster.Engine = "local",
    address: str | None = None,
    workers: int | None = None,
    overwrite: bool = False,
    progress: bool = False,
) -> Path:
    """Classify the images of a source into a folder of Parquet files.

    A survey that was stopped resumes when it is called again: files that exist are not written
    anew.

    Parameters
    ----------
    source : str or path-like
        A directory of images; a Parquet file or a directory of them, with the columns ``id``
        (text or integer) and ``image`` (binary: the content of an image file); an HDF5
        file in Galaxy10's layout, whose ``images`` are taken; or a catalogue in CSV, ECSV, FITS
        or VOTable, as for :func:`galclass.predict`, whose own columns come first in the parts.
    out : path-like
        The folder; with Ray on several machines, one that they share.
    run, symmetric, precision, crop, batch_size, progress
        As for :func:`galclass.predict`.
    part_rows : int, default 1000
        Images in a part.
    image_column : str, default "image"
        Of a catalogue: its column of image files, relative to its folder.
    engine : {"local", "ray"}
        Classify in this process, or on the processes and machines of a Ray cluster.
    address : str, optional
        Of the Ray cluster, ``HOST:PORT``. Default: that of ``RAY_ADDRESS``, else Ray is started
        here.
    workers : int, optional
        Processes on Ray, at most. Default: one a CPU of the cluster, or one a GPU if it has any.
    overwrite : bool, default False
        Delete the parts of another survey in `out` first.

    Returns
    -------
    pathlib.Path
        The folder: ``part-000000.parquet`` ..., each with the columns of :func:`galclass.predict`,
        null where those are masked, and ``_manifest.json``, which records of what and how.

    Raises
    ------
    FileNotFoundError, DataError, ParameterError, MissingPackageError
        As for :func:`galclass.predict`, or `source` is none of these.
    DownloadError
        SDSS does not answer; the same call goes on from there.
    FileExistsError
        `out` exists and is no survey, or is within the source.
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
    from ..network.hardware import choose_precision

    cluster.check_engine(engine, address, workers)
    crop, batch_size = check_crop(crop), check_integer(batch_size, "batch_size", 1)
    source, out = _check_places(source, out)
    parts = list_parts(source, rows=part_rows, image_column=image_column)
    own = is_model(run)  # A network of the user's own has its own precision.
    if not own:
        choose_precision(precision)
        run = load_pretrained() if run is None else as_run(run)
    settings: dict[str, Any] = {"crop": crop, "part_rows": part_rows}
    settings["precision"] = None if own else precision
    network = identify_network(run, symmetric=symmetric)
    if parts[0].rows is not None:
        settings["image_column"] = image_column
        _check_catalogue(parts, network, engine)
    manifest = _manifest(source, parts) | {"network": network, "settings": settings}
    if _resumes(out, manifest, overwrite) and not _missing(out, parts):
        return out
    with nullcontext() if engine == "local" else cluster.cluster(address), locked(out):
        resumes = _resumes(out, manifest, overwrite)  # Another process may have begun meanwhile.
        if settings["precision"] == "auto":
            choose = choose_precision if engine == "local" else cluster.choose_precision
            settings["precision"] = choose("auto")
        if not resumes:
            for path in out.glob("part-[0-9]*.parquet"):
                path.unlink()
            write_json(out / MANIFEST, manifest)
        remove_leftovers(out)
        missing = _missing(out, parts)
        worker = {"run": run, "folder": out, "symmetric": symmetric, "crop": crop}
        worker |= {"precision": settings["precision"] or "float32", "batch_size": batch_size}
        total, done = count_rows(parts), count_rows(parts) - count_rows(missing)
        with tqdm(total=total, initial=done, unit="image", disable=not progress) as bar:
            cluster.map_with(PartClassifier, worker, missing, bar.update, engine, workers)
        remove_leftovers(out)
    if lacking := _missing(out, missing):
        raise RunError(
            f"{len(lacking)} parts that other machines wrote are not in {out} here; "
            "give a folder that all machines share"
        )
    return out


def _check_catalogue(parts: list[Part], network: dict[str, Any], engine: cluster.Engine) -> None:
    rows: Any = [part.rows for part in parts]
    check_columns(rows[0], columns_of(network))
    check_writable(rows[0], ".parquet")
    for name in rows[0].colnames:
        if rows[0][name].dtype.kind == "O":
            kinds = {getattr(value, "dtype", type(value)) for part in rows for value in part[name]}
            if len(kinds) > 1 or kinds <= {list, tuple, dict}:
                raise DataError(f"{name!r} has values of several kinds; leave the column out")
    if engine == "ray" and any(callable(image) for part in parts for _, image in part.named):
        raise ParameterError("many processes would ask SDSS too often; choose engine='local'")


def _stop_at_failed_downloads(prepared: Iterable[Prepared]) -> Iterable[Prepared]:
    """So that the part is not written without them, and the survey asks for them again."""
    for name, image, error in prepared:
        if isinstance(error, DownloadError):
            raise DownloadError(f"{error}, with the same call") from error
        yield name, image, error


def _manifest(source: Path, parts: list[Part]) -> dict[str, Any]:
    files = {"path": str(source), "sha256": fingerprint(parts)}
    return {"source": files, "parts": len(parts), "rows": count_rows(parts)}


def _check_places(source: PathLike, out: PathLike) -> tuple[Path, Path]:
    if not isinstance(source, str | os.PathLike):
        raise ParameterError(f"source {type(source)}, expected the path of one")
    require_pyarrow(out)
    # Absolute, as other machines have another working directory.
    source, out = (Path(os.path.abspath(os.path.expanduser(path))) for path in (source, out))
    if out == source or source in out.parents:
        raise FileExistsError(f"{out} is within the source {source}; choose another folder")
    return source, out


@dataclass
class PartClassifier:
    """Classifies parts and writes their tables into a folder; the network is loaded once."""

    run: AnyNetwork
    folder: Path
    symmetric: "Symmetric | None"
    precision: "Precision"
    batch_size: int
    crop: float | None
    threads: int | None = None

    def __post_init__(self) -> None:
        self.network = load_network(self.run, symmetric=self.symmetric, precision=self.precision)
        self.crop = self.network.crop if self.crop is None else self.crop
        self.network.record["crop"] = self.crop

    def __call__(self, part: Part) -> int:
        """Write the table of a part, unless it exists; its number of images."""
        path = part_path(self.folder, part)
        if not path.exists():
            size = self.network.size
            prepared = iter_part(part, crop=self.crop, size=size, threads=self.threads)
            prepared = _stop_at_failed_downloads(prepared)
            table = classify(self.network, prepared, batch_size=self.batch_size)
            table = table if part.rows is None else join(part.rows, table)
            # Another process may have written the same meanwhile.
            write_table(table, path, overwrite=True)
        return count_rows([part])


def part_path(folder: PathLike, part: Part) -> Path:
    """Path of the file that holds a part's table."""
    return Path(folder) / f"part-{part.number:06d}.parquet"


def _missing(out: Path, parts: list[Part]) -> list[Part]:
    return [part for part in parts if not part_path(out, part).exists()]


def _resumes(out: Path, manifest: dict[str, Any], overwrite: bool) -> bool:
    """Whether a folder holds parts to resume; the precision is theirs where any will do."""
    if not out.exists() or (out.is_dir() and not {path.name for path in out.iterdir()} - {LOCK}):
        return False
    if not (out / MANIFEST).is_file():
        raise FileExistsError(f"{out} exists and holds no survey of galclass; choose another name")
    if overwrite:
        return False
    before, settings = read_json(out / MANIFEST, hint="galclass survey"), manifest["settings"]
    if not isinstance(before.get("settings"), dict):
        raise RunError(f"{out / MANIFEST} has no settings; replace the folder (--overwrite)")
    if settings["precision"] == "auto":
        settings["precision"] = before["settings"].get("precision")
    for key in ("source", "network", "settings"):
        if before.get(key) != manifest[key]:
            raise RunError(
                f"cannot resume: the parts in {out} are of {key} {before.get(key)}, now it is "
                f"{manifest[key]}; give the same, choose another folder or replace it (--overwrite)"
            )
    return True
