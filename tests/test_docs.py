import re
import subprocess
import sys
from pathlib import Path

import pytest

import galclass

ROOT = Path(__file__).parent.parent
API = ROOT / "docs" / "api"


def test_every_public_name_is_documented_and_listed():
    index = (API / "index.rst").read_text(encoding="utf-8")
    paths = [path for path in API.glob("*.rst") if path.name != "index.rst"]
    pages = "".join(path.read_text(encoding="utf-8") for path in paths)
    for name in set(galclass.__all__) - {"__version__"}:
        assert re.search(rf"^\.\. \w+:: {name}$", pages, re.M), name
        assert re.search(rf"^   {name}$|:data:`{name}`", index, re.M), name


@pytest.mark.slow
def test_pages_are_built_without_a_warning(tmp_path):
    pytest.importorskip("sphinx", reason="sphinx is not installed: pip install 'galclass[docs]'")
    html = tmp_path / "html"
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-d", tmp_path / "trees"]
    done = subprocess.run([*command, ROOT / "docs", html], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    index = (html / "index.html").read_text(encoding="utf-8")
    assert 'href="model_card.html"' in index
    assert (html / "_images" / "history.png").exists()
    prediction = (html / "api" / "prediction.html").read_text(encoding="utf-8")
    assert 'id="galclass.predict"' in prediction
