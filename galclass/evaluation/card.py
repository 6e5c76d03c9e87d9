"""A run in words: its model card, filled into ``card.md``."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..data.galaxy10 import CLASS_COUNTS
from ..files import PathLike
from ..run import Run, as_run
from .metrics import FEW, top_confusions

TEMPLATE = Path(__file__).with_name("card.md")
TAGS = ["astronomy", "galaxy-morphology"]
OVERALL = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "macro_f1": "Macro-F1",
    "reweighted_accuracy": "Accuracy at the public class mix",
}
SIMULATED = "**The galaxies are simulated, not observed; so all numbers hold for simulated ones.**"
AVERAGED = {
    False: "",
    True: " Probabilities are averaged over the eight symmetries.",
    "unsure": " Probabilities are averaged over the eight symmetries where one pass is unsure.",
}
USE = {
    True: "Colour images of single galaxies as Galaxy Zoo 2 showed them: SDSS g, r and i, scaled "
    "to the galaxy's size.",
    False: "Images of single galaxies made as those of its training.",
}
DEPENDENT = (
    "**They may be the same galaxies in other pixels: the test figures are then not independent.**"
)
CORRECTED = (
    "All other numbers here hold after a correction for the public Galaxy10's mix of classes, of "
    "strength {strength:.1f}, chosen on the validation galaxies. Without it: {values}."
)


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
    manifest, metrics, origin, packed = run.manifest, run.metrics, run.origin, ""
    if metrics["uncorrected"]:
        values = [
            f"{name[0].lower()}{name[1:]} {_percent(metrics['uncorrected'][key])}"
            for key, name in OVERALL.items()
        ]
        packed = CORRECTED.format(**metrics["public_mix"], values=", ".join(values))
    galaxy10 = origin.has_galaxy10_classes
    rows = [
        (name, _percent(metrics[key]), _range(metrics[f"{key}_interval"]))
        for key, name in OVERALL.items()
        if galaxy10 or key != "reweighted_accuracy"
    ]
    tags = [*TAGS, *["galaxy10", "sdss"] * galaxy10, *["simulated"] * origin.simulated]
    paths = sorted((run.path / "figures").glob("*.png"))
    figures = [f"![{path.stem.replace('_', ' ')}](figures/{path.name})" for path in paths]
    text = TEMPLATE.read_text(encoding="utf-8").format(
        manifest=manifest,
        metrics=metrics,
        origin=origin,
        tags=json.dumps(tags),
        use=USE[galaxy10],
        datasets=json.dumps([origin.name]),
        index=_index(run),
        simulated=SIMULATED if origin.simulated else "",
        note=manifest.get("note", ""),
        started=_started(manifest.get("start")),
        epochs=f"{manifest['epochs']} epoch{'s' * (manifest['epochs'] > 1)}",
        rounded=" Weights are rounded to half precision." if manifest.get("packed") else "",
        averaged=AVERAGED[metrics["symmetric"]],
        overall=_table(("metric", "value", "interval"), rows),
        fit=metrics["calibration_note"] or "fitted on the validation galaxies",
        corrected=packed,
        classes=_classes(metrics, manifest["class_counts"], CLASS_COUNTS if galaxy10 else None),
        failures=_failures(metrics, manifest["class_counts"]),
        figures="\n\n".join(["## Figures" if figures else "", *figures]),
    )
    return re.sub("\n{3,}", "\n\n", text).strip() + "\n"  # Some fields are empty.


def _started(start: dict[str, Any] | None) -> str:
    """What the training started from, in words."""
    if not start:
        return ""
    text = (
        f" Training started from a run (`{start['recipe_name']}`) of `{start['origin']['name']}`."
    )
    return text if start["independent"] else f"{text} {DEPENDENT}"


def _index(run: Run) -> str:
    """The Hub's record of the results; JSON is YAML, whatever is in a name."""
    kinds = {"accuracy": "accuracy", "balanced_accuracy": "recall", "macro_f1": "f1"}
    result = {
        "task": {"type": "image-classification"},
        "dataset": {"name": str(run.origin), "type": run.origin.name},
        "metrics": [
            {"type": kind, "name": key, "value": round(run.metrics[key], 4)}
            for key, kind in kinds.items()
        ],
    }
    return json.dumps([{"name": run.manifest["recipe_name"], "results": [result]}])


def _classes(metrics: dict[str, Any], counts: list[int], public: Sequence[int] | None) -> str:
    header = ["class", "galaxies", "precision", "recall", "interval", "test set"]
    if public:
        header.insert(2, "in Galaxy10")
    rows = []
    for c, row in enumerate(metrics["classes"]):
        shares = [
            _percent(row["precision"], 0),
            _percent(row["recall"], 0),
            _range(row["recall_interval"], 0),
        ]
        few = " (few)" * (row["support"] < FEW)
        numbers = [f"{c + 1} {_cell(row['name'])}", f"{counts[c]:,}"]
        numbers += [f"{public[c]:,}"] if public else []
        rows.append([*numbers, *shares, f"{row['support']}{few}"])
    return _table(header, rows)


def _failures(metrics: dict[str, Any], counts: list[int]) -> str:
    names = [_cell(row["name"]) for row in metrics["classes"]]
    lines = [
        f"- {share:.0%} of {n} '{names[true]}' are predicted '{names[predicted]}'."
        for true, predicted, share, n in top_confusions(metrics["confusion_matrix"])
    ]
    lines += [
        f"- No '{_cell(row['name'])}' of the test set is found; {count} galaxies have this class."
        for row, count in zip(metrics["classes"], counts, strict=True)
        if row["recall"] == 0
    ]
    return "\n".join(lines)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    cells = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


def _cell(name: str) -> str:
    """A name within a table of Markdown."""
    return re.sub(r"([\\|`*_<\[])", r"\\\1", " ".join(name.split()))


def _percent(share: float | None, digits: int = 1) -> str:
    return "-" if share is None else f"{share:.{digits}%}"


def _range(interval: list[float] | None, digits: int = 1) -> str:
    return "-" if interval is None else " to ".join(_percent(end, digits) for end in interval)
