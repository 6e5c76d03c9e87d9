import base64
import io
import os
import re
import socket
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from shutil import which
from types import SimpleNamespace

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from PIL import Image

import galclass
from galclass import cli, page, predict
from galclass.data.galaxy10 import CLASS_NAMES, CLASS_QUESTIONS
from galclass.errors import DataError

CHROMIUM = which("chromium") or which("chromium-browser") or which("google-chrome")


@pytest.fixture(scope="module")
def guide():
    pytest.importorskip("jinja2", reason="jinja2 is not installed: no page")
    return page.Guide()


@pytest.fixture
def galaxy(tmp_path):
    """The file of a galaxy of 424 x 424 pixels, named to break HTML."""
    path = tmp_path / "<b>&amp;M 51.png"
    (image,), _ = galclass.simulate_galaxy10(1, seed=5)
    Image.fromarray(image).resize((424, 424)).save(path)
    return path


class Tags(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))


def test_the_page_answers_as_predict_does(guide, galaxy):
    expected = predict(galaxy)
    table = guide.answer([(galaxy.name, galaxy)], None)
    for name in ("class", "p3", "unusual"):
        np.testing.assert_allclose(table[name], expected[name], atol=1e-6)
    text, (row,) = guide.show(table[0], galaxy, None), expected
    assert f"{row['class'] + 1} {row['class_name']}" in text
    assert f"{100 * row['probability']:.0f} %" in text
    assert CLASS_QUESTIONS[row["class"]] in text
    images = [attributes for tag, attributes in Tags(text).found if tag == "img"]
    sizes = [
        Image.open(io.BytesIO(base64.b64decode(image["src"].split(",")[1]))).size
        for image in images
    ]
    assert sizes[:3] == [(424, 424), (69, 69), (69, 69)]
    assert len(sizes) == 8
    assert "Simulated galaxies" in text


def test_the_crop_is_marked_where_the_image_is_cut(guide, galaxy):
    def box(crop):
        text = guide.show(guide.answer([("one", galaxy)], crop)[0], galaxy, crop)
        return [float(x) for x in re.search(r'<i style="left:(.*?)%;top:(.*?)%', text).groups()]

    assert box(None) == pytest.approx([100 * 108 / 424] * 2)
    assert box(0.8) == pytest.approx([10, 10])
    (image,), _ = galclass.simulate_galaxy10(1)
    small = guide.show(guide.answer([("small", image)], None)[0], image, None)
    assert '<i style="left' not in small  # Images of the network's size are taken whole.


def test_files_that_are_no_galaxies_are_answered_with_a_sentence_in_their_row(guide, tmp_path):
    name = "<img src=x onerror=alert(1)>.png"
    broken = tmp_path / name
    broken.write_bytes(b"no image")
    table = guide.answer([("good", galclass.simulate_galaxy10(1)[0][0]), (name, broken)], None)
    assert not table["error"][0]
    assert "cannot be read" in table["error"][1]
    shown = guide.show(table[1], broken, None)
    assert "cannot be read" in shown
    assert "<img src=x" not in shown
    assert str(tmp_path) not in shown + table["error"][1]  # Where uploads lie is nobody's business.
    links = [attributes for tag, attributes in Tags(page._links(table)).found if tag == "a"]
    assert [link["download"].rpartition(".")[2] for link in links] == list(page.DOWNLOADS)
    for link in links:
        path = tmp_path / link["download"]
        path.write_bytes(base64.b64decode(link["href"].split(",")[1]))
        form = "votable" if path.suffix == ".xml" else f"ascii{path.suffix}"
        assert list(Table.read(path, format=form)["p0"].mask) == [False, True]


def test_too_many_images_are_refused_with_a_sentence(guide, galaxy):
    ((name, image),), _ = page._take([str(galaxy)] * (page.MOST_IMAGES + 1))
    (row,) = guide.answer([(name, image)], None)
    assert "201 images, expected 200 at most" in guide.show(row, image, None)


