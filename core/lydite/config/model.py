"""The model and its adapter."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lydite.config.section import Section, Texts


class ModelConfig(Section):
    """The base model and how it is held in memory."""

    path: str
    """A folder, a hub name, or `package:NAME` for a model that an installed Python package carries."""
    gguf_file: str | None = None
    """The file to read when the folder holds GGUF weights; found by itself where there is just one."""
    revision: str | None = None
    """Branch, tag or commit on the hub."""
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    """Type of the weights that are not quantised, and of the computation. `auto`: bfloat16, but float32 on a CPU that
    makes products of bfloat16 in software."""
    quantization: Literal["none", "nf4"] = "none"
    """`nf4`: the frozen base in 4 bit, double-quantised (QLoRA), through bitsandbytes."""
    keep_16bit: Texts = ()
    """Layers that stay in 16 bit under `nf4`: names or parts of names, such as `layers.0.` or `down_proj`."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """`auto`: CUDA where there is one."""
    chat_template: str | None = None
    """A Jinja template that replaces the tokenizer's."""


class LoraConfig(Section):
    """The adapter that is trained."""

    enabled: bool = True
    """`false` trains every weight of the model instead."""
    r: int = Field(16, ge=1)
    """Rank."""
    alpha: int = Field(32, ge=1)
    """Scale: the adapter's product is multiplied by alpha / r."""
    dropout: float = Field(0.0, ge=0.0, lt=1.0)
    """Dropout on the adapter's input, while training."""
    target_modules: Texts = ()
    """Names of the linear layers; empty: what the model's family says, or every linear layer."""
