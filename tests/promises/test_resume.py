"""A run that is interrupted at any moment resumes to the same bytes."""

import errno
import io
import json
import multiprocessing
import os
import pkgutil
import re
import shutil
import signal
import subprocess
import sys
import threading
import warnings
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from galclass import Recipe, evaluate, load_run, train
from galclass.data.dataset import Dataset, Origin, write_data
from galclass.errors import RunError
from galclass.files import remove_leftovers, write_json, write_npz
from galclass.network import hardware
from galclass.network._tensorflow import THREADS
from galclass.run import write_history
from galclass.training import session
from galclass.training import train as training

# Everything that has a state: averages, warm-up, decay, dropout and augmentation.
RECIPE = Recipe(
    epochs=3,
    batch_size=16,
    schedule="cosine",
    warmup_epochs=0.5,
    weight_decay=0.01,
    ema=0.9,
    symmetries=True,
)
PLAIN = Recipe(epochs=2, batch_size=32, l2=0.001)
SAVEZ = np.savez
FILES = {"manifest.json", "history.csv", "model.keras", "last.keras", "examples.npz"}


def _train(images_and_labels, out, recipe=RECIPE, **keywords):
    keywords = {"precision": "float32", "verbose": False, **keywords}
    return train(*images_and_labels, out=out, recipe=recipe, **keywords)


def _assert_same(run, undisturbed):
    for which in ("model", "last"):
        pairs = zip(
            run.load_model(which).get_weights(),
            undisturbed.load_model(which).get_weights(),
            strict=True,
        )
        for one, other in pairs:
            np.testing.assert_array_equal(one, other)
    ours, theirs = ((one.path / "history.csv").read_bytes() for one in (run, undisturbed))
    assert ours == theirs
    for key in ("status", "recipe", "split", "epochs", "best_epoch", "weights_sha256"):
        assert run.manifest[key] == undisturbed.manifest[key]
    assert {path.name for path in run.path.iterdir()} == FILES


def _contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def undisturbed(images_of_brightness, tmp_path_factory):
    return _train(images_of_brightness, tmp_path_factory.mktemp("runs") / "undisturbed")


class _Stop(BaseException):
    """Ends the training where it stands."""


def _at_call(number, function, then):
    """The function, with something else in place of its n-th call."""
    calls = []

    def counted(*arguments, **keywords):
        calls.append(1)
        return (then if len(calls) == number else function)(*arguments, **keywords)

    return counted


def _raise(error):
    def raising(*arguments, **keywords):
        raise error

    return raising


@contextmanager
def _stopped_in_batch(number):
    augment = _at_call(number, session.apply_symmetry, _raise(_Stop()))
    with pytest.MonkeyPatch.context() as patch, pytest.raises(_Stop):  # noqa: PT012
        patch.setattr(session, "apply_symmetry", augment)
        yield


@contextmanager
def _warns(words):
    with pytest.warns(UserWarning, match=words):  # noqa: PT031
        # TensorFlow's own, which it swallows.
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


@pytest.fixture(scope="module")
def started(images_of_brightness, tmp_path_factory):
    """A run that ended in the third of three epochs, with two checkpoints."""
    out = tmp_path_factory.mktemp("runs") / "started"
    with _stopped_in_batch(12):
        _train(images_of_brightness, out)
    saved = sorted(path.name for path in (out / "checkpoint").iterdir())
    assert saved == ["00001.npz", "00002.npz"]
    return out


@pytest.fixture
def broken_off(started, tmp_path):
    return shutil.copytree(started, tmp_path / "run")


def test_a_run_resumes_from_the_checkpoint_alone_and_clears_what_a_kill_left(
    images_of_brightness, undisturbed, broken_off
):
    for name in ("model.keras", "history.csv"):
        (broken_off / name).write_bytes(b"cut o")
    (broken_off / "examples.npz").unlink()
    for name in (".12-00c0ffee.tmp.keras", "checkpoint/.12-00c0ffee.tmp.npz", ".lock"):
        (broken_off / name).touch()
    _assert_same(_train(images_of_brightness, broken_off, resume=True), undisturbed)


