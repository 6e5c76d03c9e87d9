"""A training that is interrupted at any moment resumes to the same bytes."""

import errno
import itertools
import multiprocessing
import os
import pkgutil
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from unittest import mock

import numpy as np
import pytest

from galclass import CLASS_NAMES, RECIPES, Recipe, load_run, train
from galclass.data.dataset import Origin
from galclass.errors import RunError
from galclass.run import Run

# TensorFlow suppresses its own.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

# Everything that has a state: averages, schedule, dropout and augmentation. Five batches per epoch.
AVERAGED = Recipe(
    epochs=3,
    batch_size=16,
    schedule="cosine",
    warmup_epochs=0.5,
    weight_decay=0.01,
    averaging=0.2,
    symmetries=True,
)
PUBLISHED = replace(RECIPES["published"], epochs=5)  # two batches per epoch
MAKE_BATCH = "galclass.training.session.Session.make_batch"


class Stop(BaseException):
    """Stop a training without any handling."""


def replace_call(patch, target, number, substitute):
    """Replace one call of a function, counted from 1."""
    owner_name, _, name = target.rpartition(".")
    owner = pkgutil.resolve_name(owner_name)
    function = getattr(owner, name)
    numbers = itertools.count(1)

    def call(*arguments, **settings):
        if next(numbers) == number:
            return substitute(*arguments, **settings)
        return function(*arguments, **settings)

    patch.setattr(owner, name, call)


@contextmanager
def stopped_at(target, number=1, error=Stop):
    """Raise an error in one call of a function, and expect it from the block."""
    with pytest.MonkeyPatch.context() as patch:
        replace_call(patch, target, number, mock.Mock(side_effect=error))
        with pytest.raises(error):
            yield


def run_training(data, out, recipe=AVERAGED, **settings):
    images, labels = data
    settings = {"images": images, "labels": labels, "precision": "float32", **settings}
    return train(out=out, verbose=False, **{"recipe": recipe, **settings})


@pytest.fixture(scope="module")
def data(images_of_brightness):
    return images_of_brightness


@pytest.fixture(scope="module")
def unbroken(data, tmp_path_factory):
    """Return a function that trains a recipe once without interruption."""
    return cache(lambda recipe: run_training(data, tmp_path_factory.mktemp("unbroken"), recipe))


@pytest.fixture(scope="module")
def begun(data, tmp_path_factory):
    """A run that was stopped before its first batch."""
    out = tmp_path_factory.mktemp("begun")
    with stopped_at(MAKE_BATCH):
        run_training(data, out)
    return out


@pytest.fixture(scope="module")
def stopped_in_last_epoch(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("stopped")
    with stopped_at(MAKE_BATCH, 12):
        run_training(data, out)
    assert len(Run(out).list_checkpoints()) == 2
    return out


@pytest.fixture
def stopped(stopped_in_last_epoch, tmp_path):
    """A copy of a run that was stopped in the third of three epochs."""
    return shutil.copytree(stopped_in_last_epoch, tmp_path / "run")


def assert_equal_runs(run, other):
    keys = ("status", "recipe", "split", "epochs", "best_epoch", "kept_epoch", "weights_sha256")
    assert {key: run.manifest[key] for key in keys} == {key: other.manifest[key] for key in keys}
    run.load_model()  # An error if its weights are not those of the manifest.
    assert (run.path / "history.csv").read_bytes() == (other.path / "history.csv").read_bytes()
    names = {path.name for path in run.path.iterdir()}
    assert names == {"seen.npz", "manifest.json", "history.csv", "model.keras"}


def read_files(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def damage(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.slow
def test_damaged_checkpoints_give_a_warning_and_never_replace_whole_ones(data, unbroken, stopped):
    for epochs in ([2], [1, 2]):
        for epoch in epochs:
            damage(stopped / "checkpoint" / f"{epoch:05d}.npz")
        with pytest.warns(UserWarning, match="is damaged"), stopped_at(MAKE_BATCH, 8):
            run_training(data, stopped, resume=True)
    assert_equal_runs(run_training(data, stopped, resume=True), unbroken(AVERAGED))


OTHER_ORIGIN = Origin.of_arrays(np.zeros(1), np.arange(10))
OTHER_ORIGIN = replace(OTHER_ORIGIN, kind="file", name="other.h5")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"recipe": PUBLISHED}, "recipe .*'epochs': 3.*'epochs': 5"),
        ({"epochs": 7}, "recipe {'epochs': 3}.* {'epochs': 7}"),
        ({"seed": 1}, "seed 0.* 1"),
        ({"precision": "bfloat16"}, "precision float32.*bfloat16"),
        ({"split": "published"}, "split .*'stratified'.*'published'"),
        ({"origin": OTHER_ORIGIN}, "origin .*memory.*other.h5"),
        ({"class_names": CLASS_NAMES}, "origin {'class_names': "),
        ({"images": np.zeros((100, 69, 69, 3), np.uint8)}, "origin {'sha256': "),
    ],
)
def test_run_with_other_settings_is_not_resumed(data, begun, changed, words):
    before = read_files(begun)
    with pytest.raises(RunError, match=f"cannot resume: .* {words}"):
        run_training(data, begun, **{"resume": True, **changed})
    assert read_files(begun) == before


