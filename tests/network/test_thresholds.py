import numpy as np
import pytest

from galclass import load_pretrained
from galclass.errors import ParameterError
from galclass.network.thresholds import choose_thresholds, sample_curve


def made_up(n, seed):
    """Two classes: of the galaxies with a probability p of the second, this share is of it."""
    rng = np.random.default_rng(seed)
    p = rng.uniform(0, 1, n)
    return (rng.uniform(0, 1, n) < p).astype(int), np.stack([1 - p, p], axis=1)


def test_the_curve_counts_what_is_at_or_above_each_probability():
    labels, p = np.array([1, 1, 0, 1, 0]), np.array([0.9, 0.8, 0.8, 0.6, 0.1])
    curve = sample_curve(labels, np.stack([1 - p, p], axis=1), 1)
    np.testing.assert_allclose(curve["threshold"], [0.9, 0.8, 0.6])
    assert curve["galaxies"].tolist() == [1, 3, 4]
    np.testing.assert_allclose(curve["purity"], [1, 2 / 3, 3 / 4])
    np.testing.assert_allclose(curve["completeness"], [1 / 3, 2 / 3, 1])


def test_unseen_samples_have_the_purity_that_was_asked_for_in_most_of_many_draws():
    held = []
    for seed in range(60):
        validation, test = made_up(1500, seed), made_up(20000, 99 + seed)
        row = choose_thresholds(validation, test, ("no", "yes"), purity=0.9)[1]
        held.append(row["test_purity"] >= 0.9)
    assert np.mean(held) > 0.7


def test_a_class_with_too_few_galaxies_has_no_threshold():
    few = np.array([1] * 8), np.tile([0.02, 0.98], (8, 1))
    table = choose_thresholds(few, few, ("a", "b"), purity=0.9)
    assert table["threshold"].mask.all()
    assert "too few" in table["threshold"].description
    assert table["test_purity"].mask.all()
    assert (table["threshold"].dtype.kind, table["test_galaxies"].dtype.kind) == ("f", "i")


def test_the_pretrained_network_has_samples_of_known_purity_and_completeness():
    run = load_pretrained()
    pure, whole = run.thresholds(purity=0.95), run.thresholds(completeness=0.8)
    for c in (1, 2):  # The smooth ones, of which there are many.
        assert pure["test_purity_high"][c] > 0.95
        assert whole["test_completeness"][c] > 0.78
        assert whole["threshold"][c] > pure["threshold"][c]
    assert pure["threshold"].mask[5]  # Boxy bulges.


@pytest.mark.parametrize("asked", [{}, {"purity": 1.2}, {"purity": True}, {"purity": "0.9"}])
def test_what_is_no_purity_is_refused(asked):
    with pytest.raises(ParameterError, match="expected one of them, between 0 and 1"):
        load_pretrained().thresholds(**asked)


def test_of_samples_that_are_complete_enough_it_is_the_purest():
    labels = np.array([1] + [0] * 30 + [1] * 5)
    p = np.r_[0.99, 0.9 - 0.001 * np.arange(30), [0.2] * 5]
    both = labels, np.stack([p, 1 - p], axis=1)
    table = choose_thresholds(both, both, ("a", "b"), completeness=0.5)
    assert table["validation_purity"][0] == pytest.approx(30 / 31)
