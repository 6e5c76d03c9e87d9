"""A run that was changed after the fact is found out, and an honest one is not."""

import copy
import re
import shutil
import zipfile
from functools import lru_cache

import numpy as np
import pytest

from galclass import load_run, verify
from galclass.data.dataset import Dataset, Origin, write_data
from galclass.errors import RunError
from galclass.evaluation.verify import UNKNOWABLE
from galclass.files import write_json, write_npz
from galclass.network import probabilities
from galclass.run import Run

FILES = ("manifest", "metrics", "history", "predictions", "mistakes", "examples")


@pytest.fixture(scope="module")
def data(images_of_brightness, tmp_path_factory):
    """The file of the measured run's galaxies."""
    path = tmp_path_factory.mktemp("verified") / "galaxies.h5"
    images, labels = images_of_brightness
    write_data(path, Dataset(images, labels, Origin.of_arrays(images, labels)))
    return path


@pytest.fixture
def copied(measured, tmp_path):
    return shutil.copytree(measured.path, tmp_path / "run")


def test_an_honest_run_has_no_differences_and_verifying_writes_nothing(measured, data):
    def contents():
        return {file: file.read_bytes() for file in measured.path.rglob("*") if file.is_file()}

    before = contents()
    assert verify(measured.path, data) == []
    assert before == contents()


def _leaves(content, path=()):
    """The place of every value of nested dicts, and of the first three of each list."""
    if isinstance(content, dict) and content:
        return [leaf for key in content for leaf in _leaves(content[key], (*path, key))]
    if isinstance(content, list) and content:
        return [leaf for i, one in enumerate(content[:3]) for leaf in _leaves(one, (*path, i))]
    return [path]


def _changed(value):
    """Another value of the same type, by as little as verify promises to find."""
    if isinstance(value, np.ndarray):
        other = value.copy()
        other.flat[-1] += 1 if value.dtype.kind in "iu" else 0.001
        return other
    if isinstance(value, bool) or value is None:
        return not value
    if isinstance(value, str):
        known = {"complete": "training", "arrays": "file", "float32": "bfloat16"}
        return known.get(value, value + "X")
    return value + 1 if isinstance(value, int) else value + 0.001


def _knowable(name, path):
    keys = [name, *(str(key) for key in path)]
    if (name, path) in {("manifest.json", ("origin", key)) for key in ("kind", "name", "seed")}:
        return False  # Of galaxies given as arrays; of simulated ones, see below.
    return not any(
        key in UNKNOWABLE.get(", ".join(keys[:depth]), "").split() for depth, key in enumerate(keys)
    )


@pytest.fixture
def quick(monkeypatch):
    """Networks are loaded and applied once only."""
    load, predict = lru_cache(Run.load_model), probabilities.predict_proba
    kept = {}

    def load_model(run, weights="model", *, precision="float32"):
        key = weights, repr(run.manifest["network"]), precision
        if key not in kept:
            kept[key] = load(run, weights, precision=precision)
        return kept[key]

    def predict_proba(model, images, indices, *, symmetric=False):
        key = id(model), indices.tobytes(), symmetric
        if key not in kept:
            kept[key] = predict(model, images, indices, symmetric=symmetric)
        return kept[key]

    monkeypatch.setattr(Run, "load_model", load_model)
    monkeypatch.setattr(probabilities, "predict_proba", predict_proba)


def test_whichever_value_of_a_run_is_changed_is_named(measured, data, quick):
    """All that the run's files hold but what is documented as unknowable."""
    honest = {name: getattr(measured, name) for name in FILES}
    suffixes = {"manifest": "json", "metrics": "json", "history": "csv"}
    missed, count = [], 0
    for name, content in honest.items():
        file = f"{name}.{suffixes.get(name, 'npz')}"
        for path in _leaves(content):
            run = load_run(measured.path)
            run.__dict__.update(copy.deepcopy(honest))
            parent = run.__dict__[name]
            for key in path[:-1]:
                parent = parent[key]
            parent[path[-1]] = _changed(parent[path[-1]])
            lines = verify(run, data)
            place = file + "".join(f"[{k}]" if isinstance(k, int) else f", {k}" for k in path)
            found = any(place in line for line in lines)
            if name in ("manifest", "history"):
                found = any(line.startswith(file) and path[0] in line for line in lines)
            count += 1
            if found != _knowable(file, path):
                missed.append((file, path, lines))
    assert missed == []
    assert count > 100


def _edit(name, *keys, to):
    def edit(path):
        content = copy.deepcopy(getattr(load_run(path), name))
        parent = content
        for key in keys[:-1]:
            parent = parent[key]
        parent[keys[-1]] = to
        write_json(path / f"{name}.json", content)

    return edit


def _edit_weights(path):
    model = load_run(path).load_model("last")
    weights = model.get_weights()
    weights[0].flat[0] += 1e-6
    model.set_weights(weights)
    model.save(path / "last.keras")


def _swap_models(path):
    shutil.copy(path / "last.keras", path / "model.keras")
    _edit_weights(path)


def _edit_history(column, row, to):
    def edit(path):
        lines = [line.split(",") for line in (path / "history.csv").read_text().splitlines()]
        lines[row][column] = to
        (path / "history.csv").write_text("\n".join(map(",".join, lines)))

    return edit


def _lose_an_epoch(path):
    lines = (path / "history.csv").read_text().splitlines()
    (path / "history.csv").write_text("\n".join(lines[:-1]))


