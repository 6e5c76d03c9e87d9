"""One function a figure. Each takes arrays or a run, and returns the Figure.

Every figure names the galaxies that it is about. Classes are 0-9 in data and 1-10 in figures, as
published. One style for all, in two sizes: ``"page"`` for a README or a notebook, and ``"column"``
for a column of a paper, 3.5 inches wide with letters of 7 points and more. Colours: Okabe & Ito's
colour-blind-safe set, and matplotlib's ``Blues``; line styles and markers differ as well, so that
all stays apart in grey.
"""

import itertools
import textwrap
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from ._types import FigureSize, Images, Labels, PathLike, Source
from .calibration import apply_temperature, reliability
from .cutouts import Pictures
from .evaluation import FEW, predict_proba, top_confusions
from .galaxy10 import CLASS_COUNTS, CLASS_NAMES, DataError, check_images, check_labels
from .runs import Run, load_run, whole_file
from .sources import Dataset

if TYPE_CHECKING:
    import keras
    from astropy.table import Table

ORANGE, BLUE, GREEN, GREY = "#d55e00", "#0072b2", "#009e73", "#595959"
LIGHT_BLUE = "#8ec3e6"  # under strokes of the others
STYLE = {
    "font.family": "DejaVu Sans",  # comes with matplotlib, so that it is the same everywhere
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": "#dddddd",
    "legend.facecolor": "white",
    "legend.edgecolor": "none",
    "svg.hashsalt": "galclass",
    "pdf.fonttype": 42,
}
PIXELS = 1200  # width of a PNG


class Size(NamedTuple):
    """Width (inches), letters (points), small letters (points) and further settings of figures."""

    width: float
    font: float
    small: float
    settings: dict


SIZES = {
    "page": Size(8.0, 10, 9, {}),
    "column": Size(
        3.5,
        7.5,
        7,
        {
            "lines.linewidth": 1.0,
            "lines.markersize": 3.5,
            "axes.linewidth": 0.6,
            "axes.titlepad": 4,
            "legend.handlelength": 1.6,
            "legend.borderaxespad": 0.3,
        },
    ),
}


@contextmanager
def style(size="page"):
    """Draw in the style of galclass, whatever matplotlib was told before.

    Parameters
    ----------
    size : {"page", "column"}

    Yields
    ------
    Size

    Raises
    ------
    ValueError
        Another size.
    """
    if size not in SIZES:
        raise ValueError(f"size {size!r}, expected one of {sorted(SIZES)}")
    chosen = SIZES[size]
    letters = {
        "font.size": chosen.font,
        "axes.titlesize": chosen.font,
        "figure.titlesize": chosen.font,
        "legend.fontsize": chosen.small,
    }
    with plt.style.context(["default", {**STYLE, **letters, **chosen.settings}]):
        yield chosen


def plot_examples(
    images: Images | Run,
    labels: Labels | None = None,
    *,
    per_class: int = 1,
    source: Source | None = None,
    size: FigureSize = "page",
    fig: Figure | None = None,
) -> Figure:
    """Show galaxies of each class, numbered 1 to 10 as published.

    Parameters
    ----------
    images : ndarray of uint8, shape (N, 69, 69, 3), or Run
        The first galaxies of each class are shown.
    labels : ndarray of int, shape (N,)
        Needed with arrays.
    per_class : int, default 1
        One galaxy of each class in two rows of five, or so many in a row for each class.
    source : dict, optional
        The origin of the galaxies, from :func:`galclass.load_data`, written into the figure.
    size : {"page", "column"}
        For a page (8 inches wide) or a column of a paper (3.5 inches).
    fig : matplotlib.figure.Figure, optional
        Drawn into. Default: a new one.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    galclass.galaxy10.DataError
        Images without labels, or not as many of the one as of the other.
    ValueError
        `per_class` is less than 1, or another size.

    Examples
    --------
    >>> import galclass
    >>> images, labels, source = galclass.load_data("simulated", n=200)
    >>> figure = galclass.plot_examples(images, labels, source=source)
    >>> figure.savefig("examples.png")
    """
    if isinstance(images, Run):
        source = images.manifest["source"]
        kept = images.examples
        images, labels = kept["images"], kept["labels"]
    if labels is None or len(images) != len(labels):
        raise DataError("images and labels must be given together and be of equal length")
    if per_class < 1:
        raise ValueError(f"per_class={per_class}, expected 1 or more")
    labels = np.asarray(labels)
    with style(size) as s:
        page = s.width > 5
        if per_class == 1:
            fig = fig or _figure(s.width, 4.3 if page else 2.8)
            axes = fig.subplots(2, 5).reshape(10, 1)
        else:
            names = 1.9 if page else 0.9
            side = (s.width - names) / per_class
            fig = fig or _figure(s.width, 10 * side + 0.6)
            fig.get_layout_engine().set(w_pad=0.02, h_pad=0.02, wspace=0, hspace=0)
            axes = fig.subplots(10, per_class)
            kind = "Simulated galaxies" if _is_simulated(source) else "Galaxies"
            fig.suptitle(f"{kind} by class")
        for c, row in enumerate(axes):
            found = np.flatnonzero(labels == c)[:per_class]
            for ax in row:
                ax.set(xticks=[], yticks=[], aspect="equal")
                ax.spines[:].set_visible(False)
            for ax, i in zip(row, found, strict=False):
                ax.imshow(images[i], interpolation="bicubic")
            if not len(found):
                row[0].text(0.5, 0.5, "none here", ha="center", va="center", color=GREY)
                row[0].set(xlim=(0, 1), ylim=(0, 1))
                row[0].spines[:].set_visible(True)
            if per_class == 1:
                short = "\n".join(textwrap.wrap(CLASS_NAMES[c], 10, break_on_hyphens=False))
                name = _label(c) if page else f"{c + 1} {short}"
                row[0].set_title(name, fontsize=s.small, loc="left", pad=3)
            else:
                row[0].set_ylabel(
                    _label(c), rotation=0, ha="right", va="center", fontsize=s.small, labelpad=6
                )
        _note(fig, source, s)
    return fig


