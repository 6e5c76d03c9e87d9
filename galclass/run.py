"""The run folder: what training and evaluation leave behind, read and written whole.

``README.md``         the model card
``manifest.json``     recipe, seed, origin of the galaxies, split, versions, precision, wall time
``history.csv``       a row an epoch
``model.keras``       weights of the best validation epoch
``last.keras``        weights of the last epoch
``checkpoint/``       what resuming needs, while training is unfinished
``examples.npz``      a few training images, for the figures
``seen.npz``          hashes of the images that it, or what it started from, was trained with
``usual.npz``         what :func:`galclass.network.unusual.rank_unusual` needs of them
``predictions.npz``   test indices, true labels, probabilities
``validation.npz``    the same of the validation galaxies
``metrics.json``      what they amount to, and the calibration of the probabilities
``mistakes.npz``      the images that are misclassified with the most confidence
``figures/``          what :func:`galclass.save_figures` plots
``others/``           the same of other galaxies, see :func:`galclass.evaluate`
"""

import csv
import hashlib
import io
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import h5py
import numpy as np
from numpy.typing import NDArray

from .data.arrays import IMAGE_SHAPE, Images, Labels, check_images, check_labels
from .data.dataset import Dataset, Origin, load_data
from .data.galaxy10 import CLASS_NAMES
from .data.split import Split, split_record
from .errors import ParameterError, RunError
from .files import PathLike, read_json, read_npz, sha256_of_arrays, whole_file
from .network.calibration import Calibration
from .network.thresholds import choose_thresholds

if TYPE_CHECKING:
    import keras
    from astropy.table import Table

    from .network.hardware import Precision
    from .network.probabilities import Symmetric

WEIGHTS = "model.weights.h5"  # as Keras names them in its archive
FILES = (
    *("README.md", "history.csv", "model.keras", "last.keras", "checkpoint", "examples.npz"),
    *("seen.npz", "usual.npz", "predictions.npz", "validation.npz", "metrics.json"),
    *("mistakes.npz", "figures", "others"),
)
MEASURED = ("metrics", "predictions", "validation", "mistakes")
PRETRAINED = {"galaxy10": "pretrained", "simulated": "pretrained_simulated"}


