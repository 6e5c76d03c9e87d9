import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from galclass.data.dataset import Origin
from galclass.errors import ParameterError
from galclass.figures.data import plot_class_counts
from galclass.figures.style import gallery, save_figure


def test_an_unknown_size_and_what_is_no_origin_are_refused():
    with pytest.raises(
        ParameterError, match=r"size 'poster', expected one of \['column', 'page'\]"
    ):
        plot_class_counts(np.arange(10), size="poster")
    with pytest.raises(ParameterError, match="origin is a dict, expected an Origin"):
        plot_class_counts(np.arange(10), {"kind": "simulated"})


def test_figures_that_no_window_can_show_are_not_kept_open():
    before = plt.get_fignums()
    plot_class_counts(np.arange(10))
    assert plt.get_fignums() == before


def test_a_figure_is_plotted_into_the_axes_that_are_given(tmp_path):
    fig = Figure(layout="constrained")
    ax = fig.subplots()
    assert plot_class_counts(np.arange(10), ax=ax) is fig
    assert ax.patches
    save_figure(fig, tmp_path / "counts.png")
    assert (tmp_path / "counts.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize("name", ["counts.jpg", "counts"])
def test_another_format_is_refused_and_nothing_written(tmp_path, name):
    with pytest.raises(ParameterError, match=r"expected a name in .png, .svg, .pdf"):
        save_figure(Figure(), tmp_path / name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "shown"), [("$^$.png", "$^$.png"), ("a\udc80.png", "a?.png"), ("a\tb", "a?b")]
)
def test_names_of_files_are_shown_as_they_are(tmp_path, text, shown):
    origin = Origin("file", text, "0" * 64, 3)
    with gallery([np.zeros((69, 69, 3), np.uint8)], [text], "page", origin=origin) as axes:
        fig = axes[0].figure
    save_figure(fig, tmp_path / "names.svg")
    assert axes[0].get_title(loc="left") == shown
    assert fig.get_supxlabel() == f"Galaxies of {shown}: 3"
