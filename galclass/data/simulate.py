"""Simulated galaxies in Galaxy10's form: labelled colour images without a download.

Each galaxy is made of the structures that the field describes galaxies with, is seen through the
telescope, the sky and the JPEG files of SDSS, and is labelled by the votes of simulated volunteers,
as Galaxy Zoo 2 labels were made:

* ellipticals and bulges: Sersic profiles (Graham & Driver 2005, PASA 22, 118), boxy ones as
  generalised ellipses (Athanassoula et al. 1990, MNRAS 245, 130);
* disks: exponential (Freeman 1970, ApJ 160, 811), truncated (Pohlen & Trujillo 2006, A&A 454, 759);
  edge-on sech^2 in height (van der Kruit & Searle 1981, A&A 95, 105), some with a dust lane;
  inclined ones appear as flattened as Hubble (1926, ApJ 64, 321) has it;
* logarithmic spiral arms, pitch 3-45 degrees (Hart et al. 2017, MNRAS 472, 2263), with
  star-forming knots, open ones drawn out of the disk as by tides (Toomre & Toomre 1972, ApJ 178,
  623); bars in 30 % of the spirals (Masters et al. 2011, MNRAS 411, 2026); rings (Buta & Combes
  1996, Fundamentals of Cosmic Physics 17, 95), here only in disks whose arms are faint;
* colours of the red and the blue sequence (Strateva et al. 2001, AJ 122, 1861);
* Moffat seeing (Trujillo et al. 2001, MNRAS 328, 977), the pixels and about the sky noise of SDSS
  (York et al. 2000, AJ 120, 1579), its asinh colour stretch (Lupton et al. 2004, PASP 116, 133),
  JPEG at the survey's pixels, and the field of Galaxy Zoo 2 (Willett et al. 2013, MNRAS 435, 2835)
  as cropped by Galaxy10.

The papers give the forms. Means and scatters that they leave open, or that depend on which
galaxies volunteers agree on, were set by comparing images with those of Galaxy10, class by class
(``benchmarks/sim_realism.py``).
"""

from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from scipy.fft import irfft2, next_fast_len, rfft2
from scipy.special import expit, i0e, k1

from ..errors import ParameterError
from .arrays import IMAGE_SHAPE, check_integer
from .galaxy10 import CLASS_COUNTS
from .stretch import sdss_image

SDSS_PIXEL = 0.396  # arcsec (York et al. 2000)
# Side of an image in Petrosian R90: Galaxy Zoo 2 showed 424 pixels of 0.02 R90 (Willett et al.
# 2013, section 2), of which Galaxy10 keeps the central 207.
FIELD = 0.02 * 207
# One standard deviation of a sky pixel in i, r, g, nanomaggies: photon noise of SDSS's sky.
SKY_NOISE = np.array([0.034, 0.0255, 0.0125])
VOLUNTEERS = 44  # median number of votes on a galaxy (Willett et al. 2013)
AGREEMENT = 0.55  # share of the votes that Galaxy10 asks for

NAMES = (
    "kind petrosian_r90 magnitude_r surface_brightness g_r r_i bulge_to_total sersic_index "
    "boxiness scale axis_ratio inclination position_angle arm_number pitch_angle arm_contrast "
    "bar_to_total ring_to_total dust seeing signal_to_noise votes"
)
FORMATS = ["U10", *12 * ["f4"], "i4", *7 * ["f4"], "10f4"]
PARAMETERS = np.dtype(list(zip(NAMES.split(), FORMATS, strict=True)))

Random: TypeAlias = np.random.Generator
Array: TypeAlias = NDArray[Any]
Galaxy: TypeAlias = dict[str, Any]  # the fields of PARAMETERS
# share of the light, shape, how much redder in g-r than the galaxy
Part: TypeAlias = tuple[float, Array, float]


