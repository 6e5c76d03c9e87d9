"""Ray does the same as the local engine, also when a node fails on the way."""

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
from astropy.table import Table
from PIL import Image

from galclass import Recipe, build_cnn, cli, cluster, predict_survey, study
from galclass.data.galaxy10 import write_galaxy10
from galclass.errors import MissingPackageError, ParameterError, RunError
from galclass.studies import load_study

STUDY = {
    "recipe": Recipe(epochs=4, batch_size=16, symmetries=True, averaging=0.2),
    "precision": "float32",
    "verbose": False,
}
# Ray leaves files, processes and its own old settings.
LEFT = ("unclosed:ResourceWarning", "subprocess:ResourceWarning", ":DeprecationWarning:ray")
pytestmark = [pytest.mark.filterwarnings(f"ignore:{warning}") for warning in LEFT]


@pytest.fixture(scope="module")
def model():
    return build_cnn(seed=3, filters=((4, 4), (4,), (4,)), dense_units=(8,))


@pytest.fixture(scope="module")
def ray():
    return pytest.importorskip("ray", reason="Ray is not installed (pip install 'galclass[ray]')")


def test_without_ray_an_error_says_how_to_install_it(
    monkeypatch, images_of_brightness, model, tmp_path
):
    pytest.importorskip("pyarrow", reason="pyarrow is not installed: no Parquet")
    monkeypatch.setitem(sys.modules, "ray", None)
    write_galaxy10(tmp_path / "some.h5", *images_of_brightness)
    with pytest.raises(MissingPackageError, match=r"galclass\[ray\]"):
        predict_survey(tmp_path / "some.h5", tmp_path / "o", run=model, engine="ray")
    with pytest.raises(MissingPackageError, match=r"galclass\[ray\]"):
        study(*images_of_brightness, out=tmp_path / "s", engine="ray")
    assert [path.name for path in tmp_path.iterdir()] == ["some.h5"]


@pytest.mark.slow
@pytest.mark.usefixtures("ray")
def test_workers_do_not_ask_sdss_for_positions(model, tmp_path):
    Table({"ra": [10.0], "dec": [0.0]}).write(tmp_path / "one.ecsv")
    with pytest.raises(ParameterError, match="ask SDSS too often"):
        predict_survey(tmp_path / "one.ecsv", tmp_path / "out", run=model, engine="ray")


def test_what_is_no_engine_is_refused():
    for words, *settings in (
        ("'dask'", "dask", None, None),
        ("Ray", "local", "here:1", None),
        ("Ray", "local", None, 1),
        ("workers=0", "ray", None, 0),
        ("workers='2'", "ray", None, "2"),
    ):
        with pytest.raises(ParameterError, match=words):
            cluster.check_engine(*settings)


@pytest.mark.slow
@pytest.mark.parametrize("address", ["127.0.0.1:{}", "ray://localhost:{}", "nowhere.invalid:{}"])
def test_an_address_where_nothing_answers_is_refused_at_once(monkeypatch, ray, address):
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", lambda *_, **__: pytest.fail("Ray tries for many minutes"))
    with socket.socket() as bound:  # and does not listen
        bound.bind(("127.0.0.1", 0))
        address = address.format(bound.getsockname()[1])
        with pytest.raises(OSError, match=address), cluster.cluster(address):
            pass


class Halves:
    made: ClassVar[list[int]] = []

    def __init__(self, threads):
        self.made.append(threads)

    def __call__(self, item):
        if item % 2:
            raise RunError(f"{item} is odd")
        return item // 2


def test_a_worker_is_made_once_in_a_process():
    made = cluster.pickle.dumps((Halves, {"threads": 3}, "of this call"))
    assert [cluster._apply(made, item) for item in (4, 8)] == [2, 4]
    with pytest.raises(RunError, match="7 is odd"):
        cluster._apply(made, 7)
    assert Halves.made == [3]


def test_each_survey_makes_its_workers_anew(monkeypatch):
    # The weights may have changed, though all settings are the same.
    monkeypatch.setattr(cluster, "_cpus_and_gpus", lambda: [2, 0])
    made = set()
    monkeypatch.setattr(cluster, "_run", lambda *given, **_: made.add(given[2]["made"]))
    for _ in range(2):
        cluster.map_with(Halves, {}, [1], print, "ray", None)
    assert len(made) == 2


@pytest.fixture(scope="module")
def nodes(ray):
    """A Ray cluster on this machine, of a head without CPUs, and the list of its other nodes."""
    if sys.platform != "linux":
        pytest.skip("Ray has several nodes on one machine only on Linux")
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_BACKEND_LOG_LEVEL", "fatal")
        patch.setenv("RAY_worker_niceness", "0")  # Else they starve beside other tests.
        head = {"num_cpus": 0, "include_dashboard": False}
        started = Cluster(initialize_head=True, head_node_args=head)
        yield started, []
        ray.shutdown()
        started.shutdown()


@pytest.fixture
def there(nodes):
    """The engine on a cluster of two nodes of one CPU."""
    started, others = nodes
    while len(others) < 2:
        others.append(started.add_node(num_cpus=1))
    started.wait_for_nodes()
    return {"engine": "ray", "address": started.address}


@pytest.fixture
def lose(nodes):
    """End a node, in a thread, as soon as something is ready; join it to see that it was."""

    def wait(ready):
        while not ready():
            time.sleep(0.02)
        nodes[0].remove_node(nodes[1].pop(), allow_graceful=False)

    def start(ready):
        thread = threading.Thread(target=wait, args=[ready], daemon=True)
        thread.start()
        return thread

    return start


def _files(folder):
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("part-*")}


