"""Reward up and held-out metric down, as a run's files tell it, in the same words wherever it is shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from lydite.report.reader import Record, RunData
from lydite.types import Divergence


def divergence_of(evaluation: Record) -> Divergence | None:
    """How the two had parted at an evaluation, by its record; None where they had not, or nobody looked."""
    found: Any = evaluation.get("divergence")
    names = {one.name for one in fields(Divergence)}
    return Divergence(**found) if isinstance(found, Mapping) and set(found) == names else None


def parted_evaluations(run: RunData) -> tuple[Record, ...]:
    """The evaluations at which they had parted, by step."""
    return tuple(one for one in run.evals if divergence_of(one) is not None)


def warning_of(divergence: Divergence) -> str:
    """One line for whoever watches the run."""
    return f"warning: {divergence}; a reward may be exploited"