def test_a_damaged_newest_checkpoint_falls_back_to_the_one_before_with_a_warning(
    images_of_brightness, undisturbed, broken_off
):
    newest = broken_off / "checkpoint" / "00002.npz"
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    with _warns(r"00002\.npz is damaged .*the one before"):
        run = _train(images_of_brightness, broken_off, resume=True)
    _assert_same(run, undisturbed)


@pytest.mark.slow
def test_damaged_checkpoints_do_not_push_out_whole_ones(
    images_of_brightness, undisturbed, broken_off
):
    for path in (broken_off / "checkpoint").iterdir():
        path.write_bytes(path.read_bytes()[:-100])
    with _warns("damaged"), _stopped_in_batch(8):
        _train(images_of_brightness, broken_off, resume=True)
    assert [path.name for path in (broken_off / "checkpoint").iterdir()] == ["00001.npz"]
    _assert_same(_train(images_of_brightness, broken_off, resume=True), undisturbed)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"recipe": PLAIN}, r"recipe \{.*'epochs': 3.*now it is \{.*'epochs': 2"),
        ({"epochs": 7}, r"recipe \{'epochs': 3\}, now it is \{'epochs': 7\}"),
        ({"seed": 1}, "seed 0, now it is 1"),
        ({"precision": "bfloat16"}, "precision float32, now it is bfloat16"),
        ({"split": "published"}, "split .*'protocol': 'stratified'.*'published'"),
        (
            {"origin": Origin("file", "other.h5", "0", 100)},
            "origin .*'arrays in memory'.*'other.h5'",
        ),
    ],
)
def test_another_run_is_not_resumed_and_the_difference_is_named(
    images_of_brightness, started, changed, words
):
    before = _contents(started)
    with pytest.raises(RunError, match=f"cannot resume: .*{words}"):
        _train(images_of_brightness, started, **{"recipe": RECIPE, "resume": True, **changed})
    assert before == _contents(started)


def test_other_galaxies_do_not_resume_a_run(images_of_brightness, started):
    images, labels = images_of_brightness[0].copy(), images_of_brightness[1]
    images[0, 0, 0, 0] ^= 1
    with pytest.raises(RunError, match=r"cannot resume: .*origin \{'sha256'"):
        _train((images, labels), started, resume=True)


def test_resuming_with_other_software_is_warned_of_and_recorded(
    images_of_brightness, broken_off, monkeypatch
):
    path = broken_off / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["versions"]["tensorflow"] = "2.0"
    path.write_text(json.dumps(manifest))
    monkeypatch.setattr(training, "_write_examples", _raise(_Stop()))
    with _warns(r"'tensorflow': '2\.0'"), pytest.raises(_Stop):
        _train(images_of_brightness, broken_off, resume=True)
    assert load_run(broken_off).manifest["earlier"][0]["versions"]["tensorflow"] == "2.0"


def test_the_number_of_threads_that_the_last_bits_depend_on_is_recorded(started, monkeypatch):
    chosen = os.environ.get("TF_NUM_INTRAOP_THREADS")
    assert load_run(started).manifest["threads"] == int(chosen or THREADS)
    threads = hardware.tf.config.threading
    monkeypatch.setattr(threads, "get_intra_op_parallelism_threads", lambda: 0)
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "7")
    assert hardware.count_threads() == 7


def test_a_folder_whose_manifest_was_never_written_can_be_resumed(
    images_of_brightness, tmp_path, monkeypatch
):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".12-00c0ffee.tmp.json").write_text("{")
    monkeypatch.setattr(training, "_write_examples", _raise(_Stop()))
    with pytest.raises(_Stop):
        _train(images_of_brightness, tmp_path / "run", resume=True)
    assert load_run(tmp_path / "run").manifest["status"] == "training"
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["manifest.json"]


