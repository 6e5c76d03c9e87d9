"""Simulated galaxies: labelled colour images like Galaxy10's, without a download.

A galaxy is made in four steps: its parameters are drawn; simulated volunteers vote on its class, as
for the labels of Galaxy Zoo 2; its light is computed in the i, r and g bands; and SDSS observes it.
The forms are from the literature:

* ellipticals and bulges: Sersic profiles (Graham & Driver 2005, PASA 22, 118), boxy ones with
  generalised ellipses as isophotes (Athanassoula et al. 1990, MNRAS 245, 130);
* disks: exponential (Freeman 1970, ApJ 160, 811) and truncated (Pohlen & Trujillo 2006, A&A 454,
  759); edge-on disks have a sech^2 profile in height (van der Kruit & Searle 1981, A&A 95, 105),
  some with a dust lane; inclined disks are flattened as in Hubble (1926, ApJ 64, 321);
* spiral arms: logarithmic, with pitch angles of 3 to 45 degrees (Hart et al. 2017, MNRAS 472, 2263)
  and star-forming knots; open arms extend beyond the disk, as after a tidal encounter (Toomre &
  Toomre 1972, ApJ 178, 623);
* bars: in 30 % of the spirals (Masters et al. 2011, MNRAS 411, 2026); rings (Buta & Combes 1996,
  Fundamentals of Cosmic Physics 17, 95): here only in disks with faint arms;
* colours: the red and the blue sequence (Strateva et al. 2001, AJ 122, 1861);
* observation: Moffat seeing (Trujillo et al. 2001, MNRAS 328, 977), the pixels and about the sky
  noise of SDSS (York et al. 2000, AJ 120, 1579), its asinh colour stretch (Lupton et al. 2004, PASP
  116, 133), JPEG compression at the pixel scale of the survey, and the field of view of Galaxy
  Zoo 2 (Willett et al. 2013, MNRAS 435, 2835), cropped as in Galaxy10.

The papers leave some means and scatters open, and others depend on the galaxies that volunteers
agree on. Numbers without a source were set by comparing simulated images with Galaxy10's, class by
class (``benchmarks/sim_realism.py``).
"""

from dataclasses import astuple, dataclass, fields
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.random import Generator, SeedSequence, default_rng
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from scipy.fft import irfft2, next_fast_len, rfft2
from scipy.special import expit, i0e, k1

from ..data.arrays import check_integer
from ..data.galaxy10 import CLASS_COUNTS, IMAGE_SHAPE
from ..errors import ParameterError
from .stretch import sdss_image

Array: TypeAlias = NDArray[Any]

SDSS_PIXEL = 0.396  # arcsec (York et al. 2000)
# Side of an image in Petrosian R90: Galaxy Zoo 2 showed 424 pixels of 0.02 R90 (Willett et al.
# 2013, section 2), and Galaxy10 keeps the central 207.
FIELD = 0.02 * 207
SMALLEST_R90 = 3.0  # arcsec, limit of Galaxy Zoo 2 (Willett et al. 2013, section 2)
# Standard deviation of a sky pixel in i, r and g, in nanomaggies: photon noise of SDSS's sky.
SKY_NOISE = np.array([0.034, 0.0255, 0.0125])
SEEING = 1.32  # arcsec, SDSS's median FWHM in r (Abazajian et al. 2009, ApJS 182, 543)
# FWHM in i, r and g relative to r: wavelength^-0.2 (Fried 1966, JOSA 56, 1372).
RELATIVE_SEEING = (0.96, 1.0, 1.055)
# Extinction in i, r and g relative to r (Cardelli, Clayton & Mathis 1989, ApJ 345, 245).
RELATIVE_EXTINCTION = np.array([0.77, 1.0, 1.4])
THICKNESS_SQUARED = 0.04  # of a disk: (height / diameter)^2, for a ratio of 0.2 (Hubble 1926)
TRUNCATION = 2.7  # scale lengths; a little less than the usual 3 (Pohlen & Trujillo 2006)
VOLUNTEERS = 44  # median number of votes per galaxy (Willett et al. 2013)
AGREEMENT = 0.55  # share of the votes that the class of a galaxy in Galaxy10 exceeds

# The mix of classes in the public file, but with enough galaxies of each class for a test set: the
# file has 17 boxy bulges in 21,785 galaxies.
SIMULATED_FRACTIONS = np.maximum(np.array(CLASS_COUNTS) / sum(CLASS_COUNTS), 0.02)
SIMULATED_TITLE = "Simulated galaxies, not observed ones"  # of the origin of such galaxies

# The labels of Galaxy10, in the order of CLASS_NAMES.
NO_SPIRAL = 0
ROUND = 1
IN_BETWEEN = 2
CIGAR = 3
ROUNDED_BULGE = 4
BOXY_BULGE = 5
NO_BULGE = 6
TIGHT = 7
MEDIUM = 8
LOOSE = 9


