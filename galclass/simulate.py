"""Simulated galaxies in Galaxy10's form: labelled colour pictures without a download."""

import io

import numpy as np
from PIL import Image
from scipy.fft import irfft2, next_fast_len, rfft2

from .galaxy10 import CLASS_COUNTS

SIZE = 69
SDSS_PIXEL = 0.396  # arcsec
FIELD = 0.02 * 207  # side of a Galaxy10 picture in Petrosian R90
STRETCH = (1.0, 1.35, 2.1)  # i, r, g
NONLINEARITY = 2.25
SKY_NOISE = (0.022, 0.017, 0.011)
BLACK = (0.006, 0.004, 0.004)
GOLDEN = (5**0.5 - 1) / 2


def simulate_galaxy10(n, seed=0, *, class_fractions="galaxy10", return_parameters=False):
    """Simulate labelled galaxy pictures in Galaxy10's form (first version)."""
    fractions = (
        np.asarray(CLASS_COUNTS, float)
        if isinstance(class_fractions, str) and class_fractions == "galaxy10"
        else np.ones(10)
        if isinstance(class_fractions, str)
        else np.asarray(class_fractions, float)
    )
    edges = np.cumsum(fractions) / np.sum(fractions)
    start = np.random.default_rng(seed).random()
    images = np.empty((n, SIZE, SIZE, 3), np.uint8)
    labels = np.empty(n, np.uint8)
    rows = []
    for i in range(n):
        labels[i] = np.searchsorted(edges, (start + i * GOLDEN) % 1, side="right")
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(i,)))
        p = _draw(rng, int(labels[i]))
        images[i] = _picture(rng, p)
        rows.append((p["R90"], p["magnitude"], p["q"]))
    if return_parameters:
        dtype = [("petrosian_r90", "f4"), ("magnitude_r", "f4"), ("axis_ratio", "f4")]
        return images, labels, np.array(rows, dtype)
    return images, labels


def _draw(rng, label):
    p = dict(label=label, R90=float(np.clip(rng.lognormal(np.log(7), 0.4), 3.2, 25)))
    p["angle"] = rng.uniform(0, np.pi)
    p["seeing"] = rng.normal(1.3, 0.1)
    blue = rng.normal()
    p["bulge_q"], p["bulge_n"], p["bulge_c"], p["bulge_R"] = 0.9, 2.5, 0.0, 0.15
    p["arms"] = 0.0
    if label in (1, 2, 3):
        low, high = {1: (0.82, 1.0), 2: (0.45, 0.8), 3: (0.2, 0.36)}[label]
        p["q"] = rng.uniform(low, high)
        p["bulge_q"], p["bulge_n"] = p["q"], rng.uniform(1.5, 4.5) if label < 3 else 1.5
        p["BT"], p["bulge_R"] = 1.0, 0.38
        mu, gr = rng.normal(20.6, 0.6), 0.85 + 0.1 * blue
    elif label in (4, 5, 6):
        p["q"] = rng.uniform(0.08, 0.16)
        p["BT"] = 0.0 if label == 6 else rng.uniform(0.2, 0.45)
        p["bulge_q"], p["bulge_c"] = rng.uniform(0.6, 0.85), 1.5 if label == 5 else 0.0
        p["bulge_n"] = 1.5
        mu, gr = rng.normal(20.7, 0.5), (0.6 if label == 6 else 0.8) + 0.1 * blue
    else:
        p["q"] = rng.uniform(0.45, 1.0)
        p["BT"] = rng.beta(2, 8)
        p["bulge_q"] = 0.5 + 0.5 * p["q"]
        mu, gr = rng.normal(21.0, 0.5), (0.7 if label == 0 else 0.55) + 0.1 * blue
        if label:
            p["arms"] = rng.uniform(0.6, 1.0)
            p["number"] = rng.choice([2, 2, 2, 3, 4]) if label < 9 else 2
            p["pitch"] = np.radians(rng.uniform(*{7: (6, 11), 8: (13, 20), 9: (24, 38)}[label]))
        p["bar"] = rng.random() < 0.3
    p["surface_brightness"] = mu
    r50 = p["R90"] / 2.6
    p["magnitude"] = mu - 2.5 * np.log10(2 * np.pi * r50**2 * max(p["q"], 0.2) ** 0.5)
    p["g-r"], p["r-i"] = gr, 0.18 + 0.28 * gr
    return p


def _sersic(radius, index):
    b = 2 * index - 1 / 3
    return np.exp(-b * radius ** (1 / index))


