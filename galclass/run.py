"""The run folder: the files that training and evaluation write.

``manifest.json``     recipe, seed, origin of the galaxies, split, versions, precision, times
``history.csv``       one row per epoch
``model.keras``       the weights
``seen.npz``          hashes of all images that the network was trained and validated on
``checkpoint/``       the state of an unfinished training
``README.md``         the model card
``metrics.json``      the metrics and the calibration
``predictions.npz``   indices, labels and uncalibrated probabilities of the test set
``validation.npz``    the same for the validation set
``examples.npz``      one training image per class, for figures
``mistakes.npz``      the test images that are misclassified with the highest probability
``usual.npz``         statistics of the images, see :mod:`galclass.evaluation.unusual`
``figures/``          the figures of :func:`galclass.save_figures`

All files are written completely or not at all.
"""

import csv
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .data.dataset import Origin
from .errors import ParameterError, RunError
from .files import PathLike, read_json, read_npz, whole_file, write_json, write_npz
from .network.options import Precision, Symmetric
from .network.weights import get_weights, read_weights, set_weights, weights_sha256

if TYPE_CHECKING:
    import keras

# The manifest is the last to be deleted, because it shows that a folder is a run.
FILES = (
    "README.md",
    "history.csv",
    "model.keras",
    "seen.npz",
    "metrics.json",
    "predictions.npz",
    "validation.npz",
    "examples.npz",
    "mistakes.npz",
    "usual.npz",
    "manifest.json",
)
# Names of the figures that are deleted with a run; other files in its folder are the user's.
FIGURES = (
    "examples",
    "class_counts",
    "history",
    "confusion_matrix",
    "recall",
    "reliability",
    "purity",
    "mistakes",
    "comparison",
)
ARRAYS = {
    "seen": ("hashes",),
    "predictions": ("indices", "labels", "probabilities"),
    "validation": ("indices", "labels", "probabilities"),
    "examples": ("images", "labels"),
    "mistakes": ("images", "labels", "predicted", "probabilities"),
    "usual": ("mean", "inverse", "distances"),
}
REQUIRED_METRICS = {"galaxies", "accuracy", "classes", "confusion_matrix", "calibration"}
CHECKPOINTS = 2  # complete ones; the older one is read if the newer one is damaged
PRETRAINED = {"galaxy10": "pretrained", "simulated": "pretrained_simulated"}


