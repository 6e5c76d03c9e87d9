"""Simulated galaxies are reproducible, and their images show their labels and parameters."""

import re
from dataclasses import replace

import numpy as np
import pytest

from galclass.data.arrays import check_images, check_labels
from galclass.data.galaxy10 import CLASS_COUNTS
from galclass.errors import ParameterError
from galclass.files import sha256_of_arrays
from galclass.simulation.simulate import _draw_agreed_galaxy, _vote, simulate_galaxy10


@pytest.fixture(scope="module")
def balanced():
    """300 galaxies, 30 per class, with their parameters."""
    return simulate_galaxy10(300, 0, class_fractions="balanced", return_parameters=True)


def measure_form(image):
    """Axis ratio and position angle (degrees), from the second moments of the light."""
    light = image.mean(axis=2)
    row, column = np.mgrid[:69, :69]
    up = 34.0 - row
    left = 34.0 - column
    # Neighbours at the border would round an edge-on galaxy.
    light = np.clip(light - np.median(light) - 12, 0, None) * (np.hypot(up, left) < 26)
    xx = (light * left**2).sum()
    yy = (light * up**2).sum()
    xy = (light * left * up).sum()
    mean = (xx + yy) / 2
    spread = np.hypot((xx - yy) / 2, xy)
    axis_ratio = np.sqrt((mean - spread) / (mean + spread))
    return axis_ratio, np.degrees(np.arctan2(2 * xy, yy - xx) / 2)


def test_galaxies_of_a_seed_never_change_and_have_the_form_of_galaxy10():
    images, labels = simulate_galaxy10(50, 0)
    assert check_images(images, shape=(69, 69, 3)) is images
    assert check_labels(labels, 50) is labels
    digest = sha256_of_arrays(images, labels)
    assert digest == "0c7f2f62a0c9f1140a71f0a9fefea688ef12f1b8782d793b1b8c1da45f57c32d"


@pytest.mark.parametrize("fractions", ["galaxy10", "balanced", np.arange(10)])
def test_galaxy_depends_on_the_seed_but_not_on_the_number_of_galaxies(fractions):
    settings = {"class_fractions": fractions, "return_parameters": True}
    np.random.seed(1)  # noqa: NPY002
    some = simulate_galaxy10(7, 5, **settings)
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    more = simulate_galaxy10(23, 5, **settings)
    np.testing.assert_array_equal(state, np.random.get_state()[1])  # noqa: NPY002
    np.random.seed(2)  # noqa: NPY002
    assert sha256_of_arrays(*some) == sha256_of_arrays(*(array[:7] for array in more))
    other = simulate_galaxy10(7, 4, **settings)
    assert len({image.tobytes() for image in (*more[0], *other[0])}) == 30


def test_class_fractions_are_kept_and_need_not_sum_to_one(balanced):
    own = [0, 0, 6, 0, 0, 0, 0, 0, 2, 0]
    _, labels = simulate_galaxy10(40, 1, class_fractions=own)
    _, labels_of_galaxy10 = simulate_galaxy10(50, 0)
    drawn = [(labels, own), (labels_of_galaxy10, CLASS_COUNTS), (balanced[1], np.ones(10))]
    for labels, fractions in drawn:
        expected = len(labels) * np.array(fractions) / sum(fractions)
        assert np.abs(np.bincount(labels, minlength=10) - expected).max() <= 2


def test_label_has_more_than_55_percent_of_the_votes(balanced):
    _, labels, parameters = balanced
    votes = parameters["votes"]
    highest = votes.max(axis=1)
    np.testing.assert_array_equal(votes.argmax(axis=1), labels)
    assert highest.min() > 0.55
    assert votes.sum(axis=1).max() <= 1 + 1e-6
    # Volunteers who always agreed would make the classes easier than they are.
    assert np.median(highest) < 0.97


