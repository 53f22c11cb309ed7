"""The same verdict again, in any order, and wherever the reward is called; and arguments left as they were."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from lydite.errors import RewardError
from lydite.testing.cases import CaseFile
from lydite.testing.material import ask_for
from lydite.testing.results import Item, printable, shown
from lydite.testing.subject import Ask, Heard, Subject, Where
from lydite.testing.table import described
from lydite.types import Status, Verdict

ELSEWHERE: Final[tuple[tuple[str, Where, str], ...]] = (
    ("same-again", "run", "asked twice"),
    ("same-in-a-worker", "worker", "asked in a worker process"),
    ("same-in-a-thread", "thread", "called from a thread, as trainers with asynchronous rewards do"),
    ("same-in-an-event-loop", "event loop", "called under a running event loop"),
)
"""Each item with where the reward is called for it, in words too."""
ORDER: Final = "same-in-any-order"
UNCHANGED: Final = "input-unchanged"
NAMES: Final = (UNCHANGED, ORDER, *(name for name, _, _ in ELSEWHERE))
MOST_ROWS: Final = 16
FEWEST_ROWS: Final = 4
AT_ONCE: Final = 4  # rows, so that a reward that differs, and perhaps hangs, shows it early
SECONDS_FOR_ROWS: Final = 1.0  # for one pass over the rows
SLOW_ROW: Final = 0.5  # seconds; each row is asked six times
SEED: Final = 20  # of the other order


def check_sameness(subject: Subject, file: CaseFile) -> list[Item]:
    """Some of the author's rows, asked in every way there is."""
    asks, base = _rows(subject, file)
    if any(one.status is Status.TIMEOUT for heard in base for one in heard.verdicts):
        return [Item(name, "skipped", note="rows of the table ran into the deadline") for name in NAMES]
    items = [_watched(subject, asks)]
    if not subject.spec.deterministic:
        note = "the reward says of itself that it is not deterministic"
        return [*items, *(Item(name, "skipped", note=note) for name in NAMES[1:])]
    items.append(_compared(ORDER, asks, base, partial(_shuffled, subject), "asked in another order", len(asks)))
    for name, where, spoken in ELSEWHERE:
        again = partial(subject.ask, where=where, together=True)
        items.append(_compared(name, asks, base, again, spoken, len(asks) if subject.batched else AT_ONCE))
    return items


def _rows(subject: Subject, file: CaseFile) -> tuple[list[Ask], list[Heard]]:
    """Rows evenly over the table and their verdicts; without slow ones where there are enough others."""
    count = min(MOST_ROWS, len(file.cases))
    asks = [ask_for(subject, file.cases[place * len(file.cases) // count]) for place in range(count)]
    if subject.batched:  # what else is in the step may count
        return asks, subject.ask(asks, together=True)
    asked: list[tuple[Ask, Heard]] = []
    for ask in asks:
        if len(asked) >= FEWEST_ROWS and sum(heard.seconds for _, heard in asked) > SECONDS_FOR_ROWS:
            break
        asked.append((ask, subject.ask([ask])[0]))
    quick = [one for one in asked if one[1].seconds < SLOW_ROW] or asked[:1]
    return [ask for ask, _ in quick], [heard for _, heard in quick]


def _watched(subject: Subject, asks: Sequence[Ask]) -> Item:
    for ask in asks:
        heard = subject.ask([ask], where="watched")[0]
        if any(one.reason == "raised.InputChanged" for one in heard.verdicts):
            return Item(
                UNCHANGED,
                "failed",
                given=shown(ask.completions[0].text),
                expected="arguments as they were before the call",
                got="a changed argument",
                note="copy a list or table before changing it: other rewards are given the same one",
            )
        if any(one.status is Status.TIMEOUT for one in heard.verdicts):
            return Item(UNCHANGED, "skipped", note="it ran into the deadline in a worker process")
    return Item(UNCHANGED, "ok")


def _shuffled(subject: Subject, asks: Sequence[Ask]) -> list[Heard]:
    order = list(range(len(asks)))
    random.Random(SEED).shuffle(order)  # noqa: S311 - an order, no secret
    heard = dict(zip(order, subject.ask([asks[place] for place in order], together=True), strict=True))
    return [heard[place] for place in range(len(asks))]


def _compared(
    name: str,
    asks: Sequence[Ask],
    base: Sequence[Heard],
    again: Callable[[Sequence[Ask]], list[Heard]],
    spoken: str,
    at_once: int,
) -> Item:
    for first in range(0, len(asks), at_once):
        part = slice(first, first + at_once)
        try:
            others = again(asks[part])
        except RewardError as error:
            return Item(name, "failed", given=spoken, expected="the same verdicts", got=printable(str(error)))
        for ask, one, other in zip(asks[part], base[part], others, strict=True):
            different = _difference(one, other)
            if different is not None:
                return Item(
                    name,
                    "failed",
                    given=f"{shown(ask.completions[0].text)}, {spoken}",
                    expected=described(different[0]),
                    got=described(different[1]),
                    note="let a verdict depend on its arguments alone: no state, no randomness, no signals, no clock",
                )
    return Item(name, "ok")


def _difference(one: Heard, other: Heard) -> tuple[Verdict, Verdict] | None:
    for first, second in zip(one.verdicts, other.verdicts, strict=True):
        if _essence(first) != _essence(second):
            return first, second
    return None


def _essence(verdict: Verdict) -> tuple[object, ...]:
    return verdict.status, verdict.score, verdict.passed, verdict.reason
