"""Bad input ends in an error that says what was found, what was expected and what to do."""

import json
import os
import re
import shutil
import sys

import h5py
import numpy as np
import pytest

from galclass import (
    Recipe,
    build_cnn,
    cli,
    evaluate,
    load_data,
    load_galaxy10,
    load_run,
    plot_confusion_matrix,
    plot_examples,
    save_figures,
    split,
    top_confusions,
    train,
)
from galclass.evaluation import compute_metrics, confusion_matrix, predict_proba
from galclass.galaxy10 import DataError, check_images, check_labels, locate_galaxy10, write_galaxy10
from galclass.runs import RunError
from galclass.verify import verify

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (80, 69, 69, 3), np.uint8)
LABELS = np.arange(80, dtype=np.uint8) % 10
EVEN = np.full((80, 10), 0.1)


def _with(array, value, at=0):
    array = np.array(array)
    array.flat[at] = value
    return array


IMAGE_ROWS = [
    ("floats in 0-1", IMAGES / 255, r"float64, expected uint8; they lie in 0-1: convert with \(im"),
    ("float32 in 0-1", np.float32(IMAGES / 255), r"float32.*\(images \* 255\)\.round\(\)\.astype"),
    ("floats in 0-255", IMAGES.astype(float), r"0-255: convert with images\.round\(\)\.astype"),
    ("integers in 0-255", IMAGES.astype(int), r"int64, expected uint8; they lie in 0-255: convert"),
    ("floats beyond", IMAGES * 9.0, "float64, expected uint8; give pixel values 0-255"),
    ("negative floats", IMAGES / 127.5 - 1, "float64, expected uint8; give pixel values 0-255"),
    ("NaN", _with(IMAGES / 255, np.nan), "NaN or infinite values; mend these first"),
    ("infinite", _with(IMAGES / 255, np.inf), "NaN or infinite values"),
    ("booleans", IMAGES > 99, "bool, expected uint8"),
    ("words", np.array(["a", "b"]), "dtype <U1, expected uint8"),
    ("nothing", None, "dtype object, expected uint8"),
    ("ragged", [[1, 2], [3]], "not an array"),
    ("channels first", IMAGES.transpose(0, 3, 1, 2), r"channels come last: images\.transpose"),
    ("grey", IMAGES[..., 0], "grey, expected red, green and blue"),
    ("one channel", IMAGES[..., :1], r"\(80, 69, 69, 1\), expected \(N, 69, 69, 3\)"),
    ("four channels", np.concatenate([IMAGES, IMAGES[..., :1]], -1), r"\(80, 69, 69, 4\)"),
    ("another size", IMAGES[:, :64, :64], r"\(80, 64, 64, 3\), expected \(N, 69, 69, 3\)"),
    ("one picture", IMAGES[0], r"first axis: images\[None\]"),
    ("flat", IMAGES.reshape(80, -1), r"\(80, 14283\), expected"),
    ("a number", np.uint8(3), r"shape \(\), expected"),
    ("no picture", IMAGES[:0], "no image in it, expected at least one"),
]
LABEL_ROWS = [
    ("one-hot", np.eye(10)[LABELS], r"looks one-hot.*labels\.argmax\(axis=1\)"),
    ("a column", LABELS[:, None], r"labels of shape \(80, 1\), expected \(N,\)"),
    ("floats", LABELS.astype(float), r"float64, expected integers 0-9; convert"),
    ("booleans", LABELS > 4, "bool, expected integers"),
    ("names", np.array(["spiral"] * 80), "expected integers 0-9"),
    ("classes from 1 to 10", LABELS + 1, "labels from 1 to 10, expected 0-9"),
    ("negative", LABELS.astype(int) - 1, "labels from -1 to 8, expected 0-9"),
    ("no label", LABELS[:0], "no label in it"),
    ("NaN", _with(LABELS.astype(float), np.nan), "float64, expected integers"),
    ("nothing", None, r"labels of shape \(\)"),
    ("ragged", [[1, 2], [3]], "not an array"),
]