@dataclass(frozen=True)
class Run:
    """A run folder, read when asked.

    Parameters
    ----------
    path : pathlib.Path
        The folder.
    """

    path: Path

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """dict : how the run was made."""
        return _completed(read_json(self.path / "manifest.json", hint="galclass train"))

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """dict : what :func:`galclass.evaluate` measured."""
        path = self.path / "metrics.json"
        metrics = read_json(path, hint="galclass evaluate")
        needed = {"accuracy", "galaxies", "classes", "confusion_matrix", "calibration"}
        if missing := needed - metrics.keys():
            raise RunError(f"{path} lacks {sorted(missing)}; make it with: galclass evaluate")
        return metrics

    @cached_property
    def history(self) -> dict[str, NDArray[np.float64]]:
        """dict of ndarray, shape (epochs,) : one entry a column of ``history.csv``."""
        path = self.path / "history.csv"
        try:
            with open(path, newline="", encoding="utf-8") as file:
                rows = list(csv.DictReader(file))
            return {key: np.array([float(row[key]) for row in rows]) for key in rows[0]}
        except FileNotFoundError:
            raise RunError(f"no {path.name} in {self.path}; train the run first") from None
        except (IndexError, KeyError, TypeError, ValueError, OSError, csv.Error) as error:
            raise RunError(f"{path} is damaged: {error}") from error

    @cached_property
    def predictions(self) -> dict[str, NDArray[Any]]:
        """dict of ndarray : ``indices`` (n,), ``labels`` (n,), ``probabilities`` (n, classes)."""
        return self._arrays("predictions", "indices", "labels", "probabilities")

    @cached_property
    def validation(self) -> dict[str, NDArray[Any]]:
        """dict of ndarray : as :attr:`predictions`, of the validation galaxies."""
        return self._arrays("validation", "indices", "labels", "probabilities")

    @cached_property
    def examples(self) -> dict[str, NDArray[Any]]:
        """dict of ndarray : ``images`` uint8 (n, s, s, 3) and ``labels`` (n,)."""
        return self._arrays("examples", "images", "labels")

    @cached_property
    def seen(self) -> NDArray[np.uint64]:
        """ndarray of uint64 : hashes of all training and validation images, sorted.

        Also of the run that it started from; see :func:`galclass.network.symmetry.hash_images`.
        """
        hint = "training again (galclass train --overwrite), which older versions did not"
        return read_npz(self.path / "seen.npz", "hashes", hint=hint)["hashes"]

    @cached_property
    def usual(self) -> dict[str, NDArray[np.float64]] | None:
        """dict of ndarray : what marks unusual images; None for older versions' runs."""
        path = self.path / "usual.npz"
        names = ("mean", "inverse", "distances")
        return read_npz(path, *names, hint="galclass train") if path.exists() else None

    def is_independent(self, origin: Origin, hashes: NDArray[np.uint64]) -> bool:
        """Whether galaxies are others than the run's, as far as names and hashes tell.

        Images of Galaxy10's galaxies that were made anew have other hashes: where no image is the
        same, any real galaxies may be those of a run that was trained on Galaxy10.
        """
        record, names = self.manifest, list[str]()
        while record:
            names.append(record["origin"]["name"].lower())
            record = record.get("start")
        real = origin.kind not in ("simulated", "decals")
        galaxy10 = real and any(name.startswith("galaxy10") for name in names)
        return not galaxy10 or bool(np.isin(hashes, self.seen).any())

    @cached_property
    def mistakes(self) -> dict[str, NDArray[Any]]:
        """dict of ndarray : up to ten test galaxies that are confidently misclassified.

        ``images`` uint8 (n, s, s, 3), ``labels``, ``predicted``, ``probabilities`` (n,).
        """
        return self._arrays("mistakes", "images", "labels", "predicted", "probabilities")

    def _arrays(self, name: str, *columns: str) -> dict[str, NDArray[Any]]:
        return read_npz(self.path / f"{name}.npz", *columns, hint="galclass evaluate")

    @property
    def origin(self) -> Origin:
        """Origin : where the galaxies come from."""
        return Origin.from_record(self.manifest["origin"])

    @property
    def class_names(self) -> tuple[str, ...]:
        """tuple of str : names of the classes."""
        return self.origin.class_names

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """tuple of int : height, width and channels of the network's images."""
        return tuple(self.manifest["network"].get("input_shape", IMAGE_SHAPE))

    @property
    def packaged(self) -> bool:
        """bool : whether it came with galclass, so that nothing is written into it."""
        return str(resources.files("galclass")) in map(str, self.path.resolve().parents)

    @property
    def symmetric(self) -> "Symmetric":
        """False, or "unsure" : whether predictions are averaged over the eight symmetries.

        As its recipe says; where one pass is sure of the class, there is nothing to average for.
        """
        return "unsure" if self.manifest["recipe"].get("symmetric_prediction") else False

    @property
    def calibration(self) -> Calibration:
        """Calibration : of the probabilities; none before :func:`galclass.evaluate`."""
        if not (self.path / "metrics.json").exists():
            return Calibration()
        try:
            return Calibration.from_record(self.metrics["calibration"])
        except (KeyError, TypeError, ValueError) as error:
            raise RunError(
                f"{self.path / 'metrics.json'} holds no calibration ({error!r}); make it with: "
                "galclass evaluate"
            ) from error

    def require_complete(self) -> None:
        """Raise a RunError unless the training has ended."""
        if self.manifest.get("status") != "complete":
            raise RunError(f"{self.path} is unfinished, expected a finished run; resume it first")

    def forget(self) -> None:
        """Read metrics, predictions and mistakes anew when they are next asked for."""
        for name in MEASURED:
            self.__dict__.pop(name, None)

    def load_model(
        self, weights: Literal["model", "last"] = "model", *, precision: "Precision" = "float32"
    ) -> "keras.Model":
        """Build the network and read its weights; nothing in the file is ever executed.

        Parameters
        ----------
        weights : {"model", "last"}
            Of the best validation epoch, or of the last epoch.
        precision : {"float32", "bfloat16", "float16", "auto"}
            Of the layers, whatever the training's was.

        Returns
        -------
        keras.Model
            Its probabilities are not calibrated; see :attr:`calibration`.

        Raises
        ------
        RunError
            The file is missing, is no Keras file, does not fit the network or holds other weights
            than the manifest records.
        """
        from .network.cnn import build_cnn

        path = self.path / f"{weights}.keras"
        if not path.is_file():
            raise RunError(f"no {path.name} in {self.path}; train the run first")
        try:
            model = build_cnn(**self.manifest["network"], precision=precision)
            content = _read_weights(path, largest=4 * model.count_params() + (1 << 20))
            # Out of the archive, where HDF5 would unpack it again and again.
            with tempfile.TemporaryDirectory() as folder:
                (Path(folder) / WEIGHTS).write_bytes(content)
                model.load_weights(Path(folder) / WEIGHTS)
            found = weights_sha256(variable.numpy() for variable in model.trainable_variables)
            recorded = self.manifest.get("weights_sha256", {}).get(weights, found)
        except Exception as error:  # zipfile, zlib, h5py and Keras each raise their own kinds
            reason = " ".join(str(error).split())[:200]
            raise RunError(
                f"{path} does not hold the manifest's network: {reason}; copy the run again"
            ) from error
        if found != recorded:  # The calibration would be that of other weights.
            raise RunError(
                f"{path} holds weights of sha256 {found}, where the manifest's weights_sha256 is "
                f"{recorded}; copy the run again, or load it anew if its folder was replaced"
            )
        return model

    def load_data(self, data: PathLike | None = None, **columns: Any) -> Dataset:
        """Load the galaxies of the run again, and make sure that they are the same.

        Parameters
        ----------
        data : str or path-like, optional
            As in :func:`galclass.load_data`. Default: what the manifest records; a manifest holds
            no path, so that a file of your own must be given.
        **columns : str
            ``image_column`` and ``label_column`` of a catalogue.

        Raises
        ------
        RunError
            The file must be given, or the galaxies are not those of the run.
        """
        origin = self.origin
        if data is None and origin.kind in ("file", "arrays"):
            found = f"the run was trained on {origin.name}, whose place is not recorded"
            raise RunError(f"{found}; give it with --data PATH")
        known: dict[str, Any] = {"n": origin.galaxies, "seed": origin.seed or 0}
        loaded = load_data(data or origin.kind, **known, **columns)
        if loaded.origin.sha256 != origin.sha256:
            digests = f"{loaded.origin.sha256[:12]}..., expected {origin.sha256[:12]}..."
            found = f"{loaded.origin.name} does not hold the run's {origin.name}"
            raise RunError(f"{found} (sha256 {digests}); give the same galaxies")
        return loaded

    def split(self, images: Images, labels: Labels) -> Split:
        """The split of the run's galaxies, given again.

        Raises
        ------
        RunError
            Images or labels are not the run's, or not in their order.
        """
        images = check_images(images)
        labels = check_labels(labels, len(images), classes=len(self.class_names))
        parts, found = split_record(labels, self.manifest["split"].get("protocol"))
        same = found == self.manifest["split"]
        if not same or sha256_of_arrays(images, labels) != self.origin.sha256:
            raise RunError(
                f"these {len(labels)} galaxies are not the run's {self.origin.galaxies}, or in "
                f"another order; give those of {self.origin.name}"
            )
        return parts

    def thresholds(
        self, *, purity: float | None = None, completeness: float | None = None
    ) -> "Table":
        """Probabilities to cut at, for samples of a purity or a completeness.

        A sample of a class are the galaxies that are predicted to be of it with this probability
        or more. Thresholds are chosen on the validation galaxies, so that the lower end of the
        68 % interval (Wilson's) reaches what is asked for; the test set shows whether it holds.
        A purity holds for galaxies with the mix of classes of the run's own.

        Parameters
        ----------
        purity : float, optional
            Share of a sample that is of the class, 0 to 1: the largest sample that has it.
        completeness : float, optional
            Instead, the share of the class that is in the sample: the purest that has it.

        Returns
        -------
        astropy.table.Table
            A row a class: ``class`` (from 0), ``name``, ``threshold`` (masked where there are too
            few galaxies to promise it), and of the validation and of the test set at or above
            it ``..._galaxies``, ``..._purity`` with its 95 % interval, ``..._purity_low`` to
            ``..._purity_high``, and ``..._completeness``.

        Raises
        ------
        ParameterError
            Not one of them between 0 and 1.
        RunError
            The run is not evaluated, or by a version that kept no validation galaxies.
        """
        validation, test = (
            (part["labels"], self.calibration.apply(part["probabilities"]))
            for part in (self.validation, self.predictions)
        )
        asked = {"purity": purity, "completeness": completeness}
        return choose_thresholds(validation, test, self.class_names, **asked)

    def summary(self) -> "Table":
        """The test in a table: a row a class, with the overall metrics in ``meta``.

        Returns
        -------
        astropy.table.Table
            ``class`` (from 1, as in figures), ``name``, ``precision`` and ``recall`` (%, NaN where
            undefined) and ``galaxies`` (in the test); a last row of class 0 for all of them, with
            the accuracy as ``recall``.
        """
        from astropy.table import Table

        metrics = self.metrics
        rows, total = metrics["classes"], {"name": "all", "recall": metrics["accuracy"]}
        rows = [*rows, total | {"precision": None, "support": metrics["galaxies"]}]
        table = Table({"class": [*range(1, len(rows)), 0], "name": [row["name"] for row in rows]})
        for name in ("precision", "recall"):
            table[name] = 100 * np.array([row[name] for row in rows], float)
            table[name].format, table[name].description = ".1f", "%"
        table["galaxies"] = [row["support"] for row in rows]
        table.meta = {key: value for key, value in metrics.items() if isinstance(value, float)}
        table.meta["origin"] = str(self.origin)
        return table