def simulate_galaxy10(
    n: int,
    seed: int = 0,
    *,
    class_fractions: Literal["galaxy10", "balanced"] | ArrayLike = "galaxy10",
    return_parameters: bool = False,
) -> tuple[Any, ...]:
    """Simulate labelled galaxy images in Galaxy10's form.

    An image and its label are those on which more than 55 % of about 44 simulated volunteers
    agree. Galaxy i depends on `seed`, i and `class_fractions` only, not on `n`: the first 100 of
    1,000 are the same as the 100 asked for alone.

    Parameters
    ----------
    n : int
        Number of galaxies, 1 or more. Some 3 to 4 ms and 14 kB each.
    seed : int, default 0
        0 or more. The same seed gives the same galaxies.
    class_fractions : {"galaxy10", "balanced"} or array of float, shape (10,)
        Relative numbers of the classes: those of the public Galaxy10 file (default), equal ones, or
        your own, of any positive sum. The labels form a golden-ratio sequence (Kronecker, of low
        discrepancy), so that each class has its share of any long run to within a few galaxies.
    return_parameters : bool, default False
        Return the true parameters, too.

    Returns
    -------
    images : ndarray of uint8, shape (n, 69, 69, 3)
        Red, green and blue from the i, r and g bands, 0.06 Petrosian R90 a pixel.
    labels : ndarray of uint8, shape (n,)
        Classes 0 to 9, indices into ``CLASS_NAMES``.
    parameters : structured ndarray, shape (n,)
        Only with ``return_parameters=True``; zero where a quantity does not apply:

        - ``kind``: "elliptical", "lenticular", "spiral" or "edge-on";
        - ``petrosian_r90``, ``seeing`` (FWHM): arcsec;
        - ``magnitude_r``, ``g_r``, ``r_i``: of all its light, before dust;
        - ``surface_brightness``: half the r-band light over an ellipse of semi-major axis ``scale``
          and the axis ratio (at least 0.25), magnitudes per square arcsec;
        - ``scale``: half-light radius of an elliptical, else the disk's scale length, in R90;
        - ``bulge_to_total``, ``sersic_index`` (of the bulge or elliptical), ``boxiness`` (0 is an
          ellipse), ``bar_to_total``, ``ring_to_total``;
        - ``axis_ratio``: minor to major axis before seeing; of edge-on disks a measure of height;
        - ``inclination``, ``position_angle`` (from up to the left), ``pitch_angle``: degrees;
        - ``arm_number``, ``arm_contrast`` (share of the outer disk's light in arms; beyond a pitch
          of 18 degrees they hold more, since they reach further out);
        - ``dust``: optical depth of the dust lane in r;
        - ``signal_to_noise``: 90 % of the r-band light over the noise of its own sky within R90;
        - ``votes``: share of the votes for each class, shape (10,); the rest found none fitting.

    Raises
    ------
    ParameterError
        `n` or `seed` is not an integer or too small, or `class_fractions` is no known name, has
        another shape, a negative or not finite entry, or no positive one.

    Examples
    --------
    >>> import galclass
    >>> images, labels = galclass.simulate_galaxy10(100)
    >>> images.shape, labels.shape
    ((100, 69, 69, 3), (100,))

    About as many of each class, with the parameters that they were made with:

    >>> images, labels, true = galclass.simulate_galaxy10(
    ...     10, class_fractions="balanced", return_parameters=True
    ... )
    >>> true.dtype.names[:3]
    ('kind', 'petrosian_r90', 'magnitude_r')
    >>> true["petrosian_r90"].shape
    (10,)
    """
    n, seed = check_integer(n, "n", 1), check_integer(seed, "seed", 0)
    edges = np.cumsum(_checked_fractions(class_fractions))
    edges /= edges[-1]
    golden, start = (5**0.5 - 1) / 2, np.random.default_rng(seed).random()
    images = np.empty((n, *IMAGE_SHAPE), np.uint8)
    labels = np.searchsorted(edges, (start + golden * np.arange(n)) % 1, "right").astype(np.uint8)
    parameters = np.empty(n, PARAMETERS)
    for i, label in enumerate(labels):
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(i,)))
        galaxy = _agreed_galaxy(rng, label)
        images[i], parameters[i] = _image(rng, galaxy), tuple(map(galaxy.get, PARAMETERS.names))
    return (images, labels, parameters) if return_parameters else (images, labels)


