"""All figures of a run, as files."""

from pathlib import Path

import numpy as np

from ..data.dataset import Dataset
from ..data.galaxy10 import CLASS_NAMES
from ..evaluation.evaluate import write_results
from ..files import PathLike
from ..run import Run, as_run
from .data import plot_class_counts, plot_examples
from .results import plot_confusion_matrix, plot_mistakes, plot_recall, plot_reliability
from .style import Size, save_figure
from .training import plot_history


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
    labels = np.repeat(np.arange(len(CLASS_NAMES)), run.manifest["class_counts"])
    figures = {
        "examples": plot_examples(*kept, size=size),
        "class_counts": plot_class_counts(labels, run.origin, size=size),
    }
    for plot in (plot_history, plot_confusion_matrix, plot_recall, plot_reliability):
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
