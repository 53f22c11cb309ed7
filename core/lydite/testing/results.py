"""What a check found: items in sections, and the report over them, as data for programs and as an error for tests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, TypeAlias

ItemStatus: TypeAlias = Literal["ok", "failed", "allowed", "skipped"]
LONGEST_SHOWN: Final = 200
"""Characters of a completion or verdict that an item repeats."""


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that was looked at."""

    name: str
    """Stable within its section; the name that a case file's `allow` takes."""
    status: ItemStatus
    given: str = ""
    """What the reward was given, shortened."""
    expected: str = ""
    got: str = ""
    note: str = ""
    """Why it is allowed or skipped, what to do about a failure, or a figure."""


@dataclass(frozen=True, slots=True)
class Section:
    """The items of one kind."""

    name: str
    items: tuple[Item, ...]

    def count(self, status: ItemStatus) -> int:
        """How many items ended so."""
        return sum(one.status == status for one in self.items)


class CheckFailed(AssertionError):  # noqa: N818 - reads as what happened in a test
    """A reward did not pass its check; the message lists every failed item."""


@dataclass(frozen=True, slots=True)
class CheckReport:
    """All that a check found about one reward."""

    reward: str
    owner: str
    """Distribution and version, or where else it came from."""
    pays_for: str
    """`answer`, `form`, or `penalty` for a reward that can only take."""
    cases: str
    """Path of the case file; empty where there is none."""
    sections: tuple[Section, ...]
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether nothing failed."""
        return not any(True for _ in self.failures())

    def failures(self) -> Iterator[tuple[str, Item]]:
        """Every failed item with the name of its section."""
        for section in self.sections:
            for item in section.items:
                if item.status == "failed":
                    yield section.name, item

    def find(self, name: str) -> Item:
        """The item of that name, or of `section/name`.

        Raises:
            LookupError: when the check had no such item.
        """
        for section in self.sections:
            for item in section.items:
                if name in (item.name, f"{section.name}/{item.name}"):
                    return item
        raise LookupError(f"the check of {self.reward} has no item {name!r}")

    def record(self) -> dict[str, Any]:
        """The report as JSON: what the dataclass holds, and `ok`."""
        return {"ok": self.ok, **asdict(self)}

    def raise_for_failures(self) -> None:
        """Nothing, when the reward passed.

        Raises:
            CheckFailed: with every failed item.
        """
        if not self.ok:
            from lydite.testing.wording import explained

            raise CheckFailed("\n".join(explained(self)))


def shown(text: Any) -> str:
    """A value as an item repeats it: its `repr`, shortened in the middle."""
    return _shortened(repr(text))


def printable(text: str) -> str:
    """A message on one line, shortened, with whatever no terminal or file can take written as an escape."""
    return _shortened(" ".join(text.split()).encode("utf-8", "backslashreplace").decode("utf-8"))


def _shortened(text: str) -> str:
    half = LONGEST_SHOWN // 2 - 10
    return text if len(text) <= LONGEST_SHOWN else f"{text[:half]} ... {text[-half:]}"
