"""A run that was damaged or edited is found out, and an honest one is not."""

import functools
import operator
import os
import re
import shutil
import zipfile

import numpy as np
import pytest

from galclass import build_cnn, load_run, verify
from galclass.data.dataset import Dataset
from galclass.errors import RunError
from galclass.evaluation.verify import UNKNOWABLE
from galclass.files import read_json, read_npz, write_json, write_npz
from galclass.load import write_data
from galclass.network import probabilities
from galclass.run import Run

IMAGE_FILES = ("examples.npz", "mistakes.npz")
FILES = (
    "manifest.json",
    "metrics.json",
    "history.csv",
    "predictions.npz",
    "validation.npz",
    "seen.npz",
    *IMAGE_FILES,
)


@pytest.fixture(scope="module", autouse=True)
def cached_networks():
    """Load each network once, and predict each set of images once."""
    load_model = Run.load_model
    predict_proba = probabilities.predict_proba
    networks = {}
    predictions = {}

    def load_once(run):
        path = run.path / "model.keras"
        if not path.exists():
            return load_model(run)
        manifest = run.manifest
        digest = manifest.get("weights_sha256")
        key = (path.read_bytes(), repr(manifest["network"]), digest)
        if key not in networks:
            networks[key] = load_model(run)
        return networks[key]

    def predict_once(model, images, indices, symmetric=False):
        key = (id(model), indices.tobytes(), symmetric)
        if key not in predictions:
            predictions[key] = predict_proba(model, images, indices, symmetric=symmetric)
        return predictions[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "load_model", load_once)
        patch.setattr(probabilities, "predict_proba", predict_once)
        yield


def read(path):
    if path.suffix == ".json":
        return read_json(path, hint="")
    if path.suffix == ".npz":
        return read_npz(path, hint="")
    return load_run(path.parent).history


def write(path, content):
    if path.suffix == ".json":
        write_json(path, content)
    elif path.suffix == ".npz":
        write_npz(path, **content)
    else:
        rows = zip(*content.values(), strict=True)
        load_run(path.parent).write_history([dict(zip(content, row, strict=True)) for row in rows])


def change(run, file, *keys, to):
    """Change one value in a file of a run; `to` is a function of the old value."""
    content = read(run.path / file)
    parent = functools.reduce(operator.getitem, keys[:-1], content)
    parent[keys[-1]] = to(parent[keys[-1]])
    write(run.path / file, content)


def find_differences(run, data):
    return "\n".join(verify(run, data))


def test_honest_run_has_no_differences_and_nothing_is_written(measured, measured_data):
    files = [path for path in measured.path.rglob("*") if path.is_file()]
    before = [path.read_bytes() for path in files]
    assert verify(measured.path, measured_data) == []
    assert [path.read_bytes() for path in measured.path.rglob("*") if path.is_file()] == before


def test_run_holds_no_path_of_this_machine(measured, measured_data):
    contents = [path.read_bytes() for path in measured.path.rglob("*") if path.is_file()]
    with zipfile.ZipFile(measured.path / "model.keras") as archive:
        contents += [archive.read(name) for name in archive.namelist()]
    for folder in (measured.path.parent, measured_data.parent, measured.path.home()):
        if len(folder.parts) > 1:
            assert str(folder).encode() not in b"".join(contents)


def list_leaves(content, path=()):
    """Return the path of every value of nested dicts, and of the first value of each list."""
    if isinstance(content, dict):
        items = list(content.items())
    elif isinstance(content, list):
        items = list(enumerate(content[:1]))
    else:
        items = []
    leaves = [leaf for key, value in items for leaf in list_leaves(value, (*path, key))]
    return leaves or [path]


def other_value(value):
    """Return another value of the same type, with the smallest change that verify must find."""
    if isinstance(value, np.ndarray):
        changed = value.copy()
        changed.flat[-1] = other_value(value.flat[-1].item())
        return changed
    if isinstance(value, bool) or value is None:
        return not value
    if isinstance(value, int):
        return value ^ 1
    if isinstance(value, str):
        return value + "X"
    return value + 0.001


def is_unknowable(file, path):
    """Tell if the documentation says that verify cannot find a change of this value."""
    if file == "manifest.json" and path[0] == "origin":  # The galaxies came as arrays.
        return path[1] not in ("sha256", "galaxies")
    names = [file, *map(str, path)]
    return any(
        key in UNKNOWABLE.get(", ".join(names[:depth]), ()) for depth, key in enumerate(names)
    )


