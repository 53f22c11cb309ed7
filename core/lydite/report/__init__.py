"""What a run looks like: read its folder, write its page, follow it, show it on a console or in a notebook.

Nothing here loads torch, and plotly only where a chart is drawn.
"""

from __future__ import annotations

from lydite.report.page import write_report
from lydite.report.reader import RunData, read_run

__all__ = ["RunData", "read_run", "write_report"]
