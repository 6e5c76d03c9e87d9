import json

import numpy as np
import pytest

from galclass import evaluate, load_pretrained, predict, split, verify
from galclass.errors import RunError
from galclass.evaluation.metrics import compute_metrics
from galclass.evaluation.pack import pack
from galclass.network.probabilities import predict_proba
from galclass.network.symmetry import hash_images


@pytest.fixture(scope="module")
def packed(measured, images_of_brightness, tmp_path_factory):
    """A packed run, with so few validation galaxies as the made-up images have."""
    out = tmp_path_factory.mktemp("packed") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("galclass.evaluation.evaluate.FEWEST", 10)
        yield pack(measured, *images_of_brightness, out=out, note="Made up.")


def test_a_packed_run_is_small_and_holds_no_image(packed, measured):
    names = ["README.md", "history.csv", "manifest.json", "metrics.json", "model.keras"]
    names += ["predictions.npz", "seen.npz", "usual.npz", "validation.npz"]
    assert sorted(path.name for path in packed.path.iterdir()) == names
    assert (packed.path / "model.keras").stat().st_size < 3.6e6
    assert packed.manifest["packed"] is True
    assert list(packed.manifest["weights_sha256"]) == ["model"]
    assert "Made up." in (packed.path / "README.md").read_text()
    before, after = (run.load_model().get_weights() for run in (measured, packed))
    for one, other in zip(before, after, strict=True):
        rounded = one.astype(np.float16) if one.size > 1000 else one
        np.testing.assert_array_equal(rounded, other)


@pytest.mark.slow
def test_a_packed_run_is_measured_as_it_predicts_and_verified_without_what_it_lacks(
    packed, images_of_brightness, measured_data
):
    images, labels = images_of_brightness
    test, metrics, calibration = split(labels).test, packed.metrics, packed.calibration
    raw = predict_proba(packed.load_model(), images, test, symmetric="unsure")
    np.testing.assert_allclose(packed.predictions["probabilities"], raw, atol=1e-6)
    assert calibration.class_shift is not None
    assert compute_metrics(labels[test], calibration.apply(raw)).items() <= metrics.items()
    assert metrics["uncorrected"].items() <= compute_metrics(labels[test], raw).items()
    assert metrics["last_epoch"] is None
    assert evaluate(packed, images, labels) == metrics
    assert verify(packed, measured_data) == []
    packed.manifest["packed"] = False
    assert any("packed" in line for line in verify(packed, measured_data))


def test_packing_refuses_what_is_unfinished_or_would_be_lost(
    copied, images_of_brightness, tmp_path
):
    images, labels = images_of_brightness
    out = tmp_path / "out"
    with pytest.raises(RunError, match="exists"):
        pack(copied, images, labels, out=copied.path)
    with pytest.raises(RunError, match="not the run's"):
        pack(copied, images[:-5], labels[:-5], out=out)
    (copied.path / "manifest.json").write_text(json.dumps(copied.manifest | {"status": "training"}))
    with pytest.raises(RunError, match="unfinished"):
        pack(copied.path, images, labels, out=out)
    assert not out.exists()


def test_the_pretrained_network_is_a_packed_run_like_any_other():
    run = load_pretrained()
    assert run.manifest["packed"] is True
    assert run.origin.galaxies == sum(run.manifest["class_counts"])
    saved, calibration = run.predictions, run.calibration
    found = compute_metrics(saved["labels"], calibration.apply(saved["probabilities"]))
    assert found.items() <= run.metrics.items()


@pytest.mark.slow
def test_the_pretrained_network_is_what_its_galaxies_give(real_path):
    run = load_pretrained()
    images, labels, _ = run.load_data(real_path)
    parts, saved = run.split(images, labels), run.predictions
    np.testing.assert_array_equal(saved["indices"], parts.test)
    np.testing.assert_array_equal(saved["labels"], labels[parts.test])
    known = np.concatenate([parts.train, parts.validation])
    assert np.isin(hash_images(images[known]), run.seen).all()
    table = predict(images[parts.test[:200]], run=run, precision="float32")
    found = np.stack([table[f"p{c}"] for c in range(10)], axis=1)
    expected = run.calibration.apply(saved["probabilities"][:200])
    np.testing.assert_allclose(found, expected, atol=1e-3)
