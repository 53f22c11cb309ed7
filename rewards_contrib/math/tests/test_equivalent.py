import math
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lydite
from lydite import Completion, FormatError, Parsed, Status, Verdict
from lydite.plugins import load_plugins
from lydite_math import equivalent

few = settings(max_examples=60, deadline=None)
integers = st.integers(-10_000, 10_000)
fractions = st.builds(Fraction, st.integers(-500, 500), st.integers(1, 60))


def judged(text: str, reference: Any, **options: Any) -> Verdict:
    return equivalent(Completion(text, Parsed(text)), reference, **options)


def same(gold: str, pred: str) -> bool:
    return bool(judged(pred, gold).passed)


def latex(value: Fraction) -> str:
    sign = "-" if value < 0 else ""
    return f"{sign}\\frac{{{abs(value.numerator)}}}{{{value.denominator}}}"


def test_is_offered():
    assert "math/equivalent" in load_plugins(allow=("lydite-math",)).offers["rewards"]
    assert lydite.contracts.spec_of(equivalent).range == (0.0, 1.0)


@pytest.mark.parametrize(
    ("text", "reference", "reason"),
    [
        ("\\boxed{4}", "4", "math.equal"),
        ("\\boxed{5}", "4", "math.different"),
        ("\\boxed{4, 5}", "4", "answer.several"),
        ("\\boxed{}", "4", "answer.empty"),
        ("<think>4</think>", "4", "answer.empty"),
        ("\\boxed{4", "4", "answer.unreadable"),
        ("\\boxed{\u202e4}", "4", "answer.unreadable"),
        ("\\boxed{?}", "4", "answer.unreadable"),
        ("One of 3 and 4, I cannot tell which.", "4", "anchor.missing"),
        ("\\boxed{9^{9^{9^{9}}}}", "4", "math.too_large"),
    ],
)
def test_reasons(text: str, reference: str, reason: str):
    verdict = judged(text, reference)
    assert verdict.reason == reason
    assert verdict.score == (1.0 if reason == "math.equal" else 0.0)


def test_a_broken_format_earns_nothing():
    verdict = equivalent(Completion("4", FormatError("answer.missing")), "4")
    assert (verdict.score, verdict.reason) == (0.0, "format.broken")


def test_the_answer_of_the_format_counts():
    completion = Completion("<think>5</think><answer>4</answer>", Parsed("4", "5"))
    assert equivalent(completion, "4").passed
    assert not equivalent(completion, "5").passed


@pytest.mark.parametrize("reference", [True, None, "", "  ", {}, [], ["4", None], {"a": 1}])
def test_unreadable_references_are_the_prompts_fault(reference: Any):
    verdict = judged("\\boxed{4}", reference)
    assert verdict.status is Status.ERROR
    assert (verdict.reason, verdict.scope) == ("reference.unreadable", "prompt")


def test_a_reference_that_cannot_be_computed():
    verdict = judged("\\boxed{4}", "9^{9^{9^{9}}}")
    assert (verdict.status, verdict.reason, verdict.scope) == (Status.ERROR, "reference.too_large", "prompt")
    assert judged("\\boxed{9^{9^{9^{9}}}}", "9^{9^{9^{9}}}").passed


def test_references_of_other_types():
    assert judged("\\boxed{4}", 4).passed
    assert judged("\\boxed{0.5}", 0.5).passed
    assert judged("\\boxed{4}", ["3", "4"]).passed
    assert not judged("\\boxed{5}", ["3", "4"]).passed
    assert judged("\\boxed{4}", "We add, so the sum is $\\boxed{4}$.").passed


@pytest.mark.parametrize(
    ("pred", "gold", "options", "passed"),
    [
        ("2.02", "2", {"relative_tolerance": 0.01}, True),
        ("2.03", "2", {"relative_tolerance": 0.01}, False),
        ("2.5", "2", {"absolute_tolerance": 0.5}, True),
        ("2.51", "2", {"absolute_tolerance": 0.5}, False),
        ("\\sqrt{5}", "2.236", {}, True),
        ("\\sqrt{5}", "2.236", {"rounding": False}, False),
        ("20", "20\\%", {}, True),
        ("20", "20\\%", {"percent": "value"}, False),
        ("0.2", "20\\%", {"percent": "value"}, True),
        ("5", "5 \\text{ cm}", {"units": "required"}, False),
        ("50 \\text{ mm}", "5 \\text{ cm}", {"units": "required"}, True),
        ("2, 1", "1, 2", {}, True),
        ("2, 1", "1, 2", {"order": "kept"}, False),
        ("First 1, then 2.", "2", {}, False),
        ("First 1, then 2.", "2", {"extract": "last_number"}, True),
    ],
)
def test_options(pred: str, gold: str, options: dict[str, Any], passed: bool):
    assert judged(pred, gold, **options).passed is passed


