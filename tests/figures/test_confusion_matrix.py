import numpy as np
import pytest
from matplotlib.figure import Figure

from galclass import CLASS_NAMES, plot_confusion_matrix
from galclass.errors import DataError


def _texts(artists):
    return [text.get_text() for text in artists]


def test_confusion_matrix_shows_percent_of_the_true_class():
    matrix = np.diag([20] * 10)
    matrix[0, 9] = 60
    matrix[5, 5] = 2
    (ax,) = plot_confusion_matrix(matrix, class_names=CLASS_NAMES).axes
    cells = {text.get_position(): (text.get_text(), text.get_color()) for text in ax.texts}
    assert cells[9, 0] == ("75", "white")
    assert cells[9, 9] == ("25", "black")
    np.testing.assert_allclose(ax.images[0].get_array().sum(axis=0), 100)
    assert _texts(ax.get_xticklabels())[4:6] == ["5\n20", "6*\n2"]


def test_classes_have_the_names_that_were_given_or_numbers():
    fig = Figure()
    left, right = fig.subplots(1, 2)
    names = ["a", "b, c", "$^$"]
    assert plot_confusion_matrix(np.eye(3, dtype=int), class_names=names, ax=left) is fig
    plot_confusion_matrix(np.eye(10, dtype=int), ax=right)
    assert _texts(left.get_yticklabels()) == ["1 a", "2 b,\nc", "3 $^$"]
    assert _texts(left.get_xticklabels()) == ["1*\n1", "2*\n1", "3*\n1"]
    assert not any(tick.get_parse_math() for tick in left.get_yticklabels())
    assert _texts(right.get_yticklabels()) == [str(c) for c in range(10)]
    assert _texts(right.get_xticklabels())[0] == "0*\n1"


def test_title_has_the_accuracy_with_its_interval(measured):
    title = plot_confusion_matrix(measured).axes[0].get_title(loc="right")
    metrics = measured.metrics
    for number in (metrics["accuracy"], *metrics["accuracy_interval"]):
        assert f"{100 * number:.1f}" in title
    (ax,) = plot_confusion_matrix(np.zeros((2, 2), int)).axes
    assert ax.get_title(loc="right") == "no galaxies"


@pytest.mark.parametrize(
    ("matrix", "names", "words"),
    [
        (np.ones((2, 3), int), None, r"\(2, 3\), expected"),
        (-np.eye(3, dtype=int), None, "0 or more"),
        (np.eye(3, dtype=int), ["a"], "1 class names"),
    ],
)
def test_other_matrices_are_errors(matrix, names, words):
    with pytest.raises(DataError, match=words):
        plot_confusion_matrix(matrix, class_names=names)
