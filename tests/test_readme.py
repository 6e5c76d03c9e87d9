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
from galclass import cli

ROOT = Path(__file__).parent.parent
NAMES = ("README.md", "CONTRIBUTING.md", "data/README.md", "docs/cluster.md", "docs/results.md")
NAMES += ("docs/own-data.md", "docs/page.md")
DOCUMENTS = {name: (ROOT / name).read_text(encoding="utf-8") for name in NAMES}
README = DOCUMENTS["README.md"]
# What is not run: this checkout and what runs this.
NOT_RUN = (
    r"git clone \S+|cd galclass|pip install .*|uv (venv|pip|run) .*|ray start .*|export \w+=\w+"
)
NOT_RUN += r"|\S*python -m (venv|pip|pytest)( .*)?"
RUN = r"(make|python benchmarks/\S+\.py|\S*galclass)( .*)?"
# Of commands that are run: one epoch, one seed or two folds, and files that are there.
SMALLER = (
    (r"--epochs \d+", ""),
    (r"--seeds \d+", "--seeds 1"),
    (r"--folds \d+", "--folds 2"),
    (r"--n \d+", "--n 300"),
    (r"^(train|study) ", r"\1 --epochs 1 "),
    (r"^train ", "train --overwrite "),
    (r"\bFOLDER\b", "galaxies"),
    (r"\bFILE\b|\bSOURCE\b|/shared/survey", "Galaxy10.h5"),
    (r"\b[gri]\.fits ?", "image.jpg "),
    (r"/shared/", ""),
    (r" --engine ray --address \S+", ""),  # test_cluster.py runs it there.
    (r"\bRUN\b|galclass/pretrained|runs/study/seed-0", "runs/mine"),
    (r"--beside \S+", "--beside runs/default"),
    (r"^(figures|pack) runs/[\w/-]+", r"\1 runs/mine"),
)
LONG = r"galclass (train|study|pack|figures|verify|survey|evaluate \S+ --other)"
LONG += r"|make (figures|reproduce)"


def _blocks(text, language):
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.M | re.S)


def _commands():
    """Every command of the documents: the lines of bash blocks, and commands within a text."""
    inline = r"`((?:\.venv/bin/\w+|make|galclass|python|pip|git|uv) [^`]+)`"
    for text in DOCUMENTS.values():
        lines = "".join(_blocks(text, "bash")).splitlines() + re.findall(inline, text)
        for command in "&&".join(lines).split("&&"):
            if words := shlex.split(command, comments=True):
                yield shlex.join(words)


COMMANDS = list(dict.fromkeys(_commands()))


def _run(command):
    name, arguments = command.split(" ", 1)
    if name == "make":
        environment = {k: v for k, v in os.environ.items() if not k.startswith("MAKE")}
        words = ["make", "--dry-run", *shlex.split(arguments)]
        made = subprocess.check_output(words, cwd=ROOT, env=environment, text=True)
        for line in re.findall(r"^\.venv/bin/galclass .*", made, re.M):
            _run(line)
        return
    for pattern, replacement in SMALLER:
        arguments = re.sub(pattern, replacement, arguments)
    with pytest.MonkeyPatch.context() as patch:
        if arguments.startswith("page"):  # test_page.py opens it.
            shown = SimpleNamespace(local_url="here", block_thread=lambda: None)
            patch.setattr("galclass.page.open_page", lambda **_: shown)
        if arguments.startswith("train"):  # The command figures draws the same.
            patch.setattr(galclass, "save_figures", lambda _: None)
        if arguments.startswith("notebook"):  # test_notebook.py runs the notebook.
            patch.setattr("galclass.notebook.execute", lambda one, *_, **__: os.stat(ROOT / one))
            patch.setattr(cli, "_print_metrics", lambda _: None)
        patch.setattr(sys, "argv", ["galclass", *shlex.split(arguments)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
    assert stop.value.code == 0


@pytest.mark.usefixtures("newcomer")
def test_every_command_is_run_or_known_and_every_block_tested():
    assert [x for x in (*COMMANDS, "rm -r runs") if not re.fullmatch(f"{RUN}|{NOT_RUN}", x)] == [
        "rm -r runs"
    ]
    for name, text in DOCUMENTS.items():
        blocks = _blocks(text, "bash") + _blocks(text, "python")
        assert len(re.findall(r"^```", text, re.M)) == 2 * len(blocks), name
    with pytest.raises(AssertionError):
        _run("galclass dance")
    with pytest.raises((subprocess.CalledProcessError, FileNotFoundError)):
        _run("make dance")


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(command, marks=[pytest.mark.slow] * bool(re.search(LONG, command)))
        for command in COMMANDS
        if re.fullmatch(RUN, command) and not command.startswith("python")
    ],
)
@pytest.mark.usefixtures("newcomer")
def test_the_command_runs(command):
    if command.startswith("make") and not shutil.which("make"):
        pytest.skip("no make here")
    _run(command)


