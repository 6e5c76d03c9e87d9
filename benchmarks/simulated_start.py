"""Make the network that ``start="simulated"`` starts from, which has seen no real galaxy.

Simulates galaxies, half with the class mix of the public Galaxy10 and half with equal classes,
trains the default recipe on them and packs the run. Simulation and training took 21 minutes on two
cores with AVX512-BF16, 100 on two with AVX2 alone. For the package, copy OUT/packed to
galclass/pretrained_simulated.

    python benchmarks/simulated_start.py --out runs/simulated_start
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from galclass import evaluate, simulate_galaxy10, train
from galclass.data.dataset import Dataset, Origin, write_data
from galclass.data.galaxy10 import CLASS_COUNTS
from galclass.evaluation.pack import pack

FRACTIONS = np.array(CLASS_COUNTS) / sum(CLASS_COUNTS) / 2 + 0.05
NOTE = "Made by benchmarks/simulated_start.py; half the galaxies have the public mix of classes."


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", required=True, type=Path, help="folder for galaxies and runs")
    parser.add_argument("--n", type=int, default=40000, help="galaxies to simulate")
    parser.add_argument("--seed", type=int, default=2026, help="seed of the simulation")
    parser.add_argument("--epochs", type=int, default=8)
    arguments = parser.parse_args()

    n, seed = arguments.n, arguments.seed
    images, labels = simulate_galaxy10(n, seed, class_fractions=FRACTIONS)
    name = f"simulate_galaxy10({n}, {seed}, class_fractions=FRACTIONS)"
    known = {"kind": "simulated", "name": name, "seed": seed}
    data = Dataset(images, labels, replace(Origin.of_arrays(images, labels), **known))
    arguments.out.mkdir(parents=True, exist_ok=True)
    write_data(arguments.out / "galaxies.h5", data)
    run = train(*data, out=arguments.out / "run", epochs=arguments.epochs, resume=True)
    evaluate(run, *data)
    pack(run, images, labels, out=arguments.out / "packed", note=NOTE)


if __name__ == "__main__":
    main()
