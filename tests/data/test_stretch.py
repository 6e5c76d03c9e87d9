import h5py
import numpy as np
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
    assert (ours.dtype, ours.shape) == (np.uint8, (20, 30, 3))
    assert np.abs(ours.astype(int) - theirs).max() <= 1


def test_red_green_and_blue_are_i_r_and_g():
    image = sdss_rgb(0.1 * np.eye(3)[..., None])[..., 0, :]
    assert (np.diag(image) > 20).all()
    assert np.count_nonzero(image) == 3


def test_bright_pixels_keep_their_colour_and_negative_ones_are_black():
    bands = np.array([400.0, 200.0, 50.0])
    scaled = bands * SCALES
    bright = sdss_rgb(bands[:, None, None])[0, 0]
    np.testing.assert_allclose(bright / 255, scaled / scaled[0], atol=1 / 255)
    assert bright[0] == 255
    assert not sdss_rgb(np.full((3, 4, 4), -1.0)).any()


def fits_image(number, folder):
    """A simulated galaxy, prepared from three FITS files."""
    rng = np.random.default_rng(number)
    bands, field = _bands(rng, _agreed_galaxy(rng, number % 10))
    paths = [folder / f"{number}{name}.fits" for name in "irg"]
    for path, band in zip(paths, bands, strict=True):
        fits.writeto(path, band[::-1])
    # the field of Galaxy10's images, 0.06 R90 a pixel
    return prepare(tuple(paths[::-1]), crop=field / bands.shape[1])[0]


def measured(images):
    """Medians of the sky, its noise and the galaxies' middle in red, green and blue."""
    ends = np.r_[:8, 61:69]
    corners = images[:, ends][:, :, ends].reshape(len(images), -1, 3)
    middle = images[:, 24:45, 24:45].mean(axis=(1, 2))
    noise = np.median(corners.std(axis=1), axis=0)
    return np.median(corners, axis=(0, 1)), noise, np.median(middle, axis=0)


def test_fits_bands_get_the_sky_noise_and_colours_of_galaxy10(real_path, tmp_path):
    with h5py.File(real_path) as file:
        labels, images = file["ans"][:], file["images"]
        rng = np.random.default_rng(0)
        kept = [rng.choice(np.flatnonzero(labels == label), 100) for label in range(10)]
        real = np.concatenate([images[np.unique(one)] for one in kept])
    # Measured with 300 and 2,000 galaxies: sky (5, 5, 3) in both; noise 3.5, 3.3, 3.0 in FITS and
    # 3.8, 3.5, 3.1 in real images; red, green and blue of the centres 106, 88, 68 and 98, 82, 66,
    # shares of the light alike to 0.003.
    ours = measured(np.array([fits_image(number, tmp_path) for number in range(150)]))
    theirs = measured(real)
    assert theirs[0].tolist() == [5, 5, 3]
    np.testing.assert_allclose(ours[0], theirs[0], atol=1)
    np.testing.assert_allclose(ours[1:], theirs[1:], rtol=0.2)
    shares, expected = (middle / middle.sum() for _, _, middle in (ours, theirs))
    np.testing.assert_allclose(shares, expected, atol=0.015)
