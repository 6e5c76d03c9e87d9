"""``galclass ...``: each command is a few lines over the functions of the library."""

import sys
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from . import __version__

app = typer.Typer(
    help="Tell the morphology of galaxies with the published Galaxy10 network.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
data_app = typer.Typer(help="Fetch, simulate or describe galaxies.", no_args_is_help=True)
app.add_typer(data_app, name="data")

Data = Annotated[
    str, typer.Option("--data", help="simulated, galaxy10, or an HDF5 file in its layout.")
]
Galaxies = Annotated[int, typer.Option("--n", min=1, help="Galaxies to simulate.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of everything random.")]
RunFolder = Annotated[Path, typer.Argument(help="A run folder.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the run that is there.")]
Address = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(help="Of the Ray cluster. Default: RAY_ADDRESS, or Ray on this machine."),
]


class Precision(str, Enum):
    """Arithmetic of the network's layers."""

    auto = "auto"
    float32 = "float32"
    bfloat16 = "bfloat16"
    float16 = "float16"


class RecipeName(str, Enum):
    """How the network is trained."""

    default = "default"
    published = "published"


class Engine(str, Enum):
    """Where the work is done."""

    local = "local"
    ray = "ray"


class SplitProtocol(str, Enum):
    """How galaxies are split into training, validation and test parts."""

    stratified = "stratified"
    published = "published"


def _version(shown: bool):
    if shown:
        typer.echo(f"galclass {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
):
    pass


@data_app.command("fetch")
def data_fetch():
    """Find Galaxy10.h5 on this machine, or download it (210 MB) into the cache."""
    from .galaxy10 import locate_galaxy10

    typer.echo(locate_galaxy10())


@data_app.command("simulate")
def data_simulate(
    out: Annotated[Path, typer.Argument(help="HDF5 file to write.")],
    n: Galaxies = 4000,
    seed: Seed = 0,
    overwrite: Overwrite = False,
):
    """Write simulated galaxies to an HDF5 file in Galaxy10's layout."""
    from .galaxy10 import write_galaxy10
    from .sources import load_data

    if out.exists() and not overwrite:
        raise FileExistsError(f"{out} exists; choose another name or give --overwrite")
    images, labels, source = load_data("simulated", n=n, seed=seed)
    write_galaxy10(out, images, labels, source=source)
    typer.echo(f"{len(labels):,} simulated galaxies in {out}")


@data_app.command("info")
def data_info(data: Data = "galaxy10", n: Galaxies = 4000, seed: Seed = 0):
    """Describe galaxies: origin, counts by class, and copies of a galaxy across a split."""
    from rich.console import Console
    from rich.table import Table

    from .galaxy10 import CLASS_COUNTS, CLASS_NAMES, find_copies, split
    from .plotting import describe_source
    from .sources import load_data

    images, labels, source = load_data(data, n=n, seed=seed)
    table = Table("class", "name", "galaxies", "public Galaxy10", title=describe_source(source))
    for c, name in enumerate(CLASS_NAMES):
        table.add_row(str(c + 1), name, f"{(labels == c).sum():,}", f"{CLASS_COUNTS[c]:,}")
    Console().print(table)
    typer.echo(f"sha256 {source['sha256']}")
    groups = find_copies(images)
    typer.echo(f"galaxies that are a copy of another, also flipped or turned: {len(groups)} groups")
    parts = split(labels)
    typer.echo(f"split 70/15/15: {' / '.join(f'{len(part):,}' for part in parts)}")
    across = sum(sum(bool(set(g) & set(part.tolist())) for part in parts) > 1 for g in groups)
    typer.echo(f"groups with members in more than one part: {across}")


@app.command()
def train(
    out: Annotated[Path, typer.Option(help="The run folder to make.")],
    data: Data = "galaxy10",
    recipe: RecipeName = RecipeName.default,
    epochs: Annotated[Optional[int], typer.Option(min=1, help="Instead of the recipe's.")] = None,  # noqa: UP045
    seed: Seed = 0,
    n: Galaxies = 4000,
    split: SplitProtocol = SplitProtocol.stratified,
    precision: Precision = Precision.auto,
    start: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="A finished run to start from, instead of random weights."),
    ] = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
):
    """Train the network, evaluate it on its test galaxies and draw its figures."""
    from .evaluation import evaluate
    from .plotting import save_figures
    from .sources import load_data
    from .training import train

    images, labels, source = load_data(data, n=n)
    run = train(
        images,
        labels,
        out=out,
        recipe=recipe.value,
        epochs=epochs,
        seed=seed,
        split_protocol=split.value,
        precision=precision.value,
        source=source,
        start=start,
        resume=resume,
        overwrite=overwrite,
    )
    evaluate(run, images, labels)
    save_figures(run, run.path / "figures")
    _print_metrics(run)


