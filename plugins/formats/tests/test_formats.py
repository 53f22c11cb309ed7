import inspect
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lydite import Completion, Format, FormatError, Parsed
from lydite.contracts import spec_of
from lydite.options import check_options
from lydite.plugins import load_plugins
from lydite_formats import Boxed, FinalLine, JsonObject, Number, Tags, followed

README = (Path(__file__).parent.parent / "README.md").read_text()

EVERY: list[Callable[[], Format]] = [
    Tags,
    lambda: Tags(require_reasoning=False),
    lambda: Tags(prefilled=True),
    Boxed,
    FinalLine,
    lambda: FinalLine(prefix="Answer:"),
    JsonObject,
    Number,
    lambda: Number(max_length=10**9),
]

# Pieces that formats care about, so that random texts come near to being well-formed.
PIECES = [
    *("<think>", "</think>", "<answer>", "</answer>", "\\boxed{", "{", "}", "\\", "Answer:", "\n", " ", "\u200b"),
    *('{"answer":', '"', "1", "-", "2.5", ",", "```", "```json", "٣", "\u2212", "x", "\ud800"),
]
TEXTS = st.one_of(st.text(), st.lists(st.sampled_from(PIECES), max_size=24).map("".join))


def reason(found: Parsed | FormatError) -> str:
    assert isinstance(found, FormatError), found
    return found.reason


@pytest.mark.parametrize(
    ("text", "answer", "reasoning"),
    [
        ("<think>2 and 2</think>\n<answer> 4 </answer>\n", "4", "2 and 2"),
        ("  <think>a < b</think><answer>yes</answer>", "yes", "a < b"),
    ],
)
def test_tags_reads_one_pair_of_each(text: str, answer: str, reasoning: str) -> None:
    assert Tags().parse(text) == Parsed(answer, reasoning)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("4", "reasoning.missing"),
        ("<answer>4</answer>", "reasoning.missing"),
        ("x</think><answer>4</answer>", "reasoning.unopened"),
        ("<think>x", "reasoning.unclosed"),
        ("<think></think><answer>4</answer>", "reasoning.empty"),
        ("<think>\u200b \u202e</think><answer>4</answer>", "reasoning.empty"),
        ("<think>x</think><think>x</think><answer>4</answer>", "reasoning.repeated"),
        ("<think>x</think>", "answer.missing"),
        ("<think>x</think>4</answer>", "answer.unopened"),
        ("<think>x</think><answer>4", "answer.unclosed"),
        ("<think>x</think><answer>\u200b\n</answer>", "answer.empty"),
        ("<think>x</think><answer>4</answer><answer>5</answer>", "answer.repeated"),
        ("<think>x <answer>3</answer></think><answer>4</answer>", "answer.repeated"),
        ("<answer>4</answer><think>x</think>", "text.after"),
        ("<answer><think>x</think>4</answer>", "order.wrong"),
        ("<think>x</think></answer>4<answer>", "order.wrong"),
        ("hi <think>x</think><answer>4</answer>", "text.before"),
        ("<think>x</think> so <answer>4</answer>", "text.between"),
        ("<think>x</think><answer>4</answer> or 5", "text.after"),
    ],
)
def test_tags_refuses_every_hack_with_its_own_code(text: str, code: str) -> None:
    assert reason(Tags().parse(text)) == code


def test_tags_without_required_reasoning_takes_what_stands_before_as_the_reasoning() -> None:
    loose = Tags(require_reasoning=False)
    assert loose.parse("Add them. <answer>4</answer>") == Parsed("4", "Add them.")
    assert loose.parse("<think>x</think><answer>4</answer>") == Parsed("4", "x")
    assert reason(loose.parse("<think>x<answer>4</answer>")) == "reasoning.unclosed"
    assert reason(loose.parse("<answer>4</answer> or 5")) == "text.after"


def test_tags_with_a_prefilled_prompt_reads_a_completion_that_starts_inside_the_reasoning() -> None:
    assert Tags(prefilled=True).parse("x</think><answer>4</answer>") == Parsed("4", "x")
    assert reason(Tags(prefilled=True).parse("<think>x</think><answer>4</answer>")) == "reasoning.repeated"


