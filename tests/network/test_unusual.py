import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from galclass import load_data, load_pretrained, predict, simulate_galaxy10, split
from galclass.network.unusual import describe_images, fit_usual, rank_unusual

RNG = np.random.default_rng(0)
CHANGES = {
    "gamma 0.5": lambda images: (255 * (images / 255) ** 0.5).astype(np.uint8),
    "colours swapped": lambda images: images[..., ::-1],
    "random pixels": lambda images: RNG.integers(0, 256, images.shape, np.uint8),
    "nothing but black": np.zeros_like,
}


@pytest.fixture(scope="module")
def usual():
    images, _ = simulate_galaxy10(900, 1)
    return fit_usual(images[:700], images[700:])


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_changed_images_are_unusual_and_unseen_ones_are_not(usual, change):
    images, _ = simulate_galaxy10(200, 2)
    same, changed = rank_unusual(usual, images), rank_unusual(usual, change(images))
    assert np.mean(same > 0.99) < 0.05
    assert roc_auc_score(np.repeat([0, 1], 200), np.r_[same, changed]) > 0.9


def test_real_galaxies_are_told_from_changed_ones_as_the_documentation_says(real_path):
    images, labels, _ = load_data(real_path)
    unseen = images[split(labels).test]
    usual = load_pretrained().usual
    same = rank_unusual(usual, unseen)
    assert np.mean(same > 0.99) <= 0.02
    for change in CHANGES.values():
        changed = rank_unusual(usual, change(unseen[:500]))
        truth = np.repeat([0, 1], [len(same), len(changed)])
        assert roc_auc_score(truth, np.r_[same, changed]) > 0.95


def test_ranks_are_shares_of_validation_images_and_never_sure_of_few(usual):
    images, _ = simulate_galaxy10(30, 3)
    noise = CHANGES["random pixels"](images)
    assert rank_unusual(usual, noise) == pytest.approx(200 / 201)
    few = fit_usual(images[:20], images[20:])
    assert rank_unusual(few, noise).max() < 0.99
    assert describe_images(np.repeat(images[:3, 10:46, 10:46, :1], 3, axis=3)).shape == (3, 39)


def test_predictions_say_how_unusual_images_are_and_warn_of_many():
    images, _ = simulate_galaxy10(4, 5)
    table = predict([images[0], "gone.png"])
    assert table["unusual"].mask.tolist() == [False, True]
    with pytest.warns(UserWarning, match="2 of 4 images are unlike those of the training"):
        predict([*images[:2], *CHANGES["random pixels"](images[:2])])
