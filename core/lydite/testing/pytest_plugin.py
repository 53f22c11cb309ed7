"""Checks of rewards as tests of pytest: `pytest --lydite-check my/reward`, one test for each section.

pytest imports this module wherever lydite is installed, so it loads nothing until a check is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from lydite.testing import CheckReport
    from lydite.testing.results import Section


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options `--lydite-check`, `--lydite-cases` and `--lydite-plugin`."""
    group = parser.getgroup("lydite", "checks of rewards")
    group.addoption(
        "--lydite-check",
        metavar="NAME",
        action="append",
        default=[],
        help="Check this reward: a name that a plugin offers, or module:function. Can be repeated.",
    )
    group.addoption(
        "--lydite-cases",
        metavar="FILE.jsonl",
        default=None,
        help="The table of cases for --lydite-check; else the reward's own.",
    )
    group.addoption(
        "--lydite-plugin",
        metavar="FILE.py",
        action="append",
        default=[],
        help="A local Python file that offers the reward. Can be repeated.",
    )


def pytest_collection_modifyitems(session: pytest.Session, items: list[pytest.Item]) -> None:
    """Adds the sections of every reward that was asked for, behind the other tests."""
    names: Sequence[str] = session.config.getoption("--lydite-check")
    if not names:
        return
    from lydite.testing import SECTIONS

    for name in names:
        collector: CheckedReward = CheckedReward.from_parent(session, name=f"lydite-check[{name}]", reward=name)
        items += [SectionItem.from_parent(collector, name=section) for section in SECTIONS]


class CheckedReward(pytest.Collector):
    """One reward, checked when the first of its sections runs."""

    def __init__(self, *, reward: str, **from_pytest: Any) -> None:
        super().__init__(**from_pytest)
        self._reward = reward
        self._report: CheckReport | None = None

    def collect(self) -> list[pytest.Item]:
        """Nothing: the sections are added once everything else is collected."""
        return []

    @property
    def report(self) -> CheckReport:
        """What the check found.

        Raises:
            LyditeError: when the reward or its cases cannot be had.
        """
        if self._report is None:
            from lydite.testing import check

            option = self.config.getoption
            cases = option("--lydite-cases")
            files = [Path(file) for file in option("--lydite-plugin")]
            self._report = check(self._reward, cases=cases and Path(cases), plugins=files)
        return self._report


class SectionItem(pytest.Item):
    """One section of a check."""

    parent: CheckedReward

    def runtest(self) -> None:
        """Passes when nothing in the section failed.

        Raises:
            CheckFailed: with every item that failed.
        """
        from lydite.testing.results import CheckFailed
        from lydite.testing.wording import item_lines

        section = next((one for one in self.parent.report.sections if one.name == self.name), None)
        if section is None:
            pytest.skip("left out; the section `cases` says why")
        failed = [item for item in section.items if item.status == "failed"]
        if failed:
            raise CheckFailed("\n".join(line for item in failed for line in item_lines(item)))
        self._note_allowed(section)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The message alone: where in lydite it was raised helps nobody."""
        from lydite.errors import LyditeError
        from lydite.testing.results import CheckFailed

        if isinstance(excinfo.value, (CheckFailed, LyditeError)):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, None, str]:
        """Where pytest says that the test stands."""
        return self.path, None, f"{self.parent.name}::{self.name}"

    def _note_allowed(self, section: Section) -> None:
        from lydite.testing.wording import item_lines

        allowed = [line for item in section.items if item.status == "allowed" for line in item_lines(item)]
        if allowed:
            self.add_report_section("call", "lydite", "\n".join(allowed))
