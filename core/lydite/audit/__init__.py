"""How well a verifier agrees with labels: rates with their uncertainty, where it errs, and what a verdict costs.

    read_labelled -> ask -> summarize

Everything runs as it does in a run, in the same worker processes; nothing in here imports torch.
"""

from __future__ import annotations

from lydite.audit.ask import Judgement, Verifier, ask
from lydite.audit.labelled import Labelled, read_labelled
from lydite.audit.rates import Rate, difference_interval, quantile, wilson_interval
from lydite.audit.summary import disagreement, summarize

__all__ = [
    "Judgement",
    "Labelled",
    "Rate",
    "Verifier",
    "ask",
    "difference_interval",
    "disagreement",
    "quantile",
    "read_labelled",
    "summarize",
    "wilson_interval",
]