def plot_class_counts(
    labels: Labels | Run,
    *,
    source: Source | None = None,
    size: FigureSize = "page",
    ax: Axes | None = None,
) -> Figure:
    """Show how many galaxies each class has, beside the public file's counts.

    Parameters
    ----------
    labels : ndarray of int, shape (N,), or Run
    source, size
        As in :func:`plot_examples`.
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> import galclass
    >>> images, labels, source = galclass.load_data("simulated", n=200)
    >>> figure = galclass.plot_class_counts(labels, source=source)
    >>> figure.savefig("class_counts.pdf")
    """
    if isinstance(labels, Run):
        source, counts = labels.manifest["source"], labels.manifest["class_counts"]
    else:
        counts = np.bincount(check_labels(labels), minlength=len(CLASS_NAMES))
    with style(size) as s:
        fig, ax = _axes(ax, s.width, 3.7 if s.width > 5 else 3.2)
        rows = np.arange(len(CLASS_NAMES))
        share = 100 * np.asarray(counts) / max(np.sum(counts), 1)
        public = 100 * np.asarray(CLASS_COUNTS) / sum(CLASS_COUNTS)
        ax.barh(rows, share, color=LIGHT_BLUE, label=f"here, {np.sum(counts):,} galaxies")
        name = f"public Galaxy10, {sum(CLASS_COUNTS):,}"
        ax.plot(public, rows, "|", color=ORANGE, ms=1.4 * s.font, mew=2.5, label=name)
        for row, count, one, other in zip(rows, counts, share, public, strict=True):
            ax.text(max(one, other) + 0.8, row, f"{count:,}", va="center", fontsize=s.small)
        ax.set_yticks(rows, [_label(c, broken=s.width < 5) for c in rows])
        ax.tick_params(axis="y", labelsize=s.small)
        ax.invert_yaxis()
        ax.set(xlabel="share of the galaxies (%)", xlim=(0, 1.15 * max(share.max(), public.max())))
        ax.legend(loc="lower right")
        _note(fig, source, s)
    return fig


def plot_history(
    run: Run | dict[str, ArrayLike],
    *,
    source: Source | None = None,
    size: FigureSize = "page",
    fig: Figure | None = None,
) -> Figure:
    """Show loss and accuracy against the epoch, with the best epoch marked.

    Parameters
    ----------
    run : Run, or dict of arrays
        The columns ``epoch``, ``loss``, ``accuracy``, ``val_loss`` and ``val_accuracy``.
    source, size
        As in :func:`plot_examples`; the source of a run is known.
    fig : matplotlib.figure.Figure, optional

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> import galclass
    >>> run = galclass.load_run("runs/mine")
    >>> galclass.plot_history(run).savefig("history.png")
    """
    history, title = run, ""
    if isinstance(run, Run):
        history, source = run.history, run.manifest["source"]
        title = f"recipe {run.manifest['recipe_name']}, seed {run.manifest['seed']}"
    with style(size) as s:
        page = s.width > 5
        fig = fig or _figure(s.width, 3.4 if page else 4.4)
        axes = fig.subplots(*((1, 2) if page else (2, 1)))
        for ax, key in zip(axes, ("loss", "accuracy"), strict=True):
            epoch, value = _draw_curves(ax, history, key)
            ax.set_title(f"{key.capitalize()}: {value} in validation\nat epoch {epoch}, the best")
            ax.legend(loc="upper right" if key == "loss" else "lower right")
        if title:
            fig.suptitle(title)
        _note(fig, source, s)
    return fig


def _draw_curves(ax, history, key):
    """Training and validation of a quantity; the best epoch and its value in words."""
    history = {name: np.asarray(column) for name, column in history.items()}
    best = np.lexsort((history["val_loss"], -history["val_accuracy"]))[0]
    epochs, marker = history["epoch"], "." if len(history["epoch"]) < 5 else None
    scale = 100 if key == "accuracy" else 1
    value = scale * history[f"val_{key}"]
    ax.plot(epochs, scale * history[key], color=ORANGE, marker=marker, label="training")
    ax.plot(epochs, value, color=BLUE, ls="--", marker=marker, label="validation")
    ax.axvline(epochs[best], color=GREY, lw=1, ls=":")
    ax.plot(epochs[best], value[best], "o", color=BLUE, mfc="white", zorder=3)
    ax.grid(axis="y")
    ax.xaxis.set_major_locator(mpl.ticker.MaxNLocator(6, integer=True))
    ax.set(xlabel="epoch", ylabel=f"{key} (%)" if scale > 1 else key)
    return int(epochs[best]), f"{value[best]:.1f} %" if scale > 1 else f"{value[best]:.3f}"


def plot_comparison(
    runs: list[Run], *, size: FigureSize = "page", fig: Figure | None = None
) -> Figure:
    """Show the curves of runs on the same galaxies side by side, on common axes.

    Parameters
    ----------
    runs : list of Run
        Two or more, a column each.
    size : {"page", "column"}
    fig : matplotlib.figure.Figure, optional

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        Fewer than two runs, or runs on different galaxies or splits.

    Examples
    --------
    >>> import galclass
    >>> runs = [galclass.load_run("runs/default"), galclass.load_run("runs/mine")]
    >>> galclass.plot_comparison(runs).savefig("comparison.png")
    """
    check_comparable(runs)
    with style(size) as s:
        page = s.width > 5
        fig = fig or _figure(s.width, 5.2 if page else 3.6)
        axes = fig.subplots(2, len(runs), sharex="col", sharey="row")
        for column, run in zip(axes.T, runs, strict=True):
            _draw_curves(column[0], run.history, "loss")
            epoch, value = _draw_curves(column[1], run.history, "accuracy")
            column[0].set(
                xlabel="",
                title=f"recipe {run.manifest['recipe_name']}\nbest: {value} at epoch {epoch}",
            )
        for ax in axes[:, 1:].flat:
            ax.set_ylabel("")
        axes[0, 0].set_ylabel("loss, with penalties")
        axes[1, -1].legend(loc="lower right")
        _note(fig, runs[0].manifest["source"], s)
    return fig