def test_resuming_with_other_software_gives_a_warning_and_is_recorded(data, begun, tmp_path):
    run = load_run(shutil.copytree(begun, tmp_path / "run"))
    manifest = run.manifest
    manifest["versions"]["tensorflow"] = "2.0"
    run.write_manifest(manifest)
    with pytest.warns(UserWarning, match=r"'tensorflow': '2\.0'"), stopped_at(MAKE_BATCH):
        run_training(data, run.path, resume=True)
    assert run.manifest["earlier"][0]["versions"]["tensorflow"] == "2.0"


def test_run_that_was_killed_before_its_first_file_is_resumed(data, tmp_path):
    (tmp_path / ".12-00c0ffee.tmp.json").touch()
    with stopped_at(MAKE_BATCH):
        run_training(data, tmp_path, resume=True)
    assert {path.name for path in tmp_path.iterdir()} == {"manifest.json", "seen.npz"}


def test_folder_in_use_is_refused(data, tmp_path, monkeypatch):
    def try_again(*arguments, **settings):
        before = read_files(tmp_path)
        for settings in ({"resume": True}, {"overwrite": True}, {}):
            with pytest.raises(RunError, match="another process is writing into"):
                run_training(data, tmp_path, **settings)
        assert read_files(tmp_path) == before
        raise Stop

    replace_call(monkeypatch, MAKE_BATCH, 1, try_again)
    with pytest.raises(Stop):
        run_training(data, tmp_path)


@pytest.mark.slow
def test_full_disk_ends_the_training_with_one_error_and_it_can_be_resumed(data, unbroken, stopped):
    full = mock.Mock(side_effect=OSError(errno.ENOSPC, "No space left on device"))
    with pytest.MonkeyPatch.context() as patch:
        replace_call(patch, "numpy.savez", 2, full)
        with pytest.raises(RunError, match=r"disk is full.* 2 of 3 epochs.*--resume"):
            run_training(data, stopped, resume=True)
    assert not list(stopped.rglob(".*"))
    assert_equal_runs(run_training(data, stopped, resume=True), unbroken(AVERAGED))


@pytest.mark.slow
def test_interrupt_prints_one_line_about_the_saved_epochs_and_on_epoch_gets_the_whole_history(
    data, tmp_path, capsys
):
    epochs = []

    def watch(rows):
        epochs.append([row["epoch"] for row in rows])

    with stopped_at("galclass.training.session.Session.save", 2, KeyboardInterrupt):
        run_training(data, tmp_path, on_epoch=watch)
    error = capsys.readouterr().err.strip()
    assert error.startswith("Stopped after 1 of 3 epochs. Resume with")
    assert "\n" not in error
    run_training(data, tmp_path, on_epoch=watch, resume=True)
    assert epochs == [[1], [1, 2], [1, 2, 3]]


