import inspect
import json
import re
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lydite import Completion, FormatError, Group, Parsed, Sample, Status, Verdict
from lydite.contracts import spec_of
from lydite.errors import ConfigError
from lydite.options import check_options
from lydite.plugins import load_plugins
from lydite_text import contains, exact, length, majority, misspelt, number, pattern, repetition, tag_counts
from lydite_text.numerals import read_number
from lydite_text.prose import words_of

README = (Path(__file__).parent.parent / "README.md").read_text()
OFFERS = load_plugins(allow=["lydite-text"]).offers
REWARDS = {name: offer.thing for name, offer in OFFERS["rewards"].items()}
GROUP_REWARDS = {name: offer.thing for name, offer in OFFERS["group_rewards"].items()}


def said(text: str, tokens: int = 0) -> Completion:
    return Completion(text=text, parsed=Parsed(text), tokens=tokens)


def outcome(verdict: Verdict) -> tuple[float | None, str]:
    assert f"`{verdict.reason}`" in README, f"the README does not list {verdict.reason}"
    return verdict.score, verdict.reason


RIGHT = 1.0, "exact.equal"
WRONG = 0.0, "exact.different"


@pytest.mark.parametrize(
    ("answer", "reference", "expected"),
    [
        ("Paris", "paris", RIGHT),
        (" **Paris**. ", "Paris", RIGHT),
        ("\u201cParis\u201d", "Paris", RIGHT),
        ("Pa\u200bris", "Paris", RIGHT),
        ("\uff30aris", "Paris", RIGHT),  # fullwidth P
        ("New\n York", "New York", RIGHT),
        ("7", 7, RIGHT),
        ("B", ["A", "B"], RIGHT),
        ("?", "?", RIGHT),
        ("Paris or Rome", "Paris", WRONG),
        ("A, B", ["A", "B"], WRONG),
        ("P\u0430ris", "Paris", WRONG),  # a Cyrillic a
        ("-7", "7", WRONG),
        ("50%", "50", WRONG),
        ("", "Paris", (0.0, "answer.empty")),
        ("\u200b", "Paris", (0.0, "answer.empty")),
        ("x", None, (None, "reference.empty")),
        ("", "", (None, "reference.empty")),
        ("x", [], (None, "reference.empty")),
        ("x", ["x", " "], (None, "reference.empty")),
    ],
)
def test_exact(answer: str, reference: Any, expected: tuple[float | None, str]) -> None:
    assert outcome(exact(answer, reference)) == expected


def test_exact_with_its_options() -> None:
    assert exact("paris", "Paris", case=True).score == 0.0
    assert exact("Paris.", "Paris", strip_punctuation=False).score == 0.0
    assert exact("Paris", "Paris", case=True, strip_punctuation=False).score == 1.0


@given(st.text())
def test_exact_passes_a_reference_against_itself(text: str) -> None:
    verdict = exact(text, text)
    assert verdict.score == 1.0 or verdict.reason == "reference.empty"


EQUAL = 1.0, "number.equal"


