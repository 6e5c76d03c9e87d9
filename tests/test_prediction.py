import builtins
import sys

import numpy as np
import pytest
from astropy.table import Table
from PIL import Image

from galclass import build_cnn, evaluate
from galclass.calibration import apply_temperature
from galclass.evaluation import predict_proba
from galclass.galaxy10 import CLASS_NAMES, DataError
from galclass.prediction import entropy, predict, table_format, write_table
from galclass.runs import RunError


@pytest.fixture(scope="module")
def model():
    return build_cnn(seed=3, filters=((4, 4), (4,), (4,)), dense_units=(8,))


@pytest.fixture(scope="module")
def folder(pictures, tmp_path_factory):
    """Eleven pictures of 69 pixels, and with them one that is cut off and one without colour."""
    path = tmp_path_factory.mktemp("pictures")
    for i, image in enumerate(pictures[0][::10]):
        Image.fromarray(image).save(path / f"g{i:02d}.png")
    whole = (path / "g00.png").read_bytes()
    (path / "g03b.png").write_bytes(whole[:3000])
    Image.fromarray(pictures[0][0]).convert("L").save(path / "g05b.JPG")
    (path / "notes.txt").write_text("not a picture")
    return path


def test_a_row_says_class_runner_up_and_probabilities(model, pictures):
    images = pictures[0]
    table = predict(model, images)
    expected = predict_proba(model, images, symmetric=True)
    probabilities = np.stack([table[f"p{c}"] for c in range(10)], axis=1)
    np.testing.assert_allclose(probabilities, expected, atol=1e-6)
    order = np.argsort(expected, axis=1)
    np.testing.assert_array_equal(table["class"], order[:, -1])
    np.testing.assert_array_equal(table["runner_up"], order[:, -2])
    np.testing.assert_allclose(table["probability"], expected.max(axis=1), atol=1e-6)
    assert table["class_name"].tolist() == [CLASS_NAMES[c] for c in order[:, -1]]
    assert table["source"][:2].tolist() == ["picture 0", "picture 1"]
    assert set(table["error"]) == {""}
    assert table.colnames == [
        *("source", "class", "class_name", "probability", "runner_up", "entropy"),
        *(f"p{c}" for c in range(10)),
        "error",
    ]
    assert (table["class"].dtype, table["p0"].dtype) == (np.uint8, np.float32)


def test_the_entropy_is_zero_when_certain_and_ln_10_when_undecided():
    certain, undecided = np.eye(10)[3], np.full(10, 0.1)
    np.testing.assert_allclose(entropy(np.stack([certain, undecided])), [0, np.log(10)], atol=1e-6)


def test_equally_likely_classes_have_two_names(model, pictures):
    flat = build_cnn(seed=3, filters=((4, 4), (4,), (4,)), dense_units=(8,))
    flat.layers[-1].set_weights([np.zeros((8, 10)), np.zeros(10)])
    table = predict(flat, pictures[0][:1])
    assert table["class"][0] != table["runner_up"][0]
    assert table["entropy"][0] == pytest.approx(np.log(10), abs=1e-5)


@pytest.mark.parametrize("batch_size", [4, 256])
def test_broken_pictures_keep_their_row_and_the_others_go_on(model, folder, pictures, batch_size):
    table = predict(model, folder, batch_size=batch_size)
    names = [source.rpartition("/")[2] for source in table["source"]]
    assert names == sorted(names)
    assert len(names) == 12
    broken = np.isin(names, ["g03b.png", "g05b.JPG"])
    for name in ("class", "class_name", "probability", "runner_up", "entropy", "p0", "p9"):
        np.testing.assert_array_equal(table[name].mask, broken)
    assert "cut off" in table["error"][names.index("g03b.png")]
    assert "without colour" in table["error"][names.index("g05b.JPG")]
    assert set(table["error"][~broken]) == {""}
    good = predict(model, pictures[0][::10], batch_size=batch_size)
    np.testing.assert_allclose(table["p3"][~broken], good["p3"], atol=1e-6)


def test_all_forms_of_pictures_are_taken(model, pictures, folder):
    image = pictures[0][0]
    wide = np.pad(image, ((100, 100), (100, 100), (0, 0)))
    path = folder / "g00.png"
    stream = (one for one in [str(path), Image.fromarray(image), image, folder / "gone.png"])
    table = predict(model, stream)
    assert table["source"].tolist() == [str(path), "picture 1", "picture 2", f"{folder}/gone.png"]
    assert len(set(table["p0"][:3])) == 1
    assert "no file" in table["error"][3]
    assert len(predict(model, path)) == 1
    assert predict(model, wide)["p0"][0] != table["p0"][0]
    assert predict(model, [image], crop=0.5)["p0"][0] != table["p0"][0]


