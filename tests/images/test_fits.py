"""Three FITS images or arrays become one colour image, the right way up."""

from pathlib import Path

import numpy as np
import pytest
from astropy import units
from astropy.io import fits

from galclass.errors import DataError
from galclass.images.fits import order_bands
from galclass.images.prepare import Framing, iter_prepared, prepare
from galclass.simulation.stretch import sdss_image


def test_three_bands_get_the_colours_of_sdss():
    g, r, i = np.random.default_rng(1).gamma(1, 0.3, (3, 69, 69)).astype(np.float32)
    expected = np.asarray(sdss_image(np.stack([i, r, g]).astype(float)))
    np.testing.assert_array_equal(prepare((g, r, i))[0], expected)
    np.testing.assert_array_equal(prepare([(g.astype(">f8"), r, i)])[0], expected)


def test_fits_images_are_turned_the_right_way_up(tmp_path):
    bands = np.zeros((3, 69, 69), np.float32)
    bands[:, 50:60, 30:35] = 0.5  # above the centre, because FITS counts rows from the bottom
    paths = tuple(tmp_path / f"{letter}.fits" for letter in "gri")
    for path, band in zip(paths, bands, strict=True):
        fits.writeto(path, band)
    ((source, image, _),) = iter_prepared([paths], Framing(69, None))
    assert source == ", ".join(str(path) for path in paths)
    assert image[5:25].max() > 100
    assert image[40:].max() < 50
    np.testing.assert_array_equal(prepare([tuple(bands[:, ::-1])])[0], image)


BAND = np.ones((10, 10))
MASKED = np.ma.masked_array(BAND, mask=np.eye(10))
BAD = [
    ((BAND, BAND[:5], BAND), "one shape"),
    ((BAND[:0],) * 3, r"\(0, 10\)"),
    ((BAND, np.full((10, 10), np.nan), BAND), "band r.*NaN"),
    ((BAND, BAND, np.full((10, 10), 1e200)), "band i.*infinite"),
    ((BAND, BAND > 0, BAND), "band r.*bool"),
    ((MASKED,) * 3, "masked"),
    ((BAND * units.Jy,) * 3, "unit Jy"),
    (("bad.fits",) * 3, r"bad\.fits.*FITS"),
    (("cube.fits",) * 3, r"\(3, 10, 10\)"),
    (("table.fits",) * 3, r"table\.fits holds no image"),
]


@pytest.mark.parametrize(("bands", "words"), BAD)
def test_bands_that_do_not_make_an_image_are_refused(bands, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("bad.fits").write_bytes(b"SIMPLE  =    maybe")
    fits.writeto("cube.fits", np.zeros((3, 10, 10)))
    fits.BinTableHDU.from_columns([fits.Column("a", "D", array=[1.0])]).writeto("table.fits")
    with pytest.raises(DataError, match=words):
        prepare(bands)


def test_files_are_ordered_by_the_letters_of_their_bands():
    names = ["star-i-1.fits", "star-G-1.fits", "star-r-1.fits.gz"]
    paths = [Path(name) for name in names]
    assert [path.name for path in order_bands(paths)] == [names[1], names[2], names[0]]
    for wrong in (paths[:2], [paths[0], paths[0], paths[1]], [*paths, Path("frame-z.fits")]):
        with pytest.raises(DataError, match="expected three FITS files"):
            order_bands(wrong)
