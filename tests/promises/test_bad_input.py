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
from galclass import (
    Recipe,
    build_cnn,
    cli,
    evaluate,
    load_data,
    load_galaxy10,
    plot_examples,
    predict,
    split,
    study,
    train,
)
from galclass.data.arrays import check_images, check_labels
from galclass.data.galaxy10 import locate_galaxy10, write_galaxy10
from galclass.errors import DataError, GalclassError, ParameterError, RunError
from galclass.evaluation.metrics import compute_metrics, confusion_matrix, top_confusions

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (80, 69, 69, 3), np.uint8)
LABELS = np.arange(80, dtype=np.uint8) % 10
EVEN = np.full((80, 10), 0.1)


def _with(array, value, at=0):
    array = np.array(array)
    array.flat[at] = value
    return array


IMAGE_ROWS = {
    "floats in 0-1": (IMAGES / 255, r"float64, expected uint8; they .*0-1: convert with \(im"),
    "floats in 0-255": (IMAGES.astype(float), r"0-255: convert with images\.round\(\)\.astype"),
    "integers in 0-255": (IMAGES.astype(int), r"int64, expected uint8; they .* 0-255: convert"),
    "floats beyond": (IMAGES * 9.0, "float64, expected uint8; give pixel values 0-255"),
    "negative floats": (IMAGES / 127.5 - 1, "float64, expected uint8; give pixel values 0-255"),
    "NaN": (_with(IMAGES / 255, np.nan), "NaN or infinite values"),
    "booleans": (IMAGES > 99, "bool, expected uint8"),
    "words": (np.array(["a", "b"]), "dtype <U1, expected uint8"),
    "nothing": (None, "dtype object, expected uint8"),
    "ragged": ([[1, 2], [3]], "not an array"),
    "channels first": (IMAGES.transpose(0, 3, 1, 2), r"channels come last: images\.transpose"),
    "grey": (IMAGES[..., 0], "grey, expected red, green and blue"),
    "four channels": (np.concatenate([IMAGES, IMAGES[..., :1]], -1), r"\(80, 69, 69, 4\)"),
    "another size": (IMAGES[:, :64, :64], r"\(80, 64, 64, 3\), expected \(N, 69, 69, 3\)"),
    "one image": (IMAGES[0], r"first axis: images\[None\]"),
    "a number": (np.uint8(3), r"shape \(\), expected"),
    "no image": (IMAGES[:0], "no image in it, expected at least one"),
}
LABEL_ROWS = {
    "one-hot": (np.eye(10)[LABELS], r"looks one-hot.*labels\.argmax\(axis=1\)"),
    "a column": (LABELS[:, None], r"labels of shape \(80, 1\), expected \(N,\)"),
    "floats": (LABELS.astype(float), r"float64, expected integers 0-9; convert"),
    "booleans": (LABELS > 4, "bool, expected integers"),
    "names": (np.array(["spiral"] * 80), "expected integers 0-9"),
    "classes from 1 to 10": (LABELS + 1, "labels from 1 to 10, expected 0-9"),
    "negative": (LABELS.astype(int) - 1, "labels from -1 to 8, expected 0-9"),
    "no label": (LABELS[:0], "no label in it"),
    "NaN": (_with(LABELS.astype(float), np.nan), "float64, expected integers"),
    "nothing": (None, r"labels of shape \(\)"),
    "ragged": ([[1, 2], [3]], "not an array"),
}


def _rows(table):
    return [pytest.param(*row, id=name) for name, row in table.items()]


@pytest.mark.parametrize(("images", "words"), _rows(IMAGE_ROWS))
def test_bad_images_are_refused_by_all_that_take_them(images, words, tmp_path, trained):
    takers = [
        check_images,
        lambda bad: train(bad, LABELS, out=tmp_path / "run"),
        lambda bad: evaluate(trained, bad, LABELS),
        lambda bad: study(bad, LABELS, out=tmp_path / "study"),
        lambda bad: plot_examples(bad, LABELS),
        lambda bad: write_galaxy10(tmp_path / "some.h5", bad, LABELS),
    ]
    for take in takers:
        with pytest.raises(DataError, match=words):
            take(images)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("labels", "words"), _rows(LABEL_ROWS))
