"""What a reward promises of itself, what a verdict may be, and near misses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lydite import Completion, Format, Parsed, Status, Verdict, did_you_mean, reward
from lydite.contracts import RewardSpec, spec_of


def test_a_reward_stays_the_function_it_was() -> None:
    @reward(range=(-1.0, 1.0), isolation="inline", timeout=3.0, deterministic=False, version="2")
    def half(text: str) -> float:
        return 0.5

    assert half("x") == 0.5
    assert spec_of(half) == RewardSpec((-1.0, 1.0), "inline", 3.0, False, "2")


def test_a_plain_function_promises_nothing_and_runs_in_a_worker() -> None:
    assert spec_of(len) == RewardSpec(None, "worker", 10.0, True, "")


@pytest.mark.parametrize(
    "promised", [{"range": (1.0, 1.0)}, {"range": (1.0, 0.0)}, {"timeout": 0.0}, {"timeout": -1.0}]
)
def test_promises_that_cannot_be_kept_are_refused(promised: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="got"):
        reward(**promised)  # type: ignore[arg-type]


@pytest.mark.parametrize("score", [float("nan"), float("inf"), float("-inf")])
def test_a_verdict_with_a_score_that_is_no_number_cannot_be(score: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        Verdict(score)


@pytest.mark.parametrize("status", list(Status))
def test_a_verdict_has_a_score_exactly_when_it_is_ok(status: Status) -> None:
    wrong = None if status is Status.OK else 1.0
    with pytest.raises(ValueError, match="exactly when its status is ok"):
        Verdict(wrong, status)


def test_a_verdict_without_a_score_says_why() -> None:
    assert Verdict.abstain("unsure", scope="prompt") == Verdict(None, Status.ABSTAIN, reason="unsure", scope="prompt")
    assert Verdict.error("broken") == Verdict(None, Status.ERROR, reason="broken")
    assert Verdict.timeout(seconds=2.0) == Verdict(None, Status.TIMEOUT, reason="deadline", seconds=2.0)


def test_the_built_in_format_takes_all_of_the_text() -> None:
    from lydite.builtin import Plain

    plain = Plain()
    assert isinstance(plain, Format)
    assert plain.parse(" 4\n") == Parsed("4")
    broken = plain.parse(" \n")
    assert Completion("", broken).answer is None
    assert not isinstance(broken, Parsed)
    assert broken.reason == "answer.empty"
    assert Completion("4", Parsed("4"), finish_reason="length").truncated


NAMES = ["math/equivalent", "text/exact", "text/number", "legal.citations"]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("text/exakt", "; did you mean 'text/exact'?"),
        ("TEXT/EXACT", "; did you mean 'text/exact'?"),
        ("equivalent", "; did you mean 'math/equivalent'?"),
        ("cite/citation", "; did you mean 'legal.citations'?"),
        ("zzz", "; known: legal.citations, math/equivalent, text/exact, text/number"),
    ],
)
def test_the_nearest_name_is_suggested(asked: str, said: str) -> None:
    assert did_you_mean(asked, NAMES) == said


def test_many_names_are_cut_short_and_none_are_said_to_be_none() -> None:
    assert did_you_mean("zzz", [f"n{number:02}" for number in range(20)]).endswith("n11, and 8 more")
    assert did_you_mean("zzz", []) == " (there are none to choose from)"


@given(st.text(), st.lists(st.text(min_size=1)))
def test_a_suggestion_is_one_of_the_names_or_a_list_of_them(asked: str, known: list[str]) -> None:
    said = did_you_mean(asked, known)
    if said.startswith("; did you mean"):
        assert any(repr(name) in said for name in known)
    else:
        assert said.startswith("; known: ") if known else said
    if asked in known:
        assert said.startswith("; did you mean")
