"""Ray does the same as the local engine, also when a node fails on the way."""

import gc
import json
import os
import shutil
import socket
import sys
import threading
import time
import warnings

import numpy as np
import pytest
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
NO_RAY = "Ray is not installed (pip install 'galclass[ray]')"


def on_ray(test):
    """Mark a test that starts Ray, which leaves files, processes and its own old settings."""
    for warning in (
        "ignore:unclosed:ResourceWarning",
        "ignore:subprocess:ResourceWarning",
        "ignore::DeprecationWarning:ray.data.context",
    ):
        test = pytest.mark.filterwarnings(warning)(test)
    return pytest.mark.slow(test)


@pytest.fixture(scope="module")
def model():
    return build_cnn(seed=3, filters=((4, 4), (4,), (4,)), dense_units=(8,))


def test_without_ray_an_error_says_how_to_install_it(
    monkeypatch, images_of_brightness, model, tmp_path
):
    pytest.importorskip("pyarrow", reason="pyarrow is not installed: no Parquet")
    for name in ("ray", "ray.data"):
        monkeypatch.setitem(sys.modules, name, None)
    write_galaxy10(tmp_path / "some.h5", *images_of_brightness)
    with pytest.raises(MissingPackageError, match=r"pip install 'galclass\[ray\]'"):
        predict_survey(tmp_path / "some.h5", tmp_path / "o", run=model, engine="ray")
    with pytest.raises(MissingPackageError, match=r"pip install 'galclass\[ray\]'"):
        study(*images_of_brightness, out=tmp_path / "s", engine="ray")
    assert [path.name for path in tmp_path.iterdir()] == ["some.h5"]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"engine": "dask"}, "engine='dask'"),
        ({"engine": "local", "address": "here:1"}, "are Ray's"),
        ({"engine": "local", "workers": 1}, "are Ray's"),
        ({"engine": "ray", "workers": 0}, "workers=0"),
        ({"engine": "ray", "workers": "2"}, "workers='2'"),
    ],
)
def test_what_is_no_engine_is_refused(settings, words):
    with pytest.raises(ParameterError, match=words):
        cluster.check_engine(**settings)


@pytest.mark.parametrize("address", ["127.0.0.1:{}", "ray://localhost:{}", "nowhere.invalid:{}"])
def test_an_address_where_nothing_answers_is_refused_at_once(monkeypatch, address):
    ray = pytest.importorskip("ray", reason=NO_RAY)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", lambda *_, **__: pytest.fail("Ray tries for many minutes"))
    with socket.socket() as bound:  # and does not listen
        bound.bind(("127.0.0.1", 0))
        address = address.format(bound.getsockname()[1])
        refused = pytest.raises(OSError, match=f"no Ray cluster answers at {address}")
        with refused, cluster.cluster(address):
            pass


def test_a_worker_is_made_once_and_what_it_raises_is_raised_here():
    made = []

    class Halves:
        def __init__(self, threads):
            made.append(threads)

        def __call__(self, item):
            if item % 2:
                raise RunError(f"{item} is odd")
            return item // 2

    worker = cluster._Worker(Halves, {"threads": 3})
    assert made == []  # Ray Data makes it in a process that may do nothing.
    pickled = [worker({"item": [cluster.pickle.dumps(item)]})["result"][0] for item in (4, 7, 8)]
    results = [cluster.pickle.loads(result) for result in pickled]
    assert made == [3]
    assert (results[0], results[2]) == (2, 4)
    assert isinstance(results[1], RunError)
    assert "7 is odd" in str(results[1])


@pytest.fixture(scope="module")
def nodes():
    """A Ray cluster on this machine, of a head without CPUs, and the list of its other nodes."""
    if sys.platform != "linux":
        pytest.skip("Ray has several nodes on one machine only on Linux")
    ray = pytest.importorskip("ray", reason=NO_RAY)
    pytest.importorskip("ray.data", reason=NO_RAY)
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_BACKEND_LOG_LEVEL", "fatal")
        head = {"num_cpus": 0, "include_dashboard": False}
        started = Cluster(initialize_head=True, head_node_args=head)
        yield started, []
        ray.shutdown()
        started.shutdown()
    with warnings.catch_warnings():
        # The last test to use it may be one without the marks above.
        warnings.simplefilter("ignore", ResourceWarning)
        del started
        gc.collect()


@pytest.fixture
def two(nodes):
    """The address of a cluster of two nodes of one CPU, and a function that ends one."""
    started, others = nodes
    while len(others) < 2:
        others.append(started.add_node(num_cpus=1))
    started.wait_for_nodes()
    return started.address, lambda: started.remove_node(others.pop(), allow_graceful=False)


def _when(ready, act):
    """Act, in a thread, as soon as something is ready; join it to see that it has been done."""

    def wait():
        while not ready():
            time.sleep(0.02)
        act()

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


def _files(folder):
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("part-*")}


