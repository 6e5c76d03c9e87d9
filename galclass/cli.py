"""``galclass ...``: each command is a few lines over the functions of the library."""

import inspect
import io
import os
import re
import signal
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, Literal, NoReturn, TypeAlias

import typer
from typer import Argument, Option

import galclass

from .errors import GalclassError, ParameterError

app = typer.Typer(
    help="Classify galaxies by their morphology. Class numbers are 1 to 10, as in figures.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
data_app = typer.Typer(help="Fetch, simulate or describe galaxies.", no_args_is_help=True)
app.add_typer(data_app, name="data")
# Flushed, so that a pipe that is closed early, as by head, ends the command quietly within typer.
echo = partial(print, flush=True)


def _version(shown: bool) -> None:
    if shown:
        echo(f"galclass {galclass.__version__}")
        raise typer.Exit


RecipeName: TypeAlias = Literal["default", "published", "few", "quick"]
Precision: TypeAlias = Literal["auto", "float32", "bfloat16", "float16"]
Protocol: TypeAlias = Literal["stratified", "published"]
IMAGES = (
    "Image files or directories of them; or Parquet with columns id and image, or HDF5 in "
    "Galaxy10's layout. Three FITS files are one galaxy: its bands g, r and i, in this order, in "
    "nanomaggies per SDSS pixel."
)
DATA = (
    "simulated, galaxy10, decals, an HDF5 file in the layout of these, a folder with a folder of "
    "images for each class, or a catalogue of image files and labels."
)
FORMATS = ".ecsv .csv .fits .parquet .xml"
# Every parameter of the commands once; what follows a colon tells those of one name apart.
PARAMETERS: dict[str, tuple[Any, Any]] = {
    "address": (str | None, Option(None, help="Of Ray. Default: RAY_ADDRESS, or started here.")),
    "beside": (Path | None, Option(None, help="A run on the same galaxies to compare with.")),
    "catalogue": (Path | None, Option(None, help="Table of image files, or of RA and Dec.")),
    "crop": (float | None, Option(None, help="Fraction of the field to keep. Default: the run's.")),
    "data": (str, Option("galaxy10", help=DATA)),
    "data:run": (str | None, Option(None, help="The run's galaxies. Default: what it records.")),
    "engine": (Literal["local", "ray"], Option("local", help="In this process, or on Ray.")),
    "epochs": (int | None, Option(None, min=1, help="Instead of the recipe's.")),
    "examples": (Literal["run", "simulated"], Option("run", help="Galaxies of the examples.")),
    "figure": (Path | None, Option(None, help="Figure to write: .png .svg .pdf.")),
    "folds": (int | None, Option(None, min=2, help="Cross-validate with so many folds instead.")),
    "image_column": (str, Option("image", help="Of a catalogue: image files.")),
    "label_column": (str, Option("label", help="Of a catalogue: labels.")),
    "host": (str | None, Option(None, help="Address to listen on. Default: this machine's own.")),
    "images": (list[Path], Argument([], help=IMAGES)),
    "n": (int, Option(4000, min=1, help="Galaxies to simulate.")),
    "name": (str | None, Option(None, help="A galaxy in SDSS, such as M51.")),
    "note": (str, Option("", help="On the galaxies, for the model card.")),
    "notebook": (Path, Option("CNN_galaxies.ipynb", help="The notebook to execute.")),
    "other": (str | None, Option(None, help="Other labelled galaxies, as --data of train.")),
    "out": (Path, Option(..., "--out", "-o", help="The folder to make.")),
    "out:data": (Path, Argument(..., help="HDF5 file to write.")),
    "out:figures": (Path | None, Option(None, "--out", "-o", help="Folder. Default: RUN/figures.")),
    "out:table": (Path | None, Option(None, "--out", "-o", help=f"Table to write: {FORMATS}.")),
    "overwrite": (bool, Option(False, "--overwrite", help="Replace what exists.")),
    "part_rows": (int, Option(1000, min=1, help="Images in a shard.")),
    "port": (int | None, Option(None, help="Default: the first free one from 7860.")),
    "position": (str | None, Option(None, help='A galaxy in SDSS: "RA DEC" in degrees, ICRS.')),
    "precision": (Precision, Option("auto", help="Of the network's layers; auto: the fastest.")),
    "purity": (float | None, Option(None, help="Mark samples of this purity, 0 to 1.")),
    "recipe": (RecipeName, Option("default", help="How the network is trained.")),
    "resume": (bool, Option(False, "--resume", help="Resume an unfinished run.")),
    "run": (Path, Argument(..., help="A run folder.")),
    "run:network": (Path | None, Option(None, help="A run. Default: the pretrained network.")),
    "seed": (int, Option(0, min=0, help="Seed of everything random.")),
    "seed:other": (int, Option(1, min=0, help="Of simulated galaxies; not the training's.")),
    "seeds": (int | None, Option(None, min=1, help="Number of seeds. Default: 5.")),
    "size": (Literal["page", "column"], Option("page", help="column: of a paper, with PDF.")),
    "source": (
        Path,
        Argument(..., help="A directory of images, a catalogue, Parquet or HDF5."),
    ),
    "split": (Protocol, Option("stratified", help="How the test set is chosen.")),
    "start": (str | None, Option(None, help="simulated, pretrained or a finished run to tune.")),
    "symmetric": (bool | None, Option(None, help="Average over the eight symmetries.")),
    "version": (bool, Option(False, "--version", callback=_version, is_eager=True)),
    "workers": (int | None, Option(None, min=1, help="Of Ray. Default: one a CPU, or a GPU.")),
}


def command(register: Callable[[Any], Any], parameters: str = "") -> Callable[[Any], Any]:
    """Register a function with typer as a command that has these of the PARAMETERS."""

    def decorate(function: Any) -> Any:
        kind, chosen = inspect.Parameter.KEYWORD_ONLY, []
        for key in parameters.split():
            annotation, option = PARAMETERS[key]
            name = key.partition(":")[0]
            chosen.append(inspect.Parameter(name, kind, annotation=annotation, default=option))
        function.__signature__ = inspect.Signature(chosen)
        return register(function)

    return decorate


@command(app.callback(), "version")
def _main(**_: Any) -> None:
    pass


@command(data_app.command("fetch"))
def data_fetch() -> None:
    """Find Galaxy10.h5 on this computer, or download it (210 MB) into the cache."""
    from .data.galaxy10 import locate_galaxy10

    echo(locate_galaxy10())


@command(data_app.command("simulate"), "out:data n seed overwrite")
def data_simulate(out: Path, n: int, seed: int, overwrite: bool) -> None:
    """Write simulated galaxies to an HDF5 file in Galaxy10's layout."""
    from .data.dataset import write_data

    _check_new(out, overwrite)
    write_data(out, galclass.load_data("simulated", n=n, seed=seed))
    echo(f"{n:,} simulated galaxies in {out}")


@command(data_app.command("info"), "data image_column label_column n seed")
def data_info(data: str, **settings: Any) -> None:
    """Describe galaxies: origin, counts by class, and copies across a split."""
    from .data.galaxy10 import CLASS_COUNTS
    from .network.symmetry import find_copies

    images, labels, origin = galclass.load_data(data, **settings)
    public = [f"{count:17,d}" for count in CLASS_COUNTS] if origin.has_galaxy10_classes else None
    copies, parts = find_copies(images), galclass.split(labels)
    across = sum(sum(bool(set(g) & set(part.tolist())) for part in parts) > 1 for g in copies)
    echo(f"{origin}\nsha256 {origin.sha256}\nclass  {'name':30s} galaxies", end="")
    echo("  public Galaxy10" if public else "")
    for c, name in enumerate(origin.class_names):
        count = f"{c + 1:5d}  {name:30s} {(labels == c).sum():8,d}"
        echo(count, public[c] if public else "", sep="")
    echo(f"split 70/15/15: {' / '.join(f'{len(part):,}' for part in parts)}")
    echo(f"groups of copies, also under a symmetry: {len(copies)}; across the split: {across}")


@command(
    app.command(),
    "out data image_column label_column recipe epochs seed n split precision start resume "
    "overwrite",
)
def train(data: str, **settings: Any) -> None:
    """Train the network, evaluate it on its test set and plot its figures."""
    dataset = _load(data, settings)
    run = galclass.train(*dataset, **settings)
    galclass.evaluate(run, *dataset)
    galclass.save_figures(run)
    _print_metrics(run.path)


@command(
    app.command(),
    "out data image_column label_column recipe seeds folds epochs n precision start engine address",
)
def study(out: Path, data: str, **settings: Any) -> None:
    """Train a recipe with several seeds or folds; a stopped study resumes."""
    from .figures.results import plot_doubtful_labels
    from .figures.style import save_figure
    from .prediction.table import write_table
    from .studies import doubtful_labels, load_study

    dataset = _load(data, settings)
    summary = galclass.study(*dataset, out=out, **settings)
    save_figure(galclass.plot_history(load_study(out)), out / "study.png")
    unknown = (None,) if dataset.origin.kind == "simulated" else (None, "simulated")
    if settings["folds"] and settings["start"] in unknown:
        table = doubtful_labels(out)
        write_table(table, out / "doubtful.ecsv", overwrite=True)
        save_figure(plot_doubtful_labels(table, *dataset[::2]), out / "doubtful.png")
    for key, mean in summary["mean"].items():
        spread = "" if summary["std"][key] is None else f" ± {summary['std'][key]:.4f}"
        echo(f"{key:20s} {mean:.4f}{spread}  ensemble {summary['ensemble'][key]:.4f}")
    echo(f"{len(summary['seeds'])} runs, {summary['galaxies']:,} test galaxies, {out}")


@command(app.command(), "run data:run image_column label_column symmetric other n seed:other")
def evaluate(
    run: Path, data: str | None, symmetric: bool | None, other: str | None, **settings: Any
) -> None:
    """Evaluate a run on its own test set again, or on other labelled galaxies."""
    if other is None:
        columns = {key: value for key, value in settings.items() if key.endswith("column")}
        own = galclass.load_run(run).load_data(data, **columns)
        metrics = galclass.evaluate(run, *own, symmetric=symmetric)
        echo(own.origin, f"test {_headline(metrics)}", sep="\n")
        return
    name = re.sub(r"[^\w.-]+", "_", Path(other).stem)
    name = f"simulated-{settings['seed']}" if other == "simulated" else name
    dataset = galclass.load_data(other, **settings)
    metrics = galclass.evaluate(run, *dataset, symmetric=symmetric, other=name)
    echo(dataset.origin, _headline(metrics), f"in {run / 'others' / name}.json", sep="\n")


@command(app.command(), "run data:run image_column label_column")
def verify(run: Path, data: str | None, **columns: str) -> None:
    """Check a run against its manifest: data, split, weights, history and metrics."""
    differences = galclass.verify(run, data, **columns)
    echo(*differences, f"{len(differences) or 'no'} differences", sep="\n")
    raise typer.Exit(bool(differences))


@command(
    app.command(),
    "images catalogue image_column position name run:network out:table figure purity crop "
    "precision overwrite",
)
def predict(out: Path | None, figure: Path | None, overwrite: bool, **settings: Any) -> None:
    """Classify images of galaxies; tables count their classes from 0."""
    from .data.labelled import read_catalogue
    from .figures.style import check_figure, save_figure
    from .prediction.catalogue import check_writable
    from .prediction.table import check_table, write_table

    images, catalogue, position, name = (
        settings.pop(key) for key in ("images", "catalogue", "position", "name")
    )
    for path in filter(None, (out, figure)):
        _check_new(path, overwrite, outside=images)
    if out:
        check_table(out, overwrite=overwrite)
    if figure:
        check_figure(figure)
    if sum(map(bool, (images, catalogue, position, name))) != 1:
        raise ParameterError("give either images, --catalogue, --position or --name")
    if catalogue:
        if figure:
            raise ParameterError("--figure shows images that are given as such, not --catalogue")
        given, settings["folder"] = read_catalogue(catalogue), catalogue.parent
        if out:
            check_writable(given, out.suffix)
    else:
        given = _given(images, position, name, listed=figure is not None)
    table = galclass.predict(given, progress=sys.stderr.isatty(), **settings)
    if out:
        write_table(table, out, overwrite=overwrite)
    if figure:
        save_figure(galclass.plot_predictions(table, given, crop=settings["crop"]), figure)
    for row in table:
        if row["error"]:
            print(f"{row['source']}: {row['error']}", file=sys.stderr)
        else:
            number, share = row["class"] + 1, 100 * row["probability"]
            mark = ", selected" if settings["purity"] and row["selected"] else ""
            echo(f"{row['source']}: {number} {row['class_name']}, {share:.1f} %{mark}")
    raise typer.Exit(int(all(table["error"])))


@command(
    app.command(),
    "source out image_column run:network engine address workers part_rows crop precision overwrite",
)
def survey(source: Path, out: Path, **settings: Any) -> None:
    """Classify a large source in shards, here or on Ray; a stopped survey resumes."""
    folder = galclass.predict_survey(source, out, progress=sys.stderr.isatty(), **settings)
    echo(f"{len(list(folder.glob('part-*'))):,} shards in {folder}")


@command(app.command(), "run data:run image_column label_column out note")
def pack(run: Path, data: str | None, out: Path, note: str, **columns: str) -> None:
    """Copy a run with small weights, corrected for the public file's mix of classes."""
    from .evaluation.pack import pack

    images, labels, _ = galclass.load_run(run).load_data(data, **columns)
    _print_metrics(pack(run, images, labels, out=out, note=note).path)


@command(app.command(), "run out:figures examples beside size")
def figures(run: Path, examples: str, **settings: Any) -> None:
    """Plot the figures of a run, from its folder alone."""
    shown = galclass.load_data("simulated", n=400) if examples == "simulated" else None
    echo(*galclass.save_figures(run, examples=shown, **settings), sep="\n")


@command(app.command(), "out data n recipe epochs seed notebook resume overwrite")
def notebook(notebook: Path, out: Path, resume: bool, overwrite: bool, **parameters: Any) -> None:
    """Execute the notebook into a run folder, with its HTML."""
    from .notebook import execute

    execute(notebook, out, parameters=parameters, resume=resume, overwrite=overwrite)
    _print_metrics(out)


@command(app.command(), "run:network host port")
def page(**settings: Any) -> None:
    """Open a page in the browser to drop images of galaxies on."""
    from .page import open_page

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # So that uploads are deleted then, too.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as uploads:
        os.environ.setdefault("GRADIO_TEMP_DIR", uploads)
        page = open_page(**settings)
        echo(f"{page.local_url}  (Ctrl-C ends it)")
        page.block_thread()


def _load(data: str, settings: dict[str, Any]) -> Any:
    """Load the galaxies of a command, whose settings for it are taken out of the others."""
    own = {key: settings.pop(key) for key in ("n", "image_column", "label_column")}
    return galclass.load_data(data, **own)


def _given(images: list[Path], position: str | None, name: str | None, *, listed: bool) -> Any:
    """What ``galclass predict`` is to classify, as ``galclass.predict`` takes it."""
    from .data.images import FITS_SUFFIXES, list_images
    from .prediction.sources import is_source

    if name is not None:
        return [galclass.sdss_cutout(name)]
    if position is not None:
        try:
            ra, dec = map(float, position.replace(",", " ").split())
        except ValueError:
            raise ParameterError(f'position {position!r}, expected "RA DEC" in degrees') from None
        return [galclass.sdss_cutout(ra, dec)]
    if len(images) == 1 and not listed:
        return images[0]
    if any(is_source(path) and not path.is_dir() for path in images):
        raise ParameterError("expected one Parquet or HDF5 file by itself, without --figure")
    if len(images) == 3 and all(path.name.lower().endswith(FITS_SUFFIXES) for path in images):
        return [tuple(images)]
    return [one for path in images for one in list_images(path)]


def _check_new(path: Path, overwrite: bool, outside: Iterable[Path] = ()) -> None:
    """Refuse an output that exists, or that would lie in a directory of images."""
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists; choose another name or give --overwrite")
    for folder in outside:
        if folder.is_dir() and folder.resolve() in path.resolve().parents:
            raise ParameterError(f"{path} would lie in {folder}, which is read; choose another")


def _print_metrics(path: Path) -> None:
    run = galclass.load_run(path)
    echo(*run.summary().pformat(max_lines=-1, max_width=-1), run.origin, sep="\n")
    echo(f"test {_headline(run.metrics)}\nrun folder: {path}")


def _headline(metrics: dict[str, Any]) -> str:
    low, high = metrics["accuracy_interval"]
    return (
        f"accuracy {100 * metrics['accuracy']:.2f} % (95 % interval {100 * low:.1f} to "
        f"{100 * high:.1f}), balanced accuracy {100 * metrics['balanced_accuracy']:.2f} %, "
        f"macro-F1 {100 * metrics['macro_f1']:.2f} %, {metrics['galaxies']:,} galaxies"
    )


# The base of typer's errors of bad use; which click they come from depends on typer's version.
UsageError: Any = typer.BadParameter.__base__


def main() -> NoReturn:
    """Run the command line; bad use and bad data end with one line and exit code 2."""
    warnings.formatwarning = lambda message, *_, **__: f"galclass: {message}\n"
    if isinstance(sys.stdout, io.TextIOWrapper):  # File names may hold what it cannot encode.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        sys.exit(app(standalone_mode=False) or 0)
    except UsageError as error:
        message = " ".join(error.format_message().split())
        if message:  # A command without arguments has shown its help.
            print(f"galclass: {message}; see galclass --help", file=sys.stderr)
    except (GalclassError, OSError) as error:
        print(f"galclass: {error}", file=sys.stderr)
    sys.exit(2)
