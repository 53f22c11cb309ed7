"""The engine `hf`: the training model itself decodes. One copy of the weights, the adapter never merged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Literal

from lydite.errors import ModelError
from lydite.planner import free_memory
from lydite.policy import Policy
from lydite.policy.decode import Decoded, decode
from lydite.policy.past import Past
from lydite.policy.sampler import Draw, uniform_table
from lydite.rollout.engine import CanaryAnswer, Sampling
from lydite.types import Generated, Prompt, Rollout

# Of the memory that is free, for what is kept of conversations: as much again is under way while they are laid out for
# the next turn, and decoding needs its own.
_KEPT: Final = 0.1


@dataclass(frozen=True, slots=True)
class _Part:
    """Completions `first` to `first + copies - 1` of some prompts, decoded together."""

    prompts: tuple[int, ...]
    first: int
    copies: int


class HfEngine:
    """Samples with transformers' own forward of the policy's model, in batches of at most `max_batch_size` rows."""

    name = "hf"
    shares_weights = True

    def __init__(self, policy: Policy, *, max_batch_size: int) -> None:
        self._policy = policy
        self._max_batch_size = max_batch_size
        self._past: Past | None = None

    @contextmanager
    def conversing(self) -> Iterator[None]:
        """While open, keys and values of what the policy samples are kept for the next turn.

        The same tokens as without; see `HoldsConversations`.
        """
        self._past = Past(int(_KEPT * free_memory(self._policy.device, policy_loaded=True).free))
        try:
            yield
        finally:
            self._past = None

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling, seed: int) -> list[Rollout]:
        """One rollout for each prompt, in order; see `Engine.generate`.

        Raises:
            ModelError: on a prompt without tokens.
        """
        for prompt in prompts:
            if not prompt.token_ids:
                raise ModelError(
                    f"the prompt of sample {prompt.sample.id!r} has no tokens; a completion needs one to follow"
                )
        draw = Draw(sampling.temperature, sampling.top_k, sampling.top_p, sampling.min_p)
        made: list[list[Decoded | None]] = [[None] * sampling.num_generations for _ in prompts]
        past = None if self._policy.is_reference else self._past  # those are other weights
        unread = [len(one.token_ids) if past is None else past.unread(one.token_ids) for one in prompts]
        with self._policy.sampling():
            for part in _parts(unread, sampling.num_generations, self._max_batch_size):
                rows = [
                    (place, index) for place in part.prompts for index in range(part.first, part.first + part.copies)
                ]
                table = uniform_table(
                    seed, [(prompts[place].sample.id, index) for place, index in rows], sampling.max_completion_length
                )
                token_ids = [prompts[place].token_ids for place in part.prompts]
                done = decode(self._policy, token_ids, part.copies, sampling.max_completion_length, draw, table, past)
                for (place, index), one in zip(rows, done, strict=True):
                    made[place][index] = one
        if past is not None:
            past.turn()
        return [
            Rollout(prompt, tuple(self._generated(one) for one in group if one is not None))
            for prompt, group in zip(prompts, made, strict=True)
        ]

    def canary(self, prompt: Prompt, tokens: int) -> CanaryAnswer | None:
        """The greedy answer of at most so many tokens; nothing is cached between calls."""
        greedy = Sampling(num_generations=1, max_completion_length=tokens, temperature=0.0)
        answer = self.generate([prompt], greedy, seed=0)[0].completions[0]
        assert answer.logps is not None
        return CanaryAnswer(answer.token_ids, answer.logps, cached_tokens=0)

    def take_adapter(self, policy: Policy) -> None:
        """Samples from this policy from now on; its weights are used where they are."""
        self._policy = policy

    def close(self) -> None:
        """Nothing to give back: the weights are the policy's."""

    def _generated(self, one: Decoded) -> Generated:
        text, raw = self._policy.decode(one.token_ids)
        reason: Literal["stop", "length"] = "stop" if one.stopped else "length"
        return Generated(one.token_ids, text, raw, reason, one.logps)


def _parts(lengths: Sequence[int], copies: int, most: int) -> Iterator[_Part]:
    """Batches of at most `most` rows: whole groups of prompts of like length, or slices of one group.

    Lengths are those that are read.
    """
    if copies > most:
        for place in range(len(lengths)):
            for first in range(0, copies, most):
                yield _Part((place,), first, min(most, copies - first))
        return
    by_length = sorted(range(len(lengths)), key=lambda place: lengths[place])
    together = most // copies
    for start in range(0, len(by_length), together):
        yield _Part(tuple(by_length[start : start + together]), 0, copies)