def _assert_same_rows(folder, other):
    import pyarrow as pa
    import pyarrow.parquet as pq

    ours, theirs = (
        pa.concat_tables(pq.read_table(path) for path in sorted(one.glob("part-*")))
        for one in (folder, other)
    )
    assert {path.name for path in folder.iterdir()} == {path.name for path in other.iterdir()}
    assert ours.schema == theirs.schema
    for name in ("source", "class", "class_name", "runner_up", "error"):
        assert ours[name].equals(theirs[name]), name
    for name in ("probability", "entropy", *(f"p{c}" for c in range(10))):
        mine, yours = ours[name].to_numpy(), theirs[name].to_numpy()
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
    out = tmp_path_factory.mktemp("here") / "out"
    return predict_survey(folder, out, run=model, part_rows=4)


def test_an_image_that_is_not_there_is_a_row_with_its_error(here, folder):
    import pyarrow.parquet as pq

    rows = pq.read_table(here / "part-000007.parquet").to_pylist()
    assert rows[3]["source"] == str(folder / "g31.png")
    assert "no file" in rows[3]["error"]
    assert rows[3]["class"] is None


@on_ray
def test_two_nodes_write_the_same_rows_and_resume_a_stopped_survey(
    model, folder, here, two, tmp_path
):
    settings = {"run": model, "part_rows": 4, "engine": "ray", "address": two[0]}
    out = predict_survey(folder, tmp_path / "out", **settings)
    _assert_same_rows(out, here)
    before = _files(out)
    for number in (2, 9):
        (out / f"part-{number:06d}.parquet").unlink()
        del before[f"part-{number:06d}.parquet"]
    predict_survey(folder, out, **settings)
    _assert_same_rows(out, here)
    assert before.items() <= _files(out).items()
    with pytest.raises(RunError, match="cannot resume"):
        predict_survey(folder, out, symmetric=True, **settings)


@on_ray
def test_rows_are_neither_lost_nor_doubled_when_a_node_fails(model, folder, here, two, tmp_path):
    address, lose = two
    out = tmp_path / "out"
    # With three parts done, both nodes are at work.
    losing = _when(lambda: len(_files(out)) >= 3, lose)
    predict_survey(folder, out, run=model, part_rows=4, engine="ray", address=address)
    losing.join()
    _assert_same_rows(out, here)


@on_ray
def test_a_study_that_loses_a_node_ends_like_an_undisturbed_one(
    images_of_brightness, two, tmp_path
):
    address, lose = two
    out = tmp_path / "there"
    expected = study(*images_of_brightness, seeds=2, out=tmp_path / "here", **STUDY)

    def checkpoints():
        return [any((out / f"seed-{k}" / "checkpoint").glob("[0-9]*.npz")) for k in (0, 1)]

    losing = _when(lambda: all(checkpoints()), lose)
    settings = {"seeds": 2, "engine": "ray", "address": address, **STUDY}
    found = study(*images_of_brightness, out=out, **settings)
    losing.join()
    assert found == expected
    assert json.loads((out / "study.json").read_text()) == expected
    runs, undisturbed = load_study(out), load_study(tmp_path / "here")
    for ours, theirs in zip(runs, undisturbed, strict=True):
        for key in ("weights_sha256", "threads"):
            assert ours.manifest[key] == theirs.manifest[key]
        assert (ours.path / "history.csv").read_bytes() == (
            theirs.path / "history.csv"
        ).read_bytes()


@on_ray
def test_what_goes_wrong_there_reads_as_here(images_of_brightness, trained, folder, two, tmp_path):
    there = {"engine": "ray", "address": two[0]}
    with pytest.raises(ParameterError, match=r"recipe.*'best'"):
        study(*images_of_brightness, seeds=1, out=tmp_path / "s", recipe="best", **there)
    shutil.copytree(trained.path, tmp_path / "run")
    content = (tmp_path / "run" / "model.keras").read_bytes()
    (tmp_path / "run" / "model.keras").write_bytes(content[: len(content) // 2])
    reasons = []
    for name, settings in {"here": {}, "there": there}.items():
        with pytest.raises(RunError) as error:
            predict_survey(folder, tmp_path / name, run=tmp_path / "run", **settings)
        reasons.append(str(error.value))
    assert reasons[0] == reasons[1]


@on_ray
def test_ray_is_started_here_where_no_address_is_given(
    monkeypatch, capfd, images_of_brightness, tmp_path
):
    ray = pytest.importorskip("ray", reason=NO_RAY)
    pytest.importorskip("ray.data", reason=NO_RAY)
    if ray.is_initialized():
        ray.shutdown()
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "2")
    source, out = tmp_path / "some.h5", tmp_path / "out"
    write_galaxy10(source, *images_of_brightness)
    arguments = ["survey", source, "--out", out, "--engine", "ray", "--workers", 1]
    monkeypatch.setattr(sys, "argv", ["galclass", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    gc.collect()
    assert not end.value.code
    assert not ray.is_initialized()
    printed = capfd.readouterr()
    assert printed.out == f"1 shards in {out}\n"
    assert printed.err == ""
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
    assert list(_files(out)) == ["part-000000.parquet"]
