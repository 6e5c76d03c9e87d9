"""What averaging over the eight symmetries costs and gives, by how sure one pass is to be.

Predicts the validation and the test galaxies of a run once from one pass and once from eight, and
combines these by several thresholds, each with the temperature that suits the validation galaxies.
Differences of the log loss are to averaging all, galaxy by galaxy, with their standard error.

    python benchmarks/averaging.py --data Galaxy10.h5 [--run RUN]
"""

import argparse

import numpy as np

from galclass import load_data, load_pretrained, load_run
from galclass.evaluation.metrics import compute_calibration
from galclass.network.calibration import Calibration, fit_temperature
from galclass.network.probabilities import predict_proba

THRESHOLDS = (0.0, 0.9, 0.95, 0.97, 0.98, 0.99, np.inf)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="the galaxies of the run")
    parser.add_argument("--run", help="default: the pretrained network")
    arguments = parser.parse_args()
    run = load_run(arguments.run) if arguments.run else load_pretrained()
    images, labels, _ = load_data(arguments.data)
    model, found = run.load_model(), {}
    for name in ("validation", "test"):
        part = getattr(run.split(images, labels), name)
        passes = [predict_proba(model, images, part, symmetric=each) for each in (False, True)]
        found[name] = (*passes, labels[part])
    print("| below, % | galaxies | passes | same class, % | log loss | difference | ECE, % |")
    print("|---|---|---|---|---|---|---|")
    for threshold in THRESHOLDS:
        for name, (one, eight, truth) in found.items():
            losses = []
            for least in (threshold, np.inf):
                fitted, _, its_truth = found["validation"]
                unsure = fitted.max(axis=1, keepdims=True) < least
                fitted = np.where(unsure, found["validation"][1], fitted)
                unsure = one.max(axis=1, keepdims=True) < least
                calibration = Calibration(fit_temperature(its_truth, fitted))
                probabilities = calibration.apply(np.where(unsure, eight, one))
                losses.append(-np.log(probabilities[np.arange(len(truth)), truth]))
                if least == threshold:
                    chosen, cost = probabilities, 1 + 7 * unsure.mean()
            apart = losses[0] - losses[1]
            same = (chosen.argmax(axis=1) == eight.argmax(axis=1)).mean()
            error = 100 * compute_calibration(truth, chosen)["calibration_error"]
            print(
                f"| {100 * threshold:.0f} | {len(truth):,}, {name} | {cost:.2f} | {100 * same:.1f} "
                f"| {losses[0].mean():.4f} | {apart.mean():+.4f} ± "
                f"{apart.std() / len(apart) ** 0.5:.4f} | {error:.1f} |"
            )


if __name__ == "__main__":
    main()
