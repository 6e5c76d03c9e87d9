"""Images become a table of classes, from the network and the settings that are given."""

from dataclasses import replace

import numpy as np
import pytest
from astropy.table import Table
from PIL import Image

from galclass import CLASS_NAMES, predict
from galclass.data.galaxy10 import GALAXY10_CROP
from galclass.errors import DataError, ParameterError, RunError
from galclass.evaluation.calibration import Calibration, calibration_of
from galclass.images.prepare import Framing, prepare_all
from galclass.network._tensorflow import keras
from galclass.network.probabilities import predict_proba
from galclass.network.symmetry import apply_symmetry
from galclass.prediction import network as networks


@pytest.fixture(scope="module")
def folder(images, tmp_path_factory):
    """Twelve images of 69 pixels; with them one that is cut off and one without colour."""
    path = tmp_path_factory.mktemp("images")
    for number, image in enumerate(images):
        Image.fromarray(image).save(path / f"g{number:02d}.png")
    (path / "g03b.png").write_bytes((path / "g00.png").read_bytes()[:3000])
    Image.open(path / "g00.png").convert("L").save(path / "g05b.JPG")
    (path / "notes.txt").write_text("not an image")
    return path


def probabilities(table):
    return np.stack([table[f"p{c}"] for c in range(10)], axis=1)


def change_manifest(run, **origin):
    run.write_manifest({**run.manifest, "origin": replace(run.origin, **origin).record()})


@pytest.mark.parametrize("symmetric", [False, True])
def test_a_row_holds_class_runner_up_and_probabilities(symmetric, model, like_galaxy10):
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
    batch_size, model, folder, images
):
    table = predict(folder, run=model, batch_size=batch_size)
    names = [source.rpartition("/")[2] for source in table["source"]]
    assert len(names) == 14
    assert names == sorted(names)
    broken = np.isin(names, ["g03b.png", "g05b.JPG"])
    for name in ("class", "class_name", "probability", "runner_up", "entropy", "p0", "p9"):
        np.testing.assert_array_equal(table[name].mask, broken)
    assert "cut off" in table["error"][names.index("g03b.png")]
    assert "colour" in table["error"][names.index("g05b.JPG")]
    assert set(table["error"][~broken]) == {""}
    good = predict(images, run=model)
    np.testing.assert_allclose(table["p3"][~broken], good["p3"], atol=1e-6)


def test_a_progress_bar_counts_the_images_if_it_is_wanted(model, images, capfd):
    predict(images[:7], run=model)
    assert capfd.readouterr().err == ""
    predict(images[:7], run=model, progress=True)
    assert "7/7" in capfd.readouterr().err


@pytest.mark.parametrize("symmetric", [False, True])
def test_a_run_predicts_with_its_calibration_after_the_averaging(
    symmetric, copied, images_of_brightness
):
    images = images_of_brightness[0][:5]
    calibration = Calibration(0.02, (2.0, *[0.0] * 9))
    copied.write_metrics({**copied.metrics, "calibration": calibration.record()})
    network = copied.load_model()
    uncalibrated = predict_proba(network, images, symmetric=symmetric)
    expected = calibration.apply(uncalibrated)
    assert np.abs(expected - uncalibrated).max() > 0.1
    for run in (copied, copied.path, str(copied.path)):
        table = predict(images, run=run, symmetric=symmetric, precision="float32")
        np.testing.assert_allclose(probabilities(table), expected, rtol=1e-4)
    if symmetric:
        turned = [apply_symmetry(images, element) for element in range(8)]
        each = [calibration.apply(predict_proba(network, one)) for one in turned]
        assert np.abs(np.mean(each, axis=0) / expected - 1).max() > 1e-3


def test_a_table_records_the_network_and_its_settings(measured, images_of_brightness):
    table = predict(images_of_brightness[0][:2], run=measured, precision="float32")
    assert table.meta == {
        "galclass": measured.manifest["galclass"],
        "network": measured.path.name,
        "sha256": measured.manifest["weights_sha256"],
        "class_names": list(CLASS_NAMES),
        **calibration_of(measured).record(),
        "symmetric": measured.symmetric,
        "precision": "float32",
        "image_size": 40,
        "crop": None,
        "crop_all": False,
    }


