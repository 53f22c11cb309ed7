"""Ways from hidden states to log-probabilities: ours, TRL's, and all logits at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

from lydite.objective import token_logps
from lydite.policy.head import Head

DEVICE: Final = "cuda" if torch.cuda.is_available() else "cpu"
CHUNK: Final = 1024  # lydite's default of train.logprob_chunk_size


@dataclass(frozen=True)
class Inputs:
    """Hidden states [N, H], a frozen head [V, H], the tokens [N], and the loss's gradient of each log-prob."""

    hidden: Tensor
    weight: Tensor
    ids: Tensor
    upstream: Tensor

    def first(self, count: int) -> Inputs:
        """The first tokens alone."""
        hidden = self.hidden[:count].detach().clone().requires_grad_()
        return Inputs(hidden, self.weight, self.ids[:count], self.upstream[:count])


Way = Callable[[Inputs], Tensor]
"""Log-probabilities [N] with a gradient towards the hidden states."""


def ours(given: Inputs) -> Tensor:
    """Lydite's."""
    return token_logps(given.hidden, Head(given.weight), given.ids, temperature=1.0, chunk_size=CHUNK).logps


def naive(given: Inputs) -> Tensor:
    """All logits at once, in float32 from the product on, and the entropy of each token."""
    every = F.linear(given.hidden, given.weight).float().log_softmax(-1)
    with torch.no_grad():
        torch.special.entr(every.exp()).sum(-1)
    return every.gather(1, given.ids[:, None]).squeeze(1)


def trl(given: Inputs) -> Tensor:
    """TRL's fused head, with its trainer's arguments."""
    from trl.kernels import ChunkedLogProbFunction
    from trl.trainer.utils import _CHUNKED_LOGPROB_CHUNK_SIZE

    found: tuple[Tensor, ...] = ChunkedLogProbFunction.apply(  # type: ignore[no-untyped-call]
        given.hidden, given.weight, None, given.ids, 1.0, _CHUNKED_LOGPROB_CHUNK_SIZE, None, 1.0, ("entropy",)
    )
    return found[0]


def made(tokens: int, vocabulary: int, width: int) -> Inputs:
    """Logits of a spread of 3, so that some tokens are likely and some are not."""
    weight = torch.randn(vocabulary, width, device=DEVICE, dtype=torch.bfloat16).mul_(3 * width**-0.5)
    hidden = torch.randn(tokens, width, device=DEVICE, dtype=torch.bfloat16).requires_grad_()
    ids = torch.randint(vocabulary, (tokens,), device=DEVICE)
    return Inputs(hidden, weight, ids, torch.randn(tokens, device=DEVICE))
