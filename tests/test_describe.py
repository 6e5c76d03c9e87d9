import re

import numpy as np
import pytest

from galclass import (
    CLASS_NAMES,
    describe_attribution,
    describe_classes,
    describe_comparison,
    describe_confusions,
    describe_data,
    describe_history,
    describe_mistakes,
    describe_network,
    describe_predictions,
    describe_questions,
    describe_recall,
    describe_reliability,
    describe_simulated_accuracy,
    describe_test,
    describe_votes,
    evaluate,
    evaluate_simulated,
    predict,
    simulate_galaxy10,
)
from galclass.describe import dividing_question
from galclass.runs import Run


def _source(kind):
    return {"kind": kind, "name": "some.h5", "sha256": "0", "galaxies": 100}


@pytest.fixture(scope="module")
def evaluated(trained, pictures):
    evaluate(trained, *pictures)
    return trained


@pytest.fixture
def run(evaluated):
    """The run, whose content a test may replace."""
    return Run(evaluated.path)


def test_sentences_are_markdown_in_a_notebook():
    words = describe_data(_source("simulated"))
    assert words._repr_markdown_() == words
    assert "Simulated galaxies, not observed ones: 100" in words
    assert "cannot be compared" in describe_data(_source("file"))
    assert "cannot be compared" not in describe_data(_source("galaxy10"))


@pytest.mark.parametrize(
    ("one", "other", "question"),
    [
        (1, 2, "how round"),
        (3, 4, "smooth or has features"),
        (4, 5, "shape the bulge"),
        (0, 9, "spiral arms"),
        (7, 8, "tightly"),
        (6, 7, "on edge"),
        (0, 1, "smooth or has features"),
    ],
)
def test_two_classes_part_at_the_first_question_that_divides_them(one, other, question):
    assert question in dividing_question(one, other)
    assert dividing_question(one, other) == dividing_question(other, one)


def test_the_commonest_class_is_where_accuracy_starts():
    words = describe_classes(np.array([3] * 6 + [0] * 2 + [5] * 2))
    assert f"4 '{CLASS_NAMES[3]}' has 6" in words
    assert "would be right in 60 %" in words


@pytest.mark.parametrize(
    ("loss", "val_loss", "expected"),
    [
        ([3, 2, 1, 0.5, 0.4], [2.0, 1.0, 1.1, 1.2, 1.5], "ended 50 % above that"),
        ([3, 2, 1, 0.9, 0.9], [2.0, 1.0, 1.0, 1.0, 1.0], "have flattened"),
        ([3, 2, 1, 0.9, 0.8], [2.0, 1.5, 1.2, 1.1, 1.0], "a longer training might reach more"),
    ],
)
def test_what_is_said_of_the_curves_follows_from_them(run, loss, val_loss, expected):
    val_accuracy = 1 - np.array(val_loss) / 4
    run.__dict__["history"] = {
        "epoch": np.arange(1, 6),
        "loss": np.array(loss),
        "accuracy": val_accuracy + 0.1,
        "val_loss": np.array(val_loss),
        "val_accuracy": val_accuracy,
    }
    words = describe_history(run)
    assert expected in words
    assert f"epoch {5 if 'longer' in expected else 2} of 5" in words
    assert "fewer, as" not in words


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("galaxy10", "may be compared"),
        ("simulated", "these are simulated galaxies, so the two must not be compared"),
        ("file", "must not be compared"),
    ],
)
def test_accuracy_is_given_with_its_interval_and_what_it_may_be_compared_with(run, kind, expected):
    run.__dict__["manifest"] = {**run.manifest, "source": _source(kind)}
    low, high = run.metrics["accuracy_interval"]
    words = describe_test(run)
    assert f"{100 * run.metrics['accuracy']:.1f} % of 15 test galaxies" in words
    assert f"{100 * low:.1f} to {100 * high:.1f} %" in words
    assert expected in words


def _with_matrix(run, matrix):
    rows = [
        {"name": name, "support": int(n), "recall": right / n if n else None}
        for name, n, right in zip(CLASS_NAMES, matrix.sum(axis=0), np.diag(matrix), strict=True)
    ]
    run.__dict__["metrics"] = {
        **run.metrics,
        "confusion_matrix": matrix.tolist(),
        "classes": rows,
        "galaxies": int(matrix.sum()),
        "accuracy": np.trace(matrix) / matrix.sum(),
    }
    return run


def test_confusions_are_told_with_the_question_that_divides_the_classes(run):
    matrix = np.diag([20] * 10)
    matrix[8, 7], matrix[0, 9], matrix[5, 5] = 60, 5, 2
    run = _with_matrix(run, matrix)
    first, second = re.findall(r"^- (.*)$", describe_confusions(run), re.M)
    assert first.startswith("75 % of the 80 test galaxies of 8")
    assert first.endswith("*how tightly the arms are wound*.")
    assert second.startswith("20 % of the 25")
    assert "65 test galaxies that are wrong" in describe_questions(run)
    assert "92 % at *how tightly the arms are wound*" in describe_questions(run)
    words = describe_recall(run)
    assert "worst is 8 'Disk, Face-on, Tight Spiral', with 25 % (17 to 35 %)" in words
    assert "too few to tell: class 6 (2)" in words


