import hashlib
import re

import numpy as np
import pytest

from galclass import simulate_galaxy10
from galclass.data.arrays import check_images, check_labels
from galclass.data.galaxy10 import CLASS_COUNTS
from galclass.data.simulate import FIELD, SDSS_PIXEL, SKY_NOISE, _agreed_galaxy, _bands, _votes
from galclass.errors import ParameterError


@pytest.fixture(scope="module")
def balanced():
    """300 galaxies, 30 a class, with their parameters."""
    return simulate_galaxy10(300, 0, class_fractions="balanced", return_parameters=True)


def measured_form(image):
    """Axis ratio and position angle of the second moments of the light around the centre."""
    light = image.mean(axis=2)
    y, x = 34 - np.mgrid[:69, :69].astype(float)  # Up and to the left.
    # Neighbours at the border would round an edge-on galaxy.
    light = np.clip(light - np.median(light) - 12, 0, None) * (np.hypot(x, y) < 26)
    xx, yy, xy = ((light * m).sum() for m in (x * x, y * y, x * y))
    mean, spread = (xx + yy) / 2, np.hypot((xx - yy) / 2, xy)
    ratio = np.sqrt((mean - spread) / (mean + spread))
    return ratio, np.degrees(np.arctan2(2 * xy, yy - xx) / 2)


def digest(arrays):
    return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()


def test_simulated_galaxies_have_galaxy10s_form_and_fractions_and_are_the_same_for_ever():
    images, labels = simulate_galaxy10(50, 0)
    assert check_images(images) is images
    assert check_labels(labels, 50) is labels
    assert images.dtype == labels.dtype == np.uint8
    assert digest((images, labels)).startswith("0c7f2f62a0c9f1140a71f0a9fefea688")
    expected = 50 * np.array(CLASS_COUNTS) / sum(CLASS_COUNTS)
    assert np.abs(np.bincount(labels, minlength=10) - expected).max() < 2


@pytest.mark.parametrize("fractions", ["galaxy10", "balanced", np.arange(10)])
def test_a_galaxy_depends_on_the_seed_but_not_on_how_many_are_asked_for(fractions):
    settings = {"class_fractions": fractions, "return_parameters": True}
    np.random.seed(1)  # noqa: NPY002
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    some = simulate_galaxy10(7, 5, **settings)
    np.testing.assert_array_equal(state, np.random.get_state()[1])  # noqa: NPY002
    np.random.seed(2)  # noqa: NPY002
    more = simulate_galaxy10(23, 5, **settings)
    assert digest(some) == digest(array[:7] for array in more)
    other = simulate_galaxy10(7, 4, **settings)
    assert len({image.tobytes() for image in (*more[0], *other[0])}) == 30


def test_own_fractions_are_kept_and_need_not_sum_to_one(balanced):
    labels = simulate_galaxy10(40, 1, class_fractions=[0, 0, 6, 0, 0, 0, 0, 0, 2, 0])[1]
    assert set(labels) == {2, 8}
    assert abs(np.count_nonzero(labels == 2) - 30) <= 2
    assert np.abs(np.bincount(balanced[1], minlength=10) - 30).max() <= 2


def test_a_label_has_more_than_55_percent_of_the_votes(balanced):
    _, labels, parameters = balanced
    votes, highest = parameters["votes"], parameters["votes"].max(axis=1)
    assert np.array_equal(votes.argmax(axis=1), labels)
    assert highest.min() > 0.55
    assert votes.sum(axis=1).max() <= 1 + 1e-6
    # Volunteers who always agreed would make the classes easier than they are.
    assert np.median(highest) < 0.97


