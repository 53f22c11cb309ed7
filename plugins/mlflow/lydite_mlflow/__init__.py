"""MLflow as a tracker of runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from lydite import Observer, hookimpl
from lydite_mlflow.tracker import MLflow

__all__ = ["MLflow"]


@hookimpl
def lydite_observers() -> Mapping[str, Callable[..., Observer]]:
    """The observer `mlflow`."""
    return {"mlflow": MLflow}
