import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lydite import Completion, Parsed
from lydite_math import equivalent

few = settings(max_examples=60, deadline=None)
small = st.integers(-9, 9)
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")


def same(gold: str, pred: str) -> bool:
    return bool(equivalent(Completion(pred, Parsed(pred)), gold).passed)


@few
@given(
    small, st.integers(1, 9), st.sampled_from(["<", "\\le", ">", "\\ge"]), st.sampled_from(["<", "\\le", ">", "\\ge"])
)
def test_the_size_of_a_letter_is_a_set(centre: int, radius: int, sign: str, other: str):
    low, high = centre - radius, centre + radius
    inside, closed = sign in ("<", "\\le"), sign.startswith("\\")
    left, right = ("[", "]") if closed else ("(", ")")
    outer_left, outer_right = ("]", "[") if closed else (")", "(")
    gold = (
        f"{left}{low}, {high}{right}" if inside else f"(-\\infty, {low}{outer_left} \\cup {outer_right}{high}, \\infty)"
    )
    assert same(gold, f"|x - ({centre})| {other} {radius}") == (sign == other)


@few
@given(st.integers(2, 12), st.integers(-20, 20), st.integers(-20, 20))
def test_residues(modulus: int, one: int, other: int):
    gold = f"n \\equiv {one} \\pmod{{{modulus}}}"
    assert same(gold, f"{other} \\pmod{{{modulus}}}") == ((one - other) % modulus == 0)
    assert same(gold, f"n = {modulus}k + {other}") == ((one - other) % modulus == 0)
    assert not same(gold, f"n \\equiv {one} \\pmod{{{modulus + 1}}}")


@few
@given(st.tuples(small, small, small), st.permutations(["s", "t"]))
def test_parameters_have_any_name_and_vectors_any_spelling(values: tuple[int, int, int], letters: list[str]):
    a, b, c = values
    first, second = letters
    gold = f"({a}s + t, {b}s, {c}t)"
    assert same(gold, f"({a}u + v, {b}u, {c}v)")
    assert same(gold, f"({a}v + u, {b}v, {c}u)")
    assert same(gold, f"({a}{first} + {second}, {b}{first}, {c}{second})") == (first == "s" or (a == 1 and b == c == 0))
    assert same(f"({a}, {b}, {c})", f"{a}\\mathbf{{i}} + ({b})\\mathbf{{j}} + ({c})\\hat{{k}}")
    assert not same(f"({a}, {b}, {c})", f"{a}\\mathbf{{i}} + ({b})\\mathbf{{j}} + ({c + 1})\\hat{{k}}")


@few
@given(st.integers(0, 9), st.integers(2, 9), st.integers(0, 9), st.integers(0, 9))
def test_numbers_in_words(hundreds: int, tens: int, ones: int, other: int):
    words = f"{WORDS[hundreds]} hundred and " if hundreds else ""
    words += TENS[tens - 2] + (f"-{WORDS[ones]}" if ones else "")
    assert same(str(100 * hundreds + 10 * tens + ones), words)
    assert same(words, str(100 * hundreds + 10 * tens + other)) == (other == ones)


@pytest.mark.parametrize("words", ["one two", "twenty zero", "hundred", "two hundred hundred", "one and two", "third"])
def test_words_that_are_no_number(words: str):
    assert not any(same(str(number), words) for number in (0, 1, 2, 3, 12, 20, 100, 102, 200, 20000))


@pytest.mark.parametrize(
    ("gold", "pred"),
    [
        ("AB = 13", "AC = 13"),
        ("P(A|B) = 0.4", "P(B|A) = 0.4"),
        ("f^{-1}(x) = 2x", "f(x) = 2x"),
        ("\\text{max} = 3", "\\text{min} = 3"),
        ("f(2) = 7", "f(3) = 7"),
        ("5", "\\text{not the value} = 5"),
        ("5", "not = 5"),
        ("\\text{No}", "No, unless $n$ is even"),
        ("\\text{No}", "No wait, yes"),
        ("1,2", "1.2"),
        ("10 \\text{ apples}", "10 \\text{ oranges}"),
    ],
)
def test_what_stays_different(gold: str, pred: str):
    assert same(gold, gold)
    assert not same(gold, pred)


@pytest.mark.parametrize(
    "text",
    [
        *("P(" + "=" * 7900, "\\hat{" * 1500, "\\mathbf{i}" * 700, "a=," * 2500, "2:30" * 1900, "euros " * 1300),
        *("\\text{" + "a " * 3900 + ": }5", "one " * 1900, "1'" * 3900, "x\\ne1," * 290 + "2", "x\\equiv1," * 290),
        *("f\\circ" * 1500, "f^{-1}(" * 900, "\\frac" * 1500 + "m", "1 " * 3900 + "m", "No" + ",a" * 3800),
    ],
)
def test_hostile_spellings_cost_little(text: str):
    began = time.perf_counter()
    golds = ("5", "(-3, 3)", "x \\equiv 1 \\pmod 5", "(t, 2t)", "2\\mathbf{i} + \\mathbf{j}", "\\text{No}")
    assert not any(same(gold, text) for gold in golds)
    assert time.perf_counter() - began < 3
