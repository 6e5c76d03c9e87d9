"""One function a figure. Each takes arrays or a run, and returns the Figure.

Every figure names the galaxies that it is about. Classes are 0-9 in data and 1-10 in figures, as
published. Colours: Okabe & Ito's colour-blind-safe set, and matplotlib's ``Blues``, which stay
apart in grey.
"""

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt

from .evaluation import FEW
from .galaxy10 import CLASS_COUNTS, CLASS_NAMES, DataError
from .runs import Run, load_run, whole_file

ORANGE, BLUE, GREEN, GREY = "#d55e00", "#0072b2", "#009e73", "#666666"
STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "grid.color": "#dddddd",
    "legend.frameon": False,
    "savefig.dpi": 130,
    "figure.dpi": 100,
    "svg.hashsalt": "galclass",
    "svg.fonttype": "none",
}


def plot_examples(images, labels=None, *, source=None, fig=None):
    """Show one galaxy of each class, 2 x 5, numbered 1 to 10 as published.

    Parameters
    ----------
    images : ndarray of uint8, shape (N, 69, 69, 3), or Run
        The first galaxy of each class is shown.
    labels : ndarray of int, shape (N,)
        Needed with arrays.
    source : dict, optional
        The origin of the galaxies, from :func:`galclass.load_data`, written into the figure.
    fig : matplotlib.figure.Figure, optional
        Drawn into. Default: a new one.

    Returns
    -------
    matplotlib.figure.Figure
    """
    if isinstance(images, Run):
        source = images.manifest["source"]
        images, labels = images.examples["images"], images.examples["labels"]
    if labels is None or len(images) != len(labels):
        raise DataError("images and labels must be given together and be of equal length")
    labels = np.asarray(labels)
    with mpl.rc_context(STYLE):
        fig = fig or _figure(9.5, 4.8)
        fig.get_layout_engine().set(h_pad=0.08)
        for c, ax in enumerate(fig.subplots(2, 5).flat):
            found = np.flatnonzero(labels == c)
            if len(found):
                ax.imshow(images[found[0]], interpolation="bicubic")
            else:
                ax.text(0.5, 0.5, "none here", ha="center", va="center", color=GREY)
            ax.set_title(f"{c + 1}  {_broken(CLASS_NAMES[c])}", fontsize=9, loc="left", pad=4)
            ax.set(xticks=[], yticks=[], aspect="equal")
            ax.spines[:].set_visible(not len(found))
        _note(fig, source)
    return fig


def plot_class_counts(labels, *, source=None, ax=None):
    """Show how many galaxies each class has, beside the public file's counts.

    Parameters
    ----------
    labels : ndarray of int, shape (N,), or Run
    source : dict, optional
        As in :func:`plot_examples`.
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.figure.Figure
    """
    if isinstance(labels, Run):
        source, counts = labels.manifest["source"], labels.manifest["class_counts"]
    else:
        counts = np.bincount(np.asarray(labels, dtype=int), minlength=len(CLASS_NAMES))
    with mpl.rc_context(STYLE):
        fig, ax = _axes(ax, 8, 3.6)
        rows = np.arange(len(CLASS_NAMES))
        share = 100 * np.asarray(counts) / max(np.sum(counts), 1)
        public = 100 * np.asarray(CLASS_COUNTS) / sum(CLASS_COUNTS)
        ax.barh(rows, share, color=BLUE, label=f"here, {np.sum(counts):,} galaxies")
        ax.plot(public, rows, "|", color=ORANGE, ms=14, mew=2.5, label="public Galaxy10, 21,785")
        for row, count, one, other in zip(rows, counts, share, public, strict=True):
            ax.text(max(one, other) + 0.8, row, f"{count:,}", va="center", fontsize=9)
        ax.set_yticks(rows, [f"{c + 1}  {name}" for c, name in enumerate(CLASS_NAMES)])
        ax.invert_yaxis()
        ax.set(xlabel="share of the galaxies (%)", xlim=(0, 1.12 * max(share.max(), public.max())))
        ax.legend(loc="lower right")
        _note(fig, source)
    return fig


def plot_history(run, *, source=None, fig=None):
    """Show loss (left) and accuracy (right) against the epoch, with the best epoch marked.

    Parameters
    ----------
    run : Run, or dict of arrays
        The columns ``epoch``, ``loss``, ``accuracy``, ``val_loss`` and ``val_accuracy``.
    source : dict, optional
        As in :func:`plot_examples`; known for a run.
    fig : matplotlib.figure.Figure, optional

    Returns
    -------
    matplotlib.figure.Figure
    """
    history = run
    title = ""
    if isinstance(run, Run):
        history, source = run.history, run.manifest["source"]
        title = f"recipe {run.manifest['recipe_name']}, seed {run.manifest['seed']}"
    history = {key: np.asarray(value) for key, value in history.items()}
    best = np.lexsort((history["val_loss"], -history["val_accuracy"]))[0]
    with mpl.rc_context(STYLE):
        fig = fig or _figure(9.5, 3.8)
        for ax, key, name in zip(
            fig.subplots(1, 2), ("loss", "accuracy"), ("Loss", "Accuracy"), strict=True
        ):
            epochs, marker = history["epoch"], "." if len(history["epoch"]) < 5 else None
            scale = 100 if key == "accuracy" else 1
            value = scale * history[f"val_{key}"]
            ax.plot(epochs, scale * history[key], color=ORANGE, marker=marker, label="training")
            ax.plot(epochs, value, color=BLUE, ls="--", marker=marker, label="validation")
            ax.axvline(epochs[best], color=GREY, lw=1, ls=":")
            ax.plot(epochs[best], value[best], "o", color=BLUE, mfc="white", zorder=3)
            ax.grid(axis="y")
            ax.xaxis.set_major_locator(mpl.ticker.MaxNLocator(integer=True))
            number = f"{value[best]:.1f} %" if scale > 1 else f"{value[best]:.3f}"
            ax.set(
                xlabel="epoch",
                ylabel=f"{name.lower()}{' (%)' if scale > 1 else ''}",
                title=f"{name}: {number} in validation at epoch {epochs[best]:.0f}, the best",
            )
            ax.legend(loc="upper right" if key == "loss" else "lower right")
        if title:
            fig.suptitle(title, fontsize=11)
        _note(fig, source)
    return fig


