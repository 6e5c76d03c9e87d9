import json
import os
import subprocess
import sys
from dataclasses import asdict, replace

import numpy as np
import pytest

from galclass import RECIPES, Recipe, load_run, train
from galclass.data.dataset import Origin
from galclass.data.split import split_record
from galclass.errors import ParameterError, RunError
from galclass.network._tensorflow import tf
from galclass.training import session as session_module
from galclass.training.session import Session


def _train(images_and_labels, out, **keywords):
    keywords = {"precision": "float32", "epochs": 1, "verbose": False, **keywords}
    return train(*images_and_labels, out=out, **keywords)


def _weights(run):
    return np.concatenate([w.ravel() for w in run.load_model().get_weights()])


def test_the_same_seed_gives_the_same_weights_and_history(images_of_brightness, trained, tmp_path):
    again = _train(images_of_brightness, tmp_path / "again", epochs=3, seed=np.int64(0))
    np.testing.assert_array_equal(_weights(again), _weights(trained))
    assert (again.path / "history.csv").read_bytes() == (trained.path / "history.csv").read_bytes()
    other = _train(images_of_brightness, tmp_path / "other", seed=1)
    assert not np.array_equal(_weights(other), _weights(trained))


def test_the_network_learns(images_of_brightness, tmp_path):
    quick = {"optimizer": "muon", "learning_rate": 0.01, "dropout": 0, "dense_dropout": 0}
    recipe = Recipe(epochs=5, batch_size=16, **quick)
    run = _train(images_of_brightness, tmp_path / "run", recipe=recipe, epochs=None)
    assert run.history["accuracy"][-1] > 0.4
    assert run.history["loss"][-1] < 0.6 * run.history["loss"][0]


def test_training_and_validation_report_one_loss_whatever_the_labels_smoothing(
    images_of_brightness, tmp_path
):
    images, labels = images_of_brightness
    still = Recipe(
        epochs=1, learning_rate=1e-12, dropout=0, dense_dropout=0, l2=0.01, label_smoothing=0.5
    )
    run = _train(images_of_brightness, tmp_path / "run", recipe=still)
    model = run.load_model()
    penalty = float(sum(model.losses))
    parts = run.split(images, labels)
    for column, part in (("loss", parts.train), ("val_loss", parts.validation)):
        chosen = model(images[part]).numpy()[np.arange(len(part)), labels[part]]
        expected = -np.log(chosen).mean() + penalty
        assert run.history[column][0] == pytest.approx(expected, rel=1e-4)


def test_the_manifest_shows_how_the_run_was_made_and_no_path(images_of_brightness, trained):
    manifest = trained.manifest
    assert manifest["status"] == "complete"
    assert manifest["recipe"] == asdict(replace(RECIPES["default"], epochs=3))
    assert manifest["precision"] == "float32"
    assert manifest["origin"] == asdict(Origin.of_arrays(*images_of_brightness))
    sizes = [manifest["split"][f"{part}_size"] for part in ("train", "validation", "test")]
    assert sizes == [69, 16, 15]
    assert manifest["class_counts"] == [10] * 10
    assert str(trained.path.parent) not in json.dumps(manifest)
    assert sorted(trained.examples["labels"]) == list(range(10))


def test_the_origin_that_is_given_is_kept_with_the_hash_of_these_galaxies(
    images_of_brightness, tmp_path
):
    given = Origin("simulated", "some of them", "0", 7, seed=3)
    run = train(*images_of_brightness, given, out=tmp_path / "run", epochs=1, verbose=False)
    known = Origin.of_arrays(*images_of_brightness)
    assert run.origin == replace(given, sha256=known.sha256, galaxies=100)
    with pytest.raises(ParameterError, match="origin="):
        train(*images_of_brightness, "SDSS", out=tmp_path / "none")


def test_the_best_validation_epoch_is_kept(trained):
    history = trained.history
    best = np.flatnonzero(history["val_accuracy"] == history["val_accuracy"].max())
    assert trained.manifest["best_epoch"] - 1 in best


def test_training_images_alone_are_augmented(images_of_brightness, tmp_path, monkeypatch):
    seen = []

    def spy(images, elements):
        seen.append(images)
        return images

    monkeypatch.setattr(session_module, "apply_symmetry", spy)
    run = _train(images_of_brightness, tmp_path / "run")
    images, labels = images_of_brightness
    given = {image.tobytes() for batch in seen for image in batch}
    assert given == {images[i].tobytes() for i in run.split(images, labels).train}


def test_a_run_is_never_overwritten_unasked(images_of_brightness, trained, tmp_path):
    before = (trained.path / "model.keras").read_bytes()
    with pytest.raises(RunError, match="not empty"):
        _train(images_of_brightness, trained.path)
    assert (trained.path / "model.keras").read_bytes() == before
    assert not (trained.path / ".lock").exists()


def test_overwriting_replaces_a_run_and_deletes_nothing_else(
    images_of_brightness, simulated_run, tmp_path
):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "thesis.txt").write_text("years of work")
    (tmp_path / "link").symlink_to(simulated_run)
    for name, words in (
        ("thesis", "no manifest.json"),
        ("thesis/thesis.txt", "is no folder"),
        ("link", "symbolic link"),
    ):
        with pytest.raises(RunError, match=words):
            _train(images_of_brightness, tmp_path / name, overwrite=True)
    assert [path.name for path in (tmp_path / "thesis").iterdir()] == ["thesis.txt"]
    assert load_run(simulated_run).manifest["status"] == "complete"
    first = _train(images_of_brightness, tmp_path / "run")
    (first.path / "figures").mkdir()
    (first.path / "figures" / "recall.png").touch()
    second = _train(images_of_brightness, tmp_path / "run", overwrite=True, seed=1)
    assert second.manifest["seed"] == 1
    assert not (second.path / "figures").exists()


