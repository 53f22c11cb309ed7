"""What the tests of a rubric share: writing one, and holding an answer against it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from lydite import Completion, FormatError, Parsed, Sample, Verdict
from lydite_rubric import Rubric, score
from lydite_rubric.reading import rubric_from

README = (Path(__file__).parent.parent / "README.md").read_text()
Judging: TypeAlias = Callable[..., Verdict]
Table: TypeAlias = dict[str, Any]


@pytest.fixture
def rubric() -> Callable[..., Rubric]:
    """A rubric of these criteria; what a criterion leaves out is filled in."""

    def made(*criteria: Mapping[str, Any], name: str = "test") -> Rubric:
        filled = []
        for number, one in enumerate(criteria, start=1):
            base: Table = {"id": f"c{number}", "text": f"Has trait {number}", "points": 1}
            filled.append({**base, **one} if "check" in one or "judge" in one else {**base, "judge": True, **one})
        return rubric_from({"name": name, "criteria": filled})

    return made


@pytest.fixture
def judged() -> Judging:
    """The verdict on a text. Every reason in it must be one that the README lists."""

    def judge_it(
        rubric: Rubric,
        text: str,
        *,
        answer: str | None = "",
        prompt: Any = "Name a river.",
        reference: Any = None,
        columns: Mapping[str, Any] | None = None,
        judge: Any = None,
        rewards: Any = None,
        **options: Any,
    ) -> Verdict:
        parsed = FormatError("answer.missing") if answer is None else Parsed(answer or text)
        completion = Completion(text, parsed)
        sample = Sample("s1", prompt, reference, columns or {})
        verdict = asyncio.run(score(completion, sample, rewards, judge, file=rubric, **options))
        for reason in (verdict.reason, *(part.reason for part in verdict.parts.values())):
            assert f"`{reason}`" in README, f"the README does not list {reason}"
        assert set(verdict.parts) == {one.id for one in rubric.criteria}
        return verdict

    return judge_it


class Scripted:
    """A judge that replies by a function of the question, and keeps what it was asked."""

    def __init__(self, reply: Callable[[str], Any]) -> None:
        self.reply = reply
        self.asked: list[Sequence[Mapping[str, str]]] = []

    async def __call__(self, messages: Sequence[Mapping[str, str]]) -> str:
        self.asked.append(messages)
        await asyncio.sleep(0)
        reply = self.reply(messages[-1]["content"])
        if isinstance(reply, BaseException):
            raise reply
        return reply if isinstance(reply, str) else json.dumps(reply)


@pytest.fixture
def scripted() -> type[Scripted]:
    return Scripted
