"""Plot purity and completeness of each class against the threshold."""

import math
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ..evaluation.calibration import calibration_of
from ..evaluation.thresholds import sample_curve
from ..intervals import FEW
from ..labels import class_label
from ..run import Run
from .style import BLUE, GREY, ORANGE, SMALL, add_origin, current_layout, house_style, make_figure

PANEL_WIDTH = 1.5  # inches, at least


def plot_purity(run: Run, *, fig: Figure | None = None) -> Figure:
    """Plot purity and completeness of each class against the threshold.

    Parameters
    ----------
    run : Run
        An evaluated run.
    fig : matplotlib.figure.Figure, optional
        Where to plot. Default: a new figure.

    Returns
    -------
    matplotlib.figure.Figure
        One panel per class. The sample at a threshold consists of the test galaxies that are
        predicted as the class with at least this probability, calibrated as
        :func:`galclass.predict` returns it; see :func:`galclass.thresholds`.

    Raises
    ------
    RunError
        The run is not evaluated.

    Examples
    --------
    >>> import galclass
    >>> run = galclass.load_run("runs/mine")
    >>> galclass.plot_purity(run).savefig("purity.png")
    """
    predictions = run.predictions
    probabilities = calibration_of(run).apply(predictions["probabilities"])
    origin = run.origin
    names = origin.class_names
    columns = min(int(current_layout().width / PANEL_WIDTH), len(names))
    rows = math.ceil(len(names) / columns)
    with house_style():
        fig = make_figure(aspect=0.8 * rows / max(columns, 3), lines=3 * rows + 5, on=fig)
        axes = fig.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        for c in range(len(names)):
            ax = axes.flat[c]
            _plot_panel(ax, sample_curve(predictions["labels"], probabilities, c))
            ax.set_title(class_label(c, names), size=SMALL, loc="left", parse_math=False)
        for ax in axes.flat[len(names) :]:
            ax.set_axis_off()
        handles, labels = axes.flat[0].get_legend_handles_labels()
        fig.legend(handles, labels, loc="outside upper left", ncols=2)
        fig.supylabel("share (%)", size="medium")
        for ax in axes[-1]:
            ax.set_xlabel("threshold (%)")
        add_origin(fig, origin)
    return fig


def _plot_panel(ax: Axes, curve: dict[str, NDArray[Any]]) -> None:
    enough = curve["galaxies"] >= FEW
    threshold = 100 * curve["threshold"][enough]
    purity = 100 * curve["purity"][enough]
    completeness = 100 * curve["completeness"][enough]
    ax.plot(threshold, purity, "-", color=BLUE, label="purity")
    ax.plot(threshold, completeness, "--", color=ORANGE, label="completeness")
    if not enough.any():
        ax.text(50, 50, f"fewer than {FEW}", ha="center", color=GREY, size=SMALL)
    ax.set(xlim=(0, 101), ylim=(0, 103))
    ax.grid()