class Population(NamedTuple):
    """Distributions of the galaxies that are drawn for a class, before the volunteers vote."""

    petrosian_r90: float  # median, arcsec
    scale: float  # median half-light radius (ellipticals) or scale length (disks), in R90
    scale_scatter: float  # of the logarithm
    brightness: float  # mean surface brightness in r, magnitudes per square arcsec
    brightness_scatter: float
    g_r: float  # mean
    g_r_scatter: float


POPULATIONS = {
    NO_SPIRAL: Population(5.3, 0.47, 0.09, 20.0, 0.40, 0.72, 0.18),
    ROUND: Population(4.9, 0.37, 0.16, 19.4, 0.70, 0.94, 0.16),
    IN_BETWEEN: Population(4.6, 0.44, 0.16, 18.95, 0.70, 0.86, 0.17),
    CIGAR: Population(5.3, 0.57, 0.09, 19.1, 0.75, 0.66, 0.17),
    ROUNDED_BULGE: Population(5.7, 0.56, 0.09, 19.15, 0.50, 0.83, 0.09),
    BOXY_BULGE: Population(5.7, 0.64, 0.09, 19.3, 0.50, 0.92, 0.08),
    NO_BULGE: Population(7.6, 0.50, 0.09, 19.7, 0.40, 0.56, 0.17),
    TIGHT: Population(6.0, 0.60, 0.09, 20.2, 0.45, 0.57, 0.11),
    MEDIUM: Population(6.0, 0.52, 0.09, 20.1, 0.45, 0.58, 0.13),
    LOOSE: Population(5.5, 0.51, 0.09, 20.1, 0.45, 0.59, 0.15),
}

# Smooth galaxies and edge-on disks: ranges of the minor-to-major axis ratio for each class.
SMOOTH_AXIS_RATIO = {ROUND: (0.6, 1.0), IN_BETWEEN: (0.36, 0.85), CIGAR: (0.1, 0.36)}
EDGE_ON_AXIS_RATIO = {
    CIGAR: (0.15, 0.35),
    ROUNDED_BULGE: (0.1, 0.2),
    BOXY_BULGE: (0.07, 0.14),
    NO_BULGE: (0.1, 0.2),
}
# Spirals: range of the cosine of the inclination, parameters of the beta distribution of the
# bulge-to-total ratio, fraction with a bar, ranges of the pitch angle (degrees) and the contrast.
COSINE = {NO_SPIRAL: (0.25, 1.0), TIGHT: (0.42, 1.0), MEDIUM: (0.42, 1.0), LOOSE: (0.2, 0.8)}
SPIRAL_BULGE = {NO_SPIRAL: (2, 8), TIGHT: (2, 13), MEDIUM: (2, 8), LOOSE: (4, 7)}
BARRED = {NO_SPIRAL: 0.45, TIGHT: 0.2, MEDIUM: 0.3, LOOSE: 0.45}
PITCH_ANGLE = {NO_SPIRAL: (3, 30), TIGHT: (6, 15), MEDIUM: (13, 25), LOOSE: (20, 45)}
ARM_CONTRAST = {NO_SPIRAL: (0.0, 0.3), TIGHT: (0.45, 1.0), MEDIUM: (0.35, 0.95), LOOSE: (0.6, 1.0)}


@dataclass
class Galaxy:
    """The true parameters of a galaxy, as :func:`simulate_galaxy10` describes them."""

    kind: str = ""
    petrosian_r90: float = 0.0
    magnitude_r: float = 0.0
    surface_brightness: float = 0.0
    g_r: float = 0.0
    r_i: float = 0.0
    bulge_to_total: float = 0.0
    sersic_index: float = 0.0
    boxiness: float = 0.0
    scale: float = 0.0
    axis_ratio: float = 0.0
    inclination: float = 0.0
    position_angle: float = 0.0
    arm_number: int = 0
    pitch_angle: float = 0.0
    arm_contrast: float = 0.0
    bar_to_total: float = 0.0
    ring_to_total: float = 0.0
    dust: float = 0.0
    seeing: float = 0.0
    signal_to_noise: float = 0.0

    @property
    def disk_to_total(self) -> float:
        """float : share of the light in the disk, with its arms."""
        return 1 - self.bulge_to_total - self.bar_to_total - self.ring_to_total


FORMATS: dict[Any, str] = {str: "U10", float: "f4", int: "i4"}
PARAMETERS = np.dtype(
    [*((field.name, FORMATS[field.type]) for field in fields(Galaxy)), ("votes", "10f4")]
)


class Component(NamedTuple):
    """A component of a galaxy, such as its bulge."""

    share: float  # of the light of the galaxy
    shape: Array  # relative surface brightness, shape (n, n)
    reddening: float  # g-r of the component minus g-r of the galaxy


class Observation(NamedTuple):
    """A galaxy and its surroundings, observed by SDSS."""

    bands: Array  # i, r and g, shape (3, n, n), nanomaggies per SDSS pixel
    field: float  # side of the central square that Galaxy10 shows, in pixels of the bands
    relative_noise: float  # noise of the sky relative to SKY_NOISE