def _checked_fractions(fractions: Any) -> NDArray[np.float64]:
    known = {"galaxy10": CLASS_COUNTS, "balanced": np.ones(10)}
    try:
        numbers = np.array(known[fractions] if isinstance(fractions, str) else fractions, float)
        valid = numbers.shape == (10,) and numbers.min() >= 0 and 0 < numbers.sum() < np.inf
    except (KeyError, TypeError, ValueError):
        valid = False
    if not valid:
        expected = "'galaxy10', 'balanced' or ten finite numbers of at least 0, not all 0"
        raise ParameterError(f"class_fractions is {fractions!r}, expected {expected}")
    return numbers


def _agreed_galaxy(rng: Random, label: int) -> Galaxy:
    """Draw galaxies until the volunteers agree that one is of class `label`."""
    while True:
        galaxy = _galaxy(rng, label)
        votes = _votes(rng, galaxy)
        if votes[label] > AGREEMENT * votes.sum():
            return galaxy | {"votes": votes[:10] / votes.sum()}


# Of the galaxies that are drawn for each class, before the votes: median Petrosian R90 (arcsec);
# half-light radius (elliptical) or disk scale length in R90; mean and scatter of the r surface
# brightness (magnitudes per square arcsec) and of g-r. Set by comparison with Galaxy10's images.
POPULATION = (
    (5.3, 0.47, 20.0, 0.40, 0.72, 0.18),
    (4.9, 0.37, 19.4, 0.70, 0.94, 0.16),
    (4.6, 0.44, 18.95, 0.70, 0.86, 0.17),
    (5.3, 0.57, 19.1, 0.75, 0.66, 0.17),
    (5.7, 0.56, 19.15, 0.50, 0.83, 0.09),
    (5.7, 0.64, 19.3, 0.50, 0.92, 0.08),
    (7.6, 0.50, 19.7, 0.40, 0.56, 0.17),
    (6.0, 0.60, 20.2, 0.45, 0.57, 0.11),
    (6.0, 0.52, 20.1, 0.45, 0.58, 0.13),
    (5.5, 0.51, 20.1, 0.45, 0.59, 0.15),
)


def _galaxy(rng: Random, label: int) -> Galaxy:
    """Draw a galaxy of a kind that is often seen as class `label`: a dict of its parameters."""
    radius, scale, mu, mu_scatter, colour, colour_scatter = POPULATION[label]
    g = {name: 0.0 for name in PARAMETERS.names}
    # Galaxy Zoo 2 took galaxies with R90 > 3 arcsec (Willett et al. 2013, section 2)
    g["petrosian_r90"] = max(3.0, radius * np.exp(0.36 * rng.normal()))
    g["scale"] = scale * np.exp((0.16 if label in (1, 2) else 0.09) * rng.normal())
    g["surface_brightness"] = rng.normal(mu, mu_scatter)
    g["g_r"] = np.clip(rng.normal(colour, colour_scatter), 0.1, 1.2)
    g["r_i"] = 0.17 + 0.22 * g["g_r"] + 0.04 * rng.normal()
    # SDSS's median seeing in r is 1.32 arcsec (Abazajian et al. 2009)
    g["seeing"] = np.clip(rng.normal(1.32, 0.12), 1.1, 1.6)
    g["position_angle"] = rng.uniform(0, 180)
    on_edge = label in (4, 5, 6) or (label == 3 and rng.random() < 0.5)
    draw = _draw_edge_on if on_edge else _draw_smooth if label in (1, 2, 3) else _draw_spiral
    draw(rng, g, label)
    area = np.pi * (g["scale"] * g["petrosian_r90"]) ** 2 * max(g["axis_ratio"], 0.25)
    g["magnitude_r"] = g["surface_brightness"] - 2.5 * np.log10(2 * area)
    sky_pixels = np.pi * (g["petrosian_r90"] / SDSS_PIXEL) ** 2
    flux = 10 ** (0.4 * (22.5 - g["magnitude_r"]))
    g["signal_to_noise"] = 0.9 * flux / (SKY_NOISE[1] * sky_pixels**0.5)
    return g


