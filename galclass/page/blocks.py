"""The blocks of the page and what they do. This module needs Gradio."""

from typing import Any, NamedTuple

import gradio as gr

from ..images.prepare import Framing
from .guide import CROP_STEP, Guide
from .table import HEADERS, WIDTHS, link_files, list_rows
from .uploads import MAX_NAME_LENGTH, NamedImage, look_up, refuse_addresses, take_files

KEEP_FILES = 3600  # seconds
CHECK_FILES = 60  # seconds between two searches for uploaded files to delete
SMALLEST_CROP = 0.1


class Inputs(NamedTuple):
    """The blocks on the left: what a visitor gives."""

    files: gr.File
    place: gr.Textbox
    gallery: gr.Gallery
    crop: gr.Slider


class Outputs(NamedTuple):
    """The blocks on the right: the answers."""

    rows: gr.Dataframe
    links: gr.HTML
    shown: gr.HTML


def build_page(guide: Guide) -> gr.Blocks:
    """Return the page, which is not served yet."""
    with gr.Blocks(
        title="galclass", analytics_enabled=False, delete_cache=(CHECK_FILES, KEEP_FILES)
    ) as page:
        gr.HTML(guide.show_head())
        with gr.Row():
            with gr.Column(scale=2, min_width=330):
                inputs = _add_inputs(guide)
            with gr.Column(scale=3, min_width=330):
                outputs = _add_outputs()
        _connect(guide, inputs, outputs)
    return page


def _add_inputs(guide: Guide) -> Inputs:
    files = gr.File(label="Images", file_count="multiple", elem_id="images", height=150)
    refuse_addresses(files)
    place = gr.Textbox(
        label="Or a galaxy in SDSS",
        placeholder="202.47 47.195, or M51",
        max_length=MAX_NAME_LENGTH,
    )
    gallery = gr.Gallery(
        [image for image, _ in guide.list_examples()],
        allow_preview=False,
        columns=5,
        show_label=False,
        buttons=[],
        elem_id="examples",
    )
    gr.HTML(guide.show_origin())
    crop = gr.Slider(
        min(SMALLEST_CROP, guide.usual_crop),
        1,
        guide.usual_crop,
        step=CROP_STEP,
        label="Fraction of the image to use",
    )
    return Inputs(files, place, gallery, crop)


def _add_outputs() -> Outputs:
    rows = gr.Dataframe(
        headers=HEADERS,
        interactive=False,
        visible=False,
        max_height=260,
        wrap=True,
        column_widths=WIDTHS,
        buttons=[],
    )
    return Outputs(rows, gr.HTML(), gr.HTML())


def _connect(guide: Guide, inputs: Inputs, outputs: Outputs) -> None:
    """Connect inputs and outputs: first collect the images with their names, then classify them.

    Gradio offers these functions, by their names, to programs as well.
    """
    examples = guide.list_examples()
    named = gr.State([])
    answered = gr.State([])

    def take(files: list[str]) -> tuple[list[NamedImage], None]:
        return take_files(files), None  # None empties the input, so that it takes more files.

    def choose(event: gr.SelectData) -> list[NamedImage]:
        image, name = examples[event.index]
        return [(f"example of {name}", image)]

    def answer(images: list[NamedImage], crop: float) -> tuple[Any, ...]:
        if not images:
            return [], gr.skip(), "", guide.show_error("Give an image first.")
        framing = guide.choose_framing(crop)
        table = guide.answer(images, framing)
        answers = [(row, image, framing) for row, (_, image) in zip(table, images, strict=True)]
        without_error = [answer for answer in answers if not answer[0]["error"]]
        shown = (without_error or answers)[0]
        rows = gr.Dataframe(list_rows(table), visible=len(table) > 1)
        return answers, rows, link_files(table), guide.show_answer(*shown)

    def pick(event: gr.SelectData, answers: list[tuple[Any, Any, Framing]]) -> str:
        row, image, framing = answers[int(event.row_value[0]) - 1]
        return guide.show_answer(row, image, framing)

    def fail() -> tuple[None, str]:
        return None, guide.show_error("These files could not be uploaded; rename them.")

    then: dict[str, Any] = {
        "fn": answer,
        "inputs": [named, inputs.crop],
        "outputs": [answered, outputs.rows, outputs.links, outputs.shown],
    }
    upload = inputs.files.upload(take, inputs.files, [named, inputs.files])
    upload.success(**then)
    upload.failure(fail, None, [inputs.files, outputs.shown])
    inputs.place.submit(look_up, inputs.place, named).success(**then)
    inputs.gallery.select(choose, None, named).success(**then)
    inputs.crop.release(**then)
    outputs.rows.select(pick, answered, outputs.shown)
