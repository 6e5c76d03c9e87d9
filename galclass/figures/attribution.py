"""Plot where in images the evidence for the predicted class lies."""

import numpy as np
from matplotlib.figure import Figure

from ..data.arrays import Images, Labels, check_images, check_labels
from ..data.dataset import Origin
from ..evaluation.attribution import evidence
from ..labels import class_number
from ..prediction.network import AnyNetwork, is_model
from ..prediction.predict import predict
from ..run import as_run, load_pretrained
from .style import add_origin, house_style, plot_images

MOST_IMAGES = 10
GAP = 0.04  # between an image and the one below it, as a fraction of its height


def plot_attribution(
    images: Images,
    labels: Labels | None = None,
    origin: Origin | None = None,
    *,
    run: AnyNetwork = None,
    fig: Figure | None = None,
) -> Figure:
    """Plot where in images the evidence for the predicted class lies (Grad-CAM).

    Parameters
    ----------
    images : ndarray of uint8, shape (N, s, s, 3)
        The first ten are plotted.
    labels : array of int, shape (N,), optional
        True classes, written into the titles.
    origin : Origin, optional
        Where the galaxies came from; written below the figure. It also gives a Keras network the
        names of its classes.
    run : Run, path-like or keras.Model, optional
        The network. Default: the pretrained network.
    fig : matplotlib.figure.Figure, optional
        Where to plot. Default: a new figure.

    Returns
    -------
    matplotlib.figure.Figure
        Each image, and below it the same image in grey under a map of the evidence: the more
        evidence, the brighter and the more opaque the colour; see
        :func:`galclass.evaluation.attribution.evidence`.

    Raises
    ------
    DataError
        Images or labels are in another form, or the network does not have these classes.
    ParameterError
        The network is not a sequence of layers as :func:`galclass.build_cnn` makes it.
    RunError
        The run cannot be read.

    Examples
    --------
    >>> import galclass
    >>> galaxies = galclass.load_data("simulated", n=5)
    >>> galclass.plot_attribution(*galaxies).savefig("attribution.png")
    """
    images = check_images(images)
    if labels is not None:
        labels = check_labels(labels, len(images))[:MOST_IMAGES]
    images = images[:MOST_IMAGES]
    if run is None:
        run = load_pretrained()
    if is_model(run):
        model = run
        class_names = None
        if origin is not None:
            class_names = origin.class_names
        table = predict(images, run=run, class_names=class_names)
    else:
        model = as_run(run).load_model()
        table = predict(images, run=run)
    names = table.meta["class_names"]
    titles = [f"predicted {class_number(c, names)}" for c in table["class"]]
    if labels is not None:
        labels = check_labels(labels, classes=len(names))
        for i, c in enumerate(labels):
            titles[i] += f"\nlabelled {class_number(c, names)}"
    maps = evidence(model, images, np.asarray(table["class"]))
    with house_style():
        fig, axes = plot_images(images, titles, below=1 + GAP, on=fig)
        for ax, image, opacity in zip(axes, images, maps, strict=False):
            below = ax.inset_axes([0, -1 - GAP, 1, 1])
            below.set_axis_off()
            below.imshow(image.mean(axis=-1), cmap="gray", interpolation="bicubic")
            below.imshow(opacity, cmap="inferno", alpha=0.8 * opacity, interpolation="bilinear")
        add_origin(fig, origin)
    return fig