@pytest.mark.slow
def test_run_resumes_from_its_checkpoint_alone(data, unbroken, stopped):
    for name in ("model.keras", "history.csv", "seen.npz", ".lock"):
        (stopped / name).write_bytes(b"cut o")
    for name in (".12-00c0ffee.tmp.keras", "checkpoint/.12-00c0ffee.tmp.npz"):
        (stopped / name).write_bytes(b"cut o")
    assert_equal_runs(run_training(data, stopped, resume=True), unbroken(AVERAGED))


def die(*arguments, **settings):
    os.kill(os.getpid(), signal.SIGKILL)


def cut_file_and_die(file):
    os.ftruncate(file, os.fstat(file).st_size // 2)
    die()


def train_and_die(data, out, recipe, target, number):
    substitute = die
    if target == "os.fsync":
        substitute = cut_file_and_die
    replace_call(pytest.MonkeyPatch(), target, number, substitute)
    run_training(data, out, recipe, resume=True)


def die_in_another_process(*arguments):
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["galclass.training.train", "galclass.network._tensorflow"])
    # The other process cannot import this file, because it is not in a package.
    call = "__import__('runpy').run_path(path)['train_and_die'](*arguments)"
    process = context.Process(target=eval, args=(call, {"path": __file__, "arguments": arguments}))
    process.start()
    process.join(120)
    assert process.exitcode == -signal.SIGKILL


# A training writes the manifest and seen.npz; if it is resumed, the model and the history of the
# checkpoint; after each epoch the checkpoint, the model if it is to be kept, and the history; at
# the end the manifest. Each file is synchronized (here: cut in half) and then gets its name.
DEATHS = {
    AVERAGED: [("os.replace", 1), ("os.fsync", 3), ("os.replace", 4), (MAKE_BATCH, 6)],
    PUBLISHED: [(MAKE_BATCH, 2), ("os.replace", 5), ("os.fsync", 3), ("os.replace", 7)],
}
LAST_MANIFEST = ("galclass.run.write_json", 2)


@pytest.mark.slow
@pytest.mark.parametrize("recipe", DEATHS, ids=["averaged", "published"])
def test_killed_run_resumes_to_the_same_bytes(data, unbroken, tmp_path, recipe):
    for target, number in (*DEATHS[recipe], LAST_MANIFEST):
        die_in_another_process(data, tmp_path, recipe, target, number)
    assert load_run(tmp_path).manifest["status"] == "training"
    assert len(load_run(tmp_path).history["epoch"]) == recipe.epochs
    assert_equal_runs(run_training(data, tmp_path, recipe, resume=True), unbroken(recipe))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends Ctrl-C in another way")
def test_ctrl_c_prints_one_line_and_the_command_resumes(data, unbroken, measured_data, tmp_path):
    options = "--out run --recipe published --epochs 5 --precision float32"
    command = [sys.executable, "-m", "galclass", "train", "--data", measured_data, *options.split()]

    def listen_to_ctrl_c():
        # Background jobs of a shell ignore Ctrl-C, and their children inherit that.
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=listen_to_ctrl_c,
    )
    assert any(line.startswith("epoch   1/5") for line in process.stdout)
    process.send_signal(signal.SIGINT)
    error = process.communicate(timeout=120)[1].strip()
    assert process.returncode == 130, error
    assert error.count("\n") == 0, error
    assert "--resume" in error
    subprocess.run([*command, "--resume"], cwd=tmp_path, check=True)
    run = load_run(tmp_path / "run")
    other = unbroken(PUBLISHED)
    assert run.manifest["weights_sha256"] == other.manifest["weights_sha256"]
    assert (run.path / "history.csv").read_bytes() == (other.path / "history.csv").read_bytes()
