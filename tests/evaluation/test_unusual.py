import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from galclass import load_data, load_pretrained, simulate_galaxy10, split
from galclass.evaluation.unusual import describe_images, fit_usual, rank_unusual

RNG = np.random.default_rng(0)
CHANGES = {
    "gamma 0.5": lambda images: (255 * (images / 255) ** 0.5).astype(np.uint8),
    "swapped colours": lambda images: images[..., ::-1],
    "random pixels": lambda images: RNG.integers(0, 256, images.shape, np.uint8),
    "black": np.zeros_like,
}


@pytest.fixture(scope="module")
def usual():
    images, _ = simulate_galaxy10(900, 1)
    return fit_usual(images[:700], images[700:])


def separation(ranks, changed_ranks):
    """Return the area under the ROC curve."""
    is_changed = np.repeat([0, 1], [len(ranks), len(changed_ranks)])
    return roc_auc_score(is_changed, np.concatenate([ranks, changed_ranks]))


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_changed_images_are_unusual_and_unseen_ones_are_not(usual, change):
    images, _ = simulate_galaxy10(200, 2)
    ranks = rank_unusual(usual, images)
    assert np.mean(ranks > 0.99) < 0.05
    assert separation(ranks, rank_unusual(usual, change(images))) > 0.9


@pytest.mark.slow
def test_pretrained_network_separates_real_galaxies_from_changed_ones(real_path):
    images, labels, _ = load_data(real_path)
    unseen = images[split(labels).test]
    usual = load_pretrained().usual
    ranks = rank_unusual(usual, unseen)
    assert np.mean(ranks > 0.99) <= 0.02
    for change in CHANGES.values():
        assert separation(ranks, rank_unusual(usual, change(unseen[:500]))) > 0.95


def test_rank_is_the_fraction_of_validation_images_that_are_nearer(usual):
    images, _ = simulate_galaxy10(30, 3)
    noise = CHANGES["random pixels"](images)
    assert rank_unusual(usual, noise) == pytest.approx(200 / 201)
    few = fit_usual(images[:20], images[20:])
    assert rank_unusual(few, noise) == pytest.approx(10 / 11)


@pytest.mark.parametrize("side", [32, 69, 256])
def test_images_of_any_size_are_described_by_39_numbers(side):
    images = RNG.integers(0, 256, (3, side, side, 3), np.uint8)
    assert describe_images(images).shape == (3, 39)
