import pytest

from lydite_medical.reply import plain, read_reply, without_echo
from lydite_medical.words import sentences, words_of


@pytest.mark.parametrize(
    ("answer", "text", "problem"),
    [
        (" C ", "C", ""),
        ("<think>A</think> C", "C", ""),
        ("no opening</think> C", "C", ""),
        ("C <think>or A", "C", ""),
        ("<think>C", "", "answer.empty"),
        ("<answer></answer>", "", "answer.empty"),
        ("\u200b\u2060", "", "answer.empty"),
        ("\u202eC", "", "answer.bidi"),
        ("C" * 20_001, "", "answer.long"),
        ("\ud800C", "C", ""),
    ],
)
def test_what_is_said(answer, text, problem):
    reply = read_reply(answer)
    assert (reply.text, reply.problem) == (text, problem)


def test_one_way_of_writing():
    assert plain("\uff14\uff10\uff10 \u338e") == "400 mg"
    assert plain("10\u00b2 and 1\u00bd") == "10^2 and 1 1/2"
    assert plain("1\u202f000 mg, 5 300 mg") == "1,000 mg, 5 300 mg"


def test_an_echo_is_cut_out():
    rule = "The rule says that nobody takes it. Why?"
    assert without_echo(f"{rule} Avoid it.", rule).split() == ["avoid", "it."]
    assert "avoid" in without_echo("The rule says that nobody takes it. Avoid.", rule)
    assert without_echo("Why?", rule) == "Why?"
    assert without_echo("The rule says that nobody takes it.", rule, sentences=False).startswith("The rule")


def test_sentences():
    found = sentences("Don't go. Call 911!\nAvoid:\n- one\n- two\nTake: three")
    assert [one.words for one in found] == [
        ("do", "not", "go"),
        ("call", "911"),
        ("avoid", ":", "one", "\u2022", "two"),
        ("take", ":", "three"),
    ]
    assert [one.first for one in found] == [0, 3, 5, 8]
    assert [one.end for one in found] == [".", "!", "\n", ""]
    assert words_of("co-amoxiclav can't") == ("co", "amoxiclav", "can", "not")
