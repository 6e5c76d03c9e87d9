import re
from pathlib import Path

import pytest

import galclass

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_link_to_a_file_resolves():
    links = re.findall(r"\]\(([^)#\s]+)", README)
    files = [link for link in links if not link.startswith("http")]
    assert files
    assert [link for link in files if not (ROOT / link).exists()] == []


def test_every_figure_has_a_text_in_its_place():
    assert all(text.strip() for text in re.findall(r"!\[([^\]]*)\]", README))


def test_every_make_target_and_command_exists():
    import typer.main

    from galclass.cli import app

    commands = typer.main.get_command(app).commands
    for block in re.findall(r"```bash\n(.*?)```", README, re.S):
        for name in re.findall(r"(?:^|/|\s)galclass (\w[\w-]*)", block, re.M):
            assert name in commands
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    assert set(re.findall(r"\bmake ([a-z]+)\b(?=[`\s])", README)) - {"and"} <= targets


@pytest.mark.slow
def test_the_python_example_runs(pictures, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(galclass, "load_galaxy10", lambda: pictures)
    original = galclass.train
    monkeypatch.setattr(galclass, "train", lambda *a, **k: original(*a, **{**k, "epochs": 1}))
    for block in re.findall(r"```python\n(.*?)```", README, re.S):
        exec(compile(block, "README.md", "exec"), {})
    assert (tmp_path / "confusion_matrix.png").exists()


def test_the_tests_that_prove_the_promises_exist():
    named = set(re.findall(r"`(test_\w+)`", README))
    written = "".join(path.read_text() for path in (ROOT / "tests").glob("test_*.py"))
    assert named
    assert {name for name in named if f"def {name}(" not in written} == set()