def test_tags_takes_names_of_its_own_and_refuses_what_is_no_name() -> None:
    assert Tags(reasoning_tag="r", answer_tag="a").parse("<r>x</r><a>4</a>") == Parsed("4", "x")
    with pytest.raises(ValueError, match=r"bare name.*'<think>'"):
        Tags(reasoning_tag="<think>")
    with pytest.raises(ValueError, match="must differ"):
        Tags(reasoning_tag="a", answer_tag="a")


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("so \\boxed{4}.", "4"),
        ("\\boxed{1} no, \\boxed{2}", "2"),
        ("\\boxed{\\frac{1}{2}} done", "\\frac{1}{2}"),
        ("\\boxed{\\{1, 2\\}}", "\\{1, 2\\}"),
        ("\\boxed{\\left\\{1\\right.}", "\\left\\{1\\right."),
        ("<think>\\boxed{3}</think>\\boxed{4}", "4"),
    ],
)
def test_boxed_takes_the_last_box_with_its_braces(text: str, answer: str) -> None:
    found = Boxed().parse(text)
    assert isinstance(found, Parsed)
    assert found.answer == answer


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("4", "box.missing"),
        ("\\boxed 4", "box.missing"),
        ("<think>\\boxed{4}</think> so four", "box.missing"),
        ("\\boxed{4} \\boxed{5", "box.unclosed"),
        ("\\boxed{4\\}", "box.unclosed"),
        ("\\boxed{ \u200b}", "box.empty"),
    ],
)
def test_boxed_refuses(text: str, code: str) -> None:
    assert reason(Boxed().parse(text)) == code


def test_boxed_keeps_what_stands_before_as_reasoning() -> None:
    assert Boxed().parse("2+2 is \\boxed{4}") == Parsed("4", "2+2 is")


def test_final_line_takes_the_last_visible_line() -> None:
    assert FinalLine().parse("because\r\n\r\n 4 \n\u200b\n") == Parsed("4", "because")
    assert FinalLine(prefix="Answer:").parse("because\nAnswer: 4") == Parsed("4", "because")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "answer.missing"),
        ("\n \u200b", "answer.missing"),
        ("4", "prefix.missing"),
        ("Answer: 4\nbye", "prefix.missing"),
        ("Answer:", "answer.empty"),
        ("Answer: 4 Answer: 5", "prefix.repeated"),
    ],
)
def test_final_line_refuses(text: str, code: str) -> None:
    assert reason(FinalLine(prefix="Answer:").parse(text)) == code


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ('{"answer": "4"}', "4"),
        ('{"answer": 0.10, "reasoning": "x"}', "0.10"),
        ('```json\n{"answer": true}\n```', "true"),
        ('{"answer": ' + "9" * 5000 + "}", "9" * 5000),
    ],
)
def test_json_reads_one_object(text: str, answer: str) -> None:
    found = JsonObject().parse(text)
    assert isinstance(found, Parsed)
    assert found.answer == answer


def test_json_reads_the_reasoning_and_fields_of_its_own() -> None:
    assert JsonObject(field="a", reasoning_field="r").parse('{"r": "x", "a": "4"}') == Parsed("4", "x")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("4", "json.not_an_object"),
        ('{"answer": 4} or 5', "json.broken"),
        ('{"answer": NaN}', "json.broken"),
        ("[" * 100_000, "json.broken"),
        ('{"answer": 4, "answer": 5}', "field.repeated"),
        ('{"anwser": 4}', "answer.missing"),
        ('{"answer": [4, 5]}', "answer.type"),
        ('{"answer": null}', "answer.type"),
        ('{"answer": " "}', "answer.empty"),
    ],
)
def test_json_refuses(text: str, code: str) -> None:
    assert reason(JsonObject().parse(text)) == code


def test_json_without_fences() -> None:
    assert reason(JsonObject(allow_fence=False).parse('```json\n{"answer": true}\n```')) == "json.broken"


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("42", "42"),
        ("It is 42.", "42"),
        ("-7", "-7"),
        ("\u22127 apples", "\u22127"),
        ("1,234.5, I think", "1,234.5"),
        ("x=-3/4", "-3/4"),
        ("covid-19", "19"),
        ("(-.5)", "-.5"),
    ],
)
def test_number_takes_the_only_one(text: str, answer: str) -> None:
    assert Number().parse(text) == Parsed(answer)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("forty-two", "number.missing"),
        ("3 + 4 = 7", "number.several"),
        (" ".join(map(str, range(20))), "number.several"),
        ("٣", "number.unreadable"),
        ("7" * 81, "text.long"),
        ("", "number.missing"),
    ],
)
def test_number_refuses(text: str, code: str) -> None:
    assert reason(Number().parse(text)) == code


