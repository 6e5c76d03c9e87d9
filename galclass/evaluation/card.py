"""The model card of a run, filled into ``card.md``."""

import json
import re
from pathlib import Path
from typing import Any

from astropy.table import Table

from ..data.dataset import Origin
from ..data.galaxy10 import CLASS_NAMES
from ..files import PathLike
from ..run import Run, as_run
from .calibration import Calibration, calibration_of
from .metrics import HEADLINE, format_metric, top_confusions
from .summary import escape_markdown, summary, to_markdown

TEMPLATE = Path(__file__).with_name("card.md")
SIMULATED = "**The galaxies are simulated, not observed: all numbers hold for simulated ones.**"
UNKNOWN = (
    "**It is not known whether the test set is independent: the network that training started "
    "from may have been trained on the same galaxies in other pixels.**"
)
KEPT = {"best": "the best one in validation", "last": "the last one"}
ROUNDED = " They are rounded to half precision."
AVERAGING = {
    False: "Averaging: none, the probabilities are from one pass.",
    "unsure": "Averaging: over the eight symmetries of an image, if one pass is less than 95 % "
    "sure.",
}
COMPARISONS = {
    "one_pass": "*one pass* (without averaging)",
    "uncalibrated": "*uncalibrated* (neither calibrated nor corrected)",
    "uncorrected": "*uncorrected* (calibrated only)",
}
HUB_TYPES = {"accuracy": "accuracy", "balanced_accuracy": "recall", "macro_f1": "f1"}
GALAXY10_USE = (
    "Colour images of single galaxies as Galaxy Zoo 2 showed them: SDSS g, r and i, scaled to the "
    "size of the galaxy."
)
OTHER_USE = "Images of single galaxies that are made like the training images."


def model_card(run: Run | PathLike) -> str:
    """Return the model card of an evaluated run.

    Parameters
    ----------
    run : Run or path-like

    Returns
    -------
    str
        Markdown, with the metadata that the Hugging Face Hub reads at the top. It shows the
        figures in the folder ``figures/`` of the run.

    Raises
    ------
    RunError
        The run cannot be read or is not evaluated.
    """
    run = as_run(run)
    manifest = run.manifest
    metrics = run.metrics
    origin = run.origin
    calibration = calibration_of(run)
    comparisons = [key for key in COMPARISONS if metrics.get(key) is not None]
    text = TEMPLATE.read_text(encoding="utf-8").format(
        tags=json.dumps(_list_tags(origin)),
        datasets=json.dumps([origin.name]),
        index=_describe_for_hub(manifest["recipe_name"], origin, metrics),
        manifest=manifest,
        origin=origin,
        simulated=SIMULATED if origin.simulated else "",
        note=manifest.get("note", ""),
        epochs="1 epoch" if manifest["epochs"] == 1 else f"{manifest['epochs']} epochs",
        kept=KEPT[manifest["recipe"]["keep"]],
        rounded=ROUNDED if "weights_precision" in manifest else "",
        start=_describe_start(manifest["start"]),
        galaxies=metrics["galaxies"],
        averaging=AVERAGING[metrics["symmetric"]],
        calibration=calibration.record(),
        fit=metrics["calibration_note"] or "fitted to the validation set",
        correction=_describe_correction(calibration),
        comparisons=", ".join(COMPARISONS[key] for key in comparisons),
        overall=_overall_table(metrics, comparisons),
        classes=_class_table(summary(run), metrics, manifest["class_counts"]),
        use=GALAXY10_USE if origin.class_names == CLASS_NAMES else OTHER_USE,
        failures=_list_failures(metrics, manifest["class_counts"]),
        figures=_list_figures(run.path / "figures"),
    )
    return re.sub("\n{3,}", "\n\n", text).strip() + "\n"  # Some fields are empty.


