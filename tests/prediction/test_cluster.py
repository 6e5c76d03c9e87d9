"""Ray does the same as the local engine, also if a node fails meanwhile."""

import gc
import os
import shutil
import socket
import sys
import threading
import time
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from PIL import Image

from galclass import Recipe, cli, predict_survey, study
from galclass.data.dataset import Dataset
from galclass.errors import DownloadError, MissingPackageError, ParameterError, RunError
from galclass.load import write_data
from galclass.prediction import cluster
from galclass.studies import load_study

STUDY = {
    "recipe": Recipe(epochs=4, batch_size=16, symmetries=True, averaging=0.2),
    "precision": "float32",
    "verbose": False,
}
# Ray leaves files and processes open, and uses its own deprecated settings.
LEFT = ("unclosed:ResourceWarning", "subprocess:ResourceWarning", ":DeprecationWarning:ray")
pytestmark = [pytest.mark.filterwarnings(f"ignore:{warning}") for warning in LEFT]


@pytest.fixture(scope="module")
def ray():
    return pytest.importorskip("ray", reason="Ray is not installed (pip install 'galclass[ray]')")


def test_without_ray_an_error_explains_how_to_install_it(
    monkeypatch, images_of_brightness, model, tmp_path
):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingPackageError, match=r"galclass\[ray\]"):
        predict_survey(tmp_path / "some.h5", tmp_path / "o", run=model, engine="ray")
    with pytest.raises(MissingPackageError, match=r"galclass\[ray\]"):
        study(*images_of_brightness, out=tmp_path / "s", engine="ray")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "engine", "address", "workers"),
    [
        ("'dask'", "dask", None, None),
        ("options of Ray", "local", "here:1", None),
        ("options of Ray", "local", None, 1),
        ("workers=0", "ray", None, 0),
        ("workers='2'", "ray", None, "2"),
    ],
)
def test_wrong_engines_and_options_are_refused(words, engine, address, workers):
    with pytest.raises(ParameterError, match=words):
        cluster.check_engine(engine, address, workers)


@pytest.mark.slow
@pytest.mark.parametrize("address", ["127.0.0.1:{}", "ray://localhost:{}", "nowhere.invalid:{}"])
def test_an_address_where_nothing_answers_is_refused_at_once(monkeypatch, ray, address):
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", lambda *_, **__: pytest.fail("Ray tries for many minutes"))
    with socket.socket() as bound:  # It does not listen.
        bound.bind(("127.0.0.1", 0))
        address = address.format(bound.getsockname()[1])
        with pytest.raises(DownloadError, match=address), cluster.cluster(address):
            pass


class Halver:
    threads: ClassVar[list[int]] = []

    def __init__(self, threads):
        self.threads.append(threads)

    def __call__(self, item):
        if item % 2:
            raise RunError(f"{item} is odd")
        return item // 2


def test_a_process_makes_its_worker_once_for_each_survey(monkeypatch):
    # In place of Ray: the tasks run in this process.
    def run(function, tasks, shared, on_result, at_once, **options):
        for task in tasks:
            on_result(function(**task, **shared))

    monkeypatch.setattr(cluster, "_count_cpus_and_gpus", lambda: (3, 1))
    monkeypatch.setattr(cluster, "_run", run)
    halves = []
    for _ in range(2):  # The weights may have changed, although the settings are the same.
        cluster.map_with(Halver, {}, [4, 8], halves.append, "ray", None)
    assert halves == [2, 4, 2, 4]
    assert Halver.threads == [3, 3]
    with pytest.raises(RunError, match="7 is odd"):
        cluster.map_with(Halver, {}, [7], halves.append, "ray", None)


@pytest.fixture(scope="module")
def nodes(ray):
    """A Ray cluster on this machine whose head has no CPUs, and the list of its other nodes."""
    if sys.platform != "linux":
        pytest.skip("Ray has several nodes on one machine only on Linux")
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_BACKEND_LOG_LEVEL", "fatal")
        patch.setenv("RAY_worker_niceness", "0")  # Otherwise other tests take all CPUs.
        head = {"num_cpus": 0, "include_dashboard": False}
        started = Cluster(initialize_head=True, head_node_args=head)
        yield started, []
        ray.shutdown()
        started.shutdown()


@pytest.fixture
def on_ray(nodes):
    """The options of a cluster of two nodes with one CPU each."""
    started, others = nodes
    while len(others) < 2:
        others.append(started.add_node(num_cpus=1))
    started.wait_for_nodes()
    return {"engine": "ray", "address": started.address}


@pytest.fixture
def lose_node(nodes):
    """Return a function that starts a thread, which removes a node when something is ready."""

    def lose(is_ready):
        while not is_ready():
            time.sleep(0.02)
        started, others = nodes
        started.remove_node(others.pop(), allow_graceful=False)

    def start(is_ready):
        thread = threading.Thread(target=lose, args=[is_ready], daemon=True)
        thread.start()
        return thread

    return start


def list_parts(folder):
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("part-*")}


def assert_same_rows(folder, other):
    import pyarrow.parquet as pq

    assert list_parts(folder).keys() == list_parts(other).keys()
    numbers = ["probability", "entropy", *(f"p{c}" for c in range(10))]
    for name in list_parts(folder):
        ours = pq.read_table(folder / name)
        theirs = pq.read_table(other / name)
        assert ours.schema == theirs.schema
        assert ours.drop(numbers).equals(theirs.drop(numbers))
        for column in numbers:
            np.testing.assert_allclose(ours[column], theirs[column], rtol=1e-5, atol=1e-7)