@few
@given(fractions)
def test_a_fraction_is_its_other_spellings(value: Fraction):
    gold = latex(value)
    assert same(gold, f"{value.numerator}/{value.denominator}")
    assert same(gold, f"\\dfrac{{{3 * value.numerator}}}{{{3 * value.denominator}}}")
    assert not same(gold, latex(value + Fraction(1, 61)))
    assert value == 0 or not same(gold, latex(-value))


@few
@given(st.integers(-10_000, 10_000), st.integers(0, 4))
def test_a_decimal_is_its_fraction(digits: int, behind: int):
    value = Fraction(digits, 10**behind)
    decimal = f"{digits / 10**behind:.{behind}f}"
    assert same(latex(value), decimal)
    assert same(decimal, latex(value))


@few
@given(integers)
def test_thousands(value: int):
    assert same(str(value), f"{value:,}")
    assert same(str(value), f"{value:,}".replace(",", "{,}"))


@few
@given(st.lists(integers, min_size=2, max_size=5, unique=True), st.randoms(use_true_random=False))
def test_sets_have_no_order_and_tuples_have(values: list[int], draw: Any):
    shuffled = values[:]
    draw.shuffle(shuffled)
    gold, other = ", ".join(map(str, values)), ", ".join(map(str, shuffled))
    assert same(f"\\{{{gold}\\}}", f"\\{{{other}\\}}")
    assert same(gold, other)
    assert same(f"({gold})", f"({other})") is (values == shuffled)
    assert not same(gold, ", ".join(map(str, [*values, 99_999])))
    assert not same(gold, ", ".join(map(str, values[:-1])))


@few
@given(fractions, fractions, st.sampled_from("(["), st.sampled_from(")]"), st.sampled_from("(["), st.sampled_from(")]"))
def test_intervals_are_open_or_closed(low: Fraction, high: Fraction, left: str, right: str, one: str, other: str):
    ends = f"{latex(min(low, high))}, {latex(max(low, high) + 1)}"
    assert same(f"{left}{ends}{right}", f"{one}{ends}{other}") is ((left, right) == (one, other))


@few
@given(integers, st.sampled_from(["<", "\\le", ">", "\\ge"]))
def test_inequalities_are_intervals(bound: int, sign: str):
    interval = {
        "<": f"(-\\infty, {bound})",
        "\\le": f"(-\\infty, {bound}]",
        ">": f"({bound}, \\infty)",
        "\\ge": f"[{bound}, \\infty)",
    }
    for other, region in interval.items():
        assert same(f"x {sign} {bound}", region) is (other == sign)
        assert same(region, f"x {sign} {bound}") is (other == sign)


@few
@given(st.integers(-9, 9), st.integers(-9, 9), st.integers(1, 5))
def test_polynomials_multiplied_out(a: int, b: int, scale: int):
    factored = f"{scale}(x - ({a}))(x - ({b}))"
    expanded = f"{scale}x^2 + ({-scale * (a + b)})x + ({scale * a * b})"
    assert same(factored, expanded)
    assert same(expanded, factored)
    assert not same(factored, expanded + " + 1")
    assert same(f"{factored} = 0", f"x^2 + ({-(a + b)})x = ({-a * b})")


@few
@given(st.integers(2, 500))
def test_roots_and_their_rounding(value: int):
    root = math.sqrt(value)
    assert same(f"\\sqrt{{{4 * value}}}", f"2\\sqrt{{{value}}}")
    assert same(f"{root:.3f}", f"\\sqrt{{{value}}}")
    if math.isqrt(value) ** 2 != value:
        assert not same(f"\\sqrt{{{value}}}", f"{root:.2f}")
        assert not same(f"{root + 0.002:.3f}", f"\\sqrt{{{value}}}")


@few
@given(st.text(max_size=60))
def test_nothing_raises(text: str):
    for answer in (text, f"\\boxed{{{text}}}", f"The answer is {text}"):
        verdict = judged(answer, "5")
        assert verdict.status is Status.OK
        assert verdict == judged(answer, "5")


mathematics = st.lists(
    st.sampled_from(
        [
            "1",
            "2",
            "x",
            "y",
            "+",
            "-",
            "*",
            "/",
            "^",
            "(",
            ")",
            "[",
            "]",
            "{",
            "}",
            ",",
            ";",
            "=",
            "<",
            "|",
            "!",
            "%",
            "\\frac",
            "\\sqrt",
            "\\pi",
            "\\pm",
            "\\cup",
            "\\in",
            "\\text{cm}",
            "\\{",
            "\\}",
            "\\sin",
            "f",
            "'",
            "_",
            "\\le",
            ".",
            "&",
        ]
    ),
    max_size=14,
).map(" ".join)


@settings(max_examples=150, deadline=None)
@given(mathematics, mathematics)
def test_odd_mathematics_raises_nothing_either(gold: str, pred: str):
    verdict = judged(f"\\boxed{{{pred}}}", gold)
    assert verdict.status in (Status.OK, Status.ERROR)
    assert verdict.status is Status.OK or verdict.scope == "prompt"
