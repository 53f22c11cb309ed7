"""What llama.cpp calls a model's architecture, how it keeps its tensors, and what it takes for granted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from torch import Tensor

from lydite.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Architecture:
    """One of llama.cpp's architectures."""

    name: str
    interleaves: bool = False
    """True where a rotary pair's two halves lie side by side in q and k, and not half a head apart."""
    adds_one: bool = False
    """True where the weights of a norm are kept as 1 + w, which is what Gemma's layers multiply by."""
    activation: str = "silu"
    """The one between an MLP's two products, by transformers' name."""
    pattern: int | None = None
    """Of so many layers the last looks back as far as there are tokens and the others through a window; None: llama.cpp
    gives no layer of this architecture a window."""
    wide_heads_at: int | None = None
    """Layers of the one size whose queries are divided by sqrt(hidden size / heads), and not sqrt(head size)."""
    always_tied: bool = False
    """True where the head is the embedding, and no tensor for it is read."""
    assumed: Mapping[str, float | None] = field(default_factory=dict)
    """Values of the configuration that transformers takes for granted when it reads such a file."""


_LLAMA: Final = Architecture("llama", interleaves=True)
_GELU: Final = "gelu_pytorch_tanh"
BY_MODEL_TYPE: Final[Mapping[str, Architecture]] = {
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "qwen2": Architecture("qwen2"),
    "qwen3": Architecture("qwen3", assumed={"head_dim": 128}),
    "phi3": Architecture("phi3"),
    "gemma2": Architecture(
        "gemma2",
        adds_one=True,
        activation=_GELU,
        pattern=2,
        wide_heads_at=46,
        always_tied=True,
        assumed={"query_pre_attn_scalar": 256, "attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0},
    ),
    "gemma3_text": Architecture(
        "gemma3",
        adds_one=True,
        activation=_GELU,
        pattern=6,
        wide_heads_at=62,
        assumed={"query_pre_attn_scalar": 256, "final_logit_softcapping": None},
    ),
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


def head_size(config: Any) -> int:
    """Numbers of one attention head."""
    return int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)


def looks_through_a_window(config: Any) -> tuple[bool, ...]:
    """For each layer, whether it looks back only as far as the model's window."""
    layers = int(config.num_hidden_layers)
    if not getattr(config, "sliding_window", None):
        return (False,) * layers
    kinds: Sequence[str] = getattr(config, "layer_types", None) or ("sliding_attention",) * layers
    return tuple(one == "sliding_attention" for one in kinds)


def usual_windows(architecture: Architecture, layers: int) -> tuple[bool, ...]:
    """What `looks_through_a_window` is for a model of that architecture whose file does not say it."""
    pattern = architecture.pattern
    return tuple(pattern is not None and (layer + 1) % pattern != 0 for layer in range(layers))
