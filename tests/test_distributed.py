"""Ray does the same as the local engine, also when a machine is lost on the way."""

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

from galclass import Recipe, build_cnn, cli, predict, study
from galclass.distributed import cluster
from galclass.galaxy10 import write_galaxy10
from galclass.runs import RunError
from galclass.studies import load_study

RECIPE = Recipe(epochs=4, batch_size=16, symmetries=True, ema=0.9)
STUDY = {"recipe": RECIPE, "precision": "float32", "verbose": False}


# Ray leaves its log files and processes to the collector, and sets its own deprecated settings.
RAYS_OWN = (
    "ignore:unclosed:ResourceWarning",
    "ignore:subprocess:ResourceWarning",
    "ignore::DeprecationWarning:ray.data.context",
)


def on_ray(test):
    """Mark a test that starts Ray."""
    for warning in RAYS_OWN:
        test = pytest.mark.filterwarnings(warning)(test)
    return pytest.mark.slow(test)


@pytest.fixture(scope="module")
def model():
    return build_cnn(seed=3, filters=((4, 4), (4,), (4,)), dense_units=(8,))


def test_without_ray_an_error_says_how_to_install_it(monkeypatch, pictures, model, tmp_path):
    pytest.importorskip("pyarrow", reason="pyarrow is not installed: no Parquet")
    for name in ("ray", "ray.data"):
        monkeypatch.setitem(sys.modules, name, None)
    write_galaxy10(tmp_path / "some.h5", *pictures)
    with pytest.raises(ImportError, match=r"pip install 'galclass\[ray\]'"):
        predict(model, tmp_path / "some.h5", out=tmp_path / "o.parquet", engine="ray")
    with pytest.raises(ImportError, match=r"pip install 'galclass\[ray\]'"):
        study(*pictures, out=tmp_path / "s", engine="ray")
    assert not (tmp_path / "o.parquet").exists()
    assert not (tmp_path / "s").exists()
    with pytest.raises(ValueError, match="engine='dask'"):
        study(*pictures, out=tmp_path / "s", engine="dask")


@pytest.fixture(scope="module")
def machines():
    """A Ray cluster on this machine, of a head without CPUs, and the list of its others."""
    if sys.platform != "linux":
        pytest.skip("Ray has several machines on one only on Linux")
    reason = "Ray is not installed (pip install 'galclass[ray]')"
    ray = pytest.importorskip("ray", reason=reason)
    pytest.importorskip("ray.data", reason=reason)
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_BACKEND_LOG_LEVEL", "fatal")
        head = {"num_cpus": 0, "include_dashboard": False}
        cluster = Cluster(initialize_head=True, head_node_args=head)
        yield cluster, []
        ray.shutdown()
        cluster.shutdown()
    with warnings.catch_warnings():
        # The last test to use it may be one without the marks above.
        warnings.simplefilter("ignore", ResourceWarning)
        del cluster
        gc.collect()


@pytest.fixture
def two(machines):
    """The address of a cluster of two machines of one CPU, and a function that ends one."""
    cluster, others = machines
    while len(others) < 2:
        others.append(cluster.add_node(num_cpus=1))
    cluster.wait_for_nodes()
    return cluster.address, lambda: cluster.remove_node(others.pop(), allow_graceful=False)


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
def folder(pictures, tmp_path_factory):
    """Sixty pictures of which one is cut off and one is not there."""
    path = tmp_path_factory.mktemp("pictures")
    for i, image in enumerate(pictures[0][:60]):
        Image.fromarray(image).save(path / f"g{i:02d}.png")
    whole = (path / "g07.png").read_bytes()
    (path / "g07.png").write_bytes(whole[:3000])
    (path / "g31.png").unlink()
    (path / "g31.png").symlink_to(path / "gone")
    return path


@pytest.fixture(scope="module")
def here(model, folder, tmp_path_factory):
    """The parts of the pictures as the local engine writes them."""
    out = tmp_path_factory.mktemp("here") / "out.parquet"
    return predict(model, folder, out=out, part_rows=4)