def check_comparable(runs):
    """Refuse to compare runs unless they have the same galaxies and the same split.

    Raises
    ------
    ValueError
        They differ, or there are fewer than two.
    """
    if len(runs) < 2:
        raise ValueError(f"{len(runs)} run to compare, expected two or more")
    first = runs[0].manifest
    for run in runs[1:]:
        now = run.manifest
        if now["split"] != first["split"] or now["source"]["sha256"] != first["source"]["sha256"]:
            raise ValueError(
                f"{run.path.name} was trained on other galaxies or with another split "
                f"({describe_source(now['source'])}) than {runs[0].path.name} "
                f"({describe_source(first['source'])}); compare runs on the same data"
            )


def plot_confusion_matrix(
    matrix: NDArray[np.integer[Any]] | Run,
    *,
    source: Source | None = None,
    size: FigureSize = "page",
    ax: Axes | None = None,
) -> Figure:
    """Show a confusion matrix as published: rows predicted, columns true, columns sum to 100 %.

    Parameters
    ----------
    matrix : ndarray of int, shape (10, 10), or Run
        Counts, rows predicted and columns true, as
        :func:`galclass.evaluation.confusion_matrix` gives them.
    source, size
        As in :func:`plot_examples`; the source of a run is known.
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.figure.Figure
        Classes with fewer than ten true galaxies are marked with an asterisk.

    Examples
    --------
    >>> import galclass
    >>> run = galclass.load_run("runs/mine")
    >>> galclass.plot_confusion_matrix(run).savefig("confusion_matrix.png")

    Beside another figure of yours:

    >>> from matplotlib import pyplot as plt
    >>> figure, (left, right) = plt.subplots(1, 2, figsize=(16, 6), layout="constrained")
    >>> galclass.plot_confusion_matrix(run, ax=left) is figure
    True
    >>> plt.close(figure)
    """
    title = "Confusion matrix (%)"
    if isinstance(matrix, Run):
        metrics, source = matrix.metrics, matrix.manifest["source"]
        matrix = metrics["confusion_matrix"]
        title = f"{metrics['galaxies']:,} test galaxies, accuracy {100 * metrics['accuracy']:.1f} %"
    matrix = np.asarray(matrix)
    if matrix.shape != (len(CLASS_NAMES),) * 2:
        raise DataError(f"confusion matrix of shape {matrix.shape}, expected (10, 10)")
    support = matrix.sum(axis=0)
    percent = 100 * matrix / np.maximum(support, 1)
    with style(size) as s:
        page = s.width > 5
        fig, ax = _axes(ax, s.width, 5.6 if page else 3.7)
        picture = ax.imshow(percent, cmap="Blues", vmin=0, vmax=100, aspect="auto")
        for (row, column), value in np.ndenumerate(percent):
            if support[column] and matrix[row, column]:
                ax.text(
                    column,
                    row,
                    f"{value:.0f}" if value >= 0.95 else f"{value:.1f}",
                    ha="center",
                    va="center",
                    fontsize=s.font if page else s.small,
                    fontweight="bold" if row == column else "normal",
                    color="white" if value > 50 else "black",
                )
        ticks = range(len(CLASS_NAMES))
        few = ["*" if n < FEW else "" for n in support]
        ax.set_xticks(ticks, [f"{c + 1}{few[c]}\n{support[c]}" for c in ticks])
        ax.set_yticks(ticks, [_label(c, broken=not page) for c in ticks])
        ax.set_xticks(np.arange(9) + 0.5, minor=True)
        ax.set_yticks(np.arange(9) + 0.5, minor=True)
        ax.grid(which="minor", color="#eeeeee", lw=0.8)
        ax.tick_params(which="both", length=0, labelsize=s.small)
        ax.spines[:].set_visible(False)
        star = f"{'; ' if page else chr(10)}* fewer than {FEW}" if any(few) else ""
        ax.set_xlabel(f"true class, and its number of galaxies{star}")
        ax.set_ylabel("predicted class")
        ax.set_title(title)
        if page:
            fig.colorbar(picture, ax=ax, label="of the true class (%)", fraction=0.035, pad=0.02)
        _note(fig, source, s)
    return fig


# The published notebook's recall of each class on its test galaxies, from its confusion matrix.
PUBLISHED_RECALL = (0.610, 0.956, 0.901, 0.552, 0.786, 0.0, 0.899, 0.635, 0.438, 0.466)


