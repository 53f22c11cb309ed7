"""Rotary frequencies as llama.cpp is told of them: bases, kinds of scaling and tables of divisors."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import torch
from torch import Tensor

from lydite.errors import ConfigError
from lydite.exports.gguf_architectures import head_size

_YARN: Final[Mapping[str, str]] = {"attention_factor": "attn_factor"}  # gguf's names where they are others
_PHI: Final = "phi3"  # the one type here whose files have two tables, for short texts and for long ones


def rope_of(config: Any) -> Mapping[str, Any]:
    """Rotary parameters of the layers that look back as far as there are tokens: in most models, of all layers."""
    rope: Mapping[str, Any] = config.rope_parameters.get("full_attention", config.rope_parameters)
    return rope


def windows_rope_of(config: Any) -> Mapping[str, Any] | None:
    """Rotary parameters of the layers that look through a window, where these have their own."""
    own: Mapping[str, Any] | None = config.rope_parameters.get("sliding_attention")
    return own


def rotated(config: Any) -> int:
    """Numbers of a head that are rotated, from its first on."""
    return int(head_size(config) * rope_of(config).get("partial_rotary_factor", 1.0))


def add_rope(writer: Any, config: Any) -> None:
    """Writes what llama.cpp has to know of the rotary frequencies besides the tables of `rope_factors`.

    Raises:
        ConfigError: for frequencies that are scaled in a way that is not written here.
    """
    rope, windows = rope_of(config), windows_rope_of(config)
    writer.add_rope_dimension_count(rotated(config))
    writer.add_rope_freq_base(rope["rope_theta"])
    if windows is not None:
        writer.add_rope_freq_base_swa(windows["rope_theta"])
    kind = rope.get("rope_type", "default")
    if kind in ("linear", "yarn"):
        import gguf

        writer.add_rope_scaling_type(gguf.RopeScalingType(kind))
        writer.add_rope_scaling_factor(rope["factor"])
        if kind == "yarn":
            writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
            for key in ("attention_factor", "beta_fast", "beta_slow"):
                if rope.get(key) is not None:
                    getattr(writer, f"add_rope_scaling_yarn_{_YARN.get(key, key)}")(rope[key])
    elif config.model_type == _PHI and kind in ("default", "longrope"):
        writer.add_rope_scaling_orig_ctx_len(original_context(config))
        if kind == "longrope":
            writer.add_rope_scaling_attn_factors(_attention_factor(config))
    elif kind not in ("default", "llama3"):
        raise ConfigError(
            f"rotary frequencies of the kind {kind!r} are not written to GGUF here; name llama.cpp's own converter: "
            "--converter convert_hf_to_gguf.py"
        )


def rope_factors(config: Any) -> Mapping[str, Tensor]:
    """What each rotary frequency is divided by, [rotated numbers / 2] in float32, by llama.cpp's name of the tensor.

    One table for Llama 3's scaling, two for Phi 3's, of texts up to the original context and of longer ones; none for
    any other.

    Source: transformers, `modeling_rope_utils._compute_llama3_parameters`, solved for the divisor; Ding et al. 2024,
    LongRoPE (arXiv 2402.13753), section 3.
    """
    kind = rope_of(config).get("rope_type")
    if kind == "llama3":
        return {"rope_freqs.weight": _llama3_factors(config)}
    if kind == "longrope" and config.model_type == _PHI:
        return {
            f"rope_factors_{length}.weight": torch.tensor(rope_of(config)[f"{length}_factor"], dtype=torch.float32)
            for length in ("long", "short")
        }
    return {}


def original_context(config: Any) -> int:
    """Tokens of the longest text that a Phi 3 model reads with its short factors."""
    own = rope_of(config).get("original_max_position_embeddings")
    return int(own or config.original_max_position_embeddings)


def _attention_factor(config: Any) -> float:
    """What sines and cosines are multiplied by under longrope.

        sqrt(1 + ln(context / original context) / ln(original context))

    Source: transformers, `modeling_rope_utils._compute_longrope_parameters`; LongRoPE (arXiv 2402.13753).
    """
    rope, original = rope_of(config), original_context(config)
    if rope.get("attention_factor") is not None:
        return float(rope["attention_factor"])
    factor = rope.get("factor") or config.max_position_embeddings / original
    return math.sqrt(1 + math.log(factor) / math.log(original)) if factor > 1.0 else 1.0


def _llama3_factors(config: Any) -> Tensor:
    rope = rope_of(config)
    half = torch.arange(0, head_size(config), 2, dtype=torch.float32) / head_size(config)
    wavelength = 2 * math.pi * rope["rope_theta"] ** half
    factor, low, high = rope["factor"], rope["low_freq_factor"], rope["high_freq_factor"]
    context = rope["original_max_position_embeddings"]
    smooth = ((context / wavelength - low) / (high - low)).clamp(0.0, 1.0)
    divisors: Tensor = 1.0 / ((1.0 - smooth) / factor + smooth)
    return divisors
