"""Charts of which prompts were asked: how hard they are, and what dynamic sampling made of their groups."""

from __future__ import annotations

from lydite.report.chart import SHARE, Chart, chart_of
from lydite.report.curves import Curves


def asking_charts(metrics: Curves) -> list[Chart | None]:
    """The pool's pass rates and the groups of each step; None for what the run has no figures of."""
    return [_pool(metrics), _groups(metrics)]


def _pool(metrics: Curves) -> Chart | None:
    key = "pool/pass_rate"
    kinds = [
        (key, "mean pass rate", "@1"),
        ("pool/never_passed", "never passed", "@4"),
        ("pool/always_passed", "always passed", "@2"),
    ]
    if not metrics.has(key):
        return None
    data = [metrics.line(one, name, color) for one, name, color in kinds]
    hint = "Of the prompts asked so far, each as it was when it was last asked; see pool.jsonl"
    return chart_of("pool", "completions", "How hard the prompts are", hint, data, metrics, key, yaxis=SHARE)


def _groups(metrics: Curves) -> Chart | None:
    key = "sampling/trained_groups"
    kinds = [
        ("sampling/asked_groups", "asked", "@3"),
        (key, "trained on", "@1"),
        ("sampling/flat_groups", "without a difference", "@4"),
        ("sampling/missing_groups", "missing at the cap", "@5"),
    ]
    if not metrics.has(key):
        return None
    data = [metrics.line(one, name, color) for one, name, color in kinds]
    hint = "Groups of each step; those beyond the step's own were asked in place of groups without a difference"
    return chart_of("asked", "completions", "Groups asked", hint, data, metrics, key, yaxis={"rangemode": "tozero"})
