import itertools

import numpy as np
import pytest

from galclass import build_cnn, load_galaxy10, split
from galclass.network.probabilities import predict_proba
from galclass.network.symmetry import apply_symmetry, find_copies


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(1).integers(0, 256, (6, 69, 69, 3), dtype=np.uint8)


def test_the_eight_symmetries_are_a_group_and_each_image_can_have_an_element_of_its_own(images):
    each = [apply_symmetry(images, element) for element in range(8)]
    known = [turned.tobytes() for turned in each]
    assert len(set(known)) == 8
    assert known[0] == images.tobytes()
    assert np.rot90(images, axes=(1, 2)).tobytes() in known
    for a, b in itertools.product(range(8), repeat=2):
        assert apply_symmetry(each[a], np.int64(b)).tobytes() in known
    for elements in ([7, 6, 5, 4, 3, 2], [0, 1, 1, 0, 3, 3]):
        together = apply_symmetry(images, np.array(elements))
        expected = [each[element][k] for k, element in enumerate(elements)]
        np.testing.assert_array_equal(together, expected)


def test_copies_are_found_also_under_a_symmetry(images):
    more = np.concatenate([images, apply_symmetry(images[2:3], 5), images[4:5]])
    assert find_copies(more) == [[2, 6], [4, 7]]
    assert find_copies(images) == []


@pytest.mark.slow
def test_no_real_galaxy_is_in_two_parts_of_the_split(real_path):
    images, labels = load_galaxy10(real_path)
    parts = [set(part.tolist()) for part in split(labels)]
    for group in find_copies(images):
        assert sum(bool(part & set(group)) for part in parts) == 1


def test_predictions_depend_neither_on_the_batch_nor_averaged_on_a_symmetry(like_galaxy10, images):
    model = build_cnn(seed=1, filters=((8, 8), (8,), (8,)))
    some, chosen = like_galaxy10[0][:10], np.array([4, 1])
    together = predict_proba(model, some)
    np.testing.assert_allclose(predict_proba(model, some, batch_size=3), together, atol=1e-6)
    np.testing.assert_allclose(predict_proba(model, some, chosen), together[chosen], atol=1e-6)
    listed = predict_proba(model, some, [2, 1], symmetric=True)
    expected = predict_proba(model, some, symmetric=True)[[2, 1]]
    np.testing.assert_allclose(listed, expected, atol=1e-6)
    first, again = (predict_proba(model, apply_symmetry(images, e), symmetric=True) for e in (0, 5))
    np.testing.assert_allclose(first, again, atol=1e-6)
    assert np.abs(first - predict_proba(model, images)).max() > 1e-6