def _picture(rng, p):
    side = max(28, int(np.ceil(FIELD * p["R90"] / SDSS_PIXEL)))
    binning = max(1, round(side / 104))
    pixel = SDSS_PIXEL * binning
    field = FIELD * p["R90"] / pixel
    n = next_fast_len(int(np.ceil(field)) + 6, real=True)
    axis = (np.arange(n) - n // 2) * pixel / p["R90"]
    x, y = axis[None, :], axis[:, None]
    c, s = np.cos(p["angle"]), np.sin(p["angle"])
    u, v = c * x + s * y, c * y - s * x
    soft = (0.3 * pixel / p["R90"]) ** 2
    e = 2 + p["bulge_c"]
    rb = (np.abs(u) ** e + np.abs(v / p["bulge_q"]) ** e + soft ** (e / 2)) ** (1 / e)
    bulge = _sersic(rb / p["bulge_R"], p["bulge_n"])
    bulge /= bulge.sum()
    disk = np.zeros_like(bulge)
    arms = disk
    if p["BT"] < 1:
        h = 0.26 if p["label"] not in (4, 5, 6) else 0.3
        if p["label"] in (4, 5, 6):
            disk = np.exp(-np.sqrt(u**2 + 0.01) / h) / np.cosh(v / (h * p["q"] * 1.2)) ** 2
        else:
            r = np.sqrt(u**2 + (v / p["q"]) ** 2 + soft)
            disk = np.exp(-r / h)
            if p["arms"]:
                phase = np.arctan2(v / p["q"], u) - np.log(r / h) / np.tan(p["pitch"])
                wave = np.exp(2.0 * (np.cos(p["number"] * phase) - 1))
                arms = disk * wave * p["arms"] * (1 - np.exp(-((r / 0.25) ** 2)))
                disk = disk * (1 - 0.5 * p["arms"])
    total = disk.sum() + arms.sum()
    flux = 10 ** (0.4 * (22.5 - p["magnitude"]))
    bands = np.empty((3, n, n))
    for k, (db, dd, da) in enumerate(((0.08, -0.02, -0.1), (0, 0, 0), (-0.15, 0.03, 0.2))):
        colour = (10 ** (0.4 * p["r-i"]), 1.0, 10 ** (-0.4 * p["g-r"]))[k]
        bands[k] = p["BT"] * 10 ** (0.4 * db) * bulge
        if total:
            bands[k] += (1 - p["BT"]) / total * (10 ** (0.4 * dd) * disk + 10 ** (0.4 * da) * arms)
        bands[k] *= flux * colour
    for _ in range(rng.poisson(0.3 * (p["R90"] / 7) ** 2)):
        iy, ix = rng.integers(0, n, 2)
        star = 10 ** (0.4 * (22.5 - rng.uniform(17.5, 21)))
        bands[:, iy, ix] += star * 10 ** (0.4 * rng.uniform(0, 1) * np.array([0.5, 0, -1]))
    ky = 2 * np.pi * np.fft.fftfreq(n)[:, None]
    kx = 2 * np.pi * np.fft.rfftfreq(n)[None, :]
    k = np.hypot(kx, ky)
    spectrum = rfft2(bands)
    for band, wider in enumerate((0.97, 1.0, 1.08)):
        alpha = wider * p["seeing"] / (2 * np.sqrt(2**0.4 - 1)) / pixel
        dy, dx = rng.normal(0, 0.15, 2)
        spectrum[band] *= (1 + k * alpha) * np.exp(-k * alpha - 1j * (ky * dy + kx * dx))
    bands = irfft2(spectrum, s=(n, n)) / binning**2
    noise = np.array(SKY_NOISE)[:, None, None] / binning * rng.lognormal(0, 0.2)
    bands += noise * rng.standard_normal(bands.shape) + np.array(BLACK)[:, None, None]
    picture = _lupton_rgb(bands)
    frame = Image.fromarray(picture)
    buffer = io.BytesIO()
    frame.save(buffer, "JPEG", quality=80)
    low = n // 2 + 0.5 - field / 2
    frame = Image.open(buffer).resize(
        (SIZE, SIZE), Image.Resampling.BILINEAR, box=(low, low, low + field, low + field)
    )
    return np.asarray(frame)


def _lupton_rgb(bands):
    rgb = np.maximum(bands, 0) * np.array(STRETCH)[:, None, None]
    total = np.maximum(rgb.sum(axis=0), 1e-9)
    rgb *= np.arcsinh(NONLINEARITY * total) / (NONLINEARITY * total)
    rgb /= np.maximum(rgb.max(axis=0), 1)
    return (255 * rgb + 0.5).astype(np.uint8).transpose(1, 2, 0)
