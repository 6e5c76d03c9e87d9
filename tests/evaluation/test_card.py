import json
import re
import shutil

import pytest
import yaml

from galclass import load_pretrained, load_run
from galclass.errors import RunError
from galclass.evaluation.card import model_card
from galclass.files import write_json


def _metadata(card):
    opening, block, rest = card.split("---\n", 2)
    assert opening == ""
    return yaml.safe_load(block), rest


def test_the_card_gives_the_measured_figures_of_every_class_with_intervals(measured):
    card, metrics = model_card(measured), measured.metrics
    low, high = metrics["accuracy_interval"]
    assert f"| Accuracy | {metrics['accuracy']:.1%} | {low:.1%} to {high:.1%} |" in card
    rows = re.findall(r"^\| (\d+) .*\| (\S+) \|$", card.replace(" (few)", ""), re.M)
    assert rows == [(str(c + 1), str(metrics["classes"][c]["support"])) for c in range(10)]
    assert "(few)" in card
    assert "Temperature 1.00, not fitted: 16 validation galaxies" in card
    assert measured.origin.sha256[:12] in card
    assert "simulated" not in card
    assert (measured.path / "README.md").read_text(encoding="utf-8") == card
    assert "None" not in card


def test_the_hub_can_read_the_metadata_whatever_the_name_of_the_file(measured, tmp_path):
    path = shutil.copytree(measured.path, tmp_path / "run")
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["origin"].update(kind="file", name="my: \"galaxies\" #1 \u2013 'α'\n---\n- x.h5")
    write_json(path / "manifest.json", manifest)
    found, _ = _metadata(model_card(path))
    assert found["datasets"] == [manifest["origin"]["name"]]
    assert found["license"] == "mit"
    assert found["library_name"] == "keras"
    assert found["pipeline_tag"] == "image-classification"
    (model,) = found["model-index"]
    (result,) = model["results"]
    values = {metric["type"]: metric["value"] for metric in result["metrics"]}
    assert values["accuracy"] == pytest.approx(measured.metrics["accuracy"], abs=1e-4)
    assert values["f1"] == pytest.approx(measured.metrics["macro_f1"], abs=1e-4)


def test_a_card_of_simulated_galaxies_says_so_first(simulated_run):
    metadata, text = _metadata(model_card(simulated_run))
    assert "simulated, not observed" in text.strip().splitlines()[2]
    assert "simulated" in metadata["tags"]


def test_figures_are_shown_where_they_exist(measured, tmp_path):
    path = shutil.copytree(measured.path, tmp_path / "run")
    assert "figures/" not in model_card(path)
    (path / "figures").mkdir()
    (path / "figures" / "confusion_matrix.png").touch()
    assert "![confusion matrix](figures/confusion_matrix.png)" in model_card(path)


def test_a_run_that_is_not_evaluated_has_no_card(trained, tmp_path):
    path = shutil.copytree(trained.path, tmp_path / "run")
    (path / "metrics.json").unlink(missing_ok=True)
    with pytest.raises(RunError, match="galclass evaluate"):
        model_card(path)


def test_the_card_of_the_pretrained_network_names_its_labels_and_what_it_misses():
    run = load_pretrained()
    card = model_card(run)
    assert (run.path / "README.md").read_text(encoding="utf-8") == card
    assert "inferred" in card
    assert "138 of the 3,461" in card
    assert "No 'Disk, Edge-on, Boxy Bulge' of the test set is found" in card
    assert load_run(run.path).metrics["uncorrected"] is not None
