"""What llama.cpp calls a model's architecture and its sizes, and how it keeps q and k."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor

from lydite.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Architecture:
    """One of llama.cpp's architectures."""

    name: str
    interleaves: bool = False
    """True where a rotary pair's two halves lie side by side in q and k, and not half a head apart."""


_YARN: Final[Mapping[str, str]] = {"attention_factor": "attn_factor"}  # gguf's names where they are others
_QWEN3_HEAD: Final = 128  # numbers of a head that transformers assumes in a Qwen3 file, whatever the file says
_LLAMA: Final = Architecture("llama", interleaves=True)
BY_MODEL_TYPE: Final[Mapping[str, Architecture]] = {
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "qwen2": Architecture("qwen2"),
    "qwen3": Architecture("qwen3"),
}


def architecture_of(config: Any) -> Architecture:
    """The architecture of a model by its configuration.

    Raises:
        ConfigError: for a model that is written in another way than these.
    """
    found = BY_MODEL_TYPE.get(config.model_type)
    if found is None:
        raise ConfigError(
            f"a GGUF file of a model of type {config.model_type!r} is not written here (known: "
            f"{', '.join(BY_MODEL_TYPE)}); name llama.cpp's own converter: --converter convert_hf_to_gguf.py"
        )
    return found


def interleaved(weight: Tensor, heads: int) -> Tensor:
    """Rows of q or k as llama.cpp rotates them: the two halves of each head [heads, 2, n / 2] become pairs."""
    halves = weight.reshape(heads, 2, weight.shape[0] // heads // 2, *weight.shape[1:])
    return halves.transpose(1, 2).reshape(weight.shape)


def add_sizes(writer: Any, config: Any) -> None:
    """Writes what llama.cpp has to know of the model besides its weights.

    Raises:
        ConfigError: for rotary frequencies that are scaled in a way that is not written here.
    """
    head = head_size(config)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(head)
    writer.add_value_length(head)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_dimension_count(head)
    writer.add_vocab_size(config.vocab_size)
    rope = config.rope_parameters
    writer.add_rope_freq_base(rope["rope_theta"])
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
    elif kind not in ("default", "llama3"):
        raise ConfigError(
            f"rotary frequencies of the kind {kind!r} are not written to GGUF here; name llama.cpp's own converter: "
            "--converter convert_hf_to_gguf.py"
        )


def rope_factors(config: Any) -> Tensor | None:
    """What each rotary frequency is divided by, [head size / 2] in float32, for Llama 3's scaling; None for any other.

    Source: transformers, `modeling_rope_utils._compute_llama3_parameters`, solved for the divisor.
    """
    rope = config.rope_parameters
    if rope.get("rope_type") != "llama3":
        return None
    half = torch.arange(0, head_size(config), 2, dtype=torch.float32) / head_size(config)
    wavelength = 2 * math.pi * rope["rope_theta"] ** half
    factor, low, high = rope["factor"], rope["low_freq_factor"], rope["high_freq_factor"]
    context = rope["original_max_position_embeddings"]
    smooth = ((context / wavelength - low) / (high - low)).clamp(0.0, 1.0)
    divisors: Tensor = 1.0 / ((1.0 - smooth) / factor + smooth)
    return divisors


def transformers_leaves_out(config: Any) -> str | None:
    """What of such a model transformers ignores when it reads a GGUF file, so that only llama.cpp can check that."""
    kind = config.rope_parameters.get("rope_type", "default")
    if kind != "default":
        return f"rotary frequencies scaled as {kind!r}"
    known = BY_MODEL_TYPE.get(config.model_type)
    if known is not None and known.interleaves and getattr(config, "attention_bias", False):
        return "the order of rows in q's and k's biases"
    if config.model_type == "qwen3" and head_size(config) != _QWEN3_HEAD:
        return f"attention heads of {head_size(config)} numbers"
    return None


def window_of(config: Any) -> int | None:
    """Tokens that a layer of the model looks back at most; None without such a window, which GGUF cannot say here."""
    kinds = getattr(config, "layer_types", None)
    window = getattr(config, "sliding_window", None)
    return int(window) if window and (kinds is None or "sliding_attention" in kinds) else None


def head_size(config: Any) -> int:
    """Numbers of one attention head."""
    return int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)