@pytest.mark.parametrize(
    ("answer", "reference"),
    [
        ("42", 42),
        ("42.", "42"),
        (" 42\n", "42"),
        ("+42", 42),
        ("-7", "-7"),
        ("\u22127", -7),
        ("1,234,567", 1234567),
        ("1\u202f234", "1234"),
        ("0.50", ".5"),
        ("3/4", 0.75),
        ("1e3", "1,000"),
        ("0.1", 0.1),
        ("0", "-0"),
    ],
)
def test_number_accepts_every_way_of_writing_it(answer: str, reference: Any) -> None:
    assert outcome(number(answer, reference)) == EQUAL
    assert outcome(number(answer, reference, anywhere=True)) == EQUAL


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ("43", "number.wrong"),
        ("-42", "number.wrong"),
        ("42 43", "number.not_alone"),
        ("42, 43", "number.not_alone"),
        ("It is 42", "number.not_alone"),
        ("42 apples", "number.not_alone"),
        ("42%", "number.not_alone"),
        ("4 2", "number.not_alone"),
        ("4,2", "number.not_alone"),
        ("42..", "number.not_alone"),
        ("--42", "number.not_alone"),
        ("42/0", "number.not_alone"),
        ("4٢", "number.not_alone"),
        ("٤٢", "number.not_alone"),
        ("\uff14\uff12", "number.not_alone"),
        ("42\u00b2", "number.not_alone"),
        ("6*7", "number.not_alone"),
        ("\u200b42", "number.not_alone"),
        ("9" * 301, "number.long"),
        ("forty-two", "number.missing"),
        ("nan", "number.missing"),
        ("inf", "number.missing"),
        ("", "number.missing"),
    ],
)
def test_number_alone_refuses(answer: str, code: str) -> None:
    assert outcome(number(answer, 42)) == (0.0, code)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("The answer is 42.", EQUAL),
        ("**42**", EQUAL),
        ("It costs $42!", EQUAL),
        ("$42$, so 42.0 it is", EQUAL),
        ("(42)", EQUAL),
        ("41 or 42", (0.0, "number.several")),
        (" ".join(str(one) for one in range(43)), (0.0, "number.several")),
        ("40 + 2 = 42", (0.0, "number.several")),
        ("42 and \u00bd", (0.0, "number.unreadable")),
        ("41,42,43", (0.0, "number.unreadable")),
        ("41/42", (0.0, "number.wrong")),
        ("41-42", (0.0, "number.unreadable")),
        ("x42", (0.0, "number.unreadable")),
        ("42 ٤٣", (0.0, "number.unreadable")),
        ("42\u200b43", (0.0, "number.unreadable")),
        ("none", (0.0, "number.missing")),
    ],
)
def test_number_anywhere_takes_one_value_and_never_a_list(answer: str, expected: tuple[float, str]) -> None:
    assert outcome(number(answer, 42, anywhere=True)) == expected


@pytest.mark.parametrize("reference", [None, True, "", "x", "1 or 2", [1], float("nan"), float("inf"), "٤"])
def test_a_reference_that_is_no_number_is_the_prompts_error(reference: Any) -> None:
    verdict = number("1", reference)
    assert (verdict.status, verdict.scope) == (Status.ERROR, "prompt")
    assert outcome(verdict) == (None, "reference.not_a_number")


def test_number_within_its_tolerances() -> None:
    assert number("9.7", 10, tolerance=0.3).score == 1.0  # exactly on the edge, where binary floats would miss it
    assert number("9.69", 10, tolerance=0.3).score == 0.0
    assert number("98", 100, relative_tolerance=0.02).score == 1.0
    assert number("-102.1", -100, relative_tolerance=0.02).score == 0.0
    assert number("101", 100, tolerance=0.5, relative_tolerance=0.02).score == 1.0


@given(st.fractions(), st.sampled_from(["{n}", "+{n}", " {n}.", "{n}\n"]))
def test_number_reads_what_python_writes(value: Fraction, form: str) -> None:
    text = form.format(n=value) if value >= 0 else str(value)
    assert number(text, str(value)).score == 1.0


@given(
    st.decimals(allow_nan=False, allow_infinity=False, places=3, min_value=-(10**20), max_value=10**20),
    st.integers(1, 10**6),
)
def test_number_agrees_with_decimal(value: Decimal, step: int) -> None:
    assert number(f"{value:,}", str(value)).score == 1.0
    assert number(str(value + Decimal(step) / 1000), str(value)).score == 0.0


@given(st.lists(st.integers(), min_size=2, unique=True), st.sampled_from([" ", ", ", " or ", "\n", "; ", " = "]))
def test_listing_several_numbers_never_pays(values: list[int], between: str) -> None:
    text = between.join(map(str, values))
    for anywhere in (False, True):
        assert number(text, values[-1], anywhere=anywhere).score == 0.0


@pytest.mark.parametrize(
    "text", ["1,23", "1234,567", "1,2345", "1,234,56", "1,234\u202f567", ",123", "1,,234", "1 234"]
)
def test_thousands_stand_in_groups_of_three_with_one_mark(text: str) -> None:
    assert read_number(text) is None


def test_reading_a_number_is_bounded() -> None:
    assert read_number("1e999") == Fraction(10) ** 999
    for text in ("1e9999", "9" * 301, "1," * 200_000, "1" * 10**6, "9**9**9**9"):
        assert read_number(text) is None


