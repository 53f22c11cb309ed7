"""verifiers' rubric functions in a lydite stack: v0 functions and parsers, and v1 tasks."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lydite import Status

FUNCTIONS = Path(__file__).parent / "functions"


def v0(function: str, **options: Any) -> dict[str, Any]:
    return {"function": f"own_rewards:{function}", **options}


@pytest.mark.parametrize("prompt", ["2 + 2?", ({"role": "user", "content": "2 + 2?"},)])
def test_a_function_is_given_what_it_names(prompt: Any, judge: Callable[..., Any]) -> None:
    verdicts = judge("adapters/verifiers", ["4", "5"], v0("rubric_answer"), prompt=prompt, reference="4")
    assert [one.score for one in verdicts] == [1.0, 0.0]


def test_state_task_info_and_columns(judge: Callable[..., Any]) -> None:
    columns = {"task": "adding", "info": {"bonus": 2}, "level": 3}
    (one,) = judge("adapters/verifiers", ["4"], v0("rubric_state"), reference="4", columns=columns)
    assert one.score == 5.5


def test_an_async_function(judge: Callable[..., Any]) -> None:
    assert [one.score for one in judge("adapters/verifiers", ["4", "5"], v0("rubric_async"), reference="4")] == [1, 0]


def test_an_exception_is_an_error_where_verifiers_says_zero(judge: Callable[..., Any]) -> None:
    (one,) = judge("adapters/verifiers", ["4"], v0("rubric_breaks"))
    assert (one.status, one.score, one.reason) == (Status.ERROR, None, "raised.KeyError")


def test_a_group_function(judge: Callable[..., Any]) -> None:
    verdicts = judge("adapters/verifiers-group", ["a", "abc", "ab"], v0("rubric_group"), reference="x")
    assert [one.score for one in verdicts] == [0.0, 1.0, 0.0]


def test_a_group_function_that_returns_too_few(judge: Callable[..., Any]) -> None:
    verdicts = judge("adapters/verifiers-group", ["a", "b"], v0("rubric_group_short"))
    assert {one.reason for one in verdicts} == {"returned.wrong_length"}


class TestTheRealVerifiers:
    @pytest.fixture(autouse=True)
    def installed(self, peer: Callable[[str], Path]) -> None:
        folder = peer("verifiers")
        assert (folder / "verifiers-0.1.14.dist-info").is_dir(), "these tests are written against verifiers 0.1.14"

    def test_the_default_parser(self, judge: Callable[..., Any]) -> None:
        prompt = ({"role": "user", "content": "2 + 2?"},)
        verdicts = judge("adapters/verifiers", ["4", "5"], v0("rubric_parsed"), prompt=prompt, reference="4")
        assert [one.score for one in verdicts] == [1.0, 0.0]

    def test_the_same_scores_as_the_rubric_itself_gives(self, judge: Callable[..., Any]) -> None:
        import verifiers_rubrics

        prompt = ({"role": "user", "content": "2 + 2?"},)
        texts = ["<think>add</think><answer>4</answer>", "<answer>5</answer>", "4"]
        options = {"function": "verifiers_rubrics:correct", "parser": "verifiers_rubrics:parser"}
        verdicts = judge("adapters/verifiers", texts, options, prompt=prompt, reference="4")
        rubric = verifiers_rubrics.rubric

        def theirs(text: str) -> float:
            state = {
                "prompt": [dict(one) for one in prompt],
                "completion": [{"role": "assistant", "content": text}],
                "answer": "4",
                "task": "default",
            }
            return asyncio.run(rubric._call_individual_reward_func(verifiers_rubrics.correct, state))  # type: ignore[no-any-return]

        assert [one.score for one in verdicts] == [theirs(text) for text in texts] == [1.0, 0.0, 0.0]

    def test_a_parsers_format_reward(self, judge: Callable[..., Any]) -> None:
        import verifiers_rubrics

        prompt = ({"role": "user", "content": "2 + 2?"},)
        texts = ["<think>\nadd\n</think>\n<answer>\n4\n</answer>", "4"]
        verdicts = judge("adapters/verifiers", texts, {"function": "verifiers_rubrics:format_reward"}, prompt=prompt)
        theirs = [
            verifiers_rubrics.format_reward(completion=[{"role": "assistant", "content": text}]) for text in texts
        ]
        assert [one.score for one in verdicts] == pytest.approx(theirs)
        assert theirs[0] > theirs[1]


def test_tasks_of_verifiers_v1() -> None:
    """In an environment of their own: they need a newer set of packages than anything else here."""
    python = Path(sys.prefix) / "peers" / "verifiers-v1" / "bin" / "python"
    if not python.is_file():
        pytest.skip(f"there is no {python}; make peers-v1 makes the environment")
    environ = {**os.environ, "PYTHONPATH": str(FUNCTIONS)}
    ran = subprocess.run(
        [python, FUNCTIONS / "verifiers_tasks.py"], capture_output=True, text=True, env=environ, check=False
    )
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout.splitlines()[-1])
    parts = {"right": 1.0, "short": 1.0, "turns": 1.0}
    assert found["right"] == found["chat"] == {"score": 3.0, "status": "ok", "parts": parts}
    assert found["wrong"]["score"] == 1.0
    assert found["breaking"] == {"raised": "TaskError"}
    assert (found["silent"]["score"], found["silent"]["status"]) == (None, "abstain")
