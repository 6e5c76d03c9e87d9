"""A run that is interrupted at any moment resumes to the same bytes."""

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
from functools import cache, partial

import numpy as np
import pytest

from galclass import RECIPES, Recipe, cli, load_run, train
from galclass.data.dataset import Dataset, Origin, write_data
from galclass.errors import RunError
from galclass.files import write_json, write_npz
from galclass.network import hardware
from galclass.network._tensorflow import THREADS
from galclass.run import write_history

# TensorFlow's own, which it swallows.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
# Everything that has a state: averages, warm-up, decay, dropout and augmentation. Five batches.
STATES = {"schedule": "cosine", "warmup_epochs": 0.5, "weight_decay": 0.01, "averaging": 0.2}
RECIPE = Recipe(epochs=3, batch_size=16, symmetries=True, **STATES)
PLAIN = replace(RECIPES["published"], epochs=5)
FILES = {"seen.npz", "usual.npz", "manifest.json", "history.csv", "model.keras", "last.keras"}
FILES |= {"examples.npz"}
BATCH = "galclass.training.session.Session.batch"
FULL = OSError(errno.ENOSPC, "No space left on device")


def _train(data, out, recipe=RECIPE, **keywords):
    settings = {"images": data[0], "labels": data[1], "precision": "float32", "verbose": False}
    return train(**{**settings, "out": out, "recipe": recipe, **keywords})


@pytest.fixture(scope="module")
def data(images_of_brightness):
    return images_of_brightness


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """A recipe's run that nothing disturbs."""
    return cache(lambda recipe: _train(data, tmp_path_factory.mktemp("whole"), recipe))


def _assert_same(run, whole):
    for which in ("model", "last"):
        ours, theirs = (one.load_model(which).get_weights() for one in (run, whole))
        assert all(map(np.array_equal, ours, theirs))
    assert (run.path / "history.csv").read_bytes() == (whole.path / "history.csv").read_bytes()
    for key in ("status", "recipe", "split", "epochs", "best_epoch", "weights_sha256"):
        assert run.manifest[key] == whole.manifest[key]
    assert {path.name for path in run.path.iterdir()} == FILES


def _contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class _Stop(BaseException):
    """Ends the training where it stands."""


def _raise(error, *_, **__):
    raise error


def _at_call(patch, target, number, then):
    """Put something else in place of the n-th call of a function."""
    owner, _, name = target.rpartition(".")
    owner, calls = pkgutil.resolve_name(owner), itertools.count(1)
    real = getattr(owner, name)
    patch.setattr(owner, name, lambda *a, **k: (then if next(calls) == number else real)(*a, **k))


@contextmanager
def _stopped(target, number=1):
    with pytest.MonkeyPatch.context() as patch, pytest.raises(_Stop):  # noqa: PT012
        _at_call(patch, target, number, partial(_raise, _Stop()))
        yield


@pytest.fixture(scope="module")
def started(data, tmp_path_factory):
    """A run that ended in the third of three epochs, with two checkpoints."""
    out = tmp_path_factory.mktemp("started")
    with _stopped(BATCH, 12):
        _train(data, out)
    assert len(list((out / "checkpoint").iterdir())) == 2
    return out


@pytest.fixture
def broken_off(started, tmp_path):
    return shutil.copytree(started, tmp_path / "run")


