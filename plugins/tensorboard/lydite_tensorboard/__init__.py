"""TensorBoard as a tracker of runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from lydite import Observer, hookimpl
from lydite_tensorboard.tracker import TensorBoard

__all__ = ["TensorBoard"]


@hookimpl
def lydite_observers() -> Mapping[str, Callable[..., Observer]]:
    """The observer `tensorboard`."""
    return {"tensorboard": TensorBoard}
