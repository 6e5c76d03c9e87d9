"""One function a figure. Each takes arrays or a run, and returns the Figure.

Every figure names the galaxies that it is about. Classes are 0-9 in data and 1-10 in figures, as
published. Colours: Okabe & Ito's colour-blind-safe set, and matplotlib's ``Blues``, which stay
apart in grey.
"""

import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from ._types import Images, Labels, PathLike, Source
from .calibration import apply_temperature, reliability
from .cutouts import Pictures
from .evaluation import FEW, predict_proba
from .galaxy10 import CLASS_COUNTS, CLASS_NAMES, DataError, check_images, check_labels
from .runs import Run, load_run, whole_file
from .sources import Dataset

if TYPE_CHECKING:
    import keras
    from astropy.table import Table

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


def plot_examples(
    images: Images | Run,
    labels: Labels | None = None,
    *,
    source: Source | None = None,
    fig: Figure | None = None,
) -> Figure:
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


def plot_class_counts(
    labels: Labels | Run, *, source: Source | None = None, ax: Axes | None = None
) -> Figure:
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


def plot_history(
    run: Run | dict[str, ArrayLike], *, source: Source | None = None, fig: Figure | None = None
) -> Figure:
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

    Examples
    --------
    >>> import galclass
    >>> run = galclass.load_run("runs/mine")
    >>> galclass.plot_history(run).savefig("history.png")
    """
    history: Any = run
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


def plot_confusion_matrix(
    matrix: NDArray[np.integer[Any]] | Run,
    *,
    source: Source | None = None,
    ax: Axes | None = None,
) -> Figure:
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


# The published notebook's recall of each class on its test galaxies, from its confusion matrix.
PUBLISHED_RECALL = (0.610, 0.956, 0.901, 0.552, 0.786, 0.0, 0.899, 0.635, 0.438, 0.466)


def plot_recall(run: Run, *, ax: Axes | None = None) -> Figure:
    """Show the recall of each class with its 95 % interval, beside the published one.

    The interval is Wilson's (1927, JASA 22, 209), which behaves for few galaxies and near 0 and 1.

    Parameters
    ----------
    run : Run
        Evaluated.
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
    with mpl.rc_context(STYLE):
        fig, ax = _axes(ax, 8, 4.2)
        for c, row in enumerate(rows):
            if row["support"]:
                low, high = _wilson(row["recall"], row["support"])
                ax.plot([100 * low, 100 * high], [c, c], color=BLUE, lw=2)
                ax.plot(100 * row["recall"], c, "o", color=BLUE)
            ax.plot(100 * PUBLISHED_RECALL[c], c, "D", color=ORANGE, mfc="white")
        ax.plot([], [], "o-", color=BLUE, label="this run, 95 % interval")
        ax.plot([], [], "D", color=ORANGE, mfc="white", label="published, Galaxy10's 21,785")
        names = [f"{c + 1}  {name}" for c, name in enumerate(CLASS_NAMES)]
        ax.set_yticks(
            range(len(rows)),
            [f"{name}  ({row['support']})" for name, row in zip(names, rows, strict=True)],
        )
        ax.invert_yaxis()
        ax.grid(axis="x")
        ax.set(xlim=(-2, 102), xlabel="recall (%); in brackets the number of test galaxies")
        fig.legend(loc="outside upper right", ncols=2)
        _note(fig, run.manifest["source"])
    return fig


def _wilson(share, n, z=1.96):
    centre, spread = (
        share + z**2 / (2 * n),
        z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2)),
    )
    return (centre - spread) / (1 + z**2 / n), (centre + spread) / (1 + z**2 / n)


def plot_reliability(run: Run, *, ax: Axes | None = None) -> Figure:
    """Show accuracy against confidence on the test galaxies, before and after the temperature.

    Parameters
    ----------
    run : Run
        Evaluated.
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> import galclass
    >>> run = galclass.load_run("runs/mine")
    >>> galclass.plot_reliability(run).savefig("reliability.png")
    """
    labels, raw = run.predictions["labels"], run.predictions["probabilities"]
    temperature = run.metrics["temperature"]
    series = (
        ("as predicted", raw, ORANGE, "D--", run.metrics["uncalibrated"]),
        (
            f"with temperature {temperature:.2f}",
            apply_temperature(raw, temperature),
            BLUE,
            "o-",
            run.metrics["calibrated"],
        ),
    )
    with mpl.rc_context(STYLE):
        fig, ax = _axes(ax, 5.6, 4.8)
        ax.plot([0, 100], [0, 100], color=GREY, lw=1, ls=":")
        for name, probabilities, colour, marker, metrics in series:
            curve = reliability(labels, probabilities)
            # A bin of a few galaxies says nothing.
            shown = curve["galaxies"] >= FEW
            error = 100 * metrics["calibration_error"]
            ax.plot(
                100 * curve["confidence"][shown],
                100 * curve["accuracy"][shown],
                marker,
                color=colour,
                mfc="white",
                label=f"{name}: calibration error {error:.1f} %",
            )
        ax.grid()
        ax.set(xlim=(0, 101), ylim=(0, 101), aspect="equal")
        ax.set(xlabel="confidence: largest probability (%)", ylabel="galaxies right (%)")
        ax.legend(loc="lower right")
        _note(fig, run.manifest["source"])
    return fig