def plot_recall(run: Run, *, size: FigureSize = "page", ax: Axes | None = None) -> Figure:
    """Show the recall of each class with its 95 % interval, beside the published one.

    The interval is Wilson's (1927, JASA 22, 209), which behaves for few galaxies and near 0 and 1.

    Parameters
    ----------
    run : Run
        Evaluated.
    size : {"page", "column"}
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> import galclass
    >>> run = galclass.load_run("runs/mine")
    >>> galclass.plot_recall(run).savefig("recall.png")
    """
    rows = run.metrics["classes"]
    with style(size) as s:
        page = s.width > 5
        fig, ax = _axes(ax, s.width, 4.0 if page else 3.6)
        for c, row in enumerate(rows):
            if row["support"]:
                low, high = wilson_interval(row["recall"], row["support"])
                ax.plot([100 * low, 100 * high], [c, c], color=BLUE, lw=2)
                ax.plot(100 * row["recall"], c, "o", color=BLUE)
            ax.plot(100 * PUBLISHED_RECALL[c], c, "D", color=ORANGE, mfc="white")
        ax.plot([], [], "o-", color=BLUE, label="this run, 95 % interval")
        ax.plot([], [], "D", color=ORANGE, mfc="white", label="published, Galaxy10's 21,785")
        ax.set_yticks(
            range(len(rows)),
            [f"{_label(c, broken=not page)}  ({row['support']})" for c, row in enumerate(rows)],
        )
        ax.tick_params(axis="y", labelsize=s.small)
        ax.invert_yaxis()
        ax.grid(axis="x")
        ax.set(xlim=(-2, 102), xlabel="recall (%); in brackets test galaxies")
        fig.legend(loc="outside upper right", ncols=2 if page else 1)
        _note(fig, run.manifest["source"], s)
    return fig


def wilson_interval(share, n, z=1.96):
    """Interval of a share of `n`, Wilson (1927, JASA 22, 209).

    Parameters
    ----------
    share : float or ndarray
        0 to 1.
    n : int or ndarray
        1 or more.
    z : float, default 1.96
        In standard deviations; the default gives 95 %.

    Returns
    -------
    low, high : float or ndarray
    """
    centre, spread = (
        share + z**2 / (2 * n),
        z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2)),
    )
    return (centre - spread) / (1 + z**2 / n), (centre + spread) / (1 + z**2 / n)


def plot_reliability(run: Run, *, size: FigureSize = "page", fig: Figure | None = None) -> Figure:
    """Show accuracy against confidence on the test galaxies, and how many have which confidence.

    Parameters
    ----------
    run : Run
        Evaluated.
    size : {"page", "column"}
    fig : matplotlib.figure.Figure, optional

    Returns
    -------
    matplotlib.figure.Figure
        Accuracy before and after the temperature, in bins of at least ten galaxies; the numbers
        are those after it.

    Examples
    --------
    >>> import galclass
    >>> run = galclass.load_run("runs/mine")
    >>> galclass.plot_reliability(run).savefig("reliability.png")
    """
    labels, raw = run.predictions["labels"], run.predictions["probabilities"]
    temperature = run.metrics["temperature"]
    tempered = apply_temperature(raw, temperature)
    series = (
        ("as predicted", raw, ORANGE, "D--", run.metrics["uncalibrated"]),
        (f"with temperature {temperature:.2f}", tempered, BLUE, "o-", run.metrics["calibrated"]),
    )
    with style(size) as s:
        page = s.width > 5
        fig = fig or _figure(s.width, 4.2 if page else 4.8)
        ratios = {"width_ratios": (1, 1)} if page else {"height_ratios": (2.6, 1)}
        curve_ax, count_ax = fig.subplots(*((1, 2) if page else (2, 1)), **ratios)
        curve_ax.plot([0, 100], [0, 100], color=GREY, lw=1, ls=":")
        for name, probabilities, colour, marker, metrics in series:
            curve = reliability(labels, probabilities)
            # A bin of a few galaxies says nothing.
            shown = curve["galaxies"] >= FEW
            error = 100 * metrics["calibration_error"]
            curve_ax.plot(
                100 * curve["confidence"][shown],
                100 * curve["accuracy"][shown],
                marker,
                color=colour,
                mfc="white",
                label=f"{name}:\ncalibration error {error:.1f} %",
            )
        curve_ax.grid()
        curve_ax.set(xlim=(0, 101), ylim=(0, 101), aspect="equal", ylabel="galaxies right (%)")
        curve_ax.legend(loc="best")
        confidence, right = 100 * tempered.max(axis=1), raw.argmax(axis=1) == labels
        count_ax.hist(
            [confidence[right], confidence[~right]],
            bins=np.linspace(0, 100, 16),
            stacked=True,
            color=(BLUE, ORANGE),
            label=("right", "wrong"),
        )
        for patch in count_ax.containers[1]:
            patch.set(hatch="////", edgecolor="white", linewidth=0)
        count_ax.set(xlim=(0, 101), ylabel="test galaxies")
        count_ax.legend(loc="best")
        for ax in (curve_ax, count_ax) if page else (count_ax,):
            ax.set_xlabel("confidence: largest probability (%)")
        _note(fig, run.manifest["source"], s)
    return fig


def plot_mistakes(run: Run, *, size: FigureSize = "page", fig: Figure | None = None) -> Figure:
    """Show the test galaxies that the network got wrong with the most confidence.

    Parameters
    ----------
    run : Run
        Evaluated.
    size : {"page", "column"}
        Ten galaxies on a page, six in a column.
    fig : matplotlib.figure.Figure, optional

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> import galclass
    >>> run = galclass.load_run("runs/mine")
    >>> galclass.plot_mistakes(run).savefig("mistakes.png")
    """
    wrong = run.mistakes
    with style(size) as s:
        columns = 5 if s.width > 5 else 3
        fig = fig or _figure(s.width, 5.4 if s.width > 5 else 4.1)
        axes = fig.subplots(2, columns)
        for ax in axes.flat:
            ax.set_axis_off()
        for k, ax in zip(range(len(wrong["images"])), axes.flat, strict=False):
            true, said = int(wrong["labels"][k]), int(wrong["predicted"][k])
            ax.imshow(wrong["images"][k], interpolation="bicubic")
            ax.set_title(
                f"called {said + 1}, {100 * wrong['probabilities'][k]:.0f} %:\n"
                f"{_broken(CLASS_NAMES[said])}\n"
                f"labelled {true + 1}:\n{_broken(CLASS_NAMES[true])}",
                fontsize=max(7, s.small - 1),
                loc="left",
            )
        if not len(wrong["images"]):
            axes[0, 0].text(0, 0.5, "no test galaxy is wrong", color=GREY)
        _note(fig, run.manifest["source"], s)
    return fig


