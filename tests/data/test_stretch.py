import h5py
import numpy as np
import pytest
from astropy.io import fits
from astropy.visualization import make_lupton_rgb

from galclass import prepare
from galclass.data.simulate import _agreed_galaxy, _bands
from galclass.data.stretch import NONLINEARITY, SCALES, sdss_rgb


def test_the_stretch_is_astropys():
    bands = np.random.default_rng(0).uniform(-0.1, 3, (3, 20, 30))
    bands *= np.logspace(-3, 1, 30)
    ours = sdss_rgb(bands)
    # astropy scales by 0.1 / asinh(0.1 Q) and stretches the mean of the bands, not their sum
    q = 10 * np.sinh(0.3 * NONLINEARITY)
    i, r, g = np.maximum(bands, 0) * SCALES[:, None, None]
    theirs = make_lupton_rgb(i, r, g, stretch=q / (3 * NONLINEARITY), Q=q)
    assert ours.dtype == np.uint8
    assert ours.shape == (20, 30, 3)
    assert np.abs(ours.astype(int) - theirs).max() <= 1


def test_red_green_and_blue_are_i_r_and_g():
    for band in range(3):
        bands = np.zeros((3, 4, 5))
        bands[band] = 0.1
        image = sdss_rgb(bands)
        assert image[..., band].min() > 20
        assert not np.delete(image, band, axis=2).any()


def test_bright_pixels_keep_their_colour_and_negative_ones_are_black():
    bright = sdss_rgb(np.broadcast_to(np.array([400.0, 200.0, 50.0])[:, None, None], (3, 1, 1)))[
        0, 0
    ]
    scaled = np.array([400.0, 200.0, 50.0]) * SCALES
    assert bright[0] == 255
    np.testing.assert_allclose(bright / 255, scaled / scaled[0], atol=1 / 255)
    assert not sdss_rgb(np.full((3, 4, 4), -1.0)).any()


@pytest.fixture(scope="module")
def fits_images(tmp_path_factory):
    """150 simulated galaxies, 15 a class, prepared from three FITS files each."""
    folder, images = tmp_path_factory.mktemp("bands"), []
    for number in range(150):
        rng = np.random.default_rng(number)
        bands, field = _bands(rng, _agreed_galaxy(rng, number % 10))
        paths = [folder / f"{number}{name}.fits" for name in "irg"]
        for path, band in zip(paths, bands, strict=True):
            fits.writeto(path, band[::-1])
        # the field of Galaxy10's images, 0.06 R90 a pixel
        images.append(prepare(tuple(paths[::-1]), crop=field / bands.shape[1])[0])
    return np.array(images)


def corners(images):
    return np.concatenate(
        [images[:, y, x] for y in np.r_[:8, 61:69] for x in np.r_[:8, 61:69]], axis=0
    ).reshape(256, len(images), 3)


def centres(images):
    return images[:, 24:45, 24:45].mean(axis=(1, 2))


def test_fits_bands_get_the_sky_noise_and_colours_of_galaxy10(real_path, request):
    fits_images = request.getfixturevalue("fits_images")
    with h5py.File(real_path) as file:
        labels, images = file["ans"][:], file["images"]
        rng = np.random.default_rng(0)
        kept = [rng.choice(np.flatnonzero(labels == label), 100) for label in range(10)]
        real = np.concatenate([images[np.unique(one)] for one in kept])
    # Measured with 300 and 2,000 galaxies: sky (5, 5, 3) in both; noise 5.7, 4.9, 3.7 in FITS
    # and 3.8, 3.5, 3.1 in real images, whose JPEG files have smoothed it; red, green and blue of
    # the centres 106, 88, 68 and 98, 82, 66, shares of the light alike to 0.003.
    sky = np.median(corners(real), axis=(0, 1))
    assert sky.tolist() == [5, 5, 3]
    assert np.abs(np.median(corners(fits_images), axis=(0, 1)) - sky).max() <= 1
    noise, expected = (np.median(corners(i).std(axis=0), axis=0) for i in (fits_images, real))
    assert (noise / expected > 1.0).all()
    assert (noise / expected < 1.8).all()
    ours, theirs = (np.median(centres(i), axis=0) for i in (fits_images, real))
    np.testing.assert_allclose(ours, theirs, rtol=0.2)
    np.testing.assert_allclose(ours / ours.sum(), theirs / theirs.sum(), atol=0.015)
