"""Measure what averaging over the eight symmetries costs and gains, by the certainty of one pass.

The validation and the test galaxies of a run are predicted once from one pass and once from eight.
These are combined with several thresholds, each with a temperature that is fitted on the validation
galaxies. Differences of the log loss are to averaging all galaxies; they are means over the
galaxies with their standard error.

    python benchmarks/averaging.py --data Galaxy10.h5 [--run RUN]
"""

import argparse
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from galclass import load_data, load_pretrained, load_run
from galclass.evaluation.calibration import Calibration, fit_temperature
from galclass.evaluation.evaluate import check_galaxies
from galclass.evaluation.metrics import compute_calibration
from galclass.network.probabilities import predict_proba

THRESHOLDS = (0.0, 0.9, 0.95, 0.97, 0.98, 0.99, np.inf)


class Part(NamedTuple):
    """The labels of some galaxies and their probabilities from one pass and from eight."""

    labels: NDArray[np.uint8]
    one_pass: NDArray[np.float32]
    eight_passes: NDArray[np.float32]

    def is_unsure(self, threshold):
        """Return True for each galaxy whose largest probability in one pass is lower."""
        return self.one_pass.max(axis=1) < threshold

    def combine(self, threshold):
        """Return probabilities that are averaged if one pass is below the threshold."""
        unsure = self.is_unsure(threshold)
        return np.where(unsure[:, None], self.eight_passes, self.one_pass)


def predict_part(model, images, labels, indices):
    return Part(
        labels=labels[indices],
        one_pass=predict_proba(model, images, indices, symmetric=False),
        eight_passes=predict_proba(model, images, indices, symmetric=True),
    )


def calibrate(part, validation, threshold):
    """Return calibrated probabilities of a part and the log loss of each galaxy."""
    temperature = fit_temperature(validation.labels, validation.combine(threshold))
    calibration = Calibration(temperature)
    probabilities = calibration.apply(part.combine(threshold))
    of_label = probabilities[np.arange(len(part.labels)), part.labels]
    return probabilities, -np.log(of_label)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="the galaxies of the run")
    parser.add_argument("--run", help="run folder; default: the pretrained network")
    arguments = parser.parse_args()
    run = load_run(arguments.run) if arguments.run else load_pretrained()
    images, labels, _ = load_data(arguments.data)
    split = check_galaxies(run, images, labels)
    model = run.load_model()
    validation = predict_part(model, images, labels, split.validation)
    test = predict_part(model, images, labels, split.test)
    print("| below, % | galaxies | passes | same class, % | log loss | difference | ECE, % |")
    print("|---|---|---|---|---|---|---|")
    for threshold in THRESHOLDS:
        for name, part in (("validation", validation), ("test", test)):
            probabilities, losses = calibrate(part, validation, threshold)
            _, losses_of_all = calibrate(part, validation, np.inf)
            differences = losses - losses_of_all
            standard_error = differences.std() / len(differences) ** 0.5
            passes = 1 + 7 * part.is_unsure(threshold).mean()
            same = probabilities.argmax(axis=1) == part.eight_passes.argmax(axis=1)
            error = compute_calibration(part.labels, probabilities)["calibration_error"]
            print(
                f"| {100 * threshold:.0f} | {len(part.labels):,}, {name} | {passes:.2f} "
                f"| {100 * same.mean():.1f} | {losses.mean():.4f} "
                f"| {differences.mean():+.4f} ± {standard_error:.4f} | {100 * error:.1f} |"
            )


if __name__ == "__main__":
    main()