def plot_confusions(
    run: Run,
    images: Images,
    *,
    count: int = 3,
    size: FigureSize = "page",
    fig: Figure | None = None,
) -> Figure:
    """Show the largest confusions on test galaxies: both classes, and what lies between them.

    Parameters
    ----------
    run : Run
        Evaluated.
    images : ndarray of uint8, shape (N, 69, 69, 3)
        All galaxies of the run, as for :func:`galclass.evaluate`.
    count : int, default 3
        Confusions, a row each, the largest share first.
    size : {"page", "column"}
    fig : matplotlib.figure.Figure, optional

    Returns
    -------
    matplotlib.figure.Figure
        In each row three galaxies of the one class that are recognised, three that are called the
        other class, and three of the other class that are recognised, those with the highest
        probability first.

    Examples
    --------
    >>> import galclass
    >>> run = galclass.load_run("runs/mine")
    >>> images, labels, source = galclass.load_data("simulated", n=300)
    >>> galclass.plot_confusions(run, images).savefig("confusions.png")
    """
    confusions = top_confusions(run, count)
    labels, probabilities = run.predictions["labels"], run.predictions["probabilities"]
    said, indices = probabilities.argmax(axis=1), run.predictions["indices"]
    with style(size) as s:
        page, rows = s.width > 5, max(len(confusions), 1)
        fig = fig or _figure(s.width, rows * (s.width / 9 + (0.5 if page else 0.4)) + 0.3)
        axes = fig.subplots(rows, 3, squeeze=False)
        for ax in axes.flat:
            ax.set_axis_off()
        if not confusions:
            axes[0, 0].text(0, 0.5, "no two classes are confused", color=GREY)
        for row, (true, other, share, n) in zip(axes, confusions, strict=False):
            groups = ((true, true), (true, other), (other, other))
            for ax, (label, called) in zip(row, groups, strict=True):
                found = np.flatnonzero((labels == label) & (said == called))
                found = found[np.argsort(-probabilities[found, called], kind="stable")][:3]
                ax.imshow(_strip(images[indices[found]], 3), interpolation="bicubic")
                name = f"{label + 1}  {CLASS_NAMES[label]}\n" if page else f"{label + 1} "
                share_said = f": {100 * share:.0f} % of {n}" if called != label else ""
                none = "" if len(found) else ": none"
                title = f"{name}called {called + 1}{share_said}{none}"
                ax.set_title(title, loc="left", fontsize=s.small if page else 7, pad=3)
        _note(fig, run.manifest["source"], s)
    return fig


def _strip(images, count, gap=4):
    """Pictures side by side in one, with room for `count`."""
    side = images.shape[1]
    strip = np.full((side, count * (side + gap) - gap, 3), 255, np.uint8)
    for k, image in enumerate(images):
        strip[:, k * (side + gap) : k * (side + gap) + side] = image
    return strip


def plot_votes(
    images: Images, parameters: NDArray[np.void], *, fig: Figure | None = None
) -> Figure:
    """Show simulated galaxies with the share of the volunteers' votes that each class got.

    Parameters
    ----------
    images : ndarray of uint8, shape (n, 69, 69, 3)
        Simulated; up to four are shown.
    parameters : structured ndarray, shape (n,)
        Theirs, from ``galclass.simulate_galaxy10(..., return_parameters=True)``.
    fig : matplotlib.figure.Figure, optional

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> import galclass
    >>> images, labels, true = galclass.simulate_galaxy10(4, return_parameters=True)
    >>> galclass.plot_votes(images, true).savefig("votes.png")
    """
    from .simulate import AGREEMENT

    images = check_images(images)[:4]
    with style() as s:
        fig = fig or _figure(s.width, 4.6)
        axes = fig.subplots(2, len(images), squeeze=False, sharey="row", height_ratios=(1, 1.2))
        rows = np.arange(len(CLASS_NAMES))
        for ax, image in zip(axes[0], images, strict=True):
            ax.imshow(image, interpolation="bicubic")
            ax.set_axis_off()
        for ax, votes in zip(axes[1], 100 * parameters["votes"][: len(images)], strict=True):
            colours = [BLUE if share > 100 * AGREEMENT else "#bbbbbb" for share in votes]
            ax.barh(rows, votes, color=colours)
            ax.axvline(100 * AGREEMENT, color=ORANGE, ls="--", lw=1)
            ax.set(xlim=(0, 100), xlabel="votes (%)", xticks=(0, 55, 100))
        axes[1, 0].set_yticks(rows, [_label(c, broken=False) for c in rows])
        axes[1, 0].tick_params(axis="y", labelsize=s.small)
        axes[1, 0].invert_yaxis()
        fig.suptitle("Simulated galaxies, voted on by simulated volunteers", color=ORANGE)
    return fig


# What layers are called in the diagram, and their colours: light enough for black letters in grey.
LAYERS = {
    "Conv2D": ("conv", "#9ecae1"),
    "MaxPooling2D": ("max pool", "#fdd0a2"),
    "Flatten": ("flatten", "#d9d9d9"),
    "Dense": ("dense", "#a1d99b"),
}