def _completed(manifest: Any) -> Any:
    """A manifest, and those of what it started from, with what older versions left out."""
    network = manifest.get("network")
    if isinstance(network, dict):
        network.setdefault("input_shape", list(IMAGE_SHAPE))
    for record in (manifest, manifest.get("start")):
        while isinstance(record, dict):
            if isinstance(record.get("origin"), dict):
                record["origin"].setdefault("class_names", list(CLASS_NAMES))
                record["origin"].setdefault("crop", None)
            record = record.get("start")
    return manifest


def load_run(path: PathLike) -> Run:
    """Open a run folder.

    Parameters
    ----------
    path : str or path-like
        A folder that :func:`galclass.train` made.

    Returns
    -------
    Run
        With ``manifest``, ``history``, ``predictions``, ``metrics``, ``summary()`` and
        ``load_model()``.

    Raises
    ------
    RunError
        No such folder, or no readable manifest in it.

    Examples
    --------
    >>> import galclass
    >>> run = galclass.load_run("runs/mine")
    >>> run.manifest["recipe_name"], run.manifest["seed"]
    ('quick', 0)
    >>> 0 <= run.metrics["accuracy"] <= 1
    True
    >>> model = run.load_model()
    >>> model.output_shape
    (None, 10)
    """
    given, path = os.fspath(path), Path(os.path.expanduser(path))
    if not path.is_dir() or not given:
        raise RunError(f"no run folder {path}; make one with: galclass train --out {path}")
    run = Run(path)
    for key in ("recipe", "origin", "split", "network"):
        found = run.manifest.get(key)
        if not isinstance(found, dict):
            where = path / "manifest.json"
            raise RunError(f"{where}: {key!r} is {found!r}, expected a JSON object; is this a run?")
    return run


