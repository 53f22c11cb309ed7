"""The reward as a run has it: configured by a file, bound with the rewards that it calls, run in worker processes."""

from __future__ import annotations

import asyncio
import inspect
import pickle
import re
import threading
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from lydite import Completion, Message, Parsed, Sample, Status, Verdict
from lydite.builtin import Plain
from lydite.config import RunConfig
from lydite.contracts import spec_of
from lydite.errors import ConfigError
from lydite.plugins import load_plugins
from lydite.rewards import build_stack
from lydite.types import Generated, Prompt, Rollout
from lydite_rubric import read_rubric, score
from lydite_rubric.reasons import REASONS

README = (Path(__file__).parent.parent / "README.md").read_text()
CLEAR = "package:lydite_rubric/rubrics/clear-answer.toml"
DANUBE = "The Danube is a river that runs through ten countries."
JUDGE = """
import json
import lydite

@lydite.hookimpl
def lydite_judges():
    return {"reader": reader}

async def reader(messages, *, down: bool = False):
    if down:
        raise OSError("no route to host")
    text = messages[-1]["content"]
    return json.dumps({"met": "ten" in text, "quote": "runs through ten countries"})
"""


def configured(folder: Path, criteria: list[dict[str, Any]], **table: Any) -> RunConfig:
    (folder / "memo.toml").write_text(tomli_w.dumps({"name": "memo", "criteria": criteria}))
    options = {"file": str(folder / "memo.toml"), **table.pop("options", {})}
    return RunConfig.model_validate(
        {
            "model": {"path": "nowhere"},
            "data": {"use": "nothing"},
            "rewards": {"memo": {"use": "rubric/score", "options": options, **table}},
            "stack": {"workers": 1, "max_error_share": 1.0},
        }
    )


def scored(
    config: RunConfig, texts: list[str], *, columns: dict[str, Any], files: tuple[Path, ...] = ()
) -> list[Verdict]:
    stack = build_stack(config, load_plugins(allow=["lydite-rubric", "lydite-text"], files=files), Plain())
    stack.check_columns(columns)
    try:
        sample = Sample("s1", "Tell me about a river.", reference="Danube", columns=columns)
        completions = tuple(Generated((1,), text, text, "stop") for text in texts)
        (group,) = stack.score([Rollout(Prompt(sample, "Tell", (1,)), completions)], step=1).groups
    finally:
        stack.close()
    return [one.components["memo"].verdict for one in group.completions]


def criterion(id: str, points: float = 1, **more: Any) -> dict[str, Any]:
    return {"id": id, "text": f"Is {id}", "points": points, **more}


def test_checks_of_every_kind_and_a_judge_through_worker_processes(tmp_path: Path) -> None:
    (tmp_path / "reader.py").write_text(JUDGE)
    config = configured(
        tmp_path,
        [
            criterion("named", 3, check={"use": "text/contains"}, gate=True),
            criterion("long", -1, check={"use": "text/length", "options": {"band": [0, 5]}, "met": "fails"}),
            criterion("prose", 1, check={"function": "lydite_rubric.clear:is_prose"}),
            criterion("ten", 4, judge=True),
        ],
        judge="reader",
    )
    files = (tmp_path / "reader.py",)
    danube, rhine = scored(config, [DANUBE, "The Rhine is a river too."], columns={}, files=files)
    assert danube.score == pytest.approx((3 - 1 + 1 + 4) / 8)
    assert danube.version
    assert [one.passed for one in danube.parts.values()] == [True, True, True, True]
    assert (rhine.score, rhine.reason) == (pytest.approx(-1 / 8), "gate.failed")


def test_a_judge_that_is_down_takes_the_reward_out_for_the_prompt(tmp_path: Path) -> None:
    (tmp_path / "reader.py").write_text(JUDGE)
    config = configured(tmp_path, [criterion("ten", judge=True)], judge="reader", judge_options={"down": True})
    for verdict in scored(config, [DANUBE, "Another."], columns={}, files=(tmp_path / "reader.py",)):
        assert (verdict.score, verdict.status, verdict.scope) == (None, Status.ERROR, "prompt")
        assert verdict.reason == "judge.failed"
        assert "no route to host" in verdict.evidence[0].text


def test_the_rubric_is_read_once_and_its_text_is_part_of_what_is_cached(tmp_path: Path) -> None:
    config = configured(tmp_path, [criterion("a", check={"regex": "Danube"})])
    stack = build_stack(config, load_plugins(allow=["lydite-rubric"]), Plain())
    (tmp_path / "memo.toml").write_text("broken")  # after the configuration was read, it does not matter
    try:
        rollout = Rollout(Prompt(Sample("s", "?"), "?", (1,)), (Generated((1,), DANUBE, DANUBE, "stop"),) * 2)
        (group,) = stack.score([rollout], step=1).groups
    finally:
        stack.close()
    assert [one.reward for one in group.completions] == [1.0, 1.0]


FINE = criterion("a", check={"regex": "x"})