@app.command()
def study(
    out: Annotated[Path, typer.Option(help="Folder for the runs of the study.")],
    data: Data = "galaxy10",
    recipe: RecipeName = RecipeName.default,
    seeds: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(min=1, help="Number of seeds. Default: 5, unless --folds is given."),
    ] = None,
    folds: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(min=2, help="Cross-validate by so many folds instead."),
    ] = None,
    epochs: Annotated[Optional[int], typer.Option(min=1, help="Instead of the recipe's.")] = None,  # noqa: UP045
    n: Galaxies = 4000,
    precision: Precision = Precision.auto,
    engine: Annotated[Engine, typer.Option(help="Train here, or on Ray.")] = Engine.local,
    address: Address = None,
):
    """Train a recipe with several seeds or folds; a stopped study goes on where it was."""
    from .plotting import plot_study, save_figure
    from .sources import load_data
    from .studies import load_study, study

    images, labels, source = load_data(data, n=n)
    summary = study(
        images,
        labels,
        out=out,
        seeds=seeds,
        folds=folds,
        engine=engine.value,
        address=address,
        recipe=recipe.value,
        epochs=epochs,
        precision=precision.value,
        source=source,
    )
    save_figure(plot_study(load_study(out)), out / "study.png")
    for key, mean in summary["mean"].items():
        spread = "" if summary["std"][key] is None else f" ± {summary['std'][key]:.4f}"
        typer.echo(f"{key:20s} {mean:.4f}{spread}  ensemble {summary['ensemble'][key]:.4f}")
    kind = "seeds" if folds is None else "folds"
    typer.echo(f"{len(summary['seeds'])} {kind}, {summary['galaxies']:,} test galaxies, {out}")


@app.command()
def evaluate(
    run: RunFolder,
    data: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--data", help="The run's galaxies. Default: as its manifest says."),
    ] = None,
    symmetric: Annotated[
        Optional[bool],  # noqa: UP045
        typer.Option(help="Average over the eight flips and turns. Default: the recipe's."),
    ] = None,
):
    """Measure a run on its own test galaxies again."""
    from .evaluation import evaluate
    from .runs import load_run
    from .sources import load_run_data

    run = load_run(run)
    images, labels, _ = load_run_data(run, data)
    evaluate(run, images, labels, symmetric=symmetric)
    _print_metrics(run)


@app.command()
def verify(
    run: RunFolder,
    data: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--data", help="The run's galaxies. Default: as its manifest says."),
    ] = None,
):
    """Check a run against its manifest: data, split, weights, history and metrics."""
    from .runs import load_run
    from .verify import verify

    differences = verify(load_run(run), data)
    for difference in differences:
        typer.echo(difference)
    typer.echo(f"{len(differences)} differences" if differences else "the run is what it says")
    raise typer.Exit(1 if differences else 0)


