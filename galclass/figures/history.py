"""Plot loss and accuracy of a training against the epoch."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from ..data.dataset import Origin
from ..errors import DataError, MissingPackageError, ParameterError
from ..run import Run, best_epoch
from .style import BLUE, GREEN, GREY, ORANGE, PURPLE, add_origin, house_style, make_figure

History: TypeAlias = Mapping[str, ArrayLike]
Columns: TypeAlias = dict[str, NDArray[np.float64]]
COLUMNS = ("loss", "accuracy", "val_loss", "val_accuracy")
LINE_STYLES = ("--", "-", "-.", ":")
COLORS = (BLUE, ORANGE, GREEN, PURPLE, GREY)


def plot_history(
    run: Run | History | Sequence[Run | History],
    *,
    origin: Origin | None = None,
    fig: Figure | None = None,
) -> Figure:
    """Plot loss and accuracy against the epoch, with the best epoch marked.

    Parameters
    ----------
    run : Run, dict of arrays, or a list of them
        A dict has the columns ``loss``, ``accuracy``, ``val_loss`` and ``val_accuracy``, like
        Keras's ``History.history``; ``epoch`` is optional. Of several runs, only the validation is
        plotted.
    origin : Origin, optional
        Written below the figure of histories; runs have an origin of their own.
    fig : matplotlib.figure.Figure, optional
        Where to plot. Default: a new figure.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    DataError
        A column is missing or empty, or has another length.
    ParameterError
        No run, or runs on different galaxies or splits, which cannot be compared.

    Examples
    --------
    >>> import galclass
    >>> run = galclass.load_run("runs/mine")
    >>> galclass.plot_history(run).savefig("history.png")

    Two runs on the same galaxies:

    >>> other = galclass.load_run("runs/default")
    >>> galclass.plot_history([run, other]).savefig("comparison.png")

    The history of a Keras network:

    >>> history = {"loss": [2.0, 1.1], "accuracy": [0.3, 0.6]}
    >>> history |= {"val_loss": [1.8, 1.2], "val_accuracy": [0.4, 0.5]}
    >>> figure = galclass.plot_history(history)
    """
    if isinstance(run, Run | Mapping):
        runs = [run]
    else:
        runs = list(run)
    if not runs:
        raise ParameterError("no run to plot, expected one or more")
    common_origin = _common_origin([one for one in runs if isinstance(one, Run)])
    histories = [_columns(one) for one in runs]
    names = [_run_name(one, number) for number, one in enumerate(runs, 1)]
    with house_style():
        fig = make_figure(0.33, 6 + len(runs), on=fig)
        axes = fig.subplots(1, 2)
        for ax, key in zip(axes, ("loss", "accuracy"), strict=True):
            if len(runs) == 1:
                _plot_one(ax, histories[0], key)
            else:
                _plot_several(ax, histories, names, key)
            ax.grid(axis="y")
            ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
            unit = " (%)" if key == "accuracy" else ""
            ax.set(xlabel="epoch", ylabel=f"{key}{unit}")
        handles, labels = axes[1].get_legend_handles_labels()
        fig.legend(
            handles,
            labels,
            loc="outside upper left",
            ncols=2 if len(runs) == 1 else 1,
            title=names[0] if len(runs) == 1 else None,
            alignment="left",
        )
        add_origin(fig, common_origin or origin)
    return fig


def _plot_one(ax: Axes, history: Columns, key: str) -> None:
    """Plot training and validation of one run."""
    _plot_curve(ax, history, key, "-", ORANGE, "training")
    _plot_curve(ax, history, f"val_{key}", "--", BLUE, "validation")
    _mark_best(ax, history, f"val_{key}", BLUE)
    ax.set_title(f"Validation {key}\n{_describe_best(history, f'val_{key}')}")


def _plot_several(ax: Axes, histories: list[Columns], names: list[str], key: str) -> None:
    """Plot the validation of several runs."""
    for number, (history, name) in enumerate(zip(histories, names, strict=True)):
        line_style = LINE_STYLES[number % len(LINE_STYLES)]
        color = COLORS[number % len(COLORS)]
        label = f"{name}: {_describe_best(history, 'val_accuracy')}"
        _plot_curve(ax, history, f"val_{key}", line_style, color, label)
        _mark_best(ax, history, f"val_{key}", color)
    ax.set_title(f"Validation {key}")


def _plot_curve(
    ax: Axes, history: Columns, key: str, line_style: str, color: str, label: str
) -> None:
    values = _in_units(history, key)
    marker = "." if len(values) < 5 else None
    ax.plot(history["epoch"], values, line_style, color=color, marker=marker, label=label)


def _mark_best(ax: Axes, history: Columns, key: str, color: str) -> None:
    """Mark the best epoch."""
    best = best_epoch(history) - 1
    epoch = history["epoch"][best]
    ax.axvline(epoch, color=GREY, lw=0.8, ls=":")
    ax.plot(epoch, _in_units(history, key)[best], "o", color=color, mfc="white", zorder=3)


def _in_units(history: Columns, key: str) -> NDArray[np.float64]:
    """Return a column; accuracies in percent."""
    if "accuracy" in key:
        return 100 * history[key]
    return history[key]


def _describe_best(history: Columns, key: str) -> str:
    """Return the value of the best epoch and its number in words."""
    best = best_epoch(history) - 1
    value = _in_units(history, key)[best]
    text = f"{value:.1f} %" if "accuracy" in key else f"{value:.3f}"
    return f"{text} at epoch {history['epoch'][best]:.0f}"


def _run_name(run: Run | History, number: int) -> str:
    """Return the name of a run in a legend."""
    if not isinstance(run, Run):
        return f"history {number}"
    manifest = run.manifest
    protocol = manifest["split"]["protocol"]
    if protocol.startswith("fold"):
        name = f"{manifest['recipe_name']}, {protocol}"
    else:
        name = f"{manifest['recipe_name']}, seed {manifest['seed']}"
    if manifest["start"]:
        name += ", fine-tuned"
    return name


def _columns(run: Run | History) -> Columns:
    """Return the columns of a history as arrays of equal length."""
    history = run.history if isinstance(run, Run) else run
    missing = [key for key in COLUMNS if key not in history]
    if missing:
        raise DataError(f"history lacks {missing}, expected the columns {', '.join(COLUMNS)}")
    columns = {key: np.asarray(history[key], float) for key in COLUMNS}
    epochs = np.arange(1, columns["loss"].size + 1)
    columns["epoch"] = np.asarray(history.get("epoch", epochs), float)
    shapes = {key: column.shape for key, column in columns.items()}
    if len(epochs) == 0 or set(shapes.values()) != {epochs.shape}:
        raise DataError(f"history with columns of shapes {shapes}, expected (epochs,) for all")
    return columns


def _common_origin(runs: Sequence[Run]) -> Origin | None:
    """Return the origin of runs that can be compared.

    They have the same galaxies, and the same split or folds, which share their test set.
    """
    if not runs:
        return None
    first = runs[0]
    for run in runs[1:]:
        splits = [one.manifest["split"] for one in (first, run)]
        are_folds = all(str(split["protocol"]).startswith("fold") for split in splits)
        same_split = are_folds or splits[0] == splits[1]
        if run.origin.sha256 != first.origin.sha256 or not same_split:
            raise ParameterError(
                f"{run.path.name} was trained on other galaxies or with another split "
                f"({run.origin}) than {first.path.name} ({first.origin}); compare runs on the same "
                "data"
            )
    return first.origin


def show_curves(history: Any) -> None:
    """Plot the curves of a training in a notebook, in place of the previous output of the cell.

    Give it to ``galclass.train(..., on_epoch=show_curves)`` to watch a training, and call it with
    the run afterwards to leave only the curves of the whole run.

    Parameters
    ----------
    history : list of dict, Run, or list of Run
        One row per epoch, as `on_epoch` gets it; a run; or runs to compare.

    Raises
    ------
    MissingPackageError
        IPython is not installed.

    Examples
    --------
    A notebook shows the figure; a terminal prints:

    >>> import galclass
    >>> from galclass.figures.history import show_curves
    >>> show_curves(galclass.load_run("runs/mine"))
    Figure(...)
    """
    try:
        from IPython.display import clear_output, display
    except ImportError as error:
        raise MissingPackageError(
            "IPython is not installed; show_curves is for notebooks, use plot_history elsewhere"
        ) from error
    if isinstance(history, Sequence) and isinstance(history[0], Mapping):
        history = {key: [row[key] for row in history] for key in history[0]}
    fig = plot_history(history)
    clear_output(wait=True)  # It waits for the new figure, so that the cell does not flicker.
    display(fig)
