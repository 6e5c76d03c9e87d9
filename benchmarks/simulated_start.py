"""Train the network that ``start="simulated"`` starts from, which has seen no real galaxy.

Half of the simulated galaxies have the class fractions of the public Galaxy10, and half have equal
fractions. The recipe is the default one. Simulation and training took 21 minutes on two cores with
AVX512-BF16, and 100 minutes on two with AVX2 only.

    python benchmarks/simulated_start.py --out runs/simulated_start

``benchmarks/make_pretrained.py`` makes the run folder of the package from the run in OUT/run.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from galclass import CLASS_NAMES, evaluate, simulate_galaxy10, train
from galclass.data.dataset import Dataset, Origin
from galclass.data.galaxy10 import CLASS_COUNTS, GALAXY10_CROP
from galclass.load import write_data

# Half the public class fractions, half equal ones; the hash of the galaxies depends on the order of
# these operations.
FRACTIONS = np.array(CLASS_COUNTS) / sum(CLASS_COUNTS) / 2 + 0.05


def simulate(n, seed):
    """Simulate galaxies with their origin."""
    images, labels = simulate_galaxy10(n, seed, class_fractions=FRACTIONS)
    origin = replace(
        Origin.of_arrays(images, labels, CLASS_NAMES),
        kind="simulated",
        title="Simulated galaxies, not observed ones",
        name=f"simulate_galaxy10({n}, {seed}, class_fractions=FRACTIONS)",
        seed=seed,
        crop=GALAXY10_CROP,
    )
    return Dataset(images, labels, origin)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", required=True, type=Path, help="folder for galaxies and run")
    parser.add_argument("--n", type=int, default=40000, help="number of galaxies to simulate")
    parser.add_argument("--seed", type=int, default=2026, help="random seed of the simulation")
    parser.add_argument("--epochs", type=int, default=8, help="epochs of the training")
    arguments = parser.parse_args()

    dataset = simulate(arguments.n, arguments.seed)
    arguments.out.mkdir(parents=True, exist_ok=True)
    write_data(arguments.out / "galaxies.h5", dataset)
    run = train(*dataset, out=arguments.out / "run", epochs=arguments.epochs, resume=True)
    evaluate(run, *dataset)


if __name__ == "__main__":
    main()