@pytest.mark.parametrize("script", [path.name for path in (ROOT / "benchmarks").glob("*.py")])
def test_a_benchmark_explains_itself_and_the_options_that_the_documents_give(
    script, monkeypatch, capsys
):
    monkeypatch.setattr(sys, "argv", [script, "--help"])
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    with pytest.raises(SystemExit, match="0"):
        runpy.run_path(str(ROOT / "benchmarks" / script), run_name="__main__")
    shown = capsys.readouterr().out
    assert "usage" in shown
    documented = " ".join(x for x in COMMANDS if x.startswith(f"python benchmarks/{script}"))
    assert [option for option in re.findall(r"--\w+", documented) if option not in shown] == []


def test_every_link_to_a_file_resolves_and_every_figure_has_a_text_in_its_place():
    for path in (*map(ROOT.joinpath, (*NAMES, "CHANGELOG.md")), *(ROOT / "docs").glob("*.md")):
        links = re.findall(r"\]\((?!https?:|mailto:)([^)#\s]+)", path.read_text(encoding="utf-8"))
        assert [link for link in links if not (path.parent / link).exists()] == [], path
    assert re.findall(r"\]\((?!http)", README)
    assert all(text.strip() for text in re.findall(r"!\[([^\]]*)\]", README))


@pytest.mark.slow
def test_the_python_of_the_page_runs(newcomer):
    pytest.importorskip("gradio", reason="gradio is not installed: no page")
    (block,) = _blocks(DOCUMENTS["docs/page.md"], "python")
    after = "print(page.local_url, page.is_running)"
    done = subprocess.check_output([sys.executable, "-c", f"{block}{after}"], text=True)
    assert re.search(r"http://127.0.0.1:\d+/ False", done)


@pytest.mark.slow
def test_the_python_of_own_data_runs(newcomer, monkeypatch):
    original, names = galclass.train, {}
    monkeypatch.setattr(galclass, "train", lambda *a, **k: original(*a, **{**k, "epochs": 1}))
    for block in _blocks(DOCUMENTS["docs/own-data.md"], "python"):
        exec(compile(block, "own-data.md", "exec"), names)
    assert names["indices"].shape == (1, 6)


@pytest.mark.slow
def test_the_python_example_runs(images_of_brightness, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(galclass, "load_data", lambda _: images_of_brightness)
    original = galclass.train
    monkeypatch.setattr(galclass, "train", lambda *a, **k: original(*a, **{**k, "epochs": 1}))
    for block in _blocks(README, "python"):
        exec(compile(block, "README.md", "exec"), {})
    assert (tmp_path / "confusion_matrix.png").exists()


@pytest.mark.slow
def test_the_example_reads_shards_as_one_table(newcomer):
    pytest.importorskip("pyarrow", reason="pyarrow is not installed: no Parquet")
    galclass.predict_survey("Galaxy10.h5", "classes", run="runs/mine", part_rows=200)
    (block,) = _blocks(DOCUMENTS["docs/cluster.md"], "python")
    found = {}
    exec(compile(block.replace("/shared/", ""), "cluster.md", "exec"), found)
    assert found["table"].num_rows == 300


def test_the_tests_that_prove_the_promises_exist():
    named = set(re.findall(r"`(test_\w+)`", DOCUMENTS["docs/results.md"]))
    files = (ROOT / "tests").rglob("test_*.py")
    written = set(re.findall(r"def (test_\w+)\(", "".join(map(Path.read_text, files))))
    assert named
    assert named - written == set()
