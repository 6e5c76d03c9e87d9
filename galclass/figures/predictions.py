"""Plot classified images with their most probable classes."""

import itertools
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..errors import DataError
from ..images.prepare import Framing, ImageLike, iter_prepared, list_images
from ..labels import printable
from .style import LIGHT_BLUE, current_layout, house_style, plot_images

if TYPE_CHECKING:
    from astropy.table import Row, Table

META = ("class_names", "image_size", "crop", "crop_all")
MOST_IMAGES = 20
MOST_BARS = 3
IMAGE_WIDTH = 1.7  # inches, at least: the names of classes need it
BARS_HEIGHT = 0.37  # as a fraction of the height of an image
GAP = 0.03


def plot_predictions(
    table: "Table", images: Sequence[ImageLike], *, fig: Figure | None = None
) -> Figure:
    """Plot classified images, each with its three most probable classes.

    Parameters
    ----------
    table : astropy.table.Table
        The table that :func:`galclass.predict` returned. Its ``meta`` has the names of the
        classes and the crop of the images.
    images : sequence of images
        The images that were classified, in the same order, in any form that
        :func:`galclass.prepare` takes. The first 20 that can be read are plotted, as the network
        saw them.
    fig : matplotlib.figure.Figure, optional
        Where to plot. Default: a new figure.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    DataError
        No image could be read, the table has another length, or it lacks entries in its ``meta``.

    Examples
    --------
    >>> import galclass
    >>> images, labels = galclass.simulate_galaxy10(4)
    >>> table = galclass.predict(images)
    >>> galclass.plot_predictions(table, images).savefig("gallery.png")
    """
    missing = [key for key in META if key not in table.meta]
    if missing:
        raise DataError(
            f"the table's meta lacks {missing}, expected the table that predict returned; write "
            "tables as ECSV to read them with their meta again"
        )
    images = list(list_images(images))
    if len(images) != len(table):
        raise DataError(
            f"{len(images)} images and a table of {len(table)} rows, expected one row per image; "
            "give the images that predict classified"
        )
    meta = table.meta
    framing = Framing(meta["image_size"], meta["crop"], force=meta["crop_all"])
    pairs = zip(table, iter_prepared(images, framing), strict=True)
    readable = ((row, image) for row, (_, image, _) in pairs if image is not None)
    shown = list(itertools.islice(readable, MOST_IMAGES))
    if not shown:
        raise DataError("no image could be read, expected at least one; see the table's errors")
    titles = [_shorten(row["source"]) for row, _ in shown]
    with house_style():
        columns = int(current_layout().width / IMAGE_WIDTH)
        fig, axes = plot_images(
            [image for _, image in shown],
            titles,
            columns=columns,
            below=GAP + BARS_HEIGHT,
            on=fig,
        )
        for ax, (row, _) in zip(axes, shown, strict=False):
            _plot_bars(ax, row, meta["class_names"])
    return fig


def _shorten(source: Any) -> str:
    """Return the end of the name of a file, without its folders."""
    return re.split(r"[/\\]", str(source))[-1][-60:]


def _plot_bars(ax: Axes, row: "Row", class_names: Sequence[str]) -> None:
    """Plot the highest probabilities below an image."""
    probabilities = np.array([row[f"p{c}"] for c in range(len(class_names))])
    highest = np.argsort(-probabilities)[:MOST_BARS]
    below = ax.inset_axes([0, -GAP - BARS_HEIGHT, 1, BARS_HEIGHT])
    below.set_axis_off()
    below.barh(range(len(highest)), 100 * probabilities[highest], color=LIGHT_BLUE)
    for position, c in enumerate(highest):
        label = f"{100 * probabilities[c]:.0f} % {printable(class_names[c])}"
        below.text(1, position, label, va="center", size=7, in_layout=False)
    below.set(xlim=(0, 100), ylim=(2.6, -0.6))
