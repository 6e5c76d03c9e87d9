"""A run in words: its model card."""

import json
from collections.abc import Sequence
from typing import Any

from ..data.galaxy10 import CLASS_COUNTS, CLASS_NAMES
from ..files import PathLike
from ..run import Run, as_run
from .metrics import FEW, top_confusions

TAGS = ["astronomy", "galaxy-morphology", "galaxy10", "sdss"]
LAST = "- Images of other surveys, of stars or without a galaxy are given a class too."
USE = (
    "Colour images of single galaxies as Galaxy Zoo 2 showed them: SDSS g, r and i, scaled to the "
    "galaxy's size. For statistics of samples, not for the class of one galaxy."
)
SIMULATED = "**The galaxies are simulated, not observed; so all numbers hold for simulated ones.**"


def model_card(run: Run | PathLike) -> str:
    """The model card of an evaluated run.

    Parameters
    ----------
    run : galclass.run.Run or path-like

    Returns
    -------
    str
        Markdown, with the metadata that the Hugging Face Hub reads at the top. It shows the figures
        that are in ``figures/`` of the run.

    Raises
    ------
    RunError
        No run, or it is not evaluated.
    """
    run = as_run(run)
    manifest, metrics, origin, split = run.manifest, run.metrics, run.origin, run.manifest["split"]
    title = f"galclass {manifest['recipe_name']}, seed {manifest['seed']}"
    rounded = " Weights are rounded to half precision." if manifest.get("packed") else ""
    averaged = " Probabilities are averaged over the eight symmetries." * metrics["symmetric"]
    figures = sorted((run.path / "figures").glob("*.png"))
    sections = [
        _metadata(run, title),
        f"# {title}",
        SIMULATED if origin.simulated else "",
        "## Data",
        f"{origin} (`{origin.name}`, sha256 of the arrays `{origin.sha256[:12]}`). Split "
        f"{split['protocol']}: {split['train_size']:,} galaxies for training, "
        f"{split['validation_size']:,} for validation, {split['test_size']:,} in the test set.",
        manifest.get("note", ""),
        "## Network",
        f"The published three-block convolutional network, recipe `{manifest['recipe_name']}`, "
        f"{manifest['epochs']} epochs in {manifest['precision']}; the weights are those of epoch "
        f"{manifest['best_epoch']}, the best in validation.{rounded}",
        "## Test set",
        f"{metrics['galaxies']:,} galaxies.{averaged} Intervals (95 %) are the sampling error of "
        "the test set, Wilson's for accuracy and recall, the bootstrap's for the others; they do "
        "not include the scatter between seeds.",
        _overall(metrics),
        "## Calibration",
        *_calibration(run),
        "## Classes",
        _classes(metrics, manifest["class_counts"]),
        "## Intended use",
        USE,
        "## Known failures",
        _failures(metrics, manifest["class_counts"]),
        "## Figures" if figures else "",
        *(f"![{path.stem.replace('_', ' ')}](figures/{path.name})" for path in figures),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _metadata(run: Run, title: str) -> str:
    """The block of the Hub; JSON is YAML, whatever is in a name."""
    metrics, origin = run.metrics, run.origin
    kinds = {"accuracy": "accuracy", "balanced_accuracy": "recall", "macro_f1": "f1"}
    result = {
        "task": {"type": "image-classification"},
        "dataset": {"name": str(origin), "type": origin.name},
        "metrics": [
            {"type": kind, "name": key, "value": round(metrics[key], 4)}
            for key, kind in kinds.items()
        ],
    }
    block = {
        "license": "mit",
        "library_name": "keras",
        "pipeline_tag": "image-classification",
        "tags": [*TAGS, "simulated"] if origin.simulated else TAGS,
        "datasets": [origin.name],
        "model-index": [{"name": title, "results": [result]}],
    }
    lines = [f"{key}: {json.dumps(value)}" for key, value in block.items()]
    return "\n".join(["---", *lines, "---"])


def _overall(metrics: dict[str, Any]) -> str:
    names = {
        "accuracy": "Accuracy",
        "balanced_accuracy": "Balanced accuracy",
        "macro_f1": "Macro-F1",
        "reweighted_accuracy": "Accuracy at the public class mix",
    }
    rows = [(n, _percent(metrics[k]), _range(metrics[f"{k}_interval"])) for k, n in names.items()]
    return _table(("metric", "value", "interval"), rows)


def _calibration(run: Run) -> list[str]:
    metrics, calibration = run.metrics, run.calibration
    before, after = metrics["uncalibrated"], metrics["calibrated"]
    sections = [
        f"Temperature {calibration.temperature:.2f}, "
        f"{metrics['calibration_note'] or 'fitted on the validation galaxies'}. Expected "
        f"calibration error {before['calibration_error']:.1%} without and "
        f"{after['calibration_error']:.1%} with it, Brier score {before['brier']:.3f} and "
        f"{after['brier']:.3f}."
    ]
    if calibration.class_shift is not None:
        plain = metrics["uncorrected"]
        sections.append(
            "All other numbers here hold after a correction for the public Galaxy10's mix of "
            f"classes, of strength {metrics['public_mix']['strength']:.1f}, chosen on the "
            f"validation galaxies. Without it: accuracy {_percent(plain['accuracy'])}, balanced "
            f"accuracy {_percent(plain['balanced_accuracy'])}, macro-F1 "
            f"{_percent(plain['macro_f1'])}, accuracy at the public class mix "
            f"{_percent(plain['reweighted_accuracy'])}."
        )
    return sections


def _classes(metrics: dict[str, Any], counts: list[int]) -> str:
    rows = [
        (
            f"{c + 1} {row['name']}",
            f"{counts[c]:,}",
            f"{CLASS_COUNTS[c]:,}",
            _percent(row["precision"], 0),
            _percent(row["recall"], 0),
            _range(row["recall_interval"], 0),
            f"{row['support']}{' (few)' * (row['support'] < FEW)}",
        )
        for c, row in enumerate(metrics["classes"])
    ]
    header = ("class", "galaxies", "in Galaxy10", "precision", "recall", "interval", "test set")
    return _table(header, rows)


def _failures(metrics: dict[str, Any], counts: list[int]) -> str:
    confused = [
        f"- {share:.0%} of {n} '{CLASS_NAMES[true]}' are predicted '{CLASS_NAMES[predicted]}'."
        for true, predicted, share, n in top_confusions(metrics["confusion_matrix"])
    ]
    missed = [
        f"- No '{row['name']}' of the test set is found; {count} galaxies have this class."
        for row, count in zip(metrics["classes"], counts, strict=True)
        if row["recall"] == 0
    ]
    return "\n".join([*confused, *missed, LAST])


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    cells = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


def _percent(share: float | None, digits: int = 1) -> str:
    return "-" if share is None else f"{share:.{digits}%}"


def _range(interval: list[float] | None, digits: int = 1) -> str:
    return "-" if interval is None else " to ".join(_percent(end, digits) for end in interval)