def plot_confusion_matrix(matrix, *, source=None, ax=None):
    """Show a confusion matrix as published: rows predicted, columns true, columns sum to 100 %.

    Parameters
    ----------
    matrix : ndarray of int, shape (10, 10), or Run
        Counts, rows predicted and columns true, as
        :func:`galclass.evaluation.confusion_matrix` gives them.
    source : dict, optional
        As in :func:`plot_examples`; known for a run.
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.figure.Figure
        Classes with fewer than ten true galaxies are marked with an asterisk.
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
    with mpl.rc_context(STYLE):
        fig, ax = _axes(ax, 8.6, 6.3)
        picture = ax.imshow(percent, cmap="Blues", vmin=0, vmax=100, aspect="auto")
        for (row, column), value in np.ndenumerate(percent):
            if support[column] and matrix[row, column]:
                ax.text(
                    column,
                    row,
                    f"{value:.0f}" if value >= 0.95 else f"{value:.1f}",
                    ha="center",
                    va="center",
                    fontsize=10,
                    fontweight="bold" if row == column else "normal",
                    color="white" if value > 50 else "black",
                )
        ticks = range(len(CLASS_NAMES))
        few = ["*" if n < FEW else "" for n in support]
        ax.set_xticks(ticks, [f"{c + 1}{few[c]}\n{support[c]}" for c in ticks])
        ax.set_yticks(ticks, [f"{c + 1}  {CLASS_NAMES[c]}" for c in ticks])
        ax.set_xticks(np.arange(9) + 0.5, minor=True)
        ax.set_yticks(np.arange(9) + 0.5, minor=True)
        ax.grid(which="minor", color="#eeeeee", lw=0.8)
        ax.tick_params(which="both", length=0)
        ax.spines[:].set_visible(False)
        star = f"; * fewer than {FEW}" if any(few) else ""
        ax.set_xlabel(f"true class, and its number of galaxies{star}")
        ax.set_ylabel("predicted class")
        ax.set_title(title)
        fig.colorbar(picture, ax=ax, label="of the true class (%)", fraction=0.035, pad=0.02)
        _note(fig, source)
    return fig


def save_figures(run, out, *, examples=None):
    """Draw every figure of a run and write each as PNG and SVG.

    The same run gives the same bytes with the same matplotlib.

    Parameters
    ----------
    run : Run or path-like
    out : pathlib.Path
        Folder for the files; made if need be, files of the same names are replaced.
    examples : galclass.sources.Dataset, optional
        Galaxies for the examples figure. Default: those kept in the run.

    Returns
    -------
    list of pathlib.Path
        The PNG files.
    """
    run = run if isinstance(run, Run) else load_run(run)
    shown = (
        plot_examples(run) if examples is None else plot_examples(*examples[:2], source=examples[2])
    )
    figures = {
        "examples": shown,
        "class_counts": plot_class_counts(run),
        "history": plot_history(run),
        "confusion_matrix": plot_confusion_matrix(run),
    }
    written = []
    for name, fig in figures.items():
        written.append(out / f"{name}.png")
        save_figure(fig, written[-1])
        save_figure(fig, out / f"{name}.svg")
        plt.close(fig)
    return written


def save_figure(fig, path):
    """Write a figure, whole or not at all, without date or version in it."""
    metadata = {"Date": None, "Creator": None} if path.suffix == ".svg" else {"Software": None}
    with mpl.rc_context(STYLE), whole_file(path) as temporary:
        fig.savefig(temporary, metadata=metadata)


def describe_source(source):
    """One line that says which galaxies a figure is about."""
    kinds = {
        "simulated": "Simulated galaxies, not observed ones",
        "galaxy10": "Galaxy10 SDSS",
        "file": f"Galaxies of {source['name']}",
        "arrays": "Galaxies given as arrays, origin not stated",
    }
    return f"{kinds[source['kind']]}: {source['galaxies']:,}"


def _figure(width, height):
    fig = plt.figure(figsize=(width, height), layout="constrained")
    if "inline" in mpl.get_backend():
        plt.close(fig)  # A notebook shows the returned figure; open, it would show it twice.
    return fig


def _axes(ax, width, height):
    if ax is None:
        fig = _figure(width, height)
        return fig, fig.subplots()
    return ax.figure, ax


def _note(fig, source):
    if source:
        simulated = source["kind"] == "simulated"
        fig.supxlabel(
            describe_source(source),
            x=0.995,
            ha="right",
            fontsize=9,
            color=ORANGE if simulated else GREY,
            fontweight="bold" if simulated else "normal",
        )


def _broken(name):
    """A class name on two lines."""
    head, _, tail = name.rpartition(", ")
    return f"{head},\n     {tail}"
