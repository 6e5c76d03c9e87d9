import json
import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from galclass import load_pretrained, load_run
from galclass.errors import ParameterError, RunError
from galclass.files import remove_leftovers, whole_file
from galclass.run import as_run, best_epoch, weights_sha256, write_history


@pytest.fixture
def copied(measured, tmp_path):
    shutil.copytree(measured.path, tmp_path / "copied")
    return load_run(tmp_path / "copied")


@given(rows=st.lists(st.tuples(*[st.floats(allow_nan=False)] * 4), min_size=1, max_size=5))
def test_histories_come_back_to_the_last_bit(rows, tmp_path_factory):
    names = ("loss", "accuracy", "val_loss", "val_accuracy")
    rows = [dict(zip(names, row, strict=True), epoch=k) for k, row in enumerate(rows, 1)]
    path = tmp_path_factory.mktemp("history")
    write_history(path / "history.csv", rows)
    (path / "manifest.json").write_text("{}")
    history = type(load_pretrained())(path).history
    for name in (*names, "epoch"):
        np.testing.assert_array_equal(history[name], [row[name] for row in rows])


def test_the_best_epoch_has_the_highest_accuracy_and_of_equals_the_lowest_loss():
    history = {"val_accuracy": [0.5, 0.8, 0.8, 0.7], "val_loss": [1.0, 0.9, 0.6, 0.1]}
    rows = [dict(zip(history, row, strict=True)) for row in zip(*history.values(), strict=True)]
    assert best_epoch(history) == best_epoch(rows) == 3


def test_the_hash_of_weights_tells_values_shapes_and_order():
    a, b = np.arange(6, dtype="f4"), np.ones(2, "f4")
    hashes = [[a, b], [b, a], [a.reshape(2, 3), b], [a + 1e-6, b]]
    assert len({weights_sha256(arrays) for arrays in hashes}) == 4


def test_the_pretrained_network_is_a_run_in_half_precision():
    run = load_pretrained()
    assert (run.path / "model.keras").stat().st_size < 4_000_000
    arrays = [variable.numpy() for variable in run.load_model().trainable_variables]
    assert weights_sha256(arrays) == run.manifest["weights_sha256"]["model"]
    assert run.calibration.class_shift is not None
    assert not list(run.path.glob("examples.npz")) + list(run.path.glob("mistakes.npz"))


def test_the_galaxies_of_a_run_are_told_from_others(measured, images_of_brightness):
    images, labels = images_of_brightness
    assert [len(part) for part in measured.split(images, labels)] == [69, 16, 15]
    noise = np.random.default_rng(0).integers(0, 256, images.shape, dtype=np.uint8)
    for other in ((noise, labels), (images, labels[::-1]), (images[:50], labels[:50])):
        with pytest.raises(RunError, match="not the run's 100"):
            measured.split(*other)
    with pytest.raises(RunError, match="place is not recorded"):
        measured.load_data()


def test_a_simulated_run_finds_its_galaxies_again(simulated_run):
    run = load_run(simulated_run)
    data = run.load_data()
    assert data.origin == run.origin
    assert run.origin.simulated
    assert run.load_data(simulated_run.parent / "Galaxy10.h5").origin.sha256 == run.origin.sha256
    with pytest.raises(RunError, match="not the run's"):
        load_run(simulated_run).split(data.images[::-1], data.labels[::-1])


def test_the_summary_gives_the_metrics_of_every_class(measured):
    table, metrics = measured.summary(), measured.metrics
    assert table["class"].tolist() == [*range(1, 11), 0]
    assert table["recall"][-1] == pytest.approx(100 * metrics["accuracy"])
    for row, of_class in zip(table[:-1], metrics["classes"], strict=True):
        assert row["galaxies"] == of_class["support"]
        assert row["recall"] == pytest.approx(100 * of_class["recall"])
    assert table.meta["accuracy"] == metrics["accuracy"]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("manifest.json", "{", "not valid JSON"),
        ("manifest.json", "[]", "holds a list"),
        ("manifest.json", '{"recipe": {}}', "is this a galclass run"),
        ("metrics.json", "{}", "galclass evaluate"),
        ("history.csv", "epoch,loss\n1,x\n", "is damaged"),
        ("predictions.npz", "not an archive", "is damaged"),
        ("model.keras", "not an archive", "does not hold this network's weights"),
    ],
)
def test_a_damaged_file_of_a_run_is_named(copied, name, content, words):
    (copied.path / name).write_text(content)

    def read_all():
        run = load_run(copied.path)
        return run.metrics, run.history, run.predictions, run.load_model()

    with pytest.raises(RunError, match=words):
        read_all()


def test_a_calibration_that_is_none_is_refused(copied):
    metrics = json.loads((copied.path / "metrics.json").read_text())
    metrics["calibration"] = {"temperature": -1, "class_shift": None}
    (copied.path / "metrics.json").write_text(json.dumps(metrics))
    with pytest.raises(RunError, match="no calibration"):
        _ = load_run(copied.path).calibration


@pytest.mark.parametrize("run", [3, None, {}])
def test_what_is_neither_a_run_nor_a_path_is_refused(run):
    with pytest.raises(ParameterError, match="expected a Run or the path"):
        as_run(run)


def test_only_temporary_files_of_killed_processes_are_cleared(tmp_path):
    kept = [tmp_path / name for name in (".hidden", "1-00000000.tmp.json", ".12-zz.tmp.json")]
    for path in kept:
        path.touch()
    (tmp_path / ".123-0123abcd.tmp.json").touch()
    remove_leftovers(tmp_path, older_than=60)
    assert len(list(tmp_path.iterdir())) == 4
    remove_leftovers(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted(kept)


def test_a_file_that_cannot_be_written_whole_leaves_the_one_before(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("before")

    def write(error):
        with whole_file(path) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(RunError, match="the disk is full"):
        write(OSError(28, "No space left on device"))
    with pytest.raises(KeyError):
        write(KeyError())
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]
