"""How likely the policy finds an answer: what an engine's own log-probabilities are compared with."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lydite.policy.evaluating import evaluating
from lydite.policy.policy import Policy


@torch.no_grad()
def answer_logps(policy: Policy, prompt: Sequence[int], answer: Sequence[int]) -> Tensor:
    """The policy's log-probabilities [n] in float64, on the CPU, of an answer of n tokens, at temperature 1."""
    ids = torch.tensor([[*prompt, *answer]], device=policy.device)
    positions = torch.arange(ids.shape[1], device=policy.device)[None]
    with evaluating(policy.model):
        hidden = policy.hidden_states(ids, torch.ones_like(ids), positions)[0, len(prompt) - 1 : -1]
    logps = policy.logits(hidden).float().log_softmax(-1)
    return logps.gather(1, ids[0, len(prompt) :, None])[:, 0].double().cpu()
