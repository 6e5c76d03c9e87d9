import io
import sys

import pytest
from PIL import Image

from galclass import cli, load_galaxy10, load_run
from galclass.galaxy10 import write_galaxy10


def _run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["galclass", *map(str, arguments)])
    try:
        cli.main()
    except SystemExit as stop:
        return stop.code
    return 0


def test_train_evaluate_and_figures(monkeypatch, capsys, pictures, tmp_path):
    data, out = tmp_path / "some.h5", tmp_path / "run"
    write_galaxy10(data, *pictures)
    assert _run(monkeypatch, "train", "--data", data, "--epochs", 1, "--out", out) == 0
    assert "test accuracy" in capsys.readouterr().out
    run = load_run(out)
    assert run.manifest["source"]["name"] == "some.h5"
    figures = {path.name for path in (out / "figures").glob("*.png")}
    assert {"examples.png", "history.png", "confusion_matrix.png"} <= figures
    before = run.metrics
    (out / "metrics.json").unlink()
    assert _run(monkeypatch, "evaluate", out, "--data", data) == 0
    assert load_run(out).metrics == before
    assert _run(monkeypatch, "figures", out, "--out", tmp_path / "f") == 0
    assert (tmp_path / "f" / "history.png").exists()


def test_simulated_galaxies_are_written_in_galaxy10s_layout(monkeypatch, tmp_path):
    path = tmp_path / "simulated.h5"
    assert _run(monkeypatch, "data", "simulate", path, "--n", 20) == 0
    images, labels = load_galaxy10(path)
    assert images.shape == (20, 69, 69, 3)
    assert len(labels) == 20


def test_info_counts_classes_and_copies(monkeypatch, capsys, pictures, tmp_path):
    images, labels = pictures[0].copy(), pictures[1]
    images[1] = images[0, ::-1]
    write_galaxy10(tmp_path / "some.h5", images, labels)
    assert _run(monkeypatch, "data", "info", "--data", tmp_path / "some.h5") == 0
    printed = capsys.readouterr().out
    assert "also flipped or turned: 1 groups" in printed


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "--out", "x", "--data", "nowhere.h5"], "no file nowhere.h5"),
        (
            ["train", "--out", "x", "--data", "simulated", "--recipe", "best"],
            "'best' is not one of",
        ),
        (["train", "--out", "x", "--epochs", "0"], "--epochs"),
        (["train"], "--out"),
        (["dance"], "No such command"),
        (["evaluate", "nowhere"], "no run folder"),
        (["figures", "nowhere"], "no run folder"),
        (["notebook", "--out", "x", "--notebook", "no.ipynb"], "no notebook"),
    ],
)
def test_bad_use_ends_with_one_line_and_code_2(monkeypatch, capsys, tmp_path, arguments, words):
    monkeypatch.chdir(tmp_path)
    assert _run(monkeypatch, *arguments) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_the_recipes_of_the_command_line_are_those_of_the_library():
    from galclass import RECIPES

    assert {recipe.value for recipe in cli.RecipeName} == set(RECIPES)


@pytest.mark.parametrize("arguments", [[], ["data"], ["--help"], ["train", "--help"]])
def test_help_is_shown_where_it_is_needed(monkeypatch, capsys, arguments):
    _run(monkeypatch, *arguments)
    shown = capsys.readouterr()
    assert "Usage" in shown.out
    assert shown.err == ""


def test_pictures_are_classified_offline_into_a_table_and_figures(
    monkeypatch, capsys, pictures, tmp_path
):
    from astropy.table import Table
    from PIL import Image

    for k in (0, 1):
        Image.fromarray(pictures[0][50 * k]).resize((424, 424)).save(tmp_path / f"{k}.png")
    (tmp_path / "2.png").write_bytes(b"no picture")
    table, gallery, maps = (tmp_path / name for name in ("t.ecsv", "g.pdf", "m.pdf"))
    arguments = ["predict", tmp_path, "-o", table, "--gallery", gallery, "--attribution", maps]
    assert _run(monkeypatch, *arguments) == 0
    printed = capsys.readouterr().out
    assert "2.png: " in printed
    rows = Table.read(table)
    assert [bool(error) for error in rows["error"]] == [False, False, True]
    assert gallery.read_bytes()[:4] == maps.read_bytes()[:4] == b"%PDF"
    assert _run(monkeypatch, *arguments) == 2
    assert "exists" in capsys.readouterr().err


def test_predict_computes_a_run_in_the_precision_asked_for(monkeypatch, trained, tmp_path):
    asked = []
    model = trained.load_model()
    monkeypatch.setattr(
        "galclass.runs.Run.load_model", lambda _, **settings: asked.append(settings) or model
    )
    Image.new("RGB", (69, 69)).save(tmp_path / "one.png")
    arguments = [tmp_path / "one.png", "--run", trained.path, "--precision", "bfloat16"]
    assert _run(monkeypatch, "predict", *arguments) == 0
    assert asked == [{"precision": "bfloat16"}]


def test_a_source_is_classified_in_parts_where_a_folder_is_named(
    monkeypatch, capsys, pictures, tmp_path
):
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed: no Parquet")
    source, out = tmp_path / "some.h5", tmp_path / "out.parquet"
    write_galaxy10(source, pictures[0][:20], pictures[1][:20])
    arguments = ["predict", source, "-o", f"{out}/", "--part-rows", 8, "--no-symmetric"]
    for _ in range(2):
        assert _run(monkeypatch, *arguments) == 0
        assert capsys.readouterr().out == f"20 pictures in 3 parts in {out}\n"
    rows = [parquet.read_table(path).num_rows for path in sorted(out.glob("part-*"))]
    assert rows == [8, 8, 4]
    for wrong in (["--gallery", tmp_path / "g.png"], ["--symmetric"], ["--engine", "ray"]):
        assert _run(monkeypatch, "predict", source, tmp_path, "-o", f"{out}/", *wrong) == 2
    assert _run(monkeypatch, *arguments[:-1]) == 2
    assert "cannot go on" in capsys.readouterr().err
    table = tmp_path / "table.csv"
    assert _run(monkeypatch, "predict", source, "-o", table, "--workers", 2) == 2
    assert "are Ray's" in capsys.readouterr().err
    assert _run(monkeypatch, "predict", source, "-o", table, "--no-symmetric") == 0
    assert len(table.read_text().splitlines()) == 21
    assert _run(monkeypatch, "predict", source, "--gallery", tmp_path / "g.png") == 2
    assert "not rows of a file" in capsys.readouterr().err


def test_a_directory_of_parquet_files_is_a_source_of_one_table_too(monkeypatch, pictures, tmp_path):
    pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed: no Parquet")
    parquet = pytest.importorskip("pyarrow.parquet")
    content = io.BytesIO()
    Image.fromarray(pictures[0][0]).save(content, "PNG")
    rows = pa.table({"id": ["a", "b"], "image": pa.array([content.getvalue()] * 2, pa.binary())})
    (tmp_path / "survey").mkdir()
    parquet.write_table(rows, tmp_path / "survey" / "one.parquet")
    table = tmp_path / "table.csv"
    assert _run(monkeypatch, "predict", tmp_path / "survey", "-o", table, "--no-symmetric") == 0
    assert len(table.read_text().splitlines()) == 3
