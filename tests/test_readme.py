"""The commands, the Python and the links of the README and the other documents."""

import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import galclass

ROOT = Path(__file__).parent.parent
NAMES = (
    "README.md",
    "CONTRIBUTING.md",
    "data/README.md",
    "docs/cluster.md",
    "docs/results.md",
    "docs/own-data.md",
    "docs/page.md",
)
DOCUMENTS = {name: (ROOT / name).read_text(encoding="utf-8") for name in NAMES}
README = DOCUMENTS["README.md"]
# Commands that are not run here: they get or install galclass, or start Ray or the tests.
NOT_RUN = (
    r"git clone \S+|cd galclass|mkdir runs|export \w+=\w+|ray start .*|pip install .*"
    r"|uv (venv|pip|run) .*|\S*python -m (venv|pip|pytest)( .*)?"
)
RUN = r"(make|python benchmarks/\S+\.py|\S*galclass)( .*)?"
# Commands are run on small data and only for one epoch, one seed or two folds.
SMALLER = (
    (r"--epochs \d+", ""),
    (r"--seeds \d+", "--seeds 1"),
    (r"--folds \d+", "--folds 2"),
    (r"--n \d+", "--n 300"),
    (r"^(train|study) ", r"\1 --epochs 1 "),
    (r"^train ", "train --overwrite "),
    (r"\bFOLDER\b", "galaxies"),
    (r"\bFILE\b|\bSOURCE\b|/shared/survey", "Galaxy10.h5"),
    (r"/shared/", ""),
    (r" --engine ray --address \S+", ""),  # test_cluster.py runs it.
    (r"\bRUN\b|galclass/pretrained", "runs/mine"),
    (r"--beside \S+", "--beside runs/default"),
    (r"^figures runs/[\w/-]+", "figures runs/mine"),
)
SLOW = r"galclass (train|study|figures|verify|survey)|make (figures|reproduce)"


def _find_blocks(text, language):
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.M | re.S)


def _find_commands(text):
    """Return the commands of bash blocks, and those within sentences."""
    inline = r"`((?:\.venv/bin/\w+|make|galclass|python|pip|git|uv) [^`]+)`"
    lines = "".join(_find_blocks(text, "bash")).splitlines() + re.findall(inline, text)
    commands = [shlex.split(part, comments=True) for line in lines for part in line.split("&&")]
    return [shlex.join(words) for words in commands if words]


COMMANDS = list(dict.fromkeys(each for text in DOCUMENTS.values() for each in _find_commands(text)))


