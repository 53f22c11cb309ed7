"""Which models take an attention mask of our own making, and what that mask looks like to them."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor


class MaskedPolicy(Protocol):
    """What the trial needs of a policy."""

    device: torch.device
    dtype: torch.dtype

    def hidden_states(self, input_ids: Tensor, attention_mask: Tensor, position_ids: Tensor) -> Tensor:
        """The last hidden states [B, L, H]."""
        ...

    def shared_hidden_states(self, input_ids: Tensor, allowed: Tensor, position_ids: Tensor) -> Tensor:
        """The last hidden states [R, S, H] under a mask [R, S, S]."""
        ...


def takes_any_mask(config: Any) -> bool:
    """True for models all of whose layers attend to everything before, by an attention that adds a mask."""
    text = config.get_text_config(decoder=True)
    kinds = getattr(text, "layer_types", None) or ["full_attention"]
    windowed = getattr(text, "sliding_window", None) and getattr(text, "use_sliding_window", True)
    full = set(kinds) == {"full_attention"} and not (windowed and getattr(text, "layer_types", None) is None)
    return full and config._attn_implementation in ("sdpa", "eager")


def attention_mask_of(allowed: Tensor, config: Any, dtype: torch.dtype) -> Tensor:
    """The mask [R, 1, S, S] as the model's attention reads it: bool for sdpa, else what is added to the scores."""
    mask = allowed[:, None]
    if config._attn_implementation == "sdpa":
        return mask
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(~mask, torch.finfo(dtype).min)


def agree_on_a_trial(policy: MaskedPolicy) -> bool:
    """Whether `a b c d` and `a b e f`, behind one `a b`, have the hidden states that they have alone.

    The tolerance is relative, 1e-4 in float32 and a twentieth in 16 bit, whose products round by their shape.
    """
    ids = torch.tensor([[1, 2, 3, 4, 5, 6]], device=policy.device)
    positions = torch.tensor([[0, 1, 2, 3, 2, 3]], device=policy.device)
    allowed = torch.ones(6, 6, dtype=torch.bool, device=policy.device).tril()[None].clone()
    allowed[:, 4:, 2:4] = False
    try:
        with torch.no_grad():
            shared = policy.shared_hidden_states(ids, allowed, positions)
            alone = policy.hidden_states(ids[:, [0, 1, 4, 5]], torch.ones_like(ids[:, :4]), positions[:, :4])
    except (TypeError, ValueError, RuntimeError, IndexError, AttributeError):  # the architecture takes no such mask
        return False
    second, expected = shared[:, [0, 1, 4, 5]].float(), alone.float()
    tolerance = 1e-4 if policy.dtype is torch.float32 else 0.05
    return bool((second - expected).norm() <= tolerance * expected.norm())
