"""A recipe holds valid settings, which a manifest can hold, too."""

import json
from dataclasses import asdict

import numpy as np
import pytest

from galclass import RECIPES, Recipe
from galclass.errors import ParameterError


def test_published_recipe_is_the_one_of_the_notebook_and_the_others_keep_the_best_epoch():
    published = Recipe(epochs=200, batch_size=64, learning_rate=0.001, l2=0.001, keep="last")
    assert RECIPES["published"] == published
    assert {recipe.keep for name, recipe in RECIPES.items() if name != "published"} == {"best"}


@pytest.mark.parametrize(
    ("field", "values", "words"),
    [
        ("epochs", (0, 2.5, True, "3", None), "1 or more"),
        ("batch_size", (0, -1, 2.0, np.True_), "1 or more"),
        ("learning_rate", (0, -1, "0.1", True, np.nan, np.inf), "a number, more than 0"),
        ("l2", (-1, np.nan), "a number, 0 or more"),
        ("weight_decay", (-1e-9, None, np.nan, np.inf), "a number, 0 or more"),
        ("warmup_epochs", (-1, "1", False), "a number, 0 or more"),
        ("dropout", (1, -0.1, "half", True), "0 or more and below 1"),
        ("label_smoothing", (1,), "0 or more and below 1"),
        ("averaging", (1.0, np.nan), "0 or more and below 1"),
        ("optimizer", ("sgd", None, 1), r"one of \('adam', 'muon'\)"),
        ("schedule", ("linear", ["cosine"]), r"one of \('constant', 'cosine'\)"),
        ("keep", ("first", None), r"one of \('best', 'last'\)"),
        ("symmetries", (1, "no", None), "True or False"),
        ("symmetric_prediction", (0, "yes"), "True or False"),
    ],
)
def test_bad_value_is_refused(field, values, words):
    for value in values:
        with pytest.raises(ParameterError, match=rf"^{field}=.*, expected .*{words}"):
            Recipe(**{"epochs": 1, field: value})


def test_numbers_of_numpy_are_accepted_and_can_be_written_as_json():
    recipe = Recipe(epochs=np.int64(3), warmup_epochs=np.int32(1), symmetries=np.bool_(True))
    assert recipe == Recipe(epochs=3, warmup_epochs=1, symmetries=True)
    assert Recipe(**json.loads(json.dumps(asdict(recipe)))) == recipe
