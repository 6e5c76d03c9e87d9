import io
import os
import subprocess
import sys

import pytest
from PIL import Image

import galclass
from galclass import cli
from galclass.data.galaxy10 import write_galaxy10
from galclass.errors import DataError


@pytest.fixture
def command(monkeypatch):
    """Run a command line in this process; its exit code."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["galclass", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        return stop.value.code or 0

    return run


@pytest.fixture
def some(images_of_brightness, tmp_path):
    """A file of 20 galaxies of two classes."""
    images, labels = images_of_brightness
    write_galaxy10(tmp_path / "some.h5", images[:20], labels[:20])
    return tmp_path / "some.h5"


def test_train_evaluate_and_figures(command, capsys, images_of_brightness, tmp_path):
    data, out = tmp_path / "some.h5", tmp_path / "run"
    write_galaxy10(data, *images_of_brightness)
    assert command("train", "--data", data, "--epochs", 1, "--out", out) == 0
    assert "test accuracy" in capsys.readouterr().out
    run = galclass.load_run(out)
    assert run.origin.name == "some.h5"
    figures = {path.name for path in (out / "figures").glob("*.png")}
    assert {"examples.png", "history.png", "confusion_matrix.png"} <= figures
    (out / "metrics.json").unlink()
    assert command("evaluate", out, "--data", data) == 0
    assert galclass.load_run(out).metrics == run.metrics
    assert command("figures", out, "--out", tmp_path / "f") == 0
    assert (tmp_path / "f" / "history.png").exists()
    assert command("verify", out, "--data", data) == 0
    (out / "predictions.npz").unlink()
    assert command("verify", out, "--data", data) == 1


def test_simulated_galaxies_keep_their_origin_in_galaxy10s_layout(command, tmp_path):
    path = tmp_path / "simulated.h5"
    assert command("data", "simulate", path, "--n", 20, "--seed", 3) == 0
    images, labels, origin = galclass.load_data(path)
    assert (images.shape, len(labels)) == ((20, 69, 69, 3), 20)
    assert (origin.simulated, origin.seed) == (True, 3)


def test_info_counts_classes_and_copies(command, capsys, images_of_brightness, tmp_path):
    images, labels = images_of_brightness[0].copy(), images_of_brightness[1]
    images[1] = images[0, ::-1]
    write_galaxy10(tmp_path / "some.h5", images, labels)
    assert command("data", "info", "--data", tmp_path / "some.h5") == 0
    printed = capsys.readouterr().out
    assert "copies, also under a symmetry: 1;" in printed
    assert "1  Disk, Face-on, No Spiral             10            3,461" in printed


def test_the_recipes_of_the_command_line_are_those_of_the_library():
    assert set(cli.RecipeName.__args__) == set(galclass.RECIPES)


@pytest.mark.parametrize("arguments", [[], ["data"], ["--help"], ["train", "--help"]])
def test_help_is_shown_where_it_is_needed(command, capsys, arguments):
    command(*arguments)
    shown = capsys.readouterr()
    assert "Usage" in shown.out
    assert shown.err == ""


def test_images_are_classified_offline_into_a_table_and_a_figure(
    command, capsys, images_of_brightness, tmp_path
):
    from astropy.table import Table

    folder, table, figure = tmp_path / "images", tmp_path / "t.ecsv", tmp_path / "f.pdf"
    folder.mkdir()
    for k in (0, 1):
        Image.fromarray(images_of_brightness[0][50 * k]).resize((424, 424)).save(
            folder / f"{k}.png"
        )
    (folder / "2.png").write_bytes(b"no image")
    arguments = ["predict", folder, "-o", table, "--figure", figure]
    assert command(*arguments) == 0
    out, error = capsys.readouterr()
    rows = Table.read(table)
    assert f"0.png: {rows['class'][0] + 1} {rows['class_name'][0]}, " in out
    assert "2.png: " in error
    assert "2.png" not in out
    assert [bool(error) for error in rows["error"]] == [False, False, True]
    assert figure.read_bytes()[:4] == b"%PDF"
    assert command(*arguments) == 2
    assert command(*arguments, "--overwrite") == 0
    assert command("predict", folder / "2.png", "-o", tmp_path / "failed.csv") == 1
    assert (tmp_path / "failed.csv").exists()


def test_three_fits_files_are_one_galaxy_in_the_order_g_r_i(command, monkeypatch, tmp_path):
    given = []

    def predict(images, **_):
        given.append(images)
        raise DataError("stop here")

    monkeypatch.setattr(galclass, "predict", predict)
    bands = tuple(tmp_path / f"{band}.fits" for band in "gri")
    assert command("predict", *bands) == 2
    assert given == [[bands]]


def test_predict_computes_a_run_in_the_precision_asked_for(command, monkeypatch, trained, tmp_path):
    asked, model = [], trained.load_model()
    monkeypatch.setattr(
        "galclass.run.Run.load_model", lambda *_, **settings: asked.append(settings) or model
    )
    Image.new("RGB", (69, 69)).save(tmp_path / "one.png")
    assert (
        command("predict", tmp_path / "one.png", "--run", trained.path, "--precision", "bfloat16")
        == 0
    )
    assert asked == [{"precision": "bfloat16"}]


def test_a_source_is_classified_in_shards_or_in_one_table(command, capsys, some, trained, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed: no Parquet")
    out, table = tmp_path / "shards", tmp_path / "table.csv"
    arguments = ["survey", some, "-o", out, "--part-rows", 8, "--run", trained.path]
    for _ in range(2):
        assert command(*arguments) == 0
        assert capsys.readouterr().out == f"3 shards in {out}\n"
    rows = [parquet.read_table(path).num_rows for path in sorted(out.glob("part-*"))]
    assert rows == [8, 8, 4]
    assert command(*arguments, "--crop", 0.5) == 2
    assert command("predict", some, "-o", table) == 0
    assert len(table.read_text().splitlines()) == 21
    assert command("predict", some, "--figure", tmp_path / "g.png") == 2
    assert "without --figure" in capsys.readouterr().err


def test_a_directory_of_parquet_files_is_a_source_of_one_table_too(
    command, images_of_brightness, tmp_path
):
    pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed: no Parquet")
    parquet = pytest.importorskip("pyarrow.parquet")
    content = io.BytesIO()
    Image.fromarray(images_of_brightness[0][0]).save(content, "PNG")
    rows = pa.table({"id": ["a", "b"], "image": pa.array([content.getvalue()] * 2, pa.binary())})
    (tmp_path / "survey").mkdir()
    parquet.write_table(rows, tmp_path / "survey" / "one.parquet")
    assert command("predict", tmp_path / "survey", "-o", tmp_path / "table.csv") == 0
    assert len((tmp_path / "table.csv").read_text().splitlines()) == 3


@pytest.mark.parametrize("closed", [False, True])
def test_results_are_written_whatever_becomes_of_what_is_printed(closed, trained, tmp_path):
    """A pipe that nobody reads, and a name that the terminal cannot show."""
    (tmp_path / "images").mkdir()
    Image.new("RGB", (69, 69)).save(tmp_path / "images" / "gal\udcffaxy ☄.png")
    arguments = ["predict", "images", "--run", trained.path, "-o", "table.csv"]
    with subprocess.Popen(
        [sys.executable, "-m", "galclass", *arguments],
        cwd=tmp_path,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        if closed:
            process.stdout.close()
        error = process.stderr.read()
    assert (error, process.returncode) == (b"", int(closed))
    assert (tmp_path / "table.csv").exists()


def test_an_interrupt_ends_with_its_own_code(command, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(galclass, "verify", interrupted)
    assert command("verify", "x") == 130


def test_the_module_is_the_command_too():
    done = subprocess.run(
        [sys.executable, "-m", "galclass", "--version"], capture_output=True, text=True
    )
    assert done.stdout == f"galclass {galclass.__version__}\n"