def plot_mistakes(run: Run, *, fig: Figure | None = None) -> Figure:
    """Show the test galaxies that the network got wrong with the most confidence.

    Parameters
    ----------
    run : Run
        Evaluated.
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
    with mpl.rc_context(STYLE):
        fig = fig or _figure(9.5, 5.6)
        axes = fig.subplots(2, 5)
        for ax in axes.flat:
            ax.set_axis_off()
        for k, ax in zip(range(len(wrong["images"])), axes.flat, strict=False):
            true, said = int(wrong["labels"][k]), int(wrong["predicted"][k])
            ax.imshow(wrong["images"][k], interpolation="bicubic")
            ax.set_title(
                f"called {said + 1}, {100 * wrong['probabilities'][k]:.0f} %:\n"
                f"{_broken(CLASS_NAMES[said], indent='')}\n"
                f"labelled {true + 1}:\n{_broken(CLASS_NAMES[true], indent='')}",
                fontsize=8,
                loc="left",
            )
        _note(fig, run.manifest["source"])
    return fig


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
    with mpl.rc_context(STYLE):
        columns = min(len(images), 5)
        rows = -(-len(images) // columns)
        fig = fig or _figure(1.9 * columns, 2.3 * rows + 0.2)
        axes = fig.subplots(rows, columns, squeeze=False)
        for ax in axes.flat:
            ax.set_axis_off()
        for k, ax in zip(range(len(images)), axes.flat, strict=False):
            ax.imshow(images[k], interpolation="bicubic")
            ax.contour(maps[k], levels=(0.25, 0.5, 0.75), colors="white", linewidths=(0.5, 1, 1.5))
            true = "" if labels is None else f", labelled {int(labels[k]) + 1}"
            ax.set_title(f"called {said[k] + 1}{true}", fontsize=9, loc="left")
        _note(fig, source)
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
    with mpl.rc_context(STYLE):
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
    with mpl.rc_context(STYLE):
        fig = fig or _figure(9.5, 3.8)
        axes = fig.subplots(1, 2)
        for run, colour in zip(runs, itertools.cycle((BLUE, ORANGE, GREEN, GREY)), strict=False):
            name = f"{run.manifest['recipe_name']}, seed {run.manifest['seed']}"
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
        _note(fig, runs[0].manifest["source"])
    return fig


def save_figures(run: Run | PathLike, out: Path, *, examples: Dataset | None = None) -> list[Path]:
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

    Examples
    --------
    >>> from pathlib import Path
    >>> import galclass
    >>> paths = galclass.save_figures("runs/mine", Path("figures"))
    >>> [path.name for path in paths][:3]
    ['examples.png', 'class_counts.png', 'history.png']
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
        "recall": plot_recall(run),
        "reliability": plot_reliability(run),
    }
    # Pictures of galaxies stay out where the examples are replaced.
    if examples is None and len(run.mistakes["images"]):
        figures["mistakes"] = plot_mistakes(run)
    written = []
    for name, fig in figures.items():
        written.append(out / f"{name}.png")
        save_figure(fig, written[-1])
        save_figure(fig, out / f"{name}.svg")
    return written


def save_figure(fig: Figure, path: Path) -> None:
    """Write a figure, whole or not at all, without date or version in it."""
    metadata = {"Date": None, "Creator": None} if path.suffix == ".svg" else {"Software": None}
    with mpl.rc_context(STYLE), whole_file(path) as temporary:
        fig.savefig(temporary, metadata=metadata)


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
    if fig.canvas.required_interactive_framework is None:
        # No window can show it. A notebook shows the returned figure, and an open one twice.
        plt.close(fig)
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


def _broken(name, indent="     "):
    """A class name on two lines."""
    head, _, tail = name.rpartition(", ")
    return f"{head},\n{indent}{tail}"