def test_temporary_files_alone_are_cleared(tmp_path):
    kept = {".12.a.npz", ".notes", "a.npz", ".x-00c0ffee.tmp.npz", ".12-00c0ffee.npz"}
    for name in (".12-00c0ffee.tmp.npz", *kept):
        (tmp_path / name).touch()
    remove_leftovers(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == kept
    remove_leftovers(tmp_path / "missing")


@pytest.mark.parametrize("write", ["json", "npz", "history", "galaxies"])
def test_a_file_that_cannot_be_written_whole_leaves_the_one_before(
    images_of_brightness, tmp_path, monkeypatch, write
):
    path = tmp_path / "file"
    path.write_text("before")
    dataset = Dataset(*images_of_brightness, Origin.of_arrays(*images_of_brightness))
    writers = {
        "json": partial(write_json, path, {"a": 1}),
        "npz": partial(write_npz, path, a=np.zeros(9)),
        "history": partial(write_history, path, [{"epoch": 1}]),
        "galaxies": partial(write_data, path, dataset),
    }
    full = _raise(OSError(errno.ENOSPC, "No space left on device"))
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(RunError, match=r"cannot write .*: the disk is full"):
            writers[write]()
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]
    writers[write]()
    assert path.read_bytes()[:6] != b"before"


@pytest.mark.slow
def test_a_full_disk_ends_training_with_one_error_and_a_run_to_resume(
    images_of_brightness, undisturbed, broken_off, monkeypatch
):
    with monkeypatch.context() as patch:
        patch.setattr(np, "savez", _raise(OSError(errno.ENOSPC, "No space left on device")))
        patch.setattr(training, "_write_examples", lambda *arguments: None)
        with pytest.raises(RunError, match=r"the disk is full.*--resume.*; 2 of 3 epochs"):
            _train(images_of_brightness, broken_off, resume=True)
    assert not [path for path in broken_off.rglob(".*")]
    _assert_same(_train(images_of_brightness, broken_off, resume=True), undisturbed)


@pytest.mark.slow
def test_a_small_file_system_that_fills_up_ends_training_with_one_error(
    images_of_brightness, undisturbed, tmp_path
):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=60m", "tmpfs", disk]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a file system can be mounted by root alone")
    try:
        with pytest.raises(RunError, match=r"the disk is full\. Free .*--resume"):
            _train(images_of_brightness, disk / "run")
        assert (disk / "run" / "checkpoint" / "00001.npz").exists()
        shutil.copytree(disk / "run", tmp_path / "run")
    finally:
        subprocess.run(["umount", disk], check=True)
    _assert_same(_train(images_of_brightness, tmp_path / "run", resume=True), undisturbed)


def test_a_diverged_training_is_an_error_not_a_run(images_of_brightness, tmp_path):
    recipe = Recipe(epochs=2, learning_rate=1e30)
    with pytest.raises(RunError, match="diverged in epoch 1"):
        _train(images_of_brightness, tmp_path / "run", recipe)


def _die(*arguments, **keywords):
    os.kill(os.getpid(), signal.SIGKILL)


