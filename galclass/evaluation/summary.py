"""The metrics of a run as a table."""

import re
from typing import Any

import numpy as np
from astropy.table import MaskedColumn, Table

from ..files import PathLike
from ..labels import class_number
from ..run import Run, as_run
from .metrics import headline

SHARES = ("precision", "recall", "f1")


def summary(run: Run | PathLike) -> Table:
    """Tabulate the metrics of an evaluated run, one row per class.

    Parameters
    ----------
    run : Run or path-like

    Returns
    -------
    astropy.table.Table
        The columns are ``class`` (text: the number of the class as figures show it), ``name``,
        ``precision``, ``recall`` and ``f1`` (in percent; masked if undefined, see
        :func:`galclass.compute_metrics`) and ``galaxies`` (in the test set). The last row,
        ``all``, is for all galaxies together; its precision, recall and F1 are the accuracy.
        ``meta`` has the overall metrics as in ``metrics.json``, each with its 95 % interval (None
        if there is none), and ``origin``.

    Raises
    ------
    RunError
        The run is not evaluated.

    Examples
    --------
    >>> import galclass
    >>> table = galclass.summary(galclass.load_pretrained())
    >>> print(table[:3])
    class           name           precision recall  f1  galaxies
                                       %       %     %
    ----- ------------------------ --------- ------ ---- --------
        1 Disk, Face-on, No Spiral      31.2   47.6 37.7       21
        2  Smooth, Completely round      96.4   97.8 97.1      687
        3  Smooth, in-between round      97.5   95.7 96.6      600
    >>> round(table.meta["accuracy"], 3)
    0.926
    """
    run = as_run(run)
    metrics = run.metrics
    names = run.class_names
    of_all = dict.fromkeys(SHARES, metrics["accuracy"])
    rows = [*metrics["classes"], {"support": metrics["galaxies"], **of_all}]
    table = Table()
    table["class"] = [*(class_number(c, names) for c in range(len(names))), "all"]
    table["name"] = [*names, ""]
    for share in SHARES:
        table[share] = _percent_column([row.get(share) for row in rows])
    table["galaxies"] = [row["support"] for row in rows]
    table["galaxies"].format = ",d"
    for key, value in headline(metrics).items():
        table.meta[key] = value
        table.meta[f"{key}_interval"] = metrics.get(f"{key}_interval")
    table.meta["origin"] = str(run.origin)
    return table


def _percent_column(values: list[float | None]) -> MaskedColumn:
    """Return fractions as a column in percent, masked where they are None."""
    mask = [value is None for value in values]
    percent = 100 * np.array([value or 0 for value in values], float)
    return MaskedColumn(percent, mask=mask, format=".1f", unit="%")


def to_markdown(table: Table) -> str:
    """Return a table in Markdown, with the format of each column and ``-`` for masked values."""
    columns = []
    for name in table.colnames:
        title = name
        if table[name].unit is not None:
            title = f"{name} ({table[name].unit})"
        columns.append([title, "---", *(_format_value(table[name], i) for i in range(len(table)))])
    lines = [f"| {' | '.join(cells)} |" for cells in zip(*columns, strict=True)]
    return "\n".join(lines)


def _format_value(column: Any, row: int) -> str:
    """Return a value of a column as a cell of a Markdown table."""
    value = column[row]
    if value is np.ma.masked:
        return "-"
    if column.format is not None:
        return format(value, column.format)
    return escape_markdown(str(value))


def escape_markdown(text: str) -> str:
    """Escape Markdown's special characters and put the text on one line."""
    return re.sub(r"([\\|`*_<\[])", r"\\\1", " ".join(text.split()))
