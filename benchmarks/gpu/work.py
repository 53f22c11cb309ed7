"""What a step consists of: prompts, groups, how long each completion is, and the arithmetic that takes.

Random weights never end an answer sensibly, so lengths are given. `fix_lengths` and `trl_steps.fixed_rollout` make
both trainers' engines stop at them; the rows of a step have the same lengths in every arm and in every step.
"""

from __future__ import annotations

import argparse
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from benchmarks.gpu.shapes import BIG, LINEARS, SHAPES, Shape

PEAK: Final = 780e12
"""FLOP/s of bf16 products that an H100 was measured to reach."""
SEED: Final = 0
MEDIAN: Final = 300
SPREAD: Final = 0.6  # sigma of the logarithm
SHORTEST: Final = 64


@dataclass(frozen=True, slots=True)
class Scenario:
    """A step's sizes."""

    prompt: int
    """Tokens of a prompt."""
    new: int
    """Tokens of the longest completion; of every one, unless they are ragged."""
    groups: int
    group: int
    """Completions of one prompt."""
    ragged: bool = False
    """Lengths from a lognormal distribution, median 300, sigma 0.6, clipped to 64 and `new`."""


SCENARIOS: Final = {
    "S": Scenario(prompt=128, new=256, groups=32, group=8),
    "M": Scenario(prompt=256, new=1024, groups=32, group=8, ragged=True),
    "P": Scenario(prompt=1024, new=256, groups=16, group=16),
}


@dataclass(frozen=True, slots=True)
class Work:
    """One step's tokens."""

    prompt: int
    group: int
    lengths: tuple[int, ...]
    """Tokens of each completion, group by group."""

    @property
    def new(self) -> int:
        """Tokens that are sampled."""
        return sum(self.lengths)

    @property
    def real(self) -> int:
        """Tokens of all completions, each with its own copy of its prompt, none of them padding."""
        return self.new + self.prompt * len(self.lengths)

    @property
    def unique(self) -> int:
        """The same with one copy of the prompt for each group."""
        return self.new + self.prompt * (len(self.lengths) // self.group)

    def seen(self, *, shared: bool) -> int:
        """Pairs of a token and one that it attends to, itself included; `shared`: with one copy of a prompt a group."""
        copies = len(self.lengths) // self.group if shared else len(self.lengths)
        return copies * _triangle(self.prompt) + sum(self.prompt * one + _triangle(one) for one in self.lengths)


def work_of(given: argparse.Namespace) -> Work:
    """The work that the command line asks for."""
    lengths = [given.new] * given.sequences
    if given.ragged:
        shrunk = given.new / SCENARIOS["M"].new  # less than 1 in a trial with a toy
        lengths = ragged_lengths(given.sequences, round(SHORTEST * shrunk), MEDIAN * shrunk, given.new)
    return Work(given.prompt, given.group, tuple(lengths))


def ragged_lengths(count: int, shortest: int, median: float, longest: int, seed: int = SEED) -> list[int]:
    """Lengths from a lognormal distribution, cut to the two limits; those that a seed gives."""
    drawn = random.Random(seed)
    draws = [drawn.lognormvariate(math.log(median), SPREAD) for _ in range(count)]
    return [min(longest, max(shortest, 1, round(one))) for one in draws]


def training_flops(shape: Shape, work: Work, *, shared: bool) -> float:
    """FLOPs of a step's forward and backward pass, without those of what is only computed again.

    A frozen matrix of n weights takes 2 n forward and 2 n for the gradient of its input, for each token; the head
    the same for each completion token; attention 4 and 8 times its width for each pair of tokens and layer. The
    adapter (under 2 %) is left out.
    """
    tokens = work.unique if shared else work.real
    linear = shape.layers * sum(inputs * outputs for inputs, outputs in map(shape.linear_sizes, LINEARS))
    head = shape.hidden * shape.vocabulary
    attention = 12 * shape.heads * shape.head_dim * shape.layers
    return float(4 * linear * tokens + 4 * head * work.new + attention * work.seen(shared=shared))


def shape_of(given: argparse.Namespace) -> Shape:
    """The shape of the model that is asked for."""
    return BIG if given.model == "l70" else SHAPES[given.model]


def fix_lengths(engine: Any, policy: Any, lengths: Sequence[int]) -> None:
    """From now on each completion of a whole step has its own length.

    vLLM gets it as the limit of its request, beside which `Sampling` knows one limit for all; what another engine
    has made beyond it is cut off, and its time counts. A smaller batch, such as a sentinel's question, is left alone.
    """
    from lydite.types import Generated, Rollout

    inner = engine.generate
    if hasattr(engine, "_ask"):
        ask = engine._ask

        def asked(prompts: Any, table: Any) -> Any:
            if len(table.limits) == len(lengths):
                table.limits = [min(pair) for pair in zip(table.limits, lengths, strict=True)]
            return ask(prompts, table)

        engine._ask = asked

    def cut(one: Generated, length: int) -> Generated:
        if len(one.token_ids) <= length:
            return one
        text, raw = policy.decode(one.token_ids[:length])
        logps = None if one.logps is None else one.logps[:length]
        return Generated(one.token_ids[:length], text, raw, "length", logps)

    def generate(prompts: Any, sampling: Any, seed: int) -> list[Rollout]:
        made = inner(prompts, sampling, seed)
        if len(made) * sampling.num_generations != len(lengths):
            return made  # type: ignore[no-any-return]
        left = iter(lengths)
        return [Rollout(one.prompt, tuple(cut(each, next(left)) for each in one.completions)) for one in made]

    engine.generate = generate


def _triangle(length: int) -> int:
    return length * (length + 1) // 2
