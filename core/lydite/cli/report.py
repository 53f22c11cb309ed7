"""`lydite report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lydite.cli.runs import find_run


def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run, or its name.", show_default=False)],
    serve: Annotated[bool, typer.Option("--serve", help="Show it on a local page that follows a live run.")] = False,
    port: Annotated[int, typer.Option("--port", metavar="N", min=0, max=65535, help="Port for --serve.")] = 8377,
) -> None:
    """Write a run's report.html, or serve it while the run goes on."""
    from lydite import report as reports

    folder = find_run(run)
    if serve:
        reports.serve_report(folder, port=port)
    else:
        print(reports.write_report(folder))