def test_a_run_and_its_folder_predict_as_its_network(trained, pictures):
    network = predict_proba(trained.load_model(), pictures[0][:5])
    evaluate(trained, *pictures)
    expected = apply_temperature(network, trained.metrics["temperature"])
    assert not np.allclose(expected, network, atol=1e-5)
    for form in (trained, trained.path, str(trained.path)):
        table = predict(form, pictures[0][:5], symmetric=False)
        np.testing.assert_allclose(table["p1"], expected[:, 1], rtol=1e-5)


def test_turned_pictures_have_the_same_probabilities_only_when_symmetric(model, pictures):
    images = pictures[0][:5]
    turned = np.rot90(images, axes=(1, 2))
    a, b = predict(model, images), predict(model, turned)
    np.testing.assert_allclose(a["p2"], b["p2"], atol=1e-6)
    a, b = (predict(model, one, symmetric=False) for one in (images, turned))
    assert np.abs(a["p2"] - b["p2"]).max() > 1e-6


def test_what_cannot_be_predicted_at_all_is_refused(model, tmp_path):
    with pytest.raises(DataError, match="at least one"):
        predict(model, [])
    with pytest.raises(FileNotFoundError, match="no file or directory"):
        predict(model, tmp_path / "gone")
    with pytest.raises(DataError, match="no picture in"):
        predict(model, tmp_path)
    with pytest.raises(RunError, match="no run folder"):
        predict(tmp_path / "gone", [])
    with pytest.raises(DataError, match="0-1"):
        predict(model, np.zeros((2, 69, 69, 3)))
    two = build_cnn(classes=2, filters=((4,),), dense_units=())
    with pytest.raises(DataError, match="2 classes, expected 10"):
        predict(two, np.zeros((2, 69, 69, 3), np.uint8))
    with pytest.raises(ValueError, match="batch_size=0"):
        predict(model, np.zeros((2, 69, 69, 3), np.uint8), batch_size=0)


@pytest.fixture(scope="module")
def table(model, folder):
    return predict(model, folder, symmetric=False)


@pytest.mark.parametrize("suffix", ["ecsv", "csv", "fits", "parquet", "votable", "vot", "XML"])
def test_a_written_table_reads_back(suffix, table, tmp_path):
    if suffix == "parquet":
        pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    path = tmp_path / f"new/table.{suffix}"
    write_table(table, path)
    kinds = {"XML": "votable", "vot": "votable", "ecsv": "ascii.ecsv"}
    again = Table.read(path, format=kinds.get(suffix, suffix))
    assert again.colnames == table.colnames
    assert list(path.parent.iterdir()) == [path]
    good = table["error"] == ""
    for name in ("source", "class", "class_name", "p0", "entropy"):
        back, wanted = again[name][good], table[name][good]
        if wanted.dtype.kind == "f":
            np.testing.assert_allclose(np.asarray(back, float), wanted, rtol=1e-6)
        else:
            assert [str(x) for x in back] == [str(x) for x in wanted]
    assert not good.all()
    assert "cut off" in str(again["error"][~good][0])
    for i in np.flatnonzero(~good):
        assert again["class"][i] is np.ma.masked or again["class"][i] == 255


def test_a_table_is_refused_before_any_work(tmp_path, monkeypatch):
    for wrong in ("table", "table.txt", "table.gz"):
        with pytest.raises(ValueError, match=r"expected one of \.ecsv"):
            table_format(tmp_path / wrong)
    there = tmp_path / "there.csv"
    there.write_text("mine")
    with pytest.raises(FileExistsError, match="overwrite"):
        table_format(there)
    assert table_format(there, overwrite=True) == "ascii.csv"
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(FileExistsError, match="exists"):
        table_format(tmp_path / "folder.csv", overwrite=True)
    real = builtins.__import__

    def without_pyarrow(name, *arguments, **keywords):
        if name == "pyarrow":
            raise ImportError(name)
        return real(name, *arguments, **keywords)

    monkeypatch.delitem(sys.modules, "pyarrow", raising=False)
    monkeypatch.setattr(builtins, "__import__", without_pyarrow)
    with pytest.raises(ImportError, match="pip install pyarrow"):
        table_format(tmp_path / "t.parquet")


def test_a_file_is_replaced_whole_and_only_when_told(table, tmp_path, monkeypatch):
    path = tmp_path / "t.csv"
    path.write_text("mine")
    with pytest.raises(FileExistsError):
        write_table(table, path)

    def half(self, file, **options):
        file.write_text("half")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Table, "write", half)
        with pytest.raises(RunError, match="disk is full"):
            write_table(table, path, overwrite=True)
    assert path.read_text() == "mine"
    write_table(table, path, overwrite=True)
    assert len(Table.read(path, format="csv")) == len(table)
    assert [file.name for file in tmp_path.iterdir()] == ["t.csv"]


def test_the_progress_bar_counts_pictures(model, pictures, capfd):
    predict(model, pictures[0][:7], progress=True)
    assert "7/7" in capfd.readouterr().err
    predict(model, pictures[0][:7])
    assert capfd.readouterr().err == ""
