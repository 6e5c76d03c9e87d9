import numpy as np
import pytest

from galclass import load_pretrained, thresholds
from galclass.errors import ParameterError
from galclass.evaluation.thresholds import sample_curve
from galclass.run import Run


@pytest.fixture
def make_run(tmp_path):
    """Return a function that makes a run from labels and probabilities of its second class."""
    run = Run(tmp_path / "run")
    manifest = load_pretrained().manifest
    manifest["origin"]["class_names"] = ["first", "second"]
    run.write_manifest(manifest)

    def make(validation, test):
        for name, (labels, p) in (("validation", validation), ("predictions", test)):
            probabilities = np.stack([1 - p, p], axis=1)
            run.write_arrays(name, indices=labels, labels=labels, probabilities=probabilities)
        return run

    return make


def draw(n, seed):
    """Draw galaxies of which the fraction p is of the second class, and p itself."""
    rng = np.random.default_rng(seed)
    p = rng.uniform(0, 1, n)
    return (rng.uniform(0, 1, n) < p).astype(int), p


def test_curve_counts_the_galaxies_at_or_above_each_probability():
    labels = np.array([1, 1, 0, 1, 0])
    p = np.array([0.9, 0.8, 0.8, 0.6, 0.1])
    curve = sample_curve(labels, np.stack([1 - p, p], axis=1), 1)
    for key, expected in (
        ("threshold", [0.9, 0.8, 0.6]),
        ("galaxies", [1, 3, 4]),
        ("correct", [1, 2, 3]),
        ("purity", [1, 2 / 3, 3 / 4]),
        ("completeness", [1 / 3, 2 / 3, 1]),
    ):
        np.testing.assert_allclose(curve[key], expected)
    assert (curve["purity_low"] < curve["purity"]).all()


def test_most_samples_of_unseen_galaxies_have_the_purity_that_was_asked_for(make_run):
    is_pure = []
    for seed in range(40):
        run = make_run(draw(1500, seed), draw(20000, 99 + seed))
        is_pure.append(thresholds(run, purity=0.9)["test_purity"][1] >= 0.9)
    assert np.mean(is_pure) > 0.7


def test_sample_of_a_given_completeness_is_the_purest(make_run):
    labels = np.array([0] + [1] * 30 + [0] * 5)
    p = np.array([0.99, *(0.9 - 0.001 * np.arange(30)), *[0.2] * 5])
    table = thresholds(make_run((labels, p), (labels, p)), completeness=0.5)
    assert table["validation_purity"][1] == pytest.approx(30 / 31)
    assert table["validation_completeness"][1] == 1
    assert table["test_galaxies"][1] == 31


def test_class_with_too_few_galaxies_has_no_threshold(make_run):
    few = (np.ones(8, int), np.full(8, 0.98))
    table = thresholds(make_run(few, few), purity=0.9)
    assert table["threshold"].mask.all()
    assert table["test_purity"].mask.all()
    assert "no sample reaches a purity of 0.9" in table["threshold"].description
    assert table["threshold"].dtype.kind == "f"
    assert table["test_galaxies"].dtype.kind == "i"


def test_pretrained_network_gives_pure_and_complete_samples():
    run = load_pretrained()
    pure = thresholds(run, purity=0.95)
    complete = thresholds(run.path, completeness=0.8)
    assert pure["name"].tolist() == list(run.class_names)
    for c in (1, 2):  # the smooth classes, which have many galaxies
        assert pure["test_purity_low"][c] < pure["test_purity"][c]
        assert pure["test_purity_high"][c] > 0.95
        assert complete["test_completeness"][c] > 0.78
        assert complete["threshold"][c] > pure["threshold"][c]
    assert pure["threshold"].mask[5]  # boxy bulges, of which there are 14


@pytest.mark.parametrize(
    "targets",
    [{}, {"purity": 1.2}, {"purity": True}, {"purity": "0.9"}, {"purity": 0.9, "completeness": 1}],
)
def test_other_targets_are_refused(targets):
    with pytest.raises(ParameterError, match="expected one of them, between 0 and 1"):
        thresholds(load_pretrained(), **targets)
