"""The figures for which a network predicts: attribution, predictions and simulated accuracy."""

import numpy as np
import pytest
from astropy.table import Table

from galclass import build_cnn, plot_attribution, plot_predictions, predict
from galclass.data.galaxy10 import DECALS_NAMES
from galclass.errors import DataError, ParameterError
from galclass.figures.simulated_accuracy import plot_simulated_accuracy
from galclass.network import probabilities
from galclass.network.symmetry import apply_symmetry


@pytest.fixture(scope="module")
def small_model():
    return build_cnn(seed=1, filters=((8,), (8,)))


@pytest.mark.parametrize("element", [1, 6])
def test_evidence_turns_with_the_galaxy(galaxies, small_model, monkeypatch, element):
    images = galaxies.images[:2]
    # The class that is explained stays the same, whatever the probabilities of the network.
    monkeypatch.setattr(probabilities, "predict_proba", lambda *_, **__: np.eye(10)[[0, 0]])

    def plot_evidence(images):
        axes = plot_attribution(images, [3, 4], galaxies.origin, run=small_model).axes
        assert axes[1].get_title(loc="left") == "predicted 1\nlabelled 5"
        return np.array([ax.child_axes[0].images[1].get_array() for ax in axes[:2]])

    maps = plot_evidence(images)
    assert maps.max(axis=(1, 2)) == pytest.approx([1, 1])
    expected = apply_symmetry(maps[..., None], element)[..., 0]
    np.testing.assert_allclose(plot_evidence(apply_symmetry(images, element)), expected, atol=1e-4)


def test_predicted_class_is_the_one_of_the_run(measured, images_of_brightness):
    images, labels = images_of_brightness
    table = predict(images[::25], run=measured, precision="float32")
    axes = plot_attribution(images[::25], labels[::25], run=measured.path).axes
    for ax, predicted, labelled in zip(axes, table["class"], labels[::25], strict=False):
        expected = f"predicted {predicted + 1}\nlabelled {labelled + 1}"
        assert ax.get_title(loc="left") == expected


def test_keras_networks_without_an_origin_have_numbers_as_classes(galaxies, small_model):
    images, labels, _ = galaxies
    ax = plot_attribution(images[:1], labels[:1], run=small_model).axes[0]
    assert ax.get_title(loc="left").endswith(f"labelled {labels[0]}")
    with pytest.raises(DataError, match="labels"):
        plot_attribution(images[:2], labels[:1], run=small_model)
    with pytest.raises(ParameterError, match="expected an Origin"):
        plot_attribution(images[:1], labels[:1], "simulated", run=small_model)


def test_predicted_images_have_their_names_and_three_bars(galaxies):
    row = {f"p{c}": 0.73 if c == 3 else 0.03 for c in range(10)} | {"source": "a/$^$\udc80.png"}
    meta = {"class_names": DECALS_NAMES, "image_size": 69, "crop": None, "crop_all": False}
    ax = plot_predictions(Table([row], meta=meta), galaxies.images[:1]).axes[0]
    assert ax.get_title(loc="left") == "$^$?.png"
    (bars,) = ax.child_axes
    assert [bar.get_width() for bar in bars.patches] == pytest.approx([73, 3, 3])
    assert bars.texts[0].get_text() == "73 % In-between Round Smooth"


def test_predicted_images_are_shown_as_the_network_saw_them(measured):
    image = np.full((80, 80, 3), 255, np.uint8)
    image[10:70, 10:70] = 0
    small = image[::2, ::2]
    for given, crop, edge in ((image, None, 255), (small, None, 255), (small, 0.5, 0)):
        table = predict(given, run=measured, crop=crop)
        pixels = plot_predictions(table, given).axes[0].images[0].get_array()
        assert pixels.shape == (40, 40, 3)
        assert np.abs(pixels[0].astype(int) - edge).max() < 50


def test_images_that_cannot_be_read_are_left_out(measured, images_of_brightness, tmp_path):
    (tmp_path / "bad.png").write_text("not an image")
    images = [tmp_path / "bad.png", images_of_brightness[0][0]]
    table = predict(images, run=measured)
    titles = [ax.get_title(loc="left") for ax in plot_predictions(table, images).axes]
    assert [title for title in titles if title] == ["image 1"]
    for words, rows, given in (
        ("no image could be read", table[:1], images[:1]),
        ("1 images and a table of 2 rows", table, images[:1]),
        ("meta lacks", Table(), []),
    ):
        with pytest.raises(DataError, match=words):
            plot_predictions(rows, given)


def test_simulated_accuracy_is_shown_for_galaxies_that_the_run_has_not_seen(simulated_run):
    fig = plot_simulated_accuracy(simulated_run, 20)
    assert len(fig.axes[0].containers) == 5
    assert fig.get_supxlabel().endswith(": 20")
    with pytest.raises(ParameterError, match="seed=0"):
        plot_simulated_accuracy(simulated_run, 20, seed=0)


def test_simulated_accuracy_needs_the_classes_that_are_simulated(copied):
    origin = copied.origin.record() | {"class_names": DECALS_NAMES}
    copied.write_manifest(copied.manifest | {"origin": origin})
    with pytest.raises(ParameterError, match="Disturbed"):
        plot_simulated_accuracy(copied, 20)
