"""The pretrained networks are runs like any other, which were made small."""

import importlib.util
import sys
import zipfile

import numpy as np
import pytest

from galclass import load_data, load_pretrained, load_run, predict, split, verify
from galclass.errors import RunError
from galclass.evaluation.calibration import calibration_of
from galclass.evaluation.metrics import HEADLINE, compute_metrics
from galclass.network._tensorflow import keras
from galclass.network.weights import get_weights

MINIMUM = "galclass.evaluation.calibration.MIN_VALIDATION_GALAXIES"


@pytest.fixture(scope="module")
def make_pretrained(request):
    """Return the script as a function of its arguments."""
    path = request.config.rootpath / "benchmarks" / "make_pretrained.py"
    spec = importlib.util.spec_from_file_location("make_pretrained", path)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)

    def run(*arguments):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["make_pretrained.py", *map(str, arguments)])
            script.main()

    return run


@pytest.fixture(scope="module")
def small(make_pretrained, measured, measured_data, tmp_path_factory):
    """A small run, whose class fractions are corrected."""
    out = tmp_path_factory.mktemp("small") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MINIMUM, 10)
        options = ("--class-mix", "galaxy10", "--note", "Made up.")
        make_pretrained(measured.path, "--data", measured_data, "--out", out, *options)
    return load_run(out)


def test_small_run_has_rounded_weights_and_no_images(small, measured):
    names = {path.name for path in small.path.iterdir()}
    removed = {"examples.npz", "mistakes.npz"}
    assert names == {path.name for path in measured.path.iterdir()} - removed
    rounded = get_weights(small.load_model())
    for name, array in get_weights(measured.load_model()).items():
        if array.size > 1000:
            array = array.astype(np.float16)
        np.testing.assert_array_equal(rounded[name], array)
    changed = {"weights_sha256", "weights_precision", "note"}
    manifest = measured.manifest
    for key, value in small.manifest.items():
        assert (key in changed) == (value != manifest.get(key))
    card = (small.path / "README.md").read_text()
    assert "Made up." in card
    assert "rounded to half precision" in card


def test_small_run_is_compressed_and_keras_can_load_it(small, measured):
    path = small.path / "model.keras"
    assert path.stat().st_size < 0.7 * (measured.path / "model.keras").stat().st_size
    with zipfile.ZipFile(path) as archive:
        assert {member.compress_type for member in archive.infolist()} == {zipfile.ZIP_DEFLATED}
    loaded = keras.models.load_model(path)
    np.testing.assert_equal(loaded.get_weights(), small.load_model().get_weights())


@pytest.mark.slow
def test_small_run_is_evaluated_with_the_correction_and_can_be_verified(
    small, measured_data, monkeypatch
):
    monkeypatch.setattr(MINIMUM, 10)
    assert calibration_of(small).class_mix == "galaxy10"
    assert verify(small, measured_data) == []


def test_other_galaxies_and_existing_folders_are_refused(
    make_pretrained, measured, measured_data, simulated_run, tmp_path
):
    other = simulated_run.parent / "Galaxy10.h5"
    for words, data, out in (
        ("exists", measured_data, tmp_path),
        ("give the same galaxies", other, tmp_path / "new"),
    ):
        with pytest.raises(RunError, match=words):
            make_pretrained(measured.path, "--data", data, "--out", out)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["galaxy10", "simulated"])
def test_pretrained_network_is_small_and_consistent(name):
    run = load_pretrained(name)
    assert run.origin.galaxies == sum(run.manifest["class_counts"])
    assert (run.path / "model.keras").stat().st_size < 4.5e6
    predictions = run.predictions
    probabilities = calibration_of(run).apply(predictions["probabilities"])
    expected = compute_metrics(predictions["labels"], probabilities, run.class_names)
    metrics = run.metrics
    for key in (
        HEADLINE.keys() & metrics.keys()
    ):  # Metrics that are newer than the run are left out.
        assert metrics[key] == pytest.approx(expected[key])
    assert metrics["confusion_matrix"] == expected["confusion_matrix"]
    run.load_model()  # An error if its weights are not those of the manifest.


@pytest.mark.slow
def test_pretrained_network_predicts_its_galaxies_as_its_files_say(real_path):
    run = load_pretrained()
    assert verify(run, real_path) == []
    images, labels, _ = load_data(real_path)
    table = predict(images[split(labels).test[:200]], run=run, precision="float32")
    found = np.stack([table[f"p{c}"] for c in range(10)], axis=1)
    expected = calibration_of(run).apply(run.predictions["probabilities"][:200])
    np.testing.assert_allclose(found, expected, atol=1e-3)