def _assert_same_rows(folder, other):
    import pyarrow.parquet as pq

    assert _files(folder).keys() == _files(other).keys()
    for name in _files(folder):
        ours, theirs = pq.read_table(folder / name), pq.read_table(other / name)
        assert ours.schema == theirs.schema
        numbers = ["probability", "entropy", *(f"p{c}" for c in range(10))]
        assert ours.drop(numbers).equals(theirs.drop(numbers))
        for column in numbers:
            mine, yours = ours[column].to_numpy(), theirs[column].to_numpy()
            np.testing.assert_allclose(mine, yours, rtol=1e-5, atol=1e-7)


@pytest.fixture(scope="module")
def folder(images_of_brightness, tmp_path_factory):
    """Sixty images of which one is cut off and one is not there."""
    path = tmp_path_factory.mktemp("images")
    for i, image in enumerate(images_of_brightness[0][:60]):
        Image.fromarray(image).save(path / f"g{i:02d}.png")
    (path / "g07.png").write_bytes((path / "g07.png").read_bytes()[:3000])
    (path / "g31.png").unlink()
    (path / "g31.png").symlink_to(path / "gone")
    return path


@pytest.fixture(scope="module")
def here(model, folder, tmp_path_factory):
    """The parts of the images as the local engine writes them."""
    return predict_survey(folder, tmp_path_factory.mktemp("out"), run=model, part_rows=4)


def test_an_image_that_is_not_there_is_a_row_with_its_error(here, folder):
    import pyarrow.parquet as pq

    row = pq.read_table(here / "part-000007.parquet").to_pylist()[3]
    assert (row["source"], row["class"]) == (str(folder / "g31.png"), None)
    assert "no file" in row["error"]


@pytest.mark.slow
def test_two_nodes_write_the_same_rows_and_resume_a_stopped_survey_where_one_fails(
    model, folder, here, there, lose, tmp_path
):
    out, settings = tmp_path / "out", {"run": model, "part_rows": 4, **there}
    # With three parts done, both nodes are at work.
    losing = lose(lambda: len(_files(out)) >= 3)
    predict_survey(folder, out, **settings)
    losing.join()
    _assert_same_rows(out, here)
    for number in (2, 9):
        (out / f"part-{number:06d}.parquet").unlink()
    before = _files(out)
    predict_survey(folder, out, **settings)
    _assert_same_rows(out, here)
    assert before.items() <= _files(out).items()


@pytest.mark.slow
def test_a_study_that_loses_a_node_ends_like_an_undisturbed_one(
    images_of_brightness, there, lose, tmp_path
):
    out, settings = tmp_path / "there", {"seeds": 2, **STUDY}
    expected = study(*images_of_brightness, out=tmp_path / "here", **settings)
    saved = [(out / f"seed-{k}" / "checkpoint") for k in (0, 1)]
    losing = lose(lambda: all(any(path.glob("[0-9]*.npz")) for path in saved))
    assert study(*images_of_brightness, out=out, **settings, **there) == expected
    losing.join()
    for ours, theirs in zip(load_study(out), load_study(tmp_path / "here"), strict=True):
        for key in ("weights_sha256", "threads"):
            assert ours.manifest[key] == theirs.manifest[key]
        histories = [(run.path / "history.csv").read_bytes() for run in (ours, theirs)]
        assert histories[0] == histories[1]


@pytest.mark.slow
def test_what_goes_wrong_there_reads_as_here(
    monkeypatch, images_of_brightness, trained, folder, there, tmp_path
):
    with pytest.raises(ParameterError, match="'best'"):
        study(*images_of_brightness, seeds=1, out=tmp_path / "s", recipe="best", **there)
    path = shutil.copytree(trained.path, tmp_path / "run") / "model.keras"
    path.write_bytes(path.read_bytes()[:9999])
    reasons = set()
    for name, settings in {"here": {}, "there": there}.items():
        with pytest.raises(RunError) as error:
            predict_survey(folder, tmp_path / name, run=path.parent, **settings)
        reasons.add(str(error.value))
    assert len(reasons) == 1
    monkeypatch.setattr(cluster, "RETRIES", 0)

    def end(how):
        os._exit(how)

    def work(path, seconds):
        path.write_text(str(os.getpid()))
        time.sleep(seconds)

    with cluster.cluster(there["address"]):
        with pytest.raises(RunError, match="fewer workers"):
            cluster.run_tasks(end, [{"how": 1}], print)
        tasks = [{"path": tmp_path / f"{s}.pid", "seconds": s} for s in (0, 600)]

        def stop(_):
            while not (tasks[1]["path"].exists() and tasks[1]["path"].read_text()):
                time.sleep(0.1)
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            cluster.run_tasks(work, tasks, stop)
        # Who stops before the end leaves no process at work; it may take a moment to be gone.
        process = Path("/proc", tasks[1]["path"].read_text())
        ended = (time.sleep(0.1) or not process.exists() for _ in range(300))
        assert any(ended)


@pytest.mark.slow
def test_ray_is_started_here_where_no_address_is_given(
    monkeypatch, capfd, images_of_brightness, ray, tmp_path
):
    ray.shutdown()
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "2")
    monkeypatch.setenv("RAY_worker_niceness", "0")
    monkeypatch.chdir(tmp_path)
    write_galaxy10(tmp_path / "some.h5", *images_of_brightness)
    command = "galclass survey some.h5 --out out --engine ray --workers 1"
    monkeypatch.setattr(sys, "argv", command.split())
    with pytest.raises(SystemExit) as end:
        cli.main()
    gc.collect()
    assert (end.value.code or 0, ray.is_initialized()) == (0, False)
    assert capfd.readouterr() == (f"1 shards in {tmp_path / 'out'}\n", "")
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
    assert list(_files(tmp_path / "out")) == ["part-000000.parquet"]