def test_bad_labels_are_refused_by_all_that_take_them(labels, words, tmp_path, trained):
    takers = [
        check_labels,
        split,
        lambda bad: train(IMAGES, bad, out=tmp_path / "run"),
        lambda bad: evaluate(trained, IMAGES, bad),
        lambda bad: study(IMAGES, bad, out=tmp_path / "study"),
        lambda bad: compute_metrics(bad, EVEN),
        lambda bad: confusion_matrix(bad, LABELS),
        lambda bad: write_galaxy10(tmp_path / "some.h5", IMAGES, bad),
    ]
    for take in takers:
        with pytest.raises(DataError, match=words):
            take(labels)
    assert list(tmp_path.iterdir()) == []


# Keywords that are wrong by themselves, and what the error says.
KEYWORD_ROWS = [
    (train, {"recipe": "best"}, "recipe='best', expected.*'default'"),
    (train, {"recipe": {"epochs": 3}}, "expected a Recipe or one of"),
    (train, {"epochs": 0}, "epochs=0.*expected.* 1 or more"),
    (train, {"epochs": 2.5}, "epochs=2.5, expected an integer"),
    (train, {"seed": -1}, "seed=-1, expected an integer of 0 or more"),
    (train, {"seed": "0"}, "seed='0', expected an integer"),
    (train, {"seed": True}, "seed=True, expected an integer"),
    (train, {"split": "lucky"}, "unknown split 'lucky', expected"),
    (train, {"precision": "int8"}, "unknown precision 'int8', expected"),
    (train, {"origin": "SDSS"}, "origin.*expected"),
    (train, {"start": "none"}, "no run folder none"),
    (study, {"seeds": 0}, "seeds=0, expected"),
    (study, {"folds": 1}, "folds=1, expected"),
    (study, {"seeds": 2, "folds": 2}, "expected one of them"),
    (study, {"engine": "spark"}, "'spark', expected"),
    (Recipe, {"batch_size": 0}, "batch_size=0"),
    (Recipe, {"learning_rate": 0}, "learning_rate=0, expected"),
    (Recipe, {"learning_rate": np.nan}, "rate=nan, expected"),
    (Recipe, {"l2": np.nan}, "l2=nan, expected"),
    (Recipe, {"weight_decay": -2}, "weight_decay=-2"),
    (Recipe, {"label_smoothing": 1}, "label_smoothing=1"),
    (Recipe, {"schedule": "step"}, "'step', expected"),
    (build_cnn, {"input_shape": (-69, 69, 3)}, "input_shape"),
    (build_cnn, {"input_shape": (9, 9, 3)}, "too small"),
    (build_cnn, {"classes": 0}, "classes=0, expected.* 2 or more"),
    (build_cnn, {"dropout": 1}, "dropout=1, expected 0 <= dropout"),
    (build_cnn, {"l2": -1}, "l2=-1, expected 0 or more"),
    (build_cnn, {"filters": ((0,),)}, "filters.*expected"),
    (predict, {"batch_size": 0}, "batch_size=0"),
    (predict, {"crop": 2}, "crop=2, expected"),
    (predict, {"run": "none"}, "no run folder none"),
    (predict, {"precision": "int8"}, "unknown precision 'int8', expected"),
    (split, {"random_state": -1}, "random_state=-1"),
    (split, {"protocol": "lucky"}, "unknown split 'lucky'"),
]


