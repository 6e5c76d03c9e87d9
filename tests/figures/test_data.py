import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from galclass import plot_class_counts, plot_confusion_matrix, plot_examples
from galclass.data.dataset import Origin
from galclass.errors import DataError, ParameterError
from galclass.figures.style import gallery, save_figure


def test_the_examples_are_ten_galaxies_numbered_from_one(galaxies):
    images, labels, origin = galaxies
    kept = labels != 5
    single = plot_examples(images[kept], labels[kept]).axes
    for c, one in enumerate(single):
        assert one.get_title(loc="left").split()[0] == str(c + 1)
        if c != 5:
            np.testing.assert_array_equal(one.images[0].get_array(), images[labels == c][0])
    assert (len(single[5].images), single[5].texts[0].get_text()) == (0, "none here")
    for fig in (
        plot_examples(*galaxies),
        plot_class_counts(labels, origin),
        plot_confusion_matrix(np.eye(10, dtype=int), origin),
    ):  # Of simulated galaxies, and says so in colour.
        assert (fig.get_supxlabel(), fig._supxlabel.get_color()) == (str(origin), "#d55e00")


def test_bars_are_the_shares_of_the_classes_in_the_axes_given_and_no_window_stays_open(tmp_path):
    before, fig = plt.get_fignums(), Figure(layout="constrained")
    ax = fig.subplots()
    assert plot_class_counts(np.array([0, 0, 0, 9]), ax=ax) is fig
    assert [bar.get_width() for bar in ax.patches] == [75, *[0] * 8, 25]
    assert [text.get_text() for text in ax.texts] == ["3", *["0"] * 8, "1"]
    plot_class_counts(np.arange(10))
    assert plt.get_fignums() == before
    for name in ("counts.jpg", "counts"):
        with pytest.raises(ParameterError, match=r"\.svg"):
            save_figure(fig, tmp_path / name)
    assert not list(tmp_path.iterdir())
    save_figure(fig, tmp_path / "counts.png")
    assert (tmp_path / "counts.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("text", "shown"), [("$^$.png", "$^$.png"), ("a\udc80.png", "a?.png"), ("a\tb", "a?b")]
)
def test_names_of_files_are_shown_as_they_are(tmp_path, text, shown):
    origin = Origin("file", text, "0" * 64, 3)
    with gallery([np.zeros((69, 69, 3), np.uint8)], [text], "page", origin=origin) as axes:
        fig = axes[0].figure
    save_figure(fig, tmp_path / "names.svg")
    assert axes[0].get_title(loc="left") == shown
    assert shown in fig.get_supxlabel()


def test_what_is_no_data_is_refused(galaxies):
    images, labels, _ = galaxies
    for error, words, plot, *arguments in (
        (DataError, "0-9", plot_class_counts, np.arange(12)),
        (DataError, "labels", plot_examples, images, labels[1:]),
        (ParameterError, "Origin", plot_class_counts, np.arange(10), {"kind": "simulated"}),
        (ParameterError, "poster", lambda x: plot_class_counts(x, size="poster"), np.arange(10)),
    ):
        with pytest.raises(error, match=words):
            plot(*arguments)
