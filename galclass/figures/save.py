"""Save the figures of a run."""

from pathlib import Path

from matplotlib.figure import Figure

from ..data.dataset import Dataset
from ..evaluation.card import model_card
from ..files import PathLike
from ..run import Run, as_run
from .class_counts import plot_class_counts
from .confusion_matrix import plot_confusion_matrix
from .examples import plot_examples
from .history import plot_history
from .mistakes import plot_mistakes
from .purity import plot_purity
from .recall import plot_recall
from .reliability import plot_reliability
from .style import current_layout, save_figure

# Functions that take a run; a file has the name of its function, without ``plot_``.
FIGURES = (
    plot_class_counts,
    plot_history,
    plot_confusion_matrix,
    plot_recall,
    plot_reliability,
    plot_purity,
)


def save_figures(
    run: Run | PathLike,
    out: PathLike | None = None,
    *,
    examples: Dataset | None = None,
    beside: Run | PathLike | None = None,
) -> list[Path]:
    """Plot all figures of a run and write each as PNG and as vector graphics.

    The same run gives the same bytes with the same version of matplotlib. Vector graphics are SVG
    for a page, and PDF within ``galclass.style("column")``.

    Parameters
    ----------
    run : Run or path-like
        An evaluated run.
    out : path-like, optional
        Folder for the files; it is created if it does not exist, and files with the same names are
        replaced. Default: ``figures`` in the run, whose model card then shows the figures.
    examples : Dataset, optional
        Galaxies for the figure of examples. Default: the images in the run. Mistakes are plotted
        only by default. Without images in the run, as in the pretrained runs, neither examples nor
        mistakes are plotted by default.
    beside : Run or path-like, optional
        A run on the same galaxies to compare the history with.

    Returns
    -------
    list of pathlib.Path
        The PNG files.

    Raises
    ------
    RunError
        The run is not evaluated, one of its files cannot be read, or the figures belong into a
        pretrained run, which is not changed.
    ParameterError
        The two runs have different galaxies.

    Examples
    --------
    >>> import galclass
    >>> paths = galclass.save_figures("runs/mine", "figures")
    >>> [path.name for path in paths][:3]
    ['examples.png', 'class_counts.png', 'history.png']
    """
    run = as_run(run)
    own_folder = run.path / "figures"
    folder = own_folder
    if out is not None:
        folder = Path(out).expanduser()
    is_own = folder.resolve() == own_folder.resolve()
    if is_own:
        run.check_writable()
    paths = []
    for name, fig in _plot_figures(run, examples, beside).items():
        for suffix in current_layout().suffixes:
            save_figure(fig, folder / f"{name}{suffix}")
        paths.append(folder / f"{name}.png")
    if is_own:
        run.write_card(model_card(run))
    return paths


def _plot_figures(
    run: Run, examples: Dataset | None, beside: Run | PathLike | None
) -> dict[str, Figure]:
    """Return the figures by the names of their files."""
    figures = {}
    shows_own_images = examples is None and (run.path / "examples.npz").exists()
    if shows_own_images:
        examples = Dataset(run.examples["images"], run.examples["labels"], run.origin)
    if examples is not None:
        figures["examples"] = plot_examples(*examples)
    for plot in FIGURES:
        figures[plot.__name__.removeprefix("plot_")] = plot(run)
    if beside is not None:
        figures["comparison"] = plot_history([as_run(beside), run])
    if shows_own_images:
        figures["mistakes"] = plot_mistakes(run)
    return figures