def simulate_galaxy10(
    n: int,
    seed: int = 0,
    *,
    class_fractions: Literal["galaxy10", "balanced"] | ArrayLike = "galaxy10",
    return_parameters: bool = False,
) -> tuple[Any, ...]:
    """Simulate labelled images of galaxies like Galaxy10's.

    A galaxy is kept if more than 55 % of about 44 simulated volunteers agree on its class. Galaxy i
    depends only on `seed`, i and `class_fractions`, not on `n`: the first 100 of 1,000 galaxies
    are the same as 100 galaxies simulated alone.

    Parameters
    ----------
    n : int
        Number of galaxies, 1 or more. Each takes 3 to 4 ms and 14 kB.
    seed : int, default 0
        Random seed, 0 or more. The same seed gives the same galaxies.
    class_fractions : {"galaxy10", "balanced"} or array of float, shape (10,)
        Relative numbers of the classes: as in the public Galaxy10 file (default), equal, or
        ten numbers with any positive sum. The labels form a golden-ratio sequence (a Kronecker
        sequence of low discrepancy), so that each class has its share of any long run of galaxies
        to within a few galaxies.
    return_parameters : bool, default False
        Return the true parameters, too.

    Returns
    -------
    images : ndarray of uint8, shape (n, 69, 69, 3)
        Red, green and blue from the i, r and g bands; 0.06 Petrosian R90 per pixel.
    labels : ndarray of uint8, shape (n,)
        Classes 0 to 9, indices into ``CLASS_NAMES``.
    parameters : structured ndarray, shape (n,)
        Only with ``return_parameters=True``. A quantity that a galaxy does not have is zero:

        - ``kind``: "elliptical", "lenticular", "spiral" or "edge-on";
        - ``petrosian_r90`` and ``seeing`` (FWHM): arcsec;
        - ``magnitude_r``, ``g_r``, ``r_i``: of all the light of the galaxy, before dust;
        - ``surface_brightness``: half the light in r, divided by the area of an ellipse with the
          semi-major axis ``scale`` and the axis ratio (at least 0.25); magnitudes per square
          arcsec;
        - ``scale``: half-light radius of an elliptical, scale length of a disk, in R90;
        - ``bulge_to_total``, ``sersic_index`` (of the bulge or elliptical), ``boxiness`` (0 is an
          ellipse), ``bar_to_total``, ``ring_to_total``;
        - ``axis_ratio``: minor to major axis before seeing; for edge-on disks it sets the height;
        - ``inclination``, ``position_angle`` (from up to the left), ``pitch_angle``: degrees;
        - ``arm_number``, ``arm_contrast`` (share of the light of the outer disk that is in the
          arms; arms with a pitch angle above 18 degrees have more, because they reach further out);
        - ``dust``: optical depth of the dust lane in r;
        - ``signal_to_noise``: 90 % of the light in r, relative to the noise of the sky of this
          image within R90;
        - ``votes``: share of the votes for each class, shape (10,); the remaining votes are for
          no class.

    Raises
    ------
    ParameterError
        `n` or `seed` is not an integer or is too small; or `class_fractions` is an unknown name,
        has another shape, has a negative or non-finite entry, or has no positive entry.

    Examples
    --------
    >>> import galclass
    >>> images, labels = galclass.simulate_galaxy10(100)
    >>> images.shape, labels.shape
    ((100, 69, 69, 3), (100,))

    About the same number of each class, with the parameters that they were made with:

    >>> images, labels, true = galclass.simulate_galaxy10(
    ...     10, class_fractions="balanced", return_parameters=True
    ... )
    >>> true.dtype.names[:3]
    ('kind', 'petrosian_r90', 'magnitude_r')
    >>> true["petrosian_r90"].shape
    (10,)
    """
    n = check_integer(n, "n", 1)
    seed = check_integer(seed, "seed", 0)
    fractions = _check_fractions(class_fractions)

    labels = _draw_labels(n, seed, fractions)
    images = np.empty((n, *IMAGE_SHAPE), np.uint8)
    parameters = np.empty(n, PARAMETERS)
    # The same seed gives the same galaxies only as long as the order of the random draws is kept.
    for number, label in enumerate(labels):
        rng = default_rng(SeedSequence(seed, spawn_key=(number,)))
        galaxy, vote_shares = _draw_agreed_galaxy(rng, label)
        observation = _observe(rng, galaxy)
        # The volunteers voted on a galaxy with the average noise of SDSS's sky.
        galaxy.signal_to_noise /= observation.relative_noise
        images[number] = _make_image(observation)
        parameters[number] = (*astuple(galaxy), vote_shares)

    if return_parameters:
        return images, labels, parameters
    return images, labels


def _check_fractions(fractions: Any) -> Array:
    named = {"galaxy10": CLASS_COUNTS, "balanced": np.ones(10)}
    try:
        numbers = fractions
        if isinstance(fractions, str):
            numbers = named[fractions]
        numbers = np.array(numbers, float)
        valid = numbers.shape == (10,) and numbers.min() >= 0 and 0 < numbers.sum() < np.inf
    except (KeyError, TypeError, ValueError):
        valid = False
    if not valid:
        expected = "'galaxy10', 'balanced' or ten finite numbers of at least 0, not all 0"
        raise ParameterError(f"class_fractions is {fractions!r}, expected {expected}")
    return numbers