@pytest.mark.parametrize(
    ("text", "unit", "score", "code"),
    [
        ("one two three", "words", 1.0, "length.within"),
        ("one two", "words", 1.0, "length.within"),
        ("one", "words", 0.5, "length.short"),
        ("", "words", 0.0, "length.short"),
        ("a b c d e", "words", 0.5, "length.long"),
        ("a b c d e f", "words", 0.0, "length.long"),
        ("  abcd  ", "characters", 1.0, "length.within"),
        ("abc", "tokens", 1.0, "length.within"),
    ],
)
def test_length(text: str, unit: Any, score: float, code: str) -> None:
    verdict = length(said(text, tokens=3), band=(2, 4), unit=unit, margin=1)
    assert outcome(verdict) == (score, code)
    assert verdict.passed is (score == 1.0)


@pytest.mark.parametrize(
    ("text", "n", "score"),
    [
        ("a b c d", 2, 0.0),
        ("a b a b", 2, 2 / 3 - 1),
        ("A a A a a", 2, 1 / 4 - 1),
        ("a", 2, 0.0),
        ("", 1, 0.0),
    ],
)
def test_repetition(text: str, n: int, score: float) -> None:
    verdict = repetition(said(text), n=n)
    assert verdict.score == pytest.approx(score)
    assert outcome(verdict)
    assert verdict.passed is (score == 0.0)


def test_repetition_names_what_is_repeated_and_sees_text_without_spaces() -> None:
    verdict = repetition(said("go on and go on and go on"), n=2)
    assert verdict.evidence[0].text == "go on"
    assert verdict.evidence[0].note == "3 times"
    assert repetition(said("a" * 100)).score == 0.0
    assert repetition(said("a" * 102), unit="characters").score == pytest.approx(-0.99)


@given(st.lists(st.sampled_from("abc"), max_size=30), st.integers(1, 4))
def test_repetition_agrees_with_counting(words: list[str], n: int) -> None:
    grams = [tuple(words[at : at + n]) for at in range(len(words) - n + 1)]
    expected = len(set(grams)) / len(grams) - 1 if grams else 0.0
    assert repetition(said(" ".join(words)), n=n).score == pytest.approx(expected)


@pytest.mark.parametrize(
    ("text", "score", "code"),
    [
        ("<think>x</think><answer>4</answer>", 1.0, "tags.once"),
        ("<think>x</think><answer>4", 0.75, "tags.missing"),
        ("<answer>4</answer>", 0.5, "tags.missing"),
        ("<think></think>" * 2 + "<answer>4</answer>", 0.5, "tags.repeated"),
        ("</think>a<think><answer>b</answer>", 0.5, "tags.order"),
        ("<answer>4</answer><think>x</think>", 0.5, "tags.order"),
        ("<think>\u200b \n</think><answer>4</answer>", 0.5, "tags.empty"),
        ("<think></think><answer></answer>", 0.0, "tags.empty"),
        ("", 0.0, "tags.missing"),
    ],
)
def test_tag_counts(text: str, score: float, code: str) -> None:
    verdict = tag_counts(said(text))
    assert outcome(verdict) == (score, code)
    assert verdict.passed is (code == "tags.once")


@pytest.mark.parametrize(
    ("text", "score", "wrong"),
    [
        ("The quick brown fox doesn't jump.", 0.0, []),
        ("The quik brown fox", -0.1, ["quik"]),
        ("quik quik quik's", -0.1, ["quik", "quik's"]),
        ("quik braun foxx jumpz ovr teh lazi dogg", -0.5, None),
        ("the metformyn of Qwxyz GRPOO 500mgg a_bcdx x1yz", -0.1, ["metformyn"]),
        ("`quik` ```\nbrwn\n``` $foxx$ \\(jumpz\\) \\[ovrr\\] \\lazidog", 0.0, []),
        ("see https://exampel.com/quik and me@exampel.org", 0.0, []),
        ("an unclosed ` quik", -0.1, ["quik"]),
        ("it\u2019s the dog\u2019s", 0.0, []),
        ("", 0.0, []),
    ],
)
def test_misspelt(text: str, score: float, wrong: list[str] | None) -> None:
    verdict = misspelt(said(text))
    assert verdict.score == pytest.approx(score)
    assert outcome(verdict)
    if wrong is not None:
        assert [one.text for one in verdict.evidence] == wrong
    for one in verdict.evidence:
        assert text.replace("\u2019", "'")[one.start : one.end] == one.text


