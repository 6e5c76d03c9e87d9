"""The first commands of a newcomer. Stand-ins replace the programs on the path."""

import os
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from galclass import load_data, load_pretrained
from galclass.load import write_data

ROOT = Path(__file__).parents[1]
needs_make = pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")
TOOLS = ("make", "sh", "env", "rm", "touch", "grep", "awk", "cat", "dirname", "mkdir")
# A Python that only says if its version is suitable, and makes an empty environment.
PYTHON = """#!/bin/sh
case "$1" in
-c) exit {exit_code} ;;
-m) [ {has_venv}$2 = 1venv ] && mkdir -p .venv/bin && echo {name} >> log && exit ;;
esac
echo "{name} cannot" >&2
exit 1
"""
UV = """#!/bin/sh
echo "uv $*${PYTHONDONTWRITEBYTECODE:+ uncompiled}" >> log
[ "$1" = venv ] && mkdir -p .venv/bin
exit 0
"""
# A program of the environment that only writes down how it was called.
LOGGER = """#!/bin/sh
echo "${0##*/} $*" >> log
"""


# The Python that runs this test.
THIS_PYTHON = f"""#!/bin/sh
exec "{sys.executable}" "$@"
"""


def python(name, *, suitable=True, venv=True):
    return PYTHON.format(name=name, exit_code=int(not suitable), has_venv=int(venv))


NEW = python("new", suitable=False)  # a version that TensorFlow does not support yet


@pytest.fixture
def newcomer(tmp_path):
    """Return a function that runs make with only these programs on the path.

    The Makefile is copied into a folder whose name has a space. The function returns the finished
    process and the lines that the stand-ins wrote.
    """
    folder = tmp_path / "my galaxies"
    programs_folder = tmp_path / "bin"
    folder.mkdir()
    programs_folder.mkdir()
    for name in ("Makefile", "pyproject.toml", "requirements-lock.txt"):
        shutil.copy(ROOT / name, folder)
    for tool in TOOLS:
        if path := shutil.which(tool):
            (programs_folder / tool).symlink_to(path)

    def run_make(target=".venv/python", **programs):
        for name, text in programs.items():
            (programs_folder / name).write_text(text)
            (programs_folder / name).chmod(0o755)
        environment = {
            "PATH": str(programs_folder),
            "HOME": str(tmp_path),
            # With this, each process would compile TensorFlow's modules again.
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        done = subprocess.run(
            ["make", target], cwd=folder, env=environment, capture_output=True, text=True
        )
        log = folder / "log"
        lines = log.read_text().splitlines() if log.exists() else []
        return done, lines

    run_make.folder = folder
    return run_make


@needs_make
@pytest.mark.parametrize(
    ("programs", "made_by"),
    [
        ({"uv": UV, "python3": NEW}, "uv venv --quiet --clear --python 3.13 .venv"),
        (
            {"uv": UV, "python3": NEW, "python3.12": python("good")},
            "uv venv --quiet --clear --python python3.12 .venv",
        ),
        ({"python3": NEW, "python3.11": python("good")}, "good"),
    ],
)
def test_environment_has_the_first_suitable_python(newcomer, programs, made_by):
    done, log = newcomer(**programs)
    assert (done.returncode, log) == (0, [made_by]), done.stderr


@needs_make
def test_uv_installs_the_extras_with_the_locked_versions(newcomer):
    done, log = newcomer(".venv/notebook", uv=UV)
    assert done.returncode == 0, done.stderr
    assert "--constraints requirements-lock.txt --editable .[notebook]" in log[1]
    assert "uncompiled" not in log[1]
    assert "MB" in done.stdout


@needs_make
@pytest.mark.parametrize(
    ("program", "words"),
    [
        (NEW, "Python 3.10 to 3.13; install one, or uv"),
        (python("bare", venv=False), "install uv (or, on Debian, python3-venv)"),
    ],
)
def test_missing_programs_are_named_on_one_line(newcomer, program, words):
    done, log = newcomer(python3=program)
    assert (done.returncode, log) == (2, [])
    assert words in done.stderr
    assert done.stderr.count("uv") == 1


@needs_make
def test_demo_removes_only_its_own_outputs_and_says_where_to_look(newcomer):
    newcomer(".venv/notebook", uv=UV)
    for name, text in (("papermill", LOGGER), ("jupyter", LOGGER), ("python", THIS_PYTHON)):
        (newcomer.folder / ".venv" / "bin" / name).write_text(text)
        (newcomer.folder / ".venv" / "bin" / name).chmod(0o755)
    runs = newcomer.folder / "runs"
    shutil.copytree(load_pretrained().path, runs / "demo")
    (runs / "mine").mkdir()
    for path in ("demo/notes.txt", "demo.html", "mine/manifest.json"):
        (runs / path).touch()
    done, log = newcomer("demo")
    assert done.returncode == 0, done.stderr
    assert "papermill CNN_galaxies.ipynb runs/demo.ipynb -p data simulated" in log[-2]
    assert log[-1] == "jupyter nbconvert --to html --log-level ERROR runs/demo.ipynb"
    left = {str(path.relative_to(runs)) for path in runs.rglob("*") if path.is_file()}
    assert left == {"demo/notes.txt", "mine/manifest.json"}
    assert "runs/demo.html" in done.stdout


def test_metadata_has_the_pythons_and_the_readme_without_relative_links():
    found = metadata.metadata("galclass")
    assert set(found["Requires-Python"].split(",")) == {">=3.10", "<3.14"}
    readme = found["Description"] or found.get_payload()
    assert "](https://raw.githubusercontent.com/galclass/galclass/main/figures/" in readme
    assert [link[:40] for link in readme.split("](")[1:] if not link.startswith("http")] == []
    assert any("CHANGELOG" in url for url in found.get_all("Project-URL"))


@pytest.mark.slow
@pytest.mark.skipif(sys.version_info >= (3, 13), reason="the oldest packages have no such wheels")
def test_notebook_runs_with_the_oldest_allowed_packages(tmp_path):
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    uv = shutil.which("uv", path=path)
    if uv is None:
        pytest.skip("uv is not installed: it installs the oldest packages")

    def run(*command):
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-3000:]

    run(uv, "venv", "--python", sys.executable, "old")
    python = next(path for path in (tmp_path / "old").glob("*/python*") if path.is_file())
    extra = f"{ROOT}[notebook]"
    run(uv, "pip", "install", "--python", python, "--resolution", "lowest-direct", extra)
    write_data(tmp_path / "small.h5", load_data("simulated", n=150))
    parameters = ("-p", "data", "small.h5", "-p", "epochs", "1", "-p", "run_dir", "run")
    run(python, "-m", "papermill", ROOT / "CNN_galaxies.ipynb", "run.ipynb", *parameters)
    assert (tmp_path / "run" / "figures" / "confusion_matrix.png").exists()
