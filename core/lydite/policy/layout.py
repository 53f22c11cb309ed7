"""Where each token of a packed micro-batch stands: groups end to end, each its prompt once and then its completions.

    [prompt a b c][prompt d e]

There is no padding. A completion's token sees its group's prompt and its own completion up to itself, and its
position counts on from the prompt's end, so every hidden state is what it is when prompt and completion stand alone.

Source: the arrangement is that of Prefix Grouper (arXiv 2506.05433), here for any number of groups in one sequence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate

import torch
from torch import Tensor

from lydite.policy.sending import sent

ALIGNED = 16  # numbers; CUDA's attention with a mask copies one whose rows are not so aligned, in every layer


@dataclass(frozen=True, slots=True)
class PackedGroup:
    """A prompt and its completions, in tokens."""

    prompt: int
    """Tokens of the prompt, at least one."""
    completions: tuple[int, ...]
    """Tokens of each completion as written: its last token predicts nothing and is not, so 0 is possible."""

    @property
    def written(self) -> int:
        """Tokens of all completions."""
        return sum(self.completions)

    @property
    def tokens(self) -> int:
        """Tokens of prompt and completions."""
        return self.prompt + self.written


@dataclass(frozen=True, slots=True, eq=False)
class Segments:
    """One variable-length attention: the i-th run of queries attends to the i-th run of keys.

    `bounds_q` and `bounds_k` are [runs + 1] int32, where each run begins and the last one ends; the longest runs
    are counted in tokens.
    """

    bounds_q: Tensor
    bounds_k: Tensor
    longest_q: int
    longest_k: int


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """The two calls that make up a packed attention, on one device.

    `own` is causal over each prompt and each completion alone. `across` lets the completions of a group attend to
    their prompt: its queries are the tokens `completions` [T] int64 and its keys the tokens `prompts` [K] int64 of
    the packed sequence; None where no completion has a written token.
    """

    own: Segments
    across: Segments | None
    completions: Tensor
    prompts: Tensor


@dataclass(frozen=True, slots=True)
class Across:
    """Of each group with a written token: how many are written, how many its prompt has, and where both stand."""

    written: list[int]
    prompted: list[int]
    completions: list[int]
    prompts: list[int]


@dataclass(frozen=True, slots=True, eq=False)
class Windowed:
    """The one call that makes up a packed attention with a window, on one device.

    Every prompt and completion is a run of queries. The keys of a completion are the end of its prompt that the
    window may reach, and its own: `keys` [K] int64 are all of them, in the packed sequence.
    """

    segments: Segments
    keys: Tensor


@dataclass(frozen=True, eq=False)
class Layout:
    """The groups of a packed micro-batch, in order, and what attention derives from them, made once and kept.

    Raises:
        ValueError: without a group, or where a length cannot be.
    """

    groups: tuple[PackedGroup, ...]
    _kept: dict[tuple[object, ...], object] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        for group in self.groups:
            if group.prompt < 1 or min(group.completions, default=0) < 0:
                raise ValueError(f"a prompt of at least 1 token and completions of at least 0 were expected: {group}")
        if not self.groups:
            raise ValueError("a packed micro-batch needs at least one group; got none")

    @cached_property
    def tokens(self) -> int:
        """S, the length of the packed sequence."""
        return sum(group.tokens for group in self.groups)

    @cached_property
    def longest(self) -> int:
        """Tokens of the longest prompt with one of its completions: one more than the largest position."""
        return max(group.prompt + max(group.completions, default=0) for group in self.groups)

    @cached_property
    def spans(self) -> tuple[tuple[int, int], ...]:
        """First token of each group, and the one after its last."""
        ends = list(accumulate(group.tokens for group in self.groups))
        return tuple(zip([0, *ends[:-1]], ends, strict=True))

    def positions(self) -> list[int]:
        """Each token's position [S], counted from its prompt's first token."""
        return [position for group in self.groups for position in _positions(group)]

    def runs(self) -> list[int]:
        """Tokens of each prompt and each completion that has any, in order."""
        return [run for group in self.groups for run in (group.prompt, *group.completions) if run]

    def across(self) -> Across:
        """Where the tokens stand of which some attend to others' prompt."""
        answered = [(one, start) for one, (start, _) in zip(self.groups, self.spans, strict=True) if one.written]
        return Across(
            written=[group.written for group, _ in answered],
            prompted=[group.prompt for group, _ in answered],
            completions=[at for group, start in answered for at in range(start + group.prompt, start + group.tokens)],
            prompts=[at for group, start in answered for at in range(start, start + group.prompt)],
        )

    def hold(self, places: Places, device: torch.device) -> None:
        """From now on `places` are what the two variable-length calls are given on `device`."""
        self._kept["places", device] = places

    def places(self, device: torch.device) -> Places:
        """What the two variable-length calls need, on `device`."""
        key = ("places", device)
        if key not in self._kept:
            self._kept[key] = _places(self, device)
        found = self._kept[key]
        assert isinstance(found, Places)
        return found

    def windowed(self, window: int, device: torch.device) -> Windowed:
        """What the one variable-length call with a window of so many tokens needs, on `device`."""
        key = ("windowed", window, device)
        if key not in self._kept:
            self._kept[key] = _windowed(self.groups, self.spans, window, device)
        found = self._kept[key]
        assert isinstance(found, Windowed)
        return found

    def filled(self, index: int, device: torch.device) -> Tensor | None:
        """Where each written token of a group stands once its completions are as long as the longest: [W] int64.

        Completions without a token are left out. None where nothing has to be filled up.
        """
        lengths = [length for length in self.groups[index].completions if length]
        if len(set(lengths)) <= 1:
            return None
        key = ("filled", index, device)
        if key not in self._kept:
            rows = [row * max(lengths) + place for row, length in enumerate(lengths) for place in range(length)]
            self._kept[key] = sent(rows, torch.int64, device)
        found = self._kept[key]
        assert isinstance(found, Tensor)
        return found

    def mask(
        self, queries: int, keys: int, window: int | None, dtype: torch.dtype, device: torch.device, repeated: int = 1
    ) -> Tensor:
        """A causal mask [repeated * queries, keys] whose last query is the last key: bool, or 0 and -inf to be added.

        With `window`, a query sees the last so many keys up to its own. Groups of the same lengths share masks.
        """
        window = None if window is None or window >= keys else window
        key = ("mask", queries, keys, window, dtype, device, repeated)
        if key not in self._kept:
            self._kept[key] = _mask(queries, keys, window, dtype, device, repeated)
        found = self._kept[key]
        assert isinstance(found, Tensor)
        return found


