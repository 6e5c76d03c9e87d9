"""The figures of galaxies: examples and class counts."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from galclass import plot_class_counts, plot_examples
from galclass.data.dataset import Origin
from galclass.data.galaxy10 import DECALS_NAMES
from galclass.errors import DataError, ParameterError
from galclass.figures.style import ORANGE


def test_examples_are_the_first_galaxy_of_each_class(galaxies):
    images, labels, origin = galaxies
    kept = labels != 5
    axes = plot_examples(images[kept], labels[kept], origin).axes
    assert [ax.get_title(loc="left").split()[0] for ax in axes] == [str(c + 1) for c in range(10)]
    empty = axes.pop(5)
    assert not empty.images
    assert empty.texts[0].get_text() == "none here"
    for c, ax in zip((0, 1, 2, 3, 4, 6, 7, 8, 9), axes, strict=True):
        np.testing.assert_array_equal(ax.images[0].get_array(), images[labels == c][0])


def test_bars_are_the_percentages_of_the_classes(measured):
    fig = Figure(layout="constrained")
    ax = fig.subplots()
    assert plot_class_counts(np.array([0, 0, 0, 3]), ax=ax) is fig
    assert [bar.get_width() for bar in ax.patches] == [75, 0, 0, 25]
    assert [text.get_text() for text in ax.texts] == ["3", "0", "0", "1"]
    (ax,) = plot_class_counts(measured).axes
    assert [text.get_text() for text in ax.texts] == ["10"] * 10


def test_figures_of_simulated_galaxies_say_so_in_colour(galaxies):
    _, labels, origin = galaxies
    for fig in (plot_examples(*galaxies), plot_class_counts(labels, origin)):
        assert fig.get_supxlabel() == str(origin)
        assert fig._supxlabel.get_color() == ORANGE


def test_class_names_and_public_counts_come_from_the_origin_alone(galaxies):
    images, labels, origin = galaxies
    decals = Origin.of_arrays(images, labels, DECALS_NAMES)
    for given, title, bars in ((origin, "1 Disk", 2), (decals, "1 Disturbed", 1), (None, "0", 1)):
        assert plot_examples(images, labels, given).axes[0].get_title(loc="left").startswith(title)
        (ax,) = plot_class_counts(labels, given).axes
        assert len(ax.get_legend().get_texts()) == bars
    with pytest.raises(ParameterError, match="origin="):
        plot_class_counts(labels, {"kind": "simulated"})
    with pytest.raises(DataError, match="0-9"):
        plot_class_counts(np.arange(12), origin)
