"""Plot simulated galaxies with the galaxies that the pretrained network finds most similar.

python benchmarks/neighbours.py --out figures/neighbours.png
"""

import argparse

import numpy as np
from sklearn.neighbors import NearestNeighbors

from galclass import embed, load_data
from galclass.figures.style import add_origin, house_style, plot_images, save_figure

SHOWN_CLASSES = (1, 3, 4, 7, 9)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=2000, help="number of simulated galaxies")
    parser.add_argument("--out", default="figures/neighbours.png", help="figure to write")
    arguments = parser.parse_args()
    images, labels, origin = load_data("simulated", n=arguments.n)
    features = embed(images)
    # The nearest of the five is the galaxy itself.
    _, neighbours = NearestNeighbors(n_neighbors=5).fit(features).kneighbors(features)
    same = np.mean(labels[neighbours[:, 1:]] == labels[:, None])
    print(f"{100 * same:.1f} % of the four nearest are of the same class, {len(labels):,} galaxies")
    first_of_class = [int(np.argmax(labels == c)) for c in SHOWN_CLASSES]
    shown = neighbours[first_of_class].ravel()
    titles = [f"class {labels[index] + 1}" for index in shown]
    with house_style():
        fig, _ = plot_images(list(images[shown]), titles)
        add_origin(fig, origin)
    save_figure(fig, arguments.out)


if __name__ == "__main__":
    main()
