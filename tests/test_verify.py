"""A run that was changed after the fact is found out, and an honest one is not."""

import json
import re
import shutil
import zipfile

import h5py
import keras
import numpy as np
import pytest

from galclass import evaluate, load_run
from galclass.galaxy10 import write_galaxy10
from galclass.runs import RunError, write_npz
from galclass.sources import load_run_data
from galclass.verify import verify


@pytest.fixture(scope="module")
def measured(pictures, trained, tmp_path_factory):
    """An evaluated run, and the file of its galaxies."""
    folder = tmp_path_factory.mktemp("verified")
    run = load_run(shutil.copytree(trained.path, folder / "run"))
    evaluate(run, *pictures)
    write_galaxy10(folder / "galaxies.h5", *pictures)
    return run.path, folder / "galaxies.h5"


@pytest.fixture
def copied(measured, tmp_path):
    return shutil.copytree(measured[0], tmp_path / "run")


def test_an_honest_run_has_no_differences_and_verifying_writes_nothing(measured):
    path, data = measured
    before = {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
    assert verify(path, data) == []
    assert before == {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}


def _edit_json(name, *keys, to):
    def edit(run):
        content = whole = json.loads((run / name).read_text())
        for key in keys[:-1]:
            content = content[key]
        content[keys[-1]] = to
        (run / name).write_text(json.dumps(whole))

    return edit


def _edit_predictions(run):
    saved = load_run(run).predictions
    saved["probabilities"][3] = saved["probabilities"][3][::-1]
    write_npz(run / "predictions.npz", **saved)


def _take_other_indices(run):
    saved = load_run(run).predictions
    saved["indices"][0] += 1
    write_npz(run / "predictions.npz", **saved)


def _edit_weights(run):
    model = load_run(run).load_model("last")
    weights = model.get_weights()
    weights[0].flat[0] += 1e-6
    model.set_weights(weights)
    model.save(run / "last.keras")


def _swap_models(run):
    shutil.copy(run / "last.keras", run / "model.keras")
    _edit_weights(run)


def _lose_an_epoch(run):
    lines = (run / "history.csv").read_text().splitlines()
    (run / "history.csv").write_text("\n".join(lines[:-1]))


def _remove(name):
    return lambda run: (run / name).unlink()


def _cut_off(name):
    def cut(run):
        content = (run / name).read_bytes()
        (run / name).write_bytes(content[: len(content) // 2])

    return cut


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (_edit_json("metrics.json", "accuracy", to=0.99), "metrics.json, accuracy: recorded 0.99"),
        (_edit_json("metrics.json", "macro_f1", to=None), "macro_f1: recorded None"),
        (_edit_json("metrics.json", "classes", 4, "recall", to=0.5), r"classes\[4\], recall"),
        (_edit_json("metrics.json", "confusion_matrix", 0, 0, to=99), r"matrix\[0\]\[0\]"),
        (_edit_json("metrics.json", "last_epoch", "log_loss", to=0.1), "last_epoch, log_loss"),
        (_edit_json("metrics.json", "plain", to={}), "plain, accuracy"),
        (_edit_json("metrics.json", "public_mix", "macro_f1", to=0.99), "public_mix, macro_f1"),
        (_edit_json("metrics.json", "temperature", to=None), "public_mix cannot be computed"),
        (_edit_json("manifest.json", "status", to="training"), "status: 'training'"),
        (_edit_json("manifest.json", "epochs", to=30), "epochs: recorded 30, found 3"),
        (_edit_json("manifest.json", "best_epoch", to=9), "best_epoch: recorded 9"),
        (_edit_json("manifest.json", "class_counts", 2, to=11), r"class_counts\[2\]"),
        (_edit_json("manifest.json", "split", "sha256", to="0" * 64), "split, sha256"),
        (_edit_json("manifest.json", "split", "test_size", to=14), "test_size: recorded 14"),
        (_edit_json("manifest.json", "split", "protocol", to="lucky"), "unknown split 'lucky'"),
        (_edit_json("manifest.json", "source", "sha256", to="0" * 64), "data: .*sha256"),
        (_edit_json("manifest.json", "network", "classes", to=9), "model.keras does not hold"),
        (_edit_predictions, "probabilities of 1 of 15 galaxies are not those that model.keras"),
        (_take_other_indices, "indices are not those of the test galaxies"),
        (_edit_weights, "weights_sha256, last"),
        (_swap_models, "weights_sha256, (model|last)"),
        (_lose_an_epoch, "epochs: recorded 3, found 2"),
        (_remove("model.keras"), "no model.keras"),
        (_remove("metrics.json"), "no metrics.json"),
        (_remove("predictions.npz"), "no predictions.npz"),
        (_remove("history.csv"), "no history.csv"),
        (_cut_off("last.keras"), "last.keras does not hold"),
        (_cut_off("predictions.npz"), "predictions.npz is damaged"),
    ],
)
def test_a_changed_run_is_found_out(measured, copied, edit, words):
    edit(copied)
    found = "\n".join(verify(copied, measured[1]))
    assert re.search(words, found)


def test_other_galaxies_are_found_out(measured, pictures, tmp_path):
    images = pictures[0].copy()
    images[5, 3, 3, 1] ^= 1
    write_galaxy10(tmp_path / "other.h5", images, pictures[1])
    (line,) = verify(measured[0], tmp_path / "other.h5")
    assert line.startswith("data: other.h5")
    with pytest.raises(RunError, match="pictures are not the run's"):
        evaluate(load_run(measured[0]), images, pictures[1])


def test_galaxies_whose_place_is_not_recorded_must_be_given(measured, copied):
    with pytest.raises(RunError, match="--data PATH"):
        verify(copied)
    images, _, source = load_run_data(load_run(copied), measured[1])
    assert len(images) == source["galaxies"] == 100


def test_no_file_of_a_run_holds_a_path_of_the_machine(measured):
    path, data = measured
    for file in path.rglob("*"):
        if file.suffix == ".keras":
            with zipfile.ZipFile(file) as archive:
                content = b"".join(archive.read(name) for name in archive.namelist())
        else:
            content = file.read_bytes()
        for secret in (path.parent, data.parent, path.home()):
            assert len(str(secret)) < 4 or str(secret).encode() not in content, file


def _malicious(path, kind, model):
    """A model file that would run code, or read other files, if it were loaded as it says."""
    if kind == "lambda":
        inputs = keras.Input((69, 69, 3), dtype="uint8")
        code = "__import__('os').mkdir('ran')"
        layer = keras.layers.Lambda(eval(f"lambda x: ({code}, x)[1]"), output_shape=(69, 69, 3))
        keras.Model(inputs, layer(inputs)).save(path)
        shutil.rmtree("ran", ignore_errors=True)  # Some versions of Keras call the layer.
        return
    model.save(path)
    if kind == "config":
        config = {
            "module": "os",
            "class_name": "mkdir",
            "config": {"name": "ran"},
            "registered_name": None,
        }
        _replace_member(path, "config.json", json.dumps(config).encode())
        return
    with zipfile.ZipFile(path) as archive, archive.open("model.weights.h5") as member:
        content = member.read()
    weights = path.with_name("weights.h5")
    weights.write_bytes(content)
    with h5py.File(weights, "r+") as file:
        name = "layers/conv2d/vars/0"
        shape = file[name].shape
        del file[name]
        if kind == "external link":
            file[name] = h5py.ExternalLink("other.h5", "secret")
        elif kind == "external storage":
            path.with_name("secret").write_bytes(bytes(4 * int(np.prod(shape))))
            secret = [(str(path.with_name("secret")), 0, h5py.h5f.UNLIMITED)]
            file.create_dataset(name, shape, "f4", external=secret)
        elif kind == "virtual":
            layout = h5py.VirtualLayout(shape, "f4")
            layout[...] = h5py.VirtualSource("other.h5", "secret", shape)
            file.create_virtual_dataset(name, layout)
        elif kind == "bomb":
            file.create_dataset(name, data=np.zeros((4000, 4000), "f4"))
    _replace_member(path, "model.weights.h5", weights.read_bytes())


def _replace_member(path, name, content):
    with zipfile.ZipFile(path) as archive:
        members = {each: archive.read(each) for each in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for each, old in members.items():
            archive.writestr(each, content if each == name else old)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("lambda", "does not hold this network's weights"),
        ("config", None),
        ("external link", "points to data elsewhere"),
        ("external storage", "points to data elsewhere"),
        ("virtual", "points to data elsewhere"),
        ("bomb", "bytes of weights, expected"),
    ],
)
def test_a_model_file_never_runs_code_or_reads_other_files(
    copied, tmp_path, monkeypatch, kind, words
):
    monkeypatch.chdir(tmp_path)
    run = load_run(copied)
    weights = run.load_model().get_weights()
    _malicious(copied / "model.keras", kind, run.load_model())
    if words:
        with pytest.raises(RunError, match=words):
            run.load_model()
    else:
        # The network is built from the manifest; what the file says about itself is not read.
        for one, other in zip(run.load_model().get_weights(), weights, strict=True):
            np.testing.assert_array_equal(one, other)
    assert not (tmp_path / "ran").exists()
