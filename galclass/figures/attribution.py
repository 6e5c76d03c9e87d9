"""Plot where in images the evidence for the predicted class lies."""

from matplotlib.figure import Figure

from ..data.arrays import Images, Labels, check_images, check_labels
from ..data.dataset import Origin
from ..evaluation.attribution import evidence
from ..labels import class_number
from ..prediction.network import AnyNetwork, is_model, load_network
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
        The origin of the galaxies; it is written below the figure, and names the classes of a
        Keras network.
    run : Run, path-like or keras.Model, optional
        The network. Default: the pretrained network.
    fig : matplotlib.figure.Figure, optional
        Where to plot. Default: a new figure.

    Returns
    -------
    matplotlib.figure.Figure
        Each image, and below it the same image in grey under a map of the evidence. More evidence
        has a brighter and more opaque colour; see
        :func:`galclass.evaluation.attribution.evidence`.

    Raises
    ------
    DataError
        Images or labels have the wrong shape or dtype, or the network has other classes.
    ParameterError
        The network is not a keras.Sequential with convolutions and a dense output layer, or
        `origin` is not an Origin.
    RunError
        The run cannot be read.

    Examples
    --------
    >>> import galclass
    >>> galaxies = galclass.load_data("simulated", n=5)
    >>> galclass.plot_attribution(*galaxies).savefig("attribution.png")
    """
    from ..network.probabilities import predict_proba

    images = check_images(images)
    class_names = None
    if is_model(run) and isinstance(origin, Origin):
        class_names = origin.class_names
    network = load_network(run, class_names=class_names, precision="float32")
    names = network.record["class_names"]
    if labels is not None:
        labels = check_labels(labels, len(images), classes=len(names))[:MOST_IMAGES]
    images = images[:MOST_IMAGES]
    probabilities = predict_proba(network.model, images, symmetric=network.record["symmetric"])
    predicted = network.calibration.apply(probabilities).argmax(axis=1)
    titles = [f"predicted {class_number(c, names)}" for c in predicted]
    if labels is not None:
        for i, c in enumerate(labels):
            titles[i] += f"\nlabelled {class_number(c, names)}"
    maps = evidence(network.model, images, predicted)
    with house_style():
        fig, axes = plot_images(images, titles, below=1 + GAP, on=fig)
        for ax, image, image_map in zip(axes, images, maps, strict=False):
            below = ax.inset_axes([0, -1 - GAP, 1, 1])
            below.set_axis_off()
            below.imshow(image.mean(axis=-1), cmap="gray", interpolation="bicubic")
            opacity = 0.8 * image_map
            below.imshow(image_map, cmap="inferno", alpha=opacity, interpolation="bilinear")
        add_origin(fig, origin)
    return fig
