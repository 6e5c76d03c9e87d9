"""A run folder is read as it was written, and damaged or foreign ones are refused."""

import json
import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from galclass import load_pretrained, load_run
from galclass.errors import ParameterError, RunError
from galclass.run import ARRAYS, Run, as_run, best_epoch, delete_run

COLUMNS = ("epoch", "loss", "accuracy", "val_loss", "val_accuracy")


@pytest.fixture
def run(trained, tmp_path):
    """A copy of a run, which a test may change."""
    return load_run(shutil.copytree(trained.path, tmp_path / "run"))


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(*[st.floats(allow_nan=False)] * 4), min_size=1, max_size=5))
def test_history_is_read_to_the_last_bit(tmp_path_factory, rows):
    rows = [dict(zip(COLUMNS, (k, *row), strict=True)) for k, row in enumerate(rows, 1)]
    run = Run(tmp_path_factory.mktemp("history"))
    run.write_history(rows)
    expected = {name: np.array([row[name] for row in rows]) for name in COLUMNS}
    np.testing.assert_equal(run.history, expected)


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_are_read_as_they_were_written(name, tmp_path):
    run = Run(tmp_path)
    assert run.usual is None
    arrays = {key: np.arange(k, 5) for k, key in enumerate(ARRAYS[name])}
    run.write_arrays(name, **arrays)
    expected = arrays
    if name == "seen":
        expected = arrays["hashes"]
    np.testing.assert_equal(getattr(run, name), expected)
    with pytest.raises(ParameterError, match=f"{name}: arrays .*expected"):
        run.write_arrays(name, other=np.arange(3))


def test_best_epoch_has_the_highest_accuracy_and_then_the_lowest_loss():
    history = {"val_accuracy": [0.5, 0.8, 0.8, 0.7], "val_loss": [1.0, 0.9, 0.6, 0.1]}
    rows = [{key: values[row] for key, values in history.items()} for row in range(4)]
    assert best_epoch(history) == best_epoch(rows) == 3


def test_two_checkpoints_are_kept(tmp_path):
    run = Run(tmp_path)
    for epoch in (1, 2, 3):
        run.write_checkpoint(epoch, {"epoch": epoch})
    assert [path.name for path in run.list_checkpoints()] == ["00003.npz", "00002.npz"]
    run.write_checkpoint(1, {"epoch": 1})  # The later ones were damaged.
    assert [path.name for path in run.list_checkpoints()] == ["00001.npz"]
    run.delete_checkpoints()
    assert run.list_checkpoints() == []


def test_deleting_a_run_keeps_other_files(run):
    (run.path / "figures").mkdir()
    (run.path / "checkpoint").symlink_to(run.path.parent)
    (run.path / "notes.txt").touch()
    delete_run(run.path)
    assert [path.name for path in run.path.iterdir()] == ["notes.txt"]
    assert run.path.parent.exists()


def test_run_that_is_part_of_galclass_cannot_be_written():
    run = load_pretrained()
    before = {path: path.stat().st_mtime_ns for path in run.path.iterdir()}
    writers = [
        lambda: run.write_manifest({}),
        lambda: run.write_history([{"epoch": 1}]),
        lambda: run.write_model(None),
        lambda: run.write_arrays("seen", hashes=[]),
        lambda: run.write_metrics({}),
        lambda: run.write_card(""),
        lambda: delete_run(run.path),
    ]
    for write in writers:
        with pytest.raises(RunError, match="is part of galclass, expected a run of yours; copy"):
            write()
    assert {path: path.stat().st_mtime_ns for path in run.path.iterdir()} == before


def test_run_is_given_as_such_or_by_its_path(trained, tmp_path):
    assert as_run(trained) is trained
    assert as_run(str(trained.path)) == trained
    for value in (3, None, {}):
        with pytest.raises(ParameterError, match="expected a Run or the path"):
            as_run(value)
    for path in ("", "nowhere", "~nobody-here/run", "/dev/null"):
        with pytest.raises(RunError, match=r"no run folder .*; make one with: galclass train"):
            load_run(path)
    with pytest.raises(RunError, match=r"no manifest.json in .*galclass train"):
        load_run(tmp_path)
    (tmp_path / "manifest.json").mkdir()
    with pytest.raises(RunError, match=r"cannot be read.*directory"):
        load_run(tmp_path)


def test_damaged_manifest_is_refused(run):
    contents = {
        b"[" * 100_000: "damaged",
        b"\xff\xfe{}": "damaged",
        b"[]": "a list, expected a JSON object",
        b"{}": "'recipe' is None, expected",
        json.dumps({**run.manifest, "network": 5}).encode(): "'network' is 5, expected",
    }
    for content, words in contents.items():
        (run.path / "manifest.json").write_bytes(content)
        with pytest.raises(RunError, match=f"manifest.json.*{words}"):
            load_run(run.path)


def test_model_must_be_the_one_of_the_manifest(run):
    manifest = run.manifest
    changes = [
        ({"network": {"layers": 9}}, "network.*layers"),
        ({"network": {"classes": -1}}, "network.*classes=-1"),
        ({"weights_sha256": "0" * 64}, "weights of sha256 .*, expected the manifest's 000"),
    ]
    for change, words in changes:
        run.write_manifest({**manifest, **change})
        with pytest.raises(RunError, match=f"model.keras .*{words}.*; copy the run again"):
            run.load_model()


@pytest.mark.parametrize(
    ("name", "content", "read", "words"),
    [
        ("model.keras", None, Run.load_model, "no model.keras in .*; train"),
        ("model.keras", b"", Run.load_model, "model.keras does not .*; copy the run again"),
        ("history.csv", None, lambda run: run.history, "no history.csv in .*; train"),
        ("history.csv", b"", lambda run: run.history, "history.csv is damaged"),
        ("history.csv", b"epoch,loss\n1,x\n", lambda run: run.history, "history.csv is damaged"),
        ("metrics.json", None, lambda run: run.metrics, "no metrics.json .*galclass evaluate"),
        ("metrics.json", b"{}", lambda run: run.metrics, "'accuracy'.*galclass evaluate"),
        ("seen.npz", None, lambda run: run.seen, "no seen.npz .*galclass train"),
        ("examples.npz", b"PK", lambda run: run.examples, "examples.npz .*damaged"),
    ],
)
def test_missing_or_damaged_file_is_refused_when_it_is_read(run, name, content, read, words):
    (run.path / name).unlink(missing_ok=True)
    if content is not None:
        (run.path / name).write_bytes(content)
    with pytest.raises(RunError, match=words):
        read(run)


def test_deleting_a_run_keeps_the_files_of_the_user(copied):
    for name in ("figures/recall.png", "figures/paper.png", "checkpoint/mine.npz", "notes.txt"):
        path = copied.path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    delete_run(copied.path)
    left = {path.relative_to(copied.path).as_posix() for path in copied.path.rglob("*")}
    assert left == {
        "figures",
        "figures/paper.png",
        "checkpoint",
        "checkpoint/mine.npz",
        "notes.txt",
    }


def test_copy_of_a_checkpoint_is_not_a_checkpoint(copied):
    copied.write_checkpoint(1, {"a": np.zeros(1)})
    copy = copied.path / "checkpoint" / "00001 (copy).npz"
    copy.write_bytes((copied.path / "checkpoint" / "00001.npz").read_bytes())
    copied.write_checkpoint(2, {"a": np.zeros(1)})
    assert [path.name for path in copied.list_checkpoints()] == ["00002.npz", "00001.npz"]
    assert copy.exists()
