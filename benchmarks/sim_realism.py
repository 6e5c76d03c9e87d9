"""Compare simulated galaxies with real ones: distributions of five measures in each class.

This prints the two-sample Kolmogorov-Smirnov statistic of each class and measure, and plots the
cumulative distributions. The measures are computed from the images, in the same way for both:

* colour: (red - blue) / (red + green + blue) of the galaxy's light;
* contrast: standard deviation of the brightness over the image, grey levels;
* noise: standard deviation of the brightness in the quietest corner of 14 x 14 pixels;
* concentration: radius of 20 % of the light divided by the radius of 80 %;
* axis ratio: from the galaxy's second moments.

    python benchmarks/sim_realism.py --data Galaxy10.h5 --half even --out sim_realism.png

The galaxies with an even ``galaxy_id`` were used to adjust the simulation ("even"); the others were
not ("odd").
"""

import argparse
from pathlib import Path

import h5py
import numpy as np
from scipy import ndimage
from scipy.stats import ks_2samp

from galclass import CLASS_NAMES, simulate_galaxy10

MEASURES = ("colour", "contrast", "noise", "concentration", "axis ratio")
X, Y = np.meshgrid(np.arange(69) - 34.0, np.arange(69) - 34.0)
RADIUS = np.hypot(X, Y)
BORDER = np.maximum(abs(X), abs(Y)) > 28
EDGES = (slice(0, 14), slice(-14, None))


def read_half(path, half):
    """Read images and labels of the galaxies with an even or an odd ``galaxy_id``, or of all."""
    with h5py.File(path) as file:
        if half == "all":
            return file["images"][:], file["ans"][:]
        if "galaxy_id" not in file:
            raise SystemExit(f"{path} has no column 'galaxy_id' to halve it by; give --half all")
        is_odd = file["galaxy_id"][:] % 2 == 1
        kept = is_odd if half == "odd" else ~is_odd
        return file["images"][:][kept], file["ans"][:][kept]


def find_galaxy(light):
    """Return the pixels of the galaxy in the centre: a connected area above the noise."""
    background = np.median(light[BORDER])
    sigma = 1.4826 * np.median(abs(light[BORDER] - background))
    above = light - background
    threshold = max(3 * sigma, 0.15 * np.percentile(above[RADIUS < 6], 90), 2)
    areas, _ = ndimage.label(above > threshold)
    if areas[34, 34] == 0:
        return RADIUS < 6
    return areas == areas[34, 34]


def measure_colour(image, galaxy):
    background = np.median(image[BORDER], axis=0)
    red, green, blue = (image - background)[galaxy].sum(axis=0)
    return (red - blue) / (red + green + blue)


def measure_noise(light):
    return min(light[rows, columns].std() for rows in EDGES for columns in EDGES)


def measure_concentration(above, galaxy):
    order = np.argsort(RADIUS[galaxy])
    growth = np.cumsum(above[galaxy][order]) / above[galaxy].sum()
    inner, outer = np.interp([0.2, 0.8], growth, RADIUS[galaxy][order])
    return inner / outer


def measure_axis_ratio(above, galaxy):
    weight = above * galaxy
    total = weight.sum()
    x = X - (weight * X).sum() / total
    y = Y - (weight * Y).sum() / total
    xx = (weight * x * x).sum() / total
    yy = (weight * y * y).sum() / total
    xy = (weight * x * y).sum() / total
    mean = (xx + yy) / 2
    difference = np.hypot((xx - yy) / 2, xy)
    return np.sqrt(max(mean - difference, 0) / (mean + difference))


def measure(image):
    """Return the five measures of an image, uint8 (69, 69, 3)."""
    image = image.astype(float)
    light = image.mean(axis=2)
    galaxy = find_galaxy(light)
    above = light - np.median(light[BORDER])
    return (
        measure_colour(image, galaxy),
        light.std(),
        measure_noise(light),
        measure_concentration(above, galaxy),
        measure_axis_ratio(above, galaxy),
    )


def measure_by_class(images, labels):
    """Return one array of shape (n, 5) per class."""
    values = np.array([measure(image) for image in images])
    return [values[labels == c] for c in range(len(CLASS_NAMES))]


def compare(simulated, real):
    """Return the Kolmogorov-Smirnov statistic of each class and measure, NaN without real ones."""
    statistics = np.full((len(CLASS_NAMES), len(MEASURES)), np.nan)
    for c in range(len(CLASS_NAMES)):
        if not len(real[c]):
            continue
        for k in range(len(MEASURES)):
            statistics[c, k] = ks_2samp(simulated[c][:, k], real[c][:, k]).statistic
    return statistics


def plot(simulated, real, statistics, origin, path):
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(
        len(CLASS_NAMES), len(MEASURES), figsize=(11, 15), sharex="col", layout="constrained"
    )
    for c, row in enumerate(axes):
        for k, ax in enumerate(row):
            for values, style in ((real[c], "k-"), (simulated[c], "C1-")):
                if len(values):
                    ax.plot(np.sort(values[:, k]), np.linspace(0, 1, len(values)), style)
            ax.text(0.04, 0.8, f"{statistics[c, k]:.2f}", transform=ax.transAxes)
            ax.set_yticks([0, 1])
        name = CLASS_NAMES[c].replace(", ", "\n")
        row[0].set_ylabel(f"{c + 1} {name}", rotation=0, ha="right", va="center")
    for k, name in enumerate(MEASURES):
        axes[0, k].set_title(name)
        pooled = np.concatenate([values[:, k] for values in [*simulated, *real]])
        axes[-1, k].set_xlim(*np.percentile(pooled, [0.5, 99.5]))
    figure.suptitle(
        "Cumulative distributions of real galaxies (black) and simulated ones (orange), "
        f"and the Kolmogorov-Smirnov statistic\nReal: {origin}"
    )
    figure.savefig(path, dpi=100, metadata={"Software": None})


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="HDF5 file in Galaxy10's layout")
    parser.add_argument(
        "--half", choices=("even", "odd", "all"), default="even", help="parity of the galaxy_id"
    )
    parser.add_argument(
        "--n", type=int, default=4000, help="galaxies to simulate, equally many of each class"
    )
    parser.add_argument("--seed", type=int, default=1, help="random seed of the simulation")
    parser.add_argument("--out", help="figure to write")
    arguments = parser.parse_args()

    images, labels = simulate_galaxy10(arguments.n, arguments.seed, class_fractions="balanced")
    simulated = measure_by_class(images, labels)
    images, labels = read_half(arguments.data, arguments.half)
    real = measure_by_class(images, labels)
    statistics = compare(simulated, real)
    print(f"{'class':32s}{'real':>6s}  " + "".join(f"{name:>14s}" for name in MEASURES))
    for c, name in enumerate(CLASS_NAMES):
        row = "".join(f"{value:14.2f}" for value in statistics[c])
        print(f"{c + 1:2d} {name:29s}{len(real[c]):6d}  {row}")
    if arguments.out:
        origin = (
            f"{Path(arguments.data).name}, {arguments.half} galaxy_id, {len(labels):,} galaxies"
        )
        plot(simulated, real, statistics, origin, arguments.out)


if __name__ == "__main__":
    main()