def _claim_no_symmetries(path):
    """Everywhere but in the predictions."""
    metrics = load_run(path).metrics
    write_json(path / "metrics.json", {**metrics, "symmetric": False, **metrics["plain"]})


def _remove(name):
    return lambda path: (path / name).unlink()


def _cut_off(name):
    def cut(path):
        content = (path / name).read_bytes()
        (path / name).write_bytes(content[: len(content) // 2])

    return cut


def _reshape_predictions(path):
    saved = load_run(path).predictions
    write_npz(path / "predictions.npz", **{**saved, "probabilities": saved["labels"]})


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (_edit("metrics", "macro_f1", to=None), "metrics.json, macro_f1: recorded None"),
        (_edit("metrics", "confusion_matrix", 0, 0, to=99), r"matrix\[0\]\[0\]: recorded 99"),
        (_edit("metrics", "plain", to={}), "plain, accuracy"),
        (_edit("metrics", "added", to=1), "metrics.json, added: recorded 1, found None"),
        (_edit("metrics", "calibration", to=None), "metrics.json, calibration: recorded None"),
        (_claim_no_symmetries, "metrics.json, symmetric: recorded False, found True"),
        (_edit("manifest", "status", to="training"), "status: 'training'"),
        (_edit("manifest", "epochs", to=30), "epochs: recorded 30, found 3"),
        (_edit("manifest", "recipe", "l2", to=0.5), "network, l2: recorded 0.0, found 0.5"),
        (_edit("manifest", "split", "protocol", to="lucky"), "unknown split 'lucky'"),
        (_edit("manifest", "split", "protocol", to="published"), "split, train_size"),
        (_edit("manifest", "origin", "sha256", to="0" * 64), "origin: .*sha256"),
        (_edit("manifest", "origin", "kind", to="galaxy10"), "origin, kind: recorded 'galaxy10'"),
        (_edit("manifest", "origin", "kind", to="dreamt"), "origin of kind 'dreamt'"),
        (_edit("manifest", "network", "classes", to=9), "network, classes: recorded 9, found 10"),
        (_edit("manifest", "precision", to="int4"), "describes no network"),
        (_edit_weights, "weights_sha256, last"),
        (_swap_models, "weights_sha256, (model|last)"),
        (_lose_an_epoch, "epochs: recorded 3, found 2"),
        (_edit_history(3, 3, "0.5"), "history.csv, epoch 3, val_loss: recorded 0.5"),
        (_edit_history(1, 2, "nan"), "history.csv, loss: not all numbers are finite"),
        (_edit_history(0, 2, "7"), "history.csv: expected the columns"),
        (_edit_history(1, 0, "cost"), "history.csv: expected the columns"),
        (_reshape_predictions, "predictions.npz, probabilities: .*expected shape"),
        *((_remove(name), f"no {name}") for name in ("model.keras", "metrics.json")),
        *((_remove(name), f"no {name}") for name in ("predictions.npz", "history.csv")),
        (_cut_off("last.keras"), "last.keras does not hold"),
        (_cut_off("predictions.npz"), "predictions.npz is damaged"),
    ],
)
def test_a_changed_or_damaged_run_is_found_out(copied, data, edit, words):
    edit(copied)
    assert re.search(words, "\n".join(verify(copied, data)))


def test_simulated_galaxies_are_simulated_again(simulated_run, tmp_path):
    path = shutil.copytree(simulated_run, tmp_path / "run")
    name = load_run(path).origin.name
    _edit("manifest", "origin", "name", to="Galaxy10.h5")(path)
    line = f"manifest.json, origin, name: recorded 'Galaxy10.h5', found {name!r}"
    assert verify(path) == [line]


@pytest.mark.parametrize(("key", "to"), [("kind", "file"), ("seed", 1), ("galaxies", 299)])
def test_the_origin_of_simulated_galaxies_is_known(simulated_run, tmp_path, key, to):
    path = shutil.copytree(simulated_run, tmp_path / "run")
    _edit("manifest", "origin", key, to=to)(path)
    (line,) = verify(path, simulated_run.parent / "Galaxy10.h5")
    assert line.startswith(f"manifest.json, origin, {key}: recorded {to!r}, found ")


def test_other_galaxies_are_found_out(measured, images_of_brightness, tmp_path):
    images, labels = images_of_brightness[0].copy(), images_of_brightness[1]
    images[5, 3, 3, 1] ^= 1
    other = Dataset(images, labels, Origin.of_arrays(images, labels))
    write_data(tmp_path / "other.h5", other)
    (line,) = verify(measured, tmp_path / "other.h5")
    assert line.startswith("manifest.json, origin: other.h5")


def test_galaxies_whose_place_is_not_recorded_must_be_given(measured, tmp_path):
    with pytest.raises(RunError, match="--data PATH"):
        verify(measured)
    with pytest.raises(FileNotFoundError):
        verify(measured, tmp_path / "missing.h5")


def test_no_file_of_a_run_holds_a_path_of_the_machine(measured, data):
    for file in measured.path.rglob("*"):
        if file.suffix == ".keras":
            with zipfile.ZipFile(file) as archive:
                content = b"".join(archive.read(name) for name in archive.namelist())
        else:
            content = file.read_bytes()
        for secret in (measured.path.parent, data.parent, measured.path.home()):
            assert len(str(secret)) < 4 or str(secret).encode() not in content, file
