"""The layers of transformers that are known here, by the names that it gives their classes.

A class is known when it is transformers' own and named after one of these families, so that a layer which looks the
same and computes something else is left alone. What a known one computes is still checked by a trial.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from torch import nn


def known_as(module: nn.Module, kind: str) -> str | None:
    """The family of a layer of this kind ("Attention", "MLP", "RMSNorm"), such as "Llama"; None for any other."""
    name = type(module).__name__
    family = name.removesuffix(kind)
    ours = type(module).__module__.startswith("transformers.models.") and name.endswith(kind)
    return family if ours and family in KEYWORDS else None


def _nothing(module: Any) -> dict[str, Any]:
    return {}


def _own_window(module: Any) -> dict[str, Any]:
    return {"sliding_window": module.sliding_window}


def _models_window(module: Any) -> dict[str, Any]:
    return {"sliding_window": getattr(module.config, "sliding_window", None)}


def _window_and_softcap(module: Any) -> dict[str, Any]:
    return {"sliding_window": module.sliding_window, "softcap": module.attn_logit_softcapping}


KEYWORDS: Final[Mapping[str, Callable[[Any], dict[str, Any]]]] = {
    "Llama": _nothing,
    "Gemma": _nothing,
    "Granite": _nothing,
    "Mistral": _models_window,
    "Phi3": _models_window,
    "Qwen2": _own_window,
    "Qwen3": _own_window,
    "SmolLM3": _own_window,
    "Gemma2": _window_and_softcap,
    "Gemma3": _own_window,
}
"""What each family's attention layer hands to its attention function beyond the tensors, dropout and scale."""
