"""Execute the notebook without a browser, and show in it what only a notebook can."""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .errors import MissingPackageError, RunError
from .files import PathLike, whole_file
from .run import delete_run


def execute(
    notebook: PathLike,
    out: PathLike,
    *,
    parameters: Mapping[str, Any],
    resume: bool = False,
    overwrite: bool = False,
) -> Path:
    """Execute a parameterised notebook and leave it, and its HTML, in the run folder that it made.

    Parameters
    ----------
    notebook : path-like
        With a cell tagged ``parameters``.
    out : path-like
        The run folder, passed to the notebook as ``run_dir``.
    parameters : dict
        The other parameters.
    resume, overwrite : bool, default False
        Resume the run in `out`, or delete it first.

    Returns
    -------
    pathlib.Path
        The executed notebook.

    Raises
    ------
    FileNotFoundError
        No such notebook.
    MissingPackageError
        The packages of the extra ``notebook`` are missing.
    RunError
        `out` exists already, or a cell ended in an error.
    """
    notebook, out = Path(notebook), Path(out)
    if not notebook.is_file():
        raise FileNotFoundError(f"no notebook {notebook}; run this in a checkout of galclass")
    try:
        import nbconvert
        import papermill
    except ImportError as error:
        raise MissingPackageError(
            f"{error.name} is not installed; install it with: pip install 'galclass[notebook]'"
        ) from error
    if out.exists() and not resume and (not out.is_dir() or any(out.iterdir())):
        if not overwrite:
            raise RunError(f"{out} is not empty; give --resume, --overwrite or another folder")
        delete_run(out)
        for path in (out / notebook.name, (out / notebook.name).with_suffix(".html")):
            path.unlink(missing_ok=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    unfinished = out.parent / f".{out.name}.ipynb"
    # Jupyter's debugger warns about frozen modules in every kernel.
    os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    try:
        papermill.execute_notebook(
            str(notebook),
            str(unfinished),
            parameters={**parameters, "run_dir": str(out)},
            kernel_name="python3",
            progress_bar=False,
            # The kernel's own messages go to the terminal, past the notebook.
            extra_arguments=["--log-level=50"],
            stdout_file=sys.stdout,
            stderr_file=sys.stderr,
        )
    except papermill.PapermillExecutionError as error:
        raise RunError(
            f"cell {error.cell_index} of the notebook ended in {error.ename}: {error.evalue}; "
            f"the notebook up to there is {unfinished}"
        ) from error
    executed = out / notebook.name
    os.replace(unfinished, executed)
    page, _ = nbconvert.HTMLExporter().from_filename(str(executed))
    with whole_file(executed.with_suffix(".html")) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return executed


def show_curves(history: Any) -> None:
    """Plot the curves of a training in place of what the notebook's cell showed before.

    Give it to ``galclass.train(..., on_epoch=show_curves)`` to watch, and call it with the run at
    the end, which leaves the curves of the run alone.

    Parameters
    ----------
    history : list of dict, Run, or list of Run
        A row an epoch, as `on_epoch` gets it; a run; or runs to compare.

    Raises
    ------
    MissingPackageError
        Not in a notebook: IPython is missing.

    Examples
    --------
    The last line is what a terminal shows; a notebook shows the figure:

    >>> import galclass
    >>> from galclass.notebook import show_curves
    >>> show_curves(galclass.load_run("runs/mine"))
    Figure(...)
    """
    try:
        from IPython.display import clear_output, display
    except ImportError as error:
        raise MissingPackageError(
            "IPython is not installed; show_curves is for notebooks, elsewhere use plot_history"
        ) from error
    from .figures.training import plot_history

    if isinstance(history, Sequence) and isinstance(history[0], Mapping):
        history = {key: [row[key] for row in history] for key in history[0]}
    fig = plot_history(history)
    # Waiting with the clearing until the figure is there spares the eye a flicker.
    clear_output(wait=True)
    display(fig)