def test_misspelt_with_its_options() -> None:
    assert misspelt(said("quik metformin"), extra_words=["Quik", "metformin"]).score == 0.0
    assert misspelt(said("quik"), per_word=0.25).score == -0.25
    assert misspelt(said("la maison est belle"), language="fr").score == 0.0


@given(st.text())
def test_words_stand_where_they_are_said_to(text: str) -> None:
    for word, start in words_of(text):
        assert text[start : start + len(word)].replace("\u2019", "'") == word


@pytest.mark.parametrize("piece", ["```", "`", "$", "\\(", "\\[x", "a@", "http://", "a'"])
def test_marks_left_open_take_no_quadratic_time(piece: str) -> None:
    # At 100,000 marks a quadratic search takes minutes: it would show without a clock.
    assert list(words_of(piece * 100_000 + " quik"))[-1][0] == "quik"


@pytest.mark.parametrize(
    ("answer", "options", "expected"),
    [
        ("It is Paris.", {}, (1.0, "contains.found")),
        ("Parisian", {}, (0.0, "contains.missing")),
        ("", {}, (0.0, "contains.missing")),
        ("rome and PARIS", {"values": ["Paris", "Rome"]}, (1.0, "contains.found")),
        ("rome", {"values": ["Paris", "Rome"]}, (0.0, "contains.missing")),
        ("rome", {"values": ["Paris", "Rome"], "mode": "any"}, (1.0, "contains.found")),
        ("paris", {"case": True}, (0.0, "contains.missing")),
        ("Paris or Rome", {"forbidden": ["rome"]}, (0.0, "contains.forbidden")),
        ("Paris " * 21, {}, (0.0, "answer.long")),
        ("Parisian Paris", {}, (1.0, "contains.found")),
        ("C++ it is", {"values": ["C++"]}, (1.0, "contains.found")),
        ("x", {"values": [" "]}, (None, "values.empty")),
    ],
)
def test_contains(answer: str, options: Mapping[str, Any], expected: tuple[float | None, str]) -> None:
    assert outcome(contains(answer, "Paris", **options)) == expected


def test_contains_looks_for_every_reference_of_a_list() -> None:
    assert contains("a and b", ["a", "b"]).score == 1.0
    assert contains("a", ["a", "b"]).score == 0.0
    assert contains("a", None).scope == "prompt"


def voted(*answers: str | None, min_share: float = 0.0) -> list[tuple[float | None, str]]:
    completions = tuple(
        Completion(text=one or "", parsed=FormatError("x") if one is None else Parsed(one)) for one in answers
    )
    return [outcome(one) for one in majority(Group(Sample("a", "?"), completions), min_share=min_share)]


def test_majority_pays_those_who_agree() -> None:
    agrees, differs, empty = (1.0, "majority.agrees"), (0.0, "majority.differs"), (0.0, "answer.empty")
    assert voted("Rome", "**rome**.", "Paris") == [agrees, agrees, differs]
    assert voted("Rome", None, "", "Rome") == [agrees, empty, empty, agrees]
    assert voted("Rome") == [agrees]


def test_majority_pays_nobody_without_one() -> None:
    assert {reason for _, reason in voted("a", "a", "b", "b", "c")} == {"majority.tied"}
    assert {reason for _, reason in voted("a", "a", "b", "c", "d", min_share=0.5)} == {"majority.none"}
    assert voted("a", "a", "b", "c", min_share=0.5)[0] == (1.0, "majority.agrees")
    assert voted(None, None) == [(0.0, "answer.empty")] * 2


@given(st.lists(st.sampled_from(["a", "b", "c", None]), min_size=1, max_size=9), st.randoms())
def test_majority_depends_on_the_answers_and_not_on_their_order(answers: list[str | None], random: Any) -> None:
    score_of = dict(zip(answers, voted(*answers), strict=True))
    random.shuffle(answers)
    assert [score_of[one] for one in answers] == voted(*answers)
    assert len({one for one in answers if score_of[one][0] == 1.0}) <= 1


@pytest.mark.parametrize(
    ("text", "options", "expected"),
    [
        ("step 1", {"pattern": r"step \d"}, (1.0, "pattern.found")),
        ("Step 1", {"pattern": r"step \d"}, (0.0, "pattern.missing")),
        ("Step 1", {"pattern": r"step \d", "ignore_case": True}, (1.0, "pattern.found")),
        ("a step 1", {"pattern": r"step \d", "whole": True}, (0.0, "pattern.missing")),
        ("as an AI", {"pattern": "as an AI", "forbid": True}, (0.0, "pattern.found")),
        ("sure", {"pattern": "as an AI", "forbid": True}, (1.0, "pattern.missing")),
    ],
)
def test_pattern(text: str, options: Mapping[str, Any], expected: tuple[float, str]) -> None:
    verdict = pattern(said(text), **options)
    assert outcome(verdict) == expected
    for one in verdict.evidence:
        assert text[one.start : one.end] == one.text


