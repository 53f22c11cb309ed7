"""What samples completions."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lydite.config.section import Section, Texts


class EngineConfig(Section):
    """What samples completions."""

    use: Literal["auto", "vllm", "hf", "scripted"] = "auto"
    """vllm: in this process, on the trainer's own weights. hf: transformers, everywhere. scripted: says what it is
    told, for tests. auto: vllm on a CUDA device where it is installed, knows the model and fits; else hf."""
    max_batch_size: int | None = Field(None, ge=1)
    """Sequences that are decoded at once. None: 64 with hf; with vllm what the plan finds room for."""
    memory_share: float = Field(0.9, gt=0.0, le=1.0)
    """vllm: the share of the free device memory that the plan may give away."""
    kv_cache_bytes: int | None = Field(None, ge=1)
    """vllm: size of the KV cache. None: what the step's completions need, as far as memory allows."""
    kv_cache_dtype: Literal["auto", "fp8"] = "auto"
    """vllm: fp8 halves the KV cache, at a price in log-probabilities. auto: the model's own type."""
    release_kv_cache: Literal["auto", "always", "never"] = "auto"
    """vllm: gives the KV cache's memory to training between rollouts. auto: where both do not fit together."""
    unpack_weights: Literal["auto", "always", "never"] = "auto"
    """vllm, nf4: rolls out with a 16-bit copy of the 4-bit weights, dropped before training. auto: where it fits."""
    head_dtype: Literal["auto", "float32"] = "auto"
    """vllm: type of the logits. auto: as in training, float32 on a GPU and the model's own type on a CPU."""
    cuda_graphs: bool = True
    """vllm: replays recorded decode steps. Without, it starts sooner and decodes slower."""
    compile: bool = False
    """vllm: has torch.compile fuse the model as well, which takes about a minute at the start."""
    num_scheduler_steps: int = Field(1, ge=1, le=256)
    """vllm: tokens that each sequence decodes between two plans of vLLM's scheduler, which takes longer than a small
    model's step on a fast GPU. What is decoded behind the end of a completion is thrown away."""
    script: Texts = ()
    """scripted: what it answers, in turn."""
