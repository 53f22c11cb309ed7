"""The example notebook runs from its first cell to its last, on a tiny model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest

NOTEBOOK = Path(__file__).parents[2] / "examples" / "notebook.ipynb"
# In a process of its own: the client leaves sockets to the garbage collector, whose warnings are errors here.
EXECUTE = """
import sys
import nbclient, nbformat

notebook = nbformat.read(sys.argv[1], as_version=4)
nbclient.NotebookClient(notebook, timeout=120, resources={"metadata": {"path": "."}}).execute()
nbformat.write(notebook, "executed.ipynb")
"""


def outputs_of(cell: Any) -> str:
    return json.dumps([dict(one) for one in cell.get("outputs", [])], default=str)


@pytest.mark.slow
def test_the_notebook_runs_on_a_tiny_model(tmp_path: Path, tiny_model: Path) -> None:
    environ = {
        **os.environ,
        "LYDITE_MODEL": str(tiny_model),
        "LYDITE_STEPS": "2",
        "IPYTHONDIR": str(tmp_path / "ipython"),
        "JUPYTER_RUNTIME_DIR": str(tmp_path / "jupyter"),
    }
    ran = subprocess.run(
        [sys.executable, "-c", EXECUTE, NOTEBOOK],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert ran.returncode == 0, ran.stderr
    metrics = (tmp_path / "runs" / "notebook" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in metrics] == [1, 2]
    assert {"rewards/right/mean", "rewards/brief/mean"} <= json.loads(metrics[0]).keys()

    code = [cell for cell in nbformat.read(tmp_path / "executed.ipynb", as_version=4).cells if cell.cell_type == "code"]
    training = next(cell for cell in code if "lydite.train(" in cell.source)
    plot = next(cell for cell in code if "result.plot()" in cell.source)
    before_after = next(cell for cell in code if "zip(questions" in cell.source)
    assert "text/html" in outputs_of(training)
    assert "application/vnd.plotly" in outputs_of(plot)
    assert "What is 17 + 25?" in outputs_of(before_after)
    said = "".join(one.text for cell in code for one in cell.outputs if one.get("name") == "stderr")
    assert not said


def test_the_notebook_is_valid_and_saved_without_outputs() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert len(code) > 4
    assert all(not cell.outputs and cell.execution_count is None for cell in code)