def _list_tags(origin: Origin) -> list[str]:
    tags = ["astronomy", "galaxy-morphology"]
    if origin.class_names == CLASS_NAMES:
        tags += ["galaxy10", "sdss"]
    if origin.simulated:
        tags.append("simulated")
    return tags


def _describe_for_hub(name: str, origin: Origin, metrics: dict[str, Any]) -> str:
    """Return the results as the Hugging Face Hub reads them.

    They are JSON, which is valid YAML whatever characters a name has.
    """
    result = {
        "task": {"type": "image-classification"},
        "dataset": {"name": str(origin), "type": origin.name},
        "metrics": [
            {"type": hub_type, "name": key, "value": round(metrics[key], 4)}
            for key, hub_type in HUB_TYPES.items()
        ],
    }
    return json.dumps([{"name": name, "results": [result]}])


def _describe_start(start: dict[str, Any] | None) -> str:
    """Return a sentence about the run that training started from."""
    if start is None:
        return ""
    text = (
        f" Training started from a run (`{start['recipe_name']}`) on `{start['origin']['name']}`."
    )
    if not start["independent"]:
        text += f" {UNKNOWN}"
    return text


def _describe_correction(calibration: Calibration) -> str:
    if calibration.class_mix is None:
        return "Class fractions: not corrected."
    return (
        "Class fractions: corrected for the public Galaxy10 SDSS, with strength "
        f"{calibration.strength:.1f} of 1, chosen on the validation set."
    )


def _overall_table(metrics: dict[str, Any], comparisons: list[str]) -> str:
    """Return the overall metrics as a table, one column per kind of probabilities."""
    titles = [key.replace("_", " ") for key in comparisons]
    rows = [["metric", "value", "interval", *titles]]
    rows.append(["---"] * len(rows[0]))
    for key, title in HEADLINE.items():
        # Some metrics need certain classes, and earlier evaluations lack newer metrics.
        if metrics.get(key) is None:
            continue
        row = [title, format_metric(key, metrics[key])]
        row.append(_format_interval(key, metrics.get(f"{key}_interval")))
        row += [format_metric(key, metrics[name].get(key)) for name in comparisons]
        rows.append(row)
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _class_table(table: Table, metrics: dict[str, Any], counts: list[int]) -> str:
    """Return a summary in Markdown, with intervals and with the numbers of all galaxies."""
    intervals = [row["recall_interval"] for row in metrics["classes"]]
    intervals.append(metrics["accuracy_interval"])
    texts = [_format_interval("recall", interval) for interval in intervals]
    table.add_column(texts, name="interval of the recall", index=table.index_column("f1"))
    table.rename_column("galaxies", "in the test set")
    table["in all sets"] = [*counts, sum(counts)]
    table["in all sets"].format = ",d"
    return to_markdown(table)


def _format_interval(key: str, interval: list[float] | None) -> str:
    if interval is None:
        return "-"
    low, high = (format_metric(key, end) for end in interval)
    return f"{low.removesuffix(' %')} to {high}"


def _list_failures(metrics: dict[str, Any], counts: list[int]) -> str:
    names = [escape_markdown(row["name"]) for row in metrics["classes"]]
    lines = []
    for confusion in top_confusions(metrics["confusion_matrix"]):
        lines.append(
            f"- {100 * confusion.fraction:.0f} % of {confusion.support} galaxies of the class "
            f"'{names[confusion.true]}' are predicted as '{names[confusion.predicted]}'."
        )
    for c, row in enumerate(metrics["classes"]):
        if row["recall"] == 0:
            lines.append(
                f"- No galaxy of the class '{names[c]}' in the test set is found; {counts[c]} "
                "galaxies in all sets have this class."
            )
    return "\n".join(lines)


def _list_figures(folder: Path) -> str:
    paths = sorted(folder.glob("*.png"))
    if not paths:
        return ""
    images = [f"![{path.stem.replace('_', ' ')}](figures/{path.name})" for path in paths]
    return "\n\n".join(["## Figures", *images])