def test_a_run_without_evaluation_is_not_calibrated_and_has_no_unusual_images(
    trained, images_of_brightness
):
    images = images_of_brightness[0][:5]
    table = predict(images, run=trained, symmetric=False, precision="float32")
    expected = predict_proba(trained.load_model(), images)
    np.testing.assert_allclose(probabilities(table), expected, rtol=1e-5)
    assert "unusual" not in table.colnames
    with pytest.raises(RunError, match="evaluate"):
        predict(images, run=trained, purity=0.5)


def test_images_are_ranked_by_how_unusual_they_are(measured, images_of_brightness):
    images = images_of_brightness[0]
    ranks = predict(images[::10], run=measured)["unusual"]
    assert ranks.dtype == np.float32
    assert ((ranks >= 0) & (ranks < 1)).all()
    noise = np.random.default_rng(0).integers(0, 256, (3, 40, 40, 3), np.uint8)
    ranks = predict([*noise, "gone.png"], run=measured)["unusual"]
    validated = len(measured.usual["distances"])
    np.testing.assert_allclose(ranks[:3], validated / (validated + 1), rtol=1e-6)
    assert ranks.mask.tolist() == [False, False, False, True]


def test_without_a_run_the_pretrained_network_predicts_and_warns_of_unusual_images():
    noise = np.random.default_rng(0).integers(0, 256, (3, 69, 69, 3), np.uint8)
    with pytest.warns(UserWarning, match="3 of 3 images are unlike the training images"):
        table = predict(noise, symmetric=False)
    assert table.meta["network"] == "pretrained"
    assert table.meta["crop"] == GALAXY10_CROP
    np.testing.assert_allclose(probabilities(table).sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize(
    ("crop_of_run", "crop", "framing"),
    [
        (None, None, Framing(40, None)),
        (0.75, None, Framing(40, 0.75)),
        (0.75, 0.5, Framing(40, 0.5, force=True)),
    ],
)
def test_images_are_cropped_as_in_training_or_as_the_user_says(
    crop_of_run, crop, framing, copied, images_of_brightness
):
    change_manifest(copied, crop=crop_of_run)
    small = images_of_brightness[0][5]
    ramp = np.linspace(0, 255, 100, dtype=np.uint8)
    large = np.stack([np.broadcast_to(ramp, (100, 100))] * 3, axis=-1)
    table = predict([small, large], run=copied, crop=crop, precision="float32")
    expected = predict(prepare_all([small, large], framing), run=copied, precision="float32")
    np.testing.assert_allclose(probabilities(table), probabilities(expected), atol=1e-6)
    assert (table.meta["crop"], table.meta["crop_all"]) == (framing.crop, framing.force)
    changes_small = predict(small, run=copied, precision="float32")["p0"][0] != table["p0"][0]
    assert changes_small == framing.force


def test_the_galaxy_at_the_threshold_is_in_the_sample(measured, images_of_brightness, monkeypatch):
    image = images_of_brightness[0][0]
    probability = predict(image, run=measured)["probability"][0]
    for cut, expected in ((np.nextafter(np.float64(probability), 2), True), (np.ma.masked, False)):
        cuts = Table({"threshold": [cut] * 10})
        monkeypatch.setattr(networks, "thresholds", lambda *_, cuts=cuts, **__: cuts)
        table = predict([image, "gone.png"], run=measured, purity=0.5)
        assert table["selected"].tolist() == [expected, None]
        assert table.meta["purity"] == 0.5


def test_catalogues_are_classified_row_by_row(folder, model, tmp_path):
    names = ["g05.png", "g00.png", "gone.png"]
    catalogue = Table({"objid": [3, 2, 1], "file": names}, meta={"by": "me", "network": "mine"})
    catalogue.write(tmp_path / "c.csv")
    settings = {"run": model, "image_column": "file", "folder": folder}
    with pytest.warns(UserWarning, match=r"metadata \['network'\] are replaced"):
        table = predict(catalogue, **settings)
    assert (table.meta["by"], table.meta["network"]) == ("me", model.name)
    expected = predict([folder / name for name in names], run=model)
    for found in (table, predict(tmp_path / "c.csv", **settings)):
        assert found.colnames[:3] == ["objid", "file", "source"]
        assert found["objid"].tolist() == [3, 2, 1]
        assert found["class"].tolist() == expected["class"].tolist()
        assert [bool(error) for error in found["error"]] == [False, False, True]


def make_network(scale=1 / 255, *, shape=(69, 69, 3), activation="softmax", classes=10):
    """Return a network as users build them."""
    layers = [keras.layers.Input(shape, dtype="float32")]
    if scale:
        layers.append(keras.layers.Rescaling(scale))
    layers.append(keras.layers.GlobalAveragePooling2D())
    layers.append(keras.layers.Dense(classes, activation=activation))
    return keras.Sequential(layers)


class Subclassed(keras.Model):
    """A network that has no layers."""


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: keras.Sequential([keras.layers.Dense(10)]), "not built"),
        (Subclassed, "not built"),
        (lambda: make_network(None), "Rescaling"),
        (lambda: make_network(shape=(64, 69, 3)), "square"),
        (lambda: make_network(activation=None), "softmax"),
        (lambda: make_network(activation="sigmoid"), "softmax"),
        (lambda: make_network(np.nan), "softmax"),
        (lambda: make_network(classes=1), "two or more"),
    ],
)
def test_a_network_that_would_answer_wrongly_is_refused(make, words):
    with pytest.raises(DataError, match=words):
        predict(np.zeros((2, 69, 69, 3), np.uint8), run=make())