def _draw_labels(n: int, seed: int, fractions: Array) -> NDArray[np.uint8]:
    """Return labels in these fractions: a golden-ratio sequence with a random start."""
    edges = np.cumsum(fractions)
    edges /= edges[-1]
    start = default_rng(seed).random()
    golden_ratio = (5**0.5 - 1) / 2
    positions = (start + golden_ratio * np.arange(n)) % 1
    return np.searchsorted(edges, positions, "right").astype(np.uint8)


def _draw_agreed_galaxy(rng: Generator, label: int) -> tuple[Galaxy, Array]:
    """Draw galaxies until the volunteers agree on class `label`; return it with the vote shares."""
    while True:
        galaxy = _draw_galaxy(rng, label)
        votes = _vote(rng, galaxy)
        if votes[label] > AGREEMENT * votes.sum():
            return galaxy, votes[:10] / votes.sum()


def _draw_galaxy(rng: Generator, label: int) -> Galaxy:
    """Draw a galaxy of a kind that volunteers often see as class `label`."""
    population = POPULATIONS[label]
    galaxy = Galaxy()
    petrosian_r90 = population.petrosian_r90 * np.exp(0.36 * rng.normal())
    galaxy.petrosian_r90 = max(SMALLEST_R90, petrosian_r90)
    galaxy.scale = population.scale * np.exp(population.scale_scatter * rng.normal())
    galaxy.surface_brightness = rng.normal(population.brightness, population.brightness_scatter)
    galaxy.g_r = np.clip(rng.normal(population.g_r, population.g_r_scatter), 0.1, 1.2)
    galaxy.r_i = 0.17 + 0.22 * galaxy.g_r + 0.04 * rng.normal()
    galaxy.seeing = np.clip(rng.normal(SEEING, 0.12), 1.1, 1.6)
    galaxy.position_angle = rng.uniform(0, 180)
    if label in PITCH_ANGLE:
        _draw_spiral(rng, galaxy, label)
    elif label in (ROUND, IN_BETWEEN) or (label == CIGAR and rng.random() >= 0.5):
        _draw_smooth(rng, galaxy, label)
    else:
        _draw_edge_on(rng, galaxy, label)

    semi_major_axis = galaxy.scale * galaxy.petrosian_r90
    area = np.pi * semi_major_axis**2 * max(galaxy.axis_ratio, 0.25)
    galaxy.magnitude_r = galaxy.surface_brightness - 2.5 * np.log10(2 * area)
    sky_pixels = np.pi * (galaxy.petrosian_r90 / SDSS_PIXEL) ** 2
    galaxy.signal_to_noise = 0.9 * _flux(galaxy.magnitude_r) / (SKY_NOISE[1] * sky_pixels**0.5)
    return galaxy


def _draw_smooth(rng: Generator, galaxy: Galaxy, label: int) -> None:
    """Draw an elliptical, a lenticular (not for cigars), or a small blue smooth galaxy."""
    galaxy.kind = "elliptical"
    galaxy.axis_ratio = rng.uniform(*SMOOTH_AXIS_RATIO[label])
    galaxy.bulge_to_total = 1.0
    form = rng.random()
    galaxy.boxiness = rng.normal(0, 0.1)
    if form < 0.5:
        galaxy.sersic_index = np.clip(rng.normal(4.2, 1.2), 0.8, 6)
        if label == CIGAR:  # Drawn again: the profile is closer to a disk's.
            galaxy.sersic_index = rng.uniform(0.8, 2.5)
    elif form < 0.85 and label != CIGAR:
        galaxy.kind = "lenticular"
        galaxy.bulge_to_total = rng.beta(3, 4)
        # The inclination that gives this axis ratio; _draw_spiral has the inverse.
        square = max(0, galaxy.axis_ratio**2 - THICKNESS_SQUARED) / (1 - THICKNESS_SQUARED)
        galaxy.inclination = np.degrees(np.arccos(np.sqrt(square)))
        galaxy.sersic_index = rng.uniform(2, 5)
    else:
        galaxy.sersic_index = rng.uniform(0.7, 1.5)
        galaxy.g_r -= 0.25
        galaxy.r_i -= 0.07


def _draw_edge_on(rng: Generator, galaxy: Galaxy, label: int) -> None:
    """Draw an edge-on disk; a thick one for cigars, because volunteers often call it smooth."""
    galaxy.kind = "edge-on"
    galaxy.inclination = rng.uniform(82, 90)
    galaxy.axis_ratio = rng.uniform(*EDGE_ON_AXIS_RATIO[label])
    if label == NO_BULGE:
        galaxy.bulge_to_total = rng.uniform(0, 0.12)
    else:
        galaxy.bulge_to_total = rng.uniform(0.08, 0.4)
    if label == CIGAR:
        galaxy.bulge_to_total *= rng.random()
    galaxy.sersic_index = rng.uniform(1, 3)
    if label == BOXY_BULGE:
        galaxy.boxiness = rng.uniform(0.8, 2.5)
    else:
        galaxy.boxiness = rng.normal(0, 0.2)
    if rng.random() < 0.4:
        galaxy.dust = rng.uniform(0.5, 2.0)


