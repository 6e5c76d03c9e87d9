"""How simulated galaxies compare with real ones: distributions by class of five measures.

Prints the two-sample Kolmogorov-Smirnov statistic of each class and measure, and plots the
cumulative distributions. The measures are made on the images, the same way on both:

* colour: (red - blue) / (red + green + blue) of the galaxy's light;
* contrast: standard deviation of the brightness over the image, grey levels;
* noise: standard deviation of the brightness in the quietest corner of 14 x 14 pixels;
* concentration: radius of 20 % over that of 80 % of the light;
* axis ratio: of the galaxy's second moments.

    python benchmarks/sim_realism.py --data Galaxy10.h5 --half even --out sim_realism.png

Half of the galaxies, by the parity of ``galaxy_id``, was looked at when the simulation was made
("even"); the other was not.
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


def read_half(path, half):
    """Images and labels of the galaxies with an even or an odd ``galaxy_id``, or of all."""
    with h5py.File(path) as file:
        if half == "all":
            return file["images"][:], file["ans"][:]
        if "galaxy_id" not in file:
            raise SystemExit(f"{path} has no column 'galaxy_id' to halve it by; give --half all")
        kept = file["galaxy_id"][:] % 2 == (half == "odd")
        return file["images"][:][kept], file["ans"][:][kept]


def measure(image):
    """The five measures of one image, uint8 (69, 69, 3)."""
    image = image.astype(float)
    light = image.mean(axis=2)
    sky = np.median(light[BORDER])
    sigma = 1.4826 * np.median(abs(light[BORDER] - sky))
    light_above = light - sky
    threshold = max(3 * sigma, 0.15 * np.percentile(light_above[RADIUS < 6], 90), 2)
    pieces = ndimage.label(light_above > threshold)[0]
    galaxy = pieces == pieces[34, 34] if pieces[34, 34] else RADIUS < 6
    weight = light_above * galaxy
    total = weight.sum()
    x, y = X - (weight * X).sum() / total, Y - (weight * Y).sum() / total
    xx, yy, xy = ((weight * m).sum() / total for m in (x * x, y * y, x * y))
    mean, spread = (xx + yy) / 2, np.hypot((xx - yy) / 2, xy)
    colour = (image - np.median(image[BORDER], axis=0))[galaxy].sum(axis=0)
    order = np.argsort(RADIUS[galaxy])
    growth = np.cumsum(light_above[galaxy][order]) / total
    r20, r80 = np.interp([0.2, 0.8], growth, RADIUS[galaxy][order])
    corners = (light[rows, columns] for rows in CORNER for columns in CORNER)
    return (
        (colour[0] - colour[2]) / colour.sum(),
        light.std(),
        min(corner.std() for corner in corners),
        r20 / r80,
        np.sqrt(max(mean - spread, 0) / (mean + spread)),
    )


CORNER = (slice(0, 14), slice(-14, None))


def draw(simulated, real, statistics, origin, path):
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(10, 5, figsize=(11, 15), sharex="col", layout="constrained")
    for label, row in enumerate(axes):
        for k, ax in enumerate(row):
            for values, style in ((real[label], "k-"), (simulated[label], "C1-")):
                if len(values):
                    ax.plot(np.sort(values[:, k]), np.linspace(0, 1, len(values)), style)
            ax.text(0.04, 0.8, f"{statistics[label, k]:.2f}", transform=ax.transAxes)
            ax.set_yticks([0, 1])
            if label == 0:
                ax.set_title(MEASURES[k])
        name = CLASS_NAMES[label].replace(", ", "\n")
        row[0].set_ylabel(f"{label + 1} {name}", rotation=0, ha="right", va="center")
    for k, ax in enumerate(axes[-1]):
        pooled = np.concatenate([v[:, k] for v in [*simulated, *real] if len(v)])
        ax.set_xlim(*np.percentile(pooled, [0.5, 99.5]))
    figure.suptitle(
        "Share of galaxies below a value, real (black) and simulated (orange), "
        f"and the Kolmogorov-Smirnov statistic\nReal: {origin}"
    )
    figure.savefig(path, dpi=100, metadata={"Software": None})


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="HDF5 file in Galaxy10's layout")
    parser.add_argument("--half", choices=("even", "odd", "all"), default="even")
    parser.add_argument("--n", type=int, default=4000, help="galaxies to simulate, classes alike")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", help="figure to write")
    arguments = parser.parse_args()

    samples = []
    for images, labels in (
        simulate_galaxy10(arguments.n, arguments.seed, class_fractions="balanced"),
        read_half(arguments.data, arguments.half),
    ):
        values = np.array([measure(image) for image in images])
        samples.append([values[labels == label] for label in range(10)])
    simulated, real = samples
    statistics = np.full((10, 5), np.nan)
    print(f"{'class':32s}{'real':>6s}  " + "".join(f"{name:>14s}" for name in MEASURES))
    for label, name in enumerate(CLASS_NAMES):
        if len(real[label]):
            for k in range(5):
                pair = simulated[label][:, k], real[label][:, k]
                statistics[label, k] = ks_2samp(*pair).statistic
        row = "".join(f"{value:14.2f}" for value in statistics[label])
        print(f"{label + 1:2d} {name:29s}{len(real[label]):6d}  {row}")
    if arguments.out:
        galaxies = sum(map(len, real))
        origin = f"{Path(arguments.data).name}, {arguments.half} galaxy_id, {galaxies:,} galaxies"
        draw(simulated, real, statistics, origin, arguments.out)


if __name__ == "__main__":
    main()