@app.command()
def predict(
    pictures: Annotated[
        Optional[list[Path]],  # noqa: UP045
        typer.Argument(
            help="Pictures (JPEG, PNG, TIFF) or a directory of them; or one source: Parquet with "
            "columns id and image, or HDF5 in Galaxy10's layout."
        ),
    ] = None,
    position: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help='A galaxy in SDSS by its position: "RA DEC" in degrees, ICRS.'),
    ] = None,
    name: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="A galaxy in SDSS by its name, such as M51."),
    ] = None,
    run: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="A run folder. Default: the network that comes with galclass."),
    ] = None,
    out: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--out",
            "-o",
            help="Table to write: .ecsv .csv .fits .parquet .xml; or NAME.parquet/, a folder to "
            "write it to in parts, where a stopped run goes on.",
        ),
    ] = None,
    gallery: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Figure to write: the pictures with their classes."),
    ] = None,
    attribution: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Figure to write: where the evidence lies (Grad-CAM), first ten."),
    ] = None,
    crop: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(help="Side to keep, as a fraction of the field. Default: Galaxy10's."),
    ] = None,
    symmetric: Annotated[bool, typer.Option(help="Average over the eight flips and turns.")] = True,
    precision: Precision = Precision.auto,
    engine: Annotated[
        Engine, typer.Option(help="Classify here, or on Ray, which needs -o NAME.parquet/.")
    ] = Engine.local,
    address: Address = None,
    workers: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(min=1, help="Processes on Ray. Default: one a CPU, or one a GPU."),
    ] = None,
    part_rows: Annotated[int, typer.Option(min=1, help="Pictures in a part.")] = 1000,
    overwrite: Overwrite = False,
):
    """Classify pictures of galaxies."""
    from .cutouts import list_pictures, prepare, sdss_cutout
    from .distributed import check_engine
    from .plotting import plot_attribution, plot_predictions, save_figure
    from .prediction import load_network, predict, table_format, write_table
    from .runs import load_run
    from .survey import count_rows, is_survey, list_parts, predict_parts

    check_engine(engine.value, address, workers)
    if (bool(pictures) + (position is not None) + (name is not None)) != 1:
        raise ValueError("give either pictures, --position or --name")
    source = pictures[0] if pictures and len(pictures) == 1 and is_survey(pictures[0]) else None
    if engine is Engine.ray or (out is not None and out.endswith("/")):
        if source is None or out is None or gallery or attribution:
            raise ValueError(
                "parts are written of one SOURCE (a directory, Parquet or HDF5) with "
                "-o NAME.parquet/ and without figures"
            )
        folder = predict_parts(
            None if run is None else load_run(run),
            source,
            out,
            symmetric=symmetric,
            precision=precision.value,
            crop=crop,
            part_rows=part_rows,
            engine=engine.value,
            address=address,
            workers=workers,
            overwrite=overwrite,
            progress=sys.stderr.isatty(),
        )
        parts = list_parts(source, rows=part_rows)
        typer.echo(f"{count_rows(parts):,} pictures in {len(parts):,} parts in {folder}")
        return
    out = None if out is None else Path(out)
    for path in (out, gallery, attribution):
        if path is not None and path.exists() and not overwrite:
            raise FileExistsError(f"{path} exists; choose another name or give --overwrite")
    if out is not None:
        table_format(out, overwrite=overwrite)
    given: Any
    if source is not None and not (gallery or attribution):
        given = source
    elif source is not None and not source.is_dir():
        raise ValueError("--gallery and --attribution show pictures, not rows of a file")
    elif pictures:
        given = [one for path in pictures for one in list_pictures(path)]
    elif name is not None:
        given = [sdss_cutout(name)]
    else:
        given = [sdss_cutout(*_position(position))]
    network = None if run is None else load_run(run)
    table = predict(
        network,
        given,
        symmetric=symmetric,
        precision=precision.value,
        crop=crop,
        progress=sys.stderr.isatty(),
    )
    for row in table:
        shown = row["error"] or f"{row['class_name']}, {100 * row['probability']:.1f} %"
        typer.echo(f"{row['source']}: {shown}")
    if out is not None:
        write_table(table, out, overwrite=overwrite)
    if gallery is not None:
        save_figure(plot_predictions(table, given, crop=crop), gallery)
    if attribution is not None:
        good = [one for one, error in zip(given, table["error"], strict=True) if not error]
        model, _ = load_network(network, precision.value)
        save_figure(plot_attribution(model, prepare(good[:10], crop=crop)), attribution)


def _position(text):
    try:
        ra, dec = map(float, text.replace(",", " ").split())
    except ValueError:
        raise ValueError(f'position {text!r}, expected "RA DEC" in degrees') from None
    return ra, dec


@app.command()
def report(
    run: RunFolder,
    out: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="HTML file to write. Default: RUN/report.html."),
    ] = None,
):
    """Write one page of it all: figures, metrics, manifest, mistakes, model card."""
    from .report import write_report
    from .runs import load_run

    typer.echo(write_report(load_run(run), out))


@app.command()
def pack(
    run: RunFolder,
    data: Data,
    out: Annotated[Path, typer.Option(help="Folder for pretrained.npz and pretrained.json.")],
    overwrite: Overwrite = False,
):
    """Make a run into the network in the box: calibrated, corrected, in half precision."""
    from .pretrained import CARD_NAME, WEIGHTS_NAME, pack
    from .runs import load_run
    from .sources import load_run_data

    for name in (WEIGHTS_NAME, CARD_NAME):
        if (out / name).exists() and not overwrite:
            raise FileExistsError(f"{out / name} exists; give another folder or --overwrite")
    run = load_run(run)
    images, labels, _ = load_run_data(run, data)
    card = pack(run, images, labels, folder=out)
    typer.echo(f"test accuracy {100 * card['test']['accuracy']:.2f} %; files in {out}")


