"""Figures of results: what a network gets right, and what it looks at."""

import itertools
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, ScalarFormatter
from numpy.typing import NDArray

from ..data.arrays import Images, Labels, check_images, check_labels
from ..data.dataset import SIMULATED_FRACTIONS, Dataset, Origin
from ..data.galaxy10 import CLASS_NAMES, PUBLISHED_RECALL
from ..data.images import ImageLike, iter_prepared
from ..data.simulate import simulate_galaxy10
from ..errors import DataError, ParameterError
from ..evaluation.evaluate import write_results
from ..evaluation.metrics import FEW, compute_calibration, reliability
from ..files import PathLike
from ..network.calibration import Calibration
from ..network.symmetry import hash_images
from ..network.thresholds import sample_curve, share_interval
from ..run import Run, as_run, load_pretrained
from .data import plot_class_counts, plot_examples
from .style import (
    BLUE,
    GREY,
    LIGHT_BLUE,
    ORANGE,
    SMALL,
    Size,
    canvas,
    class_label,
    gallery,
    printable,
    save_figure,
)
from .training import plot_history

if TYPE_CHECKING:
    import keras
    from astropy.table import Table


def plot_confusion_matrix(
    matrix: NDArray[np.integer[Any]] | Run,
    origin: Origin | None = None,
    *,
    class_names: Sequence[str] | None = None,
    size: Size = "page",
    ax: Axes | None = None,
) -> Figure:
    """Show a confusion matrix as published: rows predicted, columns true, columns sum to 100 %.

    Parameters
    ----------
    matrix : Run, or ndarray of int, shape (K, K)
        An evaluated run, or counts with rows predicted and columns true. scikit-learn's has them
        the other way round: give its transpose.
    origin : Origin, optional
        Written into the figure; that of a run is known.
    class_names : sequence of str, shape (K,), optional
        Default: those of a run; else Galaxy10's for ten classes, otherwise none.
    size : {"page", "column"}
        For a page (8 inches wide) or a column of a paper (3.5 inches).
    ax : matplotlib.axes.Axes, optional
        Plotted into. Default: those of a new figure.

    Returns
    -------
    matplotlib.figure.Figure
        With the accuracy and its 95 % interval in the title. Classes with fewer than ten true
        galaxies are marked with an asterisk.

    Raises
    ------
    DataError
        The matrix is not square or holds no counts, or there are not K names.

    Examples
    --------
    >>> import galclass
    >>> run = galclass.load_run("runs/mine")
    >>> galclass.plot_confusion_matrix(run).savefig("confusion_matrix.png")

    Next to another figure of yours:

    >>> from matplotlib import pyplot as plt
    >>> figure, (left, right) = plt.subplots(1, 2, figsize=(16, 6), layout="constrained")
    >>> galclass.plot_confusion_matrix(run, ax=left) is figure
    True
    >>> plt.close(figure)
    """
    if isinstance(matrix, Run):
        run = matrix
        matrix, origin, class_names = run.metrics["confusion_matrix"], run.origin, run.class_names
    matrix = np.asarray(matrix)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not matrix.size:
        raise DataError(f"confusion matrix of shape {matrix.shape}, expected (classes, classes)")
    if matrix.dtype.kind not in "iu" or matrix.min() < 0:
        raise DataError(f"confusion matrix of {matrix.dtype}, expected counts of 0 or more")
    classes, support = np.arange(len(matrix)), matrix.sum(axis=0)
    if class_names is None:
        class_names = CLASS_NAMES if len(classes) == len(CLASS_NAMES) else [""] * len(classes)
    if len(class_names) != len(classes):
        raise DataError(f"{len(class_names)} class names, expected {len(classes)}")
    percent = 100 * matrix / np.maximum(support, 1)
    with canvas(size, 0.55, 11, origin=origin, on=ax) as fig:
        ax = ax or fig.subplots()
        ax.imshow(percent, cmap="Blues", vmin=0, vmax=100, aspect="auto")
        for row, column in np.argwhere(matrix):
            value = percent[row, column]
            look = {"color": "white" if value > 50 else "black", "ha": "center", "va": "center"}
            look |= {"weight": "bold" if row == column else "normal", "size": SMALL}
            ax.text(column, row, f"{value:.{int(value < 0.95)}f}", **look)
        few = ["*" if n < FEW else "" for n in support]
        ax.set_xticks(classes, [f"{c + 1}{few[c]}\n{support[c]:,}" for c in classes])
        ax.set_yticks(classes, [class_label(c, class_names) for c in classes], parse_math=False)
        ax.set_xticks(classes[1:] - 0.5, minor=True)
        ax.set_yticks(classes[1:] - 0.5, minor=True)
        ax.grid(which="minor", color="#eeeeee", lw=0.8)
        ax.tick_params(which="both", length=0)
        ax.spines[:].set_visible(False)
        star = f"\n* fewer than {FEW}" if any(few) else ""
        ax.set(xlabel=f"true class, and its galaxies (100 %){star}", ylabel="predicted class")
        ax.set_title(_accuracy(int(np.trace(matrix)), int(support.sum())), loc="right")
    return fig


