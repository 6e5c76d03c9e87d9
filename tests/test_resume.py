"""A run that is broken off at any moment goes on to the same bytes."""

import errno
import json
import multiprocessing
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress

import numpy as np
import pytest

from galclass import Recipe, load_run, runs, train, training
from galclass.runs import RunError
from galclass.verify import verify

# Everything that has a state: averages, warm-up, decay, dropout and augmentation.
RECIPE = Recipe(
    epochs=3,
    batch_size=16,
    schedule="cosine",
    warmup_epochs=0.5,
    weight_decay=0.01,
    gradient_clip=1.0,
    ema=0.9,
    symmetries=True,
    rotation=20.0,
)
PLAIN = Recipe(epochs=3, batch_size=32, l2=0.001)
FILES = {"manifest.json", "history.csv", "model.keras", "last.keras", "examples.npz"}


def _train(pictures, out, recipe=RECIPE, **keywords):
    keywords = {"precision": "float32", "verbose": False, **keywords}
    return train(*pictures, out=out, recipe=recipe, **keywords)


def _assert_same(run, undisturbed):
    for which in ("model", "last"):
        pairs = zip(
            run.load_model(which).get_weights(),
            undisturbed.load_model(which).get_weights(),
            strict=True,
        )
        for one, other in pairs:
            np.testing.assert_array_equal(one, other)
    ours, theirs = (one.path / "history.csv" for one in (run, undisturbed))
    assert ours.read_bytes() == theirs.read_bytes()
    for key in ("status", "recipe", "split", "epochs", "best_epoch", "weights_sha256"):
        assert run.manifest[key] == undisturbed.manifest[key]
    assert {path.name for path in run.path.iterdir()} == FILES


@pytest.fixture(scope="module")
def undisturbed(pictures, tmp_path_factory):
    return _train(pictures, tmp_path_factory.mktemp("runs") / "undisturbed")


class _Stop(BaseException):
    """Ends the training where it stands, as a kill does, within this process."""


def _stop_at(monkeypatch, module, name, number, error=_Stop):
    """Let the n-th call of a function fail; `before` it, nothing of it is done."""
    function, calls = getattr(module, name), []

    def failing(*arguments, **keywords):
        calls.append(1)
        if len(calls) == number:
            raise error
        return function(*arguments, **keywords)

    monkeypatch.setattr(module, name, failing)


# The files are replaced in this order: manifest, examples, then in each epoch checkpoint, model
# (where it is the best) and history, then last and manifest.
@pytest.mark.parametrize("number", [2, 3, 4, 5, 6])
def test_a_run_that_ends_between_two_files_goes_on_to_the_same_bytes(
    pictures, undisturbed, tmp_path, monkeypatch, number
):
    with monkeypatch.context() as patch:
        _stop_at(patch, runs.os, "replace", number)
        with pytest.raises(_Stop):
            _train(pictures, tmp_path / "run")
    run = _train(pictures, tmp_path / "run", resume=True)
    _assert_same(run, undisturbed)
    assert verify_arrays(run, pictures) == []


def verify_arrays(run, pictures):
    from galclass import evaluate

    evaluate(run, *pictures)
    lines = verify(load_run(run.path), _as_file(pictures, run.path.parent / "galaxies.h5"))
    for name in ("metrics.json", "predictions.npz"):
        (run.path / name).unlink()
    return lines


def _as_file(pictures, path):
    from galclass.galaxy10 import write_galaxy10

    write_galaxy10(path, *pictures)
    return path
