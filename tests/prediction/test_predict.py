"""Images in, a table out."""

import numpy as np
import pytest
from PIL import Image

from galclass import CLASS_NAMES, build_cnn, load_run, predict
from galclass.errors import DataError, ParameterError, RunError
from galclass.files import write_json
from galclass.network._tensorflow import keras
from galclass.network.calibration import Calibration
from galclass.network.probabilities import predict_proba
from galclass.network.symmetry import apply_symmetry

SMALL = {"filters": ((4, 4), (4,), (4,)), "dense_units": (8,)}


@pytest.fixture(scope="module")
def model():
    return build_cnn(seed=3, **SMALL)


@pytest.fixture(scope="module")
def folder(like_galaxy10, tmp_path_factory):
    """Ten images of 69 pixels, and with them one that is cut off and one without colour."""
    path = tmp_path_factory.mktemp("images")
    for i, image in enumerate(like_galaxy10[0][::10]):
        Image.fromarray(image).save(path / f"g{i:02d}.png")
    (path / "g03b.png").write_bytes((path / "g00.png").read_bytes()[:3000])
    Image.open(path / "g00.png").convert("L").save(path / "g05b.JPG")
    (path / "notes.txt").write_text("not an image")
    return path


def probabilities(table):
    return np.stack([table[f"p{c}"] for c in range(10)], axis=1)


@pytest.mark.parametrize("symmetric", [False, True])
def test_a_row_says_class_runner_up_and_probabilities(symmetric, model, like_galaxy10):
    images = like_galaxy10[0]
    table = predict(images, run=model, symmetric=symmetric)
    expected = predict_proba(model, images, symmetric=symmetric)
    np.testing.assert_allclose(probabilities(table), expected, atol=1e-6)
    order = np.argsort(expected, axis=1).T
    np.testing.assert_array_equal([table["runner_up"], table["class"]], order[-2:])
    np.testing.assert_allclose(table["probability"], expected.max(axis=1), atol=1e-6)
    assert table["source"][:2].tolist() == ["image 0", "image 1"]
    assert set(table["error"]) == {""}
    assert table.meta["symmetric"] is symmetric
    turned = predict(np.rot90(images[:5], axes=(1, 2)), run=model, symmetric=symmetric)
    assert np.allclose(table["p2"][:5], turned["p2"], atol=1e-6) == symmetric


@pytest.mark.parametrize("batch_size", [4, 256])
def test_broken_images_keep_their_row_and_the_others_their_answers(
    model, folder, like_galaxy10, batch_size
):
    table = predict(folder, run=model, batch_size=batch_size)
    names = [source.rpartition("/")[2] for source in table["source"]]
    assert (names, len(names)) == (sorted(names), 12)
    broken = np.isin(names, ["g03b.png", "g05b.JPG"])
    for name in ("class", "class_name", "probability", "runner_up", "entropy", "p0", "p9"):
        np.testing.assert_array_equal(table[name].mask, broken)
    assert "cut off" in table["error"][names.index("g03b.png")]
    assert "colour" in table["error"][names.index("g05b.JPG")]
    assert set(table["error"][~broken]) == {""}
    good = predict(like_galaxy10[0][::10], run=model)
    np.testing.assert_allclose(table["p3"][~broken], good["p3"], atol=1e-6)


def test_all_forms_of_images_are_taken_and_the_progress_bar_counts_them(
    model, like_galaxy10, folder, capfd
):
    image, path = like_galaxy10[0][0], folder / "g00.png"
    stream = (one for one in [str(path), Image.fromarray(image), image, folder / "gone.png"])
    table = predict(stream, run=model)
    assert table["source"].tolist() == [str(path), "image 1", "image 2", f"{folder}/gone.png"]
    np.testing.assert_allclose(table["p0"][:3], table["p0"][0], rtol=1e-5)
    assert "no file" in table["error"][3]
    assert len(predict(path, run=model)) == 1
    wide = np.pad(image, ((100, 100), (100, 100), (0, 0)))
    assert predict(wide, run=model)["p0"][0] != table["p0"][0]
    cropped = predict([image], run=model, crop=0.5)
    assert cropped["p0"][0] != table["p0"][0]
    assert cropped.meta["crop"] == 0.5
    assert capfd.readouterr().err == ""
    predict([image] * 7, run=model, progress=True)
    assert "7/7" in capfd.readouterr().err


