import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from galclass import RECIPES, Recipe, load_run, train, training
from galclass._tensorflow import tf
from galclass.runs import RunError
from galclass.training import best_epoch


def _weights(run, which="model"):
    return np.concatenate([w.ravel() for w in run.load_model(which).get_weights()])


def test_the_published_recipe_is_the_published_notebooks():
    assert RECIPES["published"] == Recipe(epochs=200, batch_size=64, learning_rate=0.001, l2=0.001)


def test_the_same_seed_gives_the_same_weights_and_history(pictures, trained, tmp_path):
    again = train(*pictures, out=tmp_path / "again", epochs=3, precision="float32", verbose=False)
    np.testing.assert_array_equal(_weights(again), _weights(trained))
    assert (again.path / "history.csv").read_bytes() == (trained.path / "history.csv").read_bytes()
    other = train(
        *pictures, out=tmp_path / "other", epochs=1, seed=1, precision="float32", verbose=False
    )
    assert not np.array_equal(_weights(other), _weights(trained))


def test_the_network_learns(pictures, tmp_path):
    recipe = Recipe(epochs=25, learning_rate=0.001, batch_size=16)
    run = train(*pictures, out=tmp_path / "run", recipe=recipe, verbose=False)
    assert run.history["accuracy"][-1] > 0.5
    assert run.history["loss"][-1] < 0.7 * run.history["loss"][0]


def test_the_manifest_says_how_the_run_was_made_and_where_nothing_lies(pictures, trained):
    manifest = trained.manifest
    assert manifest["status"] == "complete"
    assert manifest["recipe"]["epochs"] == 3
    assert manifest["precision"] == "float32"
    assert manifest["source"]["kind"] == "arrays"
    sizes = [manifest["split"][f"{part}_size"] for part in ("train", "validation", "test")]
    assert sizes == [69, 16, 15]
    assert manifest["class_counts"] == [10] * 10
    assert str(trained.path.parent) not in json.dumps(manifest)


def test_the_best_validation_epoch_is_kept(trained):
    history = trained.history
    best = np.flatnonzero(history["val_accuracy"] == history["val_accuracy"].max())
    assert trained.manifest["best_epoch"] - 1 in best
    rows = [
        {"epoch": 1, "val_accuracy": 0.5, "val_loss": 1.0},
        {"epoch": 2, "val_accuracy": 0.6, "val_loss": 0.9},
        {"epoch": 3, "val_accuracy": 0.6, "val_loss": 0.8},
        {"epoch": 4, "val_accuracy": 0.4, "val_loss": 0.1},
    ]
    assert best_epoch(rows) == 3


def test_validation_and_test_pictures_are_never_augmented(pictures, tmp_path, monkeypatch):
    seen = []

    def spy(images, rng, **kwargs):
        seen.append(np.array(images))
        return images

    monkeypatch.setattr(training, "augment", spy)
    run = train(*pictures, out=tmp_path / "run", epochs=1, verbose=False)
    parts = training.describe_split(pictures[1], "stratified")[0]
    handed = {image.tobytes() for batch in seen for image in batch}
    assert handed == {pictures[0][i].tobytes() for i in parts.train}
    assert run.manifest["status"] == "complete"


def test_a_run_is_never_overwritten_unasked(pictures, trained, tmp_path):
    before = (trained.path / "model.keras").read_bytes()
    with pytest.raises(RunError, match="not empty"):
        train(*pictures, out=trained.path, epochs=1, verbose=False)
    assert (trained.path / "model.keras").read_bytes() == before
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(RunError, match="manifest"):
        train(*pictures, out=tmp_path, epochs=1, overwrite=True, verbose=False)
    assert (tmp_path / "thesis.txt").exists()


def test_a_finished_run_is_returned_as_it_is(pictures, trained):
    again = train(*pictures, out=trained.path, epochs=3, resume=True, verbose=False)
    assert again.manifest == trained.manifest


