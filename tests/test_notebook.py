import itertools
import json
import sys
from pathlib import Path

import pytest

from galclass import cli, load_run
from galclass.galaxy10 import write_galaxy10
from galclass.notebook import execute, show_curves
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
    assert names == {"data", "recipe", "epochs", "compare", "seed", "run_dir"}


def test_no_cell_assumes_a_shell_a_path_or_a_gpu(cells):
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    installing = [source for source in code if "%pip" in source]
    assert len(installing) == 1
    assert "is None" in installing[0].partition("%pip")[0]
    for line in "\n".join(code).splitlines():
        assert not line.lstrip().startswith("!")
        assert not line.lstrip().startswith("%") or line.lstrip().startswith("%pip install")
        for assumed in ("/content", "/tmp", "C:", "os.system", "GPU", "cuda"):
            assert assumed not in line


def test_every_figure_is_introduced_and_followed_by_words(cells):
    for before, cell in itertools.pairwise(cells):
        source = "".join(cell["source"])
        if "plot_" not in source and "show_curves" not in source:
            continue
        assert before["cell_type"] == "markdown"
        # One galaxy of each class speaks for itself.
        assert "describe_" in source or "plot_examples" in source


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
    assert len(compared.axes) == 4


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
    # Nothing but the list of figures is printed: the lines of the epochs are gone.
    (printed_there,) = [o["text"] for o in outputs if o["output_type"] == "stream"]
    assert all(line.strip().endswith(".png") for line in printed_there)
    assert sum("image/png" in o.get("data", {}) for o in outputs) == 14
    words = ["".join(o["data"]["text/markdown"]) for o in outputs if "text/markdown" in str(o)]
    assert words[0].startswith("**This notebook ran on: Galaxies of some.h5: 100.**")
    assert f"{100 * accuracy:.1f} % of" in "".join(words)
    assert load_run(out / "compared").manifest["recipe_name"] == "published"
    assert (out / "CNN_galaxies.html").stat().st_size > 100_000
    assert (out / "figures" / "confusion_matrix.png").exists()
    assert not list((tmp_path / "runs").glob(".demo*"))
