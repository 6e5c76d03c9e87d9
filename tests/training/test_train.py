import json
import os
import subprocess
import sys
from dataclasses import asdict, replace
from functools import partial

import numpy as np
import pytest
from tensorflow.python.framework import config

from galclass import RECIPES, Recipe, load_run, train
from galclass.data.dataset import Origin
from galclass.data.split import split_record
from galclass.errors import RunError
from galclass.network._tensorflow import tf
from galclass.network.hardware import choose_precision
from galclass.run import best_epoch
from galclass.training import session as session_module
from galclass.training import train as training
from galclass.training.session import Session

STILL = Recipe(epochs=1, learning_rate=1e-12, dropout=0, dense_dropout=0)


@pytest.fixture
def learn(images_of_brightness, tmp_path):
    """Train for an epoch, unless said otherwise."""

    def run(out="run", **keywords):
        keywords = {"precision": "float32", "epochs": 1, "verbose": False, **keywords}
        return train(*images_of_brightness, out=tmp_path / out, **keywords)

    return run


def _weights(run):
    return np.concatenate([w.ravel() for w in run.load_model().get_weights()])


def _interrupt(*_, **__):
    raise KeyboardInterrupt


def test_the_same_seed_gives_the_same_weights_and_history(learn, trained):
    again = learn(epochs=3, seed=np.int64(0))
    np.testing.assert_array_equal(_weights(again), _weights(trained))
    assert (again.path / "history.csv").read_bytes() == (trained.path / "history.csv").read_bytes()


@pytest.mark.slow
def test_the_network_learns(learn):
    quick = {"optimizer": "muon", "learning_rate": 0.01, "dropout": 0, "dense_dropout": 0}
    history = learn(recipe=Recipe(epochs=5, batch_size=16, **quick), epochs=5).history
    assert history["accuracy"][-1] > 0.4
    assert history["loss"][-1] < 0.6 * history["loss"][0]


@pytest.mark.slow
def test_training_and_validation_report_one_loss_whatever_the_labels_smoothing(
    images_of_brightness, learn
):
    images, labels = images_of_brightness
    run = learn(recipe=replace(STILL, l2=0.01, label_smoothing=0.5))
    model, parts = run.load_model(), run.split(images, labels)
    for column, part in (("loss", parts.train), ("val_loss", parts.validation)):
        chosen = model(images[part]).numpy()[np.arange(len(part)), labels[part]]
        expected = float(-np.log(chosen).mean() + sum(model.losses))
        assert run.history[column][0] == pytest.approx(expected, rel=1e-4)


def test_the_manifest_shows_how_the_run_was_made_and_no_path(images_of_brightness, trained):
    manifest = trained.manifest
    expected = {
        "status": "complete",
        "recipe": asdict(replace(RECIPES["default"], epochs=3)),
        "precision": "float32",
        "origin": Origin.of_arrays(*images_of_brightness).record(),
        "class_counts": [10] * 10,
        "start": None,
        "best_epoch": best_epoch(trained.history),
    }
    assert expected.items() <= manifest.items()
    assert [manifest["split"][f"{x}_size"] for x in ("train", "validation", "test")] == [69, 16, 15]
    assert str(trained.path.parent) not in json.dumps(manifest)
    assert sorted(trained.examples["labels"]) == list(range(10))


@pytest.mark.slow
def test_training_images_alone_are_augmented_and_the_origin_given_is_kept(
    images_of_brightness, learn, trained, monkeypatch
):
    seen = []
    monkeypatch.setattr(
        session_module, "apply_symmetry", lambda images, _: seen.extend(images) or images
    )
    given = Origin("simulated", "some of them", "0", 7, seed=3)
    run, known = learn(origin=given, seed=1), Origin.of_arrays(*images_of_brightness)
    expected = images_of_brightness[0][run.split(*images_of_brightness).train]
    assert {image.tobytes() for image in seen} == {image.tobytes() for image in expected}
    assert run.origin == replace(given, sha256=known.sha256, galaxies=100)
    assert not np.array_equal(_weights(run), _weights(trained))


def test_a_finished_run_is_neither_overwritten_unasked_nor_trained_again(learn, trained):
    before = (trained.path / "model.keras").read_bytes()
    with pytest.raises(RunError, match="not empty"):
        learn(trained.path)
    assert learn(trained.path, epochs=3, resume=True).manifest == trained.manifest
    assert (trained.path / "model.keras").read_bytes() == before
    assert not (trained.path / ".lock").exists()


def test_overwriting_replaces_a_run_but_not_through_a_link(learn, simulated_run, tmp_path):
    (tmp_path / "link").symlink_to(simulated_run)
    with pytest.raises(RunError, match="link"):
        learn("link", overwrite=True)
    assert load_run(simulated_run).manifest["status"] == "complete"
    (tmp_path / "run" / "figures").mkdir(parents=True)
    (tmp_path / "run" / "figures" / "recall.png").touch()
    (tmp_path / "run" / "manifest.json").write_text(json.dumps(load_run(simulated_run).manifest))
    run = learn(overwrite=True, seed=1)
    assert run.manifest["seed"] == 1
    assert not (run.path / "figures").exists()


