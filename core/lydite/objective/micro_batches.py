"""How an update's completions are cut into micro-batches: by their number, or by a budget of tokens.

An update's divisors are those of all its completions (`UpdateTotals`), so the cut changes memory and time, not the
gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lydite.objective.batch import Batch
from lydite.objective.sizes import Sizes
from lydite.planner.workload import PassSize

Span = tuple[int, int]
"""Rows of a batch, from the first number to before the second."""


def micro_batches(
    batch: Batch, start: int, stop: int, *, rows: int, tokens: int | None, packed: bool = True, unit: int = 1
) -> list[Span]:
    """Consecutive ranges that together are rows `start` to `stop` - 1; none where there are no rows.

    Without `tokens`, of `rows` completions each. With it, of at most so many tokens, whatever the number of
    completions; only a completion that is longer with its prompt stands alone, above the budget. `packed`: a run of
    equal prompts counts once, and its completions stay together where they fit into one micro-batch, unless fewer
    micro-batches come of parting them; else every completion counts as much as the longest prompt and the longest
    completion beside it. `unit` rows, which have one prompt, are never parted, however many rows or tokens they are;
    the range is a multiple of them.
    """
    if start == stop:
        return []
    if tokens is None:
        rows = max(rows - rows % unit, unit)
        return [(first, min(first + rows, stop)) for first in range(start, stop, rows)]
    lengths = _Lengths.of(batch, start, stop)
    if not packed:
        return _cut_padded(lengths, tokens, unit)
    # A parted group has its prompt twice, some tokens; another pass launches every layer and unpacks every weight.
    whole, parted = (_cut_packed(lengths, tokens, unit, whole=kept) for kept in (True, False))
    return min(whole, parted, key=len)


def largest_pass(batch: Batch, spans: Sequence[Span], *, packed: bool = True) -> PassSize:
    """The size of the largest of these micro-batches, which follow one another."""
    lengths = _Lengths.of(batch, spans[0][0], spans[-1][1])
    return max((_pass_size(lengths, span, packed=packed) for span in spans), key=lambda size: size.tokens)


@dataclass(frozen=True, slots=True)
class _Lengths:
    """Sizes of consecutive rows, the first of which is row `start`."""

    start: int
    sizes: Sizes

    @classmethod
    def of(cls, batch: Batch, start: int, stop: int) -> _Lengths:
        return cls(start, batch.measured().rows(start, stop))

    @property
    def rows(self) -> range:
        return range(self.start, self.start + len(self.sizes.prompts))

    def prompt(self, row: int) -> int:
        return self.sizes.prompts[row - self.start]

    def answers_of(self, span: Span) -> list[int]:
        return list(self.sizes.answers[span[0] - self.start : span[1] - self.start])

    def groups(self, span: Span) -> list[Span]:
        """The runs of rows whose prompts are equal."""
        runs = self.sizes.rows(span[0] - self.start, span[1] - self.start).runs()
        return [(span[0] + first, span[0] + last) for first, last in runs]


def _pass_size(lengths: _Lengths, span: Span, *, packed: bool) -> PassSize:
    if packed:
        return PassSize.of_packed(
            [(lengths.prompt(group[0]), lengths.answers_of(group)) for group in lengths.groups(span)]
        )
    prompt = max(lengths.prompt(row) for row in range(*span))
    return PassSize.of_padded(span[1] - span[0], prompt, max(lengths.answers_of(span)))


def _cut_packed(lengths: _Lengths, tokens: int, unit: int, *, whole: bool) -> list[Span]:
    """With `whole` a group that fits into a micro-batch is not parted; others begin where the one before has room."""
    rows, spans = lengths.rows, list[Span]()
    first, used = rows.start, 0
    for begin, end in lengths.groups((rows.start, rows.stop)):
        prompt, answers = lengths.prompt(begin), lengths.answers_of((begin, end))
        size = prompt + sum(answers)
        if whole and used and used + size > tokens >= size:
            spans.append((first, begin))
            first, used = begin, 0
        if used + size <= tokens:
            used += size
            continue
        for row in range(begin, end, unit):
            answer = sum(lengths.answers_of((row, row + unit)))
            needed = answer + (prompt if row in (first, begin) else 0)
            if row > first and used + needed > tokens:
                spans.append((first, row))
                first, used = row, prompt + answer
            else:
                used += needed
    return [*spans, (first, rows.stop)]


def _cut_padded(lengths: _Lengths, tokens: int, unit: int) -> list[Span]:
    rows, spans = lengths.rows, list[Span]()
    first, prompt, answer = rows.start, 0, 0
    for row in rows[::unit]:
        its_answer = max(lengths.answers_of((row, row + unit)))
        prompt, answer = max(prompt, lengths.prompt(row)), max(answer, its_answer)
        if row > first and (row - first + unit) * (prompt + answer) > tokens:
            spans.append((first, row))
            first, prompt, answer = row, lengths.prompt(row), its_answer
    return [*spans, (first, rows.stop)]
