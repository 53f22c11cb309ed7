import asyncio
import tomllib
from importlib.resources import files
from typing import Any

import pytest

from lydite import Completion, Parsed, Sample, Verdict
from lydite.contracts import RewardUse
from lydite.plugins import load_plugins
from lydite_legal import worked_cases

RUBRICS = ("one-line", "memo", "memo-judged")
ASKED = worked_cases(split="train")[0]
MEMO_ASKED = worked_cases(split="train", style="memo")[0]
GOOD_LINE = "Answer: yes. Authority: Marsh v. Dell, 412 F.3d 881 (7th Cir. 2005)"
GOOD_MEMO = """Issue: Is there a contract between Orla and Finn?
Rule: Marsh v. Dell, 412 F.3d 881 (7th Cir. 2005), says that "a late acceptance forms no contract, unless the offeror says at once that it will do".
Application: Finn accepted the van on Saturday, a day late, but Orla wrote back within minutes that this was fine, which is probably "at once".
Conclusion: Orla and Finn have a contract.
Answer: yes"""  # noqa: E501


def table(name: str) -> dict[str, Any]:
    return tomllib.loads(files("lydite_legal").joinpath("rubrics", f"{name}.toml").read_text("utf-8"))


@pytest.mark.parametrize("name", RUBRICS)
def test_a_rubric_takes_points_for_promises_and_unlisted_authorities(name: str) -> None:
    criteria = table(name)["criteria"]
    points = {one["id"]: one["points"] for one in criteria}
    assert points["promises-outcome"] < 0
    assert points["unlisted-authority"] < 0
    assert sum(one for one in points.values() if one > 0) > 5
    assert all(one.get("judge") or one["check"] for one in criteria)
    assert any(one.get("judge") for one in criteria) == (name == "memo-judged")


def scored(name: str, sample: Sample, text: str) -> Verdict:
    rubric = pytest.importorskip("lydite_rubric")
    from lydite_rubric.score import rubric_of, score, used

    assert rubric
    file = f"package:lydite_legal/rubrics/{name}.toml"
    uses = used({"file": file})
    rewards = {one: offer.thing for one, offer in load_plugins(allow=["lydite-legal"]).offers["rewards"].items()}

    async def call(key: str, completion: Completion, sample: Sample) -> Verdict:
        use: RewardUse = uses[key]
        return apply(rewards[use.name], completion, sample, use.options)

    completion = Completion(text, Parsed(text))
    verdict: Verdict = asyncio.run(score(completion, sample, call, file=rubric_of(file)))
    return verdict


def apply(reward: Any, completion: Completion, sample: Sample, options: Any) -> Verdict:
    """The reward, given what its parameters name, as a run gives it."""
    import inspect

    known = {"answer": completion.answer, "prompt": sample.prompt, "reference": sample.reference, **sample.columns}
    wanted = [one for one in inspect.signature(reward).parameters.values() if one.kind is not one.KEYWORD_ONLY]
    verdict: Verdict = reward(**{one.name: known[one.name] for one in wanted if one.name in known}, **options)
    return verdict


def met(verdict: Verdict) -> set[str]:
    return {name for name, part in verdict.parts.items() if part.score == 1.0}


def test_one_line() -> None:
    assert scored("one-line", ASKED, GOOD_LINE).score == 1.0
    wrong = scored("one-line", ASKED, GOOD_LINE.replace("yes", "no"))
    assert met(wrong) == {"begins-with-answer", "clear-holding", "cites-authority"}
    unlisted = scored("one-line", ASKED, "Answer: yes. Doe v. Roe, 300 F.3d 7 (2002). You will win.")
    assert {"unlisted-authority", "promises-outcome"} <= met(unlisted)
    assert unlisted.score is not None
    assert unlisted.score < 0.3
    both = scored("one-line", ASKED, "Answer: yes or no")
    assert met(both) == {"begins-with-answer"}


def test_memo() -> None:
    good = scored("memo", MEMO_ASKED, GOOD_MEMO)
    assert good.score == 1.0
    assert good.passed
    worse = scored("memo", MEMO_ASKED, GOOD_MEMO.replace("forms no contract", "forms a contract") + "\nYou will win.")
    assert {"altered-quotation", "promises-outcome"} <= met(worse)
    assert worse.score is not None
    assert worse.score < 0.5
    silent = scored("memo", MEMO_ASKED, "Yes.")
    assert silent.reason == "gate.failed"
