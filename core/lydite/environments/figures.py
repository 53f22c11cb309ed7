"""What a step's episodes came to, as metrics."""

from __future__ import annotations

import typing
from collections.abc import Sequence

from lydite.types import Ended, Episode, Scored

ENDINGS: tuple[Ended, ...] = typing.get_args(Ended)


def episode_figures(scored: Scored) -> dict[str, float]:
    """Figures of the step's episodes; nothing in a run without an environment.

    - `episodes/turns/{mean,max}`: of the model's turns.
    - `episodes/reward`: the mean of what environments paid, over the episodes that were paid.
    - `episodes/ended/{done,max_turns,length,deadline,error}`: shares of all episodes.
    - `episodes/inserted_tokens`: tokens that environments put into an episode, on average.
    - `tools/call_frequency`: outputs of tools in an episode, on average (TRL's name).
    """
    every = [one.generated for group in scored.groups for one in group.completions]
    episodes = [one.episode for one in every if one.episode is not None]
    if not episodes:
        return {}
    turns = [_said_by("assistant", one) for one in episodes]
    paid = [one.reward for one in episodes if one.reward is not None]
    return {
        "episodes/turns/mean": _mean(turns),
        "episodes/turns/max": float(max(turns)),
        "episodes/reward": _mean(paid),
        **{f"episodes/ended/{way}": _mean([one.ended == way for one in episodes]) for way in ENDINGS},
        "episodes/inserted_tokens": _mean([len(one.token_ids) - one.sampled for one in every]),
        "tools/call_frequency": _mean([_said_by("tool", one) for one in episodes]),
    }


def _said_by(role: str, episode: Episode) -> int:
    return sum(turn["role"] == role for turn in episode.turns)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
