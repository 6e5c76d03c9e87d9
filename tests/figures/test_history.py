import shutil
from unittest.mock import Mock

import numpy as np
import pytest

from galclass import load_run, plot_history
from galclass.errors import DataError, ParameterError
from galclass.figures.history import show_curves

ACCURACIES = {"accuracy": [0.2, 0.5, 0.8], "val_accuracy": [0.3, 0.6, 0.5]}
HISTORY = {"loss": [2, 1, 0.5], "val_loss": [1.9, 1.2, 1.4], **ACCURACIES}


@pytest.fixture
def change(measured, tmp_path):
    """Return a function that copies a run with other entries in its manifest."""

    def copy(name, **entries):
        run = load_run(shutil.copytree(measured.path, tmp_path / name))
        run.write_manifest(run.manifest | entries)
        return run

    return copy


def _legend(fig):
    return [text.get_text() for text in fig.legends[0].get_texts()]


def test_best_epoch_is_marked():
    loss, accuracy = plot_history(HISTORY | {"epoch": [11, 12, 13]}).axes
    assert loss.get_title().endswith("1.200 at epoch 12")
    assert accuracy.get_title().endswith("60.0 % at epoch 12")
    assert np.ravel(accuracy.lines[-1].get_data()).tolist() == [12, 60]
    assert plot_history(HISTORY).axes[0].get_title().endswith("1.200 at epoch 2")


def test_history_of_a_run_can_be_read_without_colours(measured):
    fig = plot_history(measured)
    training, validation = fig.axes[0].lines[:2]
    assert training.get_linestyle() != validation.get_linestyle()
    np.testing.assert_array_equal(validation.get_ydata(), measured.history["val_loss"])
    assert fig.legends[0].get_title().get_text() == "default, seed 0"
    assert fig.get_supxlabel() == str(measured.origin)


def test_runs_on_the_same_galaxies_can_be_compared(measured):
    fig = plot_history([measured, measured, HISTORY])
    first, _, third = _legend(fig)
    assert first.startswith("default, seed 0: ")
    assert third == "history 3: 60.0 % at epoch 2"
    curves = [line for line in fig.axes[1].lines if not line.get_label().startswith("_")]
    assert len({line.get_linestyle() for line in curves}) == 3


def test_runs_on_other_galaxies_or_splits_cannot_be_compared(measured, change):
    other_galaxies = change("galaxies", origin=measured.origin.record() | {"sha256": "0" * 64})
    other_split = change("split", split={"protocol": "published"})
    for other in (other_galaxies, other_split):
        with pytest.raises(ParameterError, match="other galaxies"):
            plot_history([measured, other])


def test_legend_names_folds_and_fine_tuning(change):
    folds = [change(f"fold-{k}", split={"protocol": f"fold-{k}-of-2"}) for k in (1, 2)]
    names = [text.partition(":")[0] for text in _legend(plot_history(folds))]
    assert names == ["default, fold-1-of-2", "default, fold-2-of-2"]
    tuned = plot_history(change("tuned", start={"recipe_name": "default"}))
    assert tuned.legends[0].get_title().get_text() == "default, seed 0, fine-tuned"


@pytest.mark.parametrize(
    ("history", "words"),
    [([], "no run"), (ACCURACIES, "lacks .'loss'"), (HISTORY | {"loss": [1, 2]}, r"\(epochs,\)")],
)
def test_incomplete_histories_are_errors(history, words):
    with pytest.raises((DataError, ParameterError), match=words):
        plot_history(history)


def test_curves_replace_the_previous_output_of_a_cell(trained, monkeypatch):
    cell = Mock()
    monkeypatch.setattr("IPython.display.clear_output", cell.clear)
    monkeypatch.setattr("IPython.display.display", cell.show)
    row = {"loss": 1.0, "accuracy": 0.5, "val_loss": 1.0, "val_accuracy": 0.5}
    growing = [{**row, "epoch": 1}, {**row, "epoch": 2}]
    for history in (growing, trained, [trained, trained]):
        show_curves(history)
    assert [name for name, *_ in cell.mock_calls] == ["clear", "show"] * 3
    cell.clear.assert_called_with(wait=True)
    lines = [call.args[0].axes[0].lines[0] for call in cell.show.call_args_list]
    assert [len(line.get_xdata()) for line in lines[:2]] == [2, 3]
