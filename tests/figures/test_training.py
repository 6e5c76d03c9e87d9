from dataclasses import asdict

import numpy as np
import pytest

from galclass import plot_history
from galclass.errors import DataError, ParameterError
from galclass.run import Run

HISTORY = {
    "loss": [2, 1, 0.5],
    "accuracy": [0.2, 0.5, 0.8],
    "val_loss": [1.9, 1.2, 1.4],
    "val_accuracy": [0.3, 0.6, 0.5],
}


@pytest.mark.parametrize("epochs", [{}, {"epoch": [1, 2, 3]}])
def test_the_best_epoch_is_marked_and_given(epochs):
    loss, accuracy = plot_history(HISTORY | epochs).axes
    assert loss.get_title() == "Validation loss\n1.200 at epoch 2"
    assert accuracy.get_title() == "Validation accuracy\n60.0 % at epoch 2"
    (x,), (y,) = accuracy.lines[-1].get_data()
    assert (x, y) == (2, 60)


def test_training_and_validation_differ_without_colours(measured):
    fig = plot_history(measured)
    training, validation = fig.axes[0].lines[:2]
    assert training.get_linestyle() != validation.get_linestyle()
    np.testing.assert_array_equal(validation.get_ydata(), measured.history["val_loss"])
    assert fig.legends[0].get_title().get_text() == "default, seed 0"
    assert fig.get_supxlabel() == str(measured.origin)


def test_of_several_runs_the_validation_is_compared(measured):
    fig = plot_history([measured, measured, HISTORY])
    names = [text.get_text() for text in fig.legends[0].get_texts()]
    assert names[2] == "history 3: 60.0 % at epoch 2"
    assert names[0].startswith("default, seed 0: ")
    curves = [line for line in fig.axes[1].lines if not line.get_label().startswith("_")]
    assert len({line.get_linestyle() for line in curves}) == 3


def test_runs_on_other_galaxies_or_splits_are_not_compared_but_folds_are(measured):
    def changed(**manifest):
        other = Run(measured.path)
        other.__dict__["manifest"] = measured.manifest | manifest
        return other

    origin = asdict(measured.origin) | {"sha256": "0" * 64}
    for other in (changed(origin=origin), changed(split={"protocol": "published"})):
        with pytest.raises(ParameterError, match=r"other galaxies.*compare runs on the same data"):
            plot_history([measured, other])
    folds = [changed(split={"protocol": f"fold-{k}-of-2"}) for k in (1, 2)]
    names = [text.get_text() for text in plot_history(folds).legends[0].get_texts()]
    assert [name.partition(":")[0][-11:] for name in names] == ["fold-1-of-2", "fold-2-of-2"]


def test_what_is_no_history_is_refused():
    with pytest.raises(ParameterError, match="no run to plot"):
        plot_history([])
    with pytest.raises(DataError, match=r"lacks \['val_accuracy'\]"):
        plot_history({key: HISTORY[key] for key in ("loss", "accuracy", "val_loss")})
    with pytest.raises(DataError, match=r"expected \(epochs,\) for all"):
        plot_history(HISTORY | {"loss": [1, 2]})
