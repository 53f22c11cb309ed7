"""What a tracker writes of a run, under the names that a run of TRL has there.

TRL's trainers log through transformers, which puts `train/` before the name of a training figure and `eval/` before
one of an evaluation. A dashboard that was made for them finds the same names here.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

from lydite.types import RunInfo, StepReport

Row: TypeAlias = tuple[int | float | str | None, ...]
ID_FILE: Final = "trackers.json"
"""In the run's folder: what each tracker calls this run, so that a resumed run goes on under the same name."""


def figures_of(report: StepReport) -> dict[str, float]:
    """The step's figures: `train/reward`, `train/time/generate`, `eval/accuracy`, ...; those not finite are left out.

    `eval/divergence` is 1 where the reward and the held-out metric have parted, and 0 where they have not.
    """
    figures = {f"train/{name}": value for name, value in {**report.metrics, **report.timings}.items()}
    if report.heldout is not None:
        figures[f"eval/{report.heldout.metric}"] = report.heldout.value
        figures["eval/divergence"] = float(report.divergence is not None)
    return {name: float(value) for name, value in figures.items() if math.isfinite(value)}


def completion_columns(run: RunInfo) -> tuple[str, ...]:
    """The names of the columns of `completion_rows`: as TRL's, with the total beside the single rewards."""
    return ("step", "prompt", "completion", *_reward_names(run), "reward", "advantage")


def completion_rows(run: RunInfo, report: StepReport, n: int) -> list[Row]:
    """The step's first `n` completions, in the columns of `completion_columns`; None for what could not be judged."""
    names = _reward_names(run)
    groups = report.scored.groups if report.scored is not None else ()
    rows: list[Row] = []
    for group in groups:
        for one in group.completions[: n - len(rows)]:
            values = [one.components[name].value if name in one.components else None for name in names]
            rows.append((report.step, group.prompt.text, one.generated.text, *values, one.reward, one.advantage))
    return rows


def is_due(report: StepReport, every: int) -> bool:
    """Whether completions are written at this step: at the first, at each `every`-th, and at the last."""
    return report.step > 0 and (report.step == 1 or report.step % every == 0 or report.step == report.max_steps)


def markdown_table(columns: Sequence[str], rows: Sequence[Row]) -> str:
    """The rows as a table in Markdown. Text stands as code, so that nothing in it is taken for markup."""
    lines = [" | ".join(columns), " | ".join("---" for _ in columns), *(" | ".join(map(_cell, row)) for row in rows)]
    return "\n".join(f"| {line} |" for line in lines)


def flat(tables: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested tables as pairs of a dotted key and a value; lists and empty tables stay whole."""
    for key, value in tables.items():
        if isinstance(value, Mapping) and value:
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def remembered_id(run: RunInfo, tracker: str) -> str | None:
    """What the tracker calls this run, where it has been told of it before."""
    found = _ids(run).get(tracker)
    return found if isinstance(found, str) else None


def remember_id(run: RunInfo, tracker: str, name: str) -> None:
    """Keeps what the tracker calls this run in the run's folder."""
    path = Path(run.folder) / ID_FILE
    path.write_text(json.dumps({**_ids(run), tracker: name}, indent=2) + "\n", encoding="utf-8")


def _ids(run: RunInfo) -> dict[str, Any]:
    path = Path(run.folder) / ID_FILE
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


def _reward_names(run: RunInfo) -> tuple[str, ...]:
    rewards = run.config.get("rewards")
    return tuple(rewards) if isinstance(rewards, Mapping) else ()


def _cell(value: float | str | None) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        # A line break would end the row, a bar the cell, a backtick the code; the tracker shows, the run's files keep.
        return f"`{value.replace(chr(10), '⏎').replace('|', '¦').replace('`', chr(39)) or ' '}`"
    return f"{value:.4g}"