@pytest.mark.parametrize(
    ("images", "words"), [row[1:] for row in IMAGE_ROWS], ids=[row[0] for row in IMAGE_ROWS]
)
def test_bad_images_are_refused_by_all_that_take_them(images, words, tmp_path, trained):
    takers = [
        check_images,
        lambda bad: train(bad, LABELS, out=tmp_path / "run"),
        lambda bad: evaluate(trained, bad, LABELS),
        lambda bad: predict_proba(trained.load_model(), bad),
        lambda bad: write_galaxy10(tmp_path / "some.h5", bad, LABELS),
    ]
    for take in takers:
        with pytest.raises(DataError, match=words):
            take(images)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("labels", "words"), [row[1:] for row in LABEL_ROWS], ids=[row[0] for row in LABEL_ROWS]
)
def test_bad_labels_are_refused_by_all_that_take_them(labels, words, tmp_path, trained):
    takers = [
        check_labels,
        split,
        lambda bad: train(IMAGES, bad, out=tmp_path / "run"),
        lambda bad: evaluate(trained, IMAGES, bad),
        lambda bad: compute_metrics(bad, EVEN),
        lambda bad: confusion_matrix(bad, LABELS),
        lambda bad: write_galaxy10(tmp_path / "some.h5", IMAGES, bad),
    ]
    for take in takers:
        with pytest.raises(DataError, match=words):
            take(labels)
    assert list(tmp_path.iterdir()) == []


def _train(**keywords):
    return lambda folder, run: train(IMAGES, LABELS, **{"out": folder / "run", **keywords})


