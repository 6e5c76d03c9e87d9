"""Measure how well the column ``unusual`` detects images that are unlike Galaxy10's.

For each kind of image, this prints the area under the ROC curve against the test galaxies of the
pretrained network, and the fraction above 0.99. With --cutouts, it also uses images at half and
twice the scale, from 424-pixel images as Galaxy Zoo 2 showed them.

    python benchmarks/unusual.py --data Galaxy10_subset.h5 --cutouts cutouts
"""

import argparse

import numpy as np
from PIL import Image, ImageDraw
from sklearn.metrics import roc_auc_score

from galclass import load_data, load_pretrained, prepare, split
from galclass.evaluation.unusual import rank_unusual
from galclass.simulation.simulate import SKY_NOISE
from galclass.simulation.stretch import sdss_image

RNG = np.random.default_rng(0)
FIELD = 80  # pixels of SDSS, of which the central 70 become 69


def observe(bands):
    """Return three noiseless bands (i, r, g) as an image of SDSS."""
    noise = RNG.normal(size=(3, FIELD, FIELD)) * SKY_NOISE[:, None, None]
    image = sdss_image(bands + noise * np.exp(0.1 + 0.22 * RNG.normal()))
    return np.asarray(image.resize((69, 69), Image.Resampling.BILINEAR, (5, 5, 75, 75)))


def make_star():
    """Return the bands of a star: a Moffat profile of 3 to 8 pixels (FWHM), of any colour."""
    y, x = np.mgrid[:FIELD, :FIELD] - FIELD / 2
    core = RNG.uniform(3, 8) / 1.53
    profile = (1 + (y**2 + x**2) / core**2) ** -2.5
    magnitudes = np.array([RNG.uniform(0.1, 0.5), 0, -RNG.uniform(0.3, 1.4)])
    colour = 10 ** (0.4 * magnitudes)
    return profile / profile.sum() * RNG.lognormal(3, 1) * colour[:, None, None]


def add_trail(pixels):
    """Draw a straight, bright line of 1 to 3 pixels across an image."""
    image = Image.fromarray(pixels)
    start, end = RNG.uniform(0, 69, 2)
    if RNG.random() < 0.5:
        line = [(0, start), (69, end)]
    else:
        line = [(start, 0), (end, 69)]
    colour = tuple(RNG.integers(100, 255, 3).tolist())
    ImageDraw.Draw(image).line(line, colour, int(RNG.integers(1, 4)))
    return np.asarray(image)


def enlarge(pixels):
    """Return the central half of an image at twice the scale."""
    box = (17.25, 17.25, 51.75, 51.75)
    return np.asarray(Image.fromarray(pixels).resize((69, 69), Image.Resampling.BILINEAR, box))


def make_kinds(galaxies, cutouts):
    """Return images of each kind by name."""
    kinds = {
        "empty sky": np.stack([observe(0.0) for _ in range(400)]),
        "stars": np.stack([observe(make_star()) for _ in range(400)]),
        "with a straight trail": np.stack([add_trail(image) for image in galaxies]),
        "random pixels": RNG.integers(0, 256, (300, 69, 69, 3), np.uint8),
        "gamma 0.5": (255 * (galaxies / 255) ** 0.5).astype(np.uint8),
        "red and blue swapped": galaxies[..., ::-1],
        "twice the scale, from 69 pixels": np.stack([enlarge(image) for image in galaxies]),
    }
    if cutouts:
        kinds["half the scale"] = prepare(cutouts, crop=414 / 424)
        kinds["twice the scale"] = prepare(cutouts, crop=207 / 848)
    return kinds


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="the galaxies of the pretrained network")
    parser.add_argument("--cutouts", help="folder of 424-pixel images")
    arguments = parser.parse_args()
    images, labels, _ = load_data(arguments.data)
    unseen = images[split(labels).test]
    kinds = make_kinds(unseen[:600], arguments.cutouts)
    usual = load_pretrained().usual
    ranks_of_unseen = rank_unusual(usual, unseen)
    above = np.mean(ranks_of_unseen > 0.99)
    print(f"{len(unseen)} unseen galaxies: {above:.1%} above 0.99")
    for name, changed in kinds.items():
        ranks = rank_unusual(usual, changed)
        is_changed = np.repeat([0, 1], [len(ranks_of_unseen), len(ranks)])
        area = roc_auc_score(is_changed, np.concatenate([ranks_of_unseen, ranks]))
        above = np.mean(ranks > 0.99)
        print(f"{len(ranks)} {name}: area {area:.3f}, {above:.0%} above 0.99")


if __name__ == "__main__":
    main()
