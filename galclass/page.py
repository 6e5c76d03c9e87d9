"""``galclass page``: images of galaxies classified in a browser, with Gradio."""

import base64
import io
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray
from PIL import Image

from .data.dataset import load_data
from .data.galaxy10 import CLASS_QUESTIONS
from .data.images import FITS_SUFFIXES, crop_box, order_bands, prepare_named, read_image
from .data.sdss import sdss_cutout
from .errors import DataError, MissingPackageError, ParameterError
from .files import PathLike
from .prediction.predict import UNUSUAL, classify, load_network
from .prediction.table import write_table
from .run import Run, as_run, load_pretrained

if TYPE_CHECKING:
    import gradio
    from astropy.table import Row, Table

MOST_IMAGES = 200  # at a time
LARGEST_FILE = "50mb"
LONGEST_NAME = 99
KEPT = 3600  # seconds, of an uploaded file
WAITING = 50  # requests, beside those that are answered
SHOWN = 424  # pixels of an image's longer side
BARS, SIMILAR = 10, 5
USUAL_CROP = 0.488  # Galaxy10's, as the slider has it
COLUMNS = ("source", "class_name", "probability", "unusual", "error")
HEADERS = ["", "image", "class", "probability", "unusual", "error"]
WIDTHS = ["50px", "150px", "230px", "110px", "100px", "300px"]
DOWNLOADS = {"csv": "CSV", "ecsv": "ECSV", "xml": "VOTable"}
HERE = Path(__file__).parent
FONT = ("system-ui", "sans-serif")  # no font of another server
# An image that is pasted anywhere on the page is as if it was dropped.
PASTE = """<script>addEventListener("paste", event => {
  const input = document.querySelector("#images input[type=file]");
  if (!input || !event.clipboardData.files.length) return;
  input.files = event.clipboardData.files;
  input.dispatchEvent(new Event("change", {bubbles: true}));
});</script>"""


class Guide:
    """A network, galaxies to compare with, and its answers in HTML.

    Parameters
    ----------
    run : Run or path-like, optional
        Default: the pretrained network.
    """

    def __init__(self, run: Run | PathLike | None = None) -> None:
        import jinja2

        from .network.probabilities import predict_proba
        from .prediction.embed import headless

        self.run = load_pretrained() if run is None else as_run(run)
        self.network = load_network(self.run)
        self.embed = partial(predict_proba, headless(self.network.model))
        if self.run.packaged:  # It comes without its galaxies.
            self.images, self.labels, self.origin = load_data("simulated", n=400)
        else:
            self.images, self.labels = (self.run.examples[key] for key in ("images", "labels"))
            self.origin = self.run.origin
        self.features = self.embed(self.images)
        template = (HERE / "page.html").read_text(encoding="utf-8")
        self.template = jinja2.Environment(autoescape=True).from_string(template)

    def examples(self) -> list[tuple[NDArray[np.uint8], str]]:
        """A galaxy of each class, and its name."""
        labels, first = np.unique(self.labels, return_index=True)
        return [(self.images[i], self._name(c)) for c, i in zip(labels, first, strict=True)]

    def answer(self, named: Sequence[tuple[str, Any]], crop: float | None) -> "Table":
        """The table that :func:`galclass.predict` returns, of images that have names."""
        prepared = prepare_named(named, crop=crop, size=self.network.size)
        return classify(self.network, prepared, batch_size=64)

    def show(self, row: "Row", image: Any, crop: float | None) -> str:
        """HTML of the answer for one image: its class, how sure it is, and what it rests on."""
        from .evaluation.attribution import evidence

        if row["error"]:
            return self.template.render(error=row["error"])
        ((_, prepared, error),) = prepare_named(
            [(str(row["source"]), image)], crop=crop, size=self.network.size
        )
        if prepared is None:
            return self.template.render(error=error)
        original, seen = read_image(image() if callable(image) else image), prepared[None]
        where = evidence(self.network.model, seen, [row["class"]])[0]
        heat = Image.fromarray(np.uint8(255 * colormaps["inferno"](where, alpha=0.8 * where)))
        grey = Image.fromarray(prepared).convert("L").convert("RGBA")
        distances = np.linalg.norm(self.features - self.embed(seen), axis=1)
        nearest = np.argsort(distances, kind="stable")[:SIMILAR]
        shares = np.array([row[f"p{c}"] for c in range(len(self.run.class_names))])
        best = np.argsort(-shares, kind="stable")[:BARS]
        asked = CLASS_QUESTIONS if self.run.origin.has_galaxy10_classes else None
        box = (100 * crop_box(original.size, crop) / original.size).ravel()
        whole = crop is None and original.size == self.network.size
        return self.template.render(
            bars=[(self._name(c), 100 * shares[c], asked and asked[c]) for c in best],
            c=int(row["class"]),
            run=self.run,
            metrics=self.run.metrics if (self.run.path / "metrics.json").exists() else None,
            unusual=row["unusual"] if "unusual" in row.colnames else 0,
            limit=UNUSUAL,
            original=_encoded(original),
            box=None if whole else box.tolist(),
            seen=_encoded(prepared),
            side=len(prepared),
            looked=_encoded(Image.alpha_composite(grey, heat)),
            similar=[(_encoded(self.images[i]), self._name(self.labels[i])) for i in nearest],
            origin=self.origin,
        )

    def _name(self, c: int) -> str:
        return f"{c + 1} {self.run.class_names[c]}"