@app.command()
def card(
    run: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Argument(help="A run folder. Default: the network that comes with galclass."),
    ] = None,
):
    """Print a model card in Markdown."""
    from .report import model_card, pretrained_model_card
    from .runs import load_run

    typer.echo(pretrained_model_card() if run is None else model_card(load_run(run)), nl=False)


class Examples(str, Enum):
    """Whose galaxies the examples figure shows."""

    run = "run"
    simulated = "simulated"


class FigureSize(str, Enum):
    """What figures are drawn for."""

    page = "page"
    column = "column"


@app.command()
def figures(
    run: RunFolder,
    out: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Folder for the figures. Default: RUN/figures."),
    ] = None,
    examples: Annotated[
        Examples, typer.Option(help="The run's own galaxies or simulated ones.")
    ] = Examples.run,
    beside: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="A run on the same galaxies, of another recipe, to compare with."),
    ] = None,
    size: Annotated[
        FigureSize, typer.Option(help="For a page, or a column of a paper (3.5 in, with PDF).")
    ] = FigureSize.page,
):
    """Draw the figures of a run, from its folder alone."""
    from .plotting import save_figures
    from .runs import load_run
    from .sources import load_data

    run = load_run(run)
    shown = load_data("simulated", n=400) if examples is Examples.simulated else None
    out = out or run.path / "figures"
    for path in save_figures(run, out, examples=shown, beside=beside, size=size.value):
        typer.echo(path)


@app.command()
def notebook(
    out: Annotated[Path, typer.Option(help="The run folder to make.")],
    data: Data = "galaxy10",
    recipe: RecipeName = RecipeName.default,
    epochs: Annotated[Optional[int], typer.Option(min=1, help="Instead of the recipe's.")] = None,  # noqa: UP045
    seed: Seed = 0,
    source: Annotated[Path, typer.Option("--notebook", help="The notebook to execute.")] = Path(
        "CNN_galaxies.ipynb"
    ),
    resume: Resume = False,
    overwrite: Overwrite = False,
):
    """Execute the notebook into a run folder, with its HTML."""
    from .notebook import execute

    execute(
        source,
        out,
        parameters={"data": data, "recipe": recipe.value, "epochs": epochs, "seed": seed},
        resume=resume,
        overwrite=overwrite,
    )


def _print_metrics(run):
    from rich.console import Console
    from rich.table import Table

    from .plotting import describe_source

    metrics = run.metrics
    table = Table("class", "name", "precision", "recall", "test galaxies")
    for c, row in enumerate(metrics["classes"], 1):
        shown = [
            "-" if row[k] is None else f"{100 * row[k]:.1f} %" for k in ("precision", "recall")
        ]
        table.add_row(str(c), row["name"], *shown, f"{row['support']:,}")
    Console().print(table)
    low, high = metrics["accuracy_interval"]
    typer.echo(describe_source(run.manifest["source"]))
    typer.echo(
        f"test accuracy {100 * metrics['accuracy']:.2f} % (95 % interval {100 * low:.1f} to "
        f"{100 * high:.1f}), balanced accuracy {100 * metrics['balanced_accuracy']:.2f} %, "
        f"macro-F1 {100 * metrics['macro_f1']:.2f} %, {metrics['galaxies']:,} galaxies"
    )
    typer.echo(f"run folder: {run.path}")


# The base of typer's errors of bad use; which click they come from depends on typer's version.
UsageError = typer.BadParameter.__base__


def main():
    """Run the command line; bad use and bad data end with one line and exit code 2."""
    try:
        sys.exit(app(standalone_mode=False) or 0)
    except UsageError as error:  # type: ignore[misc]
        message = " ".join(error.format_message().split())
        if message:  # A command without arguments has shown its help.
            typer.echo(f"galclass: {message}; see galclass --help", err=True)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    except (ValueError, OSError, RuntimeError, ImportError) as error:
        if not _expected(error):
            raise
        typer.echo(f"galclass: {error}", err=True)
        sys.exit(2)


def _expected(error):
    """Whether an error was raised by galclass itself, and so says what to do."""
    traceback = error.__traceback__
    while traceback.tb_next:
        traceback = traceback.tb_next
    return traceback.tb_frame.f_globals.get("__name__", "").startswith("galclass")


if __name__ == "__main__":
    main()
