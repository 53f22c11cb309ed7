"""The reward for keeping to the format, whatever the format is."""

from __future__ import annotations

from lydite import Completion, Parsed, Verdict, reward


@reward(range=(0.0, 1.0), isolation="inline", pays_for="form")
def followed(completion: Completion) -> Verdict:
    """1 for a completion that keeps to the run's format, 0 with the format's reason code for one that does not."""
    if isinstance(completion.parsed, Parsed):
        return Verdict(1.0, passed=True, reason="format.followed", parsed=completion.parsed.answer)
    return Verdict(0.0, passed=False, reason=completion.parsed.reason)