def plot_network(
    model: "keras.Model", *, size: FigureSize = "page", fig: Figure | None = None
) -> Figure:
    """Draw a network as a diagram: a block a layer, with its output's shape and its weights.

    Parameters
    ----------
    model : keras.Model
        Sequential, as :func:`galclass.build_cnn` makes it. Layers that do not change the shape
        (rescaling, dropout) are not drawn.
    size : {"page", "column"}
    fig : matplotlib.figure.Figure, optional

    Returns
    -------
    matplotlib.figure.Figure
        The front of a block is as high as the layer's pictures, in pixels; its depth grows with
        the logarithm of the number of channels or units.

    Examples
    --------
    >>> import galclass
    >>> galclass.plot_network(galclass.build_cnn()).savefig("network.png")
    """
    blocks = [("picture", "#ffffff", tuple(model.input_shape[1:]), 0)]
    for layer in model.layers:
        kind = type(layer).__name__
        if kind in LAYERS:
            name, colour = LAYERS[kind]
            if kind == "Conv2D":
                name += " {}×{}".format(*layer.kernel_size)
            if hasattr(layer, "activation"):
                name += "\n" + layer.activation.__name__.replace("relu", "ReLU")
            shape = tuple(layer.output.shape[1:])
            blocks.append((name, colour, shape, layer.count_params()))
    with style(size) as s:
        page = s.width > 5
        fig = fig or _figure(s.width, 3.2 if page else 2.9)
        ax = fig.subplots()
        ax.set_axis_off()
        words = {"ha": "center", "fontsize": 8 if page else s.small, "linespacing": 1.25}
        tallest = max(shape[0] for _, _, shape, _ in blocks if len(shape) == 3)
        for x, (name, colour, shape, weights) in enumerate(blocks):
            # A vector is a thin column, as high as the logarithm of its length.
            flat = len(shape) == 1
            height = (0.06 * np.log2(shape[0]) if flat else shape[0] / tallest) * 0.8
            depth = 0.1 if flat else 0.035 * np.log2(shape[-1])
            width = 0.12 if flat else 0.34 * shape[0] / tallest
            _draw_block(ax, x - (width + depth) / 2, width, height, depth, colour)
            numbers = "×".join(map(str, shape))
            if page and not flat:
                numbers = "{}×{}\n×{}".format(*shape)
            below = f"{numbers}\n{weights:,}" if weights else numbers
            if page:
                ax.text(x, -0.62, name, va="top", **words)
                ax.text(x, 0.68, below, va="bottom", **words)
            else:
                ax.text(x, -0.6, name.replace("\n", ", "), va="top", rotation=90, **words)
                ax.text(x, 0.62, below, va="bottom", rotation=90, **words)
            if x:
                ax.annotate(
                    "",
                    (x - 0.36, 0),
                    (x - 0.64, 0),
                    arrowprops={"arrowstyle": "->", "color": GREY, "lw": 0.8},
                )
        ax.set(xlim=(-0.6, len(blocks) - 0.4))
        ax.set_ylim((-0.95, 1.1) if page else (-1.6, 1.9))
        ax.set_title(
            f"{model.count_params():,} weights; above each layer: its output's shape"
            + (", and its own weights" if page else "\nand its own weights")
        )
    return fig


def _draw_block(ax, x, width, height, depth, colour):
    low, high, up = -height / 2, height / 2, 0.6 * depth
    front = [(x, low), (x + width, low), (x + width, high), (x, high)]
    top = [(x, high), (x + depth, high + up), (x + width + depth, high + up), (x + width, high)]
    side = [(x + width, low), (x + width + depth, low + up), top[2], top[3]]
    for corners, shade in ((front, 1.0), (top, 0.93), (side, 0.82)):
        face = shade * np.array(mpl.colors.to_rgb(colour))
        ax.add_patch(mpl.patches.Polygon(corners, fc=face, ec="#444444", lw=0.6))


def plot_simulated_accuracy(
    measured: dict[str, Any], *, size: FigureSize = "page", fig: Figure | None = None
) -> Figure:
    """Show accuracy against signal-to-noise and inclination of simulated galaxies.

    Parameters
    ----------
    measured : dict
        From :func:`galclass.evaluate_simulated`.
    size : {"page", "column"}
    fig : matplotlib.figure.Figure, optional

    Returns
    -------
    matplotlib.figure.Figure
        Points are the accuracy, in bins of equally many galaxies, with Wilson's 95 % interval; the
        right panel has the spirals alone.

    Examples
    --------
    >>> import galclass
    >>> run = galclass.load_run("runs/mine")
    >>> measured = galclass.evaluate_simulated(run, 50)
    >>> galclass.plot_simulated_accuracy(measured).savefig("simulated_accuracy.png")
    """
    right = measured["labels"] == measured["predicted"]
    parameters = measured["parameters"]
    spirals = parameters["kind"] == "spiral"
    panels = (
        (parameters["signal_to_noise"], right, "signal-to-noise in r", "all galaxies"),
        (parameters["inclination"][spirals], right[spirals], "inclination (degrees)", "spirals"),
    )
    with style(size) as s:
        page = s.width > 5
        fig = fig or _figure(s.width, 3.2 if page else 4.2)
        axes = fig.subplots(*((1, 2) if page else (2, 1)), sharey=True)
        for ax, (values, good, name, which) in zip(axes, panels, strict=True):
            for low, high, n, share in accuracy_in_bins(values, good):
                bottom, top = wilson_interval(share, n)
                ax.plot([low, high], [100 * share] * 2, color=BLUE, lw=2)
                middle = (low * high) ** 0.5 if "signal" in name else (low + high) / 2
                ax.plot([middle] * 2, [100 * bottom, 100 * top], color=BLUE, lw=1)
                ax.plot(middle, 100 * share, "o", color=BLUE, mfc="white")
            if "signal" in name:
                ax.set_xscale("log")
                ax.xaxis.set_major_formatter(mpl.ticker.ScalarFormatter())
                ax.xaxis.set_minor_formatter(mpl.ticker.NullFormatter())
            ax.grid(axis="y")
            ax.set(xlabel=name, title=f"{which}: {len(good):,}", ylim=(-2, 103))
        for ax in axes[:1] if page else axes:
            ax.set_ylabel("galaxies right (%)")
        _note(fig, measured["source"], s)
    return fig


