import json
import sys
from pathlib import Path

import pytest

from galclass import cli, load_run
from galclass.galaxy10 import write_galaxy10
from galclass.notebook import execute
from galclass.runs import RunError

NOTEBOOK = Path(__file__).parent.parent / "CNN_galaxies.ipynb"


@pytest.fixture(scope="module")
def cells():
    return json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]


def test_the_notebook_is_thin_and_stored_without_outputs(cells):
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    lines = [line for cell in code for line in "".join(cell["source"]).splitlines()]
    lines = [line for line in lines if line.strip() and not line.strip().startswith("#")]
    assert len(lines) < 80
    assert not [line for line in lines if line.startswith(("def ", "class "))]
    assert not any(cell["outputs"] or cell["execution_count"] for cell in code)


def test_the_parameters_are_in_a_tagged_cell(cells):
    tagged = [cell for cell in cells if "parameters" in cell["metadata"].get("tags", [])]
    assert len(tagged) == 1
    names = {line.partition(" = ")[0] for line in "".join(tagged[0]["source"]).splitlines()}
    assert names == {"data", "recipe", "epochs", "seed", "run_dir"}


def test_what_is_in_the_way_of_the_run_is_named_and_kept(tmp_path):
    (tmp_path / "file").write_text("years of work")
    with pytest.raises(RunError, match="is a file, expected a folder"):
        execute(NOTEBOOK, tmp_path / "file", parameters={}, overwrite=True)
    with pytest.raises(RunError, match="not empty"):
        execute(NOTEBOOK, tmp_path, parameters={})
    with pytest.raises(RunError, match="manifest"):
        execute(NOTEBOOK, tmp_path, parameters={}, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.slow
def test_the_notebook_runs_and_leaves_its_page_and_figures(pictures, tmp_path, monkeypatch, capfd):
    data, out = tmp_path / "some.h5", tmp_path / "runs" / "demo"
    write_galaxy10(data, *pictures)
    arguments = ["galclass", "notebook", "--notebook", NOTEBOOK, "--data", data, "--out", out]
    monkeypatch.setattr(sys, "argv", [str(a) for a in [*arguments, "--epochs", 1]])
    with pytest.raises(SystemExit, match="0"):
        cli.main()
    printed = capfd.readouterr().out
    accuracy = load_run(out).metrics["accuracy"]
    assert f"test accuracy  {100 * accuracy:.1f} %" in printed
    executed = json.loads((out / NOTEBOOK.name).read_text(encoding="utf-8"))
    outputs = [o for c in executed["cells"] if c["cell_type"] == "code" for o in c["outputs"]]
    assert not [o for o in outputs if o["output_type"] == "error" or o.get("name") == "stderr"]
    assert sum("image/png" in o.get("data", {}) for o in outputs) >= 4
    assert (out / "CNN_galaxies.html").stat().st_size > 100_000
    assert (out / "figures" / "confusion_matrix.png").exists()
    assert not list((tmp_path / "runs").glob(".demo*"))
