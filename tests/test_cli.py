import os
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from astropy.table import Table
from PIL import Image

import galclass
from galclass import cli
from galclass.data.galaxy10 import write_galaxy10
from galclass.errors import DataError

UNLIKE = pytest.mark.filterwarnings("ignore:.* unlike those of the training")


@pytest.fixture
def command(monkeypatch, tmp_path):
    """Run a command line in this process, in an empty folder; its exit code."""
    monkeypatch.chdir(tmp_path)

    def run(line):
        monkeypatch.setattr(sys, "argv", ["galclass", *line.split()])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        return stop.value.code or 0

    return run


@pytest.mark.slow
def test_train_evaluate_figures_and_verify(command, capsys, images_of_brightness, tmp_path):
    write_galaxy10("some.h5", *images_of_brightness)
    assert command("train --data some.h5 --epochs 1 --out run") == 0
    assert "test accuracy" in capsys.readouterr().out
    run, out = galclass.load_run("run"), tmp_path / "run"
    assert run.origin.name == "some.h5"
    for name in ("examples", "history", "confusion_matrix"):
        assert (out / "figures" / f"{name}.png").exists()
    (out / "metrics.json").unlink()
    assert command("evaluate run --data some.h5") == 0
    assert galclass.load_run(out).metrics == run.metrics
    assert command("figures run --out f") == 0
    assert (tmp_path / "f" / "history.png").exists()
    assert command("verify run --data some.h5") == 0
    (out / "predictions.npz").unlink()
    assert command("verify run --data some.h5") == 1


def test_simulated_galaxies_keep_their_origin_and_classes_and_copies_are_counted(command, capsys):
    assert command("data simulate s.h5 --n 20 --seed 3") == 0
    images, labels, origin = galclass.load_data("s.h5")
    assert (images.shape, len(labels)) == ((20, 69, 69, 3), 20)
    assert (origin.simulated, origin.seed) == (True, 3)
    images[1], labels[:] = images[0, ::-1], np.arange(20) % 2
    write_galaxy10("copies.h5", images, labels)
    assert command("data info --data copies.h5") == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "symmetry: 1;" in printed
    assert "1 Disk, Face-on, No Spiral 10 3,461" in printed


def test_the_recipes_of_the_command_line_are_those_of_the_library():
    assert set(cli.RecipeName.__args__) == set(galclass.RECIPES)


@pytest.mark.parametrize("line", ["", "data", "--help", "train --help"])
def test_help_is_shown_where_it_is_needed(command, capsys, line):
    command(line)
    shown = capsys.readouterr()
    assert ("Usage" in shown.out, shown.err) == (True, "")


@UNLIKE
def test_images_are_classified_offline_into_a_table_and_a_figure(
    command, capsys, images_of_brightness, tmp_path
):
    (tmp_path / "images").mkdir()
    Image.fromarray(images_of_brightness[0][0]).resize((424, 424)).save("images/0.png")
    (tmp_path / "images" / "2.png").write_bytes(b"no image")
    line = "predict images -o t.ecsv --figure f.pdf"
    assert command(line) == 0
    out, error = capsys.readouterr()
    rows = Table.read("t.ecsv")
    assert f"0.png: {rows['class'][0] + 1} {rows['class_name'][0]}, " in out
    assert ("2.png" in out, "2.png: " in error) == (False, True)
    assert [bool(error) for error in rows["error"]] == [False, True]
    assert (tmp_path / "f.pdf").read_bytes()[:4] == b"%PDF"
    assert [command(line), command(f"{line} --overwrite")] == [2, 0]
    assert command("predict images/2.png -o failed.csv") == 1
    assert (tmp_path / "failed.csv").exists()


def test_three_fits_files_are_one_galaxy_in_the_order_g_r_i(command, monkeypatch):
    predict = Mock(side_effect=DataError("stop here"))
    monkeypatch.setattr(galclass, "predict", predict)
    assert command("predict g.fits r.fits i.fits") == 2
    assert predict.call_args.args == ([tuple(map(Path, ("g.fits", "r.fits", "i.fits")))],)


def test_predict_computes_a_run_in_the_precision_asked_for(command, monkeypatch, trained):
    load = Mock(return_value=trained.load_model())
    monkeypatch.setattr("galclass.run.Run.load_model", load)
    Image.new("RGB", (69, 69)).save("one.png")
    assert command(f"predict one.png --run {trained.path} --precision bfloat16") == 0
    load.assert_called_once_with(precision="bfloat16")


@pytest.mark.slow
@UNLIKE
def test_a_source_is_classified_in_shards_or_in_one_table(
    command, capsys, images_of_brightness, trained, tmp_path
):
    pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed: no Parquet")
    pq = pytest.importorskip("pyarrow.parquet")
    write_galaxy10("some.h5", *(array[:20] for array in images_of_brightness))
    survey = f"survey some.h5 -o shards --part-rows 8 --run {trained.path}"
    for _ in range(2):
        assert command(survey) == 0
        assert capsys.readouterr().out == f"3 shards in {tmp_path / 'shards'}\n"
    paths = sorted((tmp_path / "shards").glob("part-*"))
    assert [pq.read_table(path).num_rows for path in paths] == [8, 8, 4]
    assert command(f"{survey} --crop 0.5") == 2
    Image.fromarray(images_of_brightness[0][0]).save("one.png")
    rows = {"id": ["a"], "image": pa.array([(tmp_path / "one.png").read_bytes()], pa.binary())}
    (tmp_path / "survey").mkdir()
    pq.write_table(pa.table(rows), "survey/one.parquet")
    for source, count in (("some.h5", 20), ("survey", 1)):
        assert command(f"predict {source} -o {source}.csv") == 0
        assert len(Table.read(f"{source}.csv")) == count
    assert command("predict some.h5 --figure g.png") == 2
    assert "--figure" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("closed", [False, True])
def test_results_are_written_whatever_becomes_of_what_is_printed(closed, trained, tmp_path):
    """A pipe that nobody reads, and a name that the terminal cannot show."""
    (tmp_path / "images").mkdir()
    Image.new("RGB", (69, 69)).save(tmp_path / "images" / "gal\udcffaxy ☄.png")
    command = [sys.executable, "-m", "galclass", "predict", "images", "-o", "table.csv"]
    command += ["--run", trained.path]
    pipes = dict.fromkeys(("stdout", "stderr"), subprocess.PIPE)
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, **pipes) as process:
        if closed:
            process.stdout.close()
        error = process.stderr.read()
    assert (error, process.returncode) == (b"", int(closed))
    assert (tmp_path / "table.csv").exists()


def test_an_interrupt_ends_with_its_own_code(command, monkeypatch):
    monkeypatch.setattr(galclass, "verify", Mock(side_effect=KeyboardInterrupt))
    assert command("verify x") == 130


def test_the_module_is_the_command_too():
    shown = subprocess.check_output([sys.executable, "-m", "galclass", "--version"], text=True)
    assert shown == f"galclass {galclass.__version__}\n"