def _accuracy(right: int, n: int) -> str:
    """The accuracy with its interval in words."""
    if not n:
        return "no galaxies"
    low, high = share_interval(right, n)
    interval = f"{100 * low:.1f}–{100 * high:.1f} %"
    return f"Accuracy {100 * right / n:.1f} % ({interval}), {n:,} galaxies"


def plot_recall(run: Run, *, size: Size = "page", ax: Axes | None = None) -> Figure:
    """Show the recall of each class with its 95 % interval; Galaxy10's next to the published one.

    The interval is Wilson's (1927, JASA 22, 209), which behaves for few galaxies and near 0 and 1.

    Parameters
    ----------
    run : Run
        Evaluated.
    size, ax
        As in :func:`plot_confusion_matrix`.

    Returns
    -------
    matplotlib.figure.Figure
        At the right the recall in percent, and the number of test galaxies of the class.

    Examples
    --------
    >>> import galclass
    >>> run = galclass.load_run("runs/mine")
    >>> galclass.plot_recall(run).savefig("recall.png")
    """
    classes = run.metrics["classes"]
    mean, rows = 100 * run.metrics["balanced_accuracy"], np.arange(len(classes))
    # An absent class has neither.
    recall = 100 * np.array([row["recall"] for row in classes], float)
    ends = 100 * np.array([row["recall_interval"] or (np.nan, np.nan) for row in classes])
    with canvas(size, 0.3, 1.8 * max(len(rows), 4), origin=run.origin, on=ax) as fig:
        ax = ax or fig.subplots()
        bars = np.abs(ends.T - recall)
        name = f"this run, 95 % intervals; mean {mean:.1f} %"
        ax.errorbar(recall, rows, xerr=bars, fmt="o", color=BLUE, elinewidth=2, label=name)
        if run.origin.has_galaxy10_classes:
            published = 100 * np.array(PUBLISHED_RECALL)
            name = f"published, on Galaxy10; mean {published.mean():.1f} %"
            ax.plot(published, rows, "D", color=ORANGE, mfc="white", zorder=3, label=name)
        for c, row in enumerate(classes):
            text = f"{recall[c]:.0f} % of {row['support']:,}" if row["support"] else "none"
            ax.text(104, c, text, va="center", size=SMALL)
        names = [class_label(c, run.class_names) for c in rows]
        ax.set_yticks(rows, names, parse_math=False)
        ax.invert_yaxis()
        ax.grid(axis="x")
        ax.set(xlim=(-2, 102), xlabel="recall (%)")
        ax.legend(loc="lower right", bbox_to_anchor=(1, 1), reverse=True)
    return fig


