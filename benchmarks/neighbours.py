"""Figure of simulated galaxies with those that the pretrained network finds most alike.

python benchmarks/neighbours.py --out figures/neighbours.png
"""

import argparse

import numpy as np
from sklearn.neighbors import NearestNeighbors

from galclass import embed, load_data
from galclass.figures.style import gallery, save_figure


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=2000, help="simulated galaxies")
    parser.add_argument("--out", default="figures/neighbours.png")
    arguments = parser.parse_args()
    images, labels, origin = load_data("simulated", n=arguments.n)
    features = embed(images)
    _, alike = NearestNeighbors(n_neighbors=5).fit(features).kneighbors(features)
    same = np.mean(labels[alike[:, 1:]] == labels[:, None])
    print(f"{100 * same:.1f} % of the four nearest are of the same class, {len(labels):,} galaxies")
    first = [int(np.argmax(labels == c)) for c in (1, 3, 4, 7, 9)]
    shown = alike[first].ravel()
    titles = [f"class {labels[i] + 1}" for i in shown]
    with gallery(list(images[shown]), titles, "page", origin=origin) as axes:
        figure = axes[0].figure
    save_figure(figure, arguments.out)


if __name__ == "__main__":
    main()
