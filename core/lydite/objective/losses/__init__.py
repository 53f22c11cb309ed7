"""The losses: pure functions of tensors, in one table.

Each family makes a surrogate of every token (`clipped`, `cispo`, `sapo`, `vespo`, `dppo`); what all have in common,
importance weights, high-entropy tokens, KL term, average and entropy bonus, is `whole.whole_loss`. Checked against
TRL 1.16 where TRL has them.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from lydite.objective.losses.cispo import cispo
from lydite.objective.losses.clipped import bnpo, dapo, dr_grpo, grpo, luspo
from lydite.objective.losses.dppo import dppo
from lydite.objective.losses.inputs import (
    Level,
    LossFn,
    LossInputs,
    LossOutput,
    LossSettings,
    UpdateTotals,
    update_totals,
)
from lydite.objective.losses.sapo import sapo
from lydite.objective.losses.vespo import vespo

__all__ = [
    "LOSSES",
    "Level",
    "LossFn",
    "LossInputs",
    "LossOutput",
    "LossSettings",
    "UpdateTotals",
    "bnpo",
    "cispo",
    "dapo",
    "dppo",
    "dr_grpo",
    "grpo",
    "luspo",
    "sapo",
    "update_totals",
    "vespo",
]

LOSSES: Final[Mapping[str, LossFn]] = MappingProxyType(
    {
        "grpo": grpo,
        "bnpo": bnpo,
        "dr_grpo": dr_grpo,
        "dapo": dapo,
        "luspo": luspo,
        "cispo": cispo,
        "sapo": sapo,
        "vespo": vespo,
        "dppo": dppo,
    }
)
"""The losses by the names of `loss_type`."""