def _draw_smooth(rng: Random, g: Galaxy, label: int) -> None:
    """Ellipticals, lenticulars (not for 3), and small blue galaxies without structure."""
    q = rng.uniform(*{1: (0.6, 1.0), 2: (0.36, 0.85), 3: (0.1, 0.36)}[label])
    form = rng.random()
    g["kind"], g["axis_ratio"], g["bulge_to_total"] = "elliptical", q, 1.0
    g["boxiness"] = rng.normal(0, 0.1)
    if form < 0.5:
        g["sersic_index"] = np.clip(rng.normal(4.2, 1.2), 0.8, 6)
        if label == 3:  # a profile nearer to a disk's
            g["sersic_index"] = rng.uniform(0.8, 2.5)
    elif form < 0.85 and label != 3:
        g["kind"], g["bulge_to_total"] = "lenticular", rng.beta(3, 4)
        g["inclination"] = np.degrees(np.arccos(np.sqrt(max(0, q**2 - 0.04) / 0.96)))
        g["sersic_index"] = rng.uniform(2, 5)
    else:
        g["sersic_index"] = rng.uniform(0.7, 1.5)
        g["g_r"] -= 0.25
        g["r_i"] -= 0.07


def _draw_edge_on(rng: Random, g: Galaxy, label: int) -> None:
    """Disks on edge; thicker ones, which volunteers often call smooth and cigar shaped, for 3."""
    g["kind"], g["inclination"] = "edge-on", rng.uniform(82, 90)
    g["axis_ratio"] = rng.uniform(*{3: (0.15, 0.35), 5: (0.07, 0.14)}.get(label, (0.1, 0.2)))
    g["bulge_to_total"] = rng.uniform(0, 0.12) if label == 6 else rng.uniform(0.08, 0.4)
    if label == 3:
        g["bulge_to_total"] *= rng.random()
    g["sersic_index"] = rng.uniform(1, 3)
    g["boxiness"] = rng.uniform(0.8, 2.5) if label == 5 else rng.normal(0, 0.2)
    if rng.random() < 0.4:
        g["dust"] = rng.uniform(0.5, 2.0)


def _draw_spiral(rng: Random, g: Galaxy, label: int) -> None:
    """Disks with arms; faint ones, or a ring, where volunteers see a disk without spiral."""
    cosine = rng.uniform(*{0: (0.25, 1.0), 9: (0.2, 0.8)}.get(label, (0.42, 1.0)))
    g["kind"], g["inclination"] = "spiral", np.degrees(np.arccos(cosine))
    # an oblate disk of thickness 0.2 (Hubble 1926)
    g["axis_ratio"] = np.sqrt(0.04 + 0.96 * cosine**2)
    g["bulge_to_total"] = rng.beta(*{7: (2, 13), 9: (4, 7)}.get(label, (2, 8)))
    g["sersic_index"] = rng.uniform(1, 4)
    if rng.random() < {0: 0.45, 7: 0.2, 8: 0.3, 9: 0.45}[label]:
        g["bar_to_total"] = (1 - g["bulge_to_total"]) * rng.uniform(0.05, 0.25)
    g["arm_number"] = 2 if label == 9 or rng.random() < 0.6 else rng.integers(3, 6)
    g["pitch_angle"] = rng.uniform(*{0: (3, 30), 7: (6, 15), 8: (13, 25), 9: (20, 45)}[label])
    contrast = {0: (0.0, 0.3), 7: (0.45, 1.0), 8: (0.35, 0.95), 9: (0.6, 1.0)}
    g["arm_contrast"] = rng.uniform(*contrast[label])
    if label == 0 and rng.random() < 0.6:
        disk = 1 - g["bulge_to_total"] - g["bar_to_total"]
        g["ring_to_total"] = disk * rng.uniform(0.05, 0.3)


