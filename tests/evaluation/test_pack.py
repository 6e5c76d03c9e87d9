import json
import shutil
import zipfile

import h5py
import numpy as np
import pytest

from galclass import evaluate, load_pretrained, load_run, split, verify
from galclass.data.dataset import Dataset, Origin, write_data
from galclass.errors import RunError
from galclass.evaluation.metrics import compute_metrics
from galclass.evaluation.pack import pack
from galclass.network.probabilities import predict_proba


@pytest.fixture(scope="module")
def packed(measured, images_of_brightness, tmp_path_factory):
    """A packed run, with so few validation galaxies as the made-up images have."""
    folder = tmp_path_factory.mktemp("packed")
    data = Dataset(*images_of_brightness, Origin.of_arrays(*images_of_brightness))
    write_data(folder / "galaxies.h5", data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("galclass.evaluation.evaluate.FEWEST", 10)
        yield pack(measured, *images_of_brightness, out=folder / "run", note="Made up.")


def test_a_packed_run_is_small_and_holds_no_image(packed, measured):
    names = ["README.md", "history.csv", "manifest.json", "metrics.json", "model.keras"]
    assert sorted(path.name for path in packed.path.iterdir()) == [*names, "predictions.npz"]
    assert (packed.path / "model.keras").stat().st_size < 3.6e6
    with zipfile.ZipFile(packed.path / "model.keras") as archive:
        weights = h5py.File(archive.open("model.weights.h5"))
        assert weights["layers/dense/vars/0"].dtype == np.float16
        assert weights["layers/dense_2/vars/0"].dtype == np.float32
    assert packed.manifest["packed"] is True
    assert list(packed.manifest["weights_sha256"]) == ["model"]
    assert "Made up." in (packed.path / "README.md").read_text()
    before, after = (run.load_model().get_weights() for run in (measured, packed))
    for one, other in zip(before, after, strict=True):
        assert other.dtype == np.float32
        np.testing.assert_allclose(one, other, atol=1e-3)


def test_a_packed_run_is_measured_as_it_predicts(packed, images_of_brightness):
    images, labels = images_of_brightness
    test = split(labels).test
    raw = predict_proba(packed.load_model(), images, test, symmetric=True)
    np.testing.assert_allclose(packed.predictions["probabilities"], raw, atol=1e-6)
    assert packed.calibration.class_shift is not None
    found = compute_metrics(labels[test], packed.calibration.apply(raw))
    for name, value in found.items():
        assert packed.metrics[name] == value
    uncorrected = compute_metrics(labels[test], raw)
    assert packed.metrics["uncorrected"].items() <= uncorrected.items()
    assert packed.metrics["last_epoch"] is None
    assert evaluate(packed, images, labels) == packed.metrics
    assert not (packed.path / "mistakes.npz").exists()


def test_a_packed_run_is_verified_without_what_it_lacks(packed, tmp_path):
    data = packed.path.parent / "galaxies.h5"
    assert verify(packed, data) == []
    path = shutil.copytree(packed.path, tmp_path / "run")
    manifest = json.loads((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(json.dumps({**manifest, "packed": False}))
    assert any("packed: recorded False" in line for line in verify(path, data))


def test_packing_refuses_what_is_unfinished_or_would_be_lost(
    measured, images_of_brightness, tmp_path
):
    images, labels = images_of_brightness
    with pytest.raises(RunError, match="already exists"):
        pack(measured, images, labels, out=measured.path)
    with pytest.raises(RunError, match="not the run's"):
        pack(measured, images[:-5], labels[:-5], out=tmp_path / "out")
    path = shutil.copytree(measured.path, tmp_path / "run")
    manifest = {**measured.manifest, "status": "training"}
    (path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(RunError, match="not finished"):
        pack(path, images, labels, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_pretrained_network_is_a_packed_run_like_any_other():
    run = load_pretrained()
    assert load_run(run.path).manifest["packed"] is True
    assert run.origin.galaxies == sum(run.manifest["class_counts"])
    saved, calibration = run.predictions, run.calibration
    found = compute_metrics(saved["labels"], calibration.apply(saved["probabilities"]))
    assert found.items() <= run.metrics.items()


@pytest.mark.slow
def test_the_pretrained_network_is_what_its_galaxies_give(real_path):
    assert verify(load_pretrained(), real_path) == []
