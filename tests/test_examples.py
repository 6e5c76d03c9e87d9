"""Every public function has an example in its docstring, and every example runs."""

import doctest
import importlib
import io
import pkgutil

import pytest

import galclass

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def _examples():
    """The docstrings with examples in all of galclass, by name."""
    names = [module.name for module in pkgutil.walk_packages(galclass.__path__, "galclass.")]
    names.remove("galclass.__main__")  # It runs when it is imported.
    finder = doctest.DocTestFinder()
    found = [test for name in names for test in finder.find(importlib.import_module(name), name)]
    return {test.name: test for test in found if test.examples}


EXAMPLES = _examples()
SLOW = (".study", ".verify", ".train", ".save_figures", ".survey.predict_survey")
SLOW += (".plot_simulated_accuracy",)


def test_every_public_function_has_an_example():
    public = [getattr(galclass, name) for name in galclass.__all__]
    names = {f"{thing.__module__}.{thing.__name__}" for thing in public if callable(thing)}
    assert names - set(EXAMPLES) == set()


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] * name.endswith(SLOW)) for name in EXAMPLES],
)
@pytest.mark.usefixtures("newcomer")
def test_the_example_runs(name):
    printed = io.StringIO()
    result = doctest.DocTestRunner(optionflags=FLAGS).run(EXAMPLES[name], out=printed.write)
    assert result.attempted
    assert result.failed == 0, printed.getvalue()


def test_an_example_that_is_wrong_is_found_out():
    test = doctest.DocTestParser().get_doctest(">>> 1 + 1\n3\n", {}, "wrong", None, None)
    result = doctest.DocTestRunner(optionflags=FLAGS).run(test, out=lambda _: None)
    assert result.failed == 1
