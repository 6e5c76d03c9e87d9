"""What a network that has seen simulated galaxies only makes of real ones.

Trains on simulated galaxies with the project's own training function and reports accuracy and
balanced accuracy on real ones.

    python benchmarks/sim_to_real.py --data Galaxy10.h5 --n 20000 --half odd --out runs/sim_to_real

Half of the galaxies, by the parity of ``galaxy_id``, was looked at when the simulation was made
("even"): figures to report are those of the other ("odd").
"""

import argparse

import numpy as np
from sim_realism import read_half

from galclass import simulate_galaxy10, train
from galclass.evaluation import compute_metrics, evaluate, predict_proba
from galclass.galaxy10 import CLASS_NAMES


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="HDF5 file in Galaxy10's layout")
    parser.add_argument("--half", choices=("even", "odd", "all"), default="even")
    parser.add_argument("--n", type=int, default=20000, help="galaxies to simulate")
    parser.add_argument("--fractions", default="galaxy10", help="galaxy10, balanced or ten numbers")
    parser.add_argument("--recipe", default="default")
    parser.add_argument("--epochs", type=int, help="instead of the recipe's")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", required=True, help="run folder")
    arguments = parser.parse_args()

    real_images, real_labels = read_half(arguments.data, arguments.half)
    fractions = arguments.fractions
    if "," in fractions:
        fractions = [float(number) for number in fractions.split(",")]
    images, labels = simulate_galaxy10(arguments.n, arguments.seed, class_fractions=fractions)
    run = train(
        images,
        labels,
        out=arguments.out,
        recipe=arguments.recipe,
        epochs=arguments.epochs,
        seed=arguments.seed,
    )
    simulated = evaluate(run, images, labels)
    print(f"simulated test galaxies: accuracy {simulated['accuracy']:.3f}")
    symmetric = simulated["symmetric"]
    probabilities = predict_proba(run.load_model(), real_images, symmetric=symmetric)
    metrics = compute_metrics(real_labels, probabilities)
    low, high = metrics["accuracy_interval"]
    print(
        f"{len(real_labels)} real galaxies ({arguments.half}): accuracy {metrics['accuracy']:.3f} "
        f"({low:.3f}-{high:.3f}), balanced accuracy {metrics['balanced_accuracy']:.3f}"
    )
    for name, of_class in zip(CLASS_NAMES, metrics["classes"], strict=True):
        recall = "   -" if of_class["recall"] is None else f"{of_class['recall']:.2f}"
        print(f"  {name:30s} recall {recall} of {of_class['support']}")
    print("confusion matrix, rows predicted, columns true")
    print(np.array(metrics["confusion_matrix"]))


if __name__ == "__main__":
    main()
