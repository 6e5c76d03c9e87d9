"""Measure how well a network trained on simulated galaxies classifies real ones.

This prints accuracy and balanced accuracy, without a correction and corrected for the class
fractions of the real galaxies, which are taken from the other half of them.

    python benchmarks/sim_to_real.py --data Galaxy10.h5 --half odd

The galaxies with an even ``galaxy_id`` were used to adjust the simulation ("even"); report the
numbers of the others ("odd").
"""

import argparse

import numpy as np
from sim_realism import read_half

from galclass import CLASS_NAMES, compute_metrics, load_pretrained, load_run
from galclass.evaluation.calibration import Calibration, log_prior_shift
from galclass.network.probabilities import predict_proba


def report(name, labels, probabilities):
    """Print the overall metrics and return all metrics."""
    metrics = compute_metrics(labels, probabilities, CLASS_NAMES)
    low, high = metrics["accuracy_interval"]
    print(
        f"{name}: accuracy {metrics['accuracy']:.3f} ({low:.3f}-{high:.3f}), balanced accuracy "
        f"{metrics['balanced_accuracy']:.3f}, macro-F1 {metrics['macro_f1']:.3f}",
        flush=True,
    )
    return metrics


def correct(probabilities, training_counts, real_counts):
    """Correct probabilities for other class fractions; one galaxy is added to each class."""
    shift = log_prior_shift(np.array(training_counts) + 1, np.array(real_counts) + 1)
    return Calibration(class_shift=tuple(shift)).apply(probabilities)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="HDF5 file in Galaxy10's layout")
    parser.add_argument(
        "--half", choices=("even", "odd"), default="even", help="parity of the galaxy_id"
    )
    parser.add_argument(
        "--run", help="run on simulated galaxies; default: the network of --start simulated"
    )
    arguments = parser.parse_args()

    run = load_run(arguments.run) if arguments.run else load_pretrained("simulated")
    images, labels = read_half(arguments.data, arguments.half)
    other_half = "odd" if arguments.half == "even" else "even"
    _, other_labels = read_half(arguments.data, other_half)
    print(f"{len(labels)} real galaxies ({arguments.half}), {run.path.name}: {run.origin}")
    probabilities = predict_proba(run.load_model(precision="auto"), images, symmetric=True)
    report("without correction", labels, probabilities)
    real_counts = np.bincount(other_labels, minlength=len(CLASS_NAMES))
    corrected = correct(probabilities, run.manifest["class_counts"], real_counts)
    metrics = report("corrected for the class fractions", labels, corrected)
    for name, of_class in zip(CLASS_NAMES, metrics["classes"], strict=True):
        recall = "   -" if of_class["recall"] is None else f"{of_class['recall']:.2f}"
        print(f"  {name:30s} recall {recall} of {of_class['support']}")
    print("confusion matrix, rows predicted, columns true")
    print(np.array(metrics["confusion_matrix"]))


if __name__ == "__main__":
    main()
