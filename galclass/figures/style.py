"""The style of all figures.

Colours are from the colour-blind-safe set of Okabe & Ito, and matplotlib's ``Blues``; line styles
and markers differ as well, so that curves can be told apart in grey. Classes are numbered from 0
in data and from 1 in figures, as published.
"""

import math
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ..data.dataset import Origin
from ..errors import ParameterError
from ..files import PathLike, whole_file
from ..labels import printable

Size: TypeAlias = Literal["page", "column"]
ORANGE = "#d55e00"
BLUE = "#0072b2"
GREEN = "#009e73"
PURPLE = "#aa4499"
GREY = "#595959"
LIGHT_BLUE = "#8ec3e6"  # for areas under lines and markers
SMALL = "small"  # matplotlib's name of a font size, 0.83 of the normal one
STYLE_FILE = Path(__file__).with_name("galclass.mplstyle")
PNG_WIDTH = 1200  # pixels
# Dates and versions would change the bytes of a file.
METADATA: dict[str, dict[str, None]] = {
    ".png": {"Software": None},
    ".svg": {"Date": None, "Creator": None},
    ".pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}


class Layout(NamedTuple):
    """Sizes of a figure.

    Parameters
    ----------
    width : float
        Width of the figure in inches.
    font_size : float
        Size of normal text in points; small text has 7 points or more.
    line_scale : float
        Factor for the widths of lines and the sizes of markers.
    suffixes : tuple of str
        File types that :func:`galclass.save_figures` writes.
    """

    width: float
    font_size: float
    line_scale: float
    suffixes: tuple[str, ...]


LAYOUTS = {
    "page": Layout(8.0, 10.5, 1.0, (".png", ".svg")),
    "column": Layout(3.5, 8.5, 0.65, (".png", ".pdf")),
}
_size: ContextVar[Size] = ContextVar("size", default="page")


@contextmanager
def style(size: Size) -> Iterator[None]:
    """Choose the size of the figures that are plotted within the block.

    Parameters
    ----------
    size : {"page", "column"}
        ``"page"``, the default outside of a block, for a README or a notebook (8 inches wide);
        ``"column"`` for a column of a paper (3.5 inches wide, with text of 7 points and more).

    Raises
    ------
    ParameterError
        Another size.

    Examples
    --------
    >>> import galclass
    >>> run = galclass.load_run("runs/mine")
    >>> with galclass.style("column"):
    ...     galclass.plot_history(run).savefig("history.pdf")
    """
    if size not in LAYOUTS:
        raise ParameterError(f"size={size!r}, expected one of {sorted(LAYOUTS)}")
    token = _size.set(size)
    try:
        yield
    finally:
        _size.reset(token)


def current_layout() -> Layout:
    """Return the sizes of the figures that are plotted now."""
    return LAYOUTS[_size.get()]


@contextmanager
def house_style() -> Iterator[None]:
    """Apply the style of galclass within the block, whatever matplotlib's settings are."""
    layout = current_layout()
    settings = {
        "font.size": layout.font_size,
        "lines.linewidth": 1.5 * layout.line_scale,
        "lines.markersize": 6 * layout.line_scale,
        "axes.linewidth": 0.8 * layout.line_scale,
    }
    with plt.style.context(["default", STYLE_FILE, settings]):
        yield


def make_figure(aspect: float, lines: float = 0, *, on: Figure | Axes | None = None) -> Figure:
    """Return a new figure, or the figure to plot into.

    Parameters
    ----------
    aspect, lines : float
        The height is `aspect` times the width, plus `lines` lines of text.
    on : Figure or Axes, optional
        Where to plot. Default: a new figure.
    """
    if isinstance(on, Axes):
        return on.figure
    if isinstance(on, Figure):
        return on
    layout = current_layout()
    line_height = 1.2 * layout.font_size / 72  # inches
    height = layout.width * aspect + lines * line_height
    fig = plt.figure(figsize=(layout.width, height), layout="constrained")
    fig.get_layout_engine().set(w_pad=0.06, h_pad=0.05)
    if fig.canvas.required_interactive_framework is None:
        # No window can show it. A notebook shows the returned figure, and would show an open
        # figure a second time.
        plt.close(fig)
    return fig


def add_origin(fig: Figure, origin: Origin | None) -> None:
    """Write below a figure where its galaxies came from; in orange if they are simulated.

    Raises
    ------
    ParameterError
        The origin is of another type.
    """
    if origin is None:
        return
    if not isinstance(origin, Origin):
        raise ParameterError(f"origin is a {type(origin).__name__}, expected an Origin or None")
    color = GREY
    weight = "normal"
    if origin.simulated:
        color = ORANGE
        weight = "bold"
    text = printable(str(origin))
    fig.supxlabel(text, x=0.995, ha="right", size=SMALL, color=color, weight=weight)


def plot_images(
    images: Sequence[NDArray[np.uint8] | None],
    titles: Sequence[str],
    *,
    columns: int = 5,
    below: float = 0,
    on: Figure | None = None,
) -> tuple[Figure, list[Axes]]:
    """Plot images in rows, with titles that are wrapped to the width of an image.

    Parameters
    ----------
    images : sequence of ndarray of uint8, shape (s, s, 3), or None
        None leaves the place empty and says so.
    titles : sequence of str
        One per image.
    columns : int, default 5
    below : float, default 0
        Space below each image, as a fraction of its height.
    on : Figure, optional
        Where to plot. Default: a new figure.

    Returns
    -------
    Figure, list of Axes
        One axes per image, in their order.
    """
    layout = current_layout()
    columns = min(columns, max(3, len(images)))  # at least three, so that one image is not huge
    # A letter is about 0.46 of the font size wide.
    letters = int(layout.width / columns * 72 / (0.46 * layout.font_size))
    titles = [_wrap(title, letters) for title in titles]
    rows = max(1, math.ceil(len(images) / columns))
    title_lines = max((1 + title.count("\n") for title in titles), default=0)
    fig = make_figure(rows * (1 + below) / columns, rows * (0.3 + title_lines), on=on)
    axes = list(fig.subplots(rows, columns, squeeze=False).flat)
    for ax in axes:
        ax.set_axis_off()
    for ax, image, title in zip(axes, images, titles, strict=False):
        ax.set_anchor("N")
        ax.set_title(title, size=SMALL, loc="left", pad=3)
        if image is None:
            ax.set(aspect="equal")
            ax.text(0.5, 0.5, "none here", ha="center", va="center", color=GREY, size=SMALL)
        else:
            ax.imshow(image, interpolation="bicubic")
    return fig, axes


def _wrap(title: str, letters: int) -> str:
    lines = [
        textwrap.fill(printable(line), width=letters, break_on_hyphens=False)
        for line in title.split("\n")
    ]
    return "\n".join(lines)


def check_figure(path: PathLike) -> Path:
    """Return the path of a figure to write.

    Raises
    ------
    ParameterError
        The name does not end in .png, .svg or .pdf.
    """
    path = Path(path)
    if path.suffix.lower() not in METADATA:
        raise ParameterError(f"figure {path.name!r}, expected a name in {', '.join(METADATA)}")
    return path


def save_figure(fig: Figure, path: PathLike) -> None:
    """Write a figure completely or not at all; the same figure gives the same bytes.

    Parameters
    ----------
    fig : matplotlib.figure.Figure
    path : str or path-like
        A name in ``.png`` (1,200 pixels wide), ``.svg`` or ``.pdf``.

    Raises
    ------
    ParameterError
        Another suffix.
    RunError
        The file cannot be written.
    """
    path = check_figure(path)
    metadata = METADATA[path.suffix.lower()]
    with plt.style.context(["default", STYLE_FILE]), whole_file(path) as temporary:
        fig.savefig(temporary, dpi=PNG_WIDTH / fig.get_figwidth(), metadata=metadata)
