"""Colour images of bands look like Galaxy10's."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.visualization import make_lupton_rgb

from galclass import load_galaxy10
from galclass.images.prepare import prepare
from galclass.simulation.simulate import _draw_agreed_galaxy, _observe
from galclass.simulation.stretch import NONLINEARITY, SCALES, sdss_rgb


def test_stretch_equals_astropys():
    bands = np.random.default_rng(0).uniform(-0.1, 3, (3, 20, 30))
    bands *= np.logspace(-3, 1, 30)
    image = sdss_rgb(bands)
    # astropy scales by 0.1 / asinh(0.1 Q), and stretches the mean of the bands instead of the sum.
    q = 10 * np.sinh(0.3 * NONLINEARITY)
    i, r, g = np.maximum(bands, 0) * SCALES[:, None, None]
    expected = make_lupton_rgb(i, r, g, stretch=q / (3 * NONLINEARITY), Q=q)
    assert image.dtype == np.uint8
    assert image.shape == (20, 30, 3)
    assert np.abs(image.astype(int) - expected).max() <= 1


def test_bright_pixels_keep_their_colour_and_negative_ones_are_black():
    bands = np.array([400.0, 200.0, 50.0])
    scaled = bands * SCALES
    bright = sdss_rgb(bands[:, None, None])[0, 0]
    np.testing.assert_allclose(bright / 255, scaled / scaled[0], atol=1 / 255)
    assert bright[0] == 255
    assert not sdss_rgb(np.full((3, 4, 4), -1.0)).any()


def prepare_from_fits(number, folder):
    """Simulate a galaxy, and prepare it from three FITS files."""
    rng = np.random.default_rng(number)
    galaxy, _ = _draw_agreed_galaxy(rng, number % 10)
    bands, field, _ = _observe(rng, galaxy)
    paths = [folder / f"{number}{name}.fits" for name in "irg"]
    for path, band in zip(paths, bands, strict=True):
        fits.writeto(path, band[::-1])
    # The field of Galaxy10's images: 0.06 R90 per pixel.
    return prepare(tuple(paths[::-1]), crop=field / bands.shape[1])[0]


def measure(images):
    """Medians of the sky, its noise and the middle of the galaxies in red, green and blue."""
    ends = np.r_[:8, 61:69]
    corners = images[:, ends][:, :, ends].reshape(len(images), -1, 3)
    sky = np.median(corners, axis=(0, 1))
    noise = np.median(corners.std(axis=1), axis=0)
    middle = np.median(images[:, 24:45, 24:45].mean(axis=(1, 2)), axis=0)
    return sky, noise, middle


@pytest.mark.slow
def test_fits_bands_get_the_sky_noise_and_colours_of_galaxy10(real_path, tmp_path):
    images, labels, _ = load_galaxy10(real_path)
    rng = np.random.default_rng(0)
    kept = [rng.choice(np.flatnonzero(labels == label), 100) for label in range(10)]
    real = np.concatenate([images[np.unique(indices)] for indices in kept])
    made = np.array([prepare_from_fits(number, tmp_path) for number in range(150)])
    # Measured with 300 simulated and 2,000 real galaxies: the sky is (5, 5, 3) in both; the noise
    # is 3.5, 3.3, 3.0 from FITS files and 3.8, 3.5, 3.1 in real images; red, green and blue of the
    # centres are 106, 88, 68 and 98, 82, 66, and their shares of the light agree to 0.003.
    sky, noise, middle = measure(made)
    real_sky, real_noise, real_middle = measure(real)
    assert real_sky.tolist() == [5, 5, 3]
    np.testing.assert_allclose(sky, real_sky, atol=1)
    np.testing.assert_allclose(noise, real_noise, rtol=0.2)
    np.testing.assert_allclose(middle, real_middle, rtol=0.2)
    np.testing.assert_allclose(middle / middle.sum(), real_middle / real_middle.sum(), atol=0.015)
