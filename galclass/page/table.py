"""The table of answers: rows to show, and files to download."""

import base64
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Table

from ..prediction.table import write_table

# Column of the table: its header on the page.
COLUMNS = {
    "source": "image",
    "class_name": "class",
    "probability": "probability",
    "unusual": "unusual",
    "error": "error",
}
HEADERS = ["", *COLUMNS.values()]  # the first column numbers the rows
WIDTHS: list[str | int] = ["50px", "150px", "230px", "110px", "100px", "300px"]
DOWNLOADS = {"csv": "CSV", "ecsv": "ECSV", "xml": "VOTable"}


def list_rows(table: Table) -> list[list[Any]]:
    """Return the number and the main columns of each row."""
    rows = []
    for number, row in enumerate(table, 1):
        cells: list[Any] = [number]
        for name in COLUMNS:
            if name in table.colnames:
                cells.append(_format_cell(row[name]))
            else:
                cells.append("")
        rows.append(cells)
    return rows


def _format_cell(value: Any) -> Any:
    if np.ma.is_masked(value):
        return ""
    if isinstance(value, np.floating):
        return round(float(value), 3)
    return str(value)


def link_files(table: Table) -> str:
    """Return HTML links that hold the table in the formats of ``galclass predict``."""
    links = []
    with tempfile.TemporaryDirectory() as folder:
        for suffix, title in DOWNLOADS.items():
            path = Path(folder) / f"galaxies.{suffix}"
            write_table(table, path)
            content = base64.b64encode(path.read_bytes()).decode()
            address = f"data:application/octet-stream;base64,{content}"
            links.append(f'<a download="{path.name}" href="{address}">{title}</a>')
    return f'<p class="galclass">Table: {" · ".join(links)}</p>'
