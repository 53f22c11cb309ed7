"""Does vLLM compute what the trainer computes? Asked once, at the start, with an adapter that does something.

A model that vLLM implements otherwise than transformers does, a layer bound to the wrong weights or an adapter
that goes nowhere would all sample fluent text and train on it. Here both give log-probabilities to one short answer,
with random numbers in the adapter and without.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Final

import torch

from lydite.errors import EngineError
from lydite.policy import Policy
from lydite.policy.answers import answer_logps
from lydite.rollout.engine import CanaryAnswer
from lydite.types import Prompt, Sample

QUESTION: Final = (
    "Say in a few words what a touchstone is, what it is rubbed with, and what the mark that is left means"
)
TOKENS: Final = 8
# Of a token's log-probability, in nats. Far above what 16-bit rounding does to a small model (0.2 at the worst of
# what was seen), far below what a forgotten adapter, norm or scale does.
LARGEST_GAP: Final = 0.5


def self_test(policy: Policy, ask: Callable[[Prompt, int], CanaryAnswer]) -> float:
    """The largest difference in log-probability, in nats, between engine and trainer; `ask` hands the adapter over.

    Raises:
        EngineError: when they differ too much, or the engine does not notice the adapter.
    """
    prompt = policy.encode(Sample("lydite/self-test", QUESTION))
    with _some_adapter(policy):
        answer = ask(prompt, TOKENS)
        own = answer_logps(policy, prompt.token_ids, answer.token_ids)
        with policy.reference() if policy.adapted else nullcontext():
            without = answer_logps(policy, prompt.token_ids, answer.token_ids)
    gap = (own - torch.tensor(answer.logps)).abs()
    if not answer.token_ids or not bool((gap <= LARGEST_GAP).all()):  # not: NaN is no agreement
        raise EngineError(
            f"vLLM does not compute what the trainer computes: on an answer of {len(answer.token_ids)} tokens their "
            f"log-probabilities differ by {float(gap.max()) if len(gap) else float('nan'):.3g} nats "
            f"({LARGEST_GAP:g} is allowed); set engine.use = 'hf' for a model of type {policy.config.model_type!r}"
        )
    changed = float((own - without).abs().max())
    if policy.adapted and float((without - torch.tensor(answer.logps)).abs().max()) <= changed / 2:
        raise EngineError(
            "vLLM samples without the adapter: its log-probabilities are those of the base model; "
            "set engine.use = 'hf' and report the model"
        )
    return float(gap.max())


@contextmanager
def _some_adapter(policy: Policy) -> Iterator[None]:
    """While open, the adapter's B holds small random numbers, so that the adapter changes what is computed."""
    held = {name: one for name, one in policy.trainable().items() if ".lora_B." in name} if policy.adapted else {}
    before = {name: one.data.clone() for name, one in held.items()}
    draws = torch.Generator().manual_seed(0)
    try:
        for one in held.values():
            scale = 0.02 * torch.randn(one.shape, generator=draws)
            one.data.copy_(one.data + scale.to(one.device))
        yield
    finally:
        for name, one in held.items():
            one.data.copy_(before[name])