def test_images_show_the_shapes_of_their_classes_and_parameters(balanced):
    images, labels, parameters = balanced
    axis_ratios, angles = np.transpose([measure_form(image) for image in images])
    median = np.array([np.median(axis_ratios[labels == label]) for label in range(10)])
    assert median[[4, 5, 6]].max() < 0.45
    assert median[3] < 0.55
    assert median[1] > 0.8 > median[2] > median[3]
    smooth = parameters["kind"] == "elliptical"
    assert np.corrcoef(axis_ratios[smooth], parameters["axis_ratio"][smooth])[0, 1] > 0.85
    errors = np.abs((angles - parameters["position_angle"] + 90) % 180 - 90)
    assert np.median(errors[labels == 4]) < 3


def test_images_show_the_colour_the_brightness_and_the_noise_of_the_sky(balanced):
    images, _, parameters = balanced
    middle = images[:, 29:40, 29:40].astype(float).mean(axis=(1, 2))
    redness = (middle[:, 0] - middle[:, 2]) / middle.sum(axis=1)
    assert np.corrcoef(redness, parameters["g_r"])[0, 1] > 0.8
    # A magnitude is smaller if the galaxy is brighter.
    assert np.corrcoef(middle.mean(axis=1), parameters["surface_brightness"])[0, 1] < -0.5
    corners = images[:, :8, :8].mean(axis=3).reshape(len(images), -1)
    assert 2 < np.median(corners) < 9
    assert 1 < np.median(corners.std(axis=1)) < 5
    # The signal is relative to the noise of the image itself. Galaxies hardly change the
    # differences of neighbouring pixels in the upper rows.
    noise = np.abs(np.diff(images[:, :10, :, 1].astype(float))).mean(axis=(1, 2))
    light = 10 ** (-0.4 * parameters["magnitude_r"]) / parameters["petrosian_r90"]
    assert np.corrcoef(noise, light / parameters["signal_to_noise"])[0, 1] > 0.5


def test_classes_have_their_kinds_and_absent_parts_are_zero(balanced):
    _, labels, parameters = balanced
    kind = parameters["kind"]
    assert set(kind) == {"elliptical", "lenticular", "spiral", "edge-on"}
    assert set(kind[labels >= 7]) == {"spiral"}
    assert set(kind[(labels >= 4) & (labels <= 6)]) == {"edge-on"}
    for name in ("arm_number", "arm_contrast", "pitch_angle", "bar_to_total", "ring_to_total"):
        assert not parameters[name][kind != "spiral"].any()
    assert (parameters["bulge_to_total"][kind == "elliptical"] == 1).all()
    assert parameters["bulge_to_total"][kind == "edge-on"].max() < 0.5
    assert set(labels[parameters["ring_to_total"] > 0]) == {0}
    tight, medium, loose = (parameters["pitch_angle"][labels == label] for label in (7, 8, 9))
    assert np.median(tight) < np.percentile(medium, 10)
    assert np.percentile(medium, 90) < np.median(loose)


def test_volunteers_do_not_see_arms_that_the_seeing_blurs():
    spirals = [_draw_agreed_galaxy(np.random.default_rng(seed), 7)[0] for seed in range(20)]

    def share_of_spirals(**changes):
        galaxies = [replace(galaxy, **changes) for galaxy in spirals]
        votes = np.sum([_vote(np.random.default_rng(0), galaxy) for galaxy in galaxies], axis=0)
        return votes[7:10].sum() / votes.sum()

    blurred = share_of_spirals(seeing=3.0)
    assert share_of_spirals() > 0.6
    assert blurred < 0.3
    assert share_of_spirals(seeing=3.0, pitch_angle=35.0) > 2 * blurred


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("n", [0, -3, 2.0, True, "ten"]),
        ("seed", [-1, None, 1.5]),
        ("class_fractions", ["real", [1, 2], np.ones((10, 1)), {"spiral": 1}, None]),
        ("class_fractions", [[0] * 10, *([x] + [1] * 9 for x in (-1, np.nan, np.inf))]),
    ],
)
def test_errors_say_what_was_found_and_what_was_expected(name, values):
    for value in values:
        with pytest.raises(ParameterError, match=f"{name}.*{re.escape(repr(value))}.*expected"):
            simulate_galaxy10(**({"n": 1} | {name: value}))