OTHER_ROWS = [
    (
        "fewer labels",
        lambda f, r: train(IMAGES, LABELS[:-1], out=f / "x"),
        DataError,
        "80 images b",
    ),
    (
        "one class",
        lambda f, r: train(IMAGES, LABELS * 0 + 3, out=f / "x"),
        DataError,
        "class 3, ex",
    ),
    ("too few", lambda f, r: train(IMAGES[:30], LABELS[:30], out=f / "x"), ValueError, "too few"),
    ("recipe's name", _train(recipe="best"), ValueError, r"unknown recipe 'best'.*'default'"),
    ("recipe's type", _train(recipe={"epochs": 3}), ValueError, "expected a Recipe or one of"),
    ("no epochs", _train(epochs=0), ValueError, "epochs=0.*expected 1 or more"),
    ("half an epoch", _train(epochs=2.5), ValueError, "epochs=2.5, expected an integer"),
    ("negative seed", _train(seed=-1), ValueError, "seed=-1, expected an integer of 0 or more"),
    ("seed's type", _train(seed="0"), ValueError, "seed='0', expected an integer"),
    ("split's name", _train(split_protocol="lucky"), ValueError, "unknown split 'lucky', expected"),
    ("precision", _train(precision="int8"), ValueError, "unknown precision 'int8', expected"),
    ("source", _train(source="SDSS"), ValueError, "source='SDSS', expected the source that load"),
    ("batch", lambda f, r: Recipe(epochs=1, batch_size=0), ValueError, "batch_size=0"),
    ("rate", lambda f, r: Recipe(epochs=1, learning_rate=0), ValueError, "learning_rate=0, expec"),
    (
        "NaN rate",
        lambda f, r: Recipe(epochs=1, learning_rate=np.nan),
        ValueError,
        "rate=nan, expec",
    ),
    ("NaN penalty", lambda f, r: Recipe(epochs=1, l2=np.nan), ValueError, "l2=nan, expected 0 or"),
    ("negative", lambda f, r: Recipe(epochs=1, brightness=-2), ValueError, "brightness=-2"),
    ("smoothing", lambda f, r: Recipe(epochs=1, label_smoothing=1), ValueError, "0 <= label_smoo"),
    ("clip", lambda f, r: Recipe(epochs=1, gradient_clip=0), ValueError, "gradient_clip=0, expec"),
    (
        "patience",
        lambda f, r: Recipe(epochs=1, patience=0),
        ValueError,
        "patience=0, expected 1 or",
    ),
    ("schedule", lambda f, r: Recipe(epochs=1, schedule="step"), ValueError, "'step', expected"),
    ("split seed", lambda f, r: split(LABELS, random_state=-1), ValueError, "random_state=-1"),
    ("network size", lambda f, r: build_cnn(input_shape=(-69, 69, 3)), ValueError, "input_shape"),
    ("tiny pictures", lambda f, r: build_cnn(input_shape=(9, 9, 3)), ValueError, "too small"),
    ("no classes", lambda f, r: build_cnn(classes=0), ValueError, "classes=0, expected 2 or more"),
    ("dropout", lambda f, r: build_cnn(dropout=1), ValueError, "dropout=1, expected 0 <= dropout"),
    ("network's l2", lambda f, r: build_cnn(l2=-1), ValueError, "l2=-1, expected 0 or more"),
    ("filters", lambda f, r: build_cnn(filters=((0,),)), ValueError, "expected sizes of 1 up"),
    ("NaN", lambda f, r: compute_metrics(LABELS, EVEN * np.nan), DataError, "finite, 0 to 1"),
    ("logits", lambda f, r: compute_metrics(LABELS, EVEN * 30 - 2), DataError, "sum to 1"),
    ("flat", lambda f, r: compute_metrics(LABELS, EVEN[0]), DataError, r"\(10,\), expected float"),
    ("words", lambda f, r: compute_metrics(LABELS, EVEN.astype(str)), DataError, "expected float"),
    ("fewer", lambda f, r: compute_metrics(LABELS, EVEN[:3]), DataError, "3 images but 80 labels"),
    (
        "fractions",
        lambda f, r: compute_metrics(LABELS, EVEN, class_fractions=[1, 2]),
        DataError,
        "expected 10 numbers of 0 or more",
    ),
    ("lengths", lambda f, r: confusion_matrix(LABELS, LABELS[:5]), DataError, "80 labels but 5"),
    ("class 10", lambda f, r: confusion_matrix(LABELS, LABELS + 1), DataError, "from 1 to 10"),
    (
        "no indices",
        lambda f, r: predict_proba(r.load_model(), IMAGES, []),
        DataError,
        "expected one integer or more",
    ),
    (
        "indices beyond",
        lambda f, r: predict_proba(r.load_model(), IMAGES, [80]),
        DataError,
        "indices from 80 to 80, expected 0-79",
    ),
    (
        "no batch",
        lambda f, r: predict_proba(r.load_model(), IMAGES, batch_size=0),
        ValueError,
        "batch_size=0, expected 1 or more",
    ),
    ("other galaxies", lambda f, r: evaluate(r, IMAGES, LABELS), RunError, "are not the run's 100"),
    ("matrix", lambda f, r: plot_confusion_matrix(np.eye(3)), DataError, r"\(3, 3\), expected"),
    ("unpaired", lambda f, r: plot_examples(IMAGES, LABELS[:3]), DataError, "of equal length"),
    ("no labels", lambda f, r: plot_examples(IMAGES), DataError, "given together"),
    (
        "no run",
        lambda f, r: save_figures(f / "none", f / "x"),
        RunError,
        "no run folder .*galclass",
    ),
    ("no run", lambda f, r: load_run(f / "none"), RunError, "make one with: galclass train --out"),
    ("no run", lambda f, r: verify(f / "none"), RunError, "no run folder"),
    ("no manifest", lambda f, r: load_run(f), RunError, "no manifest.json"),
    ("no account", lambda f, r: load_run("~nobody-here/run"), RunError, "no run folder ~nobody-he"),
    ("no file", lambda f, r: load_data(f / "none.h5"), FileNotFoundError, "no file .*none.h5"),
    (
        "a mistyped name",
        lambda f, r: load_data("galaxy 10"),
        FileNotFoundError,
        "no file galaxy 10",
    ),
    ("a file above", lambda f, r: load_data("/dev/null/x.h5"), FileNotFoundError, "no file"),
    ("a directory", lambda f, r: load_data(f), DataError, "is a directory, expected an HDF5 file"),
    ("a device", lambda f, r: load_galaxy10("/dev/zero"), DataError, "is no regular file"),
    ("arrays", lambda f, r: load_data(IMAGES), TypeError, "expected 'simulated', 'galaxy10' or a"),
    ("nothing", lambda f, r: load_data(None), TypeError, "expected 'simulated', 'galaxy10' or a"),
    ("null byte", lambda f, r: load_galaxy10("a\0.h5"), (DataError, FileNotFoundError), "a.?.h5"),
]


