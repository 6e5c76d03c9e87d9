"""A run that was changed after the fact is found out, and an honest one is not."""

import os
import re
import zipfile

import numpy as np
import pytest

from galclass import build_cnn, load_run, verify
from galclass.data.dataset import Dataset, Origin, write_data
from galclass.errors import RunError
from galclass.evaluation.verify import UNKNOWABLE
from galclass.network import probabilities
from galclass.run import Run

FILES = ("manifest.json", "metrics.json", "history.csv")
FILES += ("predictions.npz", "mistakes.npz", "examples.npz")


@pytest.fixture(scope="module", autouse=True)
def quick():
    """Networks are loaded and applied once only."""
    load, predict, kept = Run.load_model, probabilities.predict_proba, {}

    def once(call, *key):
        kept[key] = kept[key] if key in kept else call()
        return kept[key]

    def load_once(run, name="model", **options):
        file = run.path / f"{name}.keras"
        key = file.exists() and file.read_bytes(), repr(run.manifest["network"]), repr(options)
        return once(lambda: load(run, name, **options), *key)

    def predict_once(*args, **options):
        key = id(args[0]), args[2].tobytes(), repr(options)
        return once(lambda: predict(*args, **options), *key)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "load_model", load_once)
        patch.setattr(probabilities, "predict_proba", predict_once)
        yield


def test_an_honest_run_has_no_differences_no_path_and_verifying_writes_nothing(
    measured, measured_data
):
    files = [path for path in measured.path.rglob("*") if path.is_file()]
    before = [file.read_bytes() for file in files]
    assert verify(measured.path, measured_data) == []
    assert [file.read_bytes() for file in measured.path.rglob("*") if file.is_file()] == before
    for archive in map(zipfile.ZipFile, measured.path.glob("*.keras")):
        before += [archive.read(name) for name in archive.namelist()]
    for secret in (measured.path.parent, measured_data.parent, measured.path.home()):
        assert len(str(secret)) < 4 or str(secret).encode() not in b"".join(before)


def _leaves(content, path=()):
    """The place of every value of nested dicts, and of the first of each list."""
    pairs = enumerate(content[:1]) if isinstance(content, list) else ()
    pairs = content.items() if isinstance(content, dict) else pairs
    return [leaf for key, one in pairs for leaf in _leaves(one, (*path, key))] or [path]


def _other(value):
    """Another value of the same type, by as little as verify promises to find."""
    if isinstance(value, np.ndarray):
        return np.append(value.flat[:-1], _other(value.flat[-1].item())).reshape(value.shape)
    if isinstance(value, bool) or value is None:
        return not value
    return value + {str: "X", int: 1, float: 0.001}[type(value)]


@pytest.mark.slow
def test_whichever_value_of_a_run_is_changed_is_named(measured, measured_data):
    """All that the run's files hold but what is documented as unknowable."""
    missed = []
    for file in FILES:
        name = file.partition(".")[0]
        for path in _leaves(getattr(measured, name)):
            run = load_run(measured.path)
            parent, keys = getattr(run, name), [file, *map(str, path)]
            for key in path[:-1]:
                parent = parent[key]
            parent[path[-1]] = _other(parent[path[-1]])
            lines = verify(run, measured_data)
            unknowable = any(
                key in UNKNOWABLE.get(", ".join(keys[:depth]), "").split()
                for depth, key in enumerate(keys)
            )  # And of galaxies given as arrays; of simulated ones, see below.
            unknowable |= keys[1:] == ["origin", "name"]
            if unknowable == any(x.startswith(file) and path[0] in x for x in lines):
                missed.append((file, path, lines))
    assert missed == []


REMOVED = ("model.keras", "metrics.json", "predictions.npz", "history.csv")


def other_weights(path):
    build_cnn(input_shape=(40, 40, 3), seed=9).save(path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda run: run.metrics.update(macro_f1=None), "macro_f1.*None"),
        (lambda run: run.metrics.update(calibration=None), "calibration.*None"),
        (lambda run: run.metrics.update(added=1), "added.*1"),
        (lambda run: run.metrics.update(symmetric=False, **run.metrics["plain"]), "symmetric"),
        (lambda run: run.metrics["plain"].clear(), "plain, accuracy"),
        (lambda run: run.manifest["split"].update(protocol="published"), "train_size"),
        (lambda run: run.manifest["origin"].update(kind="galaxy10"), "origin, kind.*galaxy10"),
        (lambda run: run.manifest["origin"].update(kind="file"), "^$"),  # unknowable
        (lambda run: run.manifest.update(precision="int4"), "network.*int4"),
        (lambda run: run.predictions.update(probabilities=np.zeros(15)), "expected"),
        (lambda run: run.history.update(loss=np.full(3, np.nan)), "history.csv, loss.*finite"),
        (lambda run: run.history.pop("loss"), "history.csv.*columns"),
        (lambda run: run.history.update({k: v[:2] for k, v in run.history.items()}), "epochs.* 2"),
        (lambda run: other_weights(run.path / "model.keras"), "model.keras.*weights_sha256"),
        (lambda run: other_weights(run.path / "last.keras"), "last.keras.*weights_sha256"),
        (lambda run: os.truncate(run.path / "last.keras", 900), "last.keras"),
        (lambda run: run.__dict__.update(seen=run.seen + np.uint64(1)), "seen.npz"),
        (lambda run: os.truncate(run.path / "predictions.npz", 900), "predictions.npz"),
        *((lambda run, name=name: os.remove(run.path / name), f"no {name}") for name in REMOVED),
    ],
)
def test_a_changed_or_damaged_run_is_found_out(copied, measured_data, change, words):
    change(copied)
    assert re.search(words, "\n".join(verify(copied, measured_data)))


def test_simulated_galaxies_are_simulated_again_and_their_origin_is_known(simulated_run):
    path = simulated_run.parent / "Galaxy10.h5"
    for key, to, data in (
        *(("name", "a.h5", None), ("kind", "file", path)),
        *(("seed", 1, path), ("galaxies", 299, path)),
    ):
        run = load_run(simulated_run)
        run.manifest["origin"][key] = to
        (line,) = verify(run, data)
        assert f"origin, {key}: recorded {to!r}" in line


def test_other_galaxies_are_found_out_and_galaxies_of_no_place_must_be_given(
    measured, images_of_brightness, tmp_path
):
    images, labels = images_of_brightness[0].copy(), images_of_brightness[1]
    images[5, 3, 3, 1] ^= 1
    write_data(tmp_path / "x.h5", Dataset(images, labels, Origin.of_arrays(images, labels)))
    (line,) = verify(measured, tmp_path / "x.h5")
    assert "x.h5" in line
    with pytest.raises(RunError, match="--data"):
        verify(measured)
    with pytest.raises(FileNotFoundError):
        verify(measured, tmp_path / "missing.h5")