def _draw_spiral(rng: Generator, galaxy: Galaxy, label: int) -> None:
    """Draw a disk with arms; with faint arms or a ring if volunteers should see no spiral."""
    galaxy.kind = "spiral"
    cosine = rng.uniform(*COSINE[label])
    galaxy.inclination = np.degrees(np.arccos(cosine))
    # An oblate disk (Hubble 1926).
    galaxy.axis_ratio = np.sqrt(THICKNESS_SQUARED + (1 - THICKNESS_SQUARED) * cosine**2)
    galaxy.bulge_to_total = rng.beta(*SPIRAL_BULGE[label])
    galaxy.sersic_index = rng.uniform(1, 4)
    if rng.random() < BARRED[label]:
        galaxy.bar_to_total = galaxy.disk_to_total * rng.uniform(0.05, 0.25)
    galaxy.arm_number = 2
    if label != LOOSE and rng.random() >= 0.6:
        galaxy.arm_number = rng.integers(3, 6)
    galaxy.pitch_angle = rng.uniform(*PITCH_ANGLE[label])
    galaxy.arm_contrast = rng.uniform(*ARM_CONTRAST[label])
    if label == NO_SPIRAL and rng.random() < 0.6:
        galaxy.ring_to_total = galaxy.disk_to_total * rng.uniform(0.05, 0.3)


def _vote(rng: Generator, galaxy: Galaxy) -> NDArray[np.int64]:
    """Draw the volunteers' votes: one number per class and, last, the votes for no class.

    The volunteers follow the decision tree of Galaxy Zoo 2 (Willett et al. 2013, figure 1). Noise
    hides structure. In this model, seeing blurs the arms and the outline, but not bars and rings.
    All volunteers may see a galaxy as a little more or less featured, spiral, open or bulged than
    it is.
    """
    resolution = galaxy.petrosian_r90 / galaxy.seeing
    # Standard deviation of the seeing in units of `scale`: 0.43 of its FWHM, as of a Gaussian's.
    blur = 0.43 / (resolution * galaxy.scale)
    axis_ratio = np.sqrt((galaxy.axis_ratio**2 + blur**2) / (1 + blur**2))
    visibility = 1 - np.exp(-resolution * galaxy.signal_to_noise / 60)
    arms = _visible_arms(galaxy, visibility, blur)
    more_featured, more_spiral, more_open, more_bulged = rng.standard_normal(4)

    if galaxy.kind == "edge-on":
        on_edge = 0.95
        evidence = 4 * visibility - 2 + (0.28 - axis_ratio) / 0.04
        featured = expit(evidence + 0.5 * more_featured)
    else:
        on_edge = 0.03
        bar_and_ring = (1.5 * galaxy.bar_to_total + 4 * galaxy.ring_to_total) * visibility
        evidence = 12 * (arms + bar_and_ring - 0.2)
        featured = expit(evidence + 0.7 * more_featured)
    smooth = 1 - featured
    face_on_disk = featured * (1 - on_edge)
    edge_on_disk = featured * on_edge

    circular = expit((axis_ratio - 0.76) / 0.04)
    cigar = expit((0.41 - axis_ratio) / 0.03)
    bulgeless = expit((0.10 - galaxy.bulge_to_total - 0.02 * more_bulged) / 0.03)
    boxy = expit(6 * (galaxy.boxiness - 0.7))
    spiral = expit(10 * (arms - 0.33) + 0.6 * more_spiral)
    pitch_angle = galaxy.pitch_angle + 1.5 * more_open
    tight = expit((13.5 - pitch_angle) / 1.8)
    loose = expit((pitch_angle - 22.5) / 1.8)
    chances = np.array(
        [
            face_on_disk * (1 - spiral),
            smooth * circular * (1 - cigar),
            smooth * (1 - circular) * (1 - cigar),
            smooth * cigar,
            edge_on_disk * (1 - bulgeless) * (1 - boxy),
            edge_on_disk * (1 - bulgeless) * boxy,
            edge_on_disk * bulgeless,
            face_on_disk * spiral * tight,
            face_on_disk * spiral * (1 - tight) * (1 - loose),
            face_on_disk * spiral * loose,
            0.03,  # no class
        ]
    )
    return rng.multinomial(1 + rng.poisson(VOLUNTEERS), chances / chances.sum())


