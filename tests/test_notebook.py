import itertools
import json
import re
from pathlib import Path
from unittest.mock import Mock

import pytest

from galclass.data.galaxy10 import write_galaxy10
from galclass.errors import RunError
from galclass.notebook import execute, show_curves

NOTEBOOK = Path(__file__).parent.parent / "CNN_galaxies.ipynb"
CELLS = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
CODE = ["".join(cell["source"]) for cell in CELLS if cell["cell_type"] == "code"]
LINES = [line.strip() for line in "\n".join(CODE).splitlines() if line.strip()]


def test_the_notebook_is_thin_tagged_without_outputs_and_words_come_before_figures():
    assert len([line for line in LINES if not line.startswith("#")]) <= 60
    assert not [line for line in LINES if line.startswith(("def ", "class ", "lambda"))]
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in CELLS)
    (tagged,) = [
        "".join(c["source"]) for c in CELLS if "parameters" in c["metadata"].get("tags", [])
    ]
    names = {line.partition(" = ")[0] for line in tagged.splitlines()}
    assert names == {"data", "n", "recipe", "epochs", "seed", "run_dir"}
    for before, cell in itertools.pairwise(CELLS):
        plots = cell["cell_type"] == "code" and ".plot_" in "".join(cell["source"])
        assert not plots or before["cell_type"] == "markdown"


def test_no_cell_assumes_a_shell_a_path_or_a_gpu():
    (installing,) = [source for source in CODE if "%pip" in source]
    assert "is None" in installing.partition("%pip")[0]
    assumed = r"^(!|%(?!pip install))|/content|/tmp|C:|os\.system|GPU|cuda"
    assert [line for line in LINES if re.search(assumed, line)] == []


def test_the_curves_replace_what_the_cell_showed(trained, monkeypatch):
    cell = Mock()
    monkeypatch.setattr("IPython.display.clear_output", cell.clear)
    monkeypatch.setattr("IPython.display.display", cell.show)
    row = {"loss": 1.0, "accuracy": 0.5, "val_loss": 1.0, "val_accuracy": 0.5}
    for shown in ([{**row, "epoch": 1}, {**row, "epoch": 2}], trained, [trained, trained]):
        show_curves(shown)
    assert [name for name, *_ in cell.mock_calls] == ["clear", "show"] * 3
    cell.clear.assert_called_with(wait=True)
    growing, whole, _ = (call.args[0].axes[0].lines[0] for call in cell.show.call_args_list)
    assert (len(growing.get_xdata()), len(whole.get_xdata())) == (2, 3)


def test_what_exists_in_place_of_the_run_is_named_and_kept(tmp_path):
    pytest.importorskip("papermill", reason="papermill is not installed")
    (tmp_path / "file").write_text("years of work")
    known = {("file", True): "folder", ("", False): "not empty", ("", True): "manifest"}
    for (name, overwrite), words in known.items():
        with pytest.raises(RunError, match=words):
            execute(NOTEBOOK, tmp_path / name, parameters={}, overwrite=overwrite)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.slow
def test_the_notebook_runs_and_leaves_its_page_and_figures(images_of_brightness, tmp_path):
    pytest.importorskip("papermill", reason="papermill is not installed")
    data, out = tmp_path / "some.h5", tmp_path / "runs" / "demo"
    write_galaxy10(data, *images_of_brightness)
    executed = execute(NOTEBOOK, out, parameters={"data": str(data), "epochs": 1})
    cells = json.loads(executed.read_text(encoding="utf-8"))["cells"]
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    assert not [o for o in outputs if o["output_type"] == "error" or o.get("name") == "stderr"]
    # The lines of the epochs are gone.
    printed = "".join("".join(o["text"]) for o in outputs if o["output_type"] == "stream")
    assert ("some.h5: 100" in printed, "epoch" in printed) == (True, False)
    assert sum("image/png" in o.get("data", {}) for o in outputs) == 10
    assert executed.with_suffix(".html").stat().st_size > 100_000
    assert (out / "figures" / "confusion_matrix.png").exists()
    assert not list((tmp_path / "runs").glob(".demo*"))
