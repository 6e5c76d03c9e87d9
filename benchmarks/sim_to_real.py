"""How well a network that was trained on simulated galaxies only classifies real ones.

Trains the default recipe on simulated galaxies and reports accuracy and balanced accuracy on real
ones, as it is and corrected for the real ones' mix of classes, which the other half of them gives;
then, with --fine-tune, trains on with some real galaxies of that other half, next to a network that
starts from random weights on the same ones.

    python benchmarks/sim_to_real.py --data Galaxy10.h5 --n 20000 --half odd --fine-tune 500 \
        --out runs/sim_to_real

Half of the galaxies, by the parity of ``galaxy_id``, was looked at when the simulation was made
("even"): figures to report are those of the other ("odd").
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from sim_realism import read_half

from galclass import CLASS_NAMES, RECIPES, evaluate, simulate_galaxy10, train
from galclass.evaluation.metrics import compute_metrics
from galclass.network.calibration import Calibration, log_prior_shift
from galclass.network.probabilities import predict_proba

# A few hundred galaxies need more epochs, of smaller batches.
FEW = {"epochs": 60, "batch_size": 32, "learning_rate": 0.001}


def report(name, labels, probabilities):
    """Print the headline figures of real galaxies, and return the metrics."""
    metrics = compute_metrics(labels, probabilities)
    low, high = metrics["accuracy_interval"]
    print(
        f"{name}: accuracy {metrics['accuracy']:.3f} ({low:.3f}-{high:.3f}), balanced accuracy "
        f"{metrics['balanced_accuracy']:.3f}, macro-F1 {metrics['macro_f1']:.3f}",
        flush=True,
    )
    return metrics


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="HDF5 file in Galaxy10's layout")
    parser.add_argument("--half", choices=("even", "odd"), default="even")
    parser.add_argument("--n", type=int, default=20000, help="galaxies to simulate")
    parser.add_argument("--fractions", default="galaxy10", choices=("galaxy10", "balanced"))
    parser.add_argument("--epochs", type=int, help="instead of the recipe's")
    parser.add_argument("--fine-tune", type=int, default=0, help="real galaxies to train on with")
    parser.add_argument("--seeds", type=int, default=1, help="seeds of the fine-tuning")
    parser.add_argument("--out", required=True, type=Path, help="folder for the runs")
    arguments = parser.parse_args()

    other = "odd" if arguments.half == "even" else "even"
    real_images, real_labels = read_half(arguments.data, arguments.half)
    other_images, other_labels = read_half(arguments.data, other)
    images, labels = simulate_galaxy10(arguments.n, class_fractions=arguments.fractions)
    run = train(
        images, labels, out=arguments.out / "simulated", epochs=arguments.epochs, resume=True
    )
    simulated = (
        run.metrics if (run.path / "metrics.json").exists() else evaluate(run, images, labels)
    )
    print(f"{simulated['galaxies']} simulated test galaxies: {simulated['accuracy']:.3f}")
    print(f"{len(real_labels)} real galaxies ({arguments.half})")
    probabilities = predict_proba(run.load_model(precision="auto"), real_images, symmetric=True)
    report("simulated galaxies only", real_labels, probabilities)
    mixes = [np.bincount(known, minlength=10) + 1 for known in (labels, other_labels)]
    corrected = Calibration(class_shift=tuple(log_prior_shift(*mixes))).apply(probabilities)
    metrics = report("and the class mix corrected", real_labels, corrected)
    for name, of_class in zip(CLASS_NAMES, metrics["classes"], strict=True):
        recall = "   -" if of_class["recall"] is None else f"{of_class['recall']:.2f}"
        print(f"  {name:30s} recall {recall} of {of_class['support']}")
    print("confusion matrix, rows predicted, columns true")
    print(np.array(metrics["confusion_matrix"]))
    if not arguments.fine_tune:
        return
    recipe = replace(RECIPES["default"], **FEW)
    for seed in range(arguments.seeds):
        chosen = np.random.default_rng(seed).permutation(len(other_labels))[: arguments.fine_tune]
        for name, start in (("fine-tuned", run), ("alone", None)):
            tuned = train(
                other_images[chosen],
                other_labels[chosen],
                out=arguments.out / f"{name}-{seed}",
                recipe=recipe,
                seed=seed,
                start=start,
                resume=True,
                verbose=False,
            )
            probabilities = predict_proba(
                tuned.load_model(precision="auto"), real_images, symmetric=True
            )
            report(f"{arguments.fine_tune} real, {name}, seed {seed}", real_labels, probabilities)


if __name__ == "__main__":
    main()
