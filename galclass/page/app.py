"""Open the page."""

from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import MissingPackageError
from ..files import PathLike
from ..run import Run
from .guide import Guide

if TYPE_CHECKING:
    import gradio

LARGEST_FILE = "50mb"
MAX_WAITING = 50  # requests that wait for an answer
MAX_VISITORS = 50  # whose images and answers are remembered
CSS = Path(__file__).with_name("page.css")
FONT = ("system-ui", "sans-serif")  # Gradio's own fonts would come from another server.
# An image that is pasted anywhere on the page is treated like one that is dropped.
PASTE = """<script>addEventListener("paste", event => {
  const input = document.querySelector("#images input[type=file]");
  if (!input || !event.clipboardData.files.length) return;
  input.files = event.clipboardData.files;
  input.dispatchEvent(new Event("change", {bubbles: true}));
});</script>"""


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
        Address to listen on. Default: ``127.0.0.1``, to which only this machine can connect,
        unless the environment variable ``GRADIO_SERVER_NAME`` is set.
    port : int, optional
        Default: the first free port from 7860.

    Returns
    -------
    gradio.Blocks
        The page, which threads of this process serve: ``local_url`` is its address,
        ``block_thread()`` waits until it is interrupted, ``close()`` ends it.

    Raises
    ------
    MissingPackageError
        Gradio is not installed.
    RunError
        The run cannot be read, or it keeps no examples to show (it is not evaluated) and
        simulated galaxies cannot replace them, because its classes or images are not Galaxy10's.
    OSError
        The port is in use.
    """
    try:
        import gradio
    except ImportError as error:
        raise MissingPackageError(
            f"{error.name} is not installed; install it with: pip install 'galclass[page]'"
        ) from error
    from .blocks import build_page

    page = build_page(Guide(run))
    page.queue(max_size=MAX_WAITING).launch(
        server_name=host,
        server_port=port,
        prevent_thread_lock=True,
        quiet=True,
        share=False,
        show_error=True,
        max_file_size=LARGEST_FILE,
        state_session_capacity=MAX_VISITORS,
        run_history=False,
        footer_links=[],
        ssr_mode=False,
        theme=gradio.themes.Default(
            primary_hue="blue", neutral_hue="slate", font=FONT, font_mono=FONT
        ),
        css=CSS.read_text(encoding="utf-8"),
        head=PASTE,
    )
    return page