def plot_reliability(run: Run, *, size: Size = "page", fig: Figure | None = None) -> Figure:
    """Show accuracy against confidence on the test set, and how many galaxies have which.

    Parameters
    ----------
    run : Run
        Evaluated.
    size : {"page", "column"}
        For a page (8 inches wide) or a column of a paper (3.5 inches).
    fig : matplotlib.figure.Figure, optional
        Plotted into. Default: a new one.

    Returns
    -------
    matplotlib.figure.Figure
        Accuracy before and after the temperature, in bins of at least ten galaxies, with the
        expected calibration errors; the numbers of galaxies are those after it.

    Examples
    --------
    >>> import galclass
    >>> run = galclass.load_run("runs/mine")
    >>> galclass.plot_reliability(run).savefig("reliability.png")
    """
    labels, raw = run.predictions["labels"], run.predictions["probabilities"]
    temperature = run.calibration.temperature
    tempered = Calibration(temperature).apply(raw)
    before = ("as predicted", raw, ORANGE, "D--")
    after = (f"temperature {temperature:.2f}", tempered, BLUE, "o-")
    with canvas(size, 0.46, 7, origin=run.origin, on=fig) as figure:
        curves, counts = figure.subplots(1, 2)
        curves.plot([0, 100], [0, 100], color=GREY, lw=1, ls=":")
        for name, probabilities, colour, marker in (before, after):
            curve = reliability(labels, probabilities)
            shown = curve["galaxies"] >= FEW  # A bin of a few galaxies shows nothing.
            error = 100 * compute_calibration(labels, probabilities)["calibration_error"]
            name += f":\ncalibration error {error:.1f} %"
            points = [100 * curve[key][shown] for key in ("confidence", "accuracy")]
            curves.plot(*points, marker, color=colour, mfc="white", label=name)
        curves.grid()
        curves.set(xlim=(0, 101), ylim=(0, 101), aspect="equal", ylabel="accuracy (%)")
        confidence, right = 100 * tempered.max(axis=1), raw.argmax(axis=1) == labels
        parts, bins = [confidence[right], confidence[~right]], np.linspace(0, 100, 16)
        names = ("correctly\nclassified", "misclassified")
        counts.hist(parts, bins, stacked=True, color=(BLUE, ORANGE), label=names)
        for patch in counts.containers[1]:
            patch.set(hatch="////", edgecolor="white", linewidth=0)
        counts.set(xlim=(0, 101), ylabel="test galaxies", box_aspect=1)
        for ax in (curves, counts):
            ax.set_xlabel("confidence (%)")
        figure.legend(loc="outside upper left", ncols=2)
    return figure