@pytest.mark.parametrize(("function", "keywords", "words"), KEYWORD_ROWS)
def test_bad_keywords_are_refused_and_nothing_is_written(
    function, keywords, words, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    right = {
        train: {"images": IMAGES, "labels": LABELS, "out": "x"},
        study: {"images": IMAGES, "labels": LABELS, "out": "x"},
        predict: {"images": IMAGES},
        split: {"labels": LABELS},
        Recipe: {"epochs": 1},
    }.get(function, {})
    with pytest.raises(GalclassError, match=words):
        function(**{**right, **keywords})
    assert list(tmp_path.iterdir()) == []


OTHER_ROWS = [
    (DataError, "80 images b", lambda f, r: train(IMAGES, LABELS[:-1], out=f / "x")),
    (DataError, "class 3", lambda f, r: train(IMAGES, LABELS * 0 + 3, out=f / "x")),
    (GalclassError, "too few", lambda f, r: train(IMAGES[:30], LABELS[:30], out=f / "x")),
    (DataError, "finite, 0 to 1", lambda f, r: compute_metrics(LABELS, EVEN * np.nan)),
    (DataError, "sum to 1", lambda f, r: compute_metrics(LABELS, EVEN * 30 - 2)),
    (DataError, r"\(10,\), expected", lambda f, r: compute_metrics(LABELS, EVEN[0])),
    (DataError, "expected", lambda f, r: compute_metrics(LABELS, EVEN.astype(str))),
    (DataError, "3 .*80 labels", lambda f, r: compute_metrics(LABELS, EVEN[:3])),
    (DataError, "80 .*5", lambda f, r: confusion_matrix(LABELS, LABELS[:5])),
    (DataError, "from 1 to 10", lambda f, r: confusion_matrix(LABELS, LABELS + 1)),
    (DataError, "expected", lambda f, r: top_confusions(np.zeros((3, 4)))),
    (RunError, "not the run's 100", lambda f, r: evaluate(r, IMAGES, LABELS)),
    (DataError, "matrix .*expected", lambda f, r: galclass.plot_confusion_matrix(np.eye(3))),
    (RunError, "no run folder", lambda f, r: galclass.save_figures(f / "none", f / "x")),
    (RunError, "make one with: galclass train", lambda f, r: galclass.load_run(f / "none")),
    (RunError, "no run folder", lambda f, r: galclass.verify(f / "none")),
    (RunError, "no manifest.json", lambda f, r: galclass.load_run(f)),
    (RunError, "no run folder ~nobody-he", lambda f, r: galclass.load_run("~nobody-here/run")),
    (FileNotFoundError, "no file .*none.h5", lambda f, r: load_data(f / "none.h5")),
    (FileNotFoundError, "no file galaxy 10", lambda f, r: load_data("galaxy 10")),
    (FileNotFoundError, "no file", lambda f, r: load_data("/dev/null/x.h5")),
    (DataError, "is a directory, expected an HDF5 file", lambda f, r: load_data(f)),
    (DataError, "no regular file", lambda f, r: load_galaxy10("/dev/zero")),
    (ParameterError, "expected 'simulated', 'galaxy10'", lambda f, r: load_data(IMAGES)),
    (ParameterError, "expected 'simulated', 'galaxy10'", lambda f, r: load_data(None)),
    ((DataError, FileNotFoundError), "a.?.h5", lambda f, r: load_galaxy10("a\0.h5")),
]


@pytest.mark.parametrize(("kind", "words", "call"), OTHER_ROWS)
def test_other_bad_arguments_are_refused_and_nothing_is_written(
    kind, words, call, tmp_path, trained
):
    with pytest.raises(kind, match=words):
        call(tmp_path, trained)
    assert list(tmp_path.iterdir()) == []


def _file(**columns):
    def write(path):
        with h5py.File(path, "w") as file:
            for name, values in columns.items():
                file[name] = values

    return write


def _elsewhere(how):
    def write(path):
        _file(images=IMAGES, ans=LABELS)(path.with_name("other.h5"))
        with h5py.File(path, "w") as file:
            file["ans"] = LABELS
            if how == "link":
                file["images"] = h5py.ExternalLink("other.h5", "images")
            else:
                layout = h5py.VirtualLayout(IMAGES.shape, "u1")
                layout[...] = h5py.VirtualSource("other.h5", "images", IMAGES.shape)
                file.create_virtual_dataset("images", layout)

    return write


def _promising(path):
    with h5py.File(path, "w") as file:
        file.create_dataset("images", (10**9, 69, 69, 3), "u1", chunks=(1, 69, 69, 3))
        file.create_dataset("ans", (10**9,), "u1", chunks=(1000,))


def _cut_off(path):
    write_galaxy10(path, IMAGES, LABELS)
    path.write_bytes(path.read_bytes()[:-3000])


FILE_ROWS = {
    "empty": (lambda path: path.touch(), "not an HDF5 file"),
    "a web page": (lambda path: path.write_text("<html>"), "not an HDF5 file"),
    "a pipe": (os.mkfifo, "is no regular file"),
    "cut off": (_cut_off, "damaged or cut off"),
    "no columns": (_file(), r"no column 'images' \(it has \[\]\)"),
    "no labels": (_file(images=IMAGES), r"no column 'ans' \(it has \['images'\]\)"),
    "a group": (_file(**{"images/x": IMAGES, "ans": LABELS}), "no column 'images'"),
    "floats": (_file(images=IMAGES / 255, ans=LABELS), "'images' is float64"),
    "another size": (_file(images=IMAGES[:, 1:], ans=LABELS), r"\(80, 68, 69, 3\), expected"),
    "a number": (_file(images=np.uint8(1), ans=LABELS), r"'images' is uint8 \(\)"),
    "no dataspace": (_file(images=h5py.Empty("u1"), ans=LABELS), "'images' is uint8|damaged"),
    "one-hot": (_file(images=IMAGES, ans=np.eye(10)[LABELS]), r"labels of shape \(80, 10\)"),
    "fewer labels": (_file(images=IMAGES, ans=LABELS[1:]), "80 images but labels of shape"),
    "float labels": (_file(images=IMAGES, ans=LABELS / 1), "labels of dtype float64, expected"),
    "words": (_file(images=IMAGES, ans=["spiral"] * 80), "labels of dtype object, expected"),
    "classes from 1": (_file(images=IMAGES, ans=LABELS + 1), "labels from 1 to 10"),
    "no galaxy": (_file(images=IMAGES[:0], ans=LABELS[:0]), "no image in it"),
    "a link": (_elsewhere("link"), "'images' .*another file"),
    "virtual": (_elsewhere("virtual"), "'images' .*another file"),
    "a promise of 14 TB": (_promising, "promises 1,000,000,000 galaxies"),
}


@pytest.mark.parametrize(("write", "words"), _rows(FILE_ROWS))
def test_bad_files_are_refused_by_the_library_and_the_commands(
    write, words, tmp_path, monkeypatch, capsys
):
    path = tmp_path / "some.h5"
    write(path)
    with pytest.raises(DataError, match=words):
        load_galaxy10(path)
    before = sorted(tmp_path.iterdir())
    out = tmp_path / "run"
    _assert_refused(["train", "--data", path, "--out", out], words, monkeypatch, capsys)
    assert sorted(tmp_path.iterdir()) == before


def _assert_refused(arguments, words, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["galclass", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    out, error = capsys.readouterr()
    assert stop.value.code == 2, error
    assert out == ""
    assert re.search(words, error), error
    assert error.count("\n") == 1


def _spoil(name, content):
    return lambda run: (run / name).write_bytes(content)


def _manifest(*without, **changes):
    def edit(run):
        kept = json.loads((run / "manifest.json").read_text())
        kept = {key: value for key, value in kept.items() if key not in without}
        (run / "manifest.json").write_text(json.dumps({**kept, **changes}))

    return edit


def _directory_for(name):
    def edit(run):
        (run / name).unlink()
        (run / name).mkdir()

    return edit


RUN_ROWS = [
    ("evaluate", _spoil("manifest.json", b"{broken"), "manifest.json is not valid JSON"),
    ("evaluate", _spoil("manifest.json", b"[1]"), "holds a list, expected a JSON object"),
    ("evaluate", _spoil("manifest.json", b"[" * 100_000), "is not valid JSON"),
    ("evaluate", _spoil("manifest.json", b"\xff\xfe{}"), "is not valid JSON"),
    ("evaluate", _spoil("manifest.json", b"{}"), r"lacks \['network', 'origin', .*galclass run"),
    ("evaluate", _manifest("split"), r"lacks \['split'\]"),
    ("evaluate", _manifest(network=5), "'network' is 5, expected a JSON object"),
    ("evaluate", _manifest(network={"layers": 9}), "describes no network"),
    ("evaluate", _manifest(network={"classes": -1}), "describes no network: classes=-1"),
    ("evaluate", _manifest(origin={"kind": "dream"}), "origin"),
    ("evaluate", _directory_for("manifest.json"), "cannot read .*Is a directory"),
    ("evaluate", _spoil("model.keras", b"no model"), "does not hold this network's weights"),
    ("evaluate", _spoil("model.keras", b""), "does not hold this network's weights"),
    ("evaluate", lambda run: (run / "model.keras").unlink(), "no model.keras in .*train the run"),
    ("figures", _spoil("metrics.json", b"{}"), r"lacks \['accuracy'.*galclass evaluate"),
    ("figures", _spoil("history.csv", b""), "history.csv is damaged"),
    ("figures", _spoil("history.csv", b"epoch,loss\n1,x\n"), "history.csv is damaged: could not"),
    ("figures", _spoil("examples.npz", b"PK"), "examples.npz is damaged"),
    ("figures", lambda run: (run / "history.csv").unlink(), "no history.csv in .*train the run"),
]


@pytest.mark.parametrize(("command", "spoil", "words"), RUN_ROWS)
def test_damaged_runs_are_refused_by_the_commands(
    command, spoil, words, images_of_brightness, trained, tmp_path, monkeypatch, capsys
):
    run, data = tmp_path / "run", tmp_path / "some.h5"
    shutil.copytree(trained.path, run)
    spoil(run)
    write_galaxy10(data, *images_of_brightness)
    rest = {"evaluate": ["--data", data], "figures": ["--out", tmp_path / "figures"]}[command]
    _assert_refused([command, run, *rest], words, monkeypatch, capsys)
    assert not (run / "predictions.npz").exists()
    assert not (tmp_path / "figures").exists()


OPTION_ROWS = [
    ("train", "--out"),
    ("train --out x --epochs 0", "--epochs.*1"),
    ("train --out x --epochs many", "--epochs.*integer"),
    ("train --out x --seed -1", "--seed.*0"),
    ("train --out x --data simulated --n 0", "--n.*1"),
    ("train --out x --data simulated --recipe best", "'best' is not one of"),
    ("train --out x --data nowhere.h5", "no file nowhere.h5"),
    ("train --out x --split lucky", "--split.*lucky.*stratified"),
    ("train --out x --precision int8", "--precision.*int8.*bfloat16"),
    ("data simulate some.h5 --n -5", "--n.*1"),
    ("figures", "(?i)missing argument"),
    ("evaluate nowhere", "no run folder"),
    ("figures nowhere", "no run folder"),
    ("verify nowhere", "no run folder"),
    ("pack nowhere -o x", "no run folder"),
    ("notebook --out x --notebook no.ipynb", "no notebook"),
    ("predict", "either images, --position or --name"),
    ("predict a.png --name M51", "either images, --position or --name"),
    ("predict --position north", "position 'north', expected"),
    ("predict nowhere.png -o x.txt", "x.txt.*expected"),
    ("predict nowhere.png --figure x.txt", "x.txt.*expected"),
    ("predict nowhere.png nowhere.jpg", "no file"),
    ("predict a.h5 b.h5", "one Parquet or HDF5 file"),
    ("survey nowhere -o x", "no file or directory"),
    ("survey . -o x --engine spark", "--engine.*spark"),
    ("survey nowhere -o x --workers 2", "workers"),
    ("report x", "No such command"),
    ("fly", "fly"),
]


@pytest.mark.parametrize(("arguments", "words"), OPTION_ROWS)
def test_bad_options_end_with_one_line_and_write_nothing(
    arguments, words, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    _assert_refused(arguments.split(), words, monkeypatch, capsys)
    assert list(tmp_path.iterdir()) == []


USER_ROWS = [
    ("train --data some.h5 --out full", "full exists and is not empty"),
    ("train --data some.h5 --out full --overwrite", "no manifest.json in"),
    ("train --data some.h5 --out full --resume", "full exists and is not"),
    ("train --data some.h5 --out full/thesis.txt", "no folder.*choose another name"),
    ("train --data some.h5 --out full/thesis.txt/run", "cannot write .*Not a"),
    ("data simulate full/thesis.txt", "exists; choose another name or give --overwr"),
    ("evaluate full", "no manifest.json"),
    ("figures full/thesis.txt", "no run folder"),
    ("predict some.h5 -o some.csv", "some.csv exists"),
    ("predict some.h5 -o full/thesis.txt --overwrite", "thesis.txt.*expected"),
    ("predict full -o full/x.csv", "full/x.csv would lie in full"),
    ("predict full --figure full/x.png", "full/x.png would lie in full"),
    ("survey full -o full/x", "full"),
    ("survey some.h5 -o full", "full"),
    ("survey some.h5 -o full --overwrite", "full"),
]


@pytest.mark.parametrize(("arguments", "words"), USER_ROWS)
def test_files_of_the_user_are_never_touched(arguments, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    for path in (tmp_path / "full" / "thesis.txt", tmp_path / "some.csv"):
        path.write_text("years of work")
    write_galaxy10(tmp_path / "some.h5", IMAGES, LABELS)
    before = {path: path.is_file() and path.read_bytes() for path in tmp_path.rglob("*")}
    _assert_refused(arguments.split(), words, monkeypatch, capsys)
    after = {path: path.is_file() and path.read_bytes() for path in tmp_path.rglob("*")}
    assert after == before


def test_a_file_that_may_not_be_read_says_so(tmp_path, images_of_brightness, monkeypatch):
    path = tmp_path / "some.h5"
    write_galaxy10(path, *images_of_brightness)
    path.chmod(0)
    if os.geteuid() == 0:  # Root may read everything.
        monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(PermissionError, match=r"no permission to read .*chmod"):
        load_galaxy10(path)


def test_the_place_of_the_published_file_may_hold_anything(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GALCLASS_DATA", raising=False)
    (tmp_path / "data" / "Galaxy10.h5").mkdir(parents=True)
    with pytest.raises(DataError, match="is a directory"):
        locate_galaxy10()
