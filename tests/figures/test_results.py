import numpy as np
import pytest

from galclass import (
    build_cnn,
    plot_attribution,
    plot_confusion_matrix,
    plot_mistakes,
    plot_predictions,
    plot_recall,
    plot_reliability,
)
from galclass.errors import DataError
from galclass.figures.results import plot_simulated_accuracy
from galclass.network.symmetry import apply_symmetry
from galclass.run import Run


def test_the_confusion_matrix_shows_percent_of_the_true_class():
    matrix = np.diag([20] * 10)
    matrix[0, 9], matrix[5, 5] = 60, 2
    (ax,) = plot_confusion_matrix(matrix).axes
    shown = {text.get_position(): text for text in ax.texts}
    assert [shown[at].get_text() for at in ((9, 0), (9, 9), (0, 0))] == ["75", "25", "100"]
    assert [shown[at].get_color() for at in ((9, 0), (9, 9))] == ["white", "black"]
    np.testing.assert_allclose(ax.images[0].get_array().sum(axis=0), 100)
    assert [tick.get_text() for tick in ax.get_xticklabels()][4:6] == ["5\n20", "6*\n2"]


def test_any_number_of_classes_with_names_of_your_own_is_shown():
    (ax,) = plot_confusion_matrix(np.eye(3, dtype=int), class_names=["a", "b, c", "$^$"]).axes
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["1 a", "2 b,\nc", "3 $^$"]
    assert not any(tick.get_parse_math() for tick in ax.get_yticklabels())
    assert plot_confusion_matrix(np.zeros((2, 2), int)).axes[0].get_title(loc="right") == (
        "no galaxies"
    )


@pytest.mark.parametrize(
    ("matrix", "names", "match"),
    [
        (np.ones((2, 3), int), None, r"shape \(2, 3\), expected \(classes, classes\)"),
        (np.ones(4, int), None, "expected"),
        (np.eye(3) / 2, None, "float64, expected counts"),
        (-np.eye(3, dtype=int), None, "0 or more"),
        (np.eye(3, dtype=int), ["a"], "1 class names, expected 3"),
    ],
)
def test_what_is_no_confusion_matrix_is_refused(matrix, names, match):
    with pytest.raises(DataError, match=match):
        plot_confusion_matrix(matrix, class_names=names)


def test_figures_of_a_run_give_its_numbers(measured):
    metrics = measured.metrics
    title = plot_confusion_matrix(measured).axes[0].get_title(loc="right")
    low, high = (100 * end for end in metrics["accuracy_interval"])
    accuracy, n = 100 * metrics["accuracy"], metrics["galaxies"]
    assert title == f"Accuracy {accuracy:.1f} % ({low:.1f}–{high:.1f} %), {n:,} galaxies"
    (ax,) = plot_recall(measured).axes
    shown = [text.get_text() for text in ax.texts]
    rows = metrics["classes"]
    assert shown == [f"{100 * row['recall']:.0f} % of {row['support']}" for row in rows]
    legend = [text.get_text() for text in plot_reliability(measured).legends[0].get_texts()]
    for text, when in zip(legend, ("uncalibrated", "calibrated"), strict=False):
        assert text.endswith(f"error {100 * metrics[when]['calibration_error']:.1f} %")


def test_a_run_without_mistakes_has_a_figure_that_says_so(measured):
    perfect = Run(measured.path)
    perfect.__dict__["mistakes"] = {key: values[:0] for key, values in measured.mistakes.items()}
    assert plot_mistakes(perfect).axes[0].texts[0].get_text() == "no test galaxy is misclassified"


@pytest.mark.parametrize("element", [1, 5, 6])
def test_evidence_turns_with_the_galaxy(galaxies, monkeypatch, element):
    model = build_cnn(seed=1, filters=((8,), (8,)))
    classes = {"class": np.zeros(2, int)}
    monkeypatch.setattr("galclass.prediction.predict.predict", lambda images, run: classes)
    images = galaxies.images[:2]

    def evidence(images):
        fig = plot_attribution(images, [3, 4], run=model)
        assert fig.axes[1].get_title(loc="left") == "predicted 1\nlabelled 5"
        return np.array([ax.child_axes[0].images[1].get_array() for ax in fig.axes[:2]])

    found = evidence(images)
    assert found.max(axis=(1, 2)) == pytest.approx([1, 1])
    turned = evidence(apply_symmetry(images, element))
    expected = apply_symmetry(found[..., None], element)[..., 0]
    np.testing.assert_allclose(turned, expected, atol=1e-4)


def test_predicted_images_have_their_names_and_three_bars(galaxies):
    probabilities = np.eye(10)[3] * 0.7 + 0.03
    row = {f"p{c}": p for c, p in enumerate(probabilities)} | {"source": "a/$^$\udc80.png"}
    ax = plot_predictions([row], galaxies.images[:1]).axes[0]
    assert ax.get_title(loc="left") == "$^$?.png"
    (bars,) = ax.child_axes
    assert [bar.get_width() for bar in bars.patches] == pytest.approx([73, 3, 3])
    assert bars.texts[0].get_text() == "73 %  Smooth, Cigar shaped"
    with pytest.raises(DataError, match="no image could be read"):
        plot_predictions([], [])


def test_accuracy_is_given_in_bins_of_equally_many_galaxies(measured, monkeypatch):
    parameters = np.zeros(10, [("kind", "U6"), ("signal_to_noise", float), ("inclination", float)])
    parameters["signal_to_noise"] = np.arange(10, 0, -1)
    parameters["kind"][:3] = "spiral"
    labels = np.zeros(10, int)
    known = {"labels": labels, "predicted": labels + (np.arange(10) < 2), "parameters": parameters}
    monkeypatch.setattr(
        "galclass.evaluation.evaluate.measure_simulated",
        lambda run, n, seed: known | {"origin": measured.origin},
    )
    everything, spirals = plot_simulated_accuracy(measured).axes
    points = [bar.lines[0].get_xydata()[0].tolist() for bar in everything.containers]
    assert points == [[1.5, 100], [3.5, 100], [5.5, 100], [7.5, 100], [9.5, 0]]
    assert len(spirals.containers) == 3
    assert spirals.get_title() == "spirals: 3"