@dataclass(frozen=True)
class Run:
    """A run folder. Every property reads its file again.

    Parameters
    ----------
    path : pathlib.Path
        The folder.
    """

    path: Path

    @property
    def manifest(self) -> dict[str, Any]:
        """dict : how the run was made."""
        path = self.path / "manifest.json"
        manifest = read_json(path, hint="galclass train")
        for key in ("recipe", "origin", "split", "network"):
            if not isinstance(manifest.get(key), dict):
                raise RunError(
                    f"{path}: {key!r} is {manifest.get(key)!r}, expected a JSON object; is this a "
                    "run?"
                )
        return manifest

    @property
    def history(self) -> dict[str, NDArray[np.float64]]:
        """dict of ndarray, shape (epochs,) : the columns of ``history.csv``."""
        path = self.path / "history.csv"
        try:
            with open(path, newline="", encoding="utf-8") as file:
                rows = list(csv.DictReader(file))
            return {key: np.array([float(row[key]) for row in rows]) for key in rows[0]}
        except FileNotFoundError:
            raise RunError(f"no {path.name} in {self.path}; train the run first") from None
        except (IndexError, KeyError, TypeError, ValueError, OSError, csv.Error) as error:
            raise RunError(f"{path} is damaged: {error}; copy the run again") from error

    @property
    def metrics(self) -> dict[str, Any]:
        """dict : the metrics that :func:`galclass.evaluate` computed."""
        path = self.path / "metrics.json"
        metrics = read_json(path, hint="galclass evaluate")
        if missing := REQUIRED_METRICS - metrics.keys():
            raise RunError(f"{path} lacks {sorted(missing)}; make it with: galclass evaluate")
        return metrics

    @property
    def is_evaluated(self) -> bool:
        """bool : the run has metrics."""
        return (self.path / "metrics.json").exists()

    @property
    def predictions(self) -> dict[str, NDArray[Any]]:
        """dict of ndarray : ``indices``, ``labels`` and ``probabilities`` of the test set.

        The probabilities are not calibrated.
        """
        return self._read_arrays("predictions")

    @property
    def validation(self) -> dict[str, NDArray[Any]]:
        """dict of ndarray : the same for the validation set."""
        return self._read_arrays("validation")

    @property
    def examples(self) -> dict[str, NDArray[Any]]:
        """dict of ndarray : ``images`` uint8 (n, s, s, 3) and ``labels`` (n,)."""
        return self._read_arrays("examples")

    @property
    def mistakes(self) -> dict[str, NDArray[Any]]:
        """dict of ndarray : ``images``, ``labels``, ``predicted`` and ``probabilities``.

        Up to ten test galaxies that are misclassified with the highest probability.
        """
        return self._read_arrays("mistakes")

    @property
    def usual(self) -> dict[str, NDArray[np.float64]] | None:
        """dict of ndarray : statistics of the training images; None before the evaluation."""
        if not (self.path / "usual.npz").exists():
            return None
        return self._read_arrays("usual")

    @property
    def seen(self) -> NDArray[np.uint64]:
        """ndarray of uint64 : hashes of all training and validation images, sorted.

        Those of the run that training started from are included; see
        :func:`galclass.network.symmetry.hash_images`.
        """
        return self._read_arrays("seen", hint="galclass train")["hashes"]

    @property
    def origin(self) -> Origin:
        """Origin : where the galaxies came from."""
        return Origin.from_record(self.manifest["origin"])

    @property
    def class_names(self) -> tuple[str, ...]:
        """tuple of str : names of the classes."""
        return self.origin.class_names

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """tuple of int : height, width and channels of the network's images."""
        return tuple(self.manifest["network"]["input_shape"])

    @property
    def symmetric(self) -> Symmetric:
        """False or "unsure" : whether predictions are averaged over the eight symmetries."""
        if self.manifest["recipe"]["symmetric_prediction"]:
            return "unsure"
        return False

    def require_complete(self) -> None:
        """Raise a RunError if the training has not ended."""
        if self.manifest.get("status") != "complete":
            raise RunError(f"{self.path} is unfinished, expected a finished run; resume it first")

    def load_model(self, *, precision: Precision = "float32") -> "keras.Model":
        """Build the network and read its weights; nothing in the file is executed.

        Parameters
        ----------
        precision : {"float32", "bfloat16", "float16", "auto"}
            Precision of the layers, whatever the precision of the training was.

        Returns
        -------
        keras.Model
            Its probabilities are not calibrated, see
            :func:`galclass.evaluation.calibration.calibration_of`.

        Raises
        ------
        RunError
            The file is missing or damaged, does not fit the network, or holds other weights than
            the manifest records.
        """
        from .network.cnn import build_cnn

        manifest = self.manifest
        path = self.path / "model.keras"
        if not path.is_file():
            raise RunError(f"no {path.name} in {self.path}; train the run first")
        try:
            model = build_cnn(**manifest["network"], precision=precision)
            shapes = {name: array.shape for name, array in get_weights(model).items()}
            weights = read_weights(path, shapes)
        except Exception as error:  # zipfile, zlib, h5py and Keras raise many types.
            reason = " ".join(str(error).split())[:200]
            raise RunError(
                f"{path} does not contain the network of the manifest: {reason}; copy the run again"
            ) from error
        digest = weights_sha256(weights.values())
        recorded = manifest.get("weights_sha256", digest)
        if digest != recorded:  # The calibration belongs to the recorded weights.
            raise RunError(
                f"{path} holds weights of sha256 {digest}, expected the manifest's {recorded}; "
                "copy the run again"
            )
        set_weights(model, weights)
        return model

    def write_manifest(self, manifest: Mapping[str, Any]) -> None:
        """Write the manifest."""
        self.check_writable()
        write_json(self.path / "manifest.json", dict(manifest))

    def write_history(self, rows: Sequence[Mapping[str, float]]) -> None:
        """Write the history, one row per epoch."""
        self.check_writable()
        path = self.path / "history.csv"
        with (
            whole_file(path) as temporary,
            open(temporary, "w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)

    def write_model(self, model: "keras.Model") -> None:
        """Write a float32 network as a ``.keras`` file, which Keras can load."""
        self.check_writable()
        with whole_file(self.path / "model.keras") as temporary:
            model.save(temporary)

    def write_arrays(self, name: str, **arrays: ArrayLike) -> None:
        """Write one of the ``.npz`` files.

        Parameters
        ----------
        name : {"seen", "predictions", "validation", "examples", "mistakes", "usual"}
        **arrays : ndarray
            See the property of this name.
        """
        self.check_writable()
        if set(arrays) != set(ARRAYS[name]):
            raise ParameterError(f"{name}: arrays {sorted(arrays)}, expected {ARRAYS[name]}")
        write_npz(self.path / f"{name}.npz", **arrays)

    def write_metrics(self, metrics: Mapping[str, Any]) -> None:
        """Write the metrics."""
        self.check_writable()
        write_json(self.path / "metrics.json", dict(metrics))

    def write_card(self, text: str) -> None:
        """Write the model card."""
        self.check_writable()
        with whole_file(self.path / "README.md") as temporary:
            temporary.write_text(text, encoding="utf-8")

    def write_checkpoint(self, epoch: int, arrays: Mapping[str, ArrayLike]) -> None:
        """Write a checkpoint, and delete all but the latest ones."""
        folder = self.path / "checkpoint"
        write_npz(folder / f"{epoch:05d}.npz", **arrays)
        for path in self.list_checkpoints():
            is_old = int(path.stem) <= epoch - CHECKPOINTS
            is_damaged = int(path.stem) > epoch  # Training went back to an earlier one.
            if is_old or is_damaged:
                path.unlink()

    def list_checkpoints(self) -> list[Path]:
        """Return the paths of the checkpoints, the latest first."""
        paths = (self.path / "checkpoint").glob("*.npz")
        return sorted((path for path in paths if path.stem.isdecimal()), reverse=True)

    def delete_checkpoints(self) -> None:
        """Delete the checkpoints, and their folder if nothing else is in it."""
        _delete_files(self.path / "checkpoint", self.list_checkpoints())

    def check_writable(self) -> None:
        """Raise a RunError if the run is part of galclass."""
        package = Path(str(resources.files("galclass"))).resolve()
        if package in self.path.resolve().parents:
            raise RunError(
                f"{self.path} is part of galclass, expected a run of yours; copy the folder first"
            )

    def _read_arrays(self, name: str, hint: str = "galclass evaluate") -> dict[str, NDArray[Any]]:
        return read_npz(self.path / f"{name}.npz", *ARRAYS[name], hint=hint)


def load_run(path: PathLike) -> Run:
    """Open a run folder.

    Parameters
    ----------
    path : str or path-like
        A folder that :func:`galclass.train` wrote.

    Returns
    -------
    Run
        With ``manifest``, ``history``, ``metrics``, ``predictions`` and ``load_model()``.

    Raises
    ------
    RunError
        There is no such folder, or no readable manifest in it.

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
    folder = Path(os.path.expanduser(path))
    if not os.fspath(path) or not folder.is_dir():
        raise RunError(f"no run folder {folder}; make one with: galclass train --out {folder}")
    run = Run(folder)
    _ = run.manifest  # An error if it cannot be read.
    return run


def load_pretrained(name: Literal["galaxy10", "simulated"] = "galaxy10") -> Run:
    """Open a pretrained network: a run folder that is part of galclass. It needs no data.

    Parameters
    ----------
    name : {"galaxy10", "simulated"}
        ``"galaxy10"`` was trained on galaxies of Galaxy10; its calibration corrects for the class
        fractions of the public file. ``"simulated"`` was trained on simulated galaxies alone;
        training can start from it. The ``README.md`` of each run describes its data and results.

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


def as_run(run: Run | PathLike) -> Run:
    """Return a run that is given as such or by the path of its folder.

    Raises
    ------
    ParameterError, RunError
        It is neither, or the folder is not a run.
    """
    if isinstance(run, Run):
        return run
    if not isinstance(run, str | os.PathLike):
        raise ParameterError(f"run={run!r}, expected a Run or the path of its folder")
    return load_run(run)


def delete_run(path: Path) -> None:
    """Delete the files of a run, and nothing else in its folder."""
    run = load_run(path)
    run.check_writable()
    run.delete_checkpoints()
    figures = path / "figures"
    _delete_files(figures, [one for one in figures.glob("*.*") if one.stem in FIGURES])
    for name in FILES:
        (path / name).unlink(missing_ok=True)


def _delete_files(folder: Path, paths: Sequence[Path]) -> None:
    """Delete files in a folder, and the folder if nothing else is in it; never follow a link."""
    if folder.is_symlink():
        folder.unlink()
        return
    for path in paths:
        path.unlink(missing_ok=True)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def best_epoch(history: Mapping[str, Any] | Sequence[Mapping[str, float]]) -> int:
    """Return the number of the best epoch, from 1.

    The best epoch has the highest validation accuracy; of several, the lowest validation loss.

    Parameters
    ----------
    history : dict of arrays, or list of dict
        Columns, as in :attr:`Run.history`, or one row per epoch.
    """
    if not isinstance(history, Mapping):
        history = {key: [row[key] for row in history] for key in ("val_loss", "val_accuracy")}
    order = np.lexsort((history["val_loss"], -np.asarray(history["val_accuracy"])))
    return int(order[0]) + 1
