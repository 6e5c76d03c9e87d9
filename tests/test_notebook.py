import itertools
import json
from pathlib import Path

import pytest

from galclass import load_run
from galclass.data.galaxy10 import write_galaxy10
from galclass.errors import RunError
from galclass.notebook import execute, show_curves

NOTEBOOK = Path(__file__).parent.parent / "CNN_galaxies.ipynb"
CELLS = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
CODE = ["".join(cell["source"]) for cell in CELLS if cell["cell_type"] == "code"]


def test_the_notebook_is_thin_and_stored_without_outputs():
    lines = [line for line in "\n".join(CODE).splitlines() if line.strip()]
    lines = [line for line in lines if not line.strip().startswith("#")]
    assert len(lines) <= 60
    assert not [line for line in lines if line.lstrip().startswith(("def ", "class ", "lambda"))]
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in CELLS)


def test_the_parameters_are_in_a_tagged_cell():
    (tagged,) = [cell for cell in CELLS if "parameters" in cell["metadata"].get("tags", [])]
    names = {line.partition(" = ")[0] for line in "".join(tagged["source"]).splitlines()}
    assert names == {"data", "recipe", "epochs", "compare", "seed", "run_dir"}


def test_no_cell_assumes_a_shell_a_path_or_a_gpu():
    (installing,) = [source for source in CODE if "%pip" in source]
    assert "is None" in installing.partition("%pip")[0]
    for line in "\n".join(CODE).splitlines():
        assert not line.lstrip().startswith("!")
        assert not line.lstrip().startswith("%") or line.lstrip().startswith("%pip install")
        for assumed in ("/content", "/tmp", "C:", "os.system", "GPU", "cuda"):
            assert assumed not in line


def test_every_figure_is_introduced_by_words():
    for before, cell in itertools.pairwise(CELLS):
        if cell["cell_type"] == "code" and ".plot_" in "".join(cell["source"]):
            assert before["cell_type"] == "markdown"


def test_the_curves_replace_what_the_cell_showed(trained, monkeypatch):
    from IPython import display

    shown = []
    monkeypatch.setattr(display, "clear_output", lambda wait: shown.append(f"clear, wait={wait}"))
    monkeypatch.setattr(display, "display", shown.append)
    row = {"loss": 1.0, "accuracy": 0.5, "val_loss": 1.0, "val_accuracy": 0.5}
    show_curves([{**row, "epoch": 1}, {**row, "epoch": 2}])
    show_curves(trained)
    show_curves([trained, trained])
    assert shown[::2] == ["clear, wait=True"] * 3
    growing, whole, compared = shown[1::2]
    assert len(growing.axes[0].lines[0].get_xdata()) == 2
    assert len(whole.axes[0].lines[0].get_xdata()) == 3
    assert compared is not whole


def test_what_exists_in_place_of_the_run_is_named_and_kept(tmp_path):
    (tmp_path / "file").write_text("years of work")
    with pytest.raises(RunError, match="is a file, expected a folder"):
        execute(NOTEBOOK, tmp_path / "file", parameters={}, overwrite=True)
    with pytest.raises(RunError, match="not empty"):
        execute(NOTEBOOK, tmp_path, parameters={})
    with pytest.raises(RunError, match="manifest"):
        execute(NOTEBOOK, tmp_path, parameters={}, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.slow
def test_the_notebook_runs_and_leaves_its_page_and_figures(images_of_brightness, tmp_path, capfd):
    data, out = tmp_path / "some.h5", tmp_path / "runs" / "demo"
    write_galaxy10(data, *images_of_brightness)
    executed = execute(NOTEBOOK, out, parameters={"data": str(data), "epochs": 1, "compare": True})
    cells = json.loads(executed.read_text(encoding="utf-8"))["cells"]
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    assert not [o for o in outputs if o["output_type"] == "error" or o.get("name") == "stderr"]
    # The lines of the epochs are gone.
    printed = "".join("".join(o["text"]) for o in outputs if o["output_type"] == "stream")
    assert "Galaxies of some.h5: 100" in printed
    assert "epoch" not in printed
    assert sum("image/png" in o.get("data", {}) for o in outputs) == 11
    assert load_run(out / "compared").manifest["recipe_name"] == "published"
    assert executed.with_suffix(".html").stat().st_size > 100_000
    assert (out / "figures" / "confusion_matrix.png").exists()
    assert not list((tmp_path / "runs").glob(".demo*"))
