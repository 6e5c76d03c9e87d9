import os
import re
import shutil
import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from galclass import build_cnn, load_data, load_pretrained, load_run, save_figures, style
from galclass.errors import RunError
from galclass.figures.attribution import plot_attribution
from galclass.figures.mistakes import plot_mistakes
from galclass.figures.style import LAYOUTS, house_style
from galclass.load import write_data
from galclass.run import FIGURES

SAVE_FIGURE = "galclass.figures.save.save_figure"
OF_METRICS = ["class_counts", "history", "confusion_matrix", "recall", "reliability", "purity"]
NAMES = ["examples", *OF_METRICS, "comparison"]


@pytest.fixture(scope="module")
def figures(measured, galaxies, tmp_path_factory):
    """The figures of a run in both sizes, with the longest titles."""
    folder = tmp_path_factory.mktemp("figures") / "run"
    run = load_run(shutil.copytree(measured.path, folder))
    mistakes = {"labels": np.full(10, 4), "predicted": np.full(10, 5), "probabilities": np.ones(10)}
    run.write_arrays("mistakes", images=galaxies.images[:10], **mistakes)
    model = build_cnn(filters=((8,), (8,)))
    plotted = {}

    def keep(fig, path):
        plotted[size, path.stem] = fig

    for size in LAYOUTS:
        with style(size), pytest.MonkeyPatch.context() as patch:
            patch.setattr(SAVE_FIGURE, keep)
            save_figures(run, "nowhere", beside=measured, examples=galaxies)
            plotted[size, "mistakes"] = plot_mistakes(run)
            plotted[size, "attribution"] = plot_attribution(*galaxies, run=model)
    return plotted


def test_names_of_all_saved_figures_are_known_to_the_deletion_of_a_run():
    assert set(FIGURES) == {*NAMES, "mistakes"}


@pytest.mark.parametrize("name", [*NAMES, "mistakes", "attribution"])
@pytest.mark.parametrize("size", LAYOUTS)
def test_figures_have_their_width_readable_text_and_nothing_cut_off(figures, size, name):
    fig = figures[size, name]
    width, height = fig.get_size_inches()
    assert width == {"page": 8, "column": 3.5}[size]
    texts = [text for text in fig.findobj(mpl.text.Text) if text.get_text().strip()]
    assert min(text.get_fontsize() for text in texts) >= 7
    with style(size), house_style():
        FigureCanvasAgg(fig).draw()
        box = fig.get_tightbbox()
    assert min(box.x0, box.y0, width - box.x1, height - box.y1) >= -0.02


@pytest.mark.slow
def test_figures_are_the_same_bytes_in_another_process(measured, galaxies, tmp_path):
    write_data(tmp_path / "galaxies.h5", galaxies)
    program = f"""
import matplotlib
matplotlib.rcParams.update({{"font.size": 20, "lines.linewidth": 5, "axes.facecolor": "red"}})
from galclass import load_data, load_run, save_figures, style
run = load_run({str(measured.path)!r})
for size in ("page", "column"):
    with style(size):
        save_figures(run, "there/" + size, examples=load_data("galaxies.h5"), beside=run)
"""
    environment = {**os.environ, "PYTHONHASHSEED": "7", "SOURCE_DATE_EPOCH": "1", "LC_ALL": "C"}
    command = [sys.executable, "-c", program]
    subprocess.run(command, check=True, env=environment, cwd=tmp_path)
    examples = load_data(tmp_path / "galaxies.h5")
    for size, layout in LAYOUTS.items():
        with style(size):
            save_figures(measured, tmp_path / size, examples=examples, beside=measured)
        paths = list((tmp_path / size).iterdir())
        names = {f"{name}{suffix}" for name in NAMES for suffix in layout.suffixes}
        assert {path.name for path in paths} == names
        for path in paths:
            assert path.read_bytes() == (tmp_path / "there" / size / path.name).read_bytes(), path


def test_figures_go_into_the_run_and_its_card_shows_them(copied, monkeypatch):
    (copied.path / "figures").mkdir()
    monkeypatch.setattr(SAVE_FIGURE, lambda _, path: path.touch())
    paths = save_figures(copied.path)
    names = [f"{name}.png" for name in ("examples", *OF_METRICS, "mistakes")]
    assert paths == [copied.path / "figures" / name for name in names]
    card = (copied.path / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"\(figures/(\w+\.png)\)", card)) == set(names)


def test_pretrained_runs_have_the_figures_without_images_and_keep_their_folder(
    tmp_path, galaxies, monkeypatch
):
    monkeypatch.setattr(SAVE_FIGURE, lambda *_: None)
    run = load_pretrained()
    assert [path.stem for path in save_figures(run, tmp_path)] == OF_METRICS
    paths = save_figures(run, tmp_path, examples=galaxies)
    assert [path.stem for path in paths] == ["examples", *OF_METRICS]
    for out in (None, run.path / "figures"):
        with pytest.raises(RunError, match="part of galclass"):
            save_figures(run, out)