def plot_purity(run: Run, *, size: Size = "page", fig: Figure | None = None) -> Figure:
    """Show purity and completeness of each class's sample against the probability to cut at.

    Parameters
    ----------
    run : Run
        Evaluated.
    size, fig
        As in :func:`plot_reliability`.

    Returns
    -------
    matplotlib.figure.Figure
        A panel a class: of its test galaxies that are predicted to be of it with this probability
        or more; see :meth:`galclass.run.Run.thresholds`.

    Examples
    --------
    >>> import galclass
    >>> run = galclass.load_run("runs/mine")
    >>> galclass.plot_purity(run).savefig("purity.png")
    """
    labels, names = run.predictions["labels"], run.class_names
    probabilities = run.calibration.apply(run.predictions["probabilities"])
    columns = min(5 if size == "page" else 2, len(names))
    rows = -(-len(names) // columns)
    with canvas(
        size, 0.8 * rows / max(columns, 3), 3 * rows + 5, origin=run.origin, on=fig
    ) as figure:
        axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        for c, ax in enumerate(axes.flat):
            if c >= len(names):
                ax.set_axis_off()
                continue
            curve = sample_curve(labels, probabilities, c)
            shown = curve["galaxies"] >= FEW
            for key, colour, dashes in (("purity", BLUE, "-"), ("completeness", ORANGE, "--")):
                values = [100 * curve[name][shown] for name in ("threshold", key)]
                ax.plot(*values, dashes, color=colour, label=key)
            if not shown.any():
                ax.text(50, 50, f"fewer than {FEW}", ha="center", color=GREY, size=SMALL)
            ax.set_title(class_label(c, names), size=SMALL, loc="left", parse_math=False)
            ax.set(xlim=(0, 101), ylim=(0, 103))
            ax.grid()
        figure.legend(*axes.flat[0].get_legend_handles_labels(), loc="outside upper left", ncols=2)
        figure.supylabel("share (%)", size="medium")
        for ax in axes[-1]:
            ax.set_xlabel("threshold (%)")
    return figure


def plot_mistakes(run: Run, *, size: Size = "page", fig: Figure | None = None) -> Figure:
    """Show the galaxies of the test set that are misclassified with the most confidence.

    Parameters
    ----------
    run : Run
        Evaluated.
    size, fig
        As in :func:`plot_reliability`.

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> import galclass
    >>> run = galclass.load_run("runs/mine")
    >>> galclass.plot_mistakes(run).savefig("mistakes.png")
    """
    return _plot_wrong(run.mistakes, run.class_names, run.origin, size, fig)


def plot_doubtful_labels(
    table: "Table", images: Images, origin: Origin | None = None, *, size: Size = "page"
) -> Figure:
    """Show the ten galaxies whose labels a study by folds finds least likely.

    Parameters
    ----------
    table : astropy.table.Table
        As :func:`galclass.studies.doubtful_labels` gives it.
    images : ndarray of uint8, shape (N, s, s, 3)
        The study's.
    origin : Origin, optional
        Written into the figure.
    size : {"page", "column"}
        For a page (8 inches wide) or a column of a paper (3.5 inches).

    Returns
    -------
    matplotlib.figure.Figure
        The probability is that of the label.
    """
    first = table[:10]
    wrong = {"images": check_images(images)[first["index"]], "labels": first["label"]}
    wrong |= {"predicted": first["predicted"], "probabilities": first["probability"]}
    names = origin.class_names if isinstance(origin, Origin) else CLASS_NAMES
    return _plot_wrong(wrong, names, origin, size, None, of_label=True)


def _plot_wrong(
    wrong: dict[str, NDArray[Any]],
    names: Sequence[str],
    origin: Origin | None,
    size: Size,
    fig: Figure | None,
    of_label: bool = False,
) -> Figure:
    columns, titles = ("predicted", "probabilities", "labels"), []
    for c, share, true in zip(*(wrong[name] for name in columns), strict=True):
        predicted, labelled = class_label(c, names), class_label(true, names)
        chance = f"({100 * share:.0f} %)"
        first, second = ("", f" {chance}") if of_label else (f"\n{chance}", "")
        parts = f"predicted {predicted}{first}", f"labelled\n{labelled}{second}"
        titles.append(("\n" if of_label else ", ").join(parts))
    with gallery(list(wrong["images"]), titles, size, origin=origin, fig=fig) as axes:
        if not titles:
            axes[0].text(0, 0.5, "no test galaxy is misclassified", color=GREY)
    return axes[0].figure


def plot_attribution(
    images: Images,
    labels: Labels | None = None,
    origin: Origin | None = None,
    *,
    run: "Run | PathLike | keras.Model | None" = None,
    size: Size = "page",
    fig: Figure | None = None,
) -> Figure:
    """Show where in images the evidence for the predicted class lies (Grad-CAM).

    Parameters
    ----------
    images : ndarray of uint8, shape (N, s, s, 3)
        Up to ten are shown.
    labels : array of int, shape (N,), optional
        True classes, named in the titles.
    origin : Origin, optional
        Where the galaxies come from; written into the figure.
    run : Run, path-like or keras.Model, optional
        The network. Default: the pretrained one.
    size, fig
        As in :func:`plot_reliability`.

    Returns
    -------
    matplotlib.figure.Figure
        Each image, and below it the same in grey with the evidence over it: the more evidence, the
        brighter and the more opaque the colour
        (:func:`galclass.evaluation.attribution.evidence`).

    Examples
    --------
    >>> import galclass
    >>> galaxies = galclass.load_data("simulated", n=5)
    >>> galclass.plot_attribution(*galaxies).savefig("attribution.png")
    """
    from ..evaluation.attribution import evidence
    from ..network._tensorflow import keras
    from ..prediction.predict import predict

    images = check_images(images)
    true = labels if labels is None else check_labels(labels, len(images), classes=256)
    images = images[:10]
    network = run if isinstance(run, keras.Model) else as_run(run or load_pretrained())
    model = network.load_model() if isinstance(network, Run) else network
    predicted = np.array(predict(images, run=network)["class"])
    maps = evidence(model, images, predicted)
    titles = [f"predicted {c + 1}" for c in predicted]
    if true is not None:
        titles = [f"{title}\nlabelled {c + 1}" for title, c in zip(titles, true, strict=False)]
    with gallery(list(images), titles, size, below=1.04, origin=origin, fig=fig) as axes:
        for ax, image, share in zip(axes, images, maps, strict=False):
            under = ax.inset_axes([0, -1.04, 1, 1])
            under.set_axis_off()
            under.imshow(image.mean(axis=-1), cmap="gray", interpolation="bicubic")
            under.imshow(share, cmap="inferno", alpha=0.8 * share, interpolation="bilinear")
    return axes[0].figure


def plot_predictions(
    table: "Table", images: Sequence[ImageLike], *, crop: float | None = None
) -> Figure:
    """Show classified images, each with its three most probable classes as bars.

    Parameters
    ----------
    table : astropy.table.Table
        As :func:`galclass.predict` gives it.
    images : sequence of images
        Those that were classified, in the same order; the first 20 good ones are shown.
    crop : float, optional
        As for :func:`galclass.prepare`. Default: what the table says.

    Returns
    -------
    matplotlib.figure.Figure
        8 inches wide.

    Raises
    ------
    DataError
        No image could be read.

    Examples
    --------
    >>> import galclass
    >>> images, labels = galclass.simulate_galaxy10(4)
    >>> table = galclass.predict(images)
    >>> galclass.plot_predictions(table, images).savefig("gallery.png")
    """
    crop = table.meta.get("crop") if crop is None else crop
    rows = zip(table, iter_prepared(images, crop=crop), strict=False)
    good = ((row, image) for row, (_, image, _) in rows if image is not None)
    shown = list(itertools.islice(good, 20))
    if not shown:
        raise DataError("no image could be read, expected at least one; see the table's errors")
    class_names = table.meta.get("class_names", CLASS_NAMES)
    names = [re.split(r"[/\\]", str(row["source"]))[-1][-60:] for row, _ in shown]
    good_images = [image for _, image in shown]
    with gallery(good_images, names, "page", columns=4, below=0.4) as axes:
        for ax, (row, _) in zip(axes, shown, strict=False):
            probabilities = np.array([row[f"p{c}"] for c in range(len(class_names))])
            best = np.argsort(-probabilities)[:3]
            bars = ax.inset_axes([0, -0.4, 1, 0.37])
            bars.set_axis_off()
            bars.barh(range(len(best)), 100 * probabilities[best], color=LIGHT_BLUE)
            for b, c in enumerate(best):
                label = f"{100 * probabilities[c]:.0f} %  {printable(class_names[c])}"
                bars.text(1, b, label, va="center", size=7, in_layout=False)
            bars.set(xlim=(0, 100), ylim=(2.6, -0.6))
    return axes[0].figure


def plot_simulated_accuracy(
    run: Run, n: int = 1000, *, seed: int | None = None, size: Size = "page"
) -> Figure:
    """Show accuracy against signal-to-noise and inclination of simulated galaxies.

    Parameters
    ----------
    run : Run
    n : int, default 1000
        Galaxies to simulate and classify, with the mix of classes of ``load_data("simulated")``.
    seed : int, optional
        Of the simulation. Default: one more than that of the run's galaxies, else 1.
    size : {"page", "column"}
        For a page (8 inches wide) or a column of a paper (3.5 inches).

    Returns
    -------
    matplotlib.figure.Figure
        Points are the accuracy, in bins of equally many galaxies, with Wilson's 95 % interval; the
        right panel has the spirals alone.

    Raises
    ------
    ParameterError
        The run was trained with some of these galaxies, or has other classes.

    Examples
    --------
    >>> import galclass
    >>> from galclass.figures.results import plot_simulated_accuracy
    >>> run = galclass.load_run("runs/mine")
    >>> plot_simulated_accuracy(run, 50).savefig("simulated_accuracy.png")
    """
    from ..prediction.predict import predict

    run = as_run(run)
    if not run.origin.has_galaxy10_classes:
        raise ParameterError(f"classes {run.class_names}, expected Galaxy10's, which are simulated")
    seed = (run.origin.seed or 0) + 1 if seed is None else seed
    mix = {"class_fractions": SIMULATED_FRACTIONS, "return_parameters": True}
    images, labels, parameters = simulate_galaxy10(n, seed, **mix)
    if np.isin(hash_images(images), run.seen).any():
        raise ParameterError(f"seed={seed} gives galaxies of the run's training; give another")
    right = np.asarray(predict(images, run=run)["class"]) == labels
    origin = replace(Origin.of_arrays(images, labels), kind="simulated", seed=seed)
    spirals = parameters["kind"] == "spiral"
    panels = (
        (parameters["signal_to_noise"], right, "signal-to-noise in r", "all galaxies"),
        (parameters["inclination"][spirals], right[spirals], "inclination (degrees)", "spirals"),
    )
    with canvas(size, 0.3, 4, origin=origin) as figure:
        axes = figure.subplots(1, 2, sharey=True)
        for ax, (values, good, name, which) in zip(axes, panels, strict=True):
            for part in filter(len, np.array_split(np.argsort(values, kind="stable"), 5)):
                x, y = np.median(values[part]), 100 * good[part].mean()
                interval = 100 * np.array(share_interval(int(good[part].sum()), len(part)))
                bars = np.abs([values[part[[0, -1]]] - x, interval - y])[..., None]
                ax.errorbar(x, y, xerr=bars[0], yerr=bars[1], fmt="o", color=BLUE, mfc="white")
            ax.grid(axis="y")
            ax.set(xlabel=name, title=f"{which}: {len(good):,}", ylim=(-2, 103))
        axes[0].set(xscale="log", ylabel="accuracy (%)")
        axes[0].xaxis.set_major_formatter(ScalarFormatter())
        axes[0].xaxis.set_minor_formatter(NullFormatter())
    return figure


def save_figures(
    run: Run | PathLike,
    out: PathLike | None = None,
    *,
    examples: Dataset | None = None,
    beside: Run | PathLike | None = None,
    size: Size = "page",
) -> list[Path]:
    """Plot every figure of a run and write each as PNG and as vector graphics.

    The same run gives the same bytes with the same matplotlib.

    Parameters
    ----------
    run : Run or path-like
        Evaluated.
    out : path-like, optional
        Folder for the files; made if need be, files of the same names are replaced. Default:
        ``figures`` in the run.
    examples : Dataset, optional
        Galaxies for the examples figure. Default: those kept in the run, and its mistakes in a
        figure of their own.
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
    ParameterError
        Another size, or the runs have different galaxies.

    Examples
    --------
    >>> import galclass
    >>> paths = galclass.save_figures("runs/mine", "figures")
    >>> [path.name for path in paths][:3]
    ['examples.png', 'class_counts.png', 'history.png']
    """
    run = as_run(run)
    out = run.path / "figures" if out is None else Path(out)
    kept = examples or Dataset(run.examples["images"], run.examples["labels"], run.origin)
    labels = np.repeat(np.arange(len(run.class_names)), run.manifest["class_counts"])
    figures = {
        "examples": plot_examples(*kept, size=size),
        "class_counts": plot_class_counts(labels, run.origin, size=size),
    }
    plots = (plot_history, plot_confusion_matrix, plot_recall, plot_reliability, plot_purity)
    for plot in plots:
        figures[plot.__name__.removeprefix("plot_")] = plot(run, size=size)
    if beside is not None:
        figures["comparison"] = plot_history([as_run(beside), run], size=size)
    if examples is None:  # Images of a run's galaxies stay out where others take their place.
        figures["mistakes"] = plot_mistakes(run, size=size)
    for name, fig in figures.items():
        for suffix in ("png", "svg" if size == "page" else "pdf"):
            save_figure(fig, out / f"{name}.{suffix}")
    if out == run.path / "figures":
        write_results(run, run.metrics)  # Its model card shows the figures that exist.
    return [out / f"{name}.png" for name in figures]
