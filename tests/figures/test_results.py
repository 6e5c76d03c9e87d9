from dataclasses import asdict

import numpy as np
import pytest
from astropy.table import Table

from galclass import (
    build_cnn,
    plot_attribution,
    plot_confusion_matrix,
    plot_history,
    plot_mistakes,
    plot_predictions,
    plot_recall,
    plot_reliability,
)
from galclass.errors import DataError, ParameterError
from galclass.network.symmetry import apply_symmetry
from galclass.run import Run

ACCURACIES = {"accuracy": [0.2, 0.5, 0.8], "val_accuracy": [0.3, 0.6, 0.5]}
HISTORY = {"loss": [2, 1, 0.5], "val_loss": [1.9, 1.2, 1.4], **ACCURACIES}


def _texts(artists):
    return [text.get_text() for text in artists]


def test_the_confusion_matrix_shows_percent_of_the_true_class_and_names_of_your_own():
    matrix = np.diag([20] * 10)
    matrix[0, 9], matrix[5, 5] = 60, 2
    (ax,) = plot_confusion_matrix(matrix).axes
    shown = {text.get_position(): (text.get_text(), text.get_color()) for text in ax.texts}
    assert (shown[9, 0], shown[9, 9], shown[0, 0][0]) == (("75", "white"), ("25", "black"), "100")
    np.testing.assert_allclose(ax.images[0].get_array().sum(axis=0), 100)
    assert _texts(ax.get_xticklabels())[4:6] == ["5\n20", "6*\n2"]
    (ax,) = plot_confusion_matrix(np.eye(3, dtype=int), class_names=["a", "b, c", "$^$"]).axes
    assert _texts(ax.get_yticklabels()) == ["1 a", "2 b,\nc", "3 $^$"]
    assert not any(tick.get_parse_math() for tick in ax.get_yticklabels())
    (ax,) = plot_confusion_matrix(np.zeros((2, 2), int)).axes
    assert ax.get_title(loc="right") == "no galaxies"


@pytest.mark.parametrize(
    ("plot", "argument", "names", "words"),
    [
        (plot_confusion_matrix, np.ones((2, 3), int), None, r"\(2, 3\), expected"),
        (plot_confusion_matrix, -np.eye(3, dtype=int), None, "0 or more"),
        (plot_confusion_matrix, np.eye(3, dtype=int), ["a"], "1 class names"),
        (plot_history, [], None, "no run"),
        (plot_history, {k: v for k, v in HISTORY.items() if k != "loss"}, None, "loss"),
        (plot_history, HISTORY | {"loss": [1, 2]}, None, "expected"),
        (lambda argument: plot_predictions(argument, []), Table(), None, "no image"),
    ],
)
def test_what_cannot_be_plotted_is_refused(plot, argument, names, words):
    with pytest.raises((DataError, ParameterError), match=words):
        plot(argument, **({"class_names": names} if names else {}))


def test_figures_of_a_run_give_its_numbers(measured):
    metrics, rows = measured.metrics, measured.metrics["classes"]
    title = plot_confusion_matrix(measured).axes[0].get_title(loc="right")
    for number in (metrics["accuracy"], *metrics["accuracy_interval"]):
        assert f"{100 * number:.1f}" in title
    shown = _texts(plot_recall(measured).axes[0].texts)
    assert shown == [f"{100 * row['recall']:.0f} % of {row['support']}" for row in rows]
    legend = _texts(plot_reliability(measured).legends[0].get_texts())
    for text, when in zip(legend, ("uncalibrated", "calibrated"), strict=False):
        assert text.endswith(f"{100 * metrics[when]['calibration_error']:.1f} %")
    perfect = Run(measured.path)
    perfect.__dict__["mistakes"] = {key: values[:0] for key, values in measured.mistakes.items()}
    assert plot_mistakes(perfect).axes[0].texts[0].get_text() == "no test galaxy is misclassified"


@pytest.mark.parametrize("element", [1, 6])
def test_evidence_turns_with_the_galaxy(galaxies, monkeypatch, element):
    model, images = build_cnn(seed=1, filters=((8,), (8,))), galaxies.images[:2]
    classes = {"class": np.zeros(2, int)}
    monkeypatch.setattr("galclass.prediction.predict.predict", lambda images, run: classes)

    def evidence(images):
        fig = plot_attribution(images, [3, 4], run=model)
        assert fig.axes[1].get_title(loc="left") == "predicted 1\nlabelled 5"
        return np.array([ax.child_axes[0].images[1].get_array() for ax in fig.axes[:2]])

    found = evidence(images)
    assert found.max(axis=(1, 2)) == pytest.approx([1, 1])
    expected = apply_symmetry(found[..., None], element)[..., 0]
    np.testing.assert_allclose(evidence(apply_symmetry(images, element)), expected, atol=1e-4)


def test_predicted_images_have_their_names_and_three_bars(galaxies):
    row = {f"p{c}": 0.73 if c == 3 else 0.03 for c in range(10)} | {"source": "a/$^$\udc80.png"}
    ax = plot_predictions(Table([row]), galaxies.images[:1]).axes[0]
    assert ax.get_title(loc="left") == "$^$?.png"
    (bars,) = ax.child_axes
    assert [bar.get_width() for bar in bars.patches] == pytest.approx([73, 3, 3])
    assert bars.texts[0].get_text() == "73 %  Smooth, Cigar shaped"


def test_the_best_epoch_is_marked_and_training_differs_from_validation_without_colours(measured):
    loss, accuracy = plot_history(HISTORY | {"epoch": [1, 2, 3]}).axes
    titles = [ax.get_title() for ax in plot_history(HISTORY).axes]
    assert [loss.get_title(), accuracy.get_title()] == titles
    assert titles[0].endswith("1.200 at epoch 2")
    assert titles[1].endswith("60.0 % at epoch 2")
    assert np.ravel(accuracy.lines[-1].get_data()).tolist() == [2, 60]
    fig = plot_history(measured)
    training, validation = fig.axes[0].lines[:2]
    assert training.get_linestyle() != validation.get_linestyle()
    np.testing.assert_array_equal(validation.get_ydata(), measured.history["val_loss"])
    assert fig.legends[0].get_title().get_text() == "default, seed 0"
    assert fig.get_supxlabel() == str(measured.origin)


def test_runs_on_the_same_galaxies_are_compared_folds_too_and_others_refused(measured):
    fig = plot_history([measured, measured, HISTORY])
    names = _texts(fig.legends[0].get_texts())
    assert names[2] == "history 3: 60.0 % at epoch 2"
    assert names[0].startswith("default, seed 0: ")
    curves = [line for line in fig.axes[1].lines if not line.get_label().startswith("_")]
    assert len({line.get_linestyle() for line in curves}) == 3

    def changed(**manifest):
        other = Run(measured.path)
        other.__dict__["manifest"] = measured.manifest | manifest
        return other

    tuned = plot_history(changed(start={"recipe_name": "default"})).legends[0].get_title()
    assert tuned.get_text() == "default, seed 0, fine-tuned"
    origin = asdict(measured.origin) | {"sha256": "0" * 64}
    for other in (changed(origin=origin), changed(split={"protocol": "published"})):
        with pytest.raises(ParameterError, match="other galaxies"):
            plot_history([measured, other])
    folds = [changed(split={"protocol": f"fold-{k}-of-2"}) for k in (1, 2)]
    names = _texts(plot_history(folds).legends[0].get_texts())
    assert [name.partition(":")[0][-11:] for name in names] == ["fold-1-of-2", "fold-2-of-2"]
