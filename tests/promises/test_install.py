"""What a newcomer's first command does, with what is on the path replaced by stand-ins."""

import os
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from galclass import load_data
from galclass.data.dataset import write_data

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(not shutil.which("make"), reason="no make here")
TOOLS = ("make", "sh", "env", "rm", "touch", "grep", "awk", "cat", "dirname", "mkdir")
# A Python of a version that only says whether it would do, and makes an empty environment.
PYTHON = """#!/bin/sh
case "$1" in
-c) exit {suits} ;;
-m) [ {venv}$2 = 0venv ] && mkdir -p .venv/bin && echo {name} >> log && exit ;;
esac
echo "{name} cannot" >&2
exit 1
"""
UV = """#!/bin/sh
echo "uv $*${PYTHONDONTWRITEBYTECODE:+ uncompiled}" >> log
[ "$1" = venv ] && mkdir -p .venv/bin
exit 0
"""


@pytest.fixture
def newcomer(tmp_path):
    """Runs make in a copy of the Makefile, in a folder with a space, with these programs alone."""
    folder, path = tmp_path / "my galaxies", tmp_path / "bin"
    folder.mkdir()
    path.mkdir()
    for name in ("Makefile", "pyproject.toml", "requirements-lock.txt"):
        shutil.copy(ROOT / name, folder)
    for tool in filter(shutil.which, TOOLS):
        (path / tool).symlink_to(shutil.which(tool))

    def run(target=".venv/python", **programs):
        for name, text in programs.items():
            (path / name).write_text(text)
            (path / name).chmod(0o755)
        # Which would leave TensorFlow to be compiled anew by each process.
        environment = {"PATH": str(path), "HOME": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
        command = ["make", target]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
        log = folder / "log"
        return done, log.read_text().splitlines() if log.exists() else []

    return run


def python(name, *, suits=True, venv=True):
    return PYTHON.format(name=name, suits=int(not suits), venv=int(not venv))


def test_where_uv_is_it_makes_the_environment_with_a_python_that_suits(newcomer):
    programs = {"uv": UV, "python3": python("new", suits=False), "python3.12": python("good")}
    done, log = newcomer(**programs)
    assert done.returncode == 0, done.stderr
    assert log == ["uv venv --quiet --clear --python python3.12 .venv"]


def test_where_no_python_suits_uv_fetches_one_and_installs_what_the_target_needs(newcomer):
    done, log = newcomer(".venv/notebook", uv=UV, python3=python("new", suits=False))
    assert done.returncode == 0, done.stderr
    assert log[0] == "uv venv --quiet --clear --python 3.13 .venv"
    assert "--constraints requirements-lock.txt --editable .[notebook]" in log[1]
    assert "MB" in done.stdout


def test_without_uv_the_first_python_that_suits_is_used(newcomer):
    programs = {"python3": python("new", suits=False), "python3.11": python("good")}
    done, log = newcomer(**programs)
    assert (done.returncode, log) == (0, ["good"]), done.stderr


@pytest.mark.parametrize(
    ("programs", "words"),
    [
        ({"python3": python("new", suits=False)}, "Python 3.10 to 3.13; install one, or uv"),
        ({"python3": python("bare", venv=False)}, "install uv (or, on Debian, python3-venv)"),
    ],
)
def test_what_is_missing_is_named_in_one_line(newcomer, programs, words):
    done, log = newcomer(**programs)
    assert (done.returncode, log) == (2, [])
    assert words in done.stderr
    assert done.stderr.count("uv") == 1


def test_the_package_says_which_pythons_it_runs_on_and_its_page_has_no_relative_link():
    found = metadata.metadata("galclass")
    assert set(found["Requires-Python"].split(",")) == {">=3.10", "<3.14"}
    page = found["Description"] or found.get_payload()
    assert "](https://raw.githubusercontent.com/galclass/galclass/main/figures/" in page
    assert [part[:40] for part in page.split("](")[1:] if not part.startswith("http")] == []
    assert any("CHANGELOG" in url for url in found.get_all("Project-URL"))


@pytest.mark.slow
@pytest.mark.skipif(sys.version_info >= (3, 13), reason="the oldest packages have no such wheels")
def test_the_notebook_runs_with_the_oldest_packages_that_are_allowed(tmp_path):
    places = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    if not (uv := shutil.which("uv", path=places)):
        pytest.skip("no uv here, which installs the oldest packages")

    def run(*command):
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    run(uv, "venv", "--python", sys.executable, "old")
    to = ("--python", next(one for one in (tmp_path / "old").glob("*/python*") if one.is_file()))
    run(uv, "pip", "install", *to, "--resolution", "lowest-direct", f"{ROOT}[notebook]")
    command = next((tmp_path / "old").glob("*/galclass*"))
    write_data(tmp_path / "small.h5", load_data("simulated", n=150))
    out = run(
        *(command, "notebook", "--data", "small.h5", "--epochs", "1", "--out", "run"),
        *("--notebook", ROOT / "CNN_galaxies.ipynb"),
    )
    assert "test accuracy" in out
