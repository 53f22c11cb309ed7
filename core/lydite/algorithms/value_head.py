"""The value head: what reward is to be expected from here on, read off the policy's own hidden states."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

WEIGHT: Final = "value_head.weight"
BIAS: Final = "value_head.bias"


class ValueHead:
    """One linear layer H -> 1 in float32, which begins as 0: no reward is expected before one was seen.

    It reads the direction of a hidden state, not its length, which differs a hundredfold between models. So a
    learning rate means the same for all: an update of Adam moves a value by at most the rate times sqrt(H).
    """

    def __init__(self, hidden_size: int, device: torch.device) -> None:
        self.weight = nn.Parameter(torch.zeros(hidden_size, device=device))
        self.bias = nn.Parameter(torch.zeros(1, device=device))

    def parameters(self) -> dict[str, nn.Parameter]:
        """Both, by name."""
        return {WEIGHT: self.weight, BIAS: self.bias}

    def __call__(self, states: Tensor, mask: Tensor) -> Tensor:
        """Values [b, T], 0 where masked, from the states [N, H] that predict the N tokens that `mask` [b, T] keeps."""
        values = F.normalize(states.float(), dim=-1) @ self.weight + self.bias
        return torch.zeros(mask.shape, device=mask.device).masked_scatter(mask, values)
