"""Whoever is given a run folder runs no code of it, and reads none of his other files."""

import json
import shutil
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from galclass.errors import RunError
from galclass.network._tensorflow import keras

ARRAY = "layers/conv2d/vars/0"


def _lambda(path):
    inputs = keras.Input((69, 69, 3), dtype="uint8")
    code = "__import__('os').mkdir('ran')"
    layer = keras.layers.Lambda(eval(f"lambda x: ({code}, x)[1]"), output_shape=(69, 69, 3))
    keras.Model(inputs, layer(inputs)).save(path)
    shutil.rmtree("ran", ignore_errors=True)  # Some versions of Keras call the layer.


def _config(path):
    config = {"module": "os", "class_name": "mkdir", "config": {"name": "ran"}}
    _replace_member(path, "config.json", json.dumps(config | {"registered_name": None}))


def _external_storage(file, shape):
    with open("secret", "wb") as secret:
        secret.write(bytes(4 * int(np.prod(shape))))
    file.create_dataset(ARRAY, shape, "f4", external=[("secret", 0, h5py.h5f.UNLIMITED)])


def _virtual(file, shape):
    layout = h5py.VirtualLayout(shape, "f4")
    layout[...] = h5py.VirtualSource("other.h5", "secret", shape)
    file.create_virtual_dataset(ARRAY, layout)


def _array(change):
    """Change one array of the weights."""

    def edit(path):
        with zipfile.ZipFile(path) as archive:
            archive.extract("model.weights.h5")
        with h5py.File("model.weights.h5", "r+") as file:
            shape = file[ARRAY].shape
            del file[ARRAY]
            change(file, shape)
        _replace_member(path, "model.weights.h5", Path("model.weights.h5").read_bytes())

    return edit


def _replace_member(path, name, content):
    with zipfile.ZipFile(path) as archive:
        members = {each: archive.read(each) for each in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for each, old in members.items():
            archive.writestr(each, content if each == name else old)


def _bomb(file, _):
    file.create_dataset(ARRAY, data=np.zeros((4000, 4000), "f4"))


def _link(file, _):
    file[ARRAY] = h5py.ExternalLink("other.h5", "secret")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_lambda, "network"),
        (_config, None),
        *((_array(change), "elsewhere") for change in (_link, _external_storage, _virtual)),
        (_array(_bomb), "bytes.*expected"),
    ],
)
def test_a_model_file_never_runs_code_or_reads_other_files(
    spoil, words, copied, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    weights = copied.load_model().get_weights()
    spoil(copied.path / "model.keras")
    if words:
        with pytest.raises(RunError, match=words):
            copied.load_model()
    else:
        # The network is built from the manifest; what the file says about itself is not read.
        np.testing.assert_equal(copied.load_model().get_weights(), weights)
    assert not (tmp_path / "ran").exists()
