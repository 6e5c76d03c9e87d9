"""Plot the confusion matrix."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ..data.dataset import Origin
from ..errors import DataError
from ..intervals import FEW, wilson_interval
from ..labels import class_label, class_number
from ..run import Run
from .style import SMALL, add_origin, house_style, make_figure


def plot_confusion_matrix(
    matrix: NDArray[np.integer[Any]] | Run,
    origin: Origin | None = None,
    *,
    class_names: Sequence[str] | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Plot a confusion matrix as published: rows predicted, columns true, columns sum to 100 %.

    Parameters
    ----------
    matrix : Run, or ndarray of int, shape (K, K)
        An evaluated run, or counts with rows predicted and columns true. scikit-learn's matrix is
        the transpose of this.
    origin : Origin, optional
        Written below the figure of counts; a run has an origin of its own.
    class_names : sequence of str, shape (K,), optional
        Default: those of the run or of `origin`; without them, classes are numbers.
    ax : matplotlib.axes.Axes, optional
        Where to plot. Default: a new figure.

    Returns
    -------
    matplotlib.figure.Figure
        With the accuracy and its 95 % interval (Wilson's) in the title. An asterisk marks classes
        with fewer than ten true galaxies.

    Raises
    ------
    DataError
        The matrix is not square or does not hold counts, or there are not K names.

    Examples
    --------
    >>> import galclass
    >>> run = galclass.load_run("runs/mine")
    >>> galclass.plot_confusion_matrix(run).savefig("confusion_matrix.png")

    Next to another figure:

    >>> from matplotlib import pyplot as plt
    >>> figure, (left, right) = plt.subplots(1, 2, figsize=(16, 6), layout="constrained")
    >>> galclass.plot_confusion_matrix(run, ax=left) is figure
    True
    >>> plt.close(figure)
    """
    if isinstance(matrix, Run):
        origin = matrix.origin
        matrix = matrix.metrics["confusion_matrix"]
    matrix = _check_matrix(matrix)
    if class_names is None:
        if isinstance(origin, Origin):
            class_names = origin.class_names
        else:
            class_names = [str(c) for c in range(len(matrix))]
    if len(class_names) != len(matrix):
        raise DataError(f"{len(class_names)} class names, expected {len(matrix)}")
    with house_style():
        fig = make_figure(0.55, 11, on=ax)
        if ax is None:
            ax = fig.subplots()
        _plot_cells(ax, matrix)
        _label_classes(ax, matrix.sum(axis=0), class_names)
        ax.set_title(_describe_accuracy(matrix), loc="right")
        add_origin(fig, origin)
    return fig


def _check_matrix(matrix: Any) -> NDArray[np.integer[Any]]:
    matrix = np.asarray(matrix)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not matrix.size:
        raise DataError(f"confusion matrix of shape {matrix.shape}, expected (classes, classes)")
    if matrix.dtype.kind not in "iu" or matrix.min() < 0:
        raise DataError(f"confusion matrix of {matrix.dtype}, expected counts of 0 or more")
    return matrix


def _plot_cells(ax: Axes, matrix: NDArray[np.integer[Any]]) -> None:
    """Plot the percentages of each column as colours and numbers."""
    percent = 100 * matrix / np.maximum(matrix.sum(axis=0), 1)
    ax.imshow(percent, cmap="Blues", vmin=0, vmax=100, aspect="auto")
    for row, column in np.argwhere(matrix):
        value = percent[row, column]
        digits = 1 if value < 0.95 else 0  # so that no count is shown as 0
        ax.text(
            column,
            row,
            f"{value:.{digits}f}",
            color="white" if value > 50 else "black",
            weight="bold" if row == column else "normal",
            size=SMALL,
            ha="center",
            va="center",
        )


def _label_classes(ax: Axes, support: NDArray[np.integer[Any]], class_names: Sequence[str]) -> None:
    """Label both axes with the classes, and the columns with their galaxies."""
    classes = np.arange(len(support))
    columns = []
    for c in classes:
        star = "*" if support[c] < FEW else ""
        columns.append(f"{class_number(c, class_names)}{star}\n{support[c]:,}")
    ax.set_xticks(classes, columns)
    ax.set_yticks(classes, [class_label(c, class_names) for c in classes], parse_math=False)
    ax.set_xticks(classes[1:] - 0.5, minor=True)
    ax.set_yticks(classes[1:] - 0.5, minor=True)
    ax.grid(which="minor", color="#eeeeee", lw=0.8)
    ax.tick_params(which="both", length=0)
    ax.spines[:].set_visible(False)
    note = f"\n* fewer than {FEW}" if (support < FEW).any() else ""
    ax.set(xlabel=f"true class, and its galaxies (100 %){note}", ylabel="predicted class")


def _describe_accuracy(matrix: NDArray[np.integer[Any]]) -> str:
    """Return the accuracy with its interval in words."""
    correct = int(np.trace(matrix))
    galaxies = int(matrix.sum())
    if not galaxies:
        return "no galaxies"
    low, high = wilson_interval(correct, galaxies)
    return (
        f"Accuracy {100 * correct / galaxies:.1f} % ({100 * low:.1f}–{100 * high:.1f} %), "
        f"{galaxies:,} galaxies"
    )
