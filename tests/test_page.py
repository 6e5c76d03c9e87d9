"""The page answers as predict does, and is safe to open to others."""

import base64
import io
import os
import re
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from shutil import which
from types import SimpleNamespace

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from PIL import Image

import galclass
from galclass import CLASS_NAMES, predict
from galclass.errors import RunError
from galclass.page.guide import Guide
from galclass.page.questions import CLASS_QUESTIONS
from galclass.page.table import DOWNLOADS, link_files
from galclass.page.uploads import MAX_IMAGES, take_files

CHROMIUM = which("chromium") or which("chromium-browser") or which("google-chrome")
UNLIKE = pytest.mark.filterwarnings("ignore:.*unlike the")


@pytest.fixture(scope="module")
def guide():
    pytest.importorskip("jinja2", reason="jinja2 is not installed: no page")
    return Guide()


@pytest.fixture
def galaxy(tmp_path):
    """The file of a galaxy of 424 x 424 pixels, with a name that could break HTML."""
    path = tmp_path / "<b>&amp;M 51.png"
    (image,), _ = galclass.simulate_galaxy10(1, seed=5)
    Image.fromarray(image).resize((424, 424)).save(path)
    return path


def answer(guide, image, crop=None, name="one"):
    """Return the row of an image and the HTML of its answer."""
    if crop is None:
        crop = guide.usual_crop
    framing = guide.choose_framing(crop)
    (row,) = guide.answer([(name, image)], framing)
    return row, guide.show_answer(row, image, framing)


def test_page_answers_as_predict_does(guide, galaxy):
    (expected,) = predict(galaxy)
    row, text = answer(guide, galaxy)
    for name in ("class", "p3", "unusual"):
        np.testing.assert_allclose(row[name], expected[name], atol=1e-6)
    assert f"{expected['class'] + 1} {expected['class_name']}" in text
    assert f"{100 * expected['probability']:.0f} %" in text
    assert CLASS_QUESTIONS[expected["class"]] in text
    sizes = []
    for encoded in re.findall(r'<img [^>]*src="data:image/png;base64,([^"]+)"', text):
        sizes.append(Image.open(io.BytesIO(base64.b64decode(encoded))).size)
    assert sizes[:3] == [(424, 424), (69, 69), (69, 69)]
    assert len(sizes) == 8
    assert "Simulated galaxies" in text


def test_box_marks_the_part_of_the_image_that_is_used(guide, galaxy):
    def box(image, crop=None):
        match = re.search(r'<i style="left:(.*?)%;top:(.*?)%', answer(guide, image, crop)[1])
        return match and [float(x) for x in match.groups()]

    assert box(galaxy) == pytest.approx([100 * 108 / 424] * 2)
    assert box(galaxy, 0.8) == pytest.approx([10, 10], abs=0.2)
    assert box(galaxy, 1.0) is None
    (small,), _ = galclass.simulate_galaxy10(1)
    assert box(small) is None  # Images of the network's size are not cropped.


def test_files_that_are_not_images_get_an_error_in_their_row(guide, tmp_path):
    name = "<img src=x onerror=alert(1)>.png"
    broken = tmp_path / name
    broken.write_bytes(b"not an image")
    row, shown = answer(guide, broken, name=name)
    assert "cannot be read" in row["error"]
    assert "cannot be read" in shown
    assert "<img src=x" not in shown
    assert str(tmp_path) not in shown + row["error"]  # Nobody needs to know where uploads are.


def test_image_whose_file_was_deleted_must_be_given_again(guide, galaxy):
    framing = guide.network.framing
    (row,) = guide.answer([("one", galaxy)], framing)
    galaxy.unlink()
    assert "one cannot be read any more; give it again" in guide.show_answer(row, galaxy, framing)


def test_table_can_be_downloaded_with_its_errors(guide, tmp_path):
    (image,), _ = galclass.simulate_galaxy10(1)
    named = [("good", image), ("missing", tmp_path / "missing.png")]
    table = guide.answer(named, guide.choose_framing(guide.usual_crop))
    links = re.findall(r'<a download="([^"]+)" href="data:.*?,([^"]+)"', link_files(table))
    assert [name.rpartition(".")[2] for name, _ in links] == list(DOWNLOADS)
    for name, encoded in links:
        path = tmp_path / name
        path.write_bytes(base64.b64decode(encoded))
        kind = "votable" if path.suffix == ".xml" else f"ascii{path.suffix}"
        assert list(Table.read(path, format=kind)["p0"].mask) == [False, True]


def test_too_many_images_are_refused(guide, galaxy):
    ((name, image),) = take_files([str(galaxy)] * (MAX_IMAGES + 1))
    assert "201 images, expected 200 at most" in answer(guide, image, name=name)[1]


@UNLIKE
def test_three_fits_files_are_one_galaxy_in_the_order_of_their_bands(guide, tmp_path):
    g, r, i = (str(tmp_path / f"Frame-{band}-1.fits") for band in "GRI")
    for path in (g, r, i):
        fits.writeto(path, np.random.default_rng(0).uniform(0, 5, (80, 80)))
    ((name, image),) = take_files([i, r, g])
    assert image() == (Path(g), Path(r), Path(i))
    assert answer(guide, image, name=name)[0]["error"] == ""
    _, (name, image) = take_files([g, r, "a.png"])
    assert "expected three FITS files of a galaxy" in answer(guide, image, name=name)[1]


