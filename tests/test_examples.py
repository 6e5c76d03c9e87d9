"""The examples in docstrings."""

import doctest
import importlib
import io
import pkgutil

import pytest

import galclass

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
SLOW = (
    ".train",
    ".study",
    ".verify",
    ".save_figures",
    ".predict_survey",
    ".plot_simulated_accuracy",
)


def _find_examples():
    """Return the docstrings with examples in all modules, by name."""
    names = [module.name for module in pkgutil.walk_packages(galclass.__path__, "galclass.")]
    names.remove("galclass.__main__")  # It runs when it is imported.
    finder = doctest.DocTestFinder()
    tests = [test for name in names for test in finder.find(importlib.import_module(name), name)]
    return {test.name: test for test in tests if test.examples}


EXAMPLES = _find_examples()


def test_every_public_function_has_an_example():
    public = [getattr(galclass, name) for name in galclass.__all__]
    names = {f"{value.__module__}.{value.__name__}" for value in public if callable(value)}
    assert names - EXAMPLES.keys() == set()


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] * name.endswith(SLOW)) for name in EXAMPLES],
)
@pytest.mark.usefixtures("newcomer")
def test_example_runs(name):
    printed = io.StringIO()
    result = doctest.DocTestRunner(optionflags=FLAGS).run(EXAMPLES[name], out=printed.write)
    assert result.failed == 0, printed.getvalue()
