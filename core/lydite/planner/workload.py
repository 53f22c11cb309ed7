"""What a run asks of its engine and its trainer at once, in sequences and tokens."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from lydite.config import RunConfig
from lydite.planner.shapes import ModelShapes

BLOCK: Final = 32  # tokens of one block of vLLM's KV cache, where its CPU build takes multiples of 32 only
MOST_SEQUENCES: Final = 1024  # beyond this many a decode step is bound by arithmetic, and more only cost memory
# The engine hf's own batch: flat in time from 1 to 64 rows on a CPU, and small enough for the cache of any card.
HF_SEQUENCES: Final = 64
LEAST_ROOM: Final = 512  # tokens; the fixed prompt that engine and trainer are compared on has 100 to 400
JUDGE: Final = "engine"  # the judge that asks the run's own model
_JUDGE_TOKENS: Final = 1024  # a judge's own words, and its verdict


@dataclass(frozen=True, slots=True)
class PassSize:
    """What one training forward pass goes over."""

    tokens: int
    """Padding included."""
    keys: int
    """Tokens of prompts, and of prompt and completion for every completion; where it is padded, as `tokens`."""
    pairs: int
    """Pairs of tokens that may see one another."""
    mask: int
    """The pairs of the largest mask; where it is padded, as `pairs`."""
    completion_tokens: int
    """Those whose logits are asked for, at most."""
    packed: bool
    """True: one sequence without padding, each prompt once."""

    @classmethod
    def of_padded(cls, rows: int, prompt: int, completion: int) -> PassSize:
        """Of completions that are filled up to one length, each behind its own prompt."""
        each = prompt + completion
        return cls(rows * each, rows * each, rows * each**2, rows * each**2, rows * completion, packed=False)

    @classmethod
    def of_packed(cls, groups: Sequence[tuple[int, Sequence[int]]]) -> PassSize:
        """Of groups, each the tokens of its prompt and of its completions.

        A group's completions attend as a batch that is filled up to its longest.
        """
        filled = [(prompt, len(answers), max(answers)) for prompt, answers in groups]
        return cls(
            tokens=sum(prompt + sum(answers) for prompt, answers in groups),
            keys=sum(prompt + count * (prompt + longest) for prompt, count, longest in filled),
            pairs=sum(prompt**2 + count * longest * (prompt + longest) for prompt, count, longest in filled),
            mask=sum(
                {(prompt, longest): prompt**2 + longest * (prompt + longest) for prompt, _, longest in filled}.values()
            ),
            completion_tokens=sum(sum(answers) for _, answers in groups),
            packed=True,
        )


@dataclass(frozen=True, slots=True)
class Workload:
    """The sizes of a step, at its longest."""

    prompt: int
    """Tokens of the longest prompt, the evaluation's included."""
    completion: int
    """Tokens of the longest completion, the evaluation's included."""
    longest: int
    """Tokens that one sequence may have in the engine."""
    sequences: int
    """Decoded at once."""
    prefill_tokens: int
    """Tokens of prompts that are read at once."""
    graph_sizes: tuple[int, ...]
    """Numbers of sequences that a recorded decode step is kept for."""
    training: PassSize
    """The largest micro-batch."""


def workload(
    config: RunConfig, shapes: ModelShapes, *, sequences: int, prefill_tokens: int, graph_sizes: tuple[int, ...]
) -> Workload:
    """The run's sizes, for an engine of these."""
    train, evaluation = config.train, config.eval
    prompt, completion = config.data.max_prompt_length, train.max_completion_length
    longest_prompt, longest_completion = prompt, completion
    if evaluation is not None:
        if evaluation.data is not None:
            longest_prompt = max(prompt, evaluation.data.max_prompt_length)
        longest_completion = max(completion, evaluation.max_completion_length or 0)
    longest = min(max(longest_prompt + longest_completion, LEAST_ROOM), max(shapes.context_length, 1))
    if asks_own_model(config):
        longest = min(2 * longest + _JUDGE_TOKENS, max(longest, shapes.context_length))
    shared = train.share_prompts and shapes.shares_prompts
    return Workload(
        prompt=longest_prompt,
        completion=longest_completion,
        longest=longest,
        sequences=sequences,
        prefill_tokens=prefill_tokens,
        graph_sizes=graph_sizes,
        training=_micro_batch(config, prompt, packed=shared),
    )


def _micro_batch(config: RunConfig, prompt: int, *, packed: bool) -> PassSize:
    """The largest micro-batch: so many completions at full length, or a whole budget of tokens.

    Shorter completions use up a budget too; only one that is longer by itself, or its pair, goes beyond it.
    """
    train, unit = config.train, 2 if config.algorithm == "online_dpo" else 1
    completion, budget = train.max_completion_length, train.micro_batch_tokens
    group, update = _trained(config)
    batch = min(max(train.per_device_train_batch_size // unit * unit, unit), update)
    if not packed:
        rows = batch
        if budget is not None:
            rows = min(max(budget // (prompt + completion) // unit, 1) * unit, update)
        return PassSize.of_padded(rows, prompt, completion)
    if budget is None:
        whole, left = divmod(batch, group)
        return PassSize.of_packed(
            [(prompt, [completion] * group)] * whole + [(prompt, [completion] * left)] * bool(left)
        )
    everything = math.ceil(update / group) * prompt + update * completion
    tokens = max(min(budget, everything), prompt + unit * completion)
    answers = tokens - prompt
    together = min(group, update, math.ceil(answers / completion))
    return PassSize.of_packed([(prompt, [math.ceil(answers / together)] * together)])


def _trained(config: RunConfig) -> tuple[int, int]:
    """How many completions of a prompt are trained on, and how many of an update: all, but for those of no pair."""
    train, own = config.train, config.online_dpo
    group, update = train.num_generations, train.update_batch_size
    if config.algorithm != "online_dpo" or (own is not None and own.pairs == "ranked"):
        return group, update
    return 2, 2 * (update // group)


def asks_own_model(config: RunConfig) -> bool:
    """True when a judge of this run is the run's own model: it reads prompt and answer together."""
    rewards = [*config.rewards.values(), *([config.eval.reward] if config.eval is not None else [])]
    return any(reward.judge == JUDGE for reward in rewards)


def sequences_wanted(config: RunConfig) -> int:
    """Completions that a step or an evaluation asks for at once."""
    return max(config.train.generation_batch_size, config.eval.n if config.eval is not None else 0)


def kv_tokens(config: RunConfig, work: Workload, sequences: int) -> int:
    """Tokens that so many sequences keep at full length, in whole blocks; a group keeps its prompt once.

    The evaluation's prompts have one completion each. Never less than one whole sequence, and a block that the
    engine keeps to itself.
    """
    train, evaluation = config.train, config.eval
    own = min(sequences, train.generation_batch_size)
    groups = math.ceil(own / train.num_generations)
    # A completion begins in the middle of its prompt's last block, of which each has its own copy.
    needs = [
        groups * _blocks(config.data.max_prompt_length) + own * _blocks(train.max_completion_length + BLOCK),
        _blocks(work.longest),
    ]
    if evaluation is not None:
        prompt = (evaluation.data or config.data).max_prompt_length
        completion = evaluation.max_completion_length or train.max_completion_length
        needs.append(min(sequences, evaluation.n) * _blocks(prompt + completion))
    return (max(needs) + 1) * BLOCK


def _blocks(tokens: int) -> int:
    return math.ceil(tokens / BLOCK)
