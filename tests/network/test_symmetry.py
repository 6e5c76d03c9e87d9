"""Flips and rotations make eight images of a galaxy, which is recognized in all of them."""

import itertools

import numpy as np
import pytest

from galclass import load_galaxy10, split
from galclass.network.symmetry import apply_symmetry, find_copies, hash_images

IMAGES = np.random.default_rng(1).integers(0, 256, (6, 69, 69, 3), np.uint8)


def test_eight_symmetries_are_a_group_of_flips_and_rotations():
    transformed = [apply_symmetry(IMAGES, element) for element in range(8)]
    contents = {one.tobytes() for one in transformed}
    assert len(contents) == 8
    np.testing.assert_array_equal(transformed[0], IMAGES)
    assert np.rot90(IMAGES, axes=(1, 2)).tobytes() in contents
    assert IMAGES[:, ::-1].tobytes() in contents
    for one, element in itertools.product(transformed, range(8)):
        assert apply_symmetry(one, np.int64(element)).tobytes() in contents


def test_each_image_can_have_its_own_symmetry():
    for elements in ([7, 6, 5, 4, 3, 2], [0, 1, 1, 0, 3, 3]):
        together = apply_symmetry(IMAGES, np.array(elements))
        alone = [apply_symmetry(IMAGES[[k]], element)[0] for k, element in enumerate(elements)]
        np.testing.assert_array_equal(together, alone)


def test_hash_is_the_same_for_all_symmetries_of_a_galaxy_and_differs_between_galaxies():
    hashes = hash_images(IMAGES)
    assert len(set(hashes.tolist())) == 6
    for element in range(8):
        np.testing.assert_array_equal(hash_images(apply_symmetry(IMAGES, element)), hashes)
    changed = IMAGES.copy()
    changed[3, 5, 5, 1] ^= 1
    assert (hash_images(changed) == hashes).tolist() == [True, True, True, False, True, True]


def test_copies_are_found_also_under_a_symmetry():
    with_copies = np.concatenate([IMAGES, apply_symmetry(IMAGES[2:3], 5), IMAGES[4:5]])
    assert find_copies(with_copies) == [[2, 6], [4, 7]]
    assert find_copies(IMAGES) == []


@pytest.mark.slow
def test_no_real_galaxy_is_in_two_sets_of_the_split(real_path):
    images, labels, _ = load_galaxy10(real_path)
    parts = [set(part.tolist()) for part in split(labels)]
    for group in find_copies(images):
        assert sum(bool(part & set(group)) for part in parts) == 1