@pytest.mark.slow
def test_damaged_checkpoints_are_warned_of_and_never_push_out_whole_ones(data, whole, broken_off):
    for damaged in (["00002"], ["00001", "00002"]):
        for path in (broken_off / "checkpoint" / f"{name}.npz" for name in damaged):
            content = bytearray(path.read_bytes())
            content[len(content) // 2] ^= 1
            path.write_bytes(content)
        with pytest.warns(UserWarning, match="damaged"), _stopped(BATCH, 8):
            _train(data, broken_off, resume=True)
    _assert_same(_train(data, broken_off, resume=True), whole(RECIPE))


CHANGES = [
    ({"recipe": PLAIN}, "recipe .*'epochs': 3.*'epochs': 5"),
    ({"epochs": 7}, "recipe {'epochs': 3}.* {'epochs': 7}"),
    ({"seed": 1}, "seed 0.* 1"),
    ({"precision": "bfloat16"}, "float32.*bfloat16"),
    ({"split": "published"}, "split .*'stratified'.*'published'"),
    ({"origin": Origin("file", "other.h5", "0", 100)}, "origin .*memory.*other.h5"),
    ({"images": np.zeros((100, 69, 69, 3), np.uint8)}, "origin {'sha256'"),
]


@pytest.mark.parametrize(("changed", "words"), CHANGES)
def test_another_run_is_not_resumed_and_the_difference_is_named(data, started, changed, words):
    before = _contents(started)
    with pytest.raises(RunError, match=f"resume.* {words}"):
        _train(data, started, **{"resume": True, **changed})
    assert before == _contents(started)


def test_resuming_with_other_software_is_warned_of_and_recorded(data, broken_off):
    manifest = load_run(broken_off).manifest
    manifest["versions"]["tensorflow"] = "2.0"
    write_json(broken_off / "manifest.json", manifest)
    with pytest.warns(UserWarning, match=r"'tensorflow': '2\.0'"), _stopped(BATCH):
        _train(data, broken_off, resume=True)
    assert load_run(broken_off).manifest["earlier"][0]["versions"]["tensorflow"] == "2.0"


def test_the_number_of_threads_that_the_last_bits_depend_on_is_recorded(started, monkeypatch):
    chosen = os.environ.get("TF_NUM_INTRAOP_THREADS")
    assert load_run(started).manifest["threads"] == int(chosen or THREADS)
    threads = hardware.tf.config.threading
    monkeypatch.setattr(threads, "get_intra_op_parallelism_threads", lambda: 0)
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "7")
    assert hardware.count_threads() == 7


def test_a_file_that_cannot_be_written_whole_leaves_the_one_before(data, tmp_path, monkeypatch):
    path, galaxies = tmp_path / "file", Dataset(*data, Origin.of_arrays(*data))
    writers = {write_json: {"a": 1}, write_history: [{"epoch": 1}], write_data: galaxies}
    writers[lambda path, content: write_npz(path, a=content)] = np.zeros(9)
    for write, content in writers.items():
        path.write_text("before")
        _at_call(monkeypatch, "os.fsync", 1, partial(_raise, FULL))
        with pytest.raises(RunError, match=r"file: .*full"):
            write(path, content)
        assert _contents(tmp_path) == {path: b"before"}
        write(path, content)
        assert path.read_bytes()[:6] != b"before"


@pytest.mark.slow
def test_a_full_disk_ends_training_with_one_error_and_a_run_to_resume(data, whole, broken_off):
    with pytest.MonkeyPatch.context() as patch:
        _at_call(patch, "numpy.savez", 2, partial(_raise, FULL))
        with pytest.raises(RunError, match=r"full.*--resume.* 2 of 3 epochs"):
            _train(data, broken_off, resume=True)
    assert not list(broken_off.rglob(".*"))
    _assert_same(_train(data, broken_off, resume=True), whole(RECIPE))


def test_a_diverged_training_is_an_error_not_a_run(data, tmp_path):
    with pytest.raises(RunError, match="diverged"):
        _train(data, tmp_path / "run", Recipe(epochs=2, learning_rate=1e30))


