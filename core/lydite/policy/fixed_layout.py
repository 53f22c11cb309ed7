"""A packed micro-batch filled up to one of a few sizes, so that what was recorded of one pass serves others.

    [prompt a b c][prompt d e][filling]

The filling is a prompt of its own: nothing else sees it, and no gradient comes from it. What differs between two passes
of one size are then the numbers in tensors of the same shapes, at the same addresses where they are copied there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

import torch
from torch import Tensor

from lydite.kernels.rows import power_of_two
from lydite.policy.layout import Layout, PackedGroup, Places, Segments
from lydite.policy.sending import sent

_LEAST_RUNS: Final = 16  # fewer sizes to record; a run without tokens costs a call next to nothing
_LEAST_GROUPS: Final = 4


@dataclass(frozen=True, slots=True)
class Size:
    """What a pass is filled up to, the filling counted."""

    tokens: int
    runs: int
    """Prompts and completions."""
    groups: int
    """Groups with a written token."""


def size_for(layout: Layout, tokens: int) -> Size | None:
    """The size with so many tokens that the layout fits into; None where it does not, or has no written token.

    Of runs and groups powers of two, so that there are few sizes. One token at least is filling.
    """
    groups = sum(1 for group in layout.groups if group.written)
    if layout.tokens >= tokens or not groups:
        return None
    runs = len(layout.runs())
    return Size(tokens, max(_LEAST_RUNS, power_of_two(runs + 1)), max(_LEAST_GROUPS, power_of_two(groups + 1)))


def filled_layout(layout: Layout, size: Size) -> Layout:
    """The layout with its filling, `size.tokens` tokens in all."""
    return Layout((*layout.groups, PackedGroup(size.tokens - layout.tokens, ())))


def filled_places(layout: Layout, size: Size, device: torch.device) -> Places:
    """What the two variable-length calls need of the filled layout, in tensors whose shapes follow from the size.

    Runs and groups that there are not have no tokens. What is left of the tokens that attend to a prompt, and of the
    prompts' tokens, is the filling's first token as often as needed: one more group, which attends to itself. Its rows
    may be written in any order, and hold finite numbers whatever it is.
    """
    across, tokens, filling = layout.across(), size.tokens, layout.tokens
    late, early = tokens - len(across.completions), tokens - len(across.prompts)
    runs = [*layout.runs(), tokens - layout.tokens]
    return Places(
        own=_segments(runs, runs, size.runs, tokens, device),
        across=_segments([*across.written, late], [*across.prompted, early], size.groups, tokens, device),
        completions=sent([*across.completions, *[filling] * late], torch.int64, device),
        prompts=sent([*across.prompts, *[filling] * early], torch.int64, device),
    )


def tensors_of(places: Places) -> tuple[Tensor, ...]:
    """The tensors of filled places, in one order."""
    assert places.across is not None, "filled places have the filling's group at least"
    bounds = (places.own.bounds_q, places.own.bounds_k, places.across.bounds_q, places.across.bounds_k)
    return (*bounds, places.completions, places.prompts)


def copied(places: Places) -> Places:
    """The same numbers in tensors of their own."""
    assert places.across is not None
    own_q, own_k, across_q, across_k, completions, prompts = (one.clone() for one in tensors_of(places))
    own, across = places.own, places.across
    return Places(
        own=Segments(own_q, own_k, own.longest_q, own.longest_k),
        across=Segments(across_q, across_k, across.longest_q, across.longest_k),
        completions=completions,
        prompts=prompts,
    )


def _segments(queries: Sequence[int], keys: Sequence[int], count: int, longest: int, device: torch.device) -> Segments:
    # The longest run is a number of the host, which a recorded call keeps: the longest that there can be.
    return Segments(_bounds(queries, count, device), _bounds(keys, count, device), longest, longest)


def _bounds(lengths: Sequence[int], count: int, device: torch.device) -> Tensor:
    ends = [0, *accumulate(lengths)]
    return sent([*ends, *[ends[-1]] * (count - len(lengths))], torch.int32, device)