def accuracy_in_bins(values, right, *, bins=5):
    """Accuracy in bins that hold equally many galaxies.

    Parameters
    ----------
    values : ndarray of float, shape (n,)
    right : ndarray of bool, shape (n,)
    bins : int, default 5

    Returns
    -------
    list of tuple
        ``(low, high, galaxies, accuracy)``, with the smallest and largest value of each bin.
    """
    order = np.argsort(values, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    return [
        (float(values[p[0]]), float(values[p[-1]]), len(p), float(right[p].mean())) for p in parts
    ]


def plot_attribution(
    model: "keras.Model",
    images: Images,
    labels: Labels | None = None,
    *,
    source: Source | None = None,
    fig: Figure | None = None,
) -> Figure:
    """Show which parts of pictures speak for the class that the network gives them (Grad-CAM).

    Parameters
    ----------
    model : keras.Model
    images : ndarray of uint8, shape (n, 69, 69, 3)
        Up to ten are shown.
    labels : array of int, shape (n,), optional
        True classes, named in the titles.
    source : dict, optional
        As in :func:`plot_examples`.
    fig : matplotlib.figure.Figure, optional

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> import galclass
    >>> images, labels, source = galclass.load_data("simulated", n=5)
    >>> model = galclass.load_pretrained()
    >>> figure = galclass.plot_attribution(model, images, labels, source=source)
    >>> figure.savefig("attribution.png")
    """
    from .attribution import grad_cam

    images = check_images(images)[:10]
    maps, said = grad_cam(model, images), predict_proba(model, images).argmax(axis=1)
    with style() as s:
        columns = min(len(images), 5)
        rows = -(-len(images) // columns)
        fig = fig or _figure(max(1.6 * columns, 4), 1.95 * rows + 0.3)
        axes = fig.subplots(rows, columns, squeeze=False)
        for ax in axes.flat:
            ax.set_axis_off()
        for k, ax in zip(range(len(images)), axes.flat, strict=False):
            ax.imshow(images[k], interpolation="bicubic")
            ax.contour(maps[k], levels=(0.25, 0.5, 0.75), colors="white", linewidths=(0.5, 1, 1.5))
            true = "" if labels is None else f", labelled {int(labels[k]) + 1}"
            ax.set_title(f"called {said[k] + 1}{true}", fontsize=9, loc="left")
        _note(fig, source, s)
    return fig


def plot_predictions(
    table: "Table", pictures: Pictures, *, crop: float | None = None, fig: Figure | None = None
) -> Figure:
    """Show classified pictures, each with its three most probable classes as bars.

    Parameters
    ----------
    table : astropy.table.Table
        As :func:`galclass.predict` gives it.
    pictures : sequence of pictures
        Those that were classified, in the same order; the first 20 good ones are shown.
    crop : float, optional
        As for :func:`galclass.prepare`.
    fig : matplotlib.figure.Figure, optional

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> import galclass
    >>> images, labels = galclass.simulate_galaxy10(4)
    >>> table = galclass.predict(galclass.load_pretrained(), images)
    >>> galclass.plot_predictions(table, images).savefig("gallery.png")
    """
    from .cutouts import iter_prepared

    rows = zip(table, iter_prepared(pictures, crop=crop), strict=False)
    good = ((row, image) for row, (_, image, _) in rows if image is not None)
    shown = list(itertools.islice(good, 20))
    if not shown:
        raise DataError("no picture could be read, expected at least one; see the table's errors")
    with style():
        columns = min(len(shown), 4)
        lines = -(-len(shown) // columns)
        fig = fig or _figure(max(2.4 * columns, 4), 3.4 * lines)
        fig.get_layout_engine().set(h_pad=0.08)
        axes = fig.subplots(2 * lines, columns, squeeze=False, height_ratios=[3, 1] * lines)
        for ax in axes.flat:
            ax.set_axis_off()
        for k, (row, image) in enumerate(shown):
            line, column = divmod(k, columns)
            picture, bars = axes[2 * line, column], axes[2 * line + 1, column]
            picture.imshow(image, interpolation="bicubic")
            name = str(row["source"]).replace("\\", "/").rpartition("/")[2]
            picture.set_title(name, fontsize=8, loc="left")
            probabilities = np.array([row[f"p{c}"] for c in range(len(CLASS_NAMES))])
            best = np.argsort(-probabilities)[:3]
            bars.barh(range(3), 100 * probabilities[best], color=("#7fb8de", "#bcd9ec", "#dddddd"))
            for b, c in enumerate(best):
                label = f"{100 * probabilities[c]:.0f} %  {CLASS_NAMES[c]}"
                bars.text(1, b, label, va="center", fontsize=7)
            bars.set(xlim=(0, 100), ylim=(2.6, -0.6))
    return fig


def plot_study(runs: list[Run], *, fig: Figure | None = None) -> Figure:
    """Show the validation loss and accuracy of several runs in one figure.

    Parameters
    ----------
    runs : list of Run
        As :func:`galclass.studies.load_study` gives them.
    fig : matplotlib.figure.Figure, optional

    Returns
    -------
    matplotlib.figure.Figure
    """
    with style() as s:
        fig = fig or _figure(s.width, 3.4)
        axes = fig.subplots(1, 2)
        for run, colour in zip(runs, itertools.cycle((BLUE, ORANGE, GREEN, GREY)), strict=False):
            name = f"{run.manifest['recipe_name']}, seed {run.manifest['seed']}"
            if run.manifest["split"]["protocol"].startswith("fold"):
                name = f"{run.manifest['recipe_name']}, {run.manifest['split']['protocol']}"
            history = run.history
            axes[0].plot(history["epoch"], history["val_loss"], color=colour, lw=1.2)
            axes[1].plot(
                history["epoch"], 100 * history["val_accuracy"], color=colour, lw=1.2, label=name
            )
        for ax, title in zip(axes, ("validation loss", "validation accuracy (%)"), strict=True):
            ax.grid(axis="y")
            ax.xaxis.set_major_locator(mpl.ticker.MaxNLocator(integer=True))
            ax.set(xlabel="epoch", ylabel=title)
        axes[1].legend(loc="lower right")
        _note(fig, runs[0].manifest["source"], s)
    return fig


def save_figures(
    run: Run | PathLike,
    out: Path,
    *,
    examples: Dataset | None = None,
    beside: Run | PathLike | None = None,
    size: FigureSize = "page",
) -> list[Path]:
    """Draw every figure of a run and write each as PNG and as vector graphics.

    The same run gives the same bytes with the same matplotlib.

    Parameters
    ----------
    run : Run or path-like
    out : pathlib.Path
        Folder for the files; made if need be, files of the same names are replaced.
    examples : galclass.sources.Dataset, optional
        Galaxies for the examples figure, and for one with several of each class. Default: those
        kept in the run.
    beside : Run or path-like, optional
        A run on the same galaxies, such as one of the other recipe, to compare this one with.
    size : {"page", "column"}
        For a page (8 inches wide; PNG and SVG) or a column of a paper (3.5 inches; PNG and PDF).

    Returns
    -------
    list of pathlib.Path
        The PNG files.

    Raises
    ------
    RunError
        A file of the run is missing, or one cannot be written.
    ValueError
        Another size, or the runs have different galaxies.

    Examples
    --------
    >>> from pathlib import Path
    >>> import galclass
    >>> paths = galclass.save_figures("runs/mine", Path("figures"))
    >>> [path.name for path in paths][:3]
    ['examples.png', 'class_counts.png', 'history.png']
    """
    run = run if isinstance(run, Run) else load_run(run)
    out = Path(out)
    figures = {}
    if examples is None:
        figures["examples"] = plot_examples(run, size=size)
    else:
        images, labels, source = examples
        for name, per_class in (("examples", 1), ("examples_by_class", 8)):
            figures[name] = plot_examples(
                images, labels, per_class=per_class, source=source, size=size
            )
    figures |= {
        "class_counts": plot_class_counts(run, size=size),
        "history": plot_history(run, size=size),
        "confusion_matrix": plot_confusion_matrix(run, size=size),
        "recall": plot_recall(run, size=size),
        "reliability": plot_reliability(run, size=size),
    }
    if beside is not None:
        other = beside if isinstance(beside, Run) else load_run(beside)
        figures["comparison"] = plot_comparison([other, run], size=size)
    # Pictures of galaxies stay out where the examples are replaced.
    if examples is None:
        figures["mistakes"] = plot_mistakes(run, size=size)
    written = []
    for name, fig in figures.items():
        written.append(out / f"{name}.png")
        save_figure(fig, written[-1])
        save_figure(fig, out / f"{name}.{'svg' if size == 'page' else 'pdf'}")
    return written


def save_figure(fig: Figure, path: Path) -> None:
    """Write a figure, whole or not at all, without date or version in it.

    Parameters
    ----------
    fig : matplotlib.figure.Figure
    path : pathlib.Path
        Ends in ``.png`` (1,200 pixels wide), ``.svg`` or ``.pdf``.
    """
    metadata = {
        ".svg": {"Date": None, "Creator": None},
        ".pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    }.get(path.suffix.lower(), {"Software": None})
    with style(), whole_file(path) as temporary:
        fig.savefig(temporary, metadata=metadata, dpi=PIXELS / fig.get_figwidth())


def describe_source(source: Source) -> str:
    """One line that says which galaxies a figure is about.

    Parameters
    ----------
    source : dict
        The origin of the galaxies, from :func:`galclass.load_data` or a run's manifest.

    Returns
    -------
    str

    Raises
    ------
    DataError
        The source is of no known kind.

    Examples
    --------
    >>> import galclass
    >>> run = galclass.load_run("runs/mine")
    >>> galclass.describe_source(run.manifest["source"])
    'Simulated galaxies, not observed ones: 300'
    """
    kinds = {
        "simulated": "Simulated galaxies, not observed ones",
        "galaxy10": "Galaxy10 SDSS",
        "file": f"Galaxies of {source['name']}",
        "arrays": "Galaxies given as arrays, origin not stated",
    }
    if source["kind"] not in kinds:
        raise DataError(f"source of kind {source['kind']!r}, expected one of {sorted(kinds)}")
    return f"{kinds[source['kind']]}: {source['galaxies']:,}"


def _figure(width, height):
    fig = plt.figure(figsize=(width, height), layout="constrained")
    fig.get_layout_engine().set(w_pad=0.06, h_pad=0.05)
    if fig.canvas.required_interactive_framework is None:
        # No window can show it. A notebook shows the returned figure, and an open one twice.
        plt.close(fig)
    return fig


def _axes(ax, width, height):
    if ax is None:
        fig = _figure(width, height)
        return fig, fig.subplots()
    return ax.figure, ax


def _is_simulated(source):
    return bool(source) and source["kind"] == "simulated"


def _note(fig, source, s):
    if source:
        simulated = _is_simulated(source)
        fig.supxlabel(
            describe_source(source),
            x=0.995,
            ha="right",
            fontsize=s.small,
            color=ORANGE if simulated else GREY,
            fontweight="bold" if simulated else "normal",
        )


def _label(c, *, broken=True):
    """Number and name of a class for an axis, the name on one line or two."""
    return f"{c + 1}  {_broken(CLASS_NAMES[c]) if broken else CLASS_NAMES[c]}"


def _broken(name):
    """A class name on two lines."""
    head, _, tail = name.rpartition(", ")
    return f"{head},\n{tail}"