@on_ray
def test_two_machines_write_the_same_rows_and_go_on_where_a_run_was_stopped(
    model, folder, here, two, tmp_path
):
    address, _ = two
    settings = {"part_rows": 4, "engine": "ray", "address": address}
    out = predict(model, folder, out=tmp_path / "out.parquet", **settings)
    _assert_same_rows(out, here)
    before = _files(out)
    for number in (2, 9):
        (out / f"part-{number:06d}.parquet").unlink()
        del before[f"part-{number:06d}.parquet"]
    predict(model, folder, out=out, **settings)
    _assert_same_rows(out, here)
    assert before.items() <= _files(out).items()
    with pytest.raises(RunError, match="cannot go on"):
        predict(model, folder, out=out, symmetric=False, **settings)


@on_ray
def test_rows_are_neither_lost_nor_doubled_when_a_machine_is_lost(
    model, folder, here, two, tmp_path
):
    address, lose = two
    out = tmp_path / "out.parquet"
    # With three parts done, both machines are at work.
    losing = _when(lambda: len(_files(out)) >= 3, lose)
    predict(model, folder, out=out, part_rows=4, engine="ray", address=address)
    losing.join()
    _assert_same_rows(out, here)


@on_ray
def test_a_study_that_loses_a_machine_ends_like_an_undisturbed_one(pictures, two, tmp_path):
    address, lose = two
    out = tmp_path / "there"
    expected = study(*pictures, seeds=2, out=tmp_path / "here", **STUDY)

    def checkpoints():
        return [any((out / f"seed-{k}" / "checkpoint").glob("[0-9]*.npz")) for k in (0, 1)]

    losing = _when(lambda: all(checkpoints()), lose)
    found = study(*pictures, seeds=2, out=out, engine="ray", address=address, **STUDY)
    losing.join()
    assert found == expected
    assert json.loads((out / "study.json").read_text()) == expected
    runs, undisturbed = load_study(out), load_study(tmp_path / "here")
    for ours, theirs in zip(runs, undisturbed, strict=True):
        assert ours.manifest["weights_sha256"] == theirs.manifest["weights_sha256"]
        assert ours.manifest["threads"] == theirs.manifest["threads"]
        assert (ours.path / "history.csv").read_bytes() == (
            theirs.path / "history.csv"
        ).read_bytes()


@on_ray
def test_what_goes_wrong_there_is_said_as_here(pictures, trained, folder, two, tmp_path):
    address, _ = two
    with pytest.raises(ValueError, match="unknown recipe 'best'"):
        study(*pictures, seeds=1, out=tmp_path / "s", engine="ray", address=address, recipe="best")
    shutil.copytree(trained.path, tmp_path / "run")
    content = (tmp_path / "run" / "model.keras").read_bytes()
    (tmp_path / "run" / "model.keras").write_bytes(content[: len(content) // 2])
    said = []
    for name, settings in {"here": {}, "there": {"engine": "ray", "address": address}}.items():
        with pytest.raises(RunError) as error:
            predict(tmp_path / "run", folder, out=tmp_path / f"{name}.parquet", **settings)
        said.append(str(error.value))
    assert said[0] == said[1]


@pytest.mark.parametrize("address", ["127.0.0.1:{}", "ray://localhost:{}", "nowhere.invalid:{}"])
def test_an_address_where_nothing_answers_is_refused_at_once(monkeypatch, address):
    ray = pytest.importorskip("ray", reason="Ray is not installed (pip install 'galclass[ray]')")
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", lambda *_, **__: pytest.fail("Ray tries for many minutes"))
    with socket.socket() as bound:  # and does not listen
        bound.bind(("127.0.0.1", 0))
        address = address.format(bound.getsockname()[1])
        refused = pytest.raises(ConnectionError, match=f"no Ray cluster answers at {address}")
        with refused, cluster(address):
            pass


@on_ray
def test_ray_is_started_here_where_no_address_is_given(monkeypatch, capfd, pictures, tmp_path):
    pytest.importorskip("ray.data", reason="Ray is not installed (pip install 'galclass[ray]')")
    import ray

    if ray.is_initialized():
        ray.shutdown()
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "2")
    source, out = tmp_path / "some.h5", tmp_path / "out.parquet"
    write_galaxy10(source, *pictures)
    arguments = ["predict", source, "-o", f"{out}/", "--engine", "ray", "--workers", 1]
    monkeypatch.setattr(sys, "argv", ["galclass", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    gc.collect()
    assert not end.value.code
    assert not ray.is_initialized()
    printed = capfd.readouterr()
    assert printed.out == f"100 pictures in 1 parts in {out}\n"
    assert printed.err == ""
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
    assert list(_files(out)) == ["part-000000.parquet"]
