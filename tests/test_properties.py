"""What holds for all labels, predictions, pictures and manifests."""

import json
import tempfile
import warnings
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn import metrics as sklearn_metrics

from galclass import Recipe, split
from galclass.augmentation import apply_symmetry, augment, draw_warps
from galclass.evaluation import compute_metrics, confusion_matrix
from galclass.galaxy10 import (
    CLASS_NAMES,
    DataError,
    check_images,
    check_labels,
    read_galaxy10,
    write_galaxy10,
)
from galclass.plotting import plot_confusion_matrix
from galclass.runs import load_run, read_json, write_history, write_json
from galclass.training import describe_split

few = settings(max_examples=25, deadline=None)
# Many small classes, few galaxies of some and none of others, in any order.
LABELS = st.lists(st.integers(0, 9), min_size=100, max_size=300).flatmap(
    lambda drawn: st.permutations(drawn).map(lambda order: np.array(order, np.uint8))
)
SEEDS = st.integers(0, 2**32 - 1)


def _split(*arguments, **keywords):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "classes .* have fewer than 3 galaxies")
        return split(*arguments, **keywords)


@few
@given(LABELS, SEEDS, st.sampled_from(["stratified", "published"]))
def test_the_parts_of_a_split_are_disjoint_complete_and_stable(labels, seed, protocol):
    parts = _split(labels, protocol, random_state=seed)
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(len(labels)))
    again = _split(labels.copy(), protocol, random_state=seed)
    for one, other in zip(parts, again, strict=True):
        np.testing.assert_array_equal(one, other)
        assert len(one) > 0


@few
@given(LABELS, SEEDS)
def test_a_stratified_split_keeps_the_class_fractions_within_one_galaxy_a_draw(labels, seed):
    parts = _split(labels, random_state=seed)
    counts = np.bincount(labels, minlength=10)
    for part, fraction, draws in zip(parts, (0.7, 0.15, 0.15), (2, 2, 1), strict=True):
        found = np.bincount(labels[part], minlength=10)
        stratified = counts >= 3
        # Each of the draws rounds each class by less than one galaxy, and the size of the part.
        assert (np.abs(found - fraction * counts)[stratified] < draws + 0.2).all()
    tiny = np.isin(labels, np.flatnonzero(counts < 3))
    assert tiny[parts.train].sum() == tiny.sum()


def test_classes_of_one_or_two_galaxies_train_only_with_a_warning_that_names_them():
    labels = np.repeat([0, 1, 2, 3], [1, 2, 3, 94])
    with pytest.warns(UserWarning, match=r"classes \[0, 1\] have fewer than 3 .*training"):
        parts = split(labels)
    assert {0, 1} & set(labels[np.concatenate([parts.validation, parts.test])]) == set()
    assert np.bincount(labels[parts.train])[:2].tolist() == [1, 2]


@few
@given(LABELS, st.integers(0, 10**6), st.integers(1, 10))
def test_confusion_matrices_are_scikit_learns_and_columns_sum_to_the_truths(labels, seed, known):
    predicted = np.random.default_rng(seed).integers(0, known, len(labels))
    matrix = confusion_matrix(labels, predicted)
    theirs = sklearn_metrics.confusion_matrix(labels, predicted, labels=np.arange(10))
    np.testing.assert_array_equal(matrix.T, theirs)
    np.testing.assert_array_equal(matrix.sum(axis=0), np.bincount(labels, minlength=10))


@settings(max_examples=5, deadline=None)
@given(hnp.arrays(np.int64, (10, 10), elements=st.integers(0, 40)), st.sets(st.integers(0, 9)))
def test_columns_of_the_drawn_matrix_sum_to_100_or_are_empty_and_small_classes_are_marked(
    matrix, absent
):
    matrix[:, list(absent)] = 0
    figure = plot_confusion_matrix(matrix)
    axes = figure.axes[0]
    drawn = np.asarray(axes.images[0].get_array()).sum(axis=0)
    support = matrix.sum(axis=0)
    np.testing.assert_allclose(drawn, np.where(support > 0, 100, 0))
    marks = ["*" in label.get_text() for label in axes.get_xticklabels()]
    assert marks == (support < 10).tolist()
    figure.clear()


@few
@given(LABELS, st.integers(0, 10**6))
def test_metrics_are_defined_whatever_classes_are_absent(labels, seed):
    labels = labels[labels != labels[0]] if len(set(labels)) > 1 else labels
    scores = np.random.default_rng(seed).random((len(labels), 10)) ** 4
    probabilities = scores / scores.sum(axis=1, keepdims=True)
    found = compute_metrics(labels, probabilities)
    json.dumps(found, allow_nan=False)
    said = probabilities.argmax(axis=1)
    for name, classes in (("macro_f1", range(10)), ("macro_f1_present", sorted(set(labels)))):
        expected = sklearn_metrics.f1_score(
            labels, said, labels=list(classes), average="macro", zero_division=0
        )
        assert found[name] == pytest.approx(expected)
    low, high = found["accuracy_interval"]
    assert 0 <= low <= found["accuracy"] <= high <= 1
    assert [row["recall"] is None for row in found["classes"]] == [
        c not in labels for c in range(10)
    ]


