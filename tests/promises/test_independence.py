"""No figure of a test is given for galaxies that the network knows, without a word."""

import json

import numpy as np
import pytest

from galclass import evaluate, load_data, load_run, train
from galclass.data.dataset import Origin
from galclass.errors import ParameterError, RunError
from galclass.figures.results import plot_simulated_accuracy
from galclass.network.calibration import Calibration
from galclass.network.symmetry import hash_images

QUICK = {"epochs": 1, "precision": "float32", "verbose": False}


def test_a_start_that_was_trained_on_test_galaxies_is_refused(
    copied, images_of_brightness, tmp_path
):
    with pytest.raises(RunError, match=r"of the 20 test galaxies.*'stratified'"):
        train(*images_of_brightness, out=tmp_path / "new", start=copied, split="published", **QUICK)
    assert not (tmp_path / "new").exists()


@pytest.mark.slow
def test_a_start_on_the_same_split_or_other_galaxies_is_recorded_as_independent(
    copied, images_of_brightness, tmp_path, recwarn
):
    tuned = train(*images_of_brightness, out=tmp_path / "a", start=copied, **QUICK)
    other = images_of_brightness[0] + 1, images_of_brightness[1]
    again = train(*other, out=tmp_path / "b", start=tuned, **QUICK)
    record = again.manifest["start"]
    assert record["independent"]
    assert record["split"] == tuned.manifest["split"]
    assert record["start"]["weights_sha256"] == copied.manifest["weights_sha256"]["model"]
    assert set(copied.seen) | set(hash_images(other[0])) >= set(again.seen) >= set(copied.seen)
    assert not [one for one in recwarn if "independent" in str(one.message)]


@pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")
@pytest.mark.parametrize("kind", ["galaxy10", "arrays"])
@pytest.mark.slow
def test_remade_pixels_of_galaxy10_are_said_not_to_be_independent(
    copied, images_of_brightness, tmp_path, kind
):
    manifest = json.loads((copied.path / "manifest.json").read_text())
    manifest["origin"]["name"] = "Galaxy10_subset.h5"
    (copied.path / "manifest.json").write_text(json.dumps(manifest))
    remade, labels = images_of_brightness[0] ^ 1, images_of_brightness[1]
    origin = Origin("galaxy10", "Galaxy10.h5", "", 100) if kind == "galaxy10" else None
    with pytest.warns(UserWarning, match="not independent"):
        tuned = train(remade, labels, origin, out=tmp_path / "new", start=copied.path, **QUICK)
    evaluate(tuned, remade, labels)
    assert tuned.manifest["start"]["independent"] is False
    assert "not independent" in (tuned.path / "README.md").read_text()
    with pytest.warns(UserWarning, match="not independent"):
        found = evaluate(copied.path, remade, labels, origin, other="remade")
    assert found["independent"] is False


def test_other_galaxies_are_measured_beside_as_predict_classifies_them(copied, tmp_path):
    before = {path: path.read_bytes() for path in copied.path.rglob("*") if path.is_file()}
    other = load_data("simulated", n=40, seed=3)
    metrics = evaluate(copied, other.images[:, :40, :40], *other[1:], other="new")
    assert all(path.read_bytes() == content for path, content in before.items())
    assert json.loads((copied.path / "others" / "new.json").read_text()) == metrics
    assert metrics["galaxies"] == 40
    assert metrics["origin"]["seed"] == 3
    saved = np.load(copied.path / "others" / "new.npz")
    calibrated = Calibration.from_record(copied.metrics["calibration"])
    assert calibrated == copied.calibration
    np.testing.assert_allclose(saved["probabilities"].sum(axis=1), 1, atol=1e-6)
    assert metrics["accuracy"] == np.mean(saved["probabilities"].argmax(axis=1) == other.labels)


def test_galaxies_of_the_training_are_no_other_galaxies(copied, images_of_brightness):
    with pytest.raises(RunError, match=r"85 of these 100"):
        evaluate(copied, *images_of_brightness, other="new")
    images, labels = images_of_brightness
    test = copied.split(images, labels).test
    assert evaluate(copied, images[test], labels[test], other="t")["galaxies"] == 15
    with pytest.raises(ParameterError, match=r"other='\.\./x'"):
        evaluate(copied, *images_of_brightness, other="../x")


def test_simulated_accuracy_is_never_of_galaxies_of_the_training(simulated_run):
    with pytest.raises(ParameterError, match="seed=0"):
        plot_simulated_accuracy(load_run(simulated_run), 20, seed=0)