def _votes(rng: Random, g: Galaxy) -> NDArray[np.int64]:
    """Votes of the volunteers for the ten classes and, last, for none of them.

    The volunteers follow the decision tree of Galaxy Zoo 2 (Willett et al. 2013, figure 1). What
    they see is drowned by noise and, but for bars and rings, blurred by the seeing; and a galaxy
    may look a little more or less featured, tightly wound, or bulged than it is, to all of them
    (`opinion`).
    """
    sharpness = g["petrosian_r90"] / g["seeing"]
    # a Gaussian's standard deviation is 0.43 of its FWHM
    blur = 0.43 / (sharpness * g["scale"])
    q = np.sqrt((g["axis_ratio"] ** 2 + blur**2) / (1 + blur**2))
    visible = 1 - np.exp(-sharpness * g["signal_to_noise"] / 60)
    arms = 0.0
    if g["kind"] == "spiral":
        # windings closer than the seeing and the image's pixels run into one another
        wave_number = g["arm_number"] / (1.5 * np.sin(np.radians(g["pitch_angle"])))
        smear = wave_number * np.hypot(blur, 0.03 / g["scale"])
        arms = g["arm_contrast"] * visible * np.exp(-(smear**2) / 2)
    opinion = rng.standard_normal(4)
    if g["kind"] == "edge-on":
        on_edge, evidence, scatter = 0.95, 4 * visible - 2 + (0.28 - q) / 0.04, 0.5
    else:
        others = (1.5 * g["bar_to_total"] + 4 * g["ring_to_total"]) * visible
        on_edge, evidence, scatter = 0.03, 12 * (arms + others - 0.2), 0.7
    featured = expit(evidence + scatter * opinion[0])
    spiral = expit(10 * (arms - 0.33) + 0.6 * opinion[1])
    pitch = g["pitch_angle"] + 1.5 * opinion[2]
    tight, loose = expit((13.5 - pitch) / 1.8), expit((pitch - 22.5) / 1.8)
    circular, cigar = expit((q - 0.76) / 0.04), expit((0.41 - q) / 0.03)
    bulgeless = expit((0.10 - g["bulge_to_total"] - 0.02 * opinion[3]) / 0.03)
    boxy = expit(6 * (g["boxiness"] - 0.7))
    smooth, face_on, edge_on = 1 - featured, featured * (1 - on_edge), featured * on_edge
    chances = np.r_[
        face_on * (1 - spiral),
        smooth * np.array([circular, 1 - circular]) * (1 - cigar),
        smooth * cigar,
        edge_on * (1 - bulgeless) * np.array([1 - boxy, boxy]),
        edge_on * bulgeless,
        face_on * spiral * np.array([tight, 1 - tight, loose]) * np.array([1, 1 - loose, 1]),
        0.03,
    ]
    return rng.multinomial(1 + rng.poisson(VOLUNTEERS), chances / chances.sum())


def _image(rng: Random, g: Galaxy) -> Image.Image:
    """The galaxy as SDSS and Galaxy Zoo show it; its signal-to-noise becomes that of this image."""
    bands, field = _bands(rng, g)
    low = bands.shape[1] // 2 + 0.5 - field / 2
    box = (low, low, low + field, low + field)
    return sdss_image(bands).resize(IMAGE_SHAPE[1::-1], Image.Resampling.BILINEAR, box)