def _visible_arms(galaxy: Galaxy, visibility: float, blur: float) -> float:
    """Contrast of the arms after noise and blur."""
    if galaxy.kind != "spiral":
        return 0.0
    # Windings closer than the seeing or the pixels of the image run into each other.
    wave_number = galaxy.arm_number / (1.5 * np.sin(np.radians(galaxy.pitch_angle)))
    half_pixel = 0.03  # R90
    smear = wave_number * np.hypot(blur, half_pixel / galaxy.scale)
    return galaxy.arm_contrast * visibility * np.exp(-(smear**2) / 2)


def _observe(rng: Generator, galaxy: Galaxy) -> Observation:
    """Observe a galaxy and its surroundings as SDSS does."""
    # Binned such that the field has about 128 pixels: SDSS serves large fields from binned frames.
    binning = max(1, round(FIELD * galaxy.petrosian_r90 / SDSS_PIXEL / 128))
    pixel = binning * SDSS_PIXEL
    field = FIELD * galaxy.petrosian_r90 / pixel
    margin = 6  # pixels
    side = next_fast_len(int(np.ceil(field)) + margin, real=True)
    axis = (np.arange(side) - side // 2) * pixel / galaxy.petrosian_r90
    bands = _light(rng, galaxy, axis, pixel / galaxy.petrosian_r90)
    _add_stars(rng, bands, pixel)
    _add_small_galaxies(rng, bands, pixel)
    bands = _blur(rng, bands, galaxy.seeing / pixel) / binning**2  # nanomaggies per SDSS pixel
    relative_noise = _add_sky(rng, bands, binning)
    return Observation(bands, field, relative_noise)


def _make_image(observation: Observation) -> Image.Image:
    """Make the image of Galaxy10: colours and JPEG of SDSS, then its field at 69 pixels."""
    low = observation.bands.shape[1] // 2 + 0.5 - observation.field / 2
    high = low + observation.field
    image = sdss_image(observation.bands)
    return image.resize(IMAGE_SHAPE[:2], Image.Resampling.BILINEAR, (low, low, high, high))


def _light(rng: Generator, galaxy: Galaxy, axis: Array, pixel: float) -> Array:
    """Light of a galaxy above the atmosphere.

    Parameters
    ----------
    rng : numpy.random.Generator
    galaxy : Galaxy
    axis : ndarray of float, shape (n,)
        Coordinates of the pixels from the centre, in R90.
    pixel : float
        Pixel scale, in R90.

    Returns
    -------
    ndarray of float, shape (3, n, n)
        i, r and g, nanomaggies per pixel.
    """
    angle = np.radians(galaxy.position_angle)
    x = axis[None, :]
    y = axis[:, None]
    # Coordinates along the axes of the galaxy, in R90.
    major = -x * np.sin(angle) - y * np.cos(angle)
    minor = x * np.cos(angle) - y * np.sin(angle)
    # Without a core, the light of a cusp would depend on where the centre of the pixel falls.
    core = 0.35 * pixel
    components = [_bulge(rng, galaxy, major, minor, core)]
    if galaxy.kind == "edge-on":
        components.append(_edge_on_disk(galaxy, major, minor, core))
    elif galaxy.kind == "lenticular":
        components.append(_smooth_disk(rng, galaxy, major, minor, core))
    elif galaxy.kind == "spiral":
        u = major / galaxy.scale
        v = minor / (galaxy.axis_ratio * galaxy.scale)
        components += _spiral(rng, galaxy, u, v, core / galaxy.scale)

    flux = _flux(galaxy.magnitude_r)
    bands = np.zeros((3, len(axis), len(axis)))
    for share, shape, reddening in components:
        if share:
            light = shape * (share * flux / shape.sum())
            colour = _colour(galaxy.g_r + reddening, galaxy.r_i + 0.4 * reddening)
            bands += light * 10 ** (0.4 * colour)[:, None, None]
    if galaxy.dust:
        bands *= _dust_lane(rng, galaxy, major, minor)
    return bands


def _bulge(rng: Generator, galaxy: Galaxy, major: Array, minor: Array, core: float) -> Component:
    """Light of an elliptical or a bulge; its isophotes are generalised ellipses."""
    axis_ratio = galaxy.axis_ratio
    half_light_radius = galaxy.scale
    reddening = 0.0
    if galaxy.kind != "elliptical":
        # A bulge is rounder, smaller and redder than its disk.
        axis_ratio = 0.4 + 0.6 * axis_ratio
        if galaxy.kind == "edge-on":
            axis_ratio = rng.uniform(0.5, 0.85)
        relative_size = (0.12, 0.28)
        if galaxy.kind == "lenticular":
            relative_size = (0.15, 0.4)
        half_light_radius *= rng.uniform(*relative_size)
        reddening = 0.2
    power = 2 + galaxy.boxiness
    r = (np.abs(major) ** power + np.abs(minor / axis_ratio) ** power + core**power) ** (1 / power)
    profile = _sersic(r / half_light_radius, galaxy.sersic_index)
    return Component(galaxy.bulge_to_total, profile, reddening)


def _edge_on_disk(galaxy: Galaxy, major: Array, minor: Array, core: float) -> Component:
    """Light of an edge-on disk (van der Kruit & Searle 1981)."""
    r = np.hypot(major, core) / galaxy.scale
    z = minor / _disk_height(galaxy)
    shape = r * k1(r) * _truncation(r) / np.cosh(z) ** 2
    return Component(galaxy.disk_to_total, shape, -0.05)


def _smooth_disk(
    rng: Generator, galaxy: Galaxy, major: Array, minor: Array, core: float
) -> Component:
    """Light of the disk of a lenticular."""
    r = np.sqrt(major**2 + (minor / galaxy.axis_ratio) ** 2 + core**2) / galaxy.scale
    shape = np.exp(-r) * _truncation(r, edge=rng.uniform(2.5, 5))
    return Component(galaxy.disk_to_total, shape, 0.02)


def _dust_lane(rng: Generator, galaxy: Galaxy, major: Array, minor: Array) -> Array:
    """Fraction of the light in i, r and g that passes the dust lane of an edge-on disk."""
    height = _disk_height(galaxy)
    offset = 0.15 * height * rng.normal()
    z = np.clip((minor - offset) / (0.4 * height), -20, 20)
    r = major / (2 * galaxy.scale)
    depth = galaxy.dust / np.cosh(z) ** 2 * np.exp(-(r**2))
    return np.exp(-depth * RELATIVE_EXTINCTION[:, None, None])


def _disk_height(galaxy: Galaxy) -> float:
    """Height of an edge-on disk, the scale of its sech^2 profile, in R90."""
    return 0.55 * galaxy.scale * galaxy.axis_ratio


def _sersic(r: Array, index: float) -> Array:
    """Sersic profile, r in half-light radii; b_n of Ciotti & Bertin (1999, A&A 352, 447)."""
    b = 2 * index - 1 / 3 + 4 / (405 * index)
    return np.exp(-b * r ** (1 / index))


def _truncation(r: Array, edge: float = TRUNCATION) -> Array:
    """Smooth cut-off of a disk; r and the edge in scale lengths."""
    return 1 / (1 + np.exp((r - edge) / 0.35))


def _spiral(rng: Generator, galaxy: Galaxy, u: Array, v: Array, core: float) -> list[Component]:
    """Light of the bar, the ring, the arms, their knots, and the disk between the arms.

    u and v are coordinates in the plane of the disk; u, v and the core are in scale lengths.
    """
    r = np.sqrt(u**2 + v**2 + core**2)
    orientation = rng.uniform(0, 2 * np.pi)
    sense = rng.choice([-1, 1])
    arms, between = _arms(rng, galaxy, r, sense * np.arctan2(v, u), orientation, sense)
    disk = galaxy.disk_to_total
    in_arms = disk * arms.sum() / (arms.sum() + between.sum())
    in_knots = 0.1 * galaxy.arm_contrast * in_arms
    knots = _knots(rng, arms)
    ring = np.exp(-(((r - rng.uniform(1.2, 2.4)) / rng.uniform(0.12, 0.4)) ** 2))
    along = np.cos(orientation) * u + np.sin(orientation) * v
    across = np.cos(orientation) * v - np.sin(orientation) * u
    bar = np.exp(-1.5 * ((along / 1.3) ** 2 + (across / 0.4) ** 2))
    return [
        Component(galaxy.bar_to_total, bar, 0.05),
        Component(galaxy.ring_to_total, ring, -0.1),
        Component(in_arms - in_knots, arms, -0.18),
        Component(in_knots, knots, -0.35),
        Component(disk - in_arms, between, 0.02),
    ]


def _arms(
    rng: Generator, galaxy: Galaxy, r: Array, theta: Array, orientation: float, sense: int
) -> tuple[Array, Array]:
    """Light of logarithmic spiral arms, and of the disk between them.

    Parameters
    ----------
    rng : numpy.random.Generator
    galaxy : Galaxy
    r, theta : ndarray of float, shape (n, n)
        Polar coordinates in the plane of the disk: scale lengths and radians, in the sense in
        which the arms wind.
    orientation : float
        Orientation of the arms, in radians.
    sense : int
        1 or -1, the sense in which the arms wind.

    Returns
    -------
    arms, between : ndarray of float, shape (n, n)
    """
    # Real arms are not exactly logarithmic, and not all alike. The orientation is random, and
    # serves as the phase of the waves.
    wobble = 0.5 * np.sin(theta + orientation) + 0.4 * np.sin(2 * r + 2 * orientation)
    winding = theta - np.log(r) / np.tan(np.radians(galaxy.pitch_angle))
    phase = galaxy.arm_number * (winding - sense * orientation) + wobble
    narrowness = rng.uniform(0.7, 2.5)
    onset = rng.uniform(0.5, 1.3)
    # A von Mises profile with a mean of 1 over the phase.
    wave = np.exp(narrowness * (np.cos(phase) - 1)) / i0e(narrowness)
    contrast = galaxy.arm_contrast * (1 - np.exp(-((r / onset) ** 2)))
    asymmetry = 1 + 0.3 * rng.random() * np.cos(theta + 5 * orientation)
    reach = np.clip((galaxy.pitch_angle - 18) / 15, 0, 1)
    envelope = np.exp(-r / (1 + 0.5 * reach)) * _truncation(r, TRUNCATION + 1.5 * reach)
    arms = envelope * contrast * wave * asymmetry
    between = np.exp(-r) * _truncation(r) * (1 - contrast)
    return arms, between


def _knots(rng: Generator, arms: Array) -> Array:
    """Light of twelve star-forming knots, which are more likely in bright pixels of the arms."""
    cumulative = np.cumsum(arms)
    pixels = np.searchsorted(cumulative, cumulative[-1] * rng.random(12))
    brightness = rng.exponential(size=12)
    return np.bincount(pixels, brightness, arms.size).reshape(arms.shape)


def _flux(magnitude: float, colour: float | Array = 0.0) -> Any:
    """Flux in nanomaggies of a magnitude in r, or in other bands if their colours are given."""
    return 10 ** (0.4 * (22.5 - magnitude + colour))


def _colour(g_r: float, r_i: float) -> Array:
    """Magnitude in r minus magnitude in i, r and g."""
    return np.array([r_i, 0, -g_r])


def _add_stars(rng: Generator, bands: Array, pixel: float) -> None:
    """Add stars, 4 per square arcminute on average; `pixel` in arcsec."""
    side = bands.shape[1]
    area = (side * pixel / 60) ** 2
    for _ in range(rng.poisson(4 * area)):
        row, column = rng.integers(0, side, 2)
        magnitude = 21.5 - rng.exponential(1.2)
        g_r = rng.uniform(0.3, 1.5)
        r_i = 0.1 + 0.3 * g_r
        if g_r > 1.3:
            # M dwarfs of one g-r have various r-i (Fukugita et al. 1996, AJ 111, 1748, figure 6).
            r_i += rng.uniform(0, 1)
        bands[:, row, column] += _flux(magnitude, _colour(g_r, r_i))


def _add_small_galaxies(rng: Generator, bands: Array, pixel: float) -> None:
    """Add exponential disks, 2.5 per square arcminute on average; `pixel` in arcsec."""
    side = bands.shape[1]
    area = (side * pixel / 60) ** 2
    for _ in range(rng.poisson(2.5 * area)):
        row, column = rng.integers(0, side, 2)
        magnitude = 20.5 - rng.exponential(0.9)
        g_r = rng.uniform(0.4, 1.4)
        half_light_radius = rng.uniform(0.5, 1.6) / pixel
        axis_ratio = rng.uniform(0.3, 1)
        angle = rng.uniform(0, np.pi)
        x = np.arange(side)[None, :] - column
        y = np.arange(side)[:, None] - row
        major = x * np.cos(angle) + y * np.sin(angle)
        minor = y * np.cos(angle) - x * np.sin(angle)
        shape = _sersic(np.hypot(major, minor / axis_ratio) / half_light_radius, 1.0)
        fluxes = _flux(magnitude, _colour(g_r, 0.1 + 0.35 * g_r))
        bands += (fluxes / shape.sum())[:, None, None] * shape


def _blur(rng: Generator, bands: Array, seeing: float) -> Array:
    """Convolve with the PSF and shift each band by its astrometric error.

    The PSF is a Moffat profile with beta = 2.5 and the scale radius a, which is
    FWHM / (2 sqrt(2^(1/beta) - 1)). At this beta, the Bessel function in its Fourier transform is
    elementary: the transform is (1 + k a) exp(-k a) (Trujillo et al. 2001). `seeing` is the FWHM in
    r, in pixels.
    """
    side = bands.shape[1]
    ky = 2 * np.pi * np.fft.fftfreq(side)[:, None]
    kx = 2 * np.pi * np.fft.rfftfreq(side)[None, :]
    k = np.hypot(kx, ky)
    spectrum = rfft2(bands)
    for band, relative_seeing in enumerate(RELATIVE_SEEING):
        ka = k * relative_seeing * seeing / (2 * np.sqrt(2**0.4 - 1))
        dy, dx = rng.normal(0, 0.12, 2)
        shift = np.exp(-1j * ky * dy) * np.exp(-1j * kx * dx)
        spectrum[band] *= (1 + ka) * np.exp(-ka) * shift
    return irfft2(spectrum, s=(side, side))


def _add_sky(rng: Generator, bands: Array, binning: int) -> float:
    """Add noise and a residual sky level; return the noise relative to SKY_NOISE."""
    relative_noise = np.exp(0.1 + 0.22 * rng.normal())
    noise = SKY_NOISE / binning * relative_noise
    level = np.array([0.004, 0.004, 0.001]) * rng.exponential()
    if rng.random() < 0.03:
        # Light of a bright star, scattered in the camera, mostly in i.
        level += np.array([0.12, 0.03, 0.02]) * rng.exponential(size=3)
    bands += noise[:, None, None] * rng.standard_normal(bands.shape) + level[:, None, None]
    return relative_noise
