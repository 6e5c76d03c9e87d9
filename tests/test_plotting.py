import os
import subprocess
import sys
from types import SimpleNamespace

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from galclass import Recipe, build_cnn, evaluate, plotting, simulate_galaxy10, train
from galclass.galaxy10 import DataError
from galclass.plotting import (
    accuracy_in_bins,
    plot_class_counts,
    plot_comparison,
    plot_confusion_matrix,
    plot_confusions,
    plot_examples,
    plot_history,
    plot_mistakes,
    plot_network,
    plot_simulated_accuracy,
    plot_votes,
    save_figure,
    save_figures,
)
from galclass.runs import Run

SIMULATED = {"kind": "simulated", "name": "simulate_galaxy10(4000, 0)", "galaxies": 4000}


def _texts(fig):
    return [text.get_text() for text in fig.findobj(lambda a: hasattr(a, "get_text"))]


def test_the_examples_are_ten_galaxies_numbered_from_one(galaxies):
    images, labels, _ = galaxies
    fig = plot_examples(images, labels, source=SIMULATED)
    titles = [ax.get_title(loc="left") for ax in fig.axes]
    assert [title.split()[0] for title in titles] == [str(n) for n in range(1, 11)]
    for c, ax in enumerate(fig.axes):
        if (labels == c).any():
            np.testing.assert_array_equal(ax.images[0].get_array(), images[labels == c][0])


@pytest.mark.parametrize("plot", [plot_examples, plot_class_counts, plot_confusion_matrix])
def test_a_figure_of_simulated_galaxies_says_so(galaxies, plot):
    images, labels, _ = galaxies
    args = {plot_examples: (images, labels), plot_class_counts: (labels,)}
    fig = plot(*args.get(plot, (np.eye(10, dtype=int),)), source=SIMULATED)
    assert any("Simulated galaxies" in text for text in _texts(fig))


def test_the_confusion_matrix_shows_percent_of_the_true_class():
    matrix = np.diag([20] * 10)
    matrix[0, 9] = 60
    fig = plot_confusion_matrix(matrix)
    shown = {(t.get_position()): t for t in fig.axes[0].texts}
    assert shown[(9, 0)].get_text() == "75"
    assert shown[(9, 9)].get_text() == "25"
    assert shown[(0, 0)].get_text() == "100"
    assert shown[(9, 0)].get_color() == "white"
    assert shown[(9, 9)].get_color() == "black"
    columns = fig.axes[0].images[0].get_array().sum(axis=0)
    np.testing.assert_allclose(columns, 100)


def test_few_true_galaxies_are_marked():
    matrix = np.diag([20] * 10)
    matrix[5, 5] = 2
    labels = [t.get_text() for t in plot_confusion_matrix(matrix).axes[0].get_xticklabels()]
    assert labels[5] == "6*\n2"
    assert labels[4] == "5\n20"


def test_the_history_marks_the_best_epoch():
    history = {
        "epoch": [1, 2, 3],
        "loss": [2, 1, 0.5],
        "accuracy": [0.2, 0.5, 0.8],
        "val_loss": [1.9, 1.2, 1.4],
        "val_accuracy": [0.3, 0.6, 0.5],
    }
    loss, accuracy = plot_history(history).axes
    assert "1.200 in validation\nat epoch 2" in loss.get_title()
    assert "60.0 % in validation\nat epoch 2" in accuracy.get_title()


@pytest.fixture(scope="module")
def run(trained, pictures):
    evaluate(trained, *pictures)
    return trained


@pytest.fixture(scope="module")
def drawn(run, galaxies, tmp_path_factory):
    """All figures of a run and those of the notebook, in both sizes, and the files of the former.

    Of galaxies with the longest names, all wrong, where pictures are shown.
    """
    monkeypatch, found = pytest.MonkeyPatch(), {}
    folder = tmp_path_factory.mktemp("figures")
    wrong = Run(run.path)
    n = np.full(10, 4)
    wrong.__dict__["mistakes"] = {
        "images": galaxies[0][:10],
        "labels": n,
        "predicted": n + 1,
        "probabilities": n / 4,
    }
    original = plotting.save_figure
    for size in ("page", "column"):

        def keep(fig, path, size=size):
            found[size, path.stem] = fig
            original(fig, path)

        with monkeypatch.context() as patch:
            patch.setattr(plotting, "save_figure", keep)
            save_figures(run, folder / size, beside=run, examples=galaxies, size=size)
            save_figures(wrong, folder / "wrong" / size, beside=run, size=size)
        found[size, "network"] = plot_network(build_cnn(), size=size)
        found[size, "confusions"] = plot_confusions(run, galaxies[0], size=size)
        found[size, "accuracy"] = plot_simulated_accuracy(_measured(), size=size)
    return found, folder


