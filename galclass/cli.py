"""The command line: each command is a few lines over the functions of the library.

Commands import what they need when they run, so that ``galclass --help`` is fast.
"""

import io
import os
import signal
import sys
import tempfile
import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn, TypeAlias

import typer
from typer import Argument, Option

import galclass

from .errors import GalclassError, ParameterError
from .network.options import Precision

if TYPE_CHECKING:
    from .run import Run

app = typer.Typer(
    help="Classify galaxies by their morphology. Class numbers are 1 to 10, as in figures.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
data_app = typer.Typer(help="Fetch, simulate or describe galaxies.", no_args_is_help=True)

TRAIN = "Train and evaluate"
PREDICT = "Predict"
DATA = "Data"
app.add_typer(data_app, name="data", rich_help_panel=DATA)

# Flush each line: `galclass ... | head` then ends without a traceback.
echo = partial(print, flush=True)

RecipeName: TypeAlias = Literal["default", "published", "few", "quick"]
Protocol: TypeAlias = Literal["stratified", "published"]

Out = Annotated[Path, Option("--out", "-o", help="Output folder.")]
Overwrite = Annotated[bool, Option("--overwrite", help="Replace what exists.")]
RunFolder = Annotated[Path, Argument(help="A run folder.")]
Data = Annotated[
    str,
    Option(
        help="simulated, galaxy10, decals, an HDF5 file in the layout of these, a folder with one "
        "folder of images per class, or a catalogue of image files and labels."
    ),
]
RunData = Annotated[
    str | None,
    Option("--data", help="The galaxies of the run. Default: what the run records."),
]
ImageColumn = Annotated[str, Option(help="Column of a catalogue with the image files.")]
LabelColumn = Annotated[str, Option(help="Column of a catalogue with the labels.")]
Count = Annotated[int, Option("--n", min=1, help="Number of simulated galaxies.")]
Seed = Annotated[int, Option(min=0, help="Random seed.")]
Recipe = Annotated[RecipeName, Option(help="How to train the network.")]
Epochs = Annotated[int | None, Option(min=1, help="Number of epochs. Default: the recipe's.")]
NetworkPrecision = Annotated[
    Precision, Option(help="Precision of the network's layers; auto: the fastest.")
]
Start = Annotated[
    str | None, Option(help="Network to start from: simulated, pretrained or a run folder.")
]
Network = Annotated[
    Path | None, Option("--run", help="A run folder. Default: the pretrained network.")
]
Crop = Annotated[
    float | None,
    Option(help="Fraction of the image to keep. Default: the fraction used in training."),
]
Engine = Annotated[Literal["local", "ray"], Option(help="Compute in this process, or on Ray.")]
Address = Annotated[
    str | None,
    Option(help="Address of Ray. Default: RAY_ADDRESS, or Ray is started on this machine."),
]


def _print_version(wanted: bool) -> None:
    if wanted:
        echo(f"galclass {galclass.__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool,
        Option("--version", callback=_print_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    pass


@app.command(rich_help_panel=TRAIN)
def train(
    out: Out,
    data: Data = "galaxy10",
    image_column: ImageColumn = "image",
    label_column: LabelColumn = "label",
    n: Count = 4000,
    recipe: Recipe = "default",
    epochs: Epochs = None,
    seed: Seed = 0,
    split: Annotated[Protocol, Option(help="How to choose the test set.")] = "stratified",
    precision: NetworkPrecision = "auto",
    start: Start = None,
    resume: Annotated[bool, Option("--resume", help="Resume an unfinished run.")] = False,
    overwrite: Overwrite = False,
) -> None:
    """Train the network, evaluate it and plot its figures.

    Example: galclass train --data simulated --recipe quick --out runs/first
    """
    dataset = galclass.load_data(data, n=n, image_column=image_column, label_column=label_column)
    run = galclass.train(
        *dataset,
        out=out,
        recipe=recipe,
        epochs=epochs,
        seed=seed,
        split=split,
        precision=precision,
        start=start,
        resume=resume,
        overwrite=overwrite,
    )
    galclass.evaluate(run, *dataset)
    galclass.save_figures(run)
    _print_metrics(run)


@app.command(rich_help_panel=TRAIN)
def evaluate(
    run: RunFolder,
    data: RunData = None,
    image_column: ImageColumn = "image",
    label_column: LabelColumn = "label",
    class_mix: Annotated[
        Literal["galaxy10", "none"] | None,
        Option(
            help="galaxy10: correct the probabilities for the class fractions of the public "
            "Galaxy10; none: do not correct them. Default: as in the previous evaluation."
        ),
    ] = None,
) -> None:
    """Evaluate a run on its test set again.

    Example: galclass evaluate runs/first
    """
    from .load import load_run_data

    opened = galclass.load_run(run)
    dataset = load_run_data(opened, data, image_column=image_column, label_column=label_column)
    galclass.evaluate(opened, *dataset, class_mix=class_mix)
    _print_metrics(opened)


@app.command(rich_help_panel=TRAIN)
def figures(
    run: RunFolder,
    out: Annotated[
        Path | None, Option("--out", "-o", help="Output folder. Default: RUN/figures.")
    ] = None,
    examples: Annotated[
        Literal["run", "simulated"],
        Option(help="Show examples from the run's galaxies or simulated ones."),
    ] = "run",
    beside: Annotated[
        Path | None, Option(help="A run on the same galaxies to compare with.")
    ] = None,
    size: Annotated[
        Literal["page", "column"],
        Option(help="page: 8 inches, PNG and SVG; column of a paper: 3.5 inches, PNG and PDF."),
    ] = "page",
) -> None:
    """Plot the figures of a run. The data are not needed.

    Example: galclass figures runs/first --size column --out paper
    """
    dataset = None
    if examples == "simulated":
        dataset = galclass.load_data("simulated", n=400)
    with galclass.style(size):
        paths = galclass.save_figures(run, out=out, examples=dataset, beside=beside)
    echo(*paths, sep="\n")


@app.command(rich_help_panel=TRAIN)
def study(
    out: Out,
    data: Data = "galaxy10",
    image_column: ImageColumn = "image",
    label_column: LabelColumn = "label",
    n: Count = 4000,
    recipe: Recipe = "default",
    seeds: Annotated[
        int | None, Option(min=1, help="Number of seeds. Default: 5, without --folds.")
    ] = None,
    folds: Annotated[
        int | None, Option(min=2, help="Cross-validate with this number of folds instead.")
    ] = None,
    epochs: Epochs = None,
    precision: NetworkPrecision = "auto",
    start: Start = None,
    engine: Engine = "local",
    address: Address = None,
) -> None:
    """Train a recipe with several seeds or folds. A stopped study resumes.

    Example: galclass study --seeds 5 --out runs/study
    """
    from .evaluation.metrics import HEADLINE, format_metric
    from .figures.style import save_figure
    from .studies import load_study

    dataset = galclass.load_data(data, n=n, image_column=image_column, label_column=label_column)
    summary = galclass.study(
        *dataset,
        out=out,
        recipe=recipe,
        seeds=seeds,
        folds=folds,
        epochs=epochs,
        precision=precision,
        start=start,
        engine=engine,
        address=address,
    )
    save_figure(galclass.plot_history(load_study(out)), out / "study.png")
    echo(f"{'':33s}     mean  standard deviation  ensemble")
    for key in summary["mean"]:
        mean = format_metric(key, summary["mean"][key])
        deviation = format_metric(key, summary["std"][key])
        ensemble = format_metric(key, summary["ensemble"][key])
        echo(f"{HEADLINE[key]:33s} {mean:>8s} {deviation:>19s} {ensemble:>9s}")
    echo(f"runs: {len(summary['seeds'])}, test galaxies: {summary['galaxies']:,}, folder: {out}")


@app.command(rich_help_panel=TRAIN)
def verify(
    run: RunFolder,
    data: RunData = None,
    image_column: ImageColumn = "image",
    label_column: LabelColumn = "label",
) -> None:
    """Compare a run with its manifest: data, split, weights, history and metrics.

    Example: galclass verify runs/first
    """
    differences = galclass.verify(run, data, image_column=image_column, label_column=label_column)
    for difference in differences:
        echo(difference)
    echo(f"differences: {len(differences)}")
    # As for diff, exit code 1 means that there are differences.
    raise typer.Exit(int(bool(differences)))


Images = Annotated[
    list[Path] | None,
    Argument(
        help="Image files or folders of them; or one catalogue with a column of image files, or "
        "with RA and Dec; or one HDF5 file in Galaxy10's layout, or Parquet file with columns id "
        "and image. Three FITS files are one galaxy: its bands g, r and i, in this order, in "
        "nanomaggies per SDSS pixel.",
        show_default=False,
    ),
]
TableFile = Annotated[
    Path | None,
    Option("--out", "-o", help="Table to write: .ecsv, .csv, .fits, .parquet or .xml."),
]


@app.command(rich_help_panel=PREDICT)
def predict(
    images: Images = None,
    image_column: ImageColumn = "image",
    position: Annotated[
        str | None, Option(help='Position of a galaxy in SDSS: "RA DEC" in degrees, ICRS.')
    ] = None,
    name: Annotated[str | None, Option(help="Name of a galaxy in SDSS, such as M51.")] = None,
    run: Network = None,
    out: TableFile = None,
    figure: Annotated[Path | None, Option(help="Figure to write: .png, .svg or .pdf.")] = None,
    purity: Annotated[
        float | None, Option(help="Mark the galaxies of samples of this purity, 0 to 1.")
    ] = None,
    crop: Crop = None,
    precision: NetworkPrecision = "auto",
    overwrite: Overwrite = False,
) -> None:
    """Classify images of galaxies. Tables count classes from 0.

    Example: galclass predict images/ -o classes.ecsv
    """
    from .figures.style import check_figure, save_figure
    from .prediction.table import write_table

    paths = images or []
    if out is not None:
        _check_table(out, paths, image_column, overwrite)
    if figure is not None:
        check_figure(figure)
        _refuse_existing(figure, overwrite)
        _refuse_within(figure, paths)
    # A figure needs the images one by one.
    given = _choose_images(paths, position, name, as_list=figure is not None)
    table = galclass.predict(
        given,
        run=run,
        purity=purity,
        image_column=image_column,
        precision=precision,
        crop=crop,
        progress=sys.stderr.isatty(),
    )
    if out is not None:
        write_table(table, out, overwrite=overwrite)
    if figure is not None:
        save_figure(galclass.plot_predictions(table, given), figure)
    for row in table:
        _print_prediction(row, table.meta["class_names"])
    # Exit code 1 means that no image could be classified.
    raise typer.Exit(int(all(table["error"])))


@app.command(rich_help_panel=PREDICT)
def survey(
    source: Annotated[
        Path,
        Argument(help="A folder of images, a catalogue of image files, Parquet or HDF5."),
    ],
    out: Out,
    image_column: ImageColumn = "image",
    run: Network = None,
    engine: Engine = "local",
    address: Address = None,
    workers: Annotated[
        int | None,
        Option(min=1, help="Number of Ray workers. Default: one per CPU or GPU."),
    ] = None,
    part_rows: Annotated[int, Option(min=1, help="Number of images per part.")] = 1000,
    crop: Crop = None,
    precision: NetworkPrecision = "auto",
    overwrite: Overwrite = False,
) -> None:
    """Classify a large source in parts, here or on Ray. A stopped survey resumes.

    Example: galclass survey cutouts.parquet -o classes --engine ray
    """
    folder = galclass.predict_survey(
        source,
        out,
        image_column=image_column,
        run=run,
        engine=engine,
        address=address,
        workers=workers,
        part_rows=part_rows,
        crop=crop,
        precision=precision,
        overwrite=overwrite,
        progress=sys.stderr.isatty(),
    )
    parts = list(folder.glob("part-*"))
    echo(f"parts in {folder}: {len(parts):,}")


@app.command(rich_help_panel=PREDICT)
def page(
    run: Network = None,
    host: Annotated[
        str | None, Option(help="Address to listen on. Default: only this machine can connect.")
    ] = None,
    port: Annotated[
        int | None, Option(help="Port to listen on. Default: the first free one from 7860.")
    ] = None,
) -> None:
    """Open a page in the browser that classifies images.

    Example: galclass page --run runs/first
    """
    from .page import open_page

    # An orderly exit deletes the uploaded files.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as uploads:
        os.environ.setdefault("GRADIO_TEMP_DIR", uploads)
        opened = open_page(run, host=host, port=port)
        echo(f"{opened.local_url}  (Ctrl-C ends it)")
        opened.block_thread()


@data_app.command("fetch")
def fetch_data() -> None:
    """Find Galaxy10.h5 on this machine, or download it (210 MB).

    Example: galclass data fetch
    """
    from .data.galaxy10 import locate_galaxy10

    echo(locate_galaxy10())


@data_app.command("simulate")
def simulate_data(
    out: Annotated[Path, Argument(help="HDF5 file to write.")],
    n: Count = 4000,
    seed: Seed = 0,
    overwrite: Overwrite = False,
) -> None:
    """Write simulated galaxies to an HDF5 file in Galaxy10's layout.

    Example: galclass data simulate galaxies.h5 --n 1000
    """
    from .load import write_data

    _refuse_existing(out, overwrite)
    write_data(out, galclass.load_data("simulated", n=n, seed=seed))
    echo(f"{n:,} simulated galaxies in {out}")


@data_app.command("info")
def describe_data(
    data: Data = "galaxy10",
    image_column: ImageColumn = "image",
    label_column: LabelColumn = "label",
    n: Count = 4000,
    seed: Seed = 0,
) -> None:
    """Describe galaxies: origin, counts by class, and copies in several sets.

    Example: galclass data info --data Galaxy10.h5
    """
    from .data.galaxy10 import CLASS_COUNTS, CLASS_NAMES
    from .network.symmetry import find_copies

    images, labels, origin = galclass.load_data(
        data, n=n, seed=seed, image_column=image_column, label_column=label_column
    )
    has_public_classes = origin.class_names == CLASS_NAMES
    echo(origin)
    echo(f"sha256 {origin.sha256}")
    header = f"{'class':34s} galaxies"
    if has_public_classes:
        header += "  public Galaxy10"
    echo(header)
    for c in range(len(origin.class_names)):
        line = f"{_class_label(c, origin.class_names):34s} {(labels == c).sum():8,d}"
        if has_public_classes:
            line += f"{CLASS_COUNTS[c]:17,d}"
        echo(line)
    parts = galclass.split(labels)
    echo(f"split 70/15/15: {' / '.join(f'{len(part):,}' for part in parts)}")
    groups = find_copies(images)
    spread = 0
    for group in groups:
        parts_with_copies = [part for part in parts if set(group) & set(part.tolist())]
        if len(parts_with_copies) > 1:
            spread += 1
    echo(f"groups of identical images (also mirrored or rotated): {len(groups)}")
    echo(f"of these, spread over two or three sets: {spread}")


def _choose_images(
    paths: list[Path], position: str | None, name: str | None, *, as_list: bool
) -> Any:
    """Return the images for ``galclass predict``, as a list if `as_list` is True."""
    if sum(bool(given) for given in (paths, position, name)) != 1:
        raise ParameterError("expected either images, --position or --name")
    if position is not None:
        return [galclass.sdss_cutout(*_parse_position(position))]
    if name is not None:
        return [galclass.sdss_cutout(name)]
    if len(paths) == 1 and not as_list:
        return paths[0]
    return _list_images(paths)


def _parse_position(position: str) -> tuple[float, float]:
    """Return right ascension and declination in degrees."""
    try:
        ra, dec = position.replace(",", " ").split()
        return float(ra), float(dec)
    except ValueError:
        raise ParameterError(f'position {position!r}, expected "RA DEC" in degrees') from None


def _list_images(paths: list[Path]) -> list[Any]:
    """Return the images in files and folders; three FITS files are the bands of one galaxy."""
    from .images.catalogue import is_catalogue
    from .images.fits import is_fits
    from .images.prepare import list_images
    from .prediction.source import HDF5_SUFFIXES

    if len(paths) == 3 and all(is_fits(path) for path in paths):
        return [tuple(paths)]
    for path in paths:
        if is_catalogue(path) or path.suffix.lower() in HDF5_SUFFIXES:
            raise ParameterError(
                f"{path.name} with other images or --figure, expected image files only; give a "
                "catalogue, Parquet or HDF5 file by itself"
            )
    return [image for path in paths for image in list_images(path)]


def _check_table(path: Path, images: list[Path], image_column: str, overwrite: bool) -> None:
    """Refuse an output table that cannot be written, or that cannot hold a catalogue."""
    from .prediction.source import open_source
    from .prediction.table import check_columns, check_table

    check_table(path, overwrite=overwrite)
    _refuse_within(path, images)
    if len(images) == 1:
        catalogue = open_source(images[0], image_column=image_column).catalogue
        if catalogue is not None:
            check_columns(catalogue, path.suffix.lower())


def _refuse_existing(path: Path, overwrite: bool) -> None:
    """Refuse to replace a file, in the words of ``check_table``."""
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists; choose another name, or overwrite it (--overwrite)")


def _refuse_within(path: Path, images: list[Path]) -> None:
    """Refuse an output file that would be in a folder of images."""
    for folder in images:
        if folder.is_dir() and folder.resolve() in path.resolve().parents:
            raise ParameterError(
                f"{path} would be in {folder}, which is read; choose another folder"
            )


def _print_prediction(row: Any, class_names: Sequence[str]) -> None:
    """Print the class of an image, or the error to standard error."""
    if row["error"]:
        print(f"{row['source']}: {row['error']}", file=sys.stderr)
        return
    label = _class_label(row["class"], class_names)
    line = f"{row['source']}: {label}, {100 * row['probability']:.1f} %"
    if "selected" in row.colnames and row["selected"]:
        line += ", selected"
    echo(line)


def _class_label(c: int, class_names: Sequence[str]) -> str:
    """Return the number and the name of a class, as in figures."""
    from .labels import class_label

    return class_label(c, class_names).replace("\n", " ")


def _print_metrics(run: "Run") -> None:
    """Print the metrics of a run by class and overall, its origin, and its folder."""
    from .evaluation.metrics import HEADLINE, format_metric, headline

    metrics = run.metrics
    echo(*galclass.summary(run).pformat(max_lines=-1, max_width=-1), sep="\n")
    for key, value in headline(metrics).items():
        line = f"{HEADLINE[key]:33s} {format_metric(key, value):>8s}"
        interval = metrics.get(f"{key}_interval")
        if interval is not None:
            low = format_metric(key, interval[0])
            high = format_metric(key, interval[1])
            line += f"  (95 % interval: {low} to {high})"
        echo(line)
    echo(run.origin)
    echo(f"run folder: {run.path}")


# click's UsageError; newer typers bundle click, so it cannot be imported by name.
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