@pytest.mark.slow
def test_run_is_compared_with_its_own_galaxies(measured, images_of_brightness):
    own = Guide(measured)
    _, text = answer(own, images_of_brightness[0][0])
    assert str(measured.origin) in text
    assert "imulated" not in text
    assert "not calibrated" in text  # 15 validation images are too few.
    assert len(own.list_examples()) == 10


def test_run_without_examples_is_refused_if_its_images_are_not_like_galaxy10s(trained):
    with pytest.raises(RunError, match=r"examples.npz.*galclass evaluate"):
        Guide(trained)


def test_run_without_examples_is_compared_with_simulated_galaxies_of_all_classes(guide):
    names = [name for _, name in guide.list_examples()]
    assert names == [f"{c} {name}" for c, name in enumerate(CLASS_NAMES, 1)]


def test_images_unlike_the_training_images_are_marked(guide):
    noise = np.random.default_rng(0).integers(0, 256, (69, 69, 3), np.uint8)
    with pytest.warns(UserWarning, match="unlike"):
        _, text = answer(guide, noise)
    assert "do not trust the answer" in text


def test_nothing_that_a_run_states_is_taken_for_html(guide, monkeypatch):
    bad = "<img src=x onerror=alert(1)>"
    origin = replace(guide.origin, name=bad, title=bad, kind="file")
    run = SimpleNamespace(origin=origin, manifest=guide.run.manifest)
    trained = f"{run.manifest['split']['train_size']:,}"
    assert trained in guide.show_head()
    monkeypatch.setattr(guide, "origin", origin)
    monkeypatch.setattr(guide, "run", run)
    assert bad not in guide.show_head() + guide.show_origin()


def test_command_without_gradio_says_what_to_install(command, monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", None)
    shown = command("page")
    assert shown.code == 2
    assert shown.error.count("pip install 'galclass[page]'") == 1


PASTE = """encoded => {
  const bytes = Uint8Array.from(atob(encoded), letter => letter.charCodeAt());
  const data = new DataTransfer();
  data.items.add(new File([bytes], "pasted.png", {type: "image/png"}));
  document.body.dispatchEvent(new ClipboardEvent("paste", {clipboardData: data, bubbles: true}));
}"""


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """The address of the page, opened as a user does."""
    pytest.importorskip("gradio", reason="gradio is not installed: no page")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [sys.executable, "-m", "galclass", "page", "--port", str(port)]
    folder = tmp_path_factory.mktemp("uploads")
    # Below the working directory, Gradio refuses uploads whose names begin with a dot.
    options = {"cwd": folder, "env": os.environ | {"TMPDIR": str(folder)}}
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, **options) as process:
        assert f"127.0.0.1:{port}" in process.stdout.readline()
        assert list(folder.iterdir())
        yield f"http://127.0.0.1:{port}"
        process.terminate()
    # Uploads are deleted at the end; TensorFlow leaves compiled modules.
    assert [path.name for path in folder.iterdir() if path.name != "__pycache__"] == []


@pytest.fixture
def tab(served):
    """A tab of a browser that shows the page, with the addresses that it requested."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed: the page is not opened in a browser")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 1280, "height": 1400})
        tab.set_default_timeout(180_000)
        tab.requested = []
        tab.on("request", lambda request: tab.requested.append(request.url))
        tab.goto(served)
        yield tab
        browser.close()


@pytest.mark.slow
def test_page_in_a_browser(tab, galaxy, tmp_path, served):
    """Good and broken images are dropped, pasted and chosen; nothing is sent elsewhere."""
    (row,) = predict(galaxy)
    upload = tab.locator("#images input[type=file]")
    upload.set_input_files(galaxy)
    tab.get_by_role("heading", name=f"{row['class'] + 1} {row['class_name']}").wait_for()
    assert tab.locator(".three img").count() == 3
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"not an image")
    upload.set_input_files([galaxy, broken])
    tab.get_by_role("gridcell", name=re.compile("cannot be read")).first.wait_for()
    with tab.expect_download() as download:
        tab.get_by_role("link", name="ECSV").click()
    table = Table.read(download.value.path(), format="ascii.ecsv")
    assert list(table["source"]) == ["b&amp;M 51.png", "broken.png"]  # As Gradio keeps names.
    assert table["class"][0] == row["class"]
    hidden = tmp_path / ".hidden.png"
    hidden.write_bytes(galaxy.read_bytes())
    upload.set_input_files(hidden)
    tab.get_by_role("alert").get_by_text("could not be uploaded; rename").wait_for()
    upload.set_input_files(broken)
    tab.get_by_role("alert").get_by_text("broken.png cannot be read").wait_for()
    tab.evaluate(PASTE, base64.b64encode(broken.read_bytes()).decode())
    tab.get_by_role("alert").get_by_text("pasted.png cannot be read").wait_for()
    tab.locator(".grid-container button").nth(1).click()
    tab.get_by_role("heading", name=CLASS_NAMES[1]).wait_for()
    assert [url for url in tab.requested if not url.startswith((served, "data:", "blob:"))] == []


@pytest.mark.slow
def test_address_in_place_of_an_upload_is_not_fetched(served):
    client = pytest.importorskip("gradio_client", reason="gradio is not installed: no page")
    with socket.create_server(("127.0.0.1", 0)) as other:
        other.settimeout(0.1)
        address = f"http://127.0.0.1:{other.getsockname()[1]}/galaxy.png"
        file = {"path": address, "meta": {"_type": "gradio.FileData"}}
        with pytest.raises(Exception, match="is an address, expected a file"):
            client.Client(served, verbose=False).predict([file], api_name="/take")
        with pytest.raises(TimeoutError):
            other.accept()
