import json

import numpy as np
import pytest

from galclass import load_pretrained, predict, pretrained
from galclass.calibration import choose_prior_strength, log_prior_shift, shift_prior
from galclass.evaluation import compute_metrics, predict_proba, run_split
from galclass.runs import RunError


def test_shifting_the_prior_is_bayes_theorem():
    rng = np.random.default_rng(0)
    likelihood = rng.random((50, 10))
    old, new = rng.random(10) + 0.1, rng.random(10) + 0.1

    def posterior(prior):
        joint = likelihood * prior
        return joint / joint.sum(axis=1, keepdims=True)

    np.testing.assert_allclose(shift_prior(posterior(old), old, new), posterior(new))
    np.testing.assert_allclose(shift_prior(posterior(old), old, new, strength=0), posterior(old))
    with pytest.raises(ValueError, match="above 0"):
        log_prior_shift(old, np.zeros(10))


def test_the_strength_serves_the_new_mix_within_the_allowed_loss():
    rng = np.random.default_rng(0)
    old, new = np.array([0.02, 0.98]), np.array([0.5, 0.5])
    labels = (rng.random(4000) > 0.02).astype(int)
    evidence = rng.normal(labels * 1.5)
    logit = 1.5 * evidence - 1.125 + np.log(0.98 / 0.02)
    probabilities = np.stack([1 / (1 + np.exp(logit)), 1 / (1 + np.exp(-logit))], axis=1)
    strengths = [
        choose_prior_strength(labels, probabilities, old, new, largest_loss=loss)
        for loss in (0.0, 0.02, 1.0)
    ]
    assert strengths == sorted(strengths)
    assert strengths[-1] > 0.5
    for strength, loss in zip(strengths, (0.0, 0.02, 1.0), strict=True):
        shifted = shift_prior(probabilities, old, new, strength=strength)
        plain = [compute_metrics(labels, p)["accuracy"] for p in (probabilities, shifted)]
        assert plain[1] >= plain[0] - loss


@pytest.fixture(scope="module")
def packed(trained, pictures, tmp_path_factory):
    folder = tmp_path_factory.mktemp("packed")
    return folder, pretrained.pack(trained, *pictures, folder=folder)


def test_a_packed_network_gives_what_its_card_says(packed, trained, pictures, monkeypatch):
    folder, card = packed
    monkeypatch.setattr(pretrained.resources, "files", lambda name: folder)
    model = load_pretrained()
    test = run_split(trained, pictures[1]).test
    probabilities = predict_proba(model, pictures[0], test, symmetric=True)
    assert compute_metrics(pictures[1][test], probabilities) == card["test"]
    arrays = np.load(folder / "pretrained.npz")
    assert {arrays[name].dtype for name in arrays.files} == {np.dtype(np.float16)}


def test_a_damaged_packed_network_is_refused(packed, tmp_path, monkeypatch):
    folder, card = packed
    arrays = dict(np.load(folder / "pretrained.npz"))
    arrays["w0"] = arrays["w0"] + np.float16(1)
    np.savez(tmp_path / "pretrained.npz", **arrays)
    (tmp_path / "pretrained.json").write_text(json.dumps(card))
    monkeypatch.setattr(pretrained.resources, "files", lambda name: tmp_path)
    with pytest.raises(RunError, match="damaged"):
        load_pretrained()


def test_the_network_in_the_box_classifies_without_data(pictures):
    table = predict(load_pretrained(), pictures[0][:3])
    total = sum(np.asarray(table[f"p{c}"]) for c in range(10))
    np.testing.assert_allclose(total, 1, rtol=1e-5)
    half = predict(load_pretrained(precision="bfloat16"), pictures[0][:3])
    np.testing.assert_allclose(half["probability"], table["probability"], atol=0.05)
    card = pretrained.pretrained_card()
    assert card["source"]["galaxies"] == sum(card["class_counts"])
    assert 0 < card["test"]["accuracy"] < 1
