import subprocess
import sys

import pytest

import galclass


def test_importing_galclass_does_not_import_tensorflow():
    program = "import sys, galclass; print(sorted({'tensorflow', 'keras'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_the_help_does_not_import_tensorflow():
    program = (
        "import sys, galclass.cli as c; sys.argv = ['galclass', '--help']\n"
        "try: c.main()\nexcept SystemExit: pass\nprint('tensorflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip().endswith("False"), done.stderr
    assert "train" in done.stdout


@pytest.mark.slow
def test_importing_tensorflow_through_galclass_prints_nothing():
    done = subprocess.run(
        [sys.executable, "-c", "import galclass.network.cnn"], capture_output=True, text=True
    )
    assert done.returncode == 0
    assert done.stdout + done.stderr == ""


def test_every_public_name_resolves_and_is_documented():
    for name in galclass.__all__:
        thing = getattr(galclass, name)
        assert not callable(thing) or thing.__doc__


def test_the_top_level_is_small_enough_to_remember():
    assert len(set(galclass.__all__) - {"__version__"}) == 30
