"""The figures of recall, reliability, purity and mistakes."""

import numpy as np
import pytest

from galclass import plot_mistakes, plot_purity, plot_recall, plot_reliability, predict, summary
from galclass.data.galaxy10 import DECALS_NAMES
from galclass.errors import RunError
from galclass.evaluation.calibration import Calibration
from galclass.evaluation.card import model_card
from galclass.evaluation.metrics import compute_calibration


def test_recall_is_shown_next_to_the_published_one_of_the_same_classes(copied):
    metrics = copied.metrics
    rows = metrics["classes"]
    rows[0] |= {"recall": None, "recall_interval": None, "support": 0}
    copied.write_metrics(metrics)
    ax = plot_recall(copied).axes[0]
    expected = [f"{100 * row['recall']:.0f} % of {row['support']}" for row in rows[1:]]
    assert [text.get_text() for text in ax.texts] == ["no galaxies", *expected]
    assert len(ax.get_legend().get_texts()) == 2
    origin = copied.origin.record() | {"class_names": DECALS_NAMES}
    copied.write_manifest(copied.manifest | {"origin": origin})
    ax = plot_recall(copied).axes[0]
    assert ax.get_yticklabels()[0].get_text() == "1 Disturbed"
    assert len(ax.get_legend().get_texts()) == 1


def test_reliability_describes_the_probabilities_of_predict(copied, images_of_brightness):
    calibration = Calibration(2.0, tuple(np.linspace(-2, 2, 10).tolist()))
    copied.write_metrics(copied.metrics | {"calibration": calibration.record()})
    predictions = copied.predictions
    table = predict(images_of_brightness[0][predictions["indices"]], run=copied)
    predicted = np.column_stack([table[f"p{c}"] for c in range(10)])
    legend = [text.get_text() for text in plot_reliability(copied).legends[0].get_texts()]
    for text, probabilities in (
        (legend[0], predictions["probabilities"]),
        (legend[1], predicted),
    ):
        error = compute_calibration(predictions["labels"], probabilities)["calibration_error"]
        assert text.endswith(f"calibration error {100 * error:.1f} %")
    assert legend[1].startswith("calibrated, class mix corrected:")


def test_purity_is_shown_if_a_sample_has_ten_galaxies(copied):
    probabilities = np.zeros((24, 10))
    probabilities[:, 0] = np.linspace(0.95, 0.6, 24)
    probabilities[:, 1] = 1 - probabilities[:, 0]
    labels = np.repeat([0, 1], 12)
    arrays = {"indices": np.arange(24), "labels": labels, "probabilities": probabilities}
    copied.write_arrays("predictions", **arrays)
    copied.write_metrics(copied.metrics | {"calibration": Calibration().record()})
    first, second, *_ = plot_purity(copied).axes
    purity, completeness = first.lines
    assert len(purity.get_xdata()) == 15
    assert purity.get_xydata()[-1] == pytest.approx([60, 50])
    assert completeness.get_xydata()[-1] == pytest.approx([60, 100])
    assert [text.get_text() for text in second.texts] == ["fewer than 10"]


def test_mistakes_name_both_classes(copied, images_of_brightness):
    mistakes = {
        "images": images_of_brightness[0][:1],
        "labels": np.array([3]),
        "predicted": np.array([1]),
        "probabilities": np.array([0.876]),
    }
    copied.write_arrays("mistakes", **mistakes)
    title = plot_mistakes(copied).axes[0].get_title(loc="left")
    expected = "predicted 2 Smooth, Completely round (88 %), labelled 4 Smooth, Cigar shaped"
    assert " ".join(title.split()) == expected
    copied.write_arrays("mistakes", **{key: array[:0] for key, array in mistakes.items()})
    assert plot_mistakes(copied).axes[0].texts[0].get_text() == "no test galaxy is misclassified"


@pytest.mark.parametrize(
    "show", [model_card, plot_mistakes, plot_purity, plot_recall, plot_reliability, summary]
)
def test_runs_must_be_evaluated_first(trained, show):
    with pytest.raises(RunError, match="galclass evaluate"):
        show(trained)
