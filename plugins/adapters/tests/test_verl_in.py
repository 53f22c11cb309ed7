"""verl's compute_score in a lydite stack, with functions of our own and with verl's."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lydite import Status

OWN = {"function": "own_rewards:compute_score"}


def row(**columns: Any) -> dict[str, Any]:
    return {"data_source": "sums", **columns}


def test_a_float_is_a_score(judge: Callable[..., Any]) -> None:
    verdicts = judge("adapters/verl", ["4", "5"], OWN, reference="4", columns=row())
    assert [(one.score, one.reason) for one in verdicts] == [(1.0, "scored"), (0.0, "scored")]


def test_a_dict_has_its_score_and_leaves_the_rest_as_evidence(judge: Callable[..., Any]) -> None:
    verdicts = judge("adapters/verl", ["4", "5"], OWN, reference="4", columns=row(extra_info={"kind": "dict"}))
    assert [(one.score, one.passed, one.parsed) for one in verdicts] == [(-0.75, True, "4"), (0.25, False, "5")]
    notes = {evidence.note: evidence.text for evidence in verdicts[0].evidence}
    assert notes["acc"] == "True"
    assert len(notes["note"]) == 500


@pytest.mark.parametrize(
    ("kind", "status", "reason", "scope"),
    [
        ("raise", Status.ERROR, "raised.RuntimeError", "completion"),
        ("unknown", Status.ERROR, "data_source.unknown", "prompt"),
        ("no score", Status.ERROR, "score.missing", "completion"),
        ("nan", Status.ERROR, "raised.ValueError", "completion"),
        ("none", Status.ABSTAIN, "score.none", "completion"),
        ("list", Status.OK, "scored", "completion"),
    ],
)
def test_what_is_no_score_is_never_zero(
    kind: str, status: Status, reason: str, scope: str, judge: Callable[..., Any]
) -> None:
    (one,) = judge("adapters/verl", ["4"], OWN, reference="4", columns=row(extra_info={"kind": kind}))
    assert (one.status, one.reason, one.scope) == (status, reason, scope)
    assert one.score == (1.0 if kind == "list" else None)


def test_a_coroutine_is_awaited(judge: Callable[..., Any]) -> None:
    options = {"function": "own_rewards:compute_score_async"}
    assert [one.score for one in judge("adapters/verl", ["4", "5"], options, reference="4", columns=row())] == [1, 0]


def test_verls_own_layout_of_rows(judge: Callable[..., Any]) -> None:
    options = {**OWN, "ground_truth_column": "reward_model.ground_truth"}
    columns = row(reward_model={"style": "rule", "ground_truth": "4"})
    assert [one.score for one in judge("adapters/verl", ["4"], options, columns=columns)] == [1.0]


@pytest.mark.parametrize(
    ("options", "columns", "reason"),
    [
        ({}, {}, "data_source.missing"),
        ({"ground_truth_column": "gold.text"}, row(gold={"number": 4}), "ground_truth.missing"),
    ],
)
def test_what_a_row_lacks_is_the_prompts_fault(
    options: Any, columns: Any, reason: str, judge: Callable[..., Any]
) -> None:
    (one,) = judge("adapters/verl", ["4"], {**OWN, **options}, reference="4", columns=columns)
    assert (one.status, one.reason, one.scope) == (Status.ERROR, reason, "prompt")


class TestTheRealVerl:
    @pytest.fixture(autouse=True)
    def installed(self, peer: Callable[[str], Path]) -> None:
        folder = peer("verl")
        assert (folder / "verl-0.9.1.dist-info").is_dir(), "these tests are written against verl 0.9.1"

    def test_gsm8k(self, judge: Callable[..., Any]) -> None:
        import verl_scores

        texts = ["2 and 2 are #### 4", "#### 5", "no number"]
        options = {"function": "verl_scores:default_compute_score", "data_source": "openai/gsm8k"}
        verdicts = judge("adapters/verl", texts, options, reference="4")
        assert [one.score for one in verdicts] == [verl_scores.gsm8k_score(text, "4") for text in texts] == [1, 0, 0]

    def test_a_data_source_in_its_column_and_a_dict_for_a_score(self, judge: Callable[..., Any]) -> None:
        import verl_scores

        texts = ["Answer: 4", "Answer: 7"]
        options = {"function": "verl_scores:default_compute_score"}
        verdicts = judge("adapters/verl", texts, options, reference="4", columns={"data_source": "math_dapo"})
        theirs = [verl_scores.default_compute_score("math_dapo", text, "4") for text in texts]
        assert [(one.score, one.passed, one.parsed) for one in verdicts] == [
            (one["score"], one["acc"], one["pred"]) for one in theirs
        ]
        assert [one.score for one in verdicts] == [1.0, -1.0]

    def test_boxed_answers(self, judge: Callable[..., Any]) -> None:
        options = {"function": "verl_scores:default_compute_score"}
        columns = {"data_source": "DigitalLearningGmbH/MATH-lighteval"}
        verdicts = judge("adapters/verl", [r"\boxed{4}", r"\boxed{5}"], options, reference="4", columns=columns)
        assert [one.score for one in verdicts] == [1.0, 0.0]

    def test_a_data_source_that_verl_has_no_rule_for(self, judge: Callable[..., Any]) -> None:
        options = {"function": "verl_scores:default_compute_score", "data_source": "nobody/nothing"}
        (one,) = judge("adapters/verl", ["4"], options, reference="4")
        assert (one.reason, one.scope) == ("data_source.unknown", "prompt")
        assert json.dumps(one.score) == "null"
