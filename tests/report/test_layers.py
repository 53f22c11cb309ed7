"""The report stays light: no torch, and plotly only where a chart is drawn."""

from __future__ import annotations

import subprocess
import sys


def test_importing_and_reading_loads_neither_torch_nor_plotly() -> None:
    code = (
        "import sys, lydite.report, lydite.report.display, lydite.report.serve, lydite.report.console;"
        "print([m for m in ('torch', 'transformers', 'plotly', 'IPython', 'lydite.trainer') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