@pytest.mark.parametrize(
    ("call", "kind", "words"), [row[1:] for row in OTHER_ROWS], ids=[row[0] for row in OTHER_ROWS]
)
def test_other_bad_arguments_are_refused_and_nothing_is_written(
    call, kind, words, tmp_path, trained
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


def _elsewhere(kind):
    def write(path):
        with h5py.File(path.with_name("other.h5"), "w") as file:
            file["images"] = IMAGES
        with h5py.File(path, "w") as file:
            file["ans"] = LABELS
            if kind == "link":
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


def _pipe(path):
    os.mkfifo(path)


FILE_ROWS = [
    ("empty", lambda path: path.touch(), "not an HDF5 file"),
    ("a web page", lambda path: path.write_text("<html>"), "not an HDF5 file"),
    ("a pipe", _pipe, "is no regular file"),
    ("cut off", _cut_off, "damaged or cut off"),
    ("no columns", _file(), r"no column 'images' \(it has \[\]\)"),
    ("no labels", _file(images=IMAGES), r"no column 'ans' \(it has \['images'\]\)"),
    ("a group", _file(**{"images/x": IMAGES, "ans": LABELS}), "no column 'images'"),
    ("floats", _file(images=IMAGES / 255, ans=LABELS), "'images' is float64"),
    ("another size", _file(images=IMAGES[:, 1:], ans=LABELS), r"\(80, 68, 69, 3\), expected"),
    ("a number", _file(images=np.uint8(1), ans=LABELS), r"'images' is uint8 \(\)"),
    ("no dataspace", _file(images=h5py.Empty("u1"), ans=LABELS), "'images' is uint8|damaged"),
    ("one-hot", _file(images=IMAGES, ans=np.eye(10)[LABELS]), r"labels of shape \(80, 10\)"),
    ("fewer labels", _file(images=IMAGES, ans=LABELS[1:]), "80 images but labels of shape"),
    ("float labels", _file(images=IMAGES, ans=LABELS / 1), "labels of dtype float64, expected"),
    ("words", _file(images=IMAGES, ans=["spiral"] * 80), "labels of dtype object, expected"),
    ("classes from 1", _file(images=IMAGES, ans=LABELS + 1), "labels from 1 to 10"),
    ("no galaxy", _file(images=IMAGES[:0], ans=LABELS[:0]), "no image in it"),
    ("a link", _elsewhere("link"), "'images' lies in another file"),
    ("virtual", _elsewhere("virtual"), "'images' lies in another file"),
    ("a promise of 14 TB", _promising, "promises 1,000,000,000 galaxies"),
]


@pytest.mark.parametrize(
    ("write", "words"), [row[1:] for row in FILE_ROWS], ids=[row[0] for row in FILE_ROWS]
)
def test_bad_files_are_refused_by_the_library_and_the_commands(
    write, words, tmp_path, monkeypatch, capsys
):
    path = tmp_path / "some.h5"
    write(path)
    with pytest.raises(DataError, match=words):
        load_galaxy10(path)
    before = sorted(tmp_path.iterdir())
    _assert_refused(
        ["train", "--data", path, "--out", tmp_path / "run"], words, monkeypatch, capsys
    )
    assert sorted(tmp_path.iterdir()) == before


def _assert_refused(arguments, words, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["galclass", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert re.search(words, error)
    assert error.count("\n") == 1
    assert "Traceback" not in error


def _spoil(name, content):
    return lambda run: (run / name).write_text(content)


def _without(*keys):
    def edit(run):
        manifest = json.loads((run / "manifest.json").read_text())
        (run / "manifest.json").write_text(
            json.dumps({k: v for k, v in manifest.items() if k not in keys})
        )

    return edit


def _network(network):
    def edit(run):
        manifest = json.loads((run / "manifest.json").read_text())
        (run / "manifest.json").write_text(json.dumps({**manifest, "network": network}))

    return edit


def _directory_for(name):
    def edit(run):
        (run / name).unlink()
        (run / name).mkdir()

    return edit


RUN_ROWS = [
    ("evaluate", _spoil("manifest.json", "{broken"), "manifest.json is not valid JSON"),
    ("evaluate", _spoil("manifest.json", "[1]"), "holds a list, expected a JSON object"),
    ("evaluate", _spoil("manifest.json", "[" * 100_000), "is not valid JSON"),
    ("evaluate", _spoil("manifest.json", "\udcff"), None),
    ("evaluate", _spoil("manifest.json", "{}"), r"lacks \['network', 'recipe'.*galclass run"),
    ("evaluate", _without("split"), r"lacks \['split'\]"),
    ("evaluate", _network(5), "'network' is 5, expected a JSON object"),
    ("evaluate", _network({"layers": 9}), "describes no network"),
    ("evaluate", _network({"classes": -1}), "describes no network: classes=-1"),
    ("evaluate", _directory_for("manifest.json"), "cannot read .*Is a directory"),
    ("evaluate", _spoil("model.keras", "not a model"), "does not hold this network's weights"),
    ("evaluate", _spoil("model.keras", ""), "does not hold this network's weights"),
    ("evaluate", lambda run: (run / "model.keras").unlink(), "no model.keras in .*train the run"),
    ("figures", _spoil("metrics.json", "{}"), r"lacks \['accuracy'.*galclass evaluate"),
    ("figures", _spoil("history.csv", ""), "history.csv is damaged"),
    ("figures", _spoil("history.csv", "epoch,loss\n1,x\n"), "history.csv is damaged: could not"),
    ("figures", _spoil("examples.npz", "PK"), "examples.npz is damaged"),
    ("figures", lambda run: (run / "history.csv").unlink(), "no history.csv in .*train the run"),
]


@pytest.mark.parametrize(("command", "spoil", "words"), RUN_ROWS)
def test_damaged_runs_are_refused_by_the_commands(
    command, spoil, words, pictures, trained, tmp_path, monkeypatch, capsys
):
    run = tmp_path / "run"
    shutil.copytree(trained.path, run)
    if words is None:
        (run / "manifest.json").write_bytes(b"\xff\xfe{}")
        words = "is not valid JSON"
    else:
        spoil(run)
    write_galaxy10(tmp_path / "some.h5", *pictures)
    arguments = {
        "evaluate": ["evaluate", run, "--data", tmp_path / "some.h5"],
        "figures": ["figures", run, "--out", tmp_path / "figures"],
    }
    _assert_refused(arguments[command], words, monkeypatch, capsys)
    assert not (run / "predictions.npz").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train"], "--out"),
        (["train", "--out", "x", "--epochs", "0"], "--epochs.*1"),
        (["train", "--out", "x", "--epochs", "many"], "--epochs.*integer"),
        (["train", "--out", "x", "--seed", "-1"], "--seed.*0"),
        (["train", "--out", "x", "--data", "simulated", "--n", "0"], "--n.*1"),
        (["train", "--out", "x", "--split", "lucky"], "--split.*lucky.*stratified"),
        (["train", "--out", "x", "--precision", "int8"], "--precision.*int8.*bfloat16"),
        (["data", "simulate", "some.h5", "--n", "-5"], "--n.*1"),
        (["figures"], "(?i)missing argument"),
        (["fly"], "fly"),
    ],
)
def test_bad_options_end_with_one_line_and_write_nothing(
    arguments, words, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    _assert_refused(arguments, words, monkeypatch, capsys)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "--data", "some.h5", "--out", "full"], "full exists and is not empty"),
        (["train", "--data", "some.h5", "--out", "full", "--overwrite"], "no manifest.json in"),
        (["train", "--data", "some.h5", "--out", "full", "--resume"], "full exists and is not"),
        (["train", "--data", "some.h5", "--out", "full/thesis.txt"], "exists and is not empty"),
        (["train", "--data", "some.h5", "--out", "full/thesis.txt/run"], "cannot write .*Not a"),
        (["data", "simulate", "full/thesis.txt"], "exists; choose another name or give --overwr"),
        (["evaluate", "full"], "no manifest.json"),
        (["figures", "full/thesis.txt"], "no run folder"),
    ],
)
def test_files_of_the_user_are_never_touched(arguments, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("years of work")
    write_galaxy10(tmp_path / "some.h5", IMAGES, LABELS)
    _assert_refused(arguments, words, monkeypatch, capsys)
    assert {path.name for path in tmp_path.rglob("*")} == {"full", "thesis.txt", "some.h5"}
    assert (tmp_path / "full" / "thesis.txt").read_text() == "years of work"


def test_a_file_that_may_not_be_read_says_so(tmp_path, pictures, monkeypatch):
    path = tmp_path / "some.h5"
    write_galaxy10(path, *pictures)
    path.chmod(0)
    if os.geteuid() == 0:
        # Root may read everything.
        monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(PermissionError, match=r"no permission to read .*chmod"):
        load_galaxy10(path)


def test_the_place_of_the_published_file_may_hold_anything(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GALCLASS_DATA", raising=False)
    (tmp_path / "data" / "Galaxy10.h5").mkdir(parents=True)
    with pytest.raises(DataError, match="is a directory"):
        locate_galaxy10()


def test_a_class_that_is_absent_from_the_test_part_is_reported(trained, pictures, tmp_path):
    images, labels = pictures
    labels = np.where(labels == 5, 4, labels).astype(np.uint8)
    run = train(images, labels, out=tmp_path / "run", epochs=1, precision="float32", verbose=False)
    with pytest.warns(UserWarning, match=r"no test galaxy is of classes \[5\]"):
        found = evaluate(run, images, labels)
    json.dumps(found, allow_nan=False)
    assert found["classes"][5]["recall"] is None
    assert found["macro_f1"] < found["macro_f1_present"] or found["macro_f1_present"] == 0


def test_confusions_of_something_else_are_refused():
    with pytest.raises(DataError, match="expected"):
        top_confusions(np.zeros((3, 4)))
