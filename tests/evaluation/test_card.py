import re

import pytest
import yaml

from galclass import load_pretrained, load_run
from galclass.evaluation.card import model_card
from galclass.evaluation.metrics import HEADLINE


def split_metadata(card):
    opening, metadata, text = card.split("---\n", 2)
    assert opening == ""
    return yaml.safe_load(metadata), text


def test_card_gives_the_metrics_with_intervals(measured):
    card = model_card(measured.path)
    metrics = measured.metrics
    low, high = metrics["accuracy_interval"]
    interval = f"{100 * low:.1f} to {100 * high:.1f} %"
    assert f"| Accuracy | {100 * metrics['accuracy']:.1f} % | {interval} |" in card
    for title in HEADLINE.values():
        assert f"| {title} |" in card
    rows = re.findall(r"^\| (\d+|all) \|.*\| (\d+) \| (\d+) \|$", card, re.M)
    supports = [str(row["support"]) for row in metrics["classes"]]
    assert rows == [*((str(c + 1), supports[c], "10") for c in range(10)), ("all", "15", "100")]
    assert "16 validation galaxies" in card
    assert measured.origin.sha256[:12] in card
    assert not re.search("simulated|None|figures/", card)
    assert (measured.path / "README.md").read_text(encoding="utf-8") == card


def test_card_leaves_out_a_metric_that_the_run_lacks(copied):
    metrics = copied.metrics
    del metrics["brier"]
    copied.write_metrics(metrics)
    assert "Brier score" not in model_card(copied)


def test_hub_can_read_the_metadata_for_any_file_name(copied):
    name = "my: \"galaxies\" #1 \u2013 'α'\n---\n- x.h5"
    manifest = copied.manifest
    manifest["origin"].update(kind="file", name=name)
    copied.write_manifest(manifest)
    metadata, _ = split_metadata(model_card(copied))
    assert metadata["datasets"] == [name]
    ((result,),) = (model["results"] for model in metadata["model-index"])
    values = {metric["type"]: metric["value"] for metric in result["metrics"]}
    assert values["accuracy"] == pytest.approx(copied.metrics["accuracy"], abs=1e-4)
    assert values["f1"] == pytest.approx(copied.metrics["macro_f1"], abs=1e-4)


def test_hugging_face_hub_reads_the_card(measured):
    hub = pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")
    path = measured.path / "README.md"
    (result, *_) = hub.ModelCard.load(path).data.eval_results
    assert result.metric_value == round(measured.metrics["accuracy"], 4)
    assert hub.metadata_load(path)["library_name"] == "keras"


def test_card_of_simulated_galaxies_says_so_first(simulated_run):
    metadata, text = split_metadata(model_card(simulated_run))
    assert "simulated, not observed" in text.strip().splitlines()[2]
    assert "simulated" in metadata["tags"]


@pytest.mark.parametrize("independent", [True, None])
def test_card_describes_the_start_and_the_kept_epoch(copied, independent):
    manifest = copied.manifest
    start = {key: manifest[key] for key in ("recipe_name", "origin", "start")}
    manifest.update(start={**start, "independent": independent}, kept_epoch=3)
    manifest["recipe"]["keep"] = "last"
    copied.write_manifest(manifest)
    card = model_card(copied)
    assert "the weights of epoch 3, the last one." in card
    assert "Training started from a run (`default`)" in card
    assert ("It is not known whether" in card) is (independent is None)


def test_card_shows_the_figures_that_exist(copied):
    (copied.path / "figures").mkdir()
    (copied.path / "figures" / "confusion_matrix.png").touch()
    assert "![confusion matrix](figures/confusion_matrix.png)" in model_card(copied)


def test_cards_in_the_repository_are_up_to_date(request):
    published = load_run(request.config.rootpath / "figures" / "runs" / "published")
    for run in (load_pretrained(), load_pretrained("simulated"), published):
        assert (run.path / "README.md").read_text(encoding="utf-8") == model_card(run)


def test_card_of_the_pretrained_network_describes_labels_correction_and_failures():
    card = model_card(load_pretrained())
    for words in (
        "inferred",
        "138 of the 3,461",
        "corrected for the public Galaxy10",
        "| uncorrected |",
        "No galaxy of the class 'Disk, Edge-on, Boxy Bulge'",
    ):
        assert words in card
