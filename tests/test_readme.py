import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import galclass
from galclass import cli

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = ("README.md", "CONTRIBUTING.md", "data/README.md", "docs/cluster.md")
BENCHMARKS = sorted((ROOT / "benchmarks").glob("*.py"))


def _commands():
    """Every command of the documents: the lines of bash blocks, and commands within a text."""
    for name in DOCUMENTS:
        text = (ROOT / name).read_text(encoding="utf-8")
        lines = [line for block in _blocks(text, "bash") for line in block.splitlines()]
        lines += re.findall(r"`((?:\.venv/bin/\w+|make|galclass|python|pip|git|uv) [^`]+)`", text)
        for line in lines:
            for command in line.split("&&"):
                if words := shlex.split(command, comments=True):
                    yield shlex.join(words)


def _blocks(text, language):
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.M | re.S)


# What is run in place of a command; the first rule that fits is taken, and one must fit.
RULES = (
    (r"git clone \S+|cd galclass", "nothing"),  # This checkout.
    (r"pip install .*|ray start .*", "nothing"),
    (r"\S*python -m (venv|pip|pytest) .*|\S*python -m pytest", "nothing"),  # What runs this.
    (r"export \w+=\w+", "nothing"),
    (r"make .*", "what make would run"),
    (r"python benchmarks/\S+\.py.*", "its options"),
    (r"\S*galclass notebook .*", "its options"),  # test_notebook.py runs the notebook.
    (r"\S*galclass .*", "the command"),
)
# Of commands that are run: one epoch, one seed, and files that are there.
SMALLER = (
    (r"--epochs \d+", ""),
    (r"--seeds \d+", "--seeds 1"),
    (r"--n \d+", "--n 300"),
    (r"^(train|study) ", r"\1 --epochs 1 "),
    (r"^train ", "train --overwrite "),
    (r"\bFILE\b|\bSOURCE\b|/shared/survey", "Galaxy10.h5"),
    (r"\b[gri]\.fits ?", "image.jpg "),
    (r"/shared/", ""),
    (r" --engine ray --address \S+", ""),  # test_cluster.py runs it there.
    (r"\bRUN\b|galclass/pretrained|runs/study/seed-0", "runs/mine"),
    (r"--beside \S+", "--beside runs/default"),
)
LONG = r"galclass (train|study|pack|figures)|make figures"


def _rule(command):
    return next((rule for pattern, rule in RULES if re.fullmatch(pattern, command)), None)


def _run(command, monkeypatch):
    rule = _rule(command)
    if rule == "what make would run":
        if not shutil.which("make"):
            pytest.skip("no make here")
        environment = {k: v for k, v in os.environ.items() if not k.startswith("MAKE")}
        made = subprocess.run(
            shlex.split(command.replace("make", "make --dry-run", 1)),
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert made.returncode == 0, made.stderr
        for line in made.stdout.splitlines():
            if line.startswith(".venv/bin/galclass "):
                _run(line, monkeypatch)
    elif rule == "its options" and command.startswith("python "):
        _, script, *options = shlex.split(command)
        text = (ROOT / script).read_text(encoding="utf-8")
        assert all(option in text for option in options if option.startswith("--"))
    elif rule == "its options":
        called = []
        monkeypatch.setattr("galclass.notebook.execute", lambda *a, **_: called.append(a))
        monkeypatch.setattr(cli, "_print_metrics", lambda _: None)
        assert _galclass(command.partition(" ")[2], monkeypatch) == 0
        assert (ROOT / called[0][0]).exists()
    elif rule == "the command":
        arguments = command.partition(" ")[2]
        for pattern, replacement in SMALLER:
            arguments = re.sub(pattern, replacement, arguments)
        assert _galclass(arguments, monkeypatch) == 0


def _galclass(arguments, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["galclass", *shlex.split(arguments)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    return stop.value.code


def test_every_command_has_a_rule_and_every_block_a_test():
    assert [command for command in _commands() if _rule(command) is None] == []
    for name in DOCUMENTS:
        text = (ROOT / name).read_text(encoding="utf-8")
        assert len(re.findall(r"^```", text, re.M)) == 2 * sum(
            len(_blocks(text, language)) for language in ("bash", "python")
        )


def test_a_command_that_does_not_exist_is_found_out(newcomer, monkeypatch):
    assert _rule("rm -r runs") is None
    with pytest.raises(AssertionError):
        _run("galclass dance", monkeypatch)
    with pytest.raises(AssertionError):
        _run("make dance", monkeypatch)


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(command, marks=[pytest.mark.slow] * bool(re.search(LONG, command)))
        for command in dict.fromkeys(_commands())
        if _rule(command) != "nothing"
    ],
)
def test_the_command_runs(command, newcomer, monkeypatch):
    _run(command, monkeypatch)


def test_every_link_to_a_file_resolves():
    for name in (*DOCUMENTS, "CHANGELOG.md", *map(str, (ROOT / "docs").glob("*.md"))):
        path = ROOT / name
        links = re.findall(r"\]\(([^)#\s]+)", path.read_text(encoding="utf-8"))
        files = [link for link in links if not re.match(r"https?:|mailto:", link)]
        assert [link for link in files if not (path.parent / link).exists()] == [], name
    assert re.findall(r"\]\((?!http)", README)


def test_every_figure_has_a_text_in_its_place():
    assert all(text.strip() for text in re.findall(r"!\[([^\]]*)\]", README))


@pytest.mark.slow
def test_the_python_example_runs(images_of_brightness, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(galclass, "load_data", lambda _: images_of_brightness)
    original = galclass.train
    monkeypatch.setattr(galclass, "train", lambda *a, **k: original(*a, **{**k, "epochs": 1}))
    for block in _blocks(README, "python"):
        exec(compile(block, "README.md", "exec"), {})
    assert (tmp_path / "confusion_matrix.png").exists()


@pytest.mark.parametrize("script", BENCHMARKS, ids=[path.name for path in BENCHMARKS])
def test_a_benchmark_explains_itself(script, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [script.name, "--help"])
    monkeypatch.syspath_prepend(script.parent)
    with pytest.raises(SystemExit, match="0"):
        runpy.run_path(str(script), run_name="__main__")
    assert "usage" in capsys.readouterr().out


def test_the_example_reads_shards_as_one_table(newcomer):
    pytest.importorskip("pyarrow", reason="pyarrow is not installed: no Parquet")
    galclass.predict_survey("Galaxy10.h5", "classes", run="runs/mine", part_rows=200)
    (block,) = _blocks((ROOT / "docs" / "cluster.md").read_text(encoding="utf-8"), "python")
    found = {}
    exec(compile(block.replace("/shared/", ""), "cluster.md", "exec"), found)
    assert found["table"].num_rows == 300


def test_the_tests_that_prove_the_promises_exist():
    named = set(re.findall(r"`(test_\w+)`", README))
    written = "".join(
        path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py")
    )
    assert named
    assert {name for name in named if f"def {name}(" not in written} == set()
