"""Figures of training."""

import itertools
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from ..data.dataset import Origin
from ..errors import DataError, ParameterError
from ..run import Run, best_epoch
from .style import BLUE, GREEN, GREY, ORANGE, PURPLE, Size, canvas

History: TypeAlias = Mapping[str, ArrayLike]
Columns: TypeAlias = dict[str, NDArray[np.float64]]
COLUMNS = ("loss", "accuracy", "val_loss", "val_accuracy")
CURVES = list(zip(("--", "-", "-.", ":") * 5, (BLUE, ORANGE, GREEN, PURPLE, GREY) * 4, strict=True))


def plot_history(
    run: Run | History | Sequence[Run | History],
    *,
    origin: Origin | None = None,
    size: Size = "page",
    fig: Figure | None = None,
) -> Figure:
    """Show loss and accuracy against the epoch, with the best epoch marked.

    Parameters
    ----------
    run : Run, dict of arrays, or a list of them
        A dict has the columns ``loss``, ``accuracy``, ``val_loss`` and ``val_accuracy``, as Keras's
        ``History.history``; ``epoch`` may be missing. Of several, the validation is shown alone.
    origin : Origin, optional
        Written into the figure; that of runs is known.
    size : {"page", "column"}
        For a page (8 inches wide) or a column of a paper (3.5 inches).
    fig : matplotlib.figure.Figure, optional
        Plotted into. Default: a new one.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    DataError
        A column is missing, empty or of another length.
    ParameterError
        No run, or runs on different galaxies or of different splits, which cannot be compared.

    Examples
    --------
    >>> import galclass
    >>> run = galclass.load_run("runs/mine")
    >>> galclass.plot_history(run).savefig("history.png")

    Two runs on the same galaxies:

    >>> other = galclass.load_run("runs/default")
    >>> galclass.plot_history([run, other]).savefig("comparison.png")

    A network of your own:

    >>> history = {"loss": [2.0, 1.1], "accuracy": [0.3, 0.6]}
    >>> history |= {"val_loss": [1.8, 1.2], "val_accuracy": [0.4, 0.5]}
    >>> figure = galclass.plot_history(history)
    """
    runs = [run] if isinstance(run, Run | Mapping) else list(run)
    if not runs:
        raise ParameterError("no run to plot, expected one or more")
    origin = _common_origin([one for one in runs if isinstance(one, Run)]) or origin
    histories = [_columns(one) for one in runs]
    names = [_name(one, k) for k, one in enumerate(runs, 1)]
    single = len(runs) == 1
    with canvas(size, 0.33, 6 + len(runs), origin=origin, on=fig) as figure:
        for ax, key in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
            if single:
                _curve(ax, histories[0], key, "-", ORANGE, "training")
            for name, history, style in zip(names, histories, itertools.cycle(CURVES)):
                label = "validation" if single else f"{name}: {_best(history, 'accuracy')}"
                _curve(ax, history, f"val_{key}", *style, label)
            ax.grid(axis="y")
            ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
            ax.set(xlabel="epoch", ylabel=f"{key} (%)" if key == "accuracy" else key)
            value = f"\n{_best(histories[0], key)}" if single else ""
            ax.set_title(f"Validation {key}{value}")
        figure.legend(
            *ax.get_legend_handles_labels(),
            loc="outside upper left",
            ncols=2 if single else 1,
            title=names[0] if single else None,
            alignment="left",
        )
    return figure


def _curve(ax: Axes, history: Columns, key: str, dashes: str, colour: str, label: str) -> None:
    """Plot a column of a history, with the best epoch marked on validation's."""
    epochs, values = history["epoch"], history[key] * (100 if "accuracy" in key else 1)
    marker = "." if len(values) < 5 else None
    ax.plot(epochs, values, dashes, color=colour, marker=marker, label=label)
    if key.startswith("val_"):
        best = best_epoch(history) - 1
        ax.axvline(epochs[best], color=GREY, lw=0.8, ls=":")
        ax.plot(epochs[best], values[best], "o", color=colour, mfc="white", zorder=3)


def _best(history: Columns, key: str) -> str:
    """The best epoch and its value in words."""
    best = best_epoch(history)
    value = history[f"val_{key}"][best - 1]
    shown = f"{100 * value:.1f} %" if key == "accuracy" else f"{value:.3f}"
    return f"{shown} at epoch {history['epoch'][best - 1]:.0f}"


def _name(run: Run | History, number: int) -> str:
    """What a run is called in a legend."""
    if not isinstance(run, Run):
        return f"history {number}"
    fold = run.manifest["split"]["protocol"]
    which = fold if fold.startswith("fold") else f"seed {run.manifest['seed']}"
    tuned = ", fine-tuned" if run.manifest.get("start") else ""
    return f"{run.manifest['recipe_name']}, {which}{tuned}"


def _columns(run: Run | History) -> Columns:
    """The columns of a history as arrays of equal length."""
    history = run.history if isinstance(run, Run) else run
    if missing := [key for key in COLUMNS if key not in history]:
        raise DataError(f"history lacks {missing}, expected the columns {', '.join(COLUMNS)}")
    columns = {key: np.asarray(history[key], float) for key in COLUMNS}
    epochs = np.arange(1, columns["loss"].size + 1)
    columns["epoch"] = np.asarray(history.get("epoch", epochs), float)
    shapes = {key: column.shape for key, column in columns.items()}
    if len(epochs) == 0 or set(shapes.values()) != {epochs.shape}:
        raise DataError(f"history with columns of shapes {shapes}, expected (epochs,) for all")
    return columns


def _common_origin(runs: Sequence[Run]) -> Origin | None:
    """The origin of runs on the same galaxies with the same split, or with folds of one."""
    for run in runs[1:]:
        splits = [one.manifest["split"] for one in (runs[0], run)]
        folds = all(str(one["protocol"]).startswith("fold") for one in splits)
        if run.origin.sha256 != runs[0].origin.sha256 or not (folds or splits[0] == splits[1]):
            raise ParameterError(
                f"{run.path.name} was trained on other galaxies or with another split "
                f"({run.origin}) than {runs[0].path.name} ({runs[0].origin}); compare runs on the "
                "same data"
            )
    return runs[0].origin if runs else None
