import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from galclass.network.probabilities import predict_proba
from galclass.network.symmetry import apply_symmetry, find_copies


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(1).integers(0, 256, (6, 69, 69, 3), dtype=np.uint8)


def test_the_eight_symmetries_are_a_group(images):
    each = [apply_symmetry(images, e).tobytes() for e in range(8)]
    assert len(set(each)) == 8
    assert each[0] == images.tobytes()
    for a, b in itertools.product(range(8), repeat=2):
        assert apply_symmetry(apply_symmetry(images, a), b).tobytes() in each
    assert each.count(np.rot90(images, axes=(1, 2)).tobytes()) == 1


@given(elements=st.lists(st.integers(0, 7), min_size=1, max_size=6))
@settings(max_examples=20, deadline=None)
def test_each_image_can_have_an_element_of_its_own(elements):
    images = np.arange(len(elements) * 48, dtype=np.uint8).reshape(-1, 4, 4, 3)
    together = apply_symmetry(images, np.array(elements))
    for k, element in enumerate(elements):
        np.testing.assert_array_equal(together[k], apply_symmetry(images[k : k + 1], element)[0])
        np.testing.assert_array_equal(
            apply_symmetry(images, np.int64(element)), apply_symmetry(images, element)
        )


def test_copies_are_found_also_under_a_symmetry(images):
    more = np.concatenate([images, apply_symmetry(images[2:3], 5), images[4:5]])
    assert find_copies(more) == [[2, 6], [4, 7]]
    assert find_copies(images) == []


def test_no_real_galaxy_is_in_two_parts_of_the_split(real_path):
    from galclass import load_galaxy10, split

    images, labels = load_galaxy10(real_path)
    parts = [set(part.tolist()) for part in split(labels)]
    for group in find_copies(images):
        assert sum(bool(part & set(group)) for part in parts) == 1


def test_predictions_do_not_depend_on_the_batch(trained, images_of_brightness):
    model, images = trained.load_model(), images_of_brightness[0][:10]
    together = predict_proba(model, images)
    np.testing.assert_allclose(predict_proba(model, images, batch_size=3), together, atol=1e-6)
    chosen = np.array([4, 1])
    np.testing.assert_allclose(predict_proba(model, images, chosen), together[chosen], atol=1e-6)


def test_symmetric_prediction_does_not_change_under_a_symmetry(trained, images):
    model = trained.load_model()
    first, again = (predict_proba(model, apply_symmetry(images, e), symmetric=True) for e in (0, 5))
    np.testing.assert_allclose(first, again, atol=1e-6)
    assert np.abs(first - predict_proba(model, images)).max() > 1e-6
