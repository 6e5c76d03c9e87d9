"""How well a network that was trained on simulated galaxies alone classifies real ones.

Reports accuracy and balanced accuracy, as it is and corrected for the real galaxies' mix of
classes, which the other half of them gives.

    python benchmarks/sim_to_real.py --data Galaxy10.h5 --half odd

Half of the galaxies, by the parity of ``galaxy_id``, was looked at when the simulation was made
("even"): figures to report are those of the other ("odd").
"""

import argparse

import numpy as np
from sim_realism import read_half

from galclass import CLASS_NAMES, load_pretrained, load_run
from galclass.evaluation.metrics import compute_metrics
from galclass.network.calibration import Calibration, log_prior_shift
from galclass.network.probabilities import predict_proba


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
    parser.add_argument("--run", help="trained on simulated galaxies; default: what a start is")
    arguments = parser.parse_args()

    run = load_run(arguments.run) if arguments.run else load_pretrained("simulated")
    images, labels = read_half(arguments.data, arguments.half)
    _, others = read_half(arguments.data, "odd" if arguments.half == "even" else "even")
    print(f"{len(labels)} real galaxies ({arguments.half}), {run.path.name}: {run.origin}")
    probabilities = predict_proba(run.load_model(precision="auto"), images, symmetric=True)
    report("as it is", labels, probabilities)
    mixes = [np.array(run.manifest["class_counts"]) + 1, np.bincount(others, minlength=10) + 1]
    corrected = Calibration(class_shift=tuple(log_prior_shift(*mixes))).apply(probabilities)
    metrics = report("corrected for the mix of classes", labels, corrected)
    for name, of_class in zip(CLASS_NAMES, metrics["classes"], strict=True):
        recall = "   -" if of_class["recall"] is None else f"{of_class['recall']:.2f}"
        print(f"  {name:30s} recall {recall} of {of_class['support']}")
    print("confusion matrix, rows predicted, columns true")
    print(np.array(metrics["confusion_matrix"]))


if __name__ == "__main__":
    main()