@pytest.mark.slow
@pytest.mark.parametrize("file", FILES)
def test_every_changed_value_is_found_except_those_that_cannot_be_known(
    copied, measured_data, file
):
    original = (copied.path / file).read_bytes()
    missed = []
    for path in list_leaves(read(copied.path / file)):
        change(copied, file, *path, to=other_value)
        if verify(copied, measured_data) == [] and not is_unknowable(file, path):
            missed.append(path)
        (copied.path / file).write_bytes(original)
    assert missed == []


def test_settings_that_leave_no_trace_cannot_be_verified(copied, measured_data):
    manifest = copied.manifest
    manifest.update(recipe_name="custom", seed=7, precision="bfloat16", note="Mine.")
    manifest["recipe"].update(optimizer="adam", batch_size=99, learning_rate=0.5, averaging=0.0)
    manifest["origin"].update(kind="file", title="Mine", name="mine.h5")
    copied.write_manifest(manifest)
    change(copied, "history.csv", "loss", to=lambda loss: loss + 1)
    assert verify(copied, measured_data) == []


def test_run_without_images_is_verified_without_them(copied, measured_data):
    for name in IMAGE_FILES:
        (copied.path / name).unlink()
    assert verify(copied, measured_data) == []


def test_weights_of_another_network_are_found(copied, measured_data):
    build_cnn(input_shape=(40, 40, 3), seed=9).save(copied.path / "model.keras")
    (line,) = verify(copied, measured_data)
    assert re.search(r"model.keras.*sha256", line)
    manifest = copied.manifest
    del manifest["weights_sha256"]
    copied.write_manifest(manifest)
    differences = find_differences(copied, measured_data)
    for words in ("weights_sha256: recorded None", "val_accuracy", "predictions.npz", "metrics"):
        assert words in differences


@pytest.mark.parametrize(
    ("file", "keys", "to", "words"),
    [
        ("manifest.json", ["status"], lambda _: "training", "'training', expected 'complete'"),
        (
            "manifest.json",
            ["split", "protocol"],
            lambda _: "published",
            "split, train_size: recorded 69, expected 64",
        ),
        ("metrics.json", ["confusion_matrix"], lambda rows: rows[1:], "9 values, expected 10"),
        ("history.csv", ["epoch"], lambda epochs: epochs + 1, "epochs 1, 2, 3"),
        ("history.csv", ["loss"], lambda loss: loss * np.nan, "loss: not all numbers are finite"),
        ("usual.npz", ["mean"], lambda mean: 1.1 * mean, "usual.npz, mean: 39 of 39 rows"),
    ],
)
def test_changes_are_described(copied, measured_data, file, keys, to, words):
    change(copied, file, *keys, to=to)
    assert words in find_differences(copied, measured_data)


def test_added_and_missing_entries_are_found(copied, measured_data):
    copied.write_metrics(copied.metrics | {"added": 1})
    assert verify(copied, measured_data) == ["metrics.json, added: recorded 1, expected None"]
    history = copied.history
    for words, changed in (
        ("expected the columns", {key: history[key] for key in list(history)[1:]}),
        ("recipe, epochs: recorded 3, expected 2", {key: history[key][:2] for key in history}),
    ):
        write(copied.path / "history.csv", changed)
        assert words in find_differences(copied, measured_data)


@pytest.mark.parametrize(
    "file", ["model.keras", "metrics.json", "predictions.npz", "history.csv", "usual.npz"]
)
def test_missing_and_damaged_files_are_found(copied, measured_data, file):
    os.truncate(copied.path / file, 900)
    assert file in find_differences(copied, measured_data)
    (copied.path / file).unlink()
    assert file in find_differences(copied, measured_data)


@pytest.mark.slow
def test_simulated_galaxies_are_simulated_again_and_their_origin_is_compared(
    simulated_run, tmp_path
):
    path = simulated_run.parent / "Galaxy10.h5"
    for key, value, data in (
        ("name", "a.h5", None),
        ("kind", "file", path),
        ("seed", 1, path),
        ("galaxies", 299, path),
        ("crop", 0.5, None),
    ):
        run = load_run(shutil.copytree(simulated_run, tmp_path / key))
        run.write_manifest(run.manifest | {"origin": run.origin.record() | {key: value}})
        (line,) = verify(run, data)
        assert f"origin, {key}: recorded {value!r}" in line


def test_other_galaxies_are_found_and_galaxies_without_a_known_place_must_be_given(
    measured, images_of_brightness, tmp_path
):
    images, labels = images_of_brightness
    changed = images.copy()
    changed[5, 3, 3, 1] ^= 1
    write_data(tmp_path / "x.h5", Dataset(changed, labels, measured.origin))
    (line,) = verify(measured, tmp_path / "x.h5")
    assert "x.h5" in line
    with pytest.raises(RunError, match="--data"):
        verify(measured)
    with pytest.raises(FileNotFoundError):
        verify(measured, tmp_path / "missing.h5")