@pytest.mark.filterwarnings("ignore:.*unlike those of the training")
def test_three_fits_files_are_one_galaxy_in_the_order_of_their_bands(guide, tmp_path):
    rng = np.random.default_rng(0)
    files = {band: tmp_path / f"Frame-{band.upper()}-1.fits" for band in "gri"}
    for path in files.values():
        fits.writeto(path, rng.uniform(0, 5, (80, 80)))
    expected = predict([tuple(files.values())])
    ((name, image),), _ = page._take([str(files[band]) for band in "irg"])
    table = guide.answer([(name, image)], None)
    assert table["p0"][0] == pytest.approx(expected["p0"][0], abs=1e-6)
    two, _ = page._take([str(files["g"]), str(files["r"]), "a.png"])
    (_, found) = guide.answer(two, None)["error"]
    assert "r-1.fits: expected three fits files of a galaxy: frame-g" in found.lower()
    with pytest.raises(DataError, match="expected three FITS"):
        page.order_bands([Path("img.fits"), Path("gri.fits"), Path("r.fits")])


@pytest.mark.slow
def test_a_run_with_classes_of_its_own_shows_its_own(measured, images_of_brightness, guide):
    own = page.Guide(measured)
    image = images_of_brightness[0][0]
    text = own.show(own.answer([("mine", image)], None)[0], image, None)
    assert str(measured.origin) in text
    assert "imulated" not in text
    assert "not calibrated" in text  # 15 validation images are too few.
    assert len(own.examples()) == 10
    assert [name for _, name in guide.examples()] == [
        f"{c + 1} {name}" for c, name in enumerate(CLASS_NAMES)
    ]


def test_images_unlike_the_training_are_marked(guide):
    noise = np.random.default_rng(0).integers(0, 256, (69, 69, 3), np.uint8)
    with pytest.warns(UserWarning, match="unlike"):
        table = guide.answer([("noise", noise)], None)
    assert "do not trust the answer" in guide.show(table[0], noise, None)


def test_without_gradio_the_command_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "gradio", None)
    monkeypatch.setattr(sys, "argv", ["galclass", "page"])
    with pytest.raises(SystemExit, match="2"):
        cli.main()
    assert capsys.readouterr().err.count("pip install 'galclass[page]'") == 1


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
    # Uploads are deleted with it; TensorFlow leaves compiled modules.
    assert [path.name for path in folder.iterdir() if path.name != "__pycache__"] == []


@pytest.fixture
def tab(served):
    """A tab of a browser that shows it, and the addresses that it asked."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine: the page is not looked at")
    with api.sync_playwright() as playwright:
        options = {"executable_path": CHROMIUM, "args": ["--no-sandbox"]}
        browser = playwright.chromium.launch(**options)
        tab = browser.new_page(viewport={"width": 1280, "height": 1400})
        tab.set_default_timeout(180_000)
        tab.asked = []
        tab.on("request", lambda request: tab.asked.append(request.url))
        tab.goto(served)
        yield tab
        browser.close()


@pytest.mark.slow
def test_in_a_browser_an_image_is_dropped_its_class_seen_and_a_broken_one_explained(
    tab, galaxy, tmp_path, served
):
    (row,) = predict(galaxy)
    upload = tab.locator("#images input[type=file]")
    upload.set_input_files(galaxy)
    tab.get_by_role("heading", name=f"{row['class'] + 1} {row['class_name']}").wait_for()
    assert tab.locator(".three img").count() == 3
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
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
    tab.locator(".grid-container button").nth(1).click()  # The page goes on.
    tab.get_by_role("heading", name=CLASS_NAMES[1]).wait_for()
    assert [url for url in tab.asked if not url.startswith((served, "data:", "blob:"))] == []


@pytest.mark.slow
def test_an_address_in_place_of_an_upload_is_not_fetched(served):
    client = pytest.importorskip("gradio_client", reason="gradio is not installed: no page")
    with socket.create_server(("127.0.0.1", 0)) as other:
        other.settimeout(0.1)
        address = f"http://127.0.0.1:{other.getsockname()[1]}/galaxy.png"
        file = {"path": address, "meta": {"_type": "gradio.FileData"}}
        with pytest.raises(Exception, match="is an address, expected a file"):
            client.Client(served, verbose=False).predict([file], api_name="/_take")
        with pytest.raises(TimeoutError):
            other.accept()


def test_nothing_of_a_run_is_taken_for_html(guide):
    bad = "<img src=x onerror=alert(1)>"
    origin = replace(guide.origin, name=bad, kind="file")
    assert bad not in guide.template.render(examples=origin)
    run = SimpleNamespace(origin=origin, manifest=guide.run.manifest)
    assert bad not in guide.template.render(head=True, run=run)
    trained = f"{guide.run.manifest['split']['train_size']:,} galaxies"
    assert trained in guide.template.render(head=True, run=guide.run)  # Not those of the test set.
