import numpy as np
import pytest

from galclass import evaluate
from galclass.galaxy10 import DataError
from galclass.plotting import (
    plot_class_counts,
    plot_confusion_matrix,
    plot_examples,
    plot_history,
    save_figure,
    save_figures,
)

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
    assert "1.200 in validation at epoch 2" in loss.get_title()
    assert "60.0 % in validation at epoch 2" in accuracy.get_title()


def test_figures_of_a_run_are_the_same_bytes_twice(trained, pictures, tmp_path):
    evaluate(trained, *pictures)
    first = save_figures(trained, tmp_path / "a")
    again = save_figures(trained, tmp_path / "b")
    assert len(first) >= 4
    for one, two in zip(first, again, strict=True):
        assert one.read_bytes() == two.read_bytes()
        assert one.with_suffix(".svg").read_bytes() == two.with_suffix(".svg").read_bytes()


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