def test_training_stops_when_patience_runs_out(pictures, tmp_path):
    recipe = Recipe(epochs=30, learning_rate=1e-9, patience=2)
    run = train(*pictures, out=tmp_path / "run", recipe=recipe, verbose=False)
    assert run.manifest["epochs"] < 30
    assert run.manifest["epochs"] == run.manifest["best_epoch"] + 2


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_every_precision_trains_and_its_weights_load_in_float32(pictures, tmp_path, precision):
    recipe = replace(RECIPES["default"], epochs=2, warmup_epochs=0.5)
    run = train(*pictures, out=tmp_path / "run", recipe=recipe, precision=precision, verbose=False)
    model = load_run(run.path).load_model()
    assert {layer.compute_dtype for layer in model.layers} == {"float32"}
    assert np.isfinite(_weights(run)).all()
    assert np.isfinite(run.history["loss"]).all()


def test_a_float16_step_scales_its_loss(pictures):
    """Two pictures only: a CPU emulates float16 very slowly."""
    parts = training.describe_split(pictures[1], "stratified")[0]
    recipe = replace(RECIPES["default"], warmup_epochs=0)
    session = training._Session(recipe, {"l2": 0.0}, 0, "float16", parts, *pictures)
    before = [v.numpy() for v in session.model.trainable_variables]
    session.step(tf.constant(pictures[0][:2]), tf.constant(pictures[1][:2], tf.int32))
    after = [v.numpy() for v in session.model.trainable_variables]
    assert type(session.optimizer).__name__ == "LossScaleOptimizer"
    assert all(np.isfinite(a).all() for a in after)
    assert not np.array_equal(before[0], after[0])


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_weights_do_not_depend_on_the_number_of_cores(pictures, tmp_path, precision):
    if not hasattr(os, "sched_setaffinity") or len(os.sched_getaffinity(0)) < 2:
        pytest.skip("needs a system that can keep a process from its second core")
    np.savez(tmp_path / "pictures.npz", images=pictures[0], labels=pictures[1])
    program = """
import os, sys
import numpy as np
cores, out, precision, data = sys.argv[1:]
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(cores)])
import galclass
data = np.load(data)
run = galclass.train(
    data["images"], data["labels"], out=out, epochs=2, precision=precision, verbose=False
)
print(run.manifest["weights_sha256"], run.manifest["threads"])
"""
    printed = set()
    for cores in (1, 2):
        arguments = [str(cores), tmp_path / f"{cores}", precision, tmp_path / "pictures.npz"]
        command = [sys.executable, "-c", program, *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        printed.add(done.stdout)
    assert len(printed) == 1


def test_fine_tuning_starts_from_a_runs_weights_and_says_so(pictures, trained, tmp_path):
    still = Recipe(epochs=1, learning_rate=1e-12)
    tuned = train(*pictures, out=tmp_path / "tuned", recipe=still, start=trained, verbose=False)
    np.testing.assert_allclose(_weights(tuned), _weights(trained), atol=1e-9)
    record = tuned.manifest["start"]
    assert record["weights_sha256"] == trained.manifest["weights_sha256"]["model"]
    assert record["source"] == trained.manifest["source"]
    assert trained.manifest["start"] is None
    with pytest.raises(RunError, match="started with start"):
        train(*pictures, out=tmp_path / "tuned", recipe=still, resume=True, verbose=False)
    with pytest.raises(RunError):
        train(*pictures, out=tmp_path / "none", start=tmp_path / "nothing", verbose=False)
    assert not (tmp_path / "none").exists()


def test_whoever_watches_gets_the_history_of_each_epoch_also_after_a_stop(pictures, tmp_path):
    seen = []

    def watch(rows):
        seen.append([row["epoch"] for row in rows])
        if seen == [[1], [1, 2]]:
            raise KeyboardInterrupt

    settings = {"out": tmp_path / "run", "recipe": Recipe(epochs=3), "verbose": False}
    with pytest.raises(KeyboardInterrupt):
        train(*pictures, **settings, on_epoch=watch)
    train(*pictures, **settings, on_epoch=watch, resume=True)
    assert seen == [[1], [1, 2], [1, 2, 3]]
