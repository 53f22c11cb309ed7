"""How much work the completions of an update are, so that processes whose completions are shorter do not wait."""

from __future__ import annotations

from lydite.objective import Batch


def work_of(batch: Batch, start: int, stop: int, *, unit: int, packed: bool) -> list[int]:
    """The tokens that each `unit` of rows `start` to `stop` - 1 adds to a pass, the rows in order.

    A prompt counts with the first of its rows where passes are packed, else with each.
    """
    sizes = batch.measured().rows(start, stop)
    begins = {first for first, _ in sizes.runs()} if packed else set(range(stop - start))
    of_rows = [
        answer + (prompt if row in begins else 0)
        for row, (prompt, answer) in enumerate(zip(sizes.prompts, sizes.answers, strict=True))
    ]
    return [sum(of_rows[row : row + unit]) for row in range(0, len(of_rows), unit)]
