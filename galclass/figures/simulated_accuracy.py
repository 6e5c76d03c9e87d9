"""Plot accuracy against signal-to-noise and inclination of simulated galaxies."""

from dataclasses import replace
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, ScalarFormatter
from numpy.typing import NDArray

from ..data.dataset import Origin
from ..data.galaxy10 import CLASS_NAMES
from ..errors import ParameterError
from ..files import PathLike
from ..intervals import wilson_interval
from ..prediction.predict import predict
from ..run import Run, as_run
from ..simulation.simulate import SIMULATED_FRACTIONS, SIMULATED_TITLE, simulate_galaxy10
from ..training.start import seen_by
from .style import BLUE, add_origin, house_style, make_figure

BINS = 5


def plot_simulated_accuracy(
    run: Run | PathLike, n: int = 1000, *, seed: int | None = None, fig: Figure | None = None
) -> Figure:
    """Plot accuracy against signal-to-noise and inclination of simulated galaxies.

    Parameters
    ----------
    run : Run or path-like
        A run with the classes of Galaxy10 SDSS.
    n : int, default 1000
        Number of galaxies to simulate and classify. They have the class fractions of
        ``load_data("simulated")``.
    seed : int, optional
        Seed of the simulation. Default: the seed of the run's galaxies plus one; 1 if they are not
        simulated.
    fig : matplotlib.figure.Figure, optional
        Where to plot. Default: a new figure.

    Returns
    -------
    matplotlib.figure.Figure
        Points show the accuracy in bins of equally many galaxies, with Wilson's 95 % interval. The
        right panel shows spirals only.

    Raises
    ------
    ParameterError
        The run was trained with some of these galaxies, or has other classes.
    RunError
        The run cannot be read.

    Examples
    --------
    >>> import galclass
    >>> from galclass.figures.simulated_accuracy import plot_simulated_accuracy
    >>> run = galclass.load_run("runs/mine")
    >>> plot_simulated_accuracy(run, 50).savefig("simulated_accuracy.png")
    """
    run = as_run(run)
    if run.class_names != CLASS_NAMES:
        raise ParameterError(
            f"{run.path}: classes {run.class_names}, expected the classes of Galaxy10 SDSS; only "
            "these can be simulated, give such a run"
        )
    if seed is None:
        seed = (run.origin.seed or 0) + 1
    images, labels, parameters = simulate_galaxy10(
        n, seed, class_fractions=SIMULATED_FRACTIONS, return_parameters=True
    )
    if seen_by(run, images).any():
        raise ParameterError(
            f"seed={seed}: {run.path} was trained with some of these galaxies, expected others; "
            "give another seed"
        )
    origin = replace(
        Origin.of_arrays(images, labels, CLASS_NAMES),
        kind="simulated",
        title=SIMULATED_TITLE,
    )
    correct = np.asarray(predict(images, run=run)["class"]) == labels
    is_spiral = parameters["kind"] == "spiral"
    with house_style():
        fig = make_figure(aspect=0.3, lines=4, on=fig)
        left, right = fig.subplots(1, 2, sharey=True)
        _plot_bins(left, parameters["signal_to_noise"], correct)
        left.set(title=f"all galaxies: {n:,}", xlabel="signal-to-noise in r", xscale="log")
        left.xaxis.set_major_formatter(ScalarFormatter())
        left.xaxis.set_minor_formatter(NullFormatter())
        left.set_ylabel("accuracy (%)")
        _plot_bins(right, parameters["inclination"][is_spiral], correct[is_spiral])
        right.set(title=f"spirals: {is_spiral.sum():,}", xlabel="inclination (degrees)")
        add_origin(fig, origin)
    return fig


def _plot_bins(ax: Axes, values: NDArray[Any], correct: NDArray[np.bool_]) -> None:
    """Plot the accuracy in bins of equally many galaxies."""
    order = np.argsort(values, kind="stable")
    for part in np.array_split(order, BINS):
        if not len(part):
            continue
        value = np.median(values[part])
        accuracy = 100 * correct[part].mean()
        low, high = wilson_interval(int(correct[part].sum()), len(part))
        # Rounding may give a bar of length 0 the wrong sign.
        bars = np.abs([[accuracy - 100 * low], [100 * high - accuracy]])
        ax.errorbar(
            value,
            accuracy,
            xerr=[[value - values[part[0]]], [values[part[-1]] - value]],
            yerr=bars,
            fmt="o",
            color=BLUE,
            mfc="white",
        )
    ax.grid(axis="y")
    ax.set_ylim(-2, 103)
