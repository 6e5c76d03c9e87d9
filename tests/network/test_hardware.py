import os
import subprocess
import sys

import pytest

from galclass.errors import ParameterError
from galclass.network import hardware


@pytest.fixture
def speeds(monkeypatch):
    """Speeds of a convolution, given instead of measured."""
    found = {}
    monkeypatch.setattr(hardware, "_seconds", found.get)
    monkeypatch.setattr(hardware, "_gpu", dict)
    hardware._best.cache_clear()
    yield found
    hardware._best.cache_clear()


@pytest.mark.parametrize(("half", "chosen"), [(0.5, "bfloat16"), (0.9, "float32")])
def test_the_faster_precision_is_taken_and_why_is_recorded(speeds, half, chosen):
    speeds.update(bfloat16=half, float32=1.0)
    assert hardware.choose_precision("auto") == chosen
    reason = hardware.explain_precision("auto")
    assert f"{1000 * half:.1f} ms in bfloat16" in reason
    assert hardware.explain_precision("float32") == "asked for"


@pytest.mark.parametrize(
    ("capability", "chosen"), [((8, 0), "bfloat16"), ((7, 5), "float16"), ((6, 1), "float32")]
)
def test_a_gpus_precision_goes_by_its_compute_capability(speeds, monkeypatch, capability, chosen):
    monkeypatch.setattr(hardware, "_gpu", lambda: {"compute_capability": capability})
    assert hardware.choose_precision() == chosen
    assert "{}.{}".format(*capability) in hardware.explain_precision("auto")


def test_what_fails_in_bfloat16_is_computed_in_float32(speeds):
    speeds.update(bfloat16=float("inf"), float32=1.0)
    assert hardware.choose_precision() == "float32"
    with pytest.raises(ParameterError, match="float8"):
        hardware.choose_precision("float8")


def test_a_precision_that_fails_is_never_the_fastest(monkeypatch):
    def fail(*_, **__):
        raise hardware.tf.errors.UnimplementedError(None, None, "no primitive descriptor")

    monkeypatch.setattr(hardware.timeit, "repeat", fail)
    assert hardware._seconds("bfloat16") == float("inf")


@pytest.mark.slow
def test_where_only_the_gradients_are_slow_in_bfloat16_it_is_not_taken():
    """With AVX2 alone a convolution is as fast as in float32, training ten times slower."""
    program = "from galclass.network import hardware; print(hardware.choose_precision())"
    environment = os.environ | {"ONEDNN_MAX_CPU_ISA": "AVX2"}
    words = [sys.executable, "-c", program]
    assert subprocess.check_output(words, env=environment, text=True).strip() == "float32"