@pytest.mark.parametrize(
    ("first", "options", "message"),
    [
        (
            criterion("a", check={"use": "text/regexp"}),
            {},
            r"'a': no plugin offers the reward 'text/regexp'; did you mean",
        ),
        (criterion("a", check={"use": "text/regex"}), {}, r"'a': .*needs the option 'pattern'"),
        (criterion("a", check={"use": "text/length", "options": {"bond": []}}), {}, r"'bond'; did you mean 'band'"),
        (criterion("a", check={"use": "text/majority"}), {}, r"'text/majority' judges more than one completion"),
        (criterion("a", 0, check={"regex": "x"}), {}, r"memo\.toml: criterion 'a' \(number 1\): `points` is 0"),
        (criterion("a", chek={"regex": "x"}), {}, r"memo\.toml: .* has no key 'chek'; did you mean 'check'"),
        (FINE, {"file": "no.toml"}, r"there is no rubric file 'no\.toml'"),
        (FINE, {"file": 3}, r"expected the path of a \.toml or \.json file"),
        (FINE, {"min_word": 3}, r"no option 'min_word'; did you mean 'min_words'"),
        (FINE, {"max_dropped": 2}, r"less than or equal to 1"),
        (FINE, {"pass_at": 1.5}, r"less than or equal to 1"),
    ],
)
def test_whatever_is_wrong_is_told_when_the_configuration_is_read(
    tmp_path: Path, first: dict[str, Any], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        build_stack(
            configured(tmp_path, [first], options=options),
            load_plugins(allow=["lydite-rubric", "lydite-text"]),
            Plain(),
        )
    assert "reward 'memo' (rubric/score of lydite-rubric" in str(caught.value)


def test_columns_that_used_rewards_need_are_asked_of_the_data(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(
        "import lydite\n\ndef cites(text, statutes): return all(one in text for one in statutes)\n\n"
        "@lydite.hookimpl\ndef lydite_rewards(): return {'own/cites': cites}\n"
    )
    config = configured(tmp_path, [criterion("a", check={"use": "own/cites"})])
    files = (tmp_path / "own.py",)
    with pytest.raises(ConfigError, match="asks for 'statutes', which is no column"):
        scored(config, [DANUBE], columns={}, files=files)
    (verdict,) = scored(config, [DANUBE], columns={"statutes": ["Danube"]}, files=files)
    assert verdict.passed


def scored_as_shipped(text: str) -> list[Verdict]:
    """From a worker process."""
    rewards = {"memo": {"use": "rubric/score", "options": {"file": CLEAR}}}
    config = RunConfig.model_validate(
        {"model": {"path": "nowhere"}, "data": {"use": "nothing"}, "rewards": rewards, "stack": {"workers": 1}}
    )
    return scored(config, [text], columns={})


def _shipped(text: str) -> Verdict:
    return asyncio.run(
        score(Completion(text, Parsed(text)), Sample("s", "Tell me about a river."), file=read_rubric(CLEAR))
    )


def test_the_same_verdict_in_a_thread_and_in_another_process() -> None:
    here = _shipped(DANUBE)
    assert here.passed
    found: list[Verdict] = []
    thread = threading.Thread(target=lambda: found.append(_shipped(DANUBE)))
    thread.start()
    thread.join()
    assert found == [here]
    (elsewhere,) = scored_as_shipped(DANUBE)
    assert (elsewhere.score, elsewhere.passed, set(elsewhere.parts)) == (here.score, here.passed, set(here.parts))
    assert pickle.loads(pickle.dumps(here)) == here


def spoken(default: Any) -> str:
    if isinstance(default, bool) or default is None:
        return str(default).lower()
    return "(needed)" if default is inspect.Parameter.empty else f"{default:,}".removesuffix(".0")


def test_every_option_and_reason_is_in_the_readme() -> None:
    for name, one in inspect.signature(score).parameters.items():
        if one.kind is inspect.Parameter.KEYWORD_ONLY:
            assert f"| `{name}` | {spoken(one.default)} |" in README
    source = "".join(path.read_text() for path in Path(inspect.getfile(score)).parent.glob("*.py"))
    found = set(re.findall(r'"((?:answer|rubric|gate|criterion|check|judge|quote)\.[a-z]+)"', source))
    assert found == set(REASONS)
    assert not [one for one in REASONS if f"`{one}`" not in README]


def test_what_the_reward_promises() -> None:
    spec = spec_of(score)
    assert (spec.range, spec.pays_for, spec.isolation) == (None, "form", "worker")
    assert inspect.signature(score).parameters["judge_seconds"].default < spec.timeout
    assert load_plugins(allow=["lydite-rubric"]).offers["rewards"]["rubric/score"].thing is score


def test_messages_are_plain_tables(rubric: Any, judged: Any, scripted: Any) -> None:
    judge = scripted(lambda question: {"met": False})
    judged(rubric({}), DANUBE, judge=judge)
    assert all(set(one) == set(Message.__annotations__) for one in judge.asked[0])