def test_a_keras_network_has_numbers_or_the_given_names_as_class_names(images):
    network = make_network()
    table = predict(images, run=network)
    np.testing.assert_allclose(probabilities(table), network.predict(images, verbose=0), atol=1e-6)
    assert table.meta["class_names"] == [str(c) for c in range(10)]
    assert table["class_name"].tolist() == [str(c) for c in table["class"]]
    assert (table.meta["symmetric"], table.meta["crop"]) == (False, GALAXY10_CROP)
    names = [f"kind {c}" for c in range(10)]
    named = predict(images, run=network, class_names=names)
    assert named["class_name"].tolist() == [names[c] for c in table["class"]]


@pytest.mark.parametrize(
    ("error", "words", "settings"),
    [
        (ParameterError, "10 classes, expected one name per class", {"class_names": ["a", "b"]}),
        (ParameterError, "2 to 255 different names", {"class_names": ["a"] * 10}),
        (ParameterError, "has its own names", {"class_names": ["a"] * 10, "run": None}),
        (ParameterError, "purity=0.9 needs the thresholds of a run", {"purity": 0.9}),
        (ParameterError, "leave symmetric out", {"purity": 0.9, "symmetric": True, "run": None}),
        (ParameterError, "purity=2", {"purity": 2, "run": None}),
        (ParameterError, "batch_size=0", {"batch_size": 0}),
        (ParameterError, "crop=2", {"crop": 2}),
        (ParameterError, "symmetric='sometimes'", {"symmetric": "sometimes"}),
        (ParameterError, "'float8'", {"precision": "float8", "run": None}),
        (RunError, "no run folder gone", {"run": "gone"}),
        (DataError, "float64, expected uint8", {"images": np.zeros((2, 69, 69, 3))}),
        (DataError, "at least one", {"images": iter([])}),
        (FileNotFoundError, "no file", {"images": "gone"}),
        (DataError, "rename", {"images": Table({"image": ["x.png"], "class": [1]})}),
    ],
)
def test_wrong_use_is_refused(error, words, settings, model):
    images = np.zeros((2, 69, 69, 3), np.uint8)
    with pytest.raises(error, match=words):
        predict(**{"images": images, "run": model, **settings})


def test_an_unfinished_or_damaged_run_is_refused(copied, images_of_brightness):
    images = images_of_brightness[0][:1]
    manifest = copied.manifest
    copied.write_manifest({**manifest, "status": "training"})
    with pytest.raises(RunError, match=r"unfinished.*resume"):
        predict(images, run=copied)
    copied.write_manifest(manifest)
    change_manifest(copied, class_names=("a", "b"))
    with pytest.raises(DataError, match="10 classes with 2 names, expected one name per class"):
        predict(images, run=copied)
