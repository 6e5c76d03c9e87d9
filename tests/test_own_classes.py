"""A run on classes with other names never shows anything of Galaxy10."""

import numpy as np
import pytest
from PIL import Image

import galclass

NAMES = ("disk | thin", "smooth", "spiral")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of 60 images of three classes, which differ in brightness."""
    base = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(1)
    for number in range(60):
        c = number % 3
        pixels = rng.integers(0, 60, (36, 36, 3)) + 80 * c
        (base / NAMES[c]).mkdir(exist_ok=True)
        Image.fromarray(pixels.astype(np.uint8)).save(base / NAMES[c] / f"{number:02d}.png")
    return base


@pytest.mark.slow
def test_run_on_other_classes_never_mentions_galaxy10(folder, tmp_path):
    data = galclass.load_data(folder)
    run = galclass.train(
        *data, out=tmp_path / "run", recipe="quick", precision="float32", verbose=False
    )
    metrics = galclass.evaluate(run, *data)
    galclass.save_figures(run)
    assert metrics["accuracy"] == 1
    assert metrics["reweighted_accuracy"] is None
    assert [row["name"] for row in metrics["classes"]] == list(NAMES)
    written = [path for path in run.path.rglob("*") if path.suffix in (".json", ".md", ".svg")]
    assert len(written) > 8
    for path in written:
        assert "galaxy10" not in path.read_text(encoding="utf-8").lower(), path
    assert "disk \\| thin" in (run.path / "README.md").read_text(encoding="utf-8")
    table = galclass.predict(sorted((folder / "smooth").iterdir()), run=run)
    assert set(table["class_name"]) == {"smooth"}
    assert galclass.verify(run, folder) == []
