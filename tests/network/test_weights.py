"""Keras opens a model file, and a model file never runs code or reads other files here."""

import json
import shutil
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from galclass import build_cnn, load_run
from galclass.errors import DataError, RunError
from galclass.network._tensorflow import keras
from galclass.network.weights import get_weights, read_weights, set_weights, weights_sha256

ARRAY = "layers/conv2d/vars/0"  # of the first convolution
REFUSED = r"model.keras does not (contain|hold) the .*network.*"
SMALL = {"input_shape": (32, 32, 3), "classes": 3, "filters": ((2,),), "dense_units": (3,)}


@pytest.fixture
def run(trained, tmp_path, monkeypatch):
    """A copy of a run in the working directory."""
    monkeypatch.chdir(tmp_path)
    return load_run(shutil.copytree(trained.path, tmp_path / "run"))


def test_plain_keras_opens_the_file_with_equal_weights(trained, images_of_brightness):
    model = keras.models.load_model(trained.path / "model.keras")
    ours = trained.load_model()
    np.testing.assert_equal(model.get_weights(), ours.get_weights())
    images = images_of_brightness[0][:3]
    np.testing.assert_allclose(model(images), ours(images), atol=1e-6)


def test_only_weights_whose_name_and_shape_match_are_set():
    model = build_cnn(seed=2, **SMALL)
    before = get_weights(model)
    given = get_weights(build_cnn(seed=1, **{**SMALL, "classes": 4}))
    given["other/kernel"] = given["conv1_1/kernel"]
    set_weights(model, given)
    after = get_weights(model)
    np.testing.assert_equal(after["conv1_1/kernel"], given["conv1_1/kernel"])
    np.testing.assert_equal(after["classes/kernel"], before["classes/kernel"])


def test_hash_of_weights_depends_on_values_shapes_and_order():
    a = np.arange(6, dtype=np.float32)
    b = np.ones(2, np.float32)
    weights = [[a, b], [b, a], [a.reshape(2, 3), b], [a + 1e-6, b]]
    assert len({weights_sha256(arrays) for arrays in weights}) == 4
    assert weights_sha256([a, b]) == weights_sha256(iter([a.copy(), b]))


def test_file_of_another_network_is_refused(tmp_path):
    build_cnn(**SMALL).save(tmp_path / "small.keras")
    shapes = {"conv1_1/kernel": (3, 3, 3, 3)}
    with pytest.raises(DataError, match=r"float32 \(3, 3, 3, 2\), expected float32 \(3, 3, 3, 3\)"):
        read_weights(tmp_path / "small.keras", shapes)


def replace_member(path, name, content):
    with zipfile.ZipFile(path) as archive:
        members = {each: archive.read(each) for each in archive.namelist()}
    members[name] = content
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for each, data in members.items():
            archive.writestr(each, data)


def store_link(file, shape):
    file[ARRAY] = h5py.ExternalLink("other.h5", "secret")


def store_externally(file, shape):
    Path("secret").write_bytes(bytes(4 * int(np.prod(shape))))
    file.create_dataset(ARRAY, shape, "f4", external=[("secret", 0, h5py.h5f.UNLIMITED)])


def store_virtually(file, shape):
    layout = h5py.VirtualLayout(shape, "f4")
    layout[...] = h5py.VirtualSource("other.h5", "secret", shape)
    file.create_virtual_dataset(ARRAY, layout)


def store_bomb(file, shape):
    file.create_dataset(ARRAY, data=np.zeros((2000, 2000), "f4"))


@pytest.mark.parametrize(
    ("store", "words"),
    [
        (store_link, "conv1_1/kernel is not stored in the file"),
        (store_externally, "stored in another file"),
        (store_virtually, "stored in another file"),
        (store_bomb, "bytes of weights, expected at most"),
    ],
)
def test_array_that_is_not_in_the_file_is_refused(run, store, words):
    path = run.path / "model.keras"
    with zipfile.ZipFile(path) as archive:
        archive.extract("model.weights.h5")
    with h5py.File("model.weights.h5", "r+") as file:
        shape = file[ARRAY].shape
        del file[ARRAY]
        store(file, shape)
    replace_member(path, "model.weights.h5", Path("model.weights.h5").read_bytes())
    with pytest.raises(RunError, match=f"{REFUSED}{words}"):
        run.load_model()


def test_layer_with_code_is_refused_and_not_run(run):
    code = "__import__('os').mkdir('ran')"
    inputs = keras.Input((69, 69, 3), dtype="uint8")
    layer = keras.layers.Lambda(eval(f"lambda x: ({code}, x)[1]"), output_shape=(69, 69, 3))
    keras.Model(inputs, layer(inputs)).save(run.path / "model.keras")
    shutil.rmtree("ran", ignore_errors=True)  # Some versions of Keras call the layer.
    with pytest.raises(RunError, match=REFUSED):
        run.load_model()
    assert not Path("ran").exists()


def test_network_is_built_from_the_manifest_and_not_from_the_file(run):
    config = {"module": "os", "class_name": "mkdir", "config": {"name": "ran"}}
    config["registered_name"] = None
    replace_member(run.path / "model.keras", "config.json", json.dumps(config))
    run.load_model()  # An error if the weights are not those of the manifest.
    assert not Path("ran").exists()