def _measured():
    _, labels, parameters = simulate_galaxy10(
        50, class_fractions="balanced", return_parameters=True
    )
    predicted = np.where(np.arange(50) % 3, labels, 0)
    source = {**SIMULATED, "galaxies": 50}
    return {"labels": labels, "predicted": predicted, "parameters": parameters, "source": source}


FIGURES = (
    "examples",
    "examples_by_class",
    "class_counts",
    "history",
    "confusion_matrix",
    "recall",
    "reliability",
    "comparison",
    "mistakes",
    "network",
    "confusions",
    "accuracy",
)


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize("size", ["page", "column"])
def test_a_figure_has_its_width_letters_to_read_and_nothing_cut_off(drawn, size, name):
    fig = drawn[0][size, name]
    assert fig.get_figwidth() == {"page": 8, "column": 3.5}[size]
    shown = [text for text in fig.findobj(mpl.text.Text) if text.get_text().strip()]
    assert min(text.get_fontsize() for text in shown) >= 7
    with plotting.style(size):
        FigureCanvasAgg(fig).draw()
        box = fig.get_tightbbox()
    assert box.x0 >= -0.02
    assert box.y0 >= -0.02
    assert box.x1 <= fig.get_figwidth() + 0.02
    assert box.y1 <= fig.get_figheight() + 0.02


def test_training_and_validation_differ_without_colours(drawn):
    lines = drawn[0]["page", "history"].axes[0].lines
    assert lines[0].get_linestyle() != lines[1].get_linestyle()


def test_figures_of_a_run_are_the_same_bytes_in_another_process(drawn, run, galaxies, tmp_path):
    np.savez(tmp_path / "galaxies.npz", images=galaxies[0], labels=galaxies[1])
    program = f"""
import matplotlib, numpy as np
matplotlib.rcParams.update({{"font.size": 20, "lines.linewidth": 5, "axes.facecolor": "red"}})
from galclass import load_run, save_figures
from pathlib import Path
file = np.load({str(tmp_path / "galaxies.npz")!r})
run = load_run({str(run.path)!r})
for size in ("page", "column"):
    examples = (file["images"], file["labels"], {galaxies[2]!r})
    save_figures(run, Path({str(tmp_path)!r}) / size, examples=examples, beside=run, size=size)
"""
    environment = {**os.environ, "PYTHONHASHSEED": "7", "SOURCE_DATE_EPOCH": "1", "LC_ALL": "C"}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment)
    for size, vector in (("page", "svg"), ("column", "pdf")):
        first = sorted((drawn[1] / size).iterdir())
        assert {path.suffix for path in first} == {".png", f".{vector}"}
        assert len(first) == 2 * 8
        for path in first:
            assert path.read_bytes() == (tmp_path / size / path.name).read_bytes(), path


def test_a_row_of_each_class_holds_its_first_galaxies(galaxies):
    images, labels, _ = galaxies
    fig = plot_examples(images, labels, per_class=3, source=SIMULATED)
    assert fig.get_suptitle() == "Simulated galaxies by class"
    for c in range(10):
        for k, ax in enumerate(fig.axes[3 * c : 3 * c + 3]):
            np.testing.assert_array_equal(ax.images[0].get_array(), images[labels == c][k])


def test_runs_on_other_galaxies_are_not_compared(run, pictures, tmp_path):
    images, labels = pictures
    recipe = Recipe(epochs=1)
    other = train(255 - images, labels, out=tmp_path / "a", recipe=recipe, verbose=False)
    with pytest.raises(ValueError, match=r"other galaxies.*compare runs on the same data"):
        plot_comparison([run, other])
    with pytest.raises(ValueError, match="expected two or more"):
        plot_comparison([run])