def _half_a_checkpoint(file, **arrays):
    whole = io.BytesIO()
    SAVEZ(whole, **arrays)
    file.write(whole.getvalue()[: whole.tell() // 2])
    file.flush()
    _die()


def _half_a_model(archive, name, data):
    archive.fp.write(data[: len(data) // 2])
    archive.fp.flush()
    _die()


# Where the process dies: the owner of a function, its name, the number of its call, and how.
BATCH = ("galclass.training.session:Session", "batch")
IN_A_BATCH = (*BATCH, 2, _die)
IN_THE_NEXT_EPOCH = (*BATCH, 6, _die)
IN_A_CHECKPOINT = ("numpy", "savez", 2, _half_a_checkpoint)
IN_A_MODEL = ("zipfile:ZipFile", "writestr", 1, _half_a_model)
BEFORE_THE_LAST_MANIFEST = ("galclass.training.train", "write_json", 2, _die)


def _before_file(number):
    return ("os", "replace", number, _die)


def _train_and_die(images_and_labels, out, recipe, moment):
    if isinstance(moment, float):
        threading.Timer(moment, _die).start()
    elif moment:
        owner, name, number, death = moment
        owner = pkgutil.resolve_name(owner)
        setattr(owner, name, _at_call(number, getattr(owner, name), death))
    _train(images_and_labels, out, recipe, resume=True)


def _train_and_refuse(images_and_labels, out, keywords):
    with pytest.raises(RunError, match="another process is training into"):
        _train(images_and_labels, out, **keywords)


@pytest.fixture(scope="module")
def processes():
    """Starts fresh processes that have imported TensorFlow already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["galclass.training.train", "galclass.network._tensorflow"])

    def run(target, *arguments):
        process = context.Process(target=target, args=arguments)
        process.start()
        process.join(120)
        assert process.exitcode in (0, -signal.SIGKILL)
        return process.exitcode == 0

    path = Path(__file__)
    with pytest.MonkeyPatch.context() as patch:
        # The processes import this file by its name alone, wherever the tests are started.
        patch.syspath_prepend(path.parent)
        patch.setitem(sys.modules, path.stem, sys.modules[__name__])
        for sent in (_die, _half_a_checkpoint, _half_a_model, _train_and_die, _train_and_refuse):
            patch.setattr(sent, "__module__", path.stem)
        yield run


@pytest.mark.slow
def test_a_second_process_is_refused_at_once_and_the_first_is_undisturbed(
    images_of_brightness, undisturbed, broken_off, processes
):
    def meanwhile(rows):
        before = _contents(broken_off)
        for keywords in ({"resume": True}, {"overwrite": True}, {}):
            assert processes(_train_and_refuse, images_of_brightness, broken_off, keywords)
        assert _contents(broken_off) == before

    run = _train(images_of_brightness, broken_off, resume=True, on_epoch=meanwhile)
    _assert_same(run, undisturbed)


# With --resume the files are replaced in this order: manifest, examples, the model and history of
# the checkpoint, then in each epoch checkpoint, model (where it is the best) and history, then
# last and manifest.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("recipe", "moments"),
    [
        (
            RECIPE,
            [
                _before_file(1),
                0.2,
                1.0,
                IN_A_BATCH,
                IN_A_CHECKPOINT,
                _before_file(4),
                IN_A_MODEL,
                IN_THE_NEXT_EPOCH,
                _before_file(3),
                BEFORE_THE_LAST_MANIFEST,
            ],
        ),
        (PLAIN, [_before_file(3), _before_file(5), IN_A_BATCH, _before_file(7)]),
    ],
    ids=["default", "published"],
)
def test_a_killed_run_resumes_to_the_same_bytes(
    images_of_brightness, undisturbed, tmp_path, processes, recipe, moments
):
    data, out = images_of_brightness, tmp_path / "run"
    expected = undisturbed if recipe is RECIPE else _train(data, tmp_path / "whole", recipe)
    for moment in moments:
        assert not processes(_train_and_die, data, out, recipe, moment)
    if BEFORE_THE_LAST_MANIFEST in moments:
        assert (out / "last.keras").exists()
        assert load_run(out).manifest["status"] == "training"
    assert processes(_train_and_die, data, out, recipe, None)
    _assert_same(load_run(out), expected)
    evaluated = shutil.copytree(expected.path, tmp_path / "expected")
    assert evaluate(out, *data) == evaluate(evaluated, *data)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends Ctrl-C in another way")
def test_ctrl_c_ends_with_one_line_and_the_command_resumes_to_the_librarys_bytes(
    images_of_brightness, tmp_path
):
    data = tmp_path / "galaxies.h5"
    write_data(data, Dataset(*images_of_brightness, Origin.of_arrays(*images_of_brightness)))
    command = [sys.executable, "-m", "galclass", "train", "--data", data]
    command += ["--out", tmp_path / "run", "--recipe", "published", "--epochs", "8"]
    command += ["--precision", "float32"]
    # It is not TensorFlow's threads that these are about, and they change nothing.
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell's background job ignores Ctrl-C, and its children inherit that.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    for line in process.stdout:
        if line.startswith("epoch   2/8"):
            process.send_signal(signal.SIGINT)
            break
    _, error = process.communicate(timeout=120)
    assert process.returncode == 130
    assert re.fullmatch(r"Stopped after \d of 8 epochs\. .*--resume.*", error.strip())
    again = subprocess.run([*command, "--resume"], env=environment, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    whole = _train(images_of_brightness, tmp_path / "whole", "published", epochs=8)
    run = load_run(tmp_path / "run")
    assert run.manifest["weights_sha256"] == whole.manifest["weights_sha256"]
    histories = [(one.path / "history.csv").read_bytes() for one in (run, whole)]
    assert histories[0] == histories[1]
