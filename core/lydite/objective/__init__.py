"""The objective: scored completions in, a loss with a gradient out.

The names are loaded when first asked for: `lydite.objective.advantages` is plain arithmetic, and who needs only
that loads no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lydite.objective.advantages import (
        configured_advantages,
        estimated_advantages,
        with_advantages,
        with_configured_advantages,
    )
    from lydite.objective.batch import Batch, build_batch
    from lydite.objective.correction import CorrectionSettings, Drawn, importance_weights, sampling_figures
    from lydite.objective.kl import corrected_kl, per_token_kl, sequence_kl
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
    from lydite.objective.update import (
        HiddenStatePolicy,
        correction_weights,
        logps_of_states,
        micro_batch_loss,
        policy_logps,
        predictor_states,
        reference_logps,
        surrogate,
    )
    from lydite.objective.update_entropy import token_entropies, with_entropy_threshold

__all__ = [
    "LOSSES",
    "Batch",
    "CorrectionSettings",
    "Drawn",
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
    "configured_advantages",
    "corrected_kl",
    "correction_weights",
    "estimated_advantages",
    "importance_weights",
    "logps_of_states",
    "merge_metrics",
    "micro_batch_loss",
    "per_token_kl",
    "policy_logps",
    "predictor_states",
    "reference_logps",
    "sampling_figures",
    "sequence_kl",
    "surrogate",
    "token_entropies",
    "token_logps",
    "update_totals",
    "with_advantages",
    "with_configured_advantages",
    "with_entropy_threshold",
]

_MODULES = {
    "advantages": (
        "configured_advantages",
        "estimated_advantages",
        "with_advantages",
        "with_configured_advantages",
    ),
    "batch": ("Batch", "build_batch"),
    "correction": ("CorrectionSettings", "Drawn", "importance_weights", "sampling_figures"),
    "kl": ("corrected_kl", "per_token_kl", "sequence_kl"),
    "logprobs": ("TokenLogps", "completion_logps", "token_logps"),
    "losses": ("LOSSES", "LossFn", "LossInputs", "LossOutput", "LossSettings", "UpdateTotals", "update_totals"),
    "metrics": ("LossMetrics", "merge_metrics"),
    "update": (
        "HiddenStatePolicy",
        "correction_weights",
        "logps_of_states",
        "micro_batch_loss",
        "policy_logps",
        "predictor_states",
        "reference_logps",
        "surrogate",
    ),
    "update_entropy": ("token_entropies", "with_entropy_threshold"),
}
_LAZY = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"lydite.objective has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"lydite.objective.{_LAZY[name]}"), name)
