"""Bad input ends in an error that says what was found, what was expected and what to do."""

import json
import os
import re
import shutil
import sys

import h5py
import numpy as np
import pytest

import galclass
from galclass import Recipe, cli, evaluate, load_data, load_galaxy10, load_run, split, study, train
from galclass.data.arrays import check_images, check_labels
from galclass.data.galaxy10 import locate_galaxy10, write_galaxy10
from galclass.errors import DataError, GalclassError, ParameterError, RunError
from galclass.evaluation.metrics import compute_metrics, confusion_matrix

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (80, 69, 69, 3), np.uint8)
LABELS = np.arange(80, dtype=np.uint8) % 10
EVEN = np.full((80, 10), 0.1)
SMALL = {"images": IMAGES[:2]}
ELSEWHERE = h5py.VirtualLayout(IMAGES.shape, "u1")
ELSEWHERE[...] = h5py.VirtualSource("other.h5", "images", IMAGES.shape)


@pytest.fixture
def refused(tmp_path, monkeypatch, capsys):
    """Asserts that a command ends with one line that has these words, and changes no file."""
    monkeypatch.chdir(tmp_path)

    def contents():
        return {path: path.is_file() and path.read_bytes() for path in tmp_path.rglob("*")}

    def check(command, words):
        before = contents()
        monkeypatch.setattr(sys, "argv", ["galclass", *command.split()])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        out, error = capsys.readouterr()
        assert (stop.value.code, out, error.count("\n")) == (2, "", 1), error
        assert re.search(words, error), error
        assert contents() == before

    return check


IMAGE_ROWS = {
    "floats in 0-1": (IMAGES / 255, r"float64, expected uint8.* 0-1"),
    "integers in 0-255": (IMAGES.astype(int), r"int64, expected uint8.* 0-255"),
    "NaN": (IMAGES * np.nan, "NaN"),
    "booleans": (IMAGES > 99, "bool, expected uint8"),
    "words": (np.array(["a", "b"]), "<U1, expected uint8"),
    "nothing": (None, "object, expected uint8"),
    "ragged": ([[1, 2], [3]], "not an array"),
    "channels first": (IMAGES.transpose(0, 3, 1, 2), r"transpose\(0, 2, 3, 1\)"),
    "grey": (IMAGES[..., 0], "grey"),
    "four channels": (np.concatenate([IMAGES, IMAGES[..., :1]], -1), r"\(80, 69, 69, 4\)"),
    "too small": (IMAGES[:, :16, :16], r"\(80, 16, 16, 3\), expected \(N, s, s, 3\), s from 32"),
    "not square": (IMAGES[:, :64], r"\(80, 64, 69, 3\), expected"),
    "one image": (IMAGES[0], r"images\[None\]"),
    "a number": (np.uint8(3), r"\(\), expected"),
    "no image": (IMAGES[:0], "nothing in it"),
}
LABEL_ROWS = {
    "one-hot": (np.eye(10)[LABELS], "one-hot.*argmax"),
    "a column": (LABELS[:, None], r"\(80, 1\), expected \(N,\)"),
    "floats": (LABELS.astype(float), "float64, expected integers"),
    "booleans": (LABELS > 4, "bool, expected integers"),
    "names": (np.array(["spiral"] * 80), "expected integers"),
    "classes from 1 to 10": (LABELS + 1, "1 to 10, expected 0-9"),
    "negative": (LABELS.astype(int) - 1, "-1 to 8, expected 0-9"),
    "no label": (LABELS[:0], "nothing in it"),
    "nothing": (None, r"shape \(\)"),
    "ragged": ([[1, 2], [3]], "not an array"),
}
TAKERS = {
    "images": [check_images],
    "labels": [
        *(check_labels, lambda bad: confusion_matrix(bad, LABELS)),
        lambda bad: compute_metrics(bad, EVEN),
    ],
    "both": [
        lambda images, labels, out, run: train(images, labels, out=out),
        lambda images, labels, out, run: study(images, labels, out=out),
        lambda images, labels, out, run: evaluate(run, images, labels),
        lambda images, labels, out, run: galclass.plot_examples(images, labels),
        lambda images, labels, out, run: write_galaxy10(out, images, labels),
    ],
}
TABLES = (("images", IMAGE_ROWS), ("labels", LABEL_ROWS))
ARRAYS = {f"{name}, {key}": (name, *row) for name, rows in TABLES for key, row in rows.items()}


