import os
import re
import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from galclass import build_cnn, plot_attribution, plot_mistakes, save_figures
from galclass.data.dataset import write_data
from galclass.figures import results
from galclass.figures.style import SIZES, canvas
from galclass.run import Run

NAMES = (
    *("examples", "class_counts", "history", "confusion_matrix", "recall"),
    *("reliability", "comparison", "mistakes", "attribution"),
)


@pytest.fixture(scope="module")
def plotted(measured, galaxies):
    """All figures in both sizes, with the longest names."""
    found = {}
    worst, n = Run(measured.path), np.full(10, 4)
    wrong = {"images": galaxies.images[:10], "labels": n, "predicted": n + 1}
    worst.__dict__["mistakes"] = wrong | {"probabilities": n / 4}
    model = build_cnn(filters=((8,), (8,)))
    data = galaxies.images[:10], galaxies.labels[:10], galaxies.origin
    for size in SIZES:
        with pytest.MonkeyPatch.context() as patch:

            def keep(fig, path, size=size):
                found[size, path.stem] = fig

            patch.setattr(results, "save_figure", keep)
            save_figures(measured, "nowhere", beside=measured, examples=galaxies, size=size)
        found[size, "mistakes"] = plot_mistakes(worst, size=size)
        found[size, "attribution"] = plot_attribution(*data, run=model, size=size)
    return found


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", SIZES)
def test_a_figure_has_its_width_letters_to_read_and_nothing_cut_off(plotted, size, name):
    fig = plotted[size, name]
    width, height = fig.get_size_inches()
    assert width == {"page": 8, "column": 3.5}[size]
    shown = [text for text in fig.findobj(mpl.text.Text) if text.get_text().strip()]
    assert min(text.get_fontsize() for text in shown) >= 7
    with canvas(size, 1, on=fig):
        FigureCanvasAgg(fig).draw()
        box = fig.get_tightbbox()
    assert min(box.x0, box.y0, width - box.x1, height - box.y1) >= -0.02


@pytest.mark.slow
def test_figures_of_a_run_are_the_same_bytes_in_another_process(measured, galaxies, tmp_path):
    write_data(tmp_path / "galaxies.h5", galaxies)
    program = f"""
import matplotlib
matplotlib.rcParams.update({{"font.size": 20, "lines.linewidth": 5, "axes.facecolor": "red"}})
from galclass import load_data, load_run, save_figures
from galclass.data.dataset import Origin
data, run = load_data({str(tmp_path / "galaxies.h5")!r}), load_run({str(measured.path)!r})
data = data._replace(origin={galaxies.origin!r})
for size in ("page", "column"):
    save_figures(run, {str(tmp_path)!r} + "/" + size, examples=data, beside=run, size=size)
"""
    environment = {**os.environ, "PYTHONHASHSEED": "7", "SOURCE_DATE_EPOCH": "1", "LC_ALL": "C"}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment)
    for size, vector in (("page", ".svg"), ("column", ".pdf")):
        here = tmp_path / "here" / size
        save_figures(measured, here, beside=measured, examples=galaxies, size=size)
        first = sorted(here.iterdir())
        assert {path.suffix for path in first} == {".png", vector}
        assert len(first) == 2 * 8
        for path in first:
            assert path.read_bytes() == (tmp_path / size / path.name).read_bytes(), path


def test_the_figures_of_a_run_go_into_its_folder_and_its_model_card_shows_them(copied, monkeypatch):
    (copied.path / "figures").mkdir()
    monkeypatch.setattr(results, "save_figure", lambda _, path: path.touch())
    paths = save_figures(copied.path)
    assert {path.parent for path in paths} == {copied.path / "figures"}
    assert {path.suffix for path in paths} == {".png"}
    assert paths[-1].name == "mistakes.png"
    card = (copied.path / "README.md").read_text(encoding="utf-8")
    assert {path.name for path in paths} == set(re.findall(r"\(figures/(\w+\.png)\)", card))
