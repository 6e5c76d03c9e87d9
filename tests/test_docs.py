import re
import subprocess
import sys
from pathlib import Path

import pytest

import galclass

ROOT = Path(__file__).parent.parent
PAGES = [path for path in (ROOT / "docs" / "api").glob("*.rst") if path.name != "index.rst"]


def test_every_public_name_is_on_a_page_and_in_its_table_of_contents():
    described = "".join(path.read_text(encoding="utf-8") for path in PAGES)
    listed = (ROOT / "docs" / "api" / "index.rst").read_text(encoding="utf-8")
    for name in set(galclass.__all__) - {"__version__"}:
        assert re.search(rf"^\.\. \w+:: {name}$", described, re.M), name
        assert re.search(rf"^   {name}$|:data:`{name}`", listed, re.M), name


@pytest.mark.slow
def test_the_pages_are_built_without_a_warning(tmp_path):
    pytest.importorskip("sphinx", reason="sphinx is not installed: pip install 'galclass[docs]'")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-d", tmp_path / "trees"]
    done = subprocess.run(
        [*command, ROOT / "docs", tmp_path / "html"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "html" / "index.html").read_text(encoding="utf-8")
    assert 'href="model_card.html"' in page
    assert (tmp_path / "html" / "_images" / "history.png").exists()
    predict = (tmp_path / "html" / "api" / "prediction.html").read_text(encoding="utf-8")
    assert 'id="galclass.predict"' in predict