@pytest.mark.parametrize(("name", "bad", "words"), ARRAYS.values(), ids=ARRAYS)
def test_bad_arrays_are_refused_by_all_that_take_them(name, bad, words, tmp_path, trained):
    both = {"images": IMAGES, "labels": LABELS, "out": tmp_path / "new", "run": trained, name: bad}
    calls = [(take, [bad]) for take in TAKERS[name]]
    for take, values in calls + [(take, both.values()) for take in TAKERS["both"]]:
        with pytest.raises(DataError, match=words):
            take(*values)
    assert list(tmp_path.iterdir()) == []


# Those of Recipe, build_cnn, split and predict have tests of their own.
KEYWORD_ROWS = [
    (train, "recipe", ("best", {"epochs": 3})),
    (train, "epochs", (0, 2.5)),
    (train, "seed", (-1, "0", True)),
    (train, "split", ("lucky",)),
    (train, "precision", ("int8",)),
    (train, "origin", ("SDSS",)),
    (study, "seeds", (0,)),
    (study, "engine", ("spark",)),
    (Recipe, "l2", (np.nan, -1)),
    (Recipe, "label_smoothing", (1,)),
    (galclass.build_cnn, "input_shape", ((-69, 69, 3),)),
    (galclass.build_cnn, "filters", (((0,),),)),
    (galclass.build_cnn, "classes", (1,)),
    (galclass.build_cnn, "dropout", (1.5, -0.1)),
    (galclass.build_cnn, "l2", (-1,)),
    (galclass.build_cnn, "precision", ("int8",)),
    (galclass.predict, "batch_size", (0,)),
    (galclass.predict, "crop", (2, "half")),
    (galclass.predict, "precision", ("int8",)),
    (galclass.predict, "symmetric", ("sometimes",)),
]


@pytest.mark.parametrize(("function", "name", "values"), KEYWORD_ROWS)
def test_bad_keywords_are_refused_and_named_and_nothing_is_written(
    function, name, values, tmp_path
):
    data = {"images": IMAGES, "labels": LABELS, "out": tmp_path / "x"}
    right = {train: data, study: data, Recipe: {"epochs": 1}, galclass.predict: SMALL}.get(
        function, {}
    )
    for value in values:
        with pytest.raises(GalclassError, match=rf"{re.escape(repr(value))}.*expected"):
            function(**{**right, name: value})
    assert list(tmp_path.iterdir()) == []


OTHER_ROWS = [
    (DataError, "80 images.* 79", lambda f: train(IMAGES, LABELS[:-1], out=f / "x")),
    (DataError, "class 3", lambda f: train(IMAGES, LABELS * 0 + 3, out=f / "x")),
    (GalclassError, "too few", lambda f: train(IMAGES[:30], LABELS[:30], out=f / "x")),
    (RunError, "no run .*none", lambda f: train(IMAGES, LABELS, out=f / "x", start=f / "none")),
    (DataError, "expected", lambda f: compute_metrics(LABELS, EVEN.astype(str))),
    (DataError, "1 to 10", lambda f: confusion_matrix(LABELS, LABELS + 1)),
    (DataError, "matrix.*expected", lambda f: galclass.plot_confusion_matrix(np.eye(3))),
    (DataError, "sum to 1", lambda f: compute_metrics(LABELS, EVEN * 2)),
    (DataError, "80 labels.* 79", lambda f: confusion_matrix(LABELS, LABELS[1:])),
    (DataError, "float64, expected uint8", lambda f: galclass.predict(IMAGES / 255)),
    (RunError, "no run .*none", lambda f: galclass.predict(IMAGES, run=f / "none")),
    (RunError, "galclass train", lambda f: load_run(f / "none")),
    (RunError, "no run folder ~nobody-here", lambda f: load_run("~nobody-here/run")),
    (FileNotFoundError, "no file galaxy 10", lambda f: load_data("galaxy 10")),
    (FileNotFoundError, "no file", lambda f: load_data("/dev/null/x.h5")),
    (DataError, "holds no folder of images, expected", load_data),
    (DataError, "float64, expected integers", lambda f: split(LABELS / 2)),
    (DataError, "-1 to 8, expected", lambda f: split(LABELS.astype(int) - 1)),
    (DataError, "no regular file", lambda f: load_galaxy10("/dev/zero")),
    (ParameterError, "expected 'simulated', 'galaxy10'", lambda f: load_data(IMAGES)),
    ((DataError, FileNotFoundError), "a.?.h5", lambda f: load_galaxy10("a\0.h5")),
]


