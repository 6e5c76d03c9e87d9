"""One style for every figure, in two sizes.

``"page"`` is for a README or a notebook, 8 inches wide; ``"column"`` for a column of a paper, 3.5
inches wide with letters of 7 points and more. Colours: Okabe & Ito's colour-blind-safe set, and
matplotlib's ``Blues``; line styles and markers differ as well, so that all can be told apart in
grey. Classes are 0-9 in data and 1-10 in figures, as published.
"""

import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ..data.dataset import Origin
from ..data.galaxy10 import CLASS_NAMES
from ..errors import ParameterError
from ..files import PathLike, whole_file

Size: TypeAlias = Literal["page", "column"]
ORANGE, BLUE, GREEN, PURPLE, GREY = "#d55e00", "#0072b2", "#009e73", "#aa4499", "#595959"
LIGHT_BLUE = "#8ec3e6"  # under strokes of the others
SMALL = "small"  # letters of 0.83 times the size of the others
STYLE = Path(__file__).with_name("galclass.mplstyle")
PIXELS = 1200  # width of a PNG
METADATA: dict[str, dict[str, None]] = {
    ".png": {"Software": None},
    ".svg": {"Date": None, "Creator": None},
    ".pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}


# Width (inches), letters (points; small ones have 7 or more) and width of lines, as a share.
SIZES = {"page": (8.0, 10.5, 1.0), "column": (3.5, 8.5, 0.65)}


@contextmanager
def canvas(
    size: Size,
    aspect: float,
    lines: float = 0,
    *,
    origin: Origin | None = None,
    on: Figure | Axes | None = None,
) -> Iterator[Figure]:
    """A figure in the style of galclass, whatever matplotlib's settings are.

    Parameters
    ----------
    size : {"page", "column"}
    aspect, lines : float
        The height is `aspect` times the width, and `lines` lines of text.
    origin : Origin, optional
        Written below the figure when the block ends; in orange for simulated galaxies.
    on : Figure or Axes, optional
        Plot there instead of into a new figure.

    Raises
    ------
    ParameterError
        Another size, or an origin of another type.
    """
    width, font, share = _check_size(size)
    if not isinstance(origin, Origin | None):
        raise ParameterError(f"origin is a {type(origin).__name__}, expected an Origin or None")
    settings = {
        "font.size": font,
        "lines.linewidth": 1.5 * share,
        "lines.markersize": 6 * share,
        "axes.linewidth": 0.8 * share,
    }
    with plt.style.context(["default", STYLE, settings]):
        fig = on.figure if isinstance(on, Axes) else on
        if fig is None:
            height = width * aspect + lines * font / 60
            fig = plt.figure(figsize=(width, height), layout="constrained")
            fig.get_layout_engine().set(w_pad=0.06, h_pad=0.05)
            if fig.canvas.required_interactive_framework is None:
                # No window can show it. A notebook shows the returned figure, an open one twice.
                plt.close(fig)
        yield fig
        if origin is not None:
            colour, weight = (ORANGE, "bold") if origin.simulated else (GREY, "normal")
            text = printable(str(origin))
            fig.supxlabel(text, x=0.995, ha="right", size=SMALL, color=colour, weight=weight)


@contextmanager
def gallery(
    images: Sequence[NDArray[np.uint8] | None],
    titles: Sequence[str],
    size: Size,
    *,
    columns: int = 5,
    below: float = 0,
    origin: Origin | None = None,
    fig: Figure | None = None,
) -> Iterator[list[Axes]]:
    """Images in rows, with titles wrapped to their width and, below each, room for its share."""
    columns = min(columns, max(3, len(images)))
    width, font, _ = _check_size(size)
    letters = int(width / columns * 72 / (0.46 * font))
    wrap = partial(textwrap.fill, width=letters, break_on_hyphens=False)
    titles = ["\n".join(wrap(printable(line)) for line in title.split("\n")) for title in titles]
    rows = max(1, -(-len(images) // columns))
    lines = rows * (0.3 + max((1 + title.count("\n") for title in titles), default=0))
    with canvas(size, rows * (1 + below) / columns, lines, origin=origin, on=fig) as figure:
        axes = list(figure.subplots(rows, columns, squeeze=False).flat)
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
        yield axes


def _check_size(size: Size) -> tuple[float, float, float]:
    if size not in SIZES:
        raise ParameterError(f"size {size!r}, expected one of {sorted(SIZES)}")
    return SIZES[size]


def class_label(c: int, names: Sequence[str] = CLASS_NAMES) -> str:
    """Number and name of a class, on two lines."""
    return f"{c + 1} " + ",\n".join(printable(names[c]).rsplit(", ", 1))


def printable(text: str) -> str:
    """Text of a user as it can be plotted: fonts have no line breaks and no surrogates."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def check_figure(path: PathLike) -> Path:
    """Refuse a file that cannot hold a figure, before there is one.

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
    """Write a figure, whole or not at all, without date or version in it.

    Parameters
    ----------
    fig : matplotlib.figure.Figure
    path : str or path-like
        Ends in ``.png`` (1,200 pixels wide), ``.svg`` or ``.pdf``.

    Raises
    ------
    ParameterError
        Another ending.
    RunError
        The file cannot be written.
    """
    path = check_figure(path)
    metadata = METADATA[path.suffix.lower()]
    with plt.style.context(["default", STYLE]), whole_file(path) as temporary:
        fig.savefig(temporary, dpi=PIXELS / fig.get_figwidth(), metadata=metadata)
