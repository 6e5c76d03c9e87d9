"""Plot the number of galaxies of each class."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..data.arrays import Labels, check_labels
from ..data.dataset import Origin, class_names_of
from ..data.galaxy10 import CLASS_COUNTS, CLASS_NAMES
from ..labels import class_label
from ..run import Run
from .style import LIGHT_BLUE, ORANGE, SMALL, add_origin, house_style, make_figure


def plot_class_counts(
    labels: Labels | Run, origin: Origin | None = None, *, ax: Axes | None = None
) -> Figure:
    """Plot the number of galaxies of each class.

    Parameters
    ----------
    labels : Run, or array of int, shape (N,)
        A run, or the classes of galaxies, from 0.
    origin : Origin, optional
        The origin that :func:`galclass.load_data` returns. It gives the names of the classes and
        the text below the figure. Default: classes are numbers. Ignored for a run, which has its
        own origin.
    ax : matplotlib.axes.Axes, optional
        Where to plot. Default: a new figure.

    Returns
    -------
    matplotlib.figure.Figure
        Bars show the percentage of each class, and the text next to them the number of galaxies.
        For the classes of Galaxy10 SDSS, marks show the percentages in the published file.

    Raises
    ------
    DataError
        Labels have the wrong shape or dtype, or are out of range.
    ParameterError
        `origin` is not an Origin.

    Examples
    --------
    >>> import galclass
    >>> images, labels, origin = galclass.load_data("simulated", n=200)
    >>> galclass.plot_class_counts(labels, origin).savefig("class_counts.pdf")
    """
    if isinstance(labels, Run):
        origin = labels.origin
        names = origin.class_names
        counts = np.array(labels.manifest["class_counts"])
    else:
        labels = check_labels(labels)
        names = class_names_of(labels, origin)
        counts = np.bincount(check_labels(labels, classes=len(names)), minlength=len(names))
    rows = np.arange(len(names))
    percent = 100 * counts / counts.sum()
    bar_ends = percent
    with house_style():
        fig = make_figure(aspect=0.3, lines=1.7 * max(len(rows), 4), on=ax)
        if ax is None:
            ax = fig.subplots()
        ax.barh(rows, percent, color=LIGHT_BLUE, label=f"here, {counts.sum():,} galaxies")
        if names == CLASS_NAMES:
            published = 100 * np.array(CLASS_COUNTS) / sum(CLASS_COUNTS)
            label = f"public Galaxy10, {sum(CLASS_COUNTS):,}"
            ax.plot(published, rows, "|", color=ORANGE, ms=14, mew=2.5, label=label)
            bar_ends = np.maximum(percent, published)
        for row, count in enumerate(counts):
            ax.text(bar_ends[row] + 0.8, row, f"{count:,}", va="center", size=SMALL)
        ax.set_yticks(rows, [class_label(c, names) for c in rows], parse_math=False)
        ax.invert_yaxis()
        ax.set(xlabel="share of the galaxies (%)", xlim=(0, 1.15 * bar_ends.max()))
        ax.legend(loc="lower right", reverse=True)
        add_origin(fig, origin)
    return fig
