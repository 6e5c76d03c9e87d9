"""The precision is the fastest that is safe on this machine."""

import os
import subprocess
import sys
from unittest import mock

import pytest

from galclass.errors import ParameterError
from galclass.network import precision
from galclass.network._tensorflow import THREADS, tf
from galclass.network.precision import choose_precision, count_threads, explain_precision


@pytest.fixture
def set_gpu(monkeypatch):
    """Return a function that describes the GPU of this machine, None for no GPU."""

    def describe(details):
        monkeypatch.setattr(precision, "_gpu_details", lambda: details)

    precision._choose.cache_clear()
    yield describe
    precision._choose.cache_clear()


@pytest.mark.parametrize(("seconds", "chosen"), [(0.5, "bfloat16"), (0.9, "float32")])
def test_clearly_faster_precision_is_chosen_and_the_times_are_recorded(
    set_gpu, monkeypatch, seconds, chosen
):
    set_gpu(None)
    repeat = mock.Mock(side_effect=[[seconds], [1.0]])
    monkeypatch.setattr(precision.timeit, "repeat", repeat)
    assert choose_precision("auto") == chosen
    reason = explain_precision("auto")
    assert f"{1000 * seconds:.1f} ms in bfloat16, 1000.0 in float32" in reason


def test_precision_that_fails_is_not_chosen(set_gpu, monkeypatch):
    set_gpu(None)
    error = tf.errors.UnimplementedError(None, None, "no primitive")
    monkeypatch.setattr(precision.timeit, "repeat", mock.Mock(side_effect=[error, [1.0]]))
    assert choose_precision() == "float32"
    assert "took inf ms in bfloat16" in explain_precision("auto")


@pytest.mark.parametrize(
    ("capability", "chosen"), [((8, 0), "bfloat16"), ((7, 5), "float16"), ((6, 1), "float32")]
)
def test_precision_of_a_gpu_depends_on_its_compute_capability(set_gpu, capability, chosen):
    set_gpu({"device_name": "Some GPU", "compute_capability": capability})
    assert choose_precision() == chosen
    assert "{}.{}".format(*capability) in explain_precision("auto")
    assert precision.describe_device() == "GPU Some GPU"


def test_given_precision_is_kept_and_an_unknown_one_is_refused():
    assert choose_precision("float16") == "float16"
    assert explain_precision("float16") == "asked for"
    with pytest.raises(ParameterError, match=r"'float8', expected one of .*'bfloat16'"):
        choose_precision("float8")


def test_number_of_threads_is_fixed_unless_a_variable_sets_it(monkeypatch):
    variable = os.environ.get("TF_NUM_INTRAOP_THREADS")
    assert count_threads() == int(variable or THREADS)
    monkeypatch.setattr(tf.config.threading, "get_intra_op_parallelism_threads", lambda: 0)
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "7")
    assert count_threads() == 7


@pytest.mark.slow
def test_bfloat16_is_not_chosen_if_only_its_gradients_are_slow():
    """With AVX2 alone, the convolution is as fast as in float32, and training ten times slower."""
    program = "from galclass.network import precision; print(precision.choose_precision())"
    environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2"}
    command = [sys.executable, "-c", program]
    assert subprocess.check_output(command, env=environment, text=True).strip() == "float32"