def _encoded(image: Any) -> str:
    """An image as an address that holds it."""
    image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    image.thumbnail((SHOWN, SHOWN))
    file = io.BytesIO()
    image.save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def _rows(table: "Table") -> list[list[Any]]:
    """The table's main columns, as the page shows them."""
    known = [name if name in table.colnames else None for name in COLUMNS]
    return [[i, *(name and _cell(row[name]) for name in known)] for i, row in enumerate(table, 1)]


def _cell(value: Any) -> Any:
    if np.ma.is_masked(value):
        return ""
    return round(float(value), 3) if isinstance(value, np.floating) else str(value)


def _links(table: "Table") -> str:
    """The table as ``galclass predict`` writes it, in links that hold the files."""
    links = []
    with tempfile.TemporaryDirectory() as folder:
        for suffix, name in DOWNLOADS.items():
            path = Path(folder) / f"galaxies.{suffix}"
            write_table(table, path)
            data = base64.b64encode(path.read_bytes()).decode()
            address = f"data:application/octet-stream;base64,{data}"
            links.append(f'<a download="{path.name}" href="{address}">{name}</a>')
    return f'<p class="galclass">Table: {" · ".join(links)}</p>'


def _take(files: Sequence[str]) -> tuple[list[tuple[str, Any]], None]:
    """Uploaded files with their names, FITS files as the bands of one galaxy; and room for more."""
    paths = [Path(file) for file in files]
    bands = [path for path in paths if path.name.lower().endswith(FITS_SUFFIXES)]
    named: list[tuple[str, Any]] = [(path.name, path) for path in paths if path not in bands]
    if bands:
        named.append((", ".join(path.name for path in bands), partial(order_bands, bands)))
    if len(named) > MOST_IMAGES:
        found = f"{len(named)} images, expected {MOST_IMAGES} at most; use galclass predict"
        named = [("too many", DataError(found))]
    return named, None


def _look_up(text: str) -> list[tuple[str, Any]]:
    text = text.strip()[:LONGEST_NAME]
    return [(text, partial(sdss_cutout, text))] if text else []


def _refuse_addresses(files: Any) -> None:
    """Take uploads alone: Gradio would fetch an address that is sent in place of one."""
    move = files.async_move_resource_to_block_cache

    async def checked(path: Any) -> Any:
        if "://" in str(path):
            raise ParameterError(f"{str(path)[:LONGEST_NAME]} is an address, expected a file")
        return await move(path)

    files.async_move_resource_to_block_cache = checked