def test_pattern_of_the_answer() -> None:
    given = Completion(text="thinking 1", parsed=Parsed("2"))
    assert pattern(given, pattern=r"\d", of="answer").evidence[0].text == "2"


def test_a_pattern_that_hangs_is_a_timeout_and_no_score() -> None:
    verdict = pattern(said("a" * 40 + "!"), pattern=r"^(\w+\s?)*$")
    if verdict.status is Status.OK:  # the package may learn to see through this one
        verdict = pattern(said("a" * 5000 + "!"), pattern=r"(a|a|b?)+\1$")
    assert (verdict.status, verdict.score) == (Status.TIMEOUT, None)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("text/number", {"tolerence": 1}, "did you mean 'tolerance'"),
        ("text/number", {"tolerance": -1}, "greater than or equal to 0"),
        ("text/number", {"tolerance": "much"}, "must be float"),
        ("text/length", {}, "needs the option 'band'"),
        ("text/length", {"band": [5, 2]}, "from a low to a high count"),
        ("text/repetition", {"n": 0}, "greater than or equal to 1"),
        ("text/tags", {"tags": []}, "at least 1 item"),
        ("text/tags", {"tags": "think"}, "must be"),
        ("text/misspelt", {"language": "xx"}, "'en'"),
        ("text/regex", {}, "needs the option 'pattern'"),
        ("text/regex", {"pattern": "("}, "not a regular expression"),
    ],
)
def test_wrong_options_are_told_when_the_configuration_is_read(name: str, options: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        check_options(f"reward {name!r}", REWARDS[name], options)


NEEDED: Mapping[str, Mapping[str, Any]] = {
    "text/length": {"band": (1, 5)},
    "text/readability": {"band": (1, 5)},
    "text/regex": {"pattern": "a+"},
}


@pytest.mark.parametrize("name", sorted(REWARDS))
@given(text=st.text(), reference=st.one_of(st.none(), st.text(), st.integers(), st.lists(st.text(), max_size=3)))
def test_every_reward_keeps_its_promises_on_any_text(name: str, text: str, reference: Any) -> None:
    function = REWARDS[name]
    given: dict[str, Any] = {
        "completion": said(text), "answer": text, "reference": reference, "prompt": "Is it 'a b c' or 'd e f'?",
        "options": ["a", "b"], "json_schema": {"type": "object"}, "setup": None, "sources": None, "language": "en",
    }  # fmt: skip
    taken = {key: given[key] for key in given if key in inspect.signature(function).parameters}
    verdict = function(**taken, **NEEDED.get(name, {}))
    promised = spec_of(function)
    assert promised.range is not None
    if verdict.status is Status.OK:
        assert promised.range[0] <= verdict.score <= promised.range[1]
        assert verdict.passed is not None
    else:
        assert verdict.scope == "prompt"
    assert outcome(verdict)
    json.dumps(verdict.parsed)


def test_the_readme_lists_every_reward_with_its_options_and_range() -> None:
    rows = dict(re.findall(r"^\| `(text/[\w-]+)` \|(.*)\|$", README.partition("## Reasons")[0], re.MULTILINE))
    assert set(rows) == set(REWARDS) | set(GROUP_REWARDS)
    for name, function in {**REWARDS, **GROUP_REWARDS}.items():
        low, high = spec_of(function).range or (None, None)
        assert f"| {low:g} to {high:g} |" in rows[name]
        for parameter in inspect.signature(function).parameters.values():
            if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
                assert f"`{parameter.name}`" in rows[name], (name, parameter.name)


def test_cheap_rewards_run_inline_and_the_others_in_a_worker() -> None:
    workers = {name for name, function in REWARDS.items() if spec_of(function).isolation == "worker"}
    heavy = {"json-schema", "language", "misspelt", "quotes", "readability", "regex", "sql"}
    assert workers == {f"text/{name}" for name in heavy}