def load_pretrained(name: Literal["galaxy10", "simulated"] = "galaxy10") -> Run:
    """A pretrained network, a run folder that comes with galclass; it needs no data.

    Parameters
    ----------
    name : {"galaxy10", "simulated"}
        ``"galaxy10"`` was trained on galaxies of Galaxy10; its calibration corrects for the public
        file's mix of classes. ``"simulated"`` has seen no real galaxy, and is there to start
        training from. The ``README.md`` of each says what it was trained on and how well it does.

    Returns
    -------
    Run

    Raises
    ------
    ParameterError
        Another name.

    Examples
    --------
    >>> import galclass
    >>> run = galclass.load_pretrained()
    >>> images, labels = galclass.simulate_galaxy10(20)
    >>> table = galclass.predict(images, run=run)
    >>> len(table), "class_name" in table.colnames
    (20, True)
    """
    if name not in PRETRAINED:
        raise ParameterError(f"name={name!r}, expected one of {sorted(PRETRAINED)}")
    return load_run(str(resources.files("galclass") / PRETRAINED[name]))


def delete_run(path: Path) -> None:
    """Delete what galclass wrote into a run folder, and nothing else in it."""
    load_run(path)
    for name in (*FILES, "manifest.json"):  # What tells that it is a run goes last.
        if (path / name).is_dir() and not (path / name).is_symlink():
            shutil.rmtree(path / name)
        else:
            (path / name).unlink(missing_ok=True)


