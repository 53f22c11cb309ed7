"""Which prompts are asked, which of their groups are trained on, and what is kept of them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lydite.config.section import Section, Texts


class SamplingConfig(Section):
    """Which prompts a step asks, and which of their groups it trains on."""

    max_refills: int = Field(0, ge=0)
    """Dynamic sampling: rounds in which further prompts are asked, in place of groups whose rewards do not differ.

    0: none. Each round asks at most as many prompts as the step has."""
    flat_groups: Literal["keep", "drop"] = "keep"
    """What becomes of groups whose rewards do not differ where nothing better took their place: they fill the step, or
    the step goes on with fewer groups."""
    order: Literal["shuffle", "curriculum", "frontier"] = "shuffle"
    """shuffle: epochs, as data.shuffle says. curriculum: from easy to hard. frontier: mostly prompts near `target`."""
    difficulty_column: str | None = None
    """A column of numbers that the curriculum goes by, the smallest first; None: by pass rate, the highest first."""
    target: float = Field(0.5, ge=0.0, le=1.0)
    """The pass rate that the frontier prefers."""
    exploration: float = Field(0.2, ge=0.0, le=1.0)
    """Share of the frontier's prompts that are taken in the order of `shuffle`, so that every prompt has its turn."""
    pass_by: Texts = ()
    """Rewards that must have passed for a completion to count as passed; empty: those that pay for the answer."""
    pass_rate_decay: float = Field(0.5, ge=0.0, lt=1.0)
    """Weight of what a prompt's pass rate was, each time that it is asked again; 0: the last group alone counts."""
    retire_at: float | None = Field(None, gt=0.0, le=1.0)
    """Prompts with at least this pass rate are asked no more; None: none are retired."""
    retire_after: int = Field(2, ge=1)
    """Groups of a prompt before it can be retired."""
    retest_every: int = Field(100, ge=1)
    """Steps after which a retired prompt may be asked again; when it fails, it is back."""
    keep_rollouts: bool = False
    """Saves what each step was trained on, so that `lydite replay` can redo its updates."""
