"""From an engine's rollouts to the groups that rewards are asked about, and on to scored groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lydite.contracts import Format
from lydite.errors import RewardError
from lydite.rewards.cascade import Verdicts
from lydite.rewards.compose import Rule, compose_group
from lydite.types import Completion, Generated, Group, Rollout, ScoredCompletion, ScoredGroup


def read_group(rollout: Rollout, format: Format) -> Group:
    """A rollout's completions, each taken apart by the format.

    Raises:
        RewardError: when the format raises.
    """
    completions = tuple(_parsed(one, index, format) for index, one in enumerate(rollout.completions))
    return Group(rollout.prompt.sample, completions)


def scored_groups(
    rollouts: Sequence[Rollout], groups: Sequence[Group], rules: Mapping[str, Rule], verdicts: Verdicts, step: int
) -> tuple[ScoredGroup, ...]:
    """The groups with their components and totals, over the rewards that there are verdicts of; advantages are 0."""
    counted = {name: rule for name, rule in rules.items() if name in verdicts}
    found = []
    for number, (rollout, group) in enumerate(zip(rollouts, groups, strict=True)):
        places = [(number, index) for index in range(len(group.completions))]
        composed = compose_group(counted, {name: [verdicts[name][one] for one in places] for name in counted}, step)
        scored = tuple(
            ScoredCompletion(generated, completion, one.components, one.reward, 0.0)
            for generated, completion, one in zip(rollout.completions, group.completions, composed, strict=True)
        )
        found.append(ScoredGroup(rollout.prompt, scored))
    return tuple(found)


def _parsed(generated: Generated, index: int, format: Format) -> Completion:
    try:
        parsed = format.parse(generated.text)
    except Exception as error:
        raise RewardError(
            f"the format {type(format).__name__} raised {type(error).__name__}: {error}; a format returns a "
            "FormatError for what it cannot read, and never raises"
        ) from error
    return Completion(
        generated.text, parsed, generated.raw, generated.sampled, generated.finish_reason, index, generated.episode
    )
