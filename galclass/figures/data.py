"""Figures of galaxies: images, labels and their origin."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..data.arrays import Images, Labels, check_images, check_labels
from ..data.dataset import Origin
from ..data.galaxy10 import CLASS_COUNTS, CLASS_NAMES
from .style import LIGHT_BLUE, ORANGE, SMALL, Size, canvas, class_label, gallery


def plot_examples(
    images: Images,
    labels: Labels,
    origin: Origin | None = None,
    *,
    size: Size = "page",
    fig: Figure | None = None,
) -> Figure:
    """Show a galaxy of each class, numbered from 1 as published.

    Parameters
    ----------
    images : ndarray of uint8, shape (N, s, s, 3)
        The first galaxy of each class is shown.
    labels : array of int, shape (N,)
    origin : Origin, optional
        Where the galaxies come from, as :func:`galclass.load_data` gives it; written into the
        figure.
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
        Images or labels not in the expected form, or not as many of the one as of the other.
    ParameterError
        Another size.

    Examples
    --------
    >>> import galclass
    >>> galaxies = galclass.load_data("simulated", n=200)
    >>> galclass.plot_examples(*galaxies).savefig("examples.png")
    """
    images = check_images(images)
    known = origin.class_names if isinstance(origin, Origin) else CLASS_NAMES
    labels = check_labels(labels, len(images), classes=len(known))
    first = {c: images[np.argmax(labels == c)] for c in set(labels.tolist())}
    names = [class_label(c, known) for c in range(len(known))]
    shown = [first.get(c) for c in range(len(known))]
    with gallery(shown, names, size, origin=origin, fig=fig) as axes:
        return axes[0].figure


def plot_class_counts(
    labels: Labels, origin: Origin | None = None, *, size: Size = "page", ax: Axes | None = None
) -> Figure:
    """Show how many galaxies each class has, of Galaxy10's next to the public file's counts.

    Parameters
    ----------
    labels : array of int, shape (N,)
    origin, size
        As in :func:`plot_examples`.
    ax : matplotlib.axes.Axes, optional
        Plotted into. Default: those of a new figure.

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> import galclass
    >>> images, labels, origin = galclass.load_data("simulated", n=200)
    >>> galclass.plot_class_counts(labels, origin).savefig("class_counts.pdf")
    """
    names = origin.class_names if isinstance(origin, Origin) else CLASS_NAMES
    counts = np.bincount(check_labels(labels, classes=len(names)), minlength=len(names))
    rows = np.arange(len(names))
    ends = share = 100 * counts / max(counts.sum(), 1)
    with canvas(size, 0.3, 1.7 * max(len(rows), 4), origin=origin, on=ax) as fig:
        ax = ax or fig.subplots()
        ax.barh(rows, share, color=LIGHT_BLUE, label=f"here, {counts.sum():,} galaxies")
        if names == CLASS_NAMES:
            public = 100 * np.array(CLASS_COUNTS) / sum(CLASS_COUNTS)
            name, ends = f"public Galaxy10, {sum(CLASS_COUNTS):,}", np.maximum(share, public)
            ax.plot(public, rows, "|", color=ORANGE, ms=14, mew=2.5, label=name)
        for row, count in enumerate(counts):
            ax.text(ends[row] + 0.8, row, f"{count:,}", va="center", size=SMALL)
        ax.set_yticks(rows, [class_label(c, names) for c in rows], parse_math=False)
        ax.invert_yaxis()
        ax.set(xlabel="share of the galaxies (%)", xlim=(0, 1.15 * ends.max()))
        ax.legend(loc="lower right", reverse=True)
    return fig
