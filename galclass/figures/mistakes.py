"""Plot the test galaxies that are misclassified with the highest probability."""

from matplotlib.figure import Figure

from ..labels import class_label
from ..run import Run
from .style import GREY, add_origin, house_style, plot_images


def plot_mistakes(run: Run, *, fig: Figure | None = None) -> Figure:
    """Plot the test galaxies that are misclassified with the highest probability.

    Parameters
    ----------
    run : Run
        An evaluated run.
    fig : matplotlib.figure.Figure, optional
        Where to plot. Default: a new figure.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    RunError
        The run is not evaluated, or does not hold images, like the pretrained runs.

    Examples
    --------
    >>> import galclass
    >>> run = galclass.load_run("runs/mine")
    >>> galclass.plot_mistakes(run).savefig("mistakes.png")
    """
    mistakes = run.mistakes
    origin = run.origin
    titles = []
    for i, probability in enumerate(mistakes["probabilities"]):
        predicted = class_label(mistakes["predicted"][i], origin.class_names)
        labelled = class_label(mistakes["labels"][i], origin.class_names)
        titles.append(f"predicted {predicted}\n({100 * probability:.0f} %), labelled\n{labelled}")
    with house_style():
        fig, axes = plot_images(mistakes["images"], titles, on=fig)
        if not titles:
            axes[0].text(0, 0.5, "no test galaxy is misclassified", color=GREY)
        add_origin(fig, origin)
    return fig