def _dry_run(target):
    """Return the commands that make would run."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    command = ["make", "--dry-run", *shlex.split(target)]
    done = subprocess.check_output(command, cwd=ROOT, env=environment, text=True)
    return re.findall(r"^\.venv/bin/(.*)", done, re.M)


def _run_python(text, names):
    for block in _find_blocks(text, "python"):
        exec(compile(block, "document", "exec"), names)


@pytest.fixture
def one_epoch(monkeypatch):
    """Let galclass.train train for one epoch only."""
    train = galclass.train
    monkeypatch.setattr(
        galclass, "train", lambda *args, **settings: train(*args, **{**settings, "epochs": 1})
    )


def test_every_documented_command_is_run_or_listed_as_not_run():
    unknown = [each for each in COMMANDS if not re.fullmatch(f"{RUN}|{NOT_RUN}", each)]
    assert unknown == []


def test_every_block_is_tested():
    for name, text in DOCUMENTS.items():
        blocks = _find_blocks(text, "bash") + _find_blocks(text, "python")
        assert len(re.findall(r"^```", text, re.M)) == 2 * len(blocks), name


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(line, marks=[pytest.mark.slow] * bool(re.search(SLOW, line)))
        for line in COMMANDS
        if re.fullmatch(RUN, line) and not line.startswith("python")
    ],
)
@pytest.mark.usefixtures("newcomer")
# Here, Galaxy10_subset.h5 holds simulated galaxies, as the network of --start simulated knows.
@pytest.mark.filterwarnings("ignore:the runs started from a network that may know these galaxies")
def test_command_runs(line, command, monkeypatch):
    page = SimpleNamespace(local_url="here", block_thread=lambda: None)
    monkeypatch.setattr("galclass.page.open_page", lambda *_, **__: page)  # test_page.py opens it.
    lines = [line]
    if line.startswith("make "):
        if not shutil.which("make"):
            pytest.skip("make is not installed")
        lines = [each for each in _dry_run(line[5:]) if each.startswith("galclass ")]
    for each in lines:
        arguments = each.partition("galclass ")[2]
        for pattern, replacement in SMALLER:
            arguments = re.sub(pattern, replacement, arguments)
        with monkeypatch.context() as patch:
            if arguments.startswith("train"):  # The command figures plots the same.
                patch.setattr(galclass, "save_figures", lambda _: None)
            shown = command(arguments)
        assert shown.code == 0, shown.error


@pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")
def test_readme_gives_the_commands_of_make_demo():
    (papermill,) = [line for line in _dry_run("demo") if line.startswith("papermill")]
    (written_out,) = [each for each in COMMANDS if "papermill" in each]
    pattern = r"-p (\w+) (\S+)"
    assert set(re.findall(pattern, written_out)) == set(re.findall(pattern, papermill))


@pytest.mark.parametrize("script", [path.name for path in (ROOT / "benchmarks").glob("*.py")])
def test_benchmark_explains_itself_and_the_documented_options(script, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [script, "--help"])
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    with pytest.raises(SystemExit, match="0"):
        runpy.run_path(str(ROOT / "benchmarks" / script), run_name="__main__")
    shown = capsys.readouterr().out
    assert "usage" in shown
    documented = " ".join(each for each in COMMANDS if f"benchmarks/{script}" in each)
    assert [option for option in re.findall(r"--[\w-]+", documented) if option not in shown] == []


def test_every_link_to_a_file_exists():
    for path in (*map(ROOT.joinpath, NAMES), ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")):
        links = re.findall(r"\]\((?!https?:|mailto:)([^)#\s]+)", path.read_text(encoding="utf-8"))
        assert [link for link in links if not (path.parent / link).exists()] == [], path


def test_readme_is_short_and_its_figures_have_texts():
    assert len(README.split()) <= 750
    figures = re.findall(r"!\[([^\]]*)\]\((figures/[^)]+)\)", README)
    assert {Path(path).stem for _, path in figures} >= {"examples", "history", "confusion_matrix"}
    assert all(text.strip() for text, _ in figures)
    assert "simulated" in dict((Path(path).stem, text) for text, path in figures)["examples"]


@pytest.mark.slow
@pytest.mark.usefixtures("one_epoch")
def test_python_of_the_readme_runs(like_galaxy10, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(galclass, "load_data", lambda _: like_galaxy10)
    _run_python(README, {})
    assert (tmp_path / "confusion_matrix.png").exists()


@pytest.mark.slow
@pytest.mark.usefixtures("newcomer", "one_epoch")
def test_python_of_own_data_runs():
    pytest.importorskip("cleanlab", reason="cleanlab is not installed")
    data = galclass.load_data("galaxies")
    galclass.study(*data, out="runs/folds", recipe="few", folds=2, epochs=1, verbose=False)
    names = {}
    _run_python(DOCUMENTS["docs/own-data.md"], names)
    assert names["indices"].shape == (1, 6)
    assert set(names["doubtful"]) <= set(range(len(data.labels)))


@pytest.mark.slow
@pytest.mark.usefixtures("newcomer")
def test_python_of_the_page_runs():
    pytest.importorskip("gradio", reason="gradio is not installed")
    (block,) = _find_blocks(DOCUMENTS["docs/page.md"], "python")
    script = f"{block}print(page.local_url, page.is_running)"
    printed = subprocess.check_output([sys.executable, "-c", script], text=True)
    assert re.search(r"http://127.0.0.1:\d+/ False", printed)


@pytest.mark.slow
@pytest.mark.usefixtures("newcomer")
def test_python_of_the_cluster_page_reads_parts_as_one_table():
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    galclass.predict_survey("Galaxy10.h5", "classes", run="runs/mine", part_rows=200)
    names = {}
    _run_python(DOCUMENTS["docs/cluster.md"].replace("/shared/", ""), names)
    assert names["table"].num_rows == 300


def test_tests_cited_in_the_results_exist():
    cited = set(re.findall(r"`(test_\w+)`", DOCUMENTS["docs/results.md"]))
    paths = (ROOT / "tests").rglob("test_*.py")
    existing = set(re.findall(r"def (test_\w+)\(", "".join(path.read_text() for path in paths)))
    assert cited
    assert cited - existing == set()
