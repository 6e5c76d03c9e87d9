"""The structure of the package, its imports and its public names."""

import ast
import graphlib
import subprocess
import sys
from importlib.util import resolve_name
from pathlib import Path

import pytest

import galclass

PACKAGE = Path(galclass.__file__).parent
STUDY_NAMES = (
    "load_galaxy10",
    "build_cnn",
    "train",
    "plot_examples",
    "plot_history",
    "plot_confusion_matrix",
)
STUDY_FOLDERS = ("data", "network", "training")
STUDY_MODULES = (
    "run",
    "files",
    "errors",
    "intervals",
    "labels",
    "figures.style",
    "figures.examples",
    "figures.history",
    "figures.confusion_matrix",
)
# The order in which the additions build on each other.
ADDITIONS = (
    "simulation",
    "images",
    "load",
    "evaluation",
    "prediction",
    "figures",
    "studies",
    "page",
    "cli",
    "__main__",
)


def _list_modules():
    """Return the path of each module by its name."""
    modules = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        modules[".".join(parts).removesuffix(".__init__")] = path
    return modules


def _find_imports(name, path):
    """Return the names of all imports of a module, also inside functions."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    imported = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imported.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            source = resolve_name("." * node.level + (node.module or ""), package)
            imported.add(source)
            imported.update(f"{source}.{alias.name}" for alias in node.names)
    return imported


MODULES = _list_modules()
IMPORTS = {name: _find_imports(name, path) & MODULES.keys() for name, path in MODULES.items()}


def _is_study(module):
    name = module.removeprefix("galclass.")
    return module == "galclass" or name in STUDY_MODULES or name.split(".")[0] in STUDY_FOLDERS


def _addition_number(module):
    """Return the place of an addition in the order, -1 for the study and the empty packages."""
    if _is_study(module) or module == "galclass.figures":
        return -1
    return ADDITIONS.index(module.split(".")[1])


def test_functions_of_the_study_are_in_the_study():
    for name in STUDY_NAMES:
        assert _is_study(getattr(galclass, name).__module__), name


def test_study_imports_only_the_study_and_additions_only_those_before_them():
    wrong = {
        (module, imported)
        for module in MODULES
        for imported in IMPORTS[module]
        if _addition_number(imported) > _addition_number(module)
    }
    assert wrong == set()


def test_imports_have_no_cycle():
    graphlib.TopologicalSorter(IMPORTS).prepare()


@pytest.mark.parametrize("arguments", [["-c", "import galclass"], ["-m", "galclass", "--help"]])
def test_import_and_help_do_not_import_what_is_slow(arguments):
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *arguments], capture_output=True, text=True
    )
    assert done.returncode == 0
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "galclass" in imported
    assert imported & {"tensorflow", "keras", "matplotlib", "astropy", "h5py"} == set()


@pytest.mark.slow
def test_importing_tensorflow_through_galclass_prints_nothing():
    done = subprocess.run(
        [sys.executable, "-c", "import galclass.network.cnn"], capture_output=True, text=True
    )
    assert done.returncode == 0
    assert done.stdout + done.stderr == ""


def test_public_names_are_few():
    assert len(galclass.__all__) <= 37
