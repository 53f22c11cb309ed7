"""A policy that has learned something, at random.

from support.shaken import shake
"""

from __future__ import annotations

from typing import Any

import torch


def shake(policy: Any, seed: int, size: float) -> None:
    """Adds noise of this deviation to all that is trained, so that the policy is another than its reference."""
    draws = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for one in policy.trainable().values():
            one += size * torch.randn(one.shape, generator=draws)
