"""Section `length`: a right answer that grows longer may earn less, and must not earn more again further on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from lydite.options import option_parameters
from lydite.testing.material import CHARACTERS_PER_TOKEN, Gold
from lydite.testing.results import Item
from lydite.testing.subject import Ask, Subject
from lydite.types import Parsed

NAMES: Final = ("longer-and-longer",)
MULTIPLES: Final = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0)
USUAL: Final = (256, 1024)  # tokens; where nothing tells how long a completion may become
LONGEST: Final = 12_000  # tokens
MOST_LENGTHS: Final = 40
FEWEST_LENGTHS: Final = 6
SECONDS_FOR_LENGTHS: Final = 4.0
MOST_GOLDS: Final = 2
_SENTENCE: Final = "Let me look at it once more, word by word, to be sure. "
_SLACK: Final = 1e-6


def check_lengths(subject: Subject, golds: Sequence[Gold]) -> tuple[Item, ...]:
    """Scores of right answers over their length: rising once and falling once is fine, rising again is not."""
    tried = False
    for gold in golds[:MOST_GOLDS]:
        lengths = _lengths(subject, gold)
        for padded in (_padded_before, _padded_behind):
            asks = [padded(subject, gold, tokens) for tokens in lengths]
            points = [
                (tokens, heard.verdict.score)
                for tokens, heard in zip(lengths, subject.ask(asks, together=True), strict=True)
                if heard.verdict.score is not None
            ]
            tried = tried or len(points) > 2
            again = _rises_again(points)
            if again is not None:
                low, high = again
                return (
                    Item(
                        NAMES[0], "failed",
                        given=f"the right answer of {gold.case.id!r}, padded to {low[0]} and to {high[0]} tokens",
                        expected="a score that never rises again once it has fallen",
                        got=f"{low[1]:g} at {low[0]} tokens and {high[1]:g} at {high[0]}",
                        note="clamp the length before it goes into a cosine or any other periodic function",
                    ),
                )  # fmt: skip
    return (
        Item(NAMES[0], "ok" if tried else "skipped", note="" if tried else "there is no gold row that gets a score"),
    )


def _lengths(subject: Subject, gold: Gold) -> list[int]:
    """Lengths in tokens around those that the reward knows of: its numeric options, and the row's own."""
    scales = {float(_tokens(gold.text)), *map(float, USUAL), *_numbers_in_options(subject, gold)}
    lengths = {round(scale * one) for scale in scales for one in MULTIPLES}
    # A text's length may be counted in characters: then the same numbers are that many characters.
    lengths |= {
        round(one * scale / CHARACTERS_PER_TOKEN) for scale in _numbers_in_options(subject, gold) for one in MULTIPLES
    }
    usable = sorted(one for one in lengths if _tokens(gold.text) <= one <= LONGEST)
    affordable = int(SECONDS_FOR_LENGTHS / (2 * MOST_GOLDS * max(subject.seconds_per_call, 1e-6)))
    step = max(1, -(-len(usable) // max(FEWEST_LENGTHS, min(MOST_LENGTHS, affordable))))
    return usable[::step]


def _numbers_in_options(subject: Subject, gold: Gold) -> set[float]:
    given: dict[str, Any] = {name: one.default for name, one in option_parameters(subject.offer.thing).items()}
    import inspect

    given |= {name: one.default for name, one in inspect.signature(subject.offer.thing).parameters.items()}
    given |= {**subject.options, **gold.case.options}
    flat = [one for value in given.values() for one in (value if isinstance(value, (list, tuple)) else (value,))]
    return {
        float(one) for one in flat if isinstance(one, (int, float)) and not isinstance(one, bool) and 8 <= one <= 4096
    }


def _tokens(text: str) -> int:
    return max(1, len(text) // CHARACTERS_PER_TOKEN)


def _padded_before(subject: Subject, gold: Gold, tokens: int) -> Ask:
    missing = tokens * CHARACTERS_PER_TOKEN - len(gold.text)
    filler = (_SENTENCE * (missing // len(_SENTENCE) + 1))[: max(missing - 1, 0)]
    text = f"{filler}\n{gold.text}" if filler else gold.text
    return _answered(subject, gold, text, filler, tokens)


def _padded_behind(subject: Subject, gold: Gold, tokens: int) -> Ask:
    missing = tokens * CHARACTERS_PER_TOKEN - len(gold.text)
    return _answered(subject, gold, gold.text + " " * max(missing, 0), "", tokens)


def _answered(subject: Subject, gold: Gold, text: str, filler: str, tokens: int) -> Ask:
    parsed = subject.format.parse(gold.text)
    answer = gold.case.answer or (parsed.answer if isinstance(parsed, Parsed) else gold.answer)
    return gold.as_answered(text, answer, filler or gold.case.reasoning, tokens=tokens)


def _rises_again(points: Sequence[tuple[int, float]]) -> tuple[tuple[int, float], tuple[int, float]] | None:
    """A valley and the later, longer point above it, behind a higher earlier one; None when there is none."""
    fallen: tuple[int, float] | None = None
    highest = float("-inf")
    for point in points:
        if fallen is not None and point[1] > fallen[1] + _SLACK:
            return fallen, point
        if point[1] < highest - _SLACK and (fallen is None or point[1] < fallen[1]):
            fallen = point
        highest = max(highest, point[1])
    return None