def as_run(run: Run | PathLike) -> Run:
    """A run, given as such or by the path of its folder."""
    if isinstance(run, Run):
        return run
    if not isinstance(run, str | os.PathLike):
        raise ParameterError(f"run={run!r}, expected a Run or the path of its folder")
    return load_run(run)


def weights_sha256(arrays: Iterable[NDArray[np.float32]]) -> str:
    """Hexadecimal sha256 of a network's weights, in the order of its variables.

    The file itself would not do: Keras writes the date into it.
    """
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.shape}".encode())
        digest.update(np.ascontiguousarray(array, "<f4"))
    return digest.hexdigest()


def best_epoch(history: Mapping[str, Any] | Sequence[Mapping[str, float]]) -> int:
    """Number, from 1, of the epoch with the highest validation accuracy, then lowest loss.

    Parameters
    ----------
    history : dict of arrays, or list of dict
        Columns, as :attr:`Run.history` has them, or a row an epoch.
    """
    if not isinstance(history, Mapping):
        history = {key: [row[key] for row in history] for key in ("val_loss", "val_accuracy")}
    order = np.lexsort((history["val_loss"], -np.asarray(history["val_accuracy"])))
    return int(order[0]) + 1


def write_history(path: Path, rows: Sequence[Mapping[str, float]]) -> None:
    """Write a list of dicts with equal keys as CSV, whole or not at all."""
    with whole_file(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def _read_weights(path: Path, *, largest: int) -> bytes:
    """Weights out of an archive, refused if oversized or in other files of this machine.

    Keras follows such links in some versions (CVE-2026-1669), and unpacks whatever there is.
    """
    with zipfile.ZipFile(path) as archive:
        size = archive.getinfo(WEIGHTS).file_size
        if size > largest:
            raise RunError(f"{size:,} bytes of weights, expected {largest:,} at most")
        content, outside = archive.read(WEIGHTS), list[str]()
    with h5py.File(io.BytesIO(content), "r") as file:

        def look(name: str, link: Any) -> None:
            item = file[name] if isinstance(link, h5py.HardLink) else None
            virtual = isinstance(item, h5py.Dataset) and (item.is_virtual or item.external)
            if item is None or virtual:
                outside.append(name)

        file.visititems_links(look)
    if outside:
        raise RunError(f"{outside[0]!r} points to data elsewhere, expected arrays")
    return content
