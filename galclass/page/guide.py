"""The answers of a network, in HTML."""

import base64
import io
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from astropy.table import Row, Table
from numpy.typing import NDArray
from PIL import Image

from ..data.dataset import Dataset
from ..data.galaxy10 import CLASS_NAMES, IMAGE_SHAPE
from ..errors import GalclassError
from ..evaluation.attribution import evidence
from ..files import PathLike
from ..images.prepare import Framing, crop_box, prepare_all, prepare_named, read_image
from ..labels import class_label
from ..load import load_data
from ..prediction.embed import headless
from ..prediction.network import load_network
from ..prediction.predict import UNUSUAL, classify
from ..run import Run, as_run, load_pretrained
from .questions import CLASS_QUESTIONS
from .uploads import NamedImage

LONGEST_SIDE = 424  # pixels; larger images are shown smaller
CROP_STEP = 0.004
BARS = 10
SIMILAR = 5
EXAMPLES = 400  # simulated galaxies to compare with, if a run keeps no images
TEMPLATE = Path(__file__).with_name("page.html")


class Bar(NamedTuple):
    """A class in the chart of probabilities."""

    label: str
    percent: float
    question: str


class Guide:
    """A network that explains its answers in HTML.

    Parameters
    ----------
    run : Run or path-like, optional
        Default: the pretrained network.
    """

    def __init__(self, run: Run | PathLike | None = None) -> None:
        import jinja2

        from ..network.probabilities import predict_proba

        if run is None:
            run = load_pretrained()
        self.run = as_run(run)
        self.network = load_network(self.run)
        self.images, self.labels, self.origin = _load_examples(self.run)
        self.embed = partial(predict_proba, headless(self.network.model))
        self.features = self.embed(self.images)
        environment = jinja2.Environment(autoescape=True)
        self.template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))

    def show_head(self) -> str:
        """Return the HTML of the title and the introduction."""
        return self.template.render(head=True, run=self.run)

    def show_origin(self) -> str:
        """Return the HTML of the line below the examples."""
        return self.template.render(examples=self.origin)

    def show_error(self, error: str) -> str:
        """Return the HTML of an error."""
        return self.template.render(error=error)

    def list_examples(self) -> list[tuple[NDArray[np.uint8], str]]:
        """Return a galaxy of each class, and the label of the class."""
        classes, first = np.unique(self.labels, return_index=True)
        return [(self.images[i], self._label(c)) for c, i in zip(classes, first, strict=True)]

    @property
    def usual_crop(self) -> float:
        """float : the fraction of an image that the network expects, with three decimals."""
        if self.network.framing.crop is None:
            return 1.0
        return round(self.network.framing.crop, 3)

    def choose_framing(self, crop: float) -> Framing:
        """Return the framing for the fraction of the image that a visitor chose."""
        if abs(crop - self.usual_crop) < CROP_STEP / 2:
            return self.network.framing
        return Framing(self.network.framing.side, crop, force=True)

    def answer(self, named: Sequence[NamedImage], framing: Framing) -> Table:
        """Classify images that have names; return the table of :func:`galclass.predict`."""
        return classify(self.network, prepare_named(named, framing), batch_size=64)

    def show_answer(self, row: Row, image: Any, framing: Framing) -> str:
        """Return the HTML of one answer: the class, all probabilities, and the evidence for it.

        Parameters
        ----------
        row : astropy.table.Row
            A row of the table that :meth:`answer` returned.
        image : image
            The image of this row, in any form that :func:`galclass.prepare` takes, or a function
            that fetches it.
        framing : Framing
        """
        if row["error"]:
            return self.show_error(row["error"])
        try:
            if callable(image):
                image = image()
            original = read_image(image)
        except (GalclassError, OSError):  # Its file was deleted meanwhile.
            return self.show_error(f"{row['source']} cannot be read any more; give it again.")
        prepared = prepare_all([original], framing)[0]
        metrics = None
        if self.run.is_evaluated:
            metrics = self.run.metrics
        return self.template.render(
            most_probable=self._list_most_probable(row),
            c=int(row["class"]),
            run=self.run,
            metrics=metrics,
            more_usual=_more_usual_percent(row),
            limit=100 * UNUSUAL,
            original=_encode(original),
            box=_box_in_percent(original.size, framing),
            seen=_encode(Image.fromarray(prepared)),
            side=framing.side,
            evidence=_encode(self._overlay_evidence(prepared, int(row["class"]))),
            similar=self._find_similar(prepared),
            origin=self.origin,
        )

    def _list_most_probable(self, row: Row) -> list[Bar]:
        """Return the most probable classes, the most probable first."""
        names = self.run.class_names
        percent = np.array([100 * row[f"p{c}"] for c in range(len(names))])
        questions: Sequence[str] = [""] * len(names)
        if names == CLASS_NAMES:
            questions = CLASS_QUESTIONS
        most_probable = np.argsort(-percent, kind="stable")[:BARS]
        return [Bar(self._label(c), percent[c], questions[c]) for c in most_probable]

    def _overlay_evidence(self, prepared: NDArray[np.uint8], c: int) -> Image.Image:
        """Return the image in grey, with the evidence for a class in colour."""
        from matplotlib import colormaps

        strength = evidence(self.network.model, prepared[None], [c])[0]
        colours = colormaps["inferno"](strength, alpha=0.8 * strength)
        grey = Image.fromarray(prepared).convert("L").convert("RGBA")
        return Image.alpha_composite(grey, Image.fromarray(np.uint8(255 * colours)))

    def _find_similar(self, prepared: NDArray[np.uint8]) -> list[tuple[str, str]]:
        """Return the galaxies with the most similar features: image and label."""
        distances = np.linalg.norm(self.features - self.embed(prepared[None]), axis=1)
        nearest = np.argsort(distances, kind="stable")[:SIMILAR]
        return [
            (_encode(Image.fromarray(self.images[i])), self._label(self.labels[i])) for i in nearest
        ]

    def _label(self, c: int) -> str:
        return class_label(c, self.run.class_names).replace("\n", " ")


def _load_examples(run: Run) -> Dataset:
    """Return the images that a run keeps, or simulated galaxies if it keeps none.

    Raises
    ------
    RunError
        The run keeps none, and its classes or images are not Galaxy10's.
    """
    has_images = (run.path / "examples.npz").exists()
    is_like_galaxy10 = run.class_names == CLASS_NAMES and run.image_shape == IMAGE_SHAPE
    if is_like_galaxy10 and not has_images:
        return load_data("simulated", n=EXAMPLES)
    examples = run.examples  # This raises the RunError if there are none.
    return Dataset(examples["images"], examples["labels"], run.origin)


def _more_usual_percent(row: Row) -> float:
    """Return the percentage of validation images that are more usual than this image."""
    if "unusual" not in row.colnames:
        return 0.0
    return 100 * float(row["unusual"])


def _box_in_percent(size: tuple[int, int], framing: Framing) -> dict[str, float] | None:
    """Return the distances of the crop from the four edges, or None if nothing is cropped."""
    width, height = size
    left, top, right, bottom = crop_box(size, framing)
    if (left, top, right, bottom) == (0, 0, width, height):
        return None
    return {
        "left": 100 * left / width,
        "top": 100 * top / height,
        "right": 100 * (width - right) / width,
        "bottom": 100 * (height - bottom) / height,
    }


def _encode(image: Image.Image) -> str:
    """Return a ``data:`` address that holds an image."""
    image = image.copy()
    image.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    file = io.BytesIO()
    image.save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
