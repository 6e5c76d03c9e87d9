import itertools

import numpy as np
import pytest

from galclass.augmentation import apply_symmetry, augment


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(1).integers(0, 256, (6, 69, 69, 3), dtype=np.uint8)


def test_the_eight_symmetries_are_a_group(images):
    turned = [apply_symmetry(images, e).tobytes() for e in range(8)]
    assert len(set(turned)) == 8
    assert turned[0] == images.tobytes()
    for a, b in itertools.product(range(8), repeat=2):
        assert apply_symmetry(apply_symmetry(images, a), b).tobytes() in turned
    assert turned.count(np.rot90(images, axes=(1, 2)).tobytes()) == 1


def test_each_picture_can_have_an_element_of_its_own(images):
    elements = np.array([5, 0, 7, 2, 2, 3])
    together = apply_symmetry(images, elements)
    for k, element in enumerate(elements):
        np.testing.assert_array_equal(together[k], apply_symmetry(images[k : k + 1], element)[0])


def test_augmentation_keeps_range_type_and_bands(images):
    bands = np.zeros((8, 69, 69, 3), np.uint8)
    bands[..., 0], bands[..., 1], bands[..., 2] = 200, 100, 10
    changed = np.asarray(augment(bands, np.random.default_rng(0), rotation=180, zoom=0.2, shift=4))
    np.testing.assert_array_equal(changed, bands)
    loud = np.asarray(augment(images, np.random.default_rng(0), rotation=90, brightness=0.5))
    assert loud.dtype == np.uint8
    assert loud.shape == images.shape


def test_augmentation_is_a_function_of_its_generator(images):
    def once(seed):
        return np.asarray(augment(images, np.random.default_rng(seed), rotation=20, shift=2))

    np.testing.assert_array_equal(once(3), once(3))
    assert not np.array_equal(once(3), once(4))


def test_a_free_rotation_turns_about_the_centre():
    image = np.zeros((1, 69, 69, 3), np.uint8)
    image[0, 32:37, 32:37] = 255
    image[0, 10, 34] = 255
    rng = np.random.default_rng(0)
    for _ in range(5):
        turned = np.asarray(augment(image, rng, symmetries=False, rotation=180))[0, ..., 0]
        assert turned[34, 34] == 255
        radius = np.hypot(*(np.indices((69, 69)) - 34))
        # Farther out lies the reflection of what is inside.
        y, x = np.argwhere((turned > 60) & (radius > 15) & (radius < 34)).T
        assert len(y) > 0
        np.testing.assert_allclose(np.hypot(y - 34, x - 34), 24, atol=1.5)


def test_nothing_is_changed_when_nothing_is_asked_for(images):
    same = augment(images, np.random.default_rng(0), symmetries=False)
    np.testing.assert_array_equal(same, images)