@pytest.mark.parametrize(("kind", "words", "call"), OTHER_ROWS)
def test_other_bad_arguments_are_refused_and_nothing_is_written(kind, words, call, tmp_path):
    with pytest.raises(kind, match=words):
        call(tmp_path)
    assert list(tmp_path.iterdir()) == []


def _file(**columns):
    def write(path):
        with h5py.File(path, "w") as file:
            for name, values in columns.items():
                virtual = isinstance(values, h5py.VirtualLayout)
                (file.create_virtual_dataset if virtual else file.__setitem__)(name, values)

    return write


def _promising(path):
    with h5py.File(path, "w") as file:
        file.create_dataset("images", (10**9, 69, 69, 3), "u1", chunks=(1, 69, 69, 3))
        file.create_dataset("ans", (10**9,), "u1", chunks=(1000,))


def _cut_off(path):
    write_galaxy10(path, IMAGES, LABELS)
    path.write_bytes(path.read_bytes()[:-3000])


FILE_ROWS = {
    "a web page": (lambda path: path.write_text("<html>"), "HDF5"),
    "a pipe": (os.mkfifo, "no regular file"),
    "cut off": (_cut_off, "cannot read|cut off"),
    "no columns": (_file(), "no column 'images'"),
    "no labels": (_file(images=IMAGES), "no column 'ans'"),
    "a group": (_file(**{"images/x": IMAGES, "ans": LABELS}), "no column 'images'"),
    "floats": (_file(images=IMAGES / 255, ans=LABELS), "float64.*uint8"),
    "another size": (_file(images=IMAGES[:, 1:], ans=LABELS), r"\(80, 68, 69, 3\), expected"),
    "a number": (_file(images=np.uint8(1), ans=LABELS), r"uint8 \(\), expected"),
    "no dataspace": (_file(images=h5py.Empty("u1"), ans=LABELS), "expected|cannot read"),
    "fewer labels": (_file(images=IMAGES, ans=LABELS[1:]), "80 images.* labels"),
    "words": (_file(images=IMAGES, ans=["spiral"] * 80), "object, expected"),
    "classes from 1": (_file(images=IMAGES, ans=LABELS + 1), "1 to 10"),
    "no galaxy": (_file(images=IMAGES[:0], ans=LABELS[:0]), "nothing in it"),
    "a link": (
        _file(x=IMAGES, images=h5py.ExternalLink("other.h5", "x"), ans=LABELS),
        "read|in it",
    ),
    "virtual": (_file(images=ELSEWHERE, ans=LABELS), "in it"),
    "a promise of 14 TB": (_promising, "1,000,000,000 galaxies"),
}


@pytest.mark.parametrize(("write", "words"), FILE_ROWS.values(), ids=FILE_ROWS)
def test_bad_files_are_refused_by_the_library_and_the_commands(write, words, tmp_path, refused):
    write(tmp_path / "some.h5")
    with pytest.raises(DataError, match=words):
        load_galaxy10(tmp_path / "some.h5")
    refused("train --data some.h5 --out run", words)


# What is in place of a file: bytes, nothing, or other values. Some more are in test_run.py.
RUN_ROWS = [
    ("manifest.json", b"[" * 100_000, "damaged"),
    ("manifest.json", b"\xff\xfe{}", "damaged"),
    ("manifest.json", b"{}", "'recipe' is None, expected"),
    ("manifest.json", {"network": 5}, "'network' is 5, expected"),
    ("manifest.json", {"network": {"layers": 9}}, "network.*layers"),
    ("manifest.json", {"network": {"classes": -1}}, "network.*classes=-1"),
    ("manifest.json", {"origin": {"kind": "dream"}}, "origin"),
    ("model.keras", b"", "manifest's network"),
    ("model.keras", None, "no model.keras"),
    ("metrics.json", b"{}", "'accuracy'.*galclass evaluate"),
    ("history.csv", b"", "history.csv is damaged"),
    ("history.csv", None, "no history.csv"),
    ("examples.npz", b"PK", "examples.npz.*damaged"),
]


