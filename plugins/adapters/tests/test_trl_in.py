"""TRL's reward functions in a lydite stack."""

from collections.abc import Callable
from typing import Any

import pytest

from lydite import ConfigError, Status


def trl(function: str, **options: Any) -> dict[str, Any]:
    return {"function": f"own_rewards:{function}", **options}


def test_a_function_sees_texts_and_columns(judge: Callable[..., Any]) -> None:
    verdicts = judge("adapters/trl", ["4", "5"], trl("same"), columns={"solution": "4"})
    assert [one.score for one in verdicts] == [1.0, 0.0]


def test_a_conversation_gets_messages(judge: Callable[..., Any]) -> None:
    prompt = ({"role": "user", "content": "2 + 2?"},)
    verdicts = judge("adapters/trl", ["4", "5"], trl("same"), prompt=prompt, columns={"solution": "4"})
    assert [one.score for one in verdicts] == [1.0, 0.0]


def test_none_abstains(judge: Callable[..., Any]) -> None:
    (one,) = judge("adapters/trl", ["4"], trl("same"), columns={"solution": "?"})
    assert one.status is Status.ABSTAIN


def test_a_function_without_keywords_gets_only_what_it_names(judge: Callable[..., Any]) -> None:
    assert [one.score for one in judge("adapters/trl", ["a", "b"], trl("strict"), columns={"more": 1})] == [1.0, 1.0]


def test_an_exception_is_an_error_and_no_zero(judge: Callable[..., Any]) -> None:
    verdicts = judge("adapters/trl", ["a", "b"], trl("breaks"))
    assert [(one.status, one.score, one.reason) for one in verdicts] == [
        (Status.ERROR, None, "raised.RuntimeError")
    ] * 2


def test_a_wrong_length_shifts_nothing(judge: Callable[..., Any]) -> None:
    verdicts = judge("adapters/trl", ["a", "b"], trl("too_few"))
    assert {(one.status, one.reason) for one in verdicts} == {(Status.ERROR, "returned.wrong_length")}


def test_a_missing_column_is_an_error(judge: Callable[..., Any]) -> None:
    (one,) = judge("adapters/trl", ["a"], trl("same"))
    assert one.reason == "raised.TypeError"


def test_a_coroutine_is_awaited(judge: Callable[..., Any]) -> None:
    assert [one.score for one in judge("adapters/trl", ["a", "b"], trl("waits"))] == [0.25, 0.25]


def test_what_it_logs_is_kept(judge: Callable[..., Any]) -> None:
    (one,) = judge("adapters/trl", ["abc"], trl("logs"))
    assert [(evidence.note, evidence.text) for evidence in one.evidence] == [("length", "3")]


def test_a_maker_of_functions(judge: Callable[..., Any]) -> None:
    assert [one.score for one in judge("adapters/trl", ["a"], trl("maker", arguments={"value": 0.75}))] == [0.75]


@pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated:DeprecationWarning")
def test_the_functions_that_trl_ships(judge: Callable[..., Any]) -> None:
    texts = ["<think>\nadd\n</think>\n4", "4"]
    options = {"function": "trl.rewards:think_format_reward"}
    prompt = ({"role": "user", "content": "2 + 2?"},)
    assert [one.score for one in judge("adapters/trl", texts, options, prompt=prompt)] == [1.0, 0.0]
    from trl.rewards import get_soft_overlong_punishment

    settings = {"max_completion_len": 20, "soft_punish_cache": 10}
    options = {"function": "trl.rewards:get_soft_overlong_punishment", "arguments": settings}
    texts = ["a" * 5, "a" * 15, "a" * 30]
    expected = get_soft_overlong_punishment(**settings)(completion_ids=[[1] * len(text) for text in texts])
    assert [one.score for one in judge("adapters/trl", texts, options)] == pytest.approx(expected)
    assert expected[-1] == -1.0


@pytest.mark.parametrize("name", ["trl", "verl", "verifiers", "verifiers-group"])
@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("", "the option 'function' is needed: an import path such as"),
        ("own_rewards", "expected an import path such as 'package.module:function', got 'own_rewards'"),
        ("not_there_at_all:f", "not_there_at_all cannot be imported"),
        ("own_rewards:too_fwe", "own_rewards has no 'too_fwe'; did you mean 'too_few'?"),
        ("own_rewards:NOT_A_FUNCTION", "is a int, and not a function"),
    ],
)
def test_a_path_that_leads_nowhere_is_an_error_of_the_configuration(
    name: str, path: str, said: str, judge: Callable[..., Any]
) -> None:
    with pytest.raises(ConfigError, match=r"reward 'it'") as raised:
        judge(f"adapters/{name}", ["a"], {"function": path} if path else {})
    assert said in str(raised.value)
