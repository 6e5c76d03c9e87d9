"""The story of the page on own data, with real galaxies and the command line."""

import numpy as np
import pytest
from astropy.table import Table
from PIL import Image

from galclass import load_data, load_run

KINDS = np.array(["disk", *["smooth"] * 3, *["disk"] * 3, *["spiral"] * 3])
LABELLED = 300
GALAXIES = 700


def write_galaxies(real_path, folder):
    """Write labelled images into folders, and others with a catalogue; return the catalogue."""
    images, labels, _ = load_data(real_path)
    chosen = np.random.default_rng(0).permutation(len(labels))[:GALAXIES]
    rows = []
    for number, galaxy in enumerate(chosen):
        kind = KINDS[labels[galaxy]]
        part = "labelled" if number < LABELLED else "rest"
        path = folder / part / kind / f"{galaxy}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(images[galaxy]).save(path)
        if part == "rest":
            rows.append((587722981741363200 + galaxy, str(path.relative_to(folder)), kind))
    return Table(rows=rows, names=("objid", "file", "known"))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.* unlike")
def test_labels_in_folders_train_a_network_that_classifies_a_catalogue(
    real_path, tmp_path, monkeypatch, command
):
    monkeypatch.chdir(tmp_path)
    catalogue = write_galaxies(real_path, tmp_path)
    catalogue.write("rest.fits")

    trained = command("train --data labelled --start simulated --recipe quick --out own")
    assert trained.code == 0, trained.error
    assert load_run("own").metrics["accuracy"] > 0.8
    options = "--image-column file --run own --purity 0.9"
    predicted = command(f"predict rest.fits {options} -o classes.fits")
    assert predicted.code == 0, predicted.error
    table = Table.read("classes.fits")
    assert table["objid"].tolist() == catalogue["objid"].tolist()
    kinds = np.char.strip(np.asarray(table["class_name"], str))
    correct = kinds == np.asarray(catalogue["known"])
    selected = np.asarray(table["selected"], bool)
    assert correct.mean() > 0.85
    assert selected.sum() > 150
    assert correct[selected].mean() > 0.88