def test_a_run_without_mistakes_is_told_as_such(run):
    run = _with_matrix(run, np.diag([20] * 10))
    run.__dict__["mistakes"] = {"labels": np.array([]), "predicted": np.array([])}
    assert describe_mistakes(run) == "None of the 200 test galaxies is wrong."
    assert describe_questions(run) == "No test galaxy is wrong."
    assert describe_confusions(run).startswith("No class of 10")


def test_mistakes_are_counted(run):
    run = _with_matrix(run, np.diag([20] * 9 + [0]) + np.eye(10, k=1, dtype=int))
    run.__dict__["mistakes"] = {
        "labels": np.array([1, 1, 7]),
        "predicted": np.array([2, 2, 8]),
        "probabilities": np.array([0.9, 0.8, 0.7]),
    }
    words = describe_mistakes(run)
    assert words.startswith("9 of 189 test galaxies are wrong; the 3 shown got 70 % to 90 %.")
    assert "In 2 of them network and volunteers part at *how round it is*" in words


@pytest.mark.parametrize(
    ("confidence", "judged"), [(0.95, "overconfident"), (0.805, "about right"), (0.5, "under")]
)
def test_confidence_is_judged_by_the_accuracy(run, confidence, judged):
    probabilities = np.full((10, 10), (1 - confidence) / 9)
    probabilities[:, 0] = confidence
    run.__dict__["predictions"] = {"probabilities": probabilities}
    run.__dict__["metrics"] = {
        "accuracy": 0.8,
        "temperature": 1.5,
        "uncalibrated": {"calibration_error": 0.2},
        "calibrated": {"calibration_error": 0.1},
    }
    words = describe_reliability(run)
    assert judged in words
    assert "lowers the calibration error, from 20.0 % to 10.0 %" in words


@pytest.mark.parametrize(
    ("only", "expected"),
    [((2, 12), "more than chance would give (p = 0.013)"), ((5, 6), "(p = 1)")],
)
def test_two_runs_are_compared_galaxy_by_galaxy(evaluated, only, expected):
    labels = np.zeros(40, int)
    wrong = [np.arange(only[1]), np.arange(20, 20 + only[0])]
    runs = []
    for which in wrong:
        run = Run(evaluated.path)
        said = labels.copy()
        said[which] = 1
        run.__dict__["predictions"] = {"labels": labels, "probabilities": np.eye(10)[said]}
        runs.append(run)
    words = describe_comparison(runs)
    assert f"`default` alone is right on {only[0]}, `default` alone on {only[1]}" in words
    assert expected in words
    with pytest.raises(ValueError, match="3 runs, expected two"):
        describe_comparison([*runs, evaluated])


def test_the_largest_layer_is_named():
    from galclass import build_cnn

    words = describe_network(build_cnn())
    assert "1,799,964 weights, of which 77 % are in one layer, `dense1`, that reads 9216" in words


def test_the_share_of_the_evidence_in_the_middle(run, pictures):
    words = describe_attribution(run.load_model(), pictures[0][:12])
    assert re.search(r"In these 10 pictures, \d+ % of the evidence|speaks for none", words)


def test_the_narrowest_majority_is_named():
    _, _, truth = simulate_galaxy10(5, return_parameters=True)
    votes = np.sort(truth["votes"], axis=1)
    words = describe_votes(truth)
    assert f"narrowest {100 * votes[:, -1].min():.0f} %" in words


def test_the_surest_prediction_and_the_one_that_failed(run, pictures, tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    table = predict(run, [*pictures[0][::30], tmp_path / "broken.jpg"])
    words = describe_predictions(table)
    good = table[:4]
    assert words.startswith("4 of 5 pictures could be read.")
    assert f"most sure of {good[int(np.argmax(good['probability']))]['source']}" in words
    assert "No picture could be read" in describe_predictions(table[4:])


def test_simulated_galaxies_that_the_run_has_not_seen_are_measured(run):
    measured = evaluate_simulated(run, 60)
    assert measured["source"]["kind"] == "simulated"
    assert measured["labels"].shape == measured["predicted"].shape == (60,)
    words = describe_simulated_accuracy(measured)
    right = (measured["labels"] == measured["predicted"]).mean()
    assert words.startswith("These 60 galaxies are simulated for this figure alone")
    assert f"has {100 * right:.0f} % of these right" in words
    assert "the galaxies of arrays in memory" in words


def test_the_galaxies_that_a_run_has_seen_do_not_measure_it(run):
    seen = {**_source("simulated"), "simulation_seed": 3}
    run.__dict__["manifest"] = {**run.manifest, "source": seen}
    with pytest.raises(ValueError, match="seed=3 gives the run's own galaxies"):
        evaluate_simulated(run, 10, seed=3)
    assert "simulate_galaxy10(10, 4," in evaluate_simulated(run, 10)["source"]["name"]
