"""The report's charts of what was asked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lydite.report.charts import charts_of
from lydite.report.reader import read_run

POOL = {"pool/pass_rate": 0.4, "pool/never_passed": 0.3, "pool/always_passed": 0.1}
GROUPS = {
    "sampling/asked_groups": 11.0, "sampling/trained_groups": 8.0, "sampling/flat_groups": 2.0,
    "sampling/missing_groups": 0.0,
}  # fmt: skip


def charts(folder: Path, **figures: float) -> dict[str, Any]:
    lines = [json.dumps({"step": step, "reward": 0.5, **figures}) + "\n" for step in (1, 2)]
    (folder / "metrics.jsonl").write_text("".join(lines))
    return {one.id: one for one in charts_of(read_run(folder))}


def test_pool_and_groups_are_drawn_where_a_run_has_them(tmp_path: Path) -> None:
    drawn = charts(tmp_path, **POOL, **GROUPS)
    lines = {line["name"]: line["y"] for one in ("pool", "asked") for line in drawn[one].data}
    assert lines == {
        "mean pass rate": [0.4, 0.4],
        "never passed": [0.3, 0.3],
        "always passed": [0.1, 0.1],
        "asked": [11.0, 11.0],
        "trained on": [8.0, 8.0],
        "without a difference": [2.0, 2.0],
        "missing at the cap": [0.0, 0.0],
    }
    assert "asked" not in charts(tmp_path, **POOL)
    assert not {"pool", "asked"} & set(charts(tmp_path))
