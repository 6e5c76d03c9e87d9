"""How well the column ``unusual`` tells images that are no galaxies as Galaxy10 shows them.

Prints, for each kind of image, the area under the ROC curve against the test galaxies of the
pretrained network, and the share beyond 0.99. With --cutouts also images at half and twice the
scale, from 424-pixel images as Galaxy Zoo 2 showed them.

    python benchmarks/unusual.py --data Galaxy10_subset.h5 --cutouts cutouts
"""

import argparse

import numpy as np
from PIL import Image, ImageDraw
from sklearn.metrics import roc_auc_score

from galclass import load_data, load_pretrained, prepare, split
from galclass.data.simulate import SKY_NOISE
from galclass.data.stretch import sdss_image
from galclass.network.unusual import rank_unusual

RNG = np.random.default_rng(0)
FIELD = 80  # pixels of SDSS, of which the central 70 become 69


def seen_by_sdss(bands):
    """Three bands (i, r, g) without noise as SDSS would show them."""
    noise = RNG.normal(size=(3, FIELD, FIELD)) * SKY_NOISE[:, None, None]
    image = sdss_image(bands + noise * np.exp(0.1 + 0.22 * RNG.normal()))
    return np.asarray(image.resize((69, 69), Image.Resampling.BILINEAR, (5, 5, 75, 75)))


def star():
    """A Moffat profile of 3 to 8 pixels (FWHM), of any colour."""
    y, x = np.mgrid[:FIELD, :FIELD] - FIELD / 2
    profile = (1 + (y**2 + x**2) / (RNG.uniform(3, 8) / 1.53) ** 2) ** -2.5
    colour = 10 ** (0.4 * np.array([RNG.uniform(0.1, 0.5), 0, -RNG.uniform(0.3, 1.4)]))
    return profile / profile.sum() * RNG.lognormal(3, 1) * colour[:, None, None]


def with_trail(image):
    """A straight, bright line of 1 to 3 pixels across the image."""
    image, ends = Image.fromarray(image), RNG.uniform(0, 69, 2)
    line = [(0, ends[0]), (69, ends[1])] if RNG.random() < 0.5 else [(ends[0], 0), (ends[1], 69)]
    colour = tuple(RNG.integers(100, 255, 3).tolist())
    ImageDraw.Draw(image).line(line, colour, int(RNG.integers(1, 4)))
    return np.asarray(image)


def enlarged(image):
    """The central half of the image at twice the scale."""
    box = (17.25, 17.25, 51.75, 51.75)
    return np.asarray(Image.fromarray(image).resize((69, 69), Image.Resampling.BILINEAR, box))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="the pretrained network's galaxies")
    parser.add_argument("--cutouts", help="folder of 424-pixel images")
    arguments = parser.parse_args()
    images, labels, _ = load_data(arguments.data)
    unseen = images[split(labels).test]
    some = unseen[:600]
    kinds = {
        "empty sky": np.stack([seen_by_sdss(0.0) for _ in range(400)]),
        "stars": np.stack([seen_by_sdss(star()) for _ in range(400)]),
        "with a straight trail": np.stack([with_trail(image) for image in some]),
        "random pixels": RNG.integers(0, 256, (300, 69, 69, 3), np.uint8),
        "gamma 0.5": (255 * (some / 255) ** 0.5).astype(np.uint8),
        "red and blue swapped": some[..., ::-1],
        "twice the scale, from 69 pixels": np.stack([enlarged(image) for image in some]),
    }
    if arguments.cutouts:
        kinds["half the scale"] = prepare(arguments.cutouts, crop=414 / 424)
        kinds["twice the scale"] = prepare(arguments.cutouts, crop=207 / 848)
    usual = load_pretrained().usual
    same = rank_unusual(usual, unseen)
    print(f"{len(same)} unseen galaxies: {np.mean(same > 0.99):.1%} beyond 0.99")
    for name, changed in kinds.items():
        ranks = rank_unusual(usual, changed)
        area = roc_auc_score(np.repeat([0, 1], [len(same), len(ranks)]), np.r_[same, ranks])
        print(f"{len(ranks)} {name}: area {area:.3f}, {np.mean(ranks > 0.99):.0%} beyond 0.99")


if __name__ == "__main__":
    main()
