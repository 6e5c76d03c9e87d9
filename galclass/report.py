"""A run in words: its model card, and one self-contained page of it all."""

import base64
import html
import io
import json
from pathlib import Path

from .evaluation import FEW, top_confusions
from .galaxy10 import CLASS_COUNTS, CLASS_NAMES
from .plotting import (
    describe_source,
    plot_class_counts,
    plot_confusion_matrix,
    plot_examples,
    plot_history,
    plot_mistakes,
    plot_recall,
    plot_reliability,
)
from .pretrained import pretrained_card
from .runs import whole_file

INTENDED_USE = (
    "**Intended use.** Colour pictures of single galaxies as Galaxy Zoo 2 showed them: SDSS g, r, "
    "i, scaled to the galaxy's size, for samples; not for the fate of one galaxy."
)
PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><style>
:root {{ color-scheme: light dark; }}
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: auto; padding: 1rem; }}
img {{ width: 100%; background: white; border-radius: 6px; }}
table {{ border-collapse: collapse; width: 100%; }} div.wide {{ overflow-x: auto; }}
th, td {{ padding: .2rem .6rem; text-align: right; border-bottom: 1px solid #8884; }}
th:first-child, td:first-child {{ text-align: left; }}
figure {{ margin: 1.5rem 0; }} figcaption {{ opacity: .8; }}
.simulated {{ background: #d55e00; color: white; padding: .3rem .6rem; border-radius: 6px; }}
pre {{ overflow-x: auto; padding: .8rem; background: #8882; border-radius: 6px; }}
</style></head><body><h1>{title}</h1>{body}</body></html>
"""


def model_card(run):
    """The model card of an evaluated run, in Markdown.

    Parameters
    ----------
    run : galclass.runs.Run

    Returns
    -------
    str
    """
    manifest, metrics = run.manifest, run.metrics
    low, high = metrics["accuracy_interval"]
    counts, before, after = manifest["class_counts"], metrics["uncalibrated"], metrics["calibrated"]
    lines = [
        f"# Model card: {manifest['recipe_name']} recipe, seed {manifest['seed']}",
        "",
        f"**Data.** {describe_source(manifest['source'])} (`{manifest['source']['name']}`, sha256 "
        f"`{manifest['source']['sha256'][:12]}`), split {manifest['split']['protocol']}: "
        f"{manifest['split']['train_size']:,} for training, "
        f"{manifest['split']['validation_size']:,} for validation, "
        f"{manifest['split']['test_size']:,} for the test.",
        "",
        f"**Network.** The published three-block network; {manifest['epochs']} epochs in "
        f"{manifest['precision']}, weights of epoch {manifest['best_epoch']}, the best in "
        "validation.",
        "",
        f"**Test.** Accuracy {metrics['accuracy']:.1%} (95 % interval {low:.1%} to {high:.1%}), "
        f"balanced accuracy {metrics['balanced_accuracy']:.1%}, macro-F1 {metrics['macro_f1']:.1%}"
        f"{', averaged over the eight flips and turns' if metrics['symmetric'] else ''}.",
        "",
        f"**Calibration.** Expected calibration error {before['calibration_error']:.1%}, and "
        f"{after['calibration_error']:.1%} with the temperature {metrics['temperature']:.2f}, "
        f"fitted on the validation galaxies; Brier score {before['brier']:.3f} and "
        f"{after['brier']:.3f}.",
        "",
        *_class_table(metrics, counts),
    ]
    lines += ["", INTENDED_USE, "", *_failures(metrics)]
    if run.simulated:
        lines.append("- It was trained on simulated galaxies; the figures hold for those alone.")
    return "\n".join(lines) + "\n"


def pretrained_model_card():
    """The model card of the network in the box, in Markdown.

    Returns
    -------
    str
    """
    card = pretrained_card()
    test, before, own = (
        card["test"],
        card["test_without_correction"],
        card["calibration_on_own_mix"],
    )
    low, high = test["accuracy_interval"]
    lines = [
        "# Model card: the network in the box",
        "",
        f"**Data.** {describe_source(card['source'])}, split {card['split']['protocol']}: "
        f"{card['split']['train_size']:,} for training, {card['split']['validation_size']:,} for "
        f"validation, {card['split']['test_size']:,} for the test. It is a part of Galaxy10 in "
        "which class 1 is rare; figures on it are no figures on Galaxy10.",
        "",
        f"**Network.** The published three-block network, recipe `{card['recipe_name']}`, seed "
        f"{card['seed']}, weights in half precision.",
        "",
        f"**Corrections**, both in the last layer and chosen on the validation galaxies: the "
        f"temperature {card['temperature']:.2f}, and the public Galaxy10's mix of classes in "
        f"place of the training galaxies', with strength {card['prior_strength']:.1f} in the "
        f"logarithm. The accuracy at the public mix (sum of fraction times recall) goes from "
        f"{before['reweighted_accuracy']:.1%} to {test['reweighted_accuracy']:.1%}, the plain one "
        f"from {before['accuracy']:.1%} to {test['accuracy']:.1%}, macro-F1 from "
        f"{before['macro_f1']:.1%} to {test['macro_f1']:.1%}.",
        "",
        f"**Test.** Accuracy {test['accuracy']:.1%} (95 % interval {low:.1%} to {high:.1%}), "
        f"balanced accuracy {test['balanced_accuracy']:.1%}, averaged over the eight flips and "
        f"turns. Expected calibration error {own['calibration_error']:.1%} with the mix of the "
        "training galaxies put back.",
        "",
        *_class_table(test, card["class_counts"]),
        "",
        INTENDED_USE,
        "",
        *_failures(test),
        *(
            f"- '{row['name']}' is never found, with {count} galaxies to learn it from."
            for row, count in zip(test["classes"], card["class_counts"], strict=True)
            if row["recall"] == 0
        ),
    ]
    return "\n".join(lines) + "\n"


def _class_table(metrics, counts):
    lines = [
        "| class | galaxies | in the public file | precision | recall | test galaxies |",
        "|---|---|---|---|---|---|",
    ]
    for c, row in enumerate(metrics["classes"]):
        shown = ["-" if row[k] is None else f"{row[k]:.0%}" for k in ("precision", "recall")]
        few = " (few)" if row["support"] < FEW else ""
        lines.append(
            f"| {c + 1} {row['name']} | {counts[c]:,} | {CLASS_COUNTS[c]:,} | {shown[0]} | "
            f"{shown[1]} | {row['support']}{few} |"
        )
    return lines


def _failures(metrics):
    confusions = [
        f"- {share:.0%} of {n} '{CLASS_NAMES[true]}' are called '{CLASS_NAMES[said]}'"
        for true, said, share, n in top_confusions(metrics["confusion_matrix"])
    ]
    return [
        "**Known failures.** The most frequent confusions on the test galaxies:",
        "",
        *confusions,
        "- Pictures without a galaxy, of stars or of other surveys get a class as well.",
    ]


def write_report(run, out=None):
    """Write one self-contained HTML page of an evaluated run.

    Parameters
    ----------
    run : galclass.runs.Run
    out : path-like, optional
        Default: ``report.html`` in the run folder.

    Returns
    -------
    pathlib.Path
    """
    out = Path(out or run.path / "report.html")
    figures = [
        ("One galaxy of each class.", plot_examples(run)),
        ("The number of galaxies in each class, beside the public file's.", plot_class_counts(run)),
        ("Loss and accuracy against the epoch.", plot_history(run)),
        ("Columns are the true classes and sum to 100 %.", plot_confusion_matrix(run)),
        ("Recall of each class.", plot_recall(run)),
        ("Whether the probabilities can be taken at their word.", plot_reliability(run)),
    ]
    if len(run.mistakes["images"]):
        figures.append(("Wrong with the most confidence.", plot_mistakes(run)))
    parts = []
    if run.simulated:
        parts.append('<p class="simulated">The galaxies are simulated, not observed.</p>')
    parts.append(_from_markdown(model_card(run)))
    parts += [_picture(text, fig) for text, fig in figures]
    manifest = html.escape(json.dumps(run.manifest, indent=1))
    parts.append(f"<h2>How it was made</h2><pre>{manifest}</pre>")
    title = f"galclass: {html.escape(run.path.resolve().name)}"
    with whole_file(out) as temporary:
        temporary.write_text(PAGE.format(title=title, body="\n".join(parts)), encoding="utf-8")
    return out


def _picture(text, fig):
    buffer = io.BytesIO()
    fig.savefig(buffer, format="png", dpi=130, metadata={"Software": None})
    data = base64.b64encode(buffer.getvalue()).decode()
    return (
        f'<figure><img alt="{html.escape(text)}" src="data:image/png;base64,{data}">'
        f"<figcaption>{html.escape(text)}</figcaption></figure>"
    )


def _from_markdown(text):
    """The model card as HTML: headings, paragraphs, one table and one list are all it has."""
    blocks = []
    for block in html.escape(text, quote=False).strip().split("\n\n"):
        lines = block.splitlines()
        if block.startswith("# "):
            blocks.append(f"<h2>{block[2:]}</h2>")
        elif block.startswith("|"):
            rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
            head = "".join(f"<th>{cell}</th>" for cell in rows[0])
            body = "".join(
                "<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows[2:]
            )
            blocks.append(f'<div class="wide"><table><tr>{head}</tr>{body}</table></div>')
        elif block.startswith("- "):
            blocks.append("<ul>" + "".join(f"<li>{line[2:]}</li>" for line in lines) + "</ul>")
        else:
            bold = block.replace("**", "<b>", 1).replace("**", "</b>", 1).replace("`", "")
            blocks.append(f"<p>{bold}</p>")
    return "\n".join(blocks)
