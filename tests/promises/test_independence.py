"""No figure of a test is given for galaxies that the network knows, without a word."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from galclass import evaluate, load_data, load_run, train
from galclass.data.split import hash_images
from galclass.errors import ParameterError, RunError
from galclass.figures.results import plot_simulated_accuracy
from galclass.network.calibration import Calibration

QUICK = {"epochs": 1, "precision": "float32", "verbose": False}


@pytest.fixture(scope="module")
def own():
    return load_data("simulated", n=300)


@pytest.fixture
def run(simulated_run, tmp_path):
    """A run that may be changed, on the galaxies of `own`."""
    return load_run(shutil.copytree(simulated_run, tmp_path / "run"))


def test_a_start_that_was_trained_on_test_galaxies_is_refused(run, own, tmp_path):
    with pytest.raises(RunError, match=r"of the 60 test galaxies.*'stratified'"):
        train(*own, out=tmp_path / "new", start=run, split="published", **QUICK)
    assert not (tmp_path / "new").exists()


def test_a_start_on_the_same_split_or_other_galaxies_is_recorded_as_independent(
    run, own, tmp_path, recwarn
):
    tuned = train(*own, out=tmp_path / "a", start=run, **QUICK)
    other = load_data("simulated", n=200, seed=9)
    again = train(*other, out=tmp_path / "b", start=tuned, **QUICK)
    record = again.manifest["start"]
    assert record["independent"]
    assert record["split"] == tuned.manifest["split"]
    assert record["start"]["weights_sha256"] == run.manifest["weights_sha256"]["model"]
    assert set(run.seen) | set(hash_images(other.images)) >= set(again.seen) >= set(run.seen)
    assert not [one for one in recwarn if "independent" in str(one.message)]


@pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")
@pytest.mark.parametrize("kind", ["galaxy10", "arrays"])
def test_remade_pixels_of_galaxy10_are_said_not_to_be_independent(run, own, tmp_path, kind):
    manifest = json.loads((run.path / "manifest.json").read_text())
    manifest["origin"]["name"] = "Galaxy10_subset.h5"
    (run.path / "manifest.json").write_text(json.dumps(manifest))
    remade = own.images ^ 1
    origin = replace(own.origin, kind=kind, name="Galaxy10.h5") if kind == "galaxy10" else None
    with pytest.warns(UserWarning, match="not independent"):
        tuned = train(remade, own.labels, origin, out=tmp_path / "new", start=run.path, **QUICK)
    evaluate(tuned, remade, own.labels)
    assert tuned.manifest["start"]["independent"] is False
    assert "not independent" in (tuned.path / "README.md").read_text()
    with pytest.warns(UserWarning, match="not independent"):
        found = evaluate(run.path, remade, own.labels, origin, other="remade")
    assert found["independent"] is False


def test_other_galaxies_are_measured_beside_as_predict_classifies_them(run, tmp_path):
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    other = load_data("simulated", n=40, seed=3)
    metrics = evaluate(run, *other, other="new")
    assert all(path.read_bytes() == content for path, content in before.items())
    assert json.loads((run.path / "others" / "new.json").read_text()) == metrics
    assert metrics["galaxies"] == 40
    assert metrics["origin"]["seed"] == 3
    saved = np.load(run.path / "others" / "new.npz")
    calibrated = Calibration.from_record(run.metrics["calibration"])
    assert calibrated == run.calibration
    np.testing.assert_allclose(saved["probabilities"].sum(axis=1), 1, atol=1e-6)
    assert metrics["accuracy"] == np.mean(saved["probabilities"].argmax(axis=1) == other.labels)


def test_galaxies_of_the_training_are_no_other_galaxies(run, own):
    with pytest.raises(RunError, match=r"255 of these 300"):
        evaluate(run, *own, other="new")
    test = run.split(*own[:2]).test
    assert evaluate(run, own.images[test], own.labels[test], other="t")["galaxies"] == 45
    with pytest.raises(ParameterError, match=r"other='\.\./x'"):
        evaluate(run, *own, other="../x")
    with pytest.raises(ParameterError, match="seed=0"):
        plot_simulated_accuracy(run, 20, seed=0)
