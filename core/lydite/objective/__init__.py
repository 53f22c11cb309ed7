"""The objective: scored completions in, a loss with a gradient out."""

from lydite.objective.advantages import with_advantages
from lydite.objective.batch import Batch, build_batch
from lydite.objective.logprobs import TokenLogps, completion_logps, token_logps
from lydite.objective.losses import (
    LOSSES,
    LossFn,
    LossInputs,
    LossOutput,
    LossSettings,
    UpdateTotals,
    update_totals,
)
from lydite.objective.metrics import LossMetrics, merge_metrics
from lydite.objective.update import HiddenStatePolicy, micro_batch_loss, policy_logps, reference_logps

__all__ = [
    "LOSSES",
    "Batch",
    "HiddenStatePolicy",
    "LossFn",
    "LossInputs",
    "LossMetrics",
    "LossOutput",
    "LossSettings",
    "TokenLogps",
    "UpdateTotals",
    "build_batch",
    "completion_logps",
    "merge_metrics",
    "micro_batch_loss",
    "policy_logps",
    "reference_logps",
    "token_logps",
    "update_totals",
    "with_advantages",
]
