"""Plot accuracy against confidence."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ..data.arrays import Labels
from ..evaluation.calibration import calibration_of
from ..evaluation.metrics import BINS, compute_calibration, reliability
from ..intervals import FEW
from ..run import Run
from .style import BLUE, GREY, ORANGE, add_origin, house_style, make_figure


def plot_reliability(run: Run, *, fig: Figure | None = None) -> Figure:
    """Plot accuracy against confidence on the test set, and a histogram of the confidence.

    Parameters
    ----------
    run : Run
        An evaluated run.
    fig : matplotlib.figure.Figure, optional
        Where to plot. Default: a new figure.

    Returns
    -------
    matplotlib.figure.Figure
        On the left the accuracy before and after calibration, in bins of at least ten galaxies;
        the legend has the expected calibration errors. On the right the numbers of galaxies by
        their calibrated confidence. Calibrated probabilities are those that
        :func:`galclass.predict` returns.

    Raises
    ------
    RunError
        The run is not evaluated.

    Examples
    --------
    >>> import galclass
    >>> run = galclass.load_run("runs/mine")
    >>> galclass.plot_reliability(run).savefig("reliability.png")
    """
    predictions = run.predictions
    labels = predictions["labels"]
    uncalibrated = predictions["probabilities"]
    calibration = calibration_of(run)
    calibrated = calibration.apply(uncalibrated)
    calibrated_name = "calibrated"
    if calibration.class_shift is not None:
        calibrated_name = "calibrated, class mix corrected"
    with house_style():
        fig = make_figure(aspect=0.46, lines=7, on=fig)
        curves, histogram = fig.subplots(1, 2)
        curves.plot([0, 100], [0, 100], color=GREY, lw=1, ls=":")
        _plot_curve(curves, labels, uncalibrated, "uncalibrated", ORANGE, "D--")
        _plot_curve(curves, labels, calibrated, calibrated_name, BLUE, "o-")
        curves.grid()
        curves.set(xlim=(0, 101), ylim=(0, 101), aspect="equal", ylabel="accuracy (%)")
        _plot_histogram(histogram, labels, calibrated)
        for ax in (curves, histogram):
            ax.set_xlabel("confidence (%)")
        fig.legend(loc="outside upper left", ncols=2)
        add_origin(fig, run.origin)
    return fig


def _plot_curve(
    ax: Axes, labels: Labels, probabilities: NDArray[Any], name: str, color: str, style: str
) -> None:
    """Plot accuracy against confidence; bins with few galaxies are left out."""
    curve = reliability(labels, probabilities)
    enough = curve["galaxies"] >= FEW
    error = compute_calibration(labels, probabilities)["calibration_error"]
    ax.plot(
        100 * curve["confidence"][enough],
        100 * curve["accuracy"][enough],
        style,
        color=color,
        mfc="white",
        label=f"{name}:\ncalibration error {100 * error:.1f} %",
    )


def _plot_histogram(ax: Axes, labels: Labels, probabilities: NDArray[Any]) -> None:
    confidence = 100 * probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == labels
    ax.hist(
        [confidence[correct], confidence[~correct]],
        np.linspace(0, 100, BINS + 1),
        stacked=True,
        color=(BLUE, ORANGE),
        label=("correctly\nclassified", "misclassified"),
    )
    for patch in ax.containers[1]:
        patch.set(hatch="////", edgecolor="white", linewidth=0)
    ax.set(xlim=(0, 101), ylabel="test galaxies", box_aspect=1)
