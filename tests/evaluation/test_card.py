import re

import pytest
import yaml

from galclass import load_pretrained
from galclass.errors import RunError
from galclass.evaluation.card import model_card


def _metadata(card):
    opening, block, rest = card.split("---\n", 2)
    assert opening == ""
    return yaml.safe_load(block), rest


def test_the_card_gives_the_measured_figures_of_every_class_with_intervals(measured):
    card, metrics = model_card(measured), measured.metrics
    low, high = metrics["accuracy_interval"]
    rows = re.findall(r"^\| (\d+) .*\| (\S+) \|$", card.replace(" (few)", ""), re.M)
    assert rows == [(str(c + 1), str(metrics["classes"][c]["support"])) for c in range(10)]
    for words in (
        f"| {metrics['accuracy']:.1%} | {low:.1%} to {high:.1%} |",
        *("(few)", "16 validation galaxies", measured.origin.sha256[:12]),
    ):
        assert words in card
    assert not re.search("simulated|None|figures/", card)
    assert (measured.path / "README.md").read_text(encoding="utf-8") == card


def test_the_hub_can_read_the_metadata_whatever_the_name_of_the_file(copied):
    name = "my: \"galaxies\" #1 \u2013 'α'\n---\n- x.h5"
    copied.manifest["origin"].update(kind="file", name=name)
    found, _ = _metadata(model_card(copied))
    expected = {"license": "mit", "library_name": "keras", "pipeline_tag": "image-classification"}
    assert (expected | {"datasets": [name]}).items() <= found.items()
    ((result,),) = (model["results"] for model in found["model-index"])
    values = {metric["type"]: metric["value"] for metric in result["metrics"]}
    assert values["accuracy"] == pytest.approx(copied.metrics["accuracy"], abs=1e-4)
    assert values["f1"] == pytest.approx(copied.metrics["macro_f1"], abs=1e-4)


def test_a_card_of_simulated_galaxies_says_so_first(simulated_run):
    metadata, text = _metadata(model_card(simulated_run))
    assert "simulated" in text.strip().splitlines()[2]
    assert "simulated" in metadata["tags"]


def test_figures_are_shown_where_they_exist_and_no_card_is_made_before_evaluation(copied):
    (copied.path / "figures").mkdir()
    (copied.path / "figures" / "confusion_matrix.png").touch()
    assert "![confusion matrix](figures/confusion_matrix.png)" in model_card(copied)
    (copied.path / "metrics.json").unlink()
    with pytest.raises(RunError, match="galclass evaluate"):
        model_card(copied.path)


def test_the_card_of_the_pretrained_network_names_its_labels_and_what_it_misses():
    run = load_pretrained()
    card = model_card(run)
    assert (run.path / "README.md").read_text(encoding="utf-8") == card
    for words in ("inferred", "138 of the 3,461", "No 'Disk, Edge-on, Boxy Bulge'"):
        assert words in card
    assert run.metrics["uncorrected"] is not None


def test_the_hugging_face_hub_reads_the_card(measured):
    hub = pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")
    path = measured.path / "README.md"
    (result, *_) = hub.ModelCard.load(path).data.eval_results
    assert result.metric_value == round(measured.metrics["accuracy"], 4)
    assert hub.metadata_load(path)["library_name"] == "keras"
