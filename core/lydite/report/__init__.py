"""What a run looks like: read its folder, write its page, follow it, show it on a console or in a notebook.

Nothing here loads torch, and plotly only where a chart is drawn.
"""

from __future__ import annotations

from lydite.report.display import choose_display
from lydite.report.notebook import figure, result_html
from lydite.report.page import write_report
from lydite.report.reader import RunData, read_run
from lydite.report.serve import serve_report

__all__ = ["RunData", "choose_display", "figure", "read_run", "result_html", "serve_report", "write_report"]
