"""A run's samples as the model will read them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lydite.data import Skipped, drop_long_prompts
from lydite.environments.offered import NOTHING_SAID
from lydite.errors import DataError
from lydite.policy import Policy
from lydite.prepare import Prepared
from lydite.types import Prompt, Sample


@dataclass(frozen=True, slots=True)
class Prompts:
    """The run's samples as the model will read them."""

    train: tuple[Prompt, ...]
    heldout: tuple[Prompt, ...]
    skipped: tuple[Skipped, ...]


def encode_prompts(prepared: Prepared, policy: Policy) -> Prompts:
    """Every sample under the model's chat template; those that are too long are listed, never cut.

    Where the run has an environment, what it opens with is part of the prompt, and so are the tools that it offers.

    Raises:
        DataError: when fewer prompts are left than one step needs, or an environment cannot begin with a sample.
    """
    config = prepared.config
    instructions = prepared.format.instructions if config.format.instruct else ""
    environments = prepared.environments
    made: dict[str, Prompt] = {}

    def length(sample: Sample) -> int:
        opening = environments.opening(sample) if environments is not None else NOTHING_SAID
        made[sample.id] = policy.encode(
            sample, instructions=instructions, system=config.data.system,
            opening=opening.messages, tools=opening.tools,
        )  # fmt: skip
        return len(made[sample.id].token_ids)

    def encoded(samples: Sequence[Sample], limit: int) -> tuple[tuple[Prompt, ...], tuple[Skipped, ...]]:
        made.clear()
        kept, skipped = drop_long_prompts(samples, length, limit)
        return tuple(made[sample.id] for sample in kept), tuple(skipped)

    train, long = encoded(prepared.data.train, config.data.max_prompt_length)
    heldout_limit = (config.eval.data if config.eval and config.eval.data else config.data).max_prompt_length
    heldout, long_heldout = encoded(prepared.data.heldout, heldout_limit)
    if len(train) < config.train.prompts_per_step:
        raise DataError(
            f"a step needs {config.train.prompts_per_step} prompts, and {len(train)} are left of "
            f"{len(prepared.data.train)}: {len(long)} are longer than data.max_prompt_length = "
            f"{config.data.max_prompt_length} tokens"
        )
    if config.eval is not None and not heldout:
        raise DataError(f"all {len(prepared.data.heldout)} held-out prompts are longer than {heldout_limit} tokens")
    return Prompts(train, heldout, (*prepared.data.skipped, *long, *long_heldout))
