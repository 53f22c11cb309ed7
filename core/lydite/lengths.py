"""How long a step's completions are, by TRL's metric names."""

from __future__ import annotations

from lydite.types import Scored


def lengths(scored: Scored) -> dict[str, float]:
    """Lengths of the step's completions in tokens, by TRL's names; `terminated` ones ended by themselves."""
    every = [one.completion for group in scored.groups for one in group.completions]
    lengths = [one.tokens for one in every]
    ended = [one.tokens for one in every if not one.truncated]
    return {
        "completions/mean_length": sum(lengths) / len(lengths),
        "completions/min_length": float(min(lengths)),
        "completions/max_length": float(max(lengths)),
        "completions/clipped_ratio": 1.0 - len(ended) / len(every),
        "completions/mean_terminated_length": sum(ended) / len(ended) if ended else 0.0,
        "completions/min_terminated_length": float(min(ended, default=0)),
        "completions/max_terminated_length": float(max(ended, default=0)),
    }