def test_the_diagram_shows_the_shapes_and_weights_of_the_network():
    texts = "\n".join(_texts(plot_network(build_cnn())))
    assert "1,799,964 weights" in texts
    shapes = ("69×69\n×3", "67×67\n×64\n1,792", "6×6\n×256", "9216", "150\n1,382,550", "10\n610")
    assert [shape for shape in shapes if shape not in texts] == []
    assert "60×60\n×3" in "\n".join(_texts(plot_network(build_cnn(input_shape=(60, 60, 3)))))


def test_between_two_classes_stand_the_galaxies_that_are_confused(pictures):
    images, labels = pictures
    said = labels.copy()
    said[:4] = 7  # Four of the ten of class 0.
    matrix = np.diag([10] * 10)
    matrix[0, 0], matrix[7, 0] = 6, 4
    run = SimpleNamespace(
        metrics={"confusion_matrix": matrix},
        manifest={"source": SIMULATED},
        predictions={
            "labels": labels[::-1],
            "indices": np.arange(100)[::-1],
            "probabilities": np.eye(10)[said[::-1]],
        },
    )
    axes = plot_confusions(run, images).axes
    assert axes[1].get_title(loc="left").endswith("called 8: 40 % of 10")
    for ax, shown in zip(axes[:3], ((9, 8, 7), (3, 2, 1), (79, 78, 77)), strict=True):
        strip = ax.images[0].get_array()
        for k, i in enumerate(shown):
            np.testing.assert_array_equal(strip[:, 73 * k : 73 * k + 69], images[i])


def test_a_run_without_mistakes_has_a_figure_that_says_so(run):
    perfect = Run(run.path)
    perfect.__dict__["mistakes"] = {"images": np.empty((0, 69, 69, 3), np.uint8)}
    assert "no test galaxy is wrong" in _texts(plot_mistakes(perfect))


def test_votes_are_those_of_the_simulation_and_said_to_be():
    images, labels, truth = simulate_galaxy10(3, return_parameters=True)
    fig = plot_votes(images, truth)
    assert "Simulated galaxies" in fig.get_suptitle()
    for ax, label, votes in zip(fig.axes[3:], labels, truth["votes"], strict=True):
        widths = [patch.get_width() for patch in ax.patches]
        np.testing.assert_allclose(widths, 100 * votes)
        assert np.argmax(widths) == label


def test_bins_hold_equally_many_galaxies_in_the_order_of_their_values():
    values = np.array([4.0, 1.0, 3.0, 2.0])
    right = np.array([True, False, True, True])
    assert accuracy_in_bins(values, right, bins=2) == [(1.0, 2.0, 2, 0.5), (3.0, 4.0, 2, 1.0)]


def test_an_unknown_size_is_refused():
    with pytest.raises(ValueError, match=r"size 'poster', expected one of \['column', 'page'\]"):
        plot_class_counts(np.arange(10), size="poster")


def test_a_figure_is_drawn_into_the_axes_that_are_given(tmp_path):
    from matplotlib.figure import Figure

    fig = Figure(layout="constrained")
    ax = fig.subplots()
    assert plot_class_counts(np.arange(10), ax=ax) is fig
    assert ax.patches
    save_figure(fig, tmp_path / "counts.png")
    assert (tmp_path / "counts.png").read_bytes()[:4] == b"\x89PNG"


def test_figures_that_no_window_can_show_are_not_kept_open():
    from matplotlib import pyplot

    before = pyplot.get_fignums()
    plot_class_counts(np.arange(10))
    plot_confusion_matrix(np.eye(10, dtype=int))
    assert pyplot.get_fignums() == before


def test_labels_and_origins_that_are_none_are_refused():
    with pytest.raises(DataError, match="expected 0-9"):
        plot_class_counts(np.arange(12))
    with pytest.raises(DataError, match=r"'observed'.*expected one of"):
        plot_class_counts(np.arange(10), source={**SIMULATED, "kind": "observed"})
