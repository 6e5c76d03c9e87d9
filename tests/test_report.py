import re
from pathlib import Path

import numpy as np
import pytest

from galclass import evaluate
from galclass.report import model_card, pretrained_model_card, write_report


@pytest.fixture(scope="module")
def run(trained, pictures):
    evaluate(trained, *pictures)
    return trained


def test_the_card_gives_the_measured_figures_of_every_class(run):
    card = model_card(run)
    assert f"Accuracy {run.metrics['accuracy']:.1%}" in card
    assert f"temperature {run.metrics['temperature']:.2f}" in card
    assert len(re.findall(r"^\| \d+ ", card, re.M)) == 10
    assert "(few)" in card


def test_the_report_is_one_page_without_a_link_to_anything(run, tmp_path):
    page = write_report(run, tmp_path / "report.html").read_text()
    assert page.count("data:image/png;base64,") >= 6
    assert not re.findall(r'(?:src|href)="(?!data:)', page)
    assert not re.search(r"<(script|link)", page)
    assert "prefers" in page or "color-scheme: light dark" in page
    assert str(run.path.parent) not in page


def test_the_mistakes_kept_are_the_most_confident_wrong_ones(run, pictures):
    images, labels = pictures
    predictions, kept = run.predictions, run.mistakes
    said = predictions["probabilities"].argmax(axis=1)
    wrong = said != predictions["labels"]
    assert len(kept["images"]) == min(10, wrong.sum())
    assert (kept["labels"] != kept["predicted"]).all()
    assert (np.diff(kept["probabilities"]) <= 0).all()
    confidence = predictions["probabilities"].max(axis=1)
    assert kept["probabilities"][0] == confidence[wrong].max()
    first = predictions["indices"][wrong][confidence[wrong].argmax()]
    np.testing.assert_array_equal(kept["images"][0], images[first])
    assert kept["labels"][0] == labels[first]


def test_the_card_of_the_network_in_the_box_is_the_one_in_the_repository():
    written = Path(__file__).parent.parent / "MODEL_CARD.md"
    assert written.read_text(encoding="utf-8") == pretrained_model_card()
