import itertools

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from galclass.augmentation import apply_symmetry, augment, draw_warps


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


def _warped(images, seed, *, symmetries=True, brightness=0.0, **sizes):
    rng = np.random.default_rng(seed)
    warps = draw_warps(69, rng, count=8, **sizes)
    return augment(images, rng, warps=warps, symmetries=symmetries, brightness=brightness)


def test_augmentation_keeps_range_type_and_bands(images):
    bands = np.zeros((8, 69, 69, 3), np.uint8)
    bands[..., 0], bands[..., 1], bands[..., 2] = 200, 100, 10
    changed = _warped(bands, 0, rotation=180, zoom=0.2, shift=4)
    np.testing.assert_array_equal(changed, bands)
    loud = _warped(images, 0, rotation=90, brightness=0.5)
    assert loud.dtype == np.uint8
    assert loud.shape == images.shape
    white = np.full((4, 69, 69, 3), 255, np.uint8)
    brighter = _warped(white, 0, brightness=0.5)
    assert brighter.min() >= 170  # 255 / 1.5; more than 255 would have come round to 0


def test_augmentation_is_a_function_of_its_generator(images):
    def once(seed):
        return _warped(images, seed, rotation=20, shift=2)

    np.testing.assert_array_equal(once(3), once(3))
    assert not np.array_equal(once(3), once(4))


def test_warps_interpolate_as_a_well_kept_library_does(images):
    rng = np.random.default_rng(2)
    (warp,) = draw_warps(69, rng, rotation=30, zoom=0.1, shift=2, count=1)
    y, x = np.indices((69, 69)).reshape(2, -1)
    # A linear picture is interpolated exactly, so that these are the places that are read.
    places = np.stack([warp @ y.astype(np.float32), warp @ x.astype(np.float32)])
    inside = ((places > 0.01) & (places < 67.99)).all(axis=0)
    assert inside.mean() > 0.6
    expected = map_coordinates(images[0, ..., 0].astype(float), places, order=1)
    np.testing.assert_allclose(
        (warp @ images[0, ..., 0].ravel())[inside], expected[inside], atol=0.1
    )


def test_a_free_rotation_turns_about_the_centre():
    image = np.zeros((1, 69, 69, 3), np.uint8)
    image[0, 32:37, 32:37] = 255
    image[0, 10, 34] = 255
    for seed in range(5):
        turned = _warped(image, seed, symmetries=False, rotation=180)[0, ..., 0]
        assert turned[34, 34] == 255
        radius = np.hypot(*(np.indices((69, 69)) - 34))
        # Farther out lies the reflection of what is inside.
        y, x = np.argwhere((turned > 60) & (radius > 15) & (radius < 34)).T
        assert len(y) > 0
        np.testing.assert_allclose(np.hypot(y - 34, x - 34), 24, atol=1.5)


def test_a_shift_keeps_its_bounds():
    image = np.zeros((1, 69, 69, 3), np.uint8)
    image[0, 34, 34] = 255
    places = []
    for seed in range(20):
        moved = _warped(image, seed, symmetries=False, shift=3)[0, ..., 0].astype(float)
        places.append([(moved * axis).sum() / moved.sum() - 34 for axis in np.indices((69, 69))])
    assert np.abs(places).max() <= 3.01
    assert np.std(places, axis=0).min() > 0.8  # 1.7 for a uniform shift


def test_nothing_is_changed_when_nothing_is_asked_for(images):
    assert draw_warps(69, np.random.default_rng(0)) == []
    same = augment(images, np.random.default_rng(0), symmetries=False)
    np.testing.assert_array_equal(same, images)
