"""Weights & Biases as a tracker of runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from lydite import Observer, hookimpl
from lydite_wandb.tracker import WeightsAndBiases

__all__ = ["WeightsAndBiases"]


@hookimpl
def lydite_observers() -> Mapping[str, Callable[..., Observer]]:
    """The observer `wandb`."""
    return {"wandb": WeightsAndBiases}
