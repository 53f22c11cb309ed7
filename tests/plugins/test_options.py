"""Options of a plugin's function: checked against its signature before anything runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from lydite.errors import ConfigError
from lydite.options import check_options, hints_of, option_parameters, positional_names


class Rule(BaseModel):
    name: str


def verifier(
    completion: str,
    reference: str = "",
    *,
    tolerance: float = 0.0,
    steps: Annotated[int, Field(ge=1)] = 1,
    mode: Literal["all", "any"] = "all",
    words: Sequence[str] = (),
    needed: str | None,
    rule: Rule | None = None,
    anything: Any = None,
) -> float:
    return 0.0


class Maker:
    def __init__(self, *, tag: str = "x") -> None:
        self.tag = tag


class Caller:
    def __call__(self, text: str, *, limit: int = 1) -> float:
        return 0.0


def test_positional_names_are_given_and_keyword_only_ones_are_options() -> None:
    assert positional_names(verifier) == ("completion", "reference")
    assert list(option_parameters(verifier)) == ["tolerance", "steps", "mode", "words", "needed", "rule", "anything"]
    assert (positional_names(Maker), list(option_parameters(Maker))) == ((), ["tag"])
    assert (positional_names(Caller()), list(option_parameters(Caller()))) == (("text",), ["limit"])


def test_values_are_converted_to_what_the_annotations_say() -> None:
    given = {"tolerance": 1, "words": ["a"], "needed": None, "rule": {"name": "r"}, "anything": {"k": [1]}}
    checked = check_options("reward 'x'", verifier, given)
    assert checked == {**given, "rule": Rule(name="r")}
    assert isinstance(checked["tolerance"], float)
    assert check_options("format 'x'", Maker, {"tag": "y"}) == {"tag": "y"}
    assert check_options("reward 'x'", Caller(), {"limit": 3}) == {"limit": 3}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"needed": "", "tolerence": 1}, "reward 'x' has no option 'tolerence'; did you mean 'tolerance'?"),
        ({"needed": "", "completion": 1}, "reward 'x' has no option 'completion'"),
        ({}, "reward 'x' needs the option 'needed', and it is not given"),
        ({"needed": "", "tolerance": "wide"}, "option 'tolerance' of reward 'x' must be float, got 'wide'"),
        ({"needed": "", "steps": 0}, "option 'steps' of reward 'x' must be int, got 0 (Input should be greater than"),
        ({"needed": "", "mode": "some"}, "option 'mode' of reward 'x' must be 'all' or 'any', got 'some'"),
        ({"needed": "", "words": "abc"}, "option 'words' of reward 'x' must be Sequence[str], got 'abc'"),
        ({"needed": "", "words": [1]}, "option 'words' of reward 'x' must be Sequence[str], got [1]"),
        ({"needed": 3}, "option 'needed' of reward 'x' must be str | None, got 3"),
        ({"needed": "", "rule": {}}, "option 'rule' of reward 'x' must be"),
    ],
)
def test_what_does_not_fit_is_told_with_what_would(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_options("reward 'x'", verifier, options)
    assert str(caught.value).startswith(message)


def test_a_function_without_annotations_takes_any_value() -> None:
    def loose(text, *, limit=1):  # type: ignore[no-untyped-def]
        return 0.0

    assert check_options("reward 'x'", loose, {"limit": object}) == {"limit": object}


def test_annotations_that_cannot_be_resolved_are_not_checked() -> None:
    def odd(text: NoSuchType, *, limit: int = 1) -> float:  # type: ignore[name-defined]  # noqa: F821
        return 0.0

    assert hints_of(odd) == {}
    assert check_options("reward 'x'", odd, {"limit": "many"}) == {"limit": "many"}


def test_a_function_with_open_keywords_takes_any_name() -> None:
    def open_ended(prompts: list[str], *, limit: int = 1, **columns: Any) -> list[float]:
        return []

    assert check_options("reward 'x'", open_ended, {"limit": 2, "town": "x"}) == {"limit": 2, "town": "x"}


@given(
    st.dictionaries(
        st.sampled_from(["tolerance", "steps", "mode", "needed", "x"]),
        st.one_of(st.none(), st.integers(), st.text(), st.floats()),
    )
)
def test_checking_either_refuses_or_gives_exactly_what_was_named(options: dict[str, Any]) -> None:
    try:
        checked = check_options("reward 'x'", verifier, options)
    except ConfigError:
        return
    assert set(checked) == set(options)
    assert isinstance(checked.get("tolerance", 0.0), float)
    assert checked.get("steps", 1) >= 1