def _elsewhere(name, *arguments):
    """Call a function of this file in a fresh process; whether that came to its end."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["galclass.training.train", "galclass.network._tensorflow"])
    call = "__import__('runpy').run_path(path)[name](*arguments)"
    names = {"path": __file__, "name": name, "arguments": arguments}
    process = context.Process(target=eval, args=(call, names))
    process.start()
    process.join(120)
    assert process.exitcode in (0, -signal.SIGKILL)
    return process.exitcode == 0


def _die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)


def _die_in_half(file):
    os.ftruncate(file, os.fstat(file).st_size // 2)
    _die()


def _train_and_die(data, out, recipe, target, number):
    death = _die_in_half if target == "os.fsync" else _die
    _at_call(pytest.MonkeyPatch(), target, number, death)
    _train(data, out, recipe, resume=True)


def _train_and_refuse(data, out):
    for keywords in ({"resume": True}, {"overwrite": True}, {}):
        with pytest.raises(RunError, match="another process"):
            _train(data, out, **keywords)


@pytest.mark.slow
def test_it_resumes_from_the_checkpoint_alone_and_refuses_other_processes(data, whole, broken_off):
    def meanwhile(rows):
        before = _contents(broken_off)
        assert _elsewhere("_train_and_refuse", data, broken_off)
        assert _contents(broken_off) == before

    leftovers = (".12-00c0ffee.tmp.keras", "checkpoint/.12-00c0ffee.tmp.npz", ".lock")
    for name in ("model.keras", "history.csv", *leftovers):
        (broken_off / name).write_bytes(b"cut o")
    (broken_off / "examples.npz").unlink()
    run = _train(data, broken_off, resume=True, on_epoch=meanwhile)
    _assert_same(run, whole(RECIPE))


# Files are synced (here: cut in half) and replaced in this order: manifest, examples, the model
# and history of the checkpoint, then in each epoch checkpoint, model (where it is the best) and
# history, then last and manifest.
DEATHS = {
    RECIPE: [("os.replace", 1), ("os.fsync", 3), ("os.replace", 4), (BATCH, 6)],
    PLAIN: [(BATCH, 2), ("os.replace", 5), ("os.fsync", 3), ("os.replace", 7)],
}


@pytest.mark.slow
@pytest.mark.parametrize("recipe", DEATHS, ids=["default", "published"])
def test_a_killed_run_resumes_to_the_same_bytes(data, whole, tmp_path, recipe):
    before_the_last_manifest = ("galclass.training.train.write_json", 2)
    for death in (*DEATHS[recipe], before_the_last_manifest):
        assert not _elsewhere("_train_and_die", data, tmp_path, recipe, *death)
    assert (tmp_path / "last.keras").exists()
    assert load_run(tmp_path).manifest["status"] == "training"
    _assert_same(_train(data, tmp_path, recipe, resume=True), whole(recipe))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends Ctrl-C in another way")
def test_ctrl_c_ends_with_one_line_and_the_command_resumes(data, whole, tmp_path, monkeypatch):
    write_data(tmp_path / "galaxies.h5", Dataset(*data, Origin.of_arrays(*data)))
    options = "--data galaxies.h5 --out run --recipe published --epochs 5 --precision float32"
    command = ["-m", "galclass", "train", *options.split()]
    monkeypatch.chdir(tmp_path)
    # A shell's background job ignores Ctrl-C, and its children inherit that.
    heard = {"preexec_fn": partial(signal.signal, signal.SIGINT, signal.SIG_DFL), "text": True}
    pipes = dict.fromkeys(("stdout", "stderr"), subprocess.PIPE)
    process = subprocess.Popen([sys.executable, *command], **heard, **pipes)
    assert any(line.startswith("epoch   1/5") for line in process.stdout)
    process.send_signal(signal.SIGINT)
    error = process.communicate(timeout=120)[1].strip()
    assert (process.returncode, error.count("\n")) == (130, 0), error
    assert "--resume" in error
    monkeypatch.setattr(sys, "argv", [*command[1:], "--resume"])
    with _stopped("galclass.evaluate"):
        cli.main()
    run = load_run(tmp_path / "run")
    assert run.manifest["weights_sha256"] == whole(PLAIN).manifest["weights_sha256"]
    ours, theirs = (path / "history.csv" for path in (run.path, whole(PLAIN).path))
    assert ours.read_bytes() == theirs.read_bytes()