def test_images_follow_their_classes_and_parameters(balanced):
    images, labels, parameters = balanced
    measured, angles = np.transpose([measured_form(image) for image in images])
    median = np.array([np.median(measured[labels == label]) for label in range(10)])
    assert median[[4, 5, 6]].max() < 0.45
    assert median[3] < 0.55
    assert median[1] > 0.8 > median[2] > median[3]
    errors = np.abs((angles - parameters["position_angle"] + 90) % 180 - 90)
    assert np.median(errors[labels == 4]) < 3
    smooth = parameters["kind"] == "elliptical"
    middle = images[:, 29:40, 29:40].astype(float).mean(axis=(1, 2))
    redness = (middle[:, 0] - middle[:, 2]) / middle.sum(axis=1)
    for name, found, chosen, least in (
        ("axis_ratio", measured, smooth, 0.85),
        ("g_r", redness, labels < 10, 0.8),
        ("surface_brightness", -middle.mean(axis=1), labels < 10, 0.5),
    ):
        assert np.corrcoef(found[chosen], parameters[name][chosen])[0, 1] > least, name
    corners = images[:, :8, :8].mean(axis=3).reshape(len(images), -1)  # Dark and noisy.
    assert 2 < np.median(corners) < 9
    assert 1 < np.median(corners.std(axis=1)) < 5


def test_what_a_kind_lacks_is_zero_and_windings_follow_the_pitch_angle(balanced):
    _, labels, parameters = balanced
    kind = parameters["kind"]
    assert set(kind) == {"elliptical", "lenticular", "spiral", "edge-on"}
    assert set(kind[labels >= 7]) == {"spiral"}
    assert set(kind[(labels >= 4) & (labels <= 6)]) == {"edge-on"}
    for name in ("arm_number", "arm_contrast", "pitch_angle", "bar_to_total", "ring_to_total"):
        assert not parameters[name][kind != "spiral"].any()
    assert (parameters["bulge_to_total"][kind == "elliptical"] == 1).all()
    assert parameters["bulge_to_total"][kind == "edge-on"].max() < 0.5
    tight, medium, loose = (parameters["pitch_angle"][labels == label] for label in (7, 8, 9))
    assert np.median(tight) < np.percentile(medium, 10)
    assert np.percentile(medium, 90) < np.median(loose)
    assert set(labels[parameters["ring_to_total"] > 0]) == {0}


def test_windings_that_the_seeing_blurs_are_not_seen():
    spirals = [_agreed_galaxy(np.random.default_rng(i), 7) for i in range(20)]

    def share_of_spirals(**other):
        votes = np.sum([_votes(np.random.default_rng(0), g | other) for g in spirals], axis=0)
        return votes[7:10].sum() / votes.sum()

    blurred = share_of_spirals(seeing=3.0)
    assert share_of_spirals() > 0.6 > 0.3 > blurred
    assert share_of_spirals(seeing=3.0, pitch_angle=35.0) > 2 * blurred


def test_signal_to_noise_is_that_of_the_image_itself():
    _, labels, stored = simulate_galaxy10(60, 3, return_parameters=True)
    measured, before = [], []
    for number, label in enumerate(labels):
        rng = np.random.default_rng(np.random.SeedSequence(3, spawn_key=(number,)))
        galaxy = _agreed_galaxy(rng, label)
        before.append(galaxy["signal_to_noise"])
        (_, r, _), field = _bands(rng, galaxy)
        assert stored["signal_to_noise"][number] == np.float32(galaxy["signal_to_noise"])
        # white noise: differences of neighbours, by quantiles, that galaxies hardly change
        edge = np.concatenate([np.diff(r[:12]).ravel(), np.diff(r[-12:]).ravel()])
        noise = np.subtract(*np.percentile(edge, [75, 25])) / 1.349 / 2**0.5
        binning = FIELD * galaxy["petrosian_r90"] / SDSS_PIXEL / field
        measured.append(noise / (SKY_NOISE[1] / binning))
    ratio = np.array(before) / stored["signal_to_noise"]
    np.testing.assert_allclose(np.median(measured / ratio), 1, atol=0.03)
    assert np.corrcoef(measured, ratio)[0, 1] > 0.95


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("n", [0, -3, 2.0, True, "ten"]),
        ("seed", [-1, None, 1.5]),
        ("class_fractions", ["real", [1, 2], np.ones((10, 1)), {"spiral": 1}, None]),
        ("class_fractions", [[0] * 10, *([x] + [1] * 9 for x in (-1, np.nan, np.inf))]),
    ],
)
def test_bad_use_is_refused_with_what_to_do(name, values):
    for value in values:
        with pytest.raises(ParameterError, match=f"{name}.*{re.escape(repr(value))}.*expected"):
            simulate_galaxy10(**({"n": 1} | {name: value}))
