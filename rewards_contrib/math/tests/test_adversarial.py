import asyncio
import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import lydite
from lydite import Completion, Parsed, Status
from lydite.builtin import Plain
from lydite.config import RunConfig
from lydite.plugins import load_plugins
from lydite.rewards import build_stack
from lydite.types import Generated, Prompt, Rollout, Sample
from lydite_math import equivalent

SHARED = Path(__file__).parents[4] / "shared" / "conformance" / "adversarial.jsonl"
DEADLINE = 5.0

OWN = [
    ("5", "\\boxed{9**9**9**9}", False),
    ("5", "\\boxed{(((((9!)!)!)!)!)!}", False),
    ("5", "\\boxed{\\binom{99999999}{9999}}", False),
    ("5", "\\boxed{\\sum_{k=1}^{99999999} k^k}", False),
    ("5", "\\boxed{" + "1+" * 3000 + "1}", False),
    ("5", "\\boxed{" + "(1+" * 300 + "1" + ")" * 300 + "}", False),
    ("1", "\\boxed{" + "(" * 900 + "1" + ")" * 900 + "}", True),
    ("5", "\\boxed{" + "9" * 5000 + "}", False),
    ("5", "\\boxed" * 5000, False),
    ("5", "\\boxed{" + ",".join(map(str, range(3000))) + "}", False),
    ("5", "\\boxed{" + "\\frac{1}{4999!}+" * 400 + "1}", False),
    ("5", "\\boxed{" + "x^{x^{x^{x}}}" * 40 + "}", False),
    ("5", "\\boxed{e^{e^{e^{e^{e}}}}}", False),
    ("5", "\\boxed{\\sin(10^{10^{5}})}", False),
    ("5", "answer is " * 20_000, False),
    ("5", "$" * 50_001, False),
    ("5", "\\text{and }" * 3000, False),
    ("5", "\\boxed{" + "-" * 4000 + "5}", False),
    ("5", "\\boxed{5" + "!" * 4000 + "}", False),
    ("5", "\\boxed{" + "\ud800" * 50 + "5}", False),
    ("5", "\\boxed{5\x00}", False),
]


def text_of(pred: Any) -> str:
    if isinstance(pred, str):
        return pred
    if "repeat" in pred:
        before, unit, times, after = pred["repeat"]
        return str(before + unit * times + after)
    if "nest" in pred:
        opening, closing, core, depth = pred["nest"]
        return "\\boxed{" + opening * depth + core + closing * depth + "}"
    terms = "+".join(f"x^{{{power}}}" for power in range(pred["poly"]))
    return f"\\boxed{{\\frac{{x^{{{pred['poly']}}}-1}}{{x-1}}-({terms})}}"


def cases() -> list[tuple[str, str, bool | None]]:
    found: list[tuple[str, str, bool | None]] = list(OWN)
    if SHARED.exists():
        for line in SHARED.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            found.append((row["gold"], text_of(row["pred"]), row["expected"]))
    return found


def passes(gold: str, pred: str) -> bool:
    return bool(equivalent(Completion(pred, Parsed(pred)), gold).passed)


@pytest.fixture(scope="module")
def here() -> list[bool]:
    return [passes(gold, pred) for gold, pred, _ in cases()]


def test_verdicts_and_time():
    for gold, pred, expected in cases():
        began = time.perf_counter()
        passed = passes(gold, pred)
        assert time.perf_counter() - began < DEADLINE + 0.5, pred[:80]
        assert expected is None or passed == expected, (gold, pred[:80])


def test_same_in_a_thread(here: list[bool]):
    there: list[bool] = []
    thread = threading.Thread(target=lambda: there.extend(passes(gold, pred) for gold, pred, _ in cases()))
    thread.start()
    thread.join()
    assert there == here


def test_same_under_asyncio(here: list[bool]):
    async def judge(gold: str, pred: str) -> bool:
        return await asyncio.to_thread(passes, gold, pred)

    async def together() -> list[bool]:
        return list(await asyncio.gather(*(judge(gold, pred) for gold, pred, _ in cases())))

    assert asyncio.run(together()) == here


def test_same_in_the_worker_pool(here: list[bool]):
    config = RunConfig.model_validate(
        {"model": {"path": "none"}, "data": {"use": "none"}, "rewards": {"right": {"use": "math/equivalent"}}}
    )
    stack = build_stack(config, load_plugins(allow=("lydite-math",)), Plain())
    # A lone surrogate has no tokens, so no completion of a model holds one.
    known = [(place, one) for place, one in enumerate(cases()) if one[1].isprintable() or "\ud800" not in one[1]]
    rollouts = [
        Rollout(
            Prompt(Sample(str(place), "?", gold), "?", (1,)),
            (Generated((1,), pred, pred, "stop"),),
        )
        for place, (gold, pred, _) in known
    ]
    try:
        began = time.perf_counter()
        scored = stack.score(rollouts, 1)
        assert time.perf_counter() - began < 60
    finally:
        stack.close()
    verdicts = [group.completions[0].components["right"].verdict for group in scored.groups]
    assert all(one.status is Status.OK for one in verdicts)
    assert [bool(one.passed) for one in verdicts] == [here[place] for place, _ in known]


def test_is_declared_for_workers():
    spec = lydite.contracts.spec_of(equivalent)
    assert (spec.isolation, spec.timeout, spec.range) == ("worker", DEADLINE, (0.0, 1.0))