PICTURES = hnp.arrays(np.uint8, st.tuples(st.integers(1, 3), *map(st.just, (69, 69, 3))))


@few
@given(PICTURES, st.lists(st.integers(0, 9), min_size=3, max_size=3))
def test_checking_galaxies_changes_nothing_and_writing_and_reading_gives_them_back(images, labels):
    labels = labels[: len(images)]
    once = check_images(images)
    assert check_images(once) is once
    np.testing.assert_array_equal(check_labels(check_labels(labels)), labels)
    with tempfile.TemporaryDirectory() as folder:
        write_galaxy10(Path(folder) / "some.h5", images, labels)
        read, read_labels = read_galaxy10(Path(folder) / "some.h5")
    np.testing.assert_array_equal(read, images)
    np.testing.assert_array_equal(read_labels, labels)


@few
@given(PICTURES, st.floats(0.01, 1))
def test_the_conversion_that_the_error_names_gives_the_pictures_back(images, top):
    with pytest.raises(DataError) as caught:
        check_images(images / 255)
    conversion = str(caught.value).partition("convert with ")[2]
    np.testing.assert_array_equal(eval(conversion, {"images": images / 255}), images)
    with pytest.raises(DataError):
        check_images(images * np.float32(top))


@few
@given(PICTURES, st.integers(0, 7), SEEDS)
def test_turns_can_be_undone_and_augmentation_keeps_range_and_shape(images, element, seed):
    turned = apply_symmetry(images, element)
    # Bit 2 swaps the axes, so that the two mirrors change places on the way back.
    inverse = {5: 6, 6: 5}.get(element, element)
    np.testing.assert_array_equal(apply_symmetry(turned, inverse), images)
    rng = np.random.default_rng(seed)
    warps = draw_warps(images.shape[1], rng, rotation=180, zoom=0.3, shift=5, count=4)
    changed = augment(images, rng, warps=warps, brightness=0.5)
    assert np.asarray(changed).dtype == np.uint8
    assert changed.shape == images.shape
    # Light is moved, not made: nothing is brighter than the brightest times the largest factor.
    assert np.max(changed) <= min(255, np.ceil(1.5 * float(images.max())))


NUMBERS = st.floats(0, 0.9)
RECIPES = st.builds(
    Recipe,
    epochs=st.integers(1, 500),
    batch_size=st.integers(1, 512),
    learning_rate=st.floats(1e-8, 1),
    schedule=st.sampled_from(["constant", "cosine"]),
    warmup_epochs=NUMBERS,
    l2=NUMBERS,
    weight_decay=NUMBERS,
    label_smoothing=NUMBERS,
    gradient_clip=st.none() | st.floats(0.01, 10),
    ema=NUMBERS,
    symmetries=st.booleans(),
    rotation=st.floats(0, 180),
    patience=st.none() | st.integers(1, 100),
    symmetric_prediction=st.booleans(),
)


@few
@given(RECIPES, LABELS, st.text(max_size=20), st.integers(0, 2**63))
def test_manifests_come_back_as_they_were_written(recipe, labels, name, seed):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        _, record = describe_split(labels, "stratified")
    manifest = {
        "recipe": asdict(recipe),
        "seed": seed,
        "source": {"kind": "file", "name": name},
        "split": record,
        "network": {"classes": len(CLASS_NAMES), "l2": recipe.l2},
    }
    with tempfile.TemporaryDirectory() as folder:
        write_json(Path(folder) / "manifest.json", manifest)
        found = load_run(folder).manifest
        assert found == manifest
        assert Recipe(**found["recipe"]) == recipe
        write_json(Path(folder) / "again.json", found)
        assert read_json(Path(folder) / "again.json") == found
    assert {field.name for field in fields(Recipe)} == set(found["recipe"])


@few
@given(st.lists(st.tuples(*[st.floats(0, 1e6)] * 4), min_size=1, max_size=30))
def test_histories_come_back_to_the_last_bit(values):
    names = ("loss", "accuracy", "val_loss", "val_accuracy")
    rows = [
        {"epoch": number, **dict(zip(names, row, strict=True))}
        for number, row in enumerate(values, 1)
    ]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "manifest.json").write_text(
            json.dumps({"recipe": {}, "seed": 0, "source": {}, "split": {}, "network": {}})
        )
        write_history(Path(folder) / "history.csv", rows)
        history = load_run(folder).history
    for name in ("epoch", *names):
        assert history[name].tolist() == [row[name] for row in rows]