def _build(gr: Any, guide: Guide) -> "gradio.Blocks":
    """The page: what can be given on the left, the answer on the right."""
    examples, usual = guide.examples(), guide.network.crop or USUAL_CROP

    def cropped(slider: float) -> float | None:
        return guide.network.crop if slider == usual else slider

    def answer(named: Any, slider: float) -> tuple[Any, ...]:
        crop = cropped(slider)
        if not named:
            return [], gr.skip(), "", guide.template.render(error="Give an image first.")
        table = guide.answer(named, crop)
        answered = [(row, image, crop) for row, (_, image) in zip(table, named, strict=True)]
        first = next((one for one in answered if not one[0]["error"]), answered[0])
        rows = gr.Dataframe(_rows(table), visible=len(table) > 1)
        return answered, rows, _links(table), guide.show(*first)

    def pick(event: gr.SelectData, answered: Any) -> str:
        return guide.show(*answered[int(event.row_value[0]) - 1])

    def choose(event: gr.SelectData) -> list[tuple[str, Any]]:
        image, name = examples[event.index]
        return [(f"example of {name}", image)]

    with gr.Blocks(title="galclass", analytics_enabled=False, delete_cache=(60, KEPT)) as page:
        gr.HTML(guide.template.render(head=True, run=guide.run))
        named, answered = gr.State([]), gr.State([])
        with gr.Row():
            with gr.Column(scale=2, min_width=330):
                files = gr.File(label="Images", file_count="multiple", elem_id="images", height=150)
                known = {"placeholder": "202.47 47.195, or M51", "max_length": LONGEST_NAME}
                place = gr.Textbox(label="Or a galaxy in SDSS", **known)
                look = {"columns": 5, "show_label": False, "buttons": [], "elem_id": "examples"}
                images = [image for image, _ in examples]
                gallery = gr.Gallery(images, allow_preview=False, **look)
                gr.HTML(guide.template.render(examples=guide.origin))
                least = min(0.1, usual)
                slider = gr.Slider(least, 1, usual, step=0.004, label="Share of the image to use")
            with gr.Column(scale=3, min_width=330):
                look = {"max_height": 260, "wrap": True, "column_widths": WIDTHS, "buttons": []}
                rows = gr.Dataframe(headers=HEADERS, interactive=False, visible=False, **look)
                links, shown = gr.HTML(), gr.HTML()
        then = {"fn": answer, "inputs": [named, slider], "outputs": [answered, rows, links, shown]}
        taken = files.upload(_take, files, [named, files])
        taken.success(**then)
        failed = guide.template.render(error="These files could not be uploaded; rename them.")
        taken.failure(lambda: (None, failed), None, [files, shown])
        place.submit(_look_up, place, named).success(**then)
        gallery.select(choose, None, named).success(**then)
        slider.release(**then)
        rows.select(pick, answered, shown)
        _refuse_addresses(files)
    return page


def open_page(
    run: Run | PathLike | None = None,
    *,
    host: str | None = None,
    port: int | None = None,
) -> "gradio.Blocks":
    """Open the page; in a notebook it shows below the cell.

    Parameters
    ----------
    run : Run or path-like, optional
        Default: the pretrained network.
    host : str, optional
        Address to listen on. Default: ``127.0.0.1``, where only this machine can connect, unless
        ``GRADIO_SERVER_NAME`` is set.
    port : int, optional
        Default: the first free one from 7860.

    Returns
    -------
    gradio.Blocks
        Served by threads of this process: ``local_url`` is the address, ``block_thread()`` waits
        until it is interrupted, ``close()`` ends it.

    Raises
    ------
    MissingPackageError
        Gradio is not installed.
    RunError
        The run cannot be read.
    OSError
        The port is in use.
    """
    try:
        import gradio as gr
    except ImportError as error:
        how = "install it with: pip install 'galclass[page]'"
        raise MissingPackageError(f"{error.name} is not installed; {how}") from error
    page = _build(gr, Guide(run))
    page.queue(max_size=WAITING).launch(
        server_name=host,
        server_port=port,
        prevent_thread_lock=True,
        quiet=True,
        share=False,
        show_error=True,
        max_file_size=LARGEST_FILE,
        state_session_capacity=WAITING,
        run_history=False,
        footer_links=[],
        ssr_mode=False,
        theme=gr.themes.Default(primary_hue="blue", neutral_hue="slate", font=FONT, font_mono=FONT),
        css=(HERE / "page.css").read_text(encoding="utf-8"),
        head=PASTE,
    )
    return page
