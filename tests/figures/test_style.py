import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot as plt

from galclass import plot_class_counts, style
from galclass.data.dataset import Origin
from galclass.errors import ParameterError
from galclass.figures.style import add_origin, house_style, plot_images, save_figure

LABELS = np.array([0, 0, 1])


def test_size_holds_within_its_block_and_matplotlib_stays_as_it_was():
    before = dict(mpl.rcParams), plt.get_fignums()
    with style("column"):
        with pytest.raises(ParameterError, match="poster"), style("poster"):
            pass
        column = plot_class_counts(LABELS)
    assert column.get_figwidth() == 3.5
    assert plot_class_counts(LABELS).get_figwidth() == 8
    assert (dict(mpl.rcParams), plt.get_fignums()) == before


def test_figures_with_another_suffix_are_not_written(tmp_path):
    fig = plot_class_counts(LABELS)
    for name in ("counts.jpg", "counts"):
        with pytest.raises(ParameterError, match=r"\.svg"):
            save_figure(fig, tmp_path / name)
    assert not list(tmp_path.iterdir())
    save_figure(fig, tmp_path / "counts.png")
    assert (tmp_path / "counts.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("text", "expected"), [("$^$.png", "$^$.png"), ("a\udc80.png", "a?.png"), ("a\tb", "a?b")]
)
def test_file_names_are_plotted_as_they_are(tmp_path, text, expected):
    names = {"kind": "file", "title": text, "name": text, "class_names": ("a", "b")}
    with house_style():
        fig, axes = plot_images([np.zeros((69, 69, 3), np.uint8)], [text])
        add_origin(fig, Origin(**names, sha256="0" * 64, galaxies=3))
    save_figure(fig, tmp_path / "names.svg")
    assert axes[0].get_title(loc="left") == expected
    assert fig.get_supxlabel() == f"{expected}: 3"
