"""What a reward may return, and what becomes of what it may not."""

from __future__ import annotations

import pickle
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from lydite.rewards.calls import Terms
from lydite.rewards.verdicts import explain, from_exception, lift, lift_all, settled
from lydite.types import Evidence, Status, Verdict

TERMS = Terms("mine")
UNIT = Terms("mine", (0.0, 1.0))


@pytest.mark.parametrize("result", [1, 0.5, True, np.float32(0.5), np.int64(3), Fraction(1, 2), Decimal("0.5")])
def test_numbers_of_any_library_are_scores(result: Any) -> None:
    verdict = lift(result, TERMS)
    assert verdict.status is Status.OK
    assert verdict.score == float(result)
    assert type(verdict.score) is float


@pytest.mark.parametrize("result", [True, False, np.bool_(True), np.bool_(False)])
def test_a_bool_says_whether_it_passed(result: Any) -> None:
    assert lift(result, TERMS).passed is bool(result)


def test_none_abstains() -> None:
    assert lift(None, TERMS).status is Status.ABSTAIN


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        (float("nan"), "returned.nan"),
        (float("inf"), "returned.infinite"),
        (10**400, "returned.infinite"),
        ("1.0", "returned.str"),
        (b"1", "returned.bytes"),
        ([1.0], "returned.list"),
        (1j, "returned.complex"),
        (np.zeros(3), "returned.ndarray"),
    ],
)
def test_what_no_reward_may_return_is_an_error_that_names_it(result: Any, reason: str) -> None:
    verdict = lift(result, TERMS)
    assert verdict.status is Status.ERROR
    assert verdict.reason == reason
    assert "reward 'mine'" in explain(verdict)


def test_scores_are_held_to_the_range_but_not_to_its_last_bit() -> None:
    assert lift(1.5, UNIT).reason == "returned.out_of_range"
    assert lift(True, Terms("mine", (-1.0, 0.5))).reason == "returned.out_of_range"
    assert lift(Verdict(-0.1), UNIT).reason == "returned.out_of_range"
    assert lift(1.0 + 1e-12, UNIT).score == 1.0
    assert "from 0.0 to 1.0" in explain(lift(2, UNIT))


@pytest.mark.parametrize("result", [[1.0], [1.0, 2.0, 3.0], []])
def test_a_list_of_the_wrong_length_is_an_error_for_every_completion(result: list[float]) -> None:
    verdicts = lift_all(result, TERMS, 2)
    assert [one.reason for one in verdicts] == ["returned.wrong_length"] * 2
    assert f"{len(result)} judgements for 2 completions" in explain(verdicts[0])


@pytest.mark.parametrize("result", ["ab", 0.5, None, {"a": 1, "b": 2}])
def test_what_is_no_list_is_an_error(result: Any) -> None:
    assert [one.reason for one in lift_all(result, TERMS, 2)] == ["returned.no_list"] * 2


def test_lists_are_lifted_one_by_one() -> None:
    verdicts = lift_all(np.array([0.0, np.nan]), TERMS, 2)
    assert [one.status for one in verdicts] == [Status.OK, Status.ERROR]


def test_a_verdict_comes_out_plain_capped_and_picklable() -> None:
    class Odd(str):
        def __reduce__(self) -> Any:
            raise TypeError("stays here")

    given = Verdict(
        np.float64(0.5),
        reason=Odd("why"),
        evidence=(Evidence(Odd("x" * 9000), 0, 3),),
        parts={Odd("part"): Verdict(1.0, passed=np.bool_(True))},  # type: ignore[arg-type]
    )
    plain = pickle.loads(pickle.dumps(lift(given, TERMS)))
    assert (plain.score, plain.reason, plain.parts["part"].passed) == (0.5, "why", True)
    assert len(plain.evidence[0].text) == 2000


def test_a_malformed_verdict_is_an_error() -> None:
    assert lift(Verdict(1.0, evidence=3), TERMS).reason == "returned.Verdict"  # type: ignore[arg-type]


def test_exceptions_are_named_even_when_they_cannot_be_printed() -> None:
    class MuteError(Exception):
        def __str__(self) -> str:
            raise ValueError

    assert from_exception(KeyError("k"), TERMS).reason == "raised.KeyError"
    assert "cannot be read" in explain(from_exception(MuteError(), TERMS))


def test_what_a_verdict_left_open_is_filled_in_and_nothing_else() -> None:
    filled = settled(Verdict(0.5), pass_at=0.5, verifier="v", version="1")
    assert (filled.passed, filled.verifier, filled.version) == (True, "v", "1")
    own = settled(Verdict(0.9, passed=False, verifier="own", version="2"), pass_at=0.5, verifier="v", version="1")
    assert (own.passed, own.verifier, own.version) == (False, "own", "2")
    assert settled(Verdict.error("x"), pass_at=0.5, verifier="v", version="1").passed is None