def _bands(rng: Random, g: Galaxy) -> tuple[NDArray[np.float64], float]:
    """The sky around the galaxy, shape (3, n, n): i, r, g in nanomaggies per SDSS pixel.

    Second, the side of its field in pixels; the galaxy's signal-to-noise is corrected.
    """
    # SDSS serves large fields from binned copies of its frames
    binning = max(1, round(FIELD * g["petrosian_r90"] / SDSS_PIXEL / 128))
    pixel = binning * SDSS_PIXEL
    field = FIELD * g["petrosian_r90"] / pixel
    n = next_fast_len(int(np.ceil(field)) + 6, real=True)
    axis = (np.arange(n) - n // 2) * pixel / g["petrosian_r90"]
    sky = _light(rng, g, axis, pixel / g["petrosian_r90"])
    _add_neighbours(rng, sky, pixel)
    sky = _through_telescope(rng, sky, g["seeing"] / pixel) / binning**2
    noisier = np.exp(0.1 + 0.22 * rng.normal())
    # the volunteers voted by the average noise of SDSS's sky
    g["signal_to_noise"] /= noisier
    noise = SKY_NOISE / binning * noisier
    level = np.array([0.004, 0.004, 0.001]) * rng.exponential()
    if rng.random() < 0.03:
        # light of a bright star scattered in the camera, mostly in i
        level += np.array([0.12, 0.03, 0.02]) * rng.exponential(size=3)
    sky += noise[:, None, None] * rng.standard_normal(sky.shape) + level[:, None, None]
    return sky, field


def _light(rng: Random, g: Galaxy, axis: Array, pixel: float) -> Array:
    """Light of the galaxy, shape (3, n, n): i, r, g in nanomaggies a pixel; lengths in R90."""
    angle = np.radians(g["position_angle"])
    x, y = axis[None, :], axis[:, None]
    u = -x * np.sin(angle) - y * np.cos(angle)
    v = x * np.cos(angle) - y * np.sin(angle)
    # without it, the light of a cusp would depend on where the pixel's centre falls
    core = 0.35 * pixel
    bulge, bar, h = g["bulge_to_total"], g["bar_to_total"], g["scale"]
    disk = 1 - bulge - bar - g["ring_to_total"]
    flattening, radius = g["axis_ratio"], h
    if g["kind"] != "elliptical":
        on_edge, lenticular = (g["kind"] == kind for kind in ("edge-on", "lenticular"))
        flattening = rng.uniform(0.5, 0.85) if on_edge else 0.4 + 0.6 * flattening
        radius *= rng.uniform(*((0.15, 0.4) if lenticular else (0.12, 0.28)))
    power = 2 + g["boxiness"]
    r = (np.abs(u) ** power + np.abs(v / flattening) ** power + core**power) ** (1 / power)
    parts: list[Part] = [(bulge, _sersic(r / radius, g["sersic_index"]), 0.2 if disk else 0.0)]
    if g["kind"] == "edge-on":
        r = np.hypot(u, core) / h
        height = 0.55 * h * g["axis_ratio"]
        parts.append((disk, r * k1(r) * _truncation(r) / np.cosh(v / height) ** 2, -0.05))
    elif g["kind"] == "lenticular":
        r = np.sqrt(u**2 + (v / g["axis_ratio"]) ** 2 + core**2) / h
        parts.append((disk, np.exp(-r) * _truncation(r, rng.uniform(2.5, 5)), 0.02))
    elif g["kind"] == "spiral":
        parts += _spiral(rng, g, u / h, v / (g["axis_ratio"] * h), disk, core / h)
    flux = 10 ** (0.4 * (22.5 - g["magnitude_r"]))
    bands = np.zeros((3, *r.shape))
    for share, shape, redder in parts:
        if share:
            shape *= share * flux / shape.sum()
            colour = np.array([g["r_i"] + 0.4 * redder, 0, -(g["g_r"] + redder)])
            bands += shape * 10 ** (0.4 * colour)[:, None, None]
    if g["dust"]:
        lane = (v - 0.15 * height * rng.normal()) / (0.4 * height)
        depth = g["dust"] / np.cosh(np.clip(lane, -20, 20)) ** 2 * np.exp(-((u / (2 * h)) ** 2))
        # extinction in i, r, g relative to r: Cardelli, Clayton & Mathis (1989, ApJ 345, 245)
        bands *= np.exp(-depth * np.array([0.77, 1.0, 1.4])[:, None, None])
    return bands


def _sersic(r: Array, index: float) -> Array:
    """Sersic profile, r in half-light radii; b_n of Ciotti & Bertin (1999, A&A 352, 447)."""
    b = 2 * index - 1 / 3 + 4 / (405 * index)
    return np.exp(-b * r ** (1 / index))


def _truncation(r: Array, edge: float = 2.7) -> Array:
    """Most disks end near three scale lengths (Pohlen & Trujillo 2006); r in scale lengths."""
    return 1 / (1 + np.exp((r - edge) / 0.35))


def _spiral(rng: Random, g: Galaxy, u: Array, v: Array, disk: float, core: float) -> list[Part]:
    """Bar, ring, arms, knots, the disk between; u and v in the disk's plane, scale lengths."""
    r = np.sqrt(u**2 + v**2 + core**2)
    light = np.exp(-r) * _truncation(r)
    turn, sense = rng.uniform(0, 2 * np.pi), rng.choice([-1, 1])
    along, across = np.cos(turn) * u + np.sin(turn) * v, np.cos(turn) * v - np.sin(turn) * u
    theta = sense * np.arctan2(v, u)
    # real arms are neither exactly logarithmic nor alike
    wobble = 0.5 * np.sin(theta + turn) + 0.4 * np.sin(2 * r + 2 * turn)
    winding = theta - np.log(r) / np.tan(np.radians(g["pitch_angle"]))
    phase = g["arm_number"] * (winding - sense * turn) + wobble
    width, onset = rng.uniform(0.7, 2.5), rng.uniform(0.5, 1.3)
    wave = np.exp(width * (np.cos(phase) - 1)) / i0e(width)
    contrast = g["arm_contrast"] * (1 - np.exp(-((r / onset) ** 2)))
    reach = np.clip((g["pitch_angle"] - 18) / 15, 0, 1)
    further = np.exp(-r / (1 + 0.5 * reach)) * _truncation(r, 2.7 + 1.5 * reach)
    arms = further * contrast * wave * (1 + 0.3 * rng.random() * np.cos(theta + 5 * turn))
    between = light * (1 - contrast)
    in_arms = disk * arms.sum() / (arms.sum() + between.sum())
    in_knots = 0.1 * g["arm_contrast"] * in_arms
    chance = np.cumsum(arms)
    where = np.searchsorted(chance, chance[-1] * rng.random(12))
    knots = np.bincount(where, rng.exponential(size=12), arms.size).reshape(arms.shape)
    ring = np.exp(-(((r - rng.uniform(1.2, 2.4)) / rng.uniform(0.12, 0.4)) ** 2))
    return [
        (g["bar_to_total"], np.exp(-1.5 * ((along / 1.3) ** 2 + (across / 0.4) ** 2)), 0.05),
        (g["ring_to_total"], ring, -0.1),
        (in_arms - in_knots, arms, -0.18),
        (in_knots, knots, -0.35),
        (disk - in_arms, between, 0.02),
    ]


def _add_neighbours(rng: Random, sky: Array, pixel: float) -> None:
    """Add stars and small galaxies to the sky, 4 and 2.5 a square arcminute."""
    n = sky.shape[1]
    area = (n * pixel / 60) ** 2
    for _ in range(rng.poisson(4 * area)):
        row, column = rng.integers(0, n, 2)
        magnitude, g_r = 21.5 - rng.exponential(1.2), rng.uniform(0.3, 1.5)
        # M dwarfs differ in r-i at the same g-r (Fukugita et al. 1996, AJ 111, 1748, figure 6)
        r_i = 0.1 + 0.3 * g_r + (rng.uniform(0, 1) if g_r > 1.3 else 0)
        sky[:, row, column] += 10 ** (0.4 * (22.5 - magnitude + np.array([r_i, 0, -g_r])))
    for _ in range(rng.poisson(2.5 * area)):
        row, column = rng.integers(0, n, 2)
        magnitude, g_r = 20.5 - rng.exponential(0.9), rng.uniform(0.4, 1.4)
        radius, q, angle = rng.uniform(0.5, 1.6) / pixel, rng.uniform(0.3, 1), rng.uniform(0, np.pi)
        x, y = np.arange(n)[None, :] - column, np.arange(n)[:, None] - row
        u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
        shape = _sersic(np.hypot(u, v / q) / radius, 1.0)
        colour = np.array([0.1 + 0.35 * g_r, 0, -g_r])
        sky += (10 ** (0.4 * (22.5 - magnitude + colour)) / shape.sum())[:, None, None] * shape


def _through_telescope(rng: Random, sky: Array, seeing: float) -> Array:
    """Blur by the seeing (FWHM in pixels) and shift each band by its astrometric error.

    A Moffat profile with beta = 2.5 has the transfer function (1 + k a) exp(-k a), a its scale
    radius: the general one's Bessel function is elementary at this beta (Trujillo et al. 2001).
    """
    n = sky.shape[1]
    ky, kx = 2 * np.pi * np.fft.fftfreq(n)[:, None], 2 * np.pi * np.fft.rfftfreq(n)[None, :]
    k = np.hypot(kx, ky)
    spectrum = rfft2(sky)
    # seeing grows towards the blue as wavelength^-0.2 (Fried 1966, JOSA 56, 1372)
    for band, wider in enumerate((0.96, 1.0, 1.055)):
        a = k * wider * seeing / (2 * np.sqrt(2**0.4 - 1))
        dy, dx = rng.normal(0, 0.12, 2)
        shift = np.exp(-1j * ky * dy) * np.exp(-1j * kx * dx)
        spectrum[band] *= (1 + a) * np.exp(-a) * shift
    return irfft2(spectrum, s=(n, n))
