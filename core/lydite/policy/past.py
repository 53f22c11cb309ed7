"""Keys and values of conversations, kept from one turn to the next, so that a turn is read from where the last ended.

Nothing here knows whether the weights are still those that the keys and values were computed with: whoever keeps a
`Past` drops it before they change.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor

Shelf = tuple[tuple[Tensor, Tensor], ...]
"""Keys and values of some rows, [n, heads, columns, D] each, layer by layer."""


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """Where the keys and values of these tokens are: from column `start` of a row of the shelf."""

    token_ids: tuple[int, ...]
    shelf: Shelf
    row: int
    start: int


class Past:
    """What was computed for the sequences of one batch, for the batch that continues them.

    Sequences are found by their tokens alone. Of what does not fit into `most` bytes nothing is kept; it is read
    again, to the same tokens.
    """

    def __init__(self, most: int) -> None:
        self._most: Final = most
        self._bytes = 0
        self._fresh: list[Kept] = []
        self._found: list[Kept] = []  # sorted by their tokens

    def put(self, cache: Any, rows: Sequence[int], sequences: Sequence[tuple[int, Sequence[int]]]) -> None:
        """Keeps these rows of a reserved cache; `sequences` are the column that each begins in, and its tokens."""
        layers = [layer for layer in cache.layers if layer.is_initialized]
        if not rows or len(layers) < len(cache.layers):  # a layer that shares another's cannot be laid out again
            return
        picked = torch.tensor(rows, device=layers[0].keys.device)
        columns = max(start + len(tokens) for start, tokens in sequences)
        size = 2 * len(layers) * len(rows) * columns * layers[0].keys[0, :, 0].numel() * layers[0].keys.element_size()
        if self._bytes + size > self._most:
            return
        self._bytes += size
        shelf = tuple(
            (layer.keys[:, :, :columns].index_select(0, picked), layer.values[:, :, :columns].index_select(0, picked))
            for layer in layers
        )
        self._fresh += [Kept(tuple(tokens), shelf, row, start) for row, (start, tokens) in enumerate(sequences)]

    def turn(self) -> None:
        """What was put since the last turn is what is found from now on, and all else is dropped."""
        self._found = sorted(self._fresh, key=_tokens)
        self._fresh, self._bytes = [], 0

    def longest(self, token_ids: Sequence[int]) -> tuple[Kept | None, int]:
        """The kept sequence that begins most like this one, and for how many tokens.

        The last token never counts: something has to be read for the next one to be drawn.
        """
        wanted = tuple(token_ids)
        place = bisect(self._found, wanted, key=_tokens)
        # In sorted order, whatever has the longest beginning in common stands next to where this one would.
        near = self._found[max(place - 1, 0) : place + 1]
        best = max(near, key=lambda kept: _in_common(kept.token_ids, wanted), default=None)
        return best, 0 if best is None else min(_in_common(best.token_ids, wanted), len(wanted) - 1)

    def unread(self, token_ids: Sequence[int]) -> int:
        """How many tokens of this sequence would have to be read."""
        return len(token_ids) - self.longest(token_ids)[1]


def lay_out(cache: Any, prompts: Sequence[Sequence[int]], past: Past) -> int:
    """Puts what is kept of the prompts into an empty reserved cache; how many of their last columns remain to be read.

    Prompts end together. Each row gets a stretch without holes up to the columns that are read in every row, so that
    windows and positions are as if the whole prompt had been read at once; a row of which more is kept reads some of
    it again beside the others.
    """
    width = max(len(prompt) for prompt in prompts)
    known = [past.longest(prompt) for prompt in prompts]
    unread = max(len(prompt) - common for prompt, (_, common) in zip(prompts, known, strict=True))
    if unread >= width:
        return width
    for number, layer in enumerate(cache.layers):
        shown = next(kept for kept, _ in known if kept is not None)
        layer.lay_out(*shown.shelf[number], rows=len(prompts), length=width - unread)
        for row, (prompt, (kept, _)) in enumerate(zip(prompts, known, strict=True)):
            count = len(prompt) - unread
            if kept is not None and count > 0:
                held = slice(kept.start, kept.start + count)
                columns = slice(width - len(prompt), width - unread)
                keys, values = kept.shelf[number]
                layer.keys[row, :, columns] = keys[kept.row, :, held]
                layer.values[row, :, columns] = values[kept.row, :, held]
    return unread


def _tokens(kept: Kept) -> tuple[int, ...]:
    return kept.token_ids


def _in_common(first: Sequence[int], second: Sequence[int]) -> int:
    """How many tokens two sequences have in common from their beginning on."""
    differing = (place for place, (one, other) in enumerate(zip(first, second, strict=False)) if one != other)
    return next(differing, min(len(first), len(second)))
