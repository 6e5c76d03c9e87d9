"""What each part of the default recipe is worth: the recipe with one part changed at a time.

Trains every variant with the same seeds and split, alternating, and gives the accuracy and log loss
on the *validation* galaxies, as mean and standard deviation over the seeds; test galaxies are not
used. Runs are kept: a stopped benchmark resumes, and more seeds can be added.

    python benchmarks/ablation.py --data Galaxy10.h5 --out runs/ablation --epochs 10 --seeds 2
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from galclass import RECIPES, load_data, split, train
from galclass.evaluation.metrics import compute_metrics
from galclass.network.probabilities import predict_proba

# Adam has the rate that suits it: half of Muon's.
VARIANTS = {
    "default": {},
    "Adam instead of Muon": {"optimizer": "adam", "learning_rate": 0.001},
    "published dropout (0.5, 0.3)": {"dropout": 0.5, "dense_dropout": 0.3},
    "no symmetries": {"symmetries": False},
    "no average of the weights": {"averaging": 0.0},
    "no label smoothing": {"label_smoothing": 0.0},
    "constant learning rate": {"schedule": "constant", "warmup_epochs": 0.0},
    "float32": {"precision": "float32"},
}


def measure(data, part, out, seed, epochs, changes):
    """Validation accuracy and log loss of a variant, plain and over the eight symmetries."""
    changes = dict(changes)
    precision = changes.pop("precision", "auto")
    recipe = replace(RECIPES["default"], epochs=epochs, **changes)
    run = train(
        *data,
        out=out,
        recipe=recipe,
        seed=seed,
        precision=precision,
        resume=True,
        verbose=False,
    )
    model, found = run.load_model(), []
    for symmetric in (False, True):
        probabilities = predict_proba(model, data.images, part, symmetric=symmetric)
        metrics = compute_metrics(data.labels[part], probabilities)
        found += [metrics["accuracy"], metrics["log_loss"]]
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="HDF5 file in Galaxy10's layout")
    parser.add_argument("--out", required=True, type=Path, help="folder for the runs")
    parser.add_argument("--epochs", type=int, default=RECIPES["default"].epochs)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="+", default=list(VARIANTS), choices=list(VARIANTS))
    arguments = parser.parse_args()
    data = load_data(arguments.data)
    part = split(data.labels).validation
    found = {name: [] for name in arguments.only}
    for seed in range(arguments.seeds):
        for name, rows in found.items():
            out = arguments.out / f"{name.replace(' ', '-')}-{seed}"
            rows.append(measure(data, part, out, seed, arguments.epochs, VARIANTS[name]))
            print(
                f"{name}, seed {seed}: {rows[-1][0]:.4f}, symmetric {rows[-1][2]:.4f}", flush=True
            )
    print(
        f"\n{arguments.epochs} epochs, {arguments.seeds} seeds, {len(part)} validation galaxies\n"
    )
    print("| variant | accuracy, % | over eight symmetries, % | log loss | over eight symmetries |")
    print("|---|---|---|---|---|")
    for name, rows in found.items():
        mean = np.mean(rows, axis=0)
        spread = np.std(rows, axis=0, ddof=1) if len(rows) > 1 else np.full(4, np.nan)
        cells = [
            f"{m * scale:.{digits}f} ± {s * scale:.{digits}f}"
            for m, s, scale, digits in zip(mean, spread, (100, 1) * 2, (1, 3) * 2, strict=True)
        ]
        print(f"| {name} | {cells[0]} | {cells[2]} | {cells[1]} | {cells[3]} |")


if __name__ == "__main__":
    main()
