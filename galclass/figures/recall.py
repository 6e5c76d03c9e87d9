"""Plot the recall of each class."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..data.galaxy10 import CLASS_NAMES
from ..labels import class_label
from ..run import Run
from .style import BLUE, ORANGE, SMALL, add_origin, house_style, make_figure

# Recall of each class in the confusion matrix of the published notebook.
PUBLISHED_RECALL = (0.610, 0.956, 0.901, 0.552, 0.786, 0.0, 0.899, 0.635, 0.438, 0.466)


def plot_recall(run: Run, *, ax: Axes | None = None) -> Figure:
    """Plot the recall of each class with its 95 % interval.

    The intervals are Wilson's (1927, JASA 22, 209). They are valid even for few galaxies and for
    a recall near 0 or 1.

    Parameters
    ----------
    run : Run
        An evaluated run.
    ax : matplotlib.axes.Axes, optional
        Where to plot. Default: a new figure.

    Returns
    -------
    matplotlib.figure.Figure
        On the right are the recall in percent and the number of test galaxies of each class. For
        the classes of Galaxy10 SDSS, the published recall is plotted, too.

    Raises
    ------
    RunError
        The run is not evaluated.

    Examples
    --------
    >>> import galclass
    >>> run = galclass.load_run("runs/mine")
    >>> galclass.plot_recall(run).savefig("recall.png")
    """
    metrics = run.metrics
    origin = run.origin
    names = origin.class_names
    classes = metrics["classes"]
    rows = np.arange(len(classes))
    # A class without test galaxies has no recall and no interval.
    recall = 100 * np.array([row["recall"] for row in classes], float)
    limits = 100 * np.array([row["recall_interval"] or (np.nan, np.nan) for row in classes])
    with house_style():
        fig = make_figure(aspect=0.3, lines=1.8 * max(len(rows), 4), on=ax)
        if ax is None:
            ax = fig.subplots()
        label = f"this run, 95 % intervals; mean {100 * metrics['balanced_accuracy']:.1f} %"
        bars = np.abs(limits.T - recall)  # lengths below and above the recall
        ax.errorbar(recall, rows, xerr=bars, fmt="o", color=BLUE, elinewidth=2, label=label)
        if names == CLASS_NAMES:
            published = 100 * np.array(PUBLISHED_RECALL)
            label = f"published, on Galaxy10; mean {published.mean():.1f} %"
            ax.plot(published, rows, "D", color=ORANGE, mfc="white", zorder=3, label=label)
        for c, row in enumerate(classes):
            text = "no galaxies"
            if row["support"]:
                text = f"{recall[c]:.0f} % of {row['support']:,}"
            ax.text(104, c, text, va="center", size=SMALL)
        ax.set_yticks(rows, [class_label(c, names) for c in rows], parse_math=False)
        ax.invert_yaxis()
        ax.grid(axis="x")
        ax.set(xlim=(-2, 102), xlabel="recall (%)")
        ax.legend(loc="lower right", bbox_to_anchor=(1, 1), reverse=True)
        add_origin(fig, origin)
    return fig
