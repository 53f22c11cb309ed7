"""How hard each prompt is for the policy: the share of its completions that passed, as it was over the run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from lydite.errors import CheckpointError
from lydite.rewards.compose import did_pass, dropped
from lydite.types import ScoredGroup

PASS_AT: Final = 1.0  # of verdicts that do not say whether they passed; those of a reward stack all do


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of one prompt."""

    pass_rate: float
    """From 0 to 1, an exponential average over its groups."""
    groups: int
    """Groups that could be judged."""
    step: int
    """When it was asked last."""


class DifficultyPool:
    """The standing of every prompt that was asked, by sample id."""

    def __init__(self, decay: float) -> None:
        self._decay = decay
        self._standings: dict[str, Standing] = {}
        self._before: dict[str, Standing | None] = {}  # of the prompts that the step under way has changed

    def __len__(self) -> int:
        return len(self._standings)

    def __iter__(self) -> Iterator[Standing]:
        return iter(self._standings.values())

    def get(self, sample: str) -> Standing | None:
        """The prompt's standing; None where it was never judged."""
        return self._standings.get(sample)

    def saw(self, sample: str, pass_share: float, step: int) -> Standing:
        """The prompt's new standing, after a group of which this share passed.

        The first group is taken as it is; then rate = decay * rate + (1 - decay) * share.
        """
        before = self._standings.get(sample)
        self._before.setdefault(sample, before)
        rate = pass_share
        if before is not None:
            rate = self._decay * before.pass_rate + (1.0 - self._decay) * pass_share
        after = Standing(rate, 1 if before is None else before.groups + 1, step)
        self._standings[sample] = after
        return after

    def begin_step(self) -> None:
        """From now on, `undo_step` comes back to here."""
        self._before = {}

    def undo_step(self) -> None:
        """Forgets what was seen since `begin_step`."""
        for sample, before in self._before.items():
            if before is None:
                self._standings.pop(sample, None)
            else:
                self._standings[sample] = before
        self._before = {}

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint, in JSON terms."""
        return {sample: [one.pass_rate, one.groups, one.step] for sample, one in self._standings.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on from a state.

        Raises:
            CheckpointError: when it is none of a pool.
        """
        try:
            self._standings = {
                sample: Standing(float(rate), int(groups), int(step)) for sample, (rate, groups, step) in state.items()
            }
        except (AttributeError, TypeError, ValueError) as error:
            raise CheckpointError(f"the state of the difficulty pool cannot be read: {error}") from None


def pass_share(group: ScoredGroup, pass_by: Sequence[str]) -> float | None:
    """The share of a group's completions that passed these rewards; None where none of them could be judged.

    A completion has passed when every one of the rewards that could judge it says so. A reward that failed by the
    prompt's fault (bad gold, judge down) says nothing of the group.
    """
    said: list[list[bool]] = [[] for _ in group.completions]
    for name in pass_by:
        verdicts = [one.components[name].verdict for one in group.completions]
        if dropped(verdicts):
            continue
        for index, verdict in enumerate(verdicts):
            passed = did_pass(verdict, PASS_AT)
            if passed is not None:
                said[index].append(passed)
    judged = [all(one) for one in said if one]
    return sum(judged) / len(judged) if judged else None
