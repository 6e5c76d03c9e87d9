"""The features of images."""

import numpy as np
import pytest
from PIL import Image

from galclass import build_cnn, embed
from galclass.errors import DataError, ParameterError
from galclass.images.prepare import Framing, prepare_all
from galclass.network._tensorflow import keras


def test_features_are_the_input_of_the_last_layer(measured, images_of_brightness):
    images = images_of_brightness[0][:4]
    features = embed(images, run=measured)
    assert features.shape == (4, 60)
    assert features.dtype == np.float32
    model = measured.load_model()
    kernel, bias = model.layers[-1].get_weights()
    expected = keras.ops.softmax(features @ kernel + bias)
    np.testing.assert_allclose(model(images, training=False), expected, atol=1e-5)


def test_a_crop_applies_to_all_images(measured, images_of_brightness):
    image = Image.fromarray(images_of_brightness[0][55])
    images = [image, image.resize((160, 160))]
    expected = embed(prepare_all(images, Framing(40, 0.5, force=True)), run=measured)
    np.testing.assert_allclose(embed(images, run=measured, crop=0.5), expected, atol=1e-6)


def test_networks_and_images_without_features_are_refused():
    model = build_cnn(input_shape=(40, 40, 3), filters=((4,),), dense_units=())
    for error, words, settings in (
        (DataError, "1 dense layers, expected 2 or more", {"run": model}),
        (ParameterError, "crop=0", {"crop": 0}),
        (FileNotFoundError, "no file", {}),
    ):
        with pytest.raises(error, match=words):
            embed("gone.png", **settings)
