"""Section `robustness`: hostile texts, and what `sameness` looks at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from lydite.errors import ConfigError
from lydite.rewards.recipe import recipe_for
from lydite.testing import sameness
from lydite.testing.cases import CaseFile
from lydite.testing.hostile import HOSTILE_NAMES, TEXTS, forms_of
from lydite.testing.material import Gold, ask_for, tokens_in
from lydite.testing.results import Item, printable, shown
from lydite.testing.sameness import check_sameness
from lydite.testing.subject import Ask, Heard, Subject
from lydite.testing.table import described
from lydite.types import Completion, Status

NAMES: Final = (*HOSTILE_NAMES, "reaches-a-worker", *sameness.NAMES)
HOSTILE_SECONDS: Final = 5.0  # a deadline above it is cut to it, so that a check stays short
SLACK: Final = 0.5  # seconds above the deadline in which a call must be over
INLINE_SECONDS: Final = 2.0  # nothing ends an inline call, and the trainer waits for it
MOST_TIMEOUTS: Final = 2  # each costs a deadline; after that the rest is left out


def check_robustness(subject: Subject, file: CaseFile, golds: Sequence[Gold]) -> tuple[Item, ...]:
    """Hostile texts first, in a worker where they can be killed; then the author's rows from everywhere else."""
    road = _road(subject)
    if road.status == "failed":
        return (road,)
    return (road, *_hostile(subject, file, golds), *check_sameness(subject, file))


def _road(subject: Subject) -> Item:
    try:
        recipe_for(subject.offer)
    except ConfigError as error:
        return Item(
            "reaches-a-worker",
            "failed",
            given=str(subject.offer.owner),
            expected="a function that can be imported or pickled",
            got=printable(str(error)),
            note="hold nothing but plain data, and load what is large on first use",
        )
    return Item("reaches-a-worker", "ok")


def _hostile(subject: Subject, file: CaseFile, golds: Sequence[Gold]) -> list[Item]:
    items: list[Item] = []
    timeouts = 0
    for hostile in TEXTS:
        if timeouts >= MOST_TIMEOUTS:
            note = f"left out after {MOST_TIMEOUTS} texts that ran into the deadline"
            items.append(Item(hostile.name, "skipped", note=note))
            continue
        form = golds[0].located.form if golds else None
        problem: Item | None = None
        for text in forms_of(hostile, form) if form is not None else (hostile.text,):
            ask = golds[0].ask(subject, text) if golds else _borrowed(subject, file, text)
            heard = subject.ask([ask], where="worker", timeout=HOSTILE_SECONDS)[0]
            problem = _hostile_problem(subject, hostile.name, text, heard, bool(golds))
            if problem is not None:
                timeouts += heard.verdict.status is Status.TIMEOUT
                break
        items.append(problem or Item(hostile.name, "ok"))
    return items


def _borrowed(subject: Subject, file: CaseFile, text: str) -> Ask:
    """A hostile completion of the first row's prompt; all of a group's, for a group reward."""
    first = ask_for(subject, file.cases[0])
    completions = tuple(
        Completion(text, subject.format.parse(text), text, tokens_in(text), "stop", index)
        for index in range(len(first.completions))
    )
    return Ask(first.sample, completions, first.options)


def _hostile_problem(subject: Subject, name: str, text: str, heard: Heard, has_gold: bool) -> Item | None:
    verdict = heard.verdict
    budget = min(subject.spec.timeout, HOSTILE_SECONDS)
    if subject.spec.isolation == "inline":
        budget = min(budget, INLINE_SECONDS)
    allowed = (budget + SLACK) * len(heard.verdicts)
    if verdict.status is Status.ERROR:
        expected, note = "a verdict", "cap the length first, read no further than needed, and catch what parsing raises"
        if verdict.reason in ("worker.died", "worker.memory"):
            note = "a text must not end the process that judges it: screen it before any heavy library sees it"
    elif verdict.status is Status.TIMEOUT or heard.seconds > allowed:
        expected = f"a verdict within {allowed:g} s"
        note = "cap the length first; a pattern or parser that is not linear meets its match here"
    elif has_gold and subject.pays_for == "answer" and heard.passed:
        expected, note = "no pass", "nothing in this text answers the question"
    else:
        return None
    got = f"{described(verdict)} after {heard.seconds:.1f} s"
    return Item(name, "failed", given=shown(text), expected=expected, got=got, note=note)
