"""How a table of the command line looks."""

from __future__ import annotations

from rich.table import Table


def plain_table() -> Table:
    """An empty table without lines, its columns two spaces apart."""
    return Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
