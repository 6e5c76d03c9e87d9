"""Fine-tuning never tests a network on galaxies that it has seen without saying so."""

from dataclasses import replace

import numpy as np
import pytest

from galclass import CLASS_NAMES, Recipe, seen_by, train
from galclass.data.dataset import Dataset, Origin
from galclass.data.split import split
from galclass.errors import DataError, ParameterError, RunError
from galclass.network.symmetry import apply_symmetry, hash_images
from galclass.network.weights import get_weights
from galclass.run import Run
from galclass.training.start import is_independent, read_start


@pytest.fixture
def dataset(images_of_brightness, trained):
    """The galaxies of the trained run."""
    return Dataset(*images_of_brightness, trained.origin)


def start_from(run, dataset):
    return read_start(run, dataset, split(dataset.labels))


def make_other(dataset, **changes):
    """Return galaxies with other pixels and another origin."""
    images = dataset.images + 1
    origin = Origin.of_arrays(images, dataset.labels, dataset.origin.class_names)
    return Dataset(images, dataset.labels, replace(origin, **changes))


def test_galaxies_of_training_and_validation_are_found_in_any_orientation(trained, dataset):
    expected = ~np.isin(np.arange(100), split(dataset.labels).test)
    elements = np.random.default_rng(0).integers(8, size=100)
    for images in (dataset.images, apply_symmetry(dataset.images, elements)):
        np.testing.assert_array_equal(seen_by(trained, images), expected)
    assert not seen_by(trained.path, dataset.images + 1).any()
    with pytest.raises(DataError, match=r"expected \(N, 40, 40, 3\)"):
        seen_by(trained, dataset.images[:, :36, :36])


def test_run_that_has_seen_test_galaxies_is_refused(trained, dataset, tmp_path):
    with pytest.raises(RunError, match=r"trained on \d+ of the 20 test galaxies.*'stratified'"):
        train(*dataset, out=tmp_path / "new", start=trained, split="published")
    assert not (tmp_path / "new").exists()


def test_same_split_of_the_same_galaxies_is_independent(trained, dataset):
    start = start_from(trained, dataset)
    assert start.record["independent"] is True
    for key in ("recipe_name", "seed", "origin", "split", "start", "weights_sha256"):
        assert start.record[key] == trained.manifest[key]
    np.testing.assert_equal(start.weights, get_weights(trained.load_model()))
    np.testing.assert_array_equal(start.seen, trained.seen)


def test_simulated_galaxies_are_independent_and_all_that_was_seen_is_remembered(trained, dataset):
    other = make_other(dataset, kind="simulated")
    start = start_from(trained, other)
    assert start.record["independent"] is True
    parts = split(dataset.labels)
    used = hash_images(other.images[np.concatenate([parts.train, parts.validation])])
    np.testing.assert_array_equal(start.seen, np.union1d(used, trained.seen))


def test_real_galaxies_of_another_file_give_a_warning(trained, dataset):
    other = make_other(dataset, kind="file", name="mine.h5")
    with pytest.warns(UserWarning, match=r"mine.h5 may hold .*not known .* is independent"):
        start = start_from(trained, other)
    assert start.record["independent"] is None


def test_independence_is_decided_from_the_recorded_origins(tmp_path, dataset):
    real = replace(dataset.origin, kind="file", sha256="a")
    renamed = replace(real, title="Renamed", name="renamed.h5")
    other = replace(real, sha256="b")
    simulated = replace(other, kind="simulated")
    run = Run(tmp_path)
    manifest = {"recipe": {}, "split": {}, "network": {}, "start": None}
    run.write_manifest({**manifest, "origin": real.record()})
    assert is_independent(run, renamed) is True
    assert is_independent(run, simulated) is True
    assert is_independent(run, other) is None
    start = {"origin": real.record(), "start": None}
    run.write_manifest({**manifest, "origin": simulated.record(), "start": start})
    assert is_independent(run, renamed) is True
    assert is_independent(run, other) is None


def test_output_layer_is_new_for_other_classes_of_the_same_number(trained, dataset):
    origin = replace(dataset.origin, class_names=CLASS_NAMES[::-1])
    weights = start_from(trained, dataset._replace(origin=origin)).weights
    missing = set(get_weights(trained.load_model())) - set(weights)
    assert missing == {"classes/kernel", "classes/bias"}


def test_pretrained_networks_can_be_named(dataset):
    start = start_from("simulated", dataset)
    assert start.record["origin"]["kind"] == "simulated"
    assert start.record["independent"] is True
    with pytest.warns(UserWarning, match="not known"):
        assert start_from("pretrained", dataset).record["independent"] is None


@pytest.mark.slow
def test_fine_tuned_run_has_the_weights_of_its_start_and_records_it(trained, dataset, tmp_path):
    still = Recipe(epochs=1, learning_rate=1e-12, dropout=0, dense_dropout=0)
    settings = {"recipe": still, "precision": "float32", "verbose": False}
    tuned = train(*dataset, out=tmp_path / "tuned", start=trained, **settings)
    weights = get_weights(tuned.load_model())
    for name, array in get_weights(trained.load_model()).items():
        np.testing.assert_allclose(weights[name], array, atol=1e-9)
    assert tuned.manifest["start"] == start_from(trained, dataset).record
    assert start_from(tuned, dataset).record["start"] == tuned.manifest["start"]
    with pytest.raises(RunError, match="resume: the run was started with start "):
        train(*dataset, out=tuned.path, resume=True, **settings)


def test_start_is_a_finished_run_in_another_folder(trained, dataset, tmp_path):
    run = Run(tmp_path / "run")
    run.write_manifest({**trained.manifest, "status": "training"})
    with pytest.raises(ParameterError, match="out and start are both"):
        train(*dataset, out=run.path, start=run, overwrite=True)
    with pytest.raises(RunError, match=r"is unfinished.*resume it first"):
        start_from(run, dataset)
    assert run.manifest["status"] == "training"