def test_a_finished_run_is_returned_as_it_is(images_of_brightness, trained):
    again = _train(images_of_brightness, trained.path, epochs=3, resume=True)
    assert again.manifest == trained.manifest


def test_bfloat16_trains_and_its_weights_load_in_float32(images_of_brightness, tmp_path):
    recipe = replace(RECIPES["default"], epochs=2, warmup_epochs=0.5)
    run = _train(
        images_of_brightness, tmp_path / "run", recipe=recipe, epochs=2, precision="bfloat16"
    )
    model = load_run(run.path).load_model()
    assert {layer.compute_dtype for layer in model.layers} == {"float32"}
    assert np.isfinite(_weights(run)).all()
    assert np.isfinite(run.history["loss"]).all()


def test_a_float16_step_scales_its_loss(images_of_brightness):
    """Two images only: a CPU emulates float16 very slowly."""
    images, labels = images_of_brightness
    parts = split_record(labels, "stratified")[0]
    recipe = replace(RECIPES["default"], warmup_epochs=0)
    session = Session(recipe, {"l2": 0.0}, 0, "float16", parts, images, labels)
    before = [v.numpy() for v in session.model.trainable_variables]
    session.step(tf.constant(images[:2]), tf.constant(labels[:2], tf.int32))
    after = [v.numpy() for v in session.model.trainable_variables]
    assert type(session.optimizer).__name__ == "LossScaleOptimizer"
    assert all(np.isfinite(a).all() for a in after)
    assert not np.array_equal(before[0], after[0])


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_weights_do_not_depend_on_the_number_of_cores(
    images_of_brightness, tmp_path, precision
):
    if not hasattr(os, "sched_setaffinity") or len(os.sched_getaffinity(0)) < 2:
        pytest.skip("needs a system that can keep a process from its second core")
    np.savez(tmp_path / "data.npz", images=images_of_brightness[0], labels=images_of_brightness[1])
    program = """
import os, sys
import numpy as np
cores, out, precision, data = sys.argv[1:]
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(cores)])
import galclass
run = galclass.train(**np.load(data), out=out, epochs=2, precision=precision, verbose=False)
print(run.manifest["weights_sha256"], run.manifest["threads"])
"""
    printed = set()
    for cores in ("1", "2"):
        arguments = [cores, tmp_path / cores, precision, tmp_path / "data.npz"]
        command = [sys.executable, "-c", program, *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        printed.add(done.stdout)
    assert len(printed) == 1


def test_fine_tuning_starts_from_a_runs_weights_and_records_it(
    images_of_brightness, trained, tmp_path
):
    still = {"recipe": Recipe(epochs=1, learning_rate=1e-12)}
    tuned = _train(images_of_brightness, tmp_path / "tuned", **still, start=trained)
    np.testing.assert_allclose(_weights(tuned), _weights(trained), atol=1e-9)
    record = tuned.manifest["start"]
    assert record["weights_sha256"] == trained.manifest["weights_sha256"]["model"]
    assert record["origin"] == trained.manifest["origin"]
    assert trained.manifest["start"] is None
    with pytest.raises(RunError, match="started with start"):
        _train(images_of_brightness, tmp_path / "tuned", **still, resume=True)
    with pytest.raises(RunError, match="no run folder"):
        _train(images_of_brightness, tmp_path / "none", start=tmp_path / "nothing")
    assert not (tmp_path / "none").exists()


def test_who_watches_gets_the_history_of_each_epoch_also_after_an_interrupt(
    images_of_brightness, tmp_path, capsys
):
    seen = []

    def watch(rows):
        seen.append([row["epoch"] for row in rows])
        if seen == [[1], [1, 2]]:
            raise KeyboardInterrupt

    settings = {"recipe": Recipe(epochs=3), "epochs": None, "on_epoch": watch}
    with pytest.raises(KeyboardInterrupt):
        _train(images_of_brightness, tmp_path / "run", **settings)
    assert "Stopped after 2 of 3 epochs" in capsys.readouterr().err
    _train(images_of_brightness, tmp_path / "run", **settings, resume=True)
    assert seen == [[1], [1, 2], [1, 2, 3]]


def test_an_interrupt_names_the_epoch_that_is_saved_not_the_one_that_was_computed(
    images_of_brightness, tmp_path, capsys, monkeypatch
):
    def save(session, out, save=Session.save):
        if len(session.rows) == 2:
            raise KeyboardInterrupt
        save(session, out)

    monkeypatch.setattr(Session, "save", save)
    with pytest.raises(KeyboardInterrupt):
        _train(images_of_brightness, tmp_path / "run", recipe=Recipe(epochs=3), epochs=None)
    assert "Stopped after 1 of 3 epochs" in capsys.readouterr().err


def _interrupt(rows):
    raise KeyboardInterrupt


@pytest.mark.parametrize("watch", [None, _interrupt])
def test_tensorflow_is_left_as_it_was_found(images_of_brightness, tmp_path, watch):
    settings = {"recipe": Recipe(epochs=1, batch_size=128), "on_epoch": watch}
    try:
        _train(images_of_brightness, tmp_path / "run", **settings)
    except KeyboardInterrupt:
        assert watch is not None
    assert tf.random.normal((2,)).shape == (2,)  # An error where operations are deterministic.


def test_deterministic_operations_that_were_asked_for_stay(images_of_brightness, tmp_path):
    from tensorflow.python.framework import config

    config.enable_op_determinism()
    try:
        _train(images_of_brightness, tmp_path / "run", recipe=Recipe(epochs=1, batch_size=128))
        assert config.is_op_determinism_enabled()
    finally:
        config.disable_op_determinism()
