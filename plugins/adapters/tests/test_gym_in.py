"""Entries of reasoning-gym out of a file."""

from collections.abc import Callable
from typing import Any

import pytest

from lydite import Status

gym = pytest.importorskip("reasoning_gym")
pytest.importorskip("lydite_reasoning_gym")


def entry(name: str = "chain_sum") -> dict[str, Any]:
    made: dict[str, Any] = gym.create_dataset(name, size=1, seed=3)[0]
    return made


def row(one: dict[str, Any]) -> dict[str, Any]:
    return {"prompt": one["question"], "reference": one["answer"], "columns": {"metadata": one["metadata"]}}


def test_the_data_set_that_an_entry_names_scores_it(judge: Callable[..., Any]) -> None:
    one = entry()
    texts = [one["answer"], str(int(one["answer"]) + 1)]
    verdicts = judge("adapters/reasoning-gym", texts, {}, **row(one))
    score = gym.get_score_answer_fn("chain_sum")
    assert [one.score for one in verdicts] == [1.0, 0.0]
    assert score(texts[0], one) == 1.0
    assert score(texts[1], one) < 1.0


def test_a_partial_score_is_the_data_sets_own(judge: Callable[..., Any]) -> None:
    one = entry()
    text = f"it is {one['answer']} I think"
    (verdict,) = judge("adapters/reasoning-gym", [text], {"partial": True}, **row(one))
    assert verdict.score == pytest.approx(gym.get_score_answer_fn("chain_sum")(text, one))


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({}, "metadata.missing"),
        ({"metadata": {}}, "dataset.missing"),
        ({"metadata": {"source_dataset": "nobody"}}, "task.unknown"),
    ],
)
def test_what_an_entry_lacks_is_the_prompts_fault(given: Any, reason: str, judge: Callable[..., Any]) -> None:
    (one,) = judge("adapters/reasoning-gym", ["4"], {}, reference="4", columns=given)
    assert (one.status, one.reason, one.scope) == (Status.ERROR, reason, "prompt")
