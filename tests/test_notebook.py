import itertools
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from galclass.data.dataset import Dataset
from galclass.load import write_data

NOTEBOOK = Path(__file__).parent.parent / "CNN_galaxies.ipynb"
CELLS = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
CODE = ["".join(cell["source"]) for cell in CELLS if cell["cell_type"] == "code"]
LINES = [line.strip() for line in "\n".join(CODE).splitlines() if line.strip()]


def test_notebook_is_thin_and_has_no_outputs():
    assert len([line for line in LINES if not line.startswith("#")]) < 60
    assert not [line for line in LINES if line.startswith(("def ", "class ", "lambda"))]
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in CELLS)


def test_one_cell_has_the_parameters():
    (cell,) = [cell for cell in CELLS if "parameters" in cell["metadata"].get("tags", [])]
    names = {line.partition(" = ")[0] for line in cell["source"]}
    assert names == {"data", "n", "recipe", "epochs", "seed", "run_dir"}


def test_words_come_before_every_figure():
    for before, cell in itertools.pairwise(CELLS):
        if cell["cell_type"] == "code" and re.search(r"plot_\w+\(", "".join(cell["source"])):
            assert before["cell_type"] == "markdown"


def test_no_cell_assumes_a_shell_a_path_or_a_gpu():
    (installation,) = [source for source in CODE if "%pip" in source]
    assert "is None" in installation.partition("%pip")[0]
    assumed = r"^(!|%(?!pip install))|/content|/tmp|C:|os\.system|GPU|cuda"
    assert [line for line in LINES if re.search(assumed, line)] == []


@pytest.mark.slow
def test_notebook_runs_with_papermill_and_becomes_html(galaxies, tmp_path):
    pytest.importorskip("papermill", reason="papermill is not installed")
    write_data(tmp_path / "some.h5", Dataset(*galaxies))
    parameters = ["-p", "data", "some.h5", "-p", "epochs", "1", "-p", "run_dir", "demo"]

    def run(*command):
        return subprocess.run(
            [sys.executable, "-m", *command],
            cwd=tmp_path,
            env={**os.environ, "PYDEVD_DISABLE_FILE_VALIDATION": "1"},
            check=True,
            capture_output=True,
            text=True,
        ).stdout

    printed = run("papermill", str(NOTEBOOK), "demo.ipynb", *parameters, "--stdout-file", "-")
    run("nbconvert", "--to", "html", "demo.ipynb")
    assert "epoch   1/1" in printed
    cells = json.loads((tmp_path / "demo.ipynb").read_text(encoding="utf-8"))["cells"]
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    assert not [each for each in outputs if each.get("name") == "stderr"]
    # The figure has replaced the lines of the epochs.
    texts = ["".join(each["text"]) for each in outputs if each["output_type"] == "stream"]
    assert "epoch" not in "".join(texts)
    assert sum("image/png" in each.get("data", {}) for each in outputs) == 10
    assert (tmp_path / "demo.html").stat().st_size > 100_000
    assert (tmp_path / "demo" / "figures" / "confusion_matrix.png").exists()