@pytest.mark.parametrize(("name", "content", "words"), RUN_ROWS)
def test_damaged_runs_are_refused(
    name, content, words, images_of_brightness, trained, tmp_path, refused
):
    path = shutil.copytree(trained.path, tmp_path / "run") / name
    path.unlink(missing_ok=True)
    if isinstance(content, dict):
        content = json.dumps({**trained.manifest, **content}).encode()
    if content is not None:
        path.write_bytes(content)
    write_galaxy10(tmp_path / "some.h5", *images_of_brightness)
    evaluated = name in ("manifest.json", "model.keras")
    refused("evaluate run --data some.h5" if evaluated else "figures run --out figures", words)


def test_a_directory_in_place_of_a_manifest_is_refused(tmp_path, refused):
    (tmp_path / "run" / "manifest.json").mkdir(parents=True)
    refused("evaluate run", "cannot be read.*directory")


OPTIONS = {
    "--out": "train",
    "--epochs.*1": "train --out x --epochs 0",
    "--epochs.*integer": "train --out x --epochs many",
    "--seed.*0": "train --out x --seed -1",
    "--n.*1": "train --out x --data simulated --n 0; data simulate x.h5 --n -5",
    "'best'": "train --out x --data simulated --recipe best",
    "no file nowhere.h5": "train --out x --data nowhere.h5",
    "--split.*lucky.*stratified": "train --out x --split lucky",
    "--precision.*int8.*bfloat16": "train --out x --precision int8",
    "(?i)missing argument": "figures",
    "no run folder": "evaluate no; figures no; verify no; pack no -o x; figures full/thesis.txt",
    "no notebook": "notebook --out x --notebook no.ipynb",
    "--position|--name": "predict; predict a.png --name M51",
    "'north', expected": "predict --position north",
    "x.txt.*expected": "predict nowhere.png -o x.txt; predict nowhere.png --figure x.txt",
    "no file": "predict nowhere.png nowhere.jpg; survey nowhere -o x",
    "one Parquet or HDF5": "predict a.h5 b.h5",
    "--engine.*spark": "survey . -o x --engine spark",
    "workers": "survey nowhere -o x --workers 2",
    "command.*report": "report x",
    "fly": "fly",
    "not empty": "train --data some.h5 --out full; train --data some.h5 --out full --resume",
    "no manifest.json": "train --data some.h5 --out full --overwrite; evaluate full",
    "no folder": "train --data some.h5 --out full/thesis.txt",
    "cannot write .*Not a": "train --data some.h5 --out full/thesis.txt/run",
    "exists.*--overwrite": "data simulate full/thesis.txt; predict some.h5 -o some.csv",
    "thesis.txt.*expected": "predict some.h5 -o full/thesis.txt --overwrite",
    "full/x.* in full": "predict full -o full/x.csv; predict full --figure full/x.png",
    "full": "survey full -o full/x; survey some.h5 -o full; survey some.h5 -o full --overwrite",
}


@pytest.mark.parametrize(("words", "commands"), OPTIONS.items())
def test_bad_options_write_nothing_and_touch_no_file_of_the_user(
    words, commands, tmp_path, refused
):
    (tmp_path / "full").mkdir()
    for path in (tmp_path / "full" / "thesis.txt", tmp_path / "some.csv"):
        path.write_text("years of work")
    write_galaxy10(tmp_path / "some.h5", IMAGES, LABELS)
    for command in commands.split("; "):
        refused(command, words)


def test_a_file_that_may_not_be_read_says_so(tmp_path, monkeypatch):
    write_galaxy10(tmp_path / "some.h5", IMAGES, LABELS)
    (tmp_path / "some.h5").chmod(0)
    if os.geteuid() == 0:  # Root may read everything.
        monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(PermissionError, match="permission"):
        load_galaxy10(tmp_path / "some.h5")


def test_the_place_of_the_published_file_may_hold_anything(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GALCLASS_DATA", raising=False)
    (tmp_path / "data" / "Galaxy10.h5").mkdir(parents=True)
    with pytest.raises(DataError, match="directory"):
        locate_galaxy10()