@pytest.mark.slow
def test_bfloat16_trains_and_its_weights_load_in_float32(learn):
    run = learn(recipe="default", epochs=2, precision="bfloat16")
    assert {layer.compute_dtype for layer in run.load_model().layers} == {"float32"}
    assert np.isfinite([*_weights(run), *run.history["loss"]]).all()


def test_a_float16_step_scales_its_loss(images_of_brightness):
    """Two images only: a CPU emulates float16 very slowly."""
    images, labels = images_of_brightness
    recipe = replace(RECIPES["default"], warmup_epochs=0)
    parts = split_record(labels, "stratified")[0]
    session = Session(
        recipe, {"l2": 0.0, "input_shape": (40, 40, 3)}, 0, "float16", parts, images, labels
    )
    before = session.model.get_weights()
    session.step(tf.constant(images[:2]), tf.constant(labels[:2], tf.int32))
    after = session.model.get_weights()
    assert type(session.optimizer).__name__ == "LossScaleOptimizer"
    assert all(np.isfinite(a).all() for a in after)
    assert not np.array_equal(before[0], after[0])


PROGRAM = """
import os, sys
import numpy as np
cores, precision = sys.argv[1:]
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(cores)])
import galclass
run = galclass.train(**np.load("data.npz"), out=cores, epochs=2, precision=precision, verbose=False)
print(run.manifest["weights_sha256"], run.manifest["threads"])
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="not every system has it")
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_weights_do_not_depend_on_the_number_of_cores(
    images_of_brightness, tmp_path, precision
):
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("there is one core only")
    if precision == "bfloat16" != choose_precision():
        pytest.skip("this processor computes in bfloat16 slowly: nobody trains in it here")
    images, labels = images_of_brightness
    np.savez(tmp_path / "data.npz", images=images, labels=labels)
    run = partial(subprocess.check_output, cwd=tmp_path)
    command = [sys.executable, "-c", PROGRAM]
    assert run([*command, "1", precision]) == run([*command, "2", precision])


def test_fine_tuning_starts_from_a_runs_weights_and_records_it(learn, trained):
    tuned = learn(recipe=STILL, start=trained)
    np.testing.assert_allclose(_weights(tuned), _weights(trained), atol=1e-9)
    record = tuned.manifest["start"]
    assert record["weights_sha256"] == trained.manifest["weights_sha256"]["model"]
    assert record["origin"] == trained.manifest["origin"]
    with pytest.raises(RunError, match="start "):
        learn(recipe=STILL, resume=True)


@pytest.mark.slow
def test_the_last_layer_is_new_for_other_classes_of_the_same_number(learn, trained):
    tuned = learn(recipe=STILL, start=trained, class_names=[f"kind {c}" for c in range(10)])
    before, after = (run.load_model().layers for run in (trained, tuned))
    for old, new in zip(before, after, strict=True):
        if old.get_weights():
            same = np.allclose(old.get_weights()[0], new.get_weights()[0], atol=1e-9)
            assert same == (old.name != "classes")


@pytest.mark.slow
def test_an_interrupt_names_the_epoch_that_is_saved_and_who_watches_gets_the_whole_history(
    learn, capsys, monkeypatch
):
    seen = []

    def save(session, out, save=Session.save):
        (_interrupt if len(session.rows) == 2 else save)(session, out)

    def watch(rows):
        seen.append([row["epoch"] for row in rows])
        if seen == [[1], [1, 2]]:
            raise KeyboardInterrupt

    for number, patched in ((1, save), (2, Session.save)):
        monkeypatch.setattr(Session, "save", patched)
        with pytest.raises(KeyboardInterrupt):
            learn(recipe=Recipe(epochs=3), epochs=3, on_epoch=watch, resume=True)
        assert f"{number} of 3 epochs" in capsys.readouterr().err
    learn(recipe=Recipe(epochs=3), epochs=3, on_epoch=watch, resume=True)
    assert seen == [[1], [1, 2], [1, 2, 3]]


@pytest.mark.parametrize("deterministic", [False, True])
def test_tensorflow_is_left_as_it_was_found(learn, trained, monkeypatch, deterministic):
    monkeypatch.setattr(training, "_write_examples", _interrupt)
    assert tf.random.normal((2,)).shape == (2,)  # An error where operations are deterministic.
    try:
        if deterministic:
            config.enable_op_determinism()
        with pytest.raises(KeyboardInterrupt):
            learn()
        assert config.is_op_determinism_enabled() == deterministic
    finally:
        config.disable_op_determinism()
