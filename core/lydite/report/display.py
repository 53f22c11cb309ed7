"""The choice of how a run is shown."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any, TypeAlias

from lydite.report.console import ConsoleDisplay
from lydite.report.notebook import NotebookDisplay
from lydite.report.plain import PlainDisplay

AnyDisplay: TypeAlias = ConsoleDisplay | NotebookDisplay | PlainDisplay


def choose_display(environ: Mapping[str, str] = os.environ) -> AnyDisplay:
    """The observer that suits where the output goes: a notebook, a terminal, or anything else as plain lines.

    Register it with `Plugins.observe`, and call its `close` when the run is over, however it ended.
    """
    if in_notebook():
        return NotebookDisplay()
    out = sys.stdout
    terminal = out is not None and out.isatty() and environ.get("TERM") != "dumb"
    # Arrows and curves need an encoding that has them; plain lines can do without.
    unicode = terminal and (out.encoding or "").lower().startswith("utf")
    return ConsoleDisplay() if unicode else PlainDisplay()


def in_notebook() -> bool:
    """True inside a kernel that a notebook talks to; IPython is not imported to find out."""
    ipython: Any = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and hasattr(shell, "kernel")
