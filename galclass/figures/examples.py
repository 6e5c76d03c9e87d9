"""Plot one galaxy of each class."""

import numpy as np
from matplotlib.figure import Figure

from ..data.arrays import Images, Labels, check_images, check_labels
from ..data.dataset import Origin, class_names_of
from ..labels import class_label
from .style import add_origin, house_style, plot_images


def plot_examples(
    images: Images,
    labels: Labels,
    origin: Origin | None = None,
    *,
    fig: Figure | None = None,
) -> Figure:
    """Plot one galaxy of each class.

    Parameters
    ----------
    images : ndarray of uint8, shape (N, s, s, 3)
        The first galaxy of each class is plotted.
    labels : array of int, shape (N,)
    origin : Origin, optional
        The origin that :func:`galclass.load_data` returns. It gives the names of the classes and
        the text below the figure. Default: classes are numbers.
    fig : matplotlib.figure.Figure, optional
        Where to plot. Default: a new figure.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    DataError
        The images or the labels are not valid, or there is not one label per image.
    ParameterError
        `origin` is not an Origin.

    Examples
    --------
    >>> import galclass
    >>> galaxies = galclass.load_data("simulated", n=200)
    >>> galclass.plot_examples(*galaxies).savefig("examples.png")
    """
    images = check_images(images)
    labels = check_labels(labels, len(images))
    names = class_names_of(labels, origin)
    check_labels(labels, classes=len(names))
    examples = []
    for c in range(len(names)):
        of_class = np.flatnonzero(labels == c)
        examples.append(images[of_class[0]] if len(of_class) else None)
    titles = [class_label(c, names) for c in range(len(names))]
    with house_style():
        fig, _ = plot_images(examples, titles, on=fig)
        add_origin(fig, origin)
    return fig