def _positions(group: PackedGroup) -> list[int]:
    found = list(range(group.prompt))
    for length in group.completions:
        found += range(group.prompt, group.prompt + length)
    return found


def _mask(
    queries: int, keys: int, window: int | None, dtype: torch.dtype, device: torch.device, repeated: int
) -> Tensor:
    last = torch.arange(keys - queries, keys, device=device)[:, None]
    behind = last - torch.arange(keys, device=device)
    seen = ((behind >= 0) & (behind < (window or keys))).repeat(repeated, 1)
    if dtype == torch.bool:
        return seen
    padded = -(-keys // ALIGNED) * ALIGNED
    return torch.zeros(len(seen), padded, dtype=dtype, device=device)[:, :keys].masked_fill_(~seen, float("-inf"))


def _places(layout: Layout, device: torch.device) -> Places:
    runs, across = layout.runs(), layout.across()
    calls = _segments(across.written, across.prompted, device)
    return Places(
        own=_segments(runs, runs, device),
        across=calls if across.written else None,
        completions=sent(across.completions, torch.int64, device),
        prompts=sent(across.prompts, torch.int64, device),
    )


def _windowed(
    groups: Sequence[PackedGroup], spans: Sequence[tuple[int, int]], window: int, device: torch.device
) -> Windowed:
    queries: list[int] = []
    keys: list[int] = []
    places: list[int] = []
    for group, (start, _) in zip(groups, spans, strict=True):
        end = start + group.prompt
        queries.append(group.prompt)
        keys.append(group.prompt)
        places += range(start, end)
        tail = range(max(start, end - window + 1), end)
        for length in filter(None, group.completions):
            queries.append(length)
            keys.append(len(tail) + length)
            places += [*tail, *range(end, end + length)]
            end += length
    return Windowed(
        segments=_segments(queries, keys, device),
        keys=sent(places, torch.int64, device),
    )


def _segments(queries: Sequence[int], keys: Sequence[int], device: torch.device) -> Segments:
    return Segments(
        bounds_q=sent([0, *accumulate(queries)], torch.int32, device),
        bounds_k=sent([0, *accumulate(keys)], torch.int32, device),
        longest_q=max(queries, default=0),
        longest_k=max(keys, default=0),
    )