@pytest.mark.parametrize("make", EVERY)
@given(text=TEXTS)
def test_parsing_never_raises_and_never_gives_an_empty_answer(make: Callable[[], Format], text: str) -> None:
    found = make().parse(text)
    if isinstance(found, Parsed):
        assert found.answer.strip()
        # The answer is taken from the text, not made up: only JSON's escapes may change it.
        assert found.answer in text or isinstance(make(), JsonObject)
    else:
        assert f"`{found.reason}`" in README, f"the README does not list {found.reason}"


@given(
    answer=st.text(st.characters(categories=["L", "N", "P"], exclude_characters="<>")).filter(bool),
    reasoning=st.text(st.characters(categories=["L", "N", "P"], exclude_characters="<>")).filter(bool),
)
def test_tags_gives_back_what_was_put_between_them(answer: str, reasoning: str) -> None:
    text = f"<think>{reasoning}</think><answer>{answer}</answer>"
    assert Tags().parse(text) == Parsed(answer, reasoning)
    assert reason(Tags().parse(text + text)) == "reasoning.repeated"
    assert reason(Tags().parse(text + "!")) == "text.after"


def steps_of(parse: Callable[[str], object], text: str) -> int:
    """Lines of Python that parsing runs: what grows with the text, without a clock."""
    count = 0

    def trace(frame: object, event: str, argument: object) -> object:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)  # type: ignore[arg-type]
    try:
        parse(text)
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize("make", EVERY)
@pytest.mark.parametrize(
    "piece", ["<think>", "</think><answer>", "\\boxed{", "{", "\n", '{"answer":', "1,", "1 ", "\\"]
)
def test_the_work_grows_no_faster_than_the_text(make: Callable[[], Format], piece: str) -> None:
    parse = make().parse
    small, large = (steps_of(parse, piece * n) for n in (500, 4000))
    assert large <= 8 * small + 200, (small, large)


@pytest.mark.parametrize("make", EVERY)
@pytest.mark.parametrize("piece", ["<think>", "\\boxed{", "{", "\n", '{"answer":', "1,", "1", "\\", "<think>x</think>"])
def test_a_million_characters_are_parsed(make: Callable[[], Format], piece: str) -> None:
    found = make().parse(piece * (1_000_000 // len(piece)))
    assert isinstance(found, Parsed | FormatError)


@pytest.mark.parametrize("make", EVERY)
def test_instructions_are_one_paragraph_that_names_the_marks(make: Callable[[], Format]) -> None:
    told = make().instructions
    assert told.endswith(".")
    assert "\n" not in told
    assert isinstance(make(), Format)


def test_instructions_name_the_options() -> None:
    assert "<why>" in Tags(reasoning_tag="why").instructions
    assert "<think>" not in Tags(require_reasoning=False).instructions
    assert "Final:" in FinalLine(prefix="Final:").instructions
    assert '"result"' in JsonObject(field="result").instructions


def completion(parsed: Parsed | FormatError) -> Completion:
    return Completion(text="", parsed=parsed)


def test_followed_pays_for_the_format_and_says_which_rule_broke() -> None:
    good = followed(completion(Parsed("4")))
    assert (good.score, good.passed, good.parsed) == (1.0, True, "4")
    bad = followed(completion(FormatError("answer.empty")))
    assert (bad.score, bad.passed, bad.reason) == (0.0, False, "answer.empty")
    promised = spec_of(followed)
    assert (promised.range, promised.isolation, promised.deterministic) == ((0.0, 1.0), "inline", True)


def test_the_plugin_offers_what_the_readme_lists() -> None:
    plugins = load_plugins(allow=["lydite-formats"])
    offered = {name for name, offer in plugins.offers["formats"].items() if offer.owner.plugin == "formats"}
    assert offered == set(re.findall(r"^\| `([\w-]+)` \|", README, re.MULTILINE))
    for name in offered:
        parameters = inspect.signature(plugins.find("formats", name).thing).parameters
        assert all(f"`{option}`" in README for option in parameters), name
    assert list(plugins.offers["rewards"]) == ["formats/followed"]


def test_options_are_checked_by_their_annotations() -> None:
    plugins = load_plugins(allow=["lydite-formats"])
    tags = plugins.find("formats", "tags").thing
    assert check_options("format 'tags'", tags, {"require_reasoning": False}) == {"require_reasoning": False}
    with pytest.raises(ValueError, match="did you mean 'answer_tag'"):
        check_options("format 'tags'", tags, {"answer_tags": "a"})
