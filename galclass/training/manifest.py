"""The manifest: how a run was made."""

from dataclasses import asdict
from typing import Any

import numpy as np

from .. import __version__
from ..data.dataset import Dataset
from ..network.options import Precision
from ..network.precision import (
    choose_precision,
    count_threads,
    describe_device,
    explain_precision,
    versions,
)
from .recipe import Recipe

# These entries identify a run; one with other values is not resumed.
IDENTITY = ("recipe", "seed", "split", "origin", "network", "start")
# These entries may change when a run is resumed.
MACHINE = ("galclass", "versions", "device", "threads")


def describe_training(
    dataset: Dataset,
    recipe_name: str,
    recipe: Recipe,
    seed: int,
    split: dict[str, Any],
    start: dict[str, Any] | None,
) -> dict[str, Any]:
    """Return the entries of the manifest that the data and the settings determine.

    Parameters
    ----------
    dataset : Dataset
    recipe_name : str
    recipe : Recipe
    seed : int
    split : dict
        The record of :func:`galclass.data.split.split_record`.
    start : dict or None
        The record of :func:`galclass.training.start.read_start`.
    """
    classes = len(dataset.origin.class_names)
    return {
        "recipe_name": recipe_name,
        "recipe": asdict(recipe),
        "seed": seed,
        "origin": dataset.origin.record(),
        "split": split,
        "network": {
            "input_shape": list(dataset.images.shape[1:]),
            "classes": classes,
            "l2": recipe.l2,
            "dropout": recipe.dropout,
            "dense_dropout": recipe.dense_dropout,
        },
        "start": start,
        "class_counts": np.bincount(dataset.labels, minlength=classes).tolist(),
    }


def describe_machine(precision: Precision) -> dict[str, Any]:
    """Return the entries of the manifest about the software and the hardware."""
    return {
        "galclass": __version__,
        "precision": choose_precision(precision),
        "precision_reason": explain_precision(precision),
        "device": describe_device(),
        # The sums of an operation are split among its threads, which changes their last bits.
        "threads": count_threads(),
        "versions": versions(),
    }
