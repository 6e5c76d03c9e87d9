import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from galclass import load_pretrained, load_run
from galclass.errors import ParameterError, RunError
from galclass.files import remove_leftovers, whole_file, write_json
from galclass.run import Run, as_run, best_epoch, weights_sha256, write_history


@settings(deadline=None)
@given(rows=st.lists(st.tuples(*[st.floats(allow_nan=False)] * 4), min_size=1, max_size=5))
def test_histories_come_back_to_the_last_bit(rows, tmp_path_factory):
    names = ("epoch", "loss", "accuracy", "val_loss", "val_accuracy")
    rows = [dict(zip(names, (k, *row), strict=True)) for k, row in enumerate(rows, 1)]
    path = tmp_path_factory.mktemp("history")
    write_history(path / "history.csv", rows)
    expected = {name: np.array([row[name] for row in rows]) for name in names}
    np.testing.assert_equal(Run(path).history, expected)


def test_the_best_epoch_has_the_highest_accuracy_and_of_equals_the_lowest_loss():
    history = {"val_accuracy": [0.5, 0.8, 0.8, 0.7], "val_loss": [1.0, 0.9, 0.6, 0.1]}
    rows = [dict(zip(history, row, strict=True)) for row in zip(*history.values(), strict=True)]
    assert best_epoch(history) == best_epoch(rows) == 3


def test_the_hash_of_weights_tells_values_shapes_and_order():
    a, b = np.arange(6, dtype="f4"), np.ones(2, "f4")
    hashes = [[a, b], [b, a], [a.reshape(2, 3), b], [a + 1e-6, b]]
    assert len({weights_sha256(arrays) for arrays in hashes}) == 4
    run = load_pretrained()
    arrays = [variable.numpy() for variable in run.load_model().trainable_variables]
    assert weights_sha256(arrays) == run.manifest["weights_sha256"]["model"]
    assert (run.path / "model.keras").stat().st_size < 4_000_000
    assert not list(run.path.glob("examples.npz")) + list(run.path.glob("mistakes.npz"))


def test_the_galaxies_of_a_run_are_told_from_others_and_simulated_ones_found_again(
    measured, images_of_brightness, simulated_run
):
    images, labels = images_of_brightness
    changed = images.copy()
    changed[5, 3, 3, 1] ^= 1
    assert [len(part) for part in measured.split(images, labels)] == [69, 16, 15]
    run = load_run(simulated_run)
    data = run.load_data()
    assert data.origin == run.origin
    assert run.load_data(simulated_run.parent / "Galaxy10.h5").origin.sha256 == run.origin.sha256
    for one, *others in (
        (measured, changed, labels),
        (measured, images, labels[::-1]),
        (measured, images[:50], labels[:50]),
        (load_run(simulated_run), data.images[::-1], data.labels[::-1]),
    ):
        with pytest.raises(RunError, match="not the run's"):
            one.split(*others)
    with pytest.raises(RunError, match="place"):
        measured.load_data()


def test_the_summary_gives_the_metrics_of_every_class(measured):
    table, metrics = measured.summary(), measured.metrics
    assert table["class"].tolist() == [*range(1, 11), 0]
    recalls = [row["recall"] for row in (*metrics["classes"], {"recall": metrics["accuracy"]})]
    np.testing.assert_allclose(table["recall"], 100 * np.array(recalls))
    supports = [row["support"] for row in metrics["classes"]]
    assert table["galaxies"][:-1].tolist() == supports
    assert table.meta["accuracy"] == metrics["accuracy"]


def test_a_calibration_that_is_none_is_refused_and_what_is_neither_run_nor_path(copied):
    wrong = {"temperature": -1, "class_shift": None}
    write_json(copied.path / "metrics.json", copied.metrics | {"calibration": wrong})
    with pytest.raises(RunError, match="no calibration"):
        _ = load_run(copied.path).calibration
    for run in (3, None, {}):
        with pytest.raises(ParameterError, match="expected a Run"):
            as_run(run)


def test_only_temporary_files_of_killed_processes_are_cleared(tmp_path):
    kept = {tmp_path / name for name in (".hidden", "1-00000000.tmp.json", ".12-zz.tmp.json")}
    left = tmp_path / ".123-0123abcd.tmp.json"
    for path in (*kept, left):
        path.touch()
    remove_leftovers(tmp_path, older_than=60)
    assert left.exists()
    remove_leftovers(tmp_path)
    assert set(tmp_path.iterdir()) == kept


@pytest.mark.parametrize(
    ("error", "seen"), [(OSError(28, "No space left on device"), RunError), (KeyError(), KeyError)]
)
def test_a_file_that_cannot_be_written_whole_leaves_the_one_before(tmp_path, error, seen):
    path = tmp_path / "file.txt"
    path.write_text("before")
    with pytest.raises(seen), whole_file(path) as temporary:  # noqa: PT012
        temporary.write_text("half")
        raise error
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]
