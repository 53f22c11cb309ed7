"""The families by model type. Tokens that a model's vocabulary lacks are ignored, so that versions can share one."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from lydite import Family
from lydite_families import templates

_ATTENTION: Final = ("q_proj", "k_proj", "v_proj", "o_proj")
_MLP: Final = ("gate_proj", "up_proj", "down_proj")
_THINK: Final = ("<think>", "</think>")

LLAMA: Final = Family(
    "llama",
    (*_ATTENTION, *_MLP),
    chat_template=templates.LLAMA,
    stop_tokens=("<|eot_id|>", "<|eom_id|>", "<|end_of_text|>", "<|im_end|>"),
)
SMOLLM3: Final = Family(
    "smollm", (*_ATTENTION, *_MLP), chat_template=templates.CHATML, stop_tokens=("<|im_end|>",), think_tokens=_THINK
)
QWEN2: Final = Family(
    "qwen2", (*_ATTENTION, *_MLP), chat_template=templates.CHATML, stop_tokens=("<|im_end|>", "<|endoftext|>")
)
QWEN3: Final = Family(
    "qwen3",
    (*_ATTENTION, *_MLP),
    chat_template=templates.CHATML,
    stop_tokens=("<|im_end|>", "<|endoftext|>"),
    think_tokens=_THINK,
)
MISTRAL: Final = Family(
    "mistral",
    (*_ATTENTION, *_MLP),
    chat_template=templates.MISTRAL,
    stop_tokens=("</s>",),
    think_tokens=("[THINK]", "[/THINK]"),  # Magistral's; other Mistral models have no such tokens
)
PHI: Final = Family(
    "phi",
    ("qkv_proj", "o_proj", "gate_up_proj", "down_proj"),  # q, k, v and gate, up are one layer each
    chat_template=templates.PHI,
    stop_tokens=("<|end|>", "<|im_end|>", "<|endoftext|>"),
    think_tokens=_THINK,  # Phi-4-reasoning's
)
GEMMA: Final = Family(
    "gemma", (*_ATTENTION, *_MLP), chat_template=templates.GEMMA, stop_tokens=("<end_of_turn>", "<eos>")
)

BY_MODEL_TYPE: Final[Mapping[str, Family]] = MappingProxyType(
    {
        "llama": LLAMA,
        "smollm3": SMOLLM3,
        "qwen2": QWEN2,
        "qwen3": QWEN3,
        "mistral": MISTRAL,
        "phi3": PHI,  # Phi-4 has this type too
        "gemma2": GEMMA,
        "gemma3": GEMMA,
        "gemma3_text": GEMMA,
    }
)
