"""The algorithms: what a run makes of a step's scored completions. Each is one file behind one small protocol.

The names are loaded when first asked for, so that a plugin's module may import this one and load no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lydite.algorithms.making import make_algorithm
    from lydite.algorithms.protocol import Algorithm, Material, Outcome, Share, StepLoss, merge_shares, whole_step

__all__ = ["Algorithm", "Material", "Outcome", "Share", "StepLoss", "make_algorithm", "merge_shares", "whole_step"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"lydite.algorithms has no attribute {name!r}")
    from importlib import import_module

    module = "making" if name == "make_algorithm" else "protocol"
    return getattr(import_module(f"lydite.algorithms.{module}"), name)
