"""The story of the documentation's page on own data, with real galaxies and the command line."""

import sys

import numpy as np
import pytest
from astropy.table import Table
from PIL import Image

from galclass import cli, load_data, load_run

KINDS = np.array(["disk", *["smooth"] * 3, *["disk"] * 3, *["spiral"] * 3])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.* unlike those of the training")
def test_labels_in_folders_train_a_network_that_classifies_the_rest_of_a_catalogue(
    real_path, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    images, labels, _ = load_data(real_path)
    drawn = np.random.default_rng(0).permutation(len(labels))[:700]
    rows = []
    for number, galaxy in enumerate(drawn):
        kind = KINDS[labels[galaxy]]
        folder = tmp_path / ("labelled" if number < 300 else "rest") / kind
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{galaxy}.png"
        Image.fromarray(images[galaxy]).save(path)
        if number >= 300:
            rows.append((587722981741363200 + galaxy, str(path.relative_to(tmp_path)), kind))
    Table(rows=rows, names=("objid", "file", "known")).write("rest.fits")

    def run(line):
        monkeypatch.setattr(sys, "argv", ["galclass", *line.split()])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        assert stop.value.code == 0

    run("train --data labelled --start simulated --recipe quick --out own")
    own = load_run("own")
    assert own.metrics["accuracy"] > 0.8
    run("predict --catalogue rest.fits --image-column file --run own --purity 0.9 -o t.fits")
    table = Table.read("t.fits")
    assert table["objid"].tolist() == [row[0] for row in rows]
    right = np.char.strip(np.asarray(table["class_name"], str)) == [row[2] for row in rows]
    assert right.mean() > 0.85
    assert table["selected"].sum() > 150
    assert right[np.asarray(table["selected"], bool)].mean() > 0.88
