"""The command line: what each command does, and how it refuses bad input."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import get_args
from unittest.mock import Mock

import h5py
import numpy as np
import pytest
from astropy.table import Table
from PIL import Image

import galclass
from galclass import cli
from galclass.data.dataset import Dataset
from galclass.errors import DataError
from galclass.evaluation.metrics import HEADLINE
from galclass.load import write_data

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (80, 69, 69, 3), np.uint8)
LABELS = np.arange(80, dtype=np.uint8) % 10
UNLIKE = pytest.mark.filterwarnings("ignore:.* unlike the")


@pytest.fixture(autouse=True)
def empty_folder(monkeypatch, tmp_path):
    """Make an empty folder the working directory."""
    monkeypatch.chdir(tmp_path)


def write_galaxies(path, images=IMAGES, labels=LABELS):
    """Write an HDF5 file as the published one, without an origin."""
    write_data(path, Dataset(images, labels, None))


def read_all(folder):
    return {path: path.is_file() and path.read_bytes() for path in folder.rglob("*")}


@pytest.mark.slow
def test_train_evaluate_figures_and_verify(command, measured_data, tmp_path):
    shown = command(f"train --data {measured_data} --epochs 1 --out run")
    assert shown.code == 0
    run = galclass.load_run("run")
    assert f"{100 * run.metrics['accuracy']:.1f} %" in shown.out
    assert str(run.origin) in shown.out
    for title in HEADLINE.values():
        assert f"\n{title} " in shown.out
    for name in ("examples", "history", "confusion_matrix"):
        assert (tmp_path / "run" / "figures" / f"{name}.png").exists()
    metrics = run.metrics
    (tmp_path / "run" / "metrics.json").unlink()
    assert command(f"evaluate run --data {measured_data} --class-mix none").code == 0
    assert run.metrics == metrics
    assert command("figures run --out paper --size column").code == 0
    assert (tmp_path / "paper" / "history.pdf").exists()
    assert command(f"verify run --data {measured_data}")[:2] == (0, "differences: 0\n")
    (tmp_path / "run" / "predictions.npz").unlink()
    assert command(f"verify run --data {measured_data}").code == 1


def test_simulated_galaxies_keep_their_origin_in_a_file(command):
    assert command("data simulate s.h5 --n 20 --seed 3").code == 0
    images, _, origin = galclass.load_data("s.h5")
    assert images.shape == (20, 69, 69, 3)
    assert (origin.simulated, origin.seed) == (True, 3)


def test_data_info_counts_classes_and_copies(command):
    images = IMAGES.copy()
    images[1] = images[0, ::-1]
    write_galaxies("copies.h5", images)
    shown = " ".join(command("data info --data copies.h5").out.split())
    assert "1 Disk, Face-on, No Spiral 8 3,461" in shown
    assert "rotated): 1 of these" in shown


def test_choices_of_the_command_line_are_those_of_the_library():
    assert set(get_args(cli.RecipeName)) == set(galclass.RECIPES)


@pytest.mark.parametrize("line", ["", "data", "--help", "train --help"])
def test_help_is_shown_if_it_is_asked_for_or_needed(command, line):
    shown = command(line)
    assert "Usage" in shown.out
    assert shown.error == ""


def test_help_has_an_example_for_every_command_and_no_negated_flags(command):
    for group, words in ((cli.app, ""), (cli.data_app, "data ")):
        for info in group.registered_commands:
            name = words + (info.name or info.callback.__name__)
            shown = command(f"{name} --help").out
            assert f"Example: galclass {name}" in " ".join(shown.split())
            assert "--no-" not in shown


@UNLIKE
def test_images_are_classified_into_a_table_and_a_figure(command, tmp_path):
    (tmp_path / "images").mkdir()
    Image.fromarray(IMAGES[0]).resize((424, 424)).save("images/0.png")
    (tmp_path / "images" / "2.png").write_bytes(b"not an image")
    line = "predict images -o t.ecsv --figure f.pdf"
    shown = command(line)
    assert shown.code == 0
    table = Table.read("t.ecsv")
    assert f"0.png: {table['class'][0] + 1} {table['class_name'][0]}, " in shown.out
    assert "2.png" not in shown.out
    assert "2.png: " in shown.error
    assert [bool(error) for error in table["error"]] == [False, True]
    assert (tmp_path / "f.pdf").read_bytes().startswith(b"%PDF")
    assert command(line).code == 2
    assert command(f"{line} --overwrite").code == 0


def test_prediction_fails_if_no_image_can_be_read_but_writes_the_errors(command, tmp_path):
    (tmp_path / "0.png").write_bytes(b"not an image")
    assert command("predict 0.png -o failed.csv").code == 1
    assert len(Table.read("failed.csv")) == 1


def test_three_fits_files_are_one_galaxy_in_the_order_g_r_i(command, monkeypatch):
    predict = Mock(side_effect=DataError("stop here"))
    monkeypatch.setattr(galclass, "predict", predict)
    assert command("predict g.fits r.fits i.fits").code == 2
    assert predict.call_args.args == ([(Path("g.fits"), Path("r.fits"), Path("i.fits"))],)


def test_predict_uses_the_given_run_and_precision(command, monkeypatch, trained):
    load = Mock(return_value=trained.load_model())
    monkeypatch.setattr("galclass.run.Run.load_model", load)
    Image.new("RGB", (69, 69)).save("one.png")
    assert command(f"predict one.png --run {trained.path} --precision bfloat16").code == 0
    load.assert_called_once_with(precision="bfloat16")


@pytest.mark.slow
@UNLIKE
def test_source_is_classified_in_parts_or_in_one_table(command, trained, tmp_path):
    pq = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed: no surveys")
    write_galaxies("some.h5", IMAGES[:20], LABELS[:20])
    survey = f"survey some.h5 -o parts --part-rows 8 --run {trained.path}"
    for _ in range(2):
        assert command(survey)[:2] == (0, f"parts in {tmp_path / 'parts'}: 3\n")
    paths = sorted((tmp_path / "parts").glob("part-*"))
    assert [pq.read_table(path).num_rows for path in paths] == [8, 8, 4]
    assert command(f"{survey} --crop 0.5").code == 2
    assert command("predict some.h5 -o some.csv").code == 0
    assert len(Table.read("some.csv")) == 20


@pytest.mark.slow
@pytest.mark.parametrize("closed", [False, True])
def test_closed_pipes_and_odd_file_names_do_no_harm(closed, trained, tmp_path):
    (tmp_path / "images").mkdir()
    Image.new("RGB", (69, 69)).save(tmp_path / "images" / "gal\udcffaxy ☄.png")
    words = [sys.executable, "-m", "galclass", "predict", "images", "-o", "table.csv"]
    words += ["--run", trained.path]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    with subprocess.Popen(words, cwd=tmp_path, env=environment, **pipes) as process:
        if closed:
            process.stdout.close()
        error = process.stderr.read()
    assert (error, process.returncode) == (b"", int(closed))
    assert (tmp_path / "table.csv").exists()


def test_interrupt_ends_with_code_130(command, monkeypatch):
    monkeypatch.setattr(galclass, "verify", Mock(side_effect=KeyboardInterrupt))
    assert command("verify x").code == 130


def test_version_is_printed(command):
    assert command("--version").out == f"galclass {galclass.__version__}\n"


# Words of the error: the commands that are refused with it, in a folder with a file of galaxies,
# some.h5, and other files of the user.
REFUSED = {
    "--out": ["train"],
    "--epochs.*integer": ["train --out x --epochs many"],
    "--n.*1": ["train --out x --data simulated --n 0", "data simulate x.h5 --n -5"],
    "'best'.*quick": ["train --out x --data simulated --recipe best"],
    "'spark'.*local": ["survey . -o x --engine spark"],
    "no file nowhere.h5": ["train --out x --data nowhere.h5"],
    "HDF5": ["train --out x --data full/thesis.h5"],
    "'ans'": ["train --out x --data full/no_labels.h5"],
    "(?i)missing argument": ["figures"],
    "no run folder": ["evaluate no", "figures no", "verify no", "figures full/thesis.txt"],
    "no manifest.json": ["train --data some.h5 --out full --overwrite", "evaluate full"],
    "manifest.json.*damaged": [
        "evaluate damaged",
        "figures damaged",
        "predict a.png --run damaged",
    ],
    "--position or --name": ["predict", "predict a.png --name M51"],
    'expected "RA DEC"': ["predict --position north"],
    "x.txt.*expected": ["predict a.png -o x.txt", "predict a.png --figure x.txt"],
    "no file": ["predict no.png no.jpg", "survey nowhere -o x"],
    "by itself": ["predict a.h5 b.h5", "predict some.h5 --figure x.png"],
    "workers": ["survey nowhere -o x --workers 2"],
    "fly.*galclass --help": ["fly"],
    "not empty": ["train --data some.h5 --out full", "train --data some.h5 --out full --resume"],
    "is a file": ["train --data some.h5 --out full/thesis.txt"],
    "cannot write .*Not a": ["train --data some.h5 --out full/thesis.txt/run"],
    "exists.*--overwrite": ["data simulate full/thesis.txt", "predict some.h5 -o some.csv"],
    "thesis.txt.*expected": ["predict some.h5 -o full/thesis.txt --overwrite"],
    "in full, which is read": ["predict full -o full/x.csv", "predict full --figure full/x.png"],
    "full.*choose another": ["survey full -o full/x", "survey some.h5 -o full --overwrite"],
}


@pytest.mark.parametrize(
    ("words", "line"), [(words, line) for words, lines in REFUSED.items() for line in lines]
)
def test_bad_command_ends_with_one_line_and_changes_no_file(words, line, command, tmp_path):
    for folder in ("full", "damaged"):
        (tmp_path / folder).mkdir()
    for name in ("full/thesis.txt", "full/thesis.h5", "some.csv", "damaged/manifest.json"):
        (tmp_path / name).write_text("years of work")
    with h5py.File(tmp_path / "full" / "no_labels.h5", "w") as file:
        file["images"] = IMAGES
    write_galaxies("some.h5")
    Image.new("RGB", (69, 69)).save("a.png")
    before = read_all(tmp_path)
    result = command(line)
    assert (result.code, result.out, result.error.count("\n")) == (2, "", 1), result
    assert re.search(words, result.error), result.error
    assert read_all(tmp_path) == before