@pytest.fixture(scope="module")
def folder(images_of_brightness, tmp_path_factory):
    """Sixty images, of which one is cut off and one does not exist."""
    path = tmp_path_factory.mktemp("images")
    for number, image in enumerate(images_of_brightness[0][:60]):
        Image.fromarray(image).save(path / f"g{number:02d}.png")
    (path / "g07.png").write_bytes((path / "g07.png").read_bytes()[:3000])
    (path / "g31.png").unlink()
    (path / "g31.png").symlink_to(path / "gone")
    return path


@pytest.mark.slow
def test_two_nodes_write_the_same_rows_and_resume_a_survey_although_one_fails(
    model, folder, on_ray, lose_node, tmp_path
):
    pytest.importorskip("pyarrow", reason="pyarrow is not installed: no Parquet")
    local_parts = predict_survey(folder, tmp_path / "local", run=model, part_rows=4)
    out = tmp_path / "out"
    settings = {"run": model, "part_rows": 4, **on_ray}
    # When three parts are written, both nodes are at work.
    losing = lose_node(lambda: len(list_parts(out)) >= 3)
    predict_survey(folder, out, **settings)
    losing.join()
    assert_same_rows(out, local_parts)
    for number in (2, 9):
        (out / f"part-{number:06d}.parquet").unlink()
    before = list_parts(out)
    predict_survey(folder, out, **settings)
    assert_same_rows(out, local_parts)
    assert before.items() <= list_parts(out).items()


@pytest.mark.slow
def test_a_study_that_loses_a_node_ends_like_an_undisturbed_one(
    images_of_brightness, on_ray, lose_node, tmp_path
):
    out = tmp_path / "on_ray"
    settings = {"seeds": 2, **STUDY}
    expected = study(*images_of_brightness, out=tmp_path / "local", **settings)
    checkpoints = [out / f"seed-{seed}" / "checkpoint" for seed in (0, 1)]
    losing = lose_node(lambda: all(any(path.glob("[0-9]*.npz")) for path in checkpoints))
    assert study(*images_of_brightness, out=out, **settings, **on_ray) == expected
    losing.join()
    for ours, theirs in zip(load_study(out), load_study(tmp_path / "local"), strict=True):
        for key in ("weights_sha256", "threads"):
            assert ours.manifest[key] == theirs.manifest[key]
        histories = [(run.path / "history.csv").read_bytes() for run in (ours, theirs)]
        assert histories[0] == histories[1]


@pytest.mark.slow
def test_errors_on_ray_are_those_of_the_local_engine(
    images_of_brightness, trained, folder, on_ray, tmp_path
):
    with pytest.raises(ParameterError, match="'best'"):
        study(*images_of_brightness, seeds=1, out=tmp_path / "s", recipe="best", **on_ray)
    path = shutil.copytree(trained.path, tmp_path / "run") / "model.keras"
    path.write_bytes(path.read_bytes()[:9999])
    reasons = set()
    for settings in ({}, on_ray):
        with pytest.raises(RunError) as error:
            predict_survey(folder, tmp_path / "out", run=path.parent, **settings)
        reasons.add(str(error.value))
    assert len(reasons) == 1


@pytest.mark.slow
def test_a_process_that_dies_too_often_is_an_error(monkeypatch, on_ray):
    monkeypatch.setattr(cluster, "RETRIES", 0)

    def end_process(code):
        os._exit(code)

    with cluster.cluster(on_ray["address"]), pytest.raises(RunError, match="fewer workers"):
        cluster.run_tasks(end_process, [{"code": 1}], print)


@pytest.mark.slow
def test_an_interrupt_leaves_no_process_at_work(on_ray, tmp_path):
    tasks = [{"path": tmp_path / f"{seconds}.pid", "seconds": seconds} for seconds in (0, 600)]
    number = tasks[1]["path"]

    def write_process_number(path, seconds):
        path.write_text(str(os.getpid()))
        time.sleep(seconds)

    def interrupt(_):
        while not (number.exists() and number.read_text()):
            time.sleep(0.1)
        raise KeyboardInterrupt

    with cluster.cluster(on_ray["address"]):
        with pytest.raises(KeyboardInterrupt):
            cluster.run_tasks(write_process_number, tasks, interrupt)
        process = Path("/proc", number.read_text())
        deadline = time.monotonic() + 30  # It may take a moment.
        while process.exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        assert not process.exists()


@pytest.mark.slow
def test_ray_is_started_on_this_machine_without_an_address(
    monkeypatch, capfd, images_of_brightness, ray, tmp_path
):
    ray.shutdown()
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "2")
    monkeypatch.setenv("RAY_worker_niceness", "0")
    monkeypatch.chdir(tmp_path)
    write_data(tmp_path / "some.h5", Dataset(*images_of_brightness, None))
    command = "galclass survey some.h5 --out out --engine ray --workers 1"
    monkeypatch.setattr(sys, "argv", command.split())
    with pytest.raises(SystemExit) as end:
        cli.main()
    gc.collect()
    assert (end.value.code or 0) == 0
    assert not ray.is_initialized()
    assert capfd.readouterr() == (f"parts in {tmp_path / 'out'}: 1\n", "")
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
    assert list(list_parts(tmp_path / "out")) == ["part-000000.parquet"]
