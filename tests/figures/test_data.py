import numpy as np
import pytest

from galclass import plot_class_counts, plot_confusion_matrix, plot_examples
from galclass.errors import DataError, ParameterError


def test_the_examples_are_ten_galaxies_numbered_from_one(galaxies):
    fig = plot_examples(*galaxies)
    for c, ax in enumerate(fig.axes):
        assert ax.get_title(loc="left").split()[0] == str(c + 1)
        first = galaxies.images[galaxies.labels == c][0]
        np.testing.assert_array_equal(ax.images[0].get_array(), first)


def test_a_row_of_each_class_holds_its_first_galaxies(galaxies):
    images, labels, origin = galaxies
    (ax,) = plot_examples(images, labels, origin, per_class=3).axes
    mosaic = ax.images[0].get_array()
    for c, label in enumerate(ax.get_yticklabels()):
        assert label.get_text().split()[0] == str(c + 1)
        for k in range(3):
            shown = mosaic[73 * c : 73 * c + 69, 73 * k : 73 * k + 69]
            np.testing.assert_array_equal(shown, images[labels == c][k])


def test_a_class_without_galaxies_is_left_blank(galaxies):
    images, labels, _ = galaxies
    kept = labels != 5
    ax = plot_examples(images[kept], labels[kept]).axes[5]
    assert not ax.images
    assert ax.texts[0].get_text() == "none here"


@pytest.mark.parametrize("plot", [plot_examples, plot_class_counts, plot_confusion_matrix])
def test_a_figure_of_simulated_galaxies_says_so_in_colour(galaxies, plot):
    images, labels, origin = galaxies
    data = {plot_examples: (images, labels), plot_class_counts: (labels,)}
    fig = plot(*data.get(plot, (np.eye(10, dtype=int),)), origin)
    assert fig.get_supxlabel() == str(origin)
    assert fig._supxlabel.get_color() == "#d55e00"


def test_bars_are_the_shares_of_the_classes():
    (ax,) = plot_class_counts(np.array([0, 0, 0, 9])).axes
    assert [bar.get_width() for bar in ax.patches] == [75, *[0] * 8, 25]
    assert [text.get_text() for text in ax.texts] == ["3", *["0"] * 8, "1"]


def test_labels_that_are_none_are_refused(galaxies):
    with pytest.raises(DataError, match="expected 0-9"):
        plot_class_counts(np.arange(12))
    with pytest.raises(DataError, match="labels"):
        plot_examples(galaxies.images, galaxies.labels[1:])
    with pytest.raises(ParameterError, match="per_class=0"):
        plot_examples(*galaxies, per_class=0)
