"""Sizes for a small engine, and policies that seem to have learned."""

from __future__ import annotations

from typing import Any

import torch

from lydite.planner import EnginePlan
from lydite.policy import Policy


def plan(**other: Any) -> EnginePlan:
    sizes = {"kv_cache_bytes": 2**25, "max_num_seqs": 16, "max_num_batched_tokens": 512, "max_model_len": 256}
    return EnginePlan(
        **{**sizes, "cuda_graph_sizes": (), "unpack_weights": True, "release_kv_cache": False, "lines": (), **other}  # type: ignore[arg-type]
    )


def trained(policy: Policy, scale: float = 0.1, seed: int = 3) -> Policy:
    """The policy with numbers in its adapter's B, as after some updates."""
    draws = torch.Generator().manual_seed(seed)
    for name, parameter in policy.trainable().items():
        if "lora_B" in name:
            parameter.data.copy_(scale * torch.randn(parameter.shape, generator=draws))
    return policy