@pytest.mark.parametrize("symmetric", [False, True])
def test_a_run_and_its_folder_predict_as_its_network_calibrated_after_averaging_and_say_so(
    copied, images_of_brightness, symmetric
):
    images, shift = images_of_brightness[0][:5], [2.0, *[0.0] * 9]
    metrics = copied.metrics | {"calibration": {"temperature": 0.02, "class_shift": shift}}
    write_json(copied.path / "metrics.json", metrics)
    run, network = load_run(copied.path), copied.load_model()
    before = predict_proba(network, images, symmetric=symmetric)
    expected = run.calibration.apply(before)
    assert np.abs(expected - before).max() > 0.1
    settings = {"symmetric": symmetric, "precision": "float32"}
    for form in (run, run.path, str(run.path)):
        table = predict(images, run=form, **settings)
        np.testing.assert_allclose(probabilities(table), expected, rtol=1e-4)
    assert len(table.meta.pop("sha256")) == 64
    del table.meta["galclass"]
    assert table.meta.pop("class_names") == list(CLASS_NAMES)
    calibration = {"network": "copied", "temperature": 0.02, "class_shift": shift}
    assert table.meta == {"crop": table.meta["crop"], **calibration, **settings}
    if symmetric:
        turned = (apply_symmetry(images, element) for element in range(8))
        each = [run.calibration.apply(predict_proba(network, one)) for one in turned]
        assert np.abs(np.mean(each, axis=0) / expected - 1).max() > 1e-3


def test_an_unevaluated_run_is_not_calibrated(trained, images_of_brightness):
    images, run = images_of_brightness[0][:5], load_run(trained.path)
    assert run.calibration == Calibration()
    table = predict(images, run=run, symmetric=False, precision="float32")
    expected = predict_proba(run.load_model(), images)
    np.testing.assert_allclose(probabilities(table), expected, rtol=1e-5)


def test_without_a_run_the_pretrained_network_predicts(galaxies):
    table = predict(galaxies.images[:3], symmetric=False)
    assert table.meta["network"] == "pretrained"
    np.testing.assert_allclose(probabilities(table).sum(axis=1), 1, atol=1e-5)


def layers(scale=1 / 255, *, shape=(69, 69, 3), activation="softmax", classes=10):
    """A network as users build their own."""
    rescaling = [keras.layers.Rescaling(scale)] if scale else []
    end = keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(classes, activation=activation)
    return keras.Sequential([keras.layers.Input(shape, dtype="float32"), *rescaling, *end])


class Subclassed(keras.Model):
    """A network without layers of its own."""


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: keras.Sequential([keras.layers.Dense(10)]), "not built"),
        (Subclassed, "not built"),
        (lambda: layers(None), "Rescaling"),
        (lambda: layers(shape=(64, 69, 3)), "square"),
        *((lambda a=a: layers(activation=a), "softmax") for a in (None, "sigmoid")),
        (lambda: layers(np.nan), "softmax"),
        (lambda: layers(classes=1), "two or more"),
    ],
)
def test_a_network_that_would_answer_wrongly_is_refused(make, words):
    with pytest.raises(DataError, match=words):
        predict(np.zeros((2, 69, 69, 3), np.uint8), run=make())


def test_a_network_of_ones_own_predicts(like_galaxy10):
    images, own = like_galaxy10[0][:3], layers()
    table = predict(images, run=own)
    np.testing.assert_allclose(probabilities(table), own.predict(images, verbose=0), atol=1e-6)
    assert (table.meta["symmetric"], table.meta["network"]) == (False, own.name)


def test_what_cannot_be_predicted_at_all_is_refused(model, tmp_path):
    zeros = np.zeros((2, 69, 69, 3), np.uint8)
    for error, words, images, settings in [
        (DataError, "at least one", [], {}),
        (FileNotFoundError, "no file", tmp_path / "gone", {}),
        (DataError, "no image", tmp_path, {}),
        (RunError, "no run", zeros, {"run": tmp_path / "gone"}),
        (DataError, "0-1", zeros.astype(float), {}),
        (ParameterError, "batch_size=0", zeros, {"batch_size": 0}),
        (ParameterError, "batch_size=True", zeros, {"batch_size": True}),
        (ParameterError, "crop=2", zeros, {"crop": 2}),
        (ParameterError, "float8", zeros, {"precision": "float8", "run": None}),
    ]:
        with pytest.raises(error, match=words):
            predict(images, **{"run": model, **settings})
