import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from filelock import FileLock
from PIL import Image

from galclass import CLASS_NAMES, cli, evaluate, load_data, load_run, train
from galclass.data.dataset import Dataset, Origin
from galclass.load import write_data


class Result(NamedTuple):
    """The exit code and the output of a command."""

    code: int
    out: str
    error: str


@pytest.fixture
def command(monkeypatch, capsys):
    """Return a function that runs a command of galclass in this process."""

    def run(line):
        monkeypatch.setattr(sys, "argv", ["galclass", *shlex.split(line)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        return Result(stop.value.code or 0, *capsys.readouterr())

    return run


@pytest.fixture(scope="session")
def galaxies():
    """Simulated galaxies with their origin: at least three of every class."""
    images, labels, origin = load_data("simulated", n=600)
    kept = np.concatenate([np.flatnonzero(labels == c)[:12] for c in range(10)])
    assert min(np.bincount(labels[kept], minlength=10)) >= 3
    return Dataset(images[kept], labels[kept], origin)


@pytest.fixture(scope="session")
def real_path():
    """The file of the real galaxies, if this machine has it."""
    folder = os.environ.get("GALCLASS_TEST_DATA")
    if not folder:
        pytest.skip("GALCLASS_TEST_DATA is not set: there are no real galaxies to test on")
    return Path(folder) / "Galaxy10_subset.h5"


def _make_images_of_brightness(side):
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(10, dtype=np.uint8), 10)
    images = rng.integers(0, 25, (100, side, side, 3)) + 22 * labels[:, None, None, None]
    return images.astype(np.uint8), labels


@pytest.fixture(scope="session")
def images_of_brightness():
    """100 small images and their labels; the class is the brightness, which is easy to learn."""
    return _make_images_of_brightness(40)


@pytest.fixture(scope="session")
def like_galaxy10():
    """The same with the 69 x 69 pixels of Galaxy10."""
    return _make_images_of_brightness(69)


@pytest.fixture(scope="session")
def made_once(tmp_path_factory):
    """Return a function that makes a folder once for all processes that run tests."""
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:  # Each process has its own folder in a common one.
        base = base.parent

    def make_once(name, make):
        with FileLock(base / f"{name}.lock"):
            if not (base / name).exists():
                make(base / name)
        return base / name

    return make_once


@pytest.fixture(scope="session")
def trained(images_of_brightness, made_once):
    """A run of three epochs on the images of brightness, with the names of Galaxy10's classes."""

    def make(out):
        train(
            *images_of_brightness,
            out=out,
            class_names=CLASS_NAMES,
            epochs=3,
            precision="float32",
            verbose=False,
        )

    return load_run(made_once("trained", make))


@pytest.fixture(scope="session")
def measured(trained, images_of_brightness, made_once):
    """The same run, evaluated. Tests must not change it."""

    def make(out):
        evaluate(shutil.copytree(trained.path, out), *images_of_brightness)

    return load_run(made_once("measured", make))


@pytest.fixture(scope="session")
def measured_data(images_of_brightness, tmp_path_factory):
    """The file of the galaxies of that run."""
    path = tmp_path_factory.mktemp("galaxies") / "galaxies.h5"
    origin = Origin.of_arrays(*images_of_brightness, CLASS_NAMES)
    write_data(path, Dataset(*images_of_brightness, origin))
    return path


@pytest.fixture
def copied(measured, tmp_path):
    """A copy of that run, which a test may change."""
    return load_run(shutil.copytree(measured.path, tmp_path / "copied"))


@pytest.fixture(scope="session")
def simulated_run(made_once):
    """The folder of an evaluated run of one epoch; its galaxies and an image are next to it."""

    def make(folder):
        data = load_data("simulated", n=300)
        out = folder / "simulated"
        run = train(*data, out=out, recipe="quick", epochs=1, precision="float32", verbose=False)
        evaluate(run, *data)
        write_data(folder / "Galaxy10.h5", data)
        os.link(folder / "Galaxy10.h5", folder / "Galaxy10_subset.h5")
        # As Galaxy Zoo 2 showed it: Galaxy10 has the central 207 of 424 pixels.
        image = Image.new("RGB", (424, 424), (6, 5, 4))
        image.paste(Image.fromarray(data.images[0]).resize((207, 207)), (108, 108))
        image.save(folder / "image.jpg")
        rows = ["file,kind"]
        for number, pixels in enumerate(data.images[:90]):
            kind = ("disk", "smooth", "spiral")[number % 3]
            path = folder / "galaxies" / kind / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
            rows.append(f"{path.relative_to(folder)},{kind}")
        (folder / "catalogue.csv").write_text("\n".join(rows) + "\n")

    return made_once("newcomer", make) / "simulated"


@pytest.fixture
def newcomer(simulated_run, tmp_path, monkeypatch):
    """The working directory of somebody who follows the documentation.

    It holds two runs, an image and a small Galaxy10; a stand-in answers for SDSS.
    """
    # galclass replaces files and never changes them, so that hard links are as good as copies.
    shutil.copytree(simulated_run.parent, tmp_path, copy_function=os.link, dirs_exist_ok=True)
    for name in ("mine", "default"):
        shutil.copytree(simulated_run, tmp_path / "runs" / name, copy_function=os.link)
    rows = b'[{"Rows": [{"ra": 202.47, "dec": 47.195, "petroR90_r": 100.0}]}]'
    cutout = (tmp_path / "image.jpg").read_bytes()

    def answer(address, *_):
        if address.endswith("SqlSearch"):
            return rows
        return cutout

    monkeypatch.setattr("galclass.images.sdss._get", answer)
    monkeypatch.setattr("pooch.os_cache", lambda _: tmp_path / "cache")
    monkeypatch.setenv("GALCLASS_DATA", str(tmp_path / "Galaxy10.h5"))
    # Outside of notebooks, this function prints control characters, and examples would fail.
    monkeypatch.setattr("IPython.display.clear_output", lambda wait: None)
    monkeypatch.chdir(tmp_path)
    return tmp_path
