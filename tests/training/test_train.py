"""Training is reproducible, and its manifest says how the run was made."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict, replace

import numpy as np
import pytest
from tensorflow.python.framework import config

from galclass import CLASS_NAMES, RECIPES, Recipe, load_run, split, train
from galclass.data.dataset import Origin
from galclass.errors import RunError
from galclass.network._tensorflow import THREADS, tf
from galclass.network.precision import choose_precision
from galclass.run import best_epoch
from galclass.training import session as session_module
from galclass.training.session import Session


@pytest.fixture
def learn(images_of_brightness, tmp_path):
    """Return a function that trains for one epoch by default."""

    def run(out="run", **settings):
        settings = {"precision": "float32", "epochs": 1, "verbose": False, **settings}
        return train(*images_of_brightness, out=tmp_path / out, **settings)

    return run


@pytest.fixture
def begin(tmp_path, monkeypatch):
    """Return a function that begins a training, which is interrupted before the first epoch."""

    def run(*data, out="run", **settings):
        monkeypatch.setattr(Session, "run_epoch", interrupt)
        with pytest.raises(KeyboardInterrupt):
            train(*data, out=tmp_path / out, **{"precision": "float32", **settings})
        return load_run(tmp_path / out)

    return run


def interrupt(*arguments, **settings):
    raise KeyboardInterrupt


def read_files(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_same_seed_gives_the_same_weights_and_history(learn, trained):
    again = learn(epochs=3, seed=np.int64(0), class_names=CLASS_NAMES)
    assert again.manifest["weights_sha256"] == trained.manifest["weights_sha256"]
    assert (again.path / "history.csv").read_bytes() == (trained.path / "history.csv").read_bytes()


@pytest.mark.slow
def test_network_learns(learn):
    settings = {"optimizer": "muon", "learning_rate": 0.01, "dropout": 0, "dense_dropout": 0}
    history = learn(recipe=Recipe(epochs=5, batch_size=16, **settings), epochs=5).history
    assert history["accuracy"][-1] > 0.4
    assert history["loss"][-1] < 0.6 * history["loss"][0]


@pytest.mark.slow
def test_losses_of_training_and_validation_are_comparable(images_of_brightness, learn):
    images, labels = images_of_brightness
    still = Recipe(epochs=1, learning_rate=1e-12, dropout=0, dense_dropout=0)
    run = learn(recipe=replace(still, l2=0.01, label_smoothing=0.5))
    model = run.load_model()
    parts = split(labels)
    for column, part in (("loss", parts.train), ("val_loss", parts.validation)):
        of_label = model(images[part]).numpy()[np.arange(len(part)), labels[part]]
        expected = float(-np.log(of_label).mean() + sum(model.losses))
        assert run.history[column][0] == pytest.approx(expected, rel=1e-4)


def test_manifest_says_how_the_run_was_made_without_a_path(images_of_brightness, trained):
    manifest = trained.manifest
    expected = {
        "status": "complete",
        "recipe_name": "default",
        "recipe": asdict(replace(RECIPES["default"], epochs=3)),
        "seed": 0,
        "precision": "float32",
        "threads": int(os.environ.get("TF_NUM_INTRAOP_THREADS") or THREADS),
        "origin": Origin.of_arrays(*images_of_brightness, CLASS_NAMES).record(),
        "class_counts": [10] * 10,
        "start": None,
        "epochs": 3,
        "best_epoch": best_epoch(trained.history),
        "kept_epoch": best_epoch(trained.history),
    }
    assert {key: manifest[key] for key in expected} == expected
    sizes = [manifest["split"][f"{name}_size"] for name in ("train", "validation", "test")]
    assert sizes == [69, 16, 15]
    assert str(trained.path.parent) not in json.dumps(manifest)


def test_grey_images_without_an_origin_have_numbered_classes(begin):
    images = np.random.default_rng(0).integers(0, 256, (40, 32, 32, 1), np.uint8)
    run = begin(images, np.arange(40) % 3)
    assert run.image_shape == (32, 32, 3)
    assert run.class_names == ("0", "1", "2")
    assert run.origin.kind == "arrays"
    assert run.origin.crop is None
    assert run.manifest["network"]["classes"] == 3


def test_origin_is_kept_but_hash_and_count_are_recomputed(images_of_brightness, begin):
    of_arrays = Origin.of_arrays(*images_of_brightness, CLASS_NAMES)
    origin = replace(of_arrays, kind="simulated", name="some", seed=3, crop=0.5)
    given = replace(origin, sha256="0", galaxies=7)
    assert begin(*images_of_brightness, given).origin == origin
    names = tuple("abcdefghij")
    run = begin(*images_of_brightness, given, class_names=names, out="named")
    assert run.origin == replace(origin, class_names=names)


@pytest.mark.slow
def test_only_training_images_are_augmented(images_of_brightness, learn, monkeypatch):
    images, labels = images_of_brightness
    augmented = []

    def record(batch, elements):
        augmented.extend(batch)
        return batch

    monkeypatch.setattr(session_module, "apply_symmetry", record)
    learn()
    expected = images[split(labels).train]
    assert {image.tobytes() for image in augmented} == {image.tobytes() for image in expected}


def test_finished_run_is_neither_overwritten_nor_trained_again(learn, trained, tmp_path):
    out = shutil.copytree(trained.path, tmp_path / "run")
    before = read_files(out)
    with pytest.raises(RunError, match=r"is not empty; choose another folder, resume it"):
        learn()
    learn(epochs=3, class_names=CLASS_NAMES, resume=True)
    (tmp_path / "link").symlink_to(out)
    with pytest.raises(RunError, match="symbolic link"):
        learn("link", overwrite=True)
    assert read_files(out) == before


def test_folder_that_is_not_a_run_is_refused(learn, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").write_text("years of work")
    for settings in ({}, {"resume": True}):
        with pytest.raises(RunError, match="is not empty and not a run"):
            learn(**settings)
    with pytest.raises(RunError, match=r"no manifest\.json"):
        learn(overwrite=True)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["notes.txt"]


def test_overwriting_replaces_a_run_and_keeps_other_files(
    begin, trained, images_of_brightness, tmp_path
):
    out = shutil.copytree(trained.path, tmp_path / "run")
    for name in ("metrics.json", "figures/recall.png", "notes.txt"):
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).touch()
    run = begin(*images_of_brightness, seed=1, overwrite=True)
    assert run.manifest["seed"] == 1
    assert {path.name for path in out.iterdir()} == {"manifest.json", "seen.npz", "notes.txt"}


@pytest.mark.slow
def test_bfloat16_trains_and_its_weights_load_in_float32(learn):
    run = learn(epochs=2, precision="bfloat16")
    assert run.manifest["precision"] == "bfloat16"
    model = run.load_model()
    assert {layer.compute_dtype for layer in model.layers} == {"float32"}
    assert all(np.isfinite(array).all() for array in model.get_weights())
    assert np.isfinite(run.history["loss"]).all()


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
@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs sched_setaffinity")
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_weights_do_not_depend_on_the_number_of_cores(images_of_brightness, tmp_path, precision):
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("there is one core only")
    if precision == "bfloat16" and choose_precision() != "bfloat16":
        pytest.skip("this processor is slow in bfloat16, and no run would be trained in it")
    images, labels = images_of_brightness
    np.savez(tmp_path / "data.npz", images=images, labels=labels)
    output = []
    for cores in ("1", "2"):
        command = [sys.executable, "-c", PROGRAM, cores, precision]
        output.append(subprocess.check_output(command, cwd=tmp_path))
    assert output[0] == output[1]


@pytest.mark.parametrize("deterministic", [False, True])
def test_tensorflow_is_left_as_it_was(begin, images_of_brightness, deterministic):
    config.disable_op_determinism()
    if deterministic:
        config.enable_op_determinism()
    try:
        begin(*images_of_brightness)
        assert config.is_op_determinism_enabled() == deterministic
    finally:
        config.disable_op_determinism()
    assert tf.random.normal((2,)).shape == (2,)  # An error if operations are deterministic.
