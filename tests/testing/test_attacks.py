"""The matrix itself: names, determinism, and texts that a right verifier can refuse."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lydite.attacks import ATTACK_NAMES, FORMS, PLAIN, AnswerForm, attacks_on, form_of_format, locate
from lydite.attacks.matrix import wrong_answer
from lydite.plugins import load_plugins

BOXED = next(form for form in FORMS if form.name == "boxed")
GOLDS = st.one_of(st.text(max_size=30), st.integers().map(str), st.floats(allow_nan=False).map(str))


def texts(gold: str | None, form: AnswerForm = PLAIN, **more: object) -> dict[str, str]:
    return {one.name: one.text for one in attacks_on(prompt="What is 6 * 7?", gold=gold, form=form, **more)}  # type: ignore[arg-type]


@given(GOLDS, st.lists(GOLDS, max_size=4), st.sampled_from(FORMS), st.text(max_size=20))
def test_names_are_known_unique_and_in_order_and_no_attack_is_the_answer(
    gold: str, others: list[str], form: AnswerForm, prompt: str
) -> None:
    attacks = attacks_on(prompt=prompt, gold=gold, others=others, form=form)
    names = [one.name for one in attacks]
    assert names == [name for name in ATTACK_NAMES if name in set(names)]
    assert attacks == attacks_on(prompt=prompt, gold=gold, others=others, form=form)
    if gold.strip() and gold.strip().lower() not in ("none", "null", "nan", "undefined"):
        for one in attacks:
            if one.name.startswith(("unicode", "master", "nothing", "judge", "two", "half", "gold")):
                assert one.text.strip() != form.completion(gold.strip()), one.name


def test_every_name_can_come() -> None:
    came: set[str] = set()
    for gold in ("42", "the first line\nand a second one"):
        for form in (PLAIN, BOXED):
            came |= set(texts(gold, form))
    assert came == set(ATTACK_NAMES)


def test_what_could_honestly_pass_is_left_out() -> None:
    assert "half-gold" not in texts("1000.00000000000")
    assert "half-gold" in texts("the quick brown fox")
    assert "nothing-none" not in texts("no solution")
    assert "nothing-none" not in texts("\u2205")
    assert "first-line" not in texts("one line\n\n")
    long = "It is so because " * 40
    assert "two-answers" not in texts(long)
    assert "two-answers" in texts(long, BOXED)
    assert "gold-outside" not in texts(None)
    assert texts("7")["enumeration"].endswith(" 42 7")
    assert texts("142")["enumeration"].endswith(" 41 42")
    assert "prompt-echo" not in {one.name for one in attacks_on(prompt="  ", gold="1")}
    assert "prompt-echo" not in {one.name for one in attacks_on(prompt="Echo this", gold="echo this")}


def test_the_wrong_answer_is_another() -> None:
    assert wrong_answer("42") == "143"
    assert wrong_answer("42", ["42", " 42", "7"]) == "7"
    assert wrong_answer("B") == "C"
    assert wrong_answer("z") == "y"
    assert wrong_answer("0.5") == "19.0"
    assert wrong_answer("Paris", ["paris", "in Paris"]) == "a zebra crossing"
    assert wrong_answer(None, ["x"]) == "x"


def test_a_number_turned_round_is_another_number() -> None:
    assert texts("12")["unicode-bidi"] == "\u202e21\u202c"
    assert texts("11")["unicode-bidi"] == "\u202e50\u202c"  # read backwards it is the same: the wrong answer instead


@pytest.mark.parametrize(
    ("completion", "name", "before", "answer", "after"),
    [
        ("so \\boxed{\\frac{1}{2}}.", "boxed", "so ", "\\frac{1}{2}", "."),
        ("\\boxed{1} no, \\boxed{2}", "boxed", "\\boxed{1} no, ", "2", ""),
        ("\\boxed{1", "plain", "", "\\boxed{1", ""),
        ("<think>\\boxed{1}</think>\n<answer>4</answer>", "answer", "<think>\\boxed{1}</think>\n", "4", ""),
        ("<think>a</think> 4", "plain", "<think>a</think>", " 4", ""),
        ("Here:\n```python\nx = 1\n```\n", "fence", "Here:\n", "x = 1", "\n"),
        ("a\nAnswer: B\n", "Answer:", "a\n", "B", "\n"),
        ("#### 42", "####", "", "42", ""),
        ("<verdict>no</verdict>", "verdict", "", "no", ""),
        ("only words", "plain", "", "only words", ""),
    ],
)
def test_an_answer_is_located(completion: str, name: str, before: str, answer: str, after: str) -> None:
    found = locate(completion)
    assert (found.form.name, found.before, found.answer, found.after) == (name, before, answer, after)


@given(st.text(), st.sampled_from([form for form in FORMS if form.closing and not form.name.startswith("json")]))
def test_locating_never_fails_and_takes_nothing_away(text: str, form: AnswerForm) -> None:
    for completion in (text, form.completion(text)):
        found = locate(completion)
        whole = found.before + found.form.opening + found.answer + found.form.closing + found.after
        assert "".join(whole.split()) == "".join(completion.split())


def test_the_form_of_every_format_that_is_installed() -> None:
    formats = load_plugins(strict=False).offers["formats"]
    found = {name: form_of_format(offer.thing()).name for name, offer in formats.items()}
    assert found == {
        "plain": "plain", "boxed": "boxed", "tags": "think+answer", "final-line": "plain", "json": "json",
        "number": "plain",
    }  # fmt: skip
    tags = formats["tags"].thing(reasoning_tag="reasoning", answer_tag="result")
    assert form_of_format(tags).completion("4", "so") == "<reasoning>so</reasoning>\n<result>4</result>"

    class Raising:
        instructions = ""

        def parse(self, text: str) -> object:
            raise ValueError(text)

    assert form_of_format(Raising()) == PLAIN  # type: ignore[arg-type]
