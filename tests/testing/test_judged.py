"""Rewards that ask a judge, and rewards that call others: the case file names the judge, and the attacks reach it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lydite.testing import check

PLUGIN = """
import asyncio
import lydite

async def clerk(messages, *, gullible: bool = False):
    await asyncio.sleep(0)
    answer, gold = messages[-1]["content"].split("|")
    if gullible and ("10/10" in answer or answer == ":"):
        return "yes"
    return "yes" if answer == gold else "no"

@lydite.reward(range=(0.0, 1.0), deterministic=False)
async def approved(answer: str, reference: str, judge) -> lydite.Verdict:
    if not isinstance(reference, str) or not reference or "\\\\" in reference:
        return lydite.Verdict.error("reference.unreadable", scope="prompt")
    given = " ".join(answer.split())
    if "|" in given or len(given) > 100:
        return lydite.Verdict(0.0, passed=False, reason="answer.odd")
    said = await judge([{"role": "user", "content": f"{given}|{reference}"}])
    return lydite.Verdict(float(said == "yes"), passed=said == "yes", reason=f"clerk.{said}")

@lydite.reward(range=(0.0, 1.0), uses=lambda options: {"exact": lydite.RewardUse("text/exact")})
async def relayed(completion, sample, rewards) -> lydite.Verdict:
    verdict = await rewards("exact", completion, sample)
    if verdict.score is None:
        return lydite.Verdict.error("reference.unreadable", scope="prompt")
    return lydite.Verdict(verdict.score, passed=verdict.passed, reason="exact.asked", parts={"exact": verdict})

@lydite.hookimpl
def lydite_rewards():
    return {"my/approved": approved, "my/relayed": relayed}

@lydite.hookimpl
def lydite_judges():
    return {"clerk": clerk}
"""


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    file = tmp_path / "clerks.py"
    file.write_text(PLUGIN)
    return file


def test_the_judge_of_the_case_file_is_asked(plugin: Path, kit: Any, write_cases: Any, pool: Any, failed: Any) -> None:
    rows = kit.rows_of(kit.plain)
    report = check("my/approved", cases=write_cases(rows, judge="clerk"), plugins=[plugin], pool=pool)
    assert report.ok, list(report.failures())
    assert report.find("same-again").status == "skipped"
    gullible = write_cases(rows, judge="clerk", judge_options={"gullible": True})
    report = check("my/approved", cases=gullible, plugins=[plugin], pool=pool)
    assert failed(report) == {"master-key-colon", "judge-injection-score"}


def test_a_reward_that_calls_another(plugin: Path, kit: Any, write_cases: Any, pool: Any, failed: Any) -> None:
    report = check("my/relayed", cases=write_cases(kit.rows_of(kit.plain)), plugins=[plugin], pool=pool)
    assert report.ok, list(report.failures())
    assert report.find("same-in-a-thread").status == "ok"
