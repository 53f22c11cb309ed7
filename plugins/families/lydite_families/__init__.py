"""Families of open models, for lydite: found by the `model_type` of a model's configuration."""

from __future__ import annotations

import lydite
from lydite_families.families import BY_MODEL_TYPE

__all__ = ["BY_MODEL_TYPE", "lydite_family"]


@lydite.hookimpl
def lydite_family(model_type: str) -> lydite.Family | None:
    """The family of Llama, SmolLM, Qwen, Mistral, Phi and Gemma models; None for any other."""
    return BY_MODEL_TYPE.get(model_type)
