import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from lydite import Status
from lydite_medical import dose


def said(text, reference="300 mg", prompt="How much?", **given_columns):
    return dose(text, reference, prompt, **given_columns)


FACTORS = {"mg": 1.0, "mcg": 1e-3, "g": 1e3}
AMOUNTS = st.integers(1, 900_000)


@pytest.mark.parametrize(
    "text",
    [
        "300 mg", "300mg", "0.3 g", "300,000 mcg", "three hundred milligrams", "Give 300 mg by mouth.", "**300 mg**",
        "Answer: 300 mg", "\\boxed{300\\,\\text{mg}}", "<answer>300 mg</answer>", "20 kg x 15 mg/kg = 300 mg",
        "15 mg/kg.\nFor 20 kg that is 300 mg.", "300 mg every 6 hours", "300 mg (0.3 g)", "300 mg (15 mg/kg)",
        "300 mg, not 400 mg", "For a 20 kg child 300 mg", "300 mg (6 mL)", "305 mg", "300 mg by mouth or with food",
        "300 mg\u00a0", "one 300 mg tablet", "300 mg every 6 hours (at most 1.2 g/day)",
    ],
)  # fmt: skip
def test_accepts(text):
    verdict = said(text, weight_kg=20)
    assert (verdict.score, verdict.passed, verdict.reason) == (1.0, True, "dose.right")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("310 mg", "dose.wrong"),
        ("30 mg", "dose.tenfold"),
        ("300 mcg", "dose.thousandfold"),
        ("300 \u00b5g", "dose.thousandfold"),
        ("300 g", "dose.thousandfold"),
        ("0.3 mcg", "dose.thousandfold"),
        ("300 mL", "dose.dimension"),
        ("300 IU", "dose.dimension"),
        ("300", "dose.no_unit"),
        ("300 bananas", "dose.no_unit"),
        ("300 mg or 400 mg", "dose.several"),
        ("300 mg or a zebra", "dose.several"),
        ("Answer: 300 mg\nAnswer: 400 mg", "dose.several"),
        ("<answer>a zebra, 300 mg</answer>", "dose.several"),
        ("300 mg\n<answer>a zebra</answer>", "dose.missing"),
        ("100 mg, 200 mg, 300 mg", "dose.several"),
        ("250-350 mg", "dose.range"),
        ("300 to 400 mg", "dose.range"),
        ("not 300 mg", "dose.negated"),
        ("Never give 300 mg", "dose.negated"),
        ("300 mg is too much", "dose.negated"),
        ("at least 300 mg", "dose.bound"),
        (">300 mg", "dose.bound"),
        ("15 mg/kg x 20 kg", "dose.unfinished"),
        ("2 x 300 mg", "dose.unfinished"),
        ("two 300 mg tablets", "dose.unfinished"),
        ("2 tablets of 300 mg", "dose.several"),
        ("15 mg/kg", "dose.per_kg"),
        ("300.0 mg", "dose.trailing_zero"),
        ("I do not know.", "dose.missing"),
        ("", "answer.empty"),
        ("<think>300 mg</think>", "answer.empty"),
        ("\u202e300 mg", "answer.bidi"),
        ("300 mg" + " " * 30_000, "answer.long"),
    ],
)
def test_refuses(text, reason):
    verdict = said(text, weight_kg=20)
    assert (verdict.score, verdict.passed, verdict.reason) == (0.0, False, reason)


@given(amount=AMOUNTS, unit=st.sampled_from(sorted(FACTORS)), other=st.sampled_from(sorted(FACTORS)))
def test_the_unit_changes_nothing_and_a_wrong_one_is_a_thousandfold(amount, unit, other):
    converted = amount * FACTORS[unit] / FACTORS[other]
    assume(1e-3 < converted < 1e9)
    digits = f"{converted:.9f}".rstrip("0").rstrip(".")
    assert said(f"{digits} {other}", f"{amount} {unit}").passed
    slip = said(f"{amount} {other}", f"{amount} {unit}")
    assert slip.reason == ("dose.right" if unit == other else "dose.thousandfold")
    assert said(f"{amount:,} {unit}", f"{amount} {unit}").passed


@given(amount=st.integers(100, 100_000), off=st.floats(-0.5, 0.5))
def test_the_tolerance_is_two_percent_of_the_reference(amount, off):
    assume(abs(abs(off) - 0.02) > 1e-3)
    given_amount = f"{amount * (1 + off):.4f}".rstrip("0").rstrip(".")
    assert said(f"{given_amount} mg", f"{amount} mg").passed == (abs(off) < 0.02)
    assert said(f"{amount} mg", f"{amount} mg", tolerance=0.0).passed


@given(weight=st.integers(2, 120), rate=st.integers(1, 60))
def test_a_rate_times_the_weight(weight, rate):
    total = f"{weight * rate} mg"
    assert said(total, f"{rate} mg/kg", weight_kg=weight).passed
    assert said(f"{rate} mg/kg", f"{rate} mg/kg", weight_kg=weight).passed
    assert said(f"{rate} mg/kg", total, weight_kg=weight, accept_per_kg=True).passed
    assert said(f"{rate} mg/kg", total, weight_kg=weight).reason == "dose.per_kg"
    assert not said(total, f"{rate} mg/kg").passed


def test_naked_decimals_and_trailing_zeros():
    assert said(".5 mg", "0.5 mg").reason == "dose.naked_decimal"
    assert said("0.50 mg", "0.5 mg").reason == "dose.trailing_zero"
    lenient = said(".5 mg", "0.5 mg", strict_decimals=False, decimal_cost=0.25)
    assert (lenient.score, lenient.passed, lenient.reason) == (0.75, True, "dose.naked_decimal")
    assert said("5.0 mg", "5 mg", strict_decimals=False).score == 1.0
    assert said("10 mg", "10 mg").passed
    assert said("0,5 mg", "0.5 mg").score == 0.0


def test_the_dose_of_a_day():
    for text in ("400 mg three times a day", "1.2 g/day", "400 mg every 8 hours", "400 mg tds", "1200 mg", "50 mg/h"):
        assert said(text, "1200 mg/day").passed, text
    assert said("400 mg", "1200 mg/day").reason == "dose.wrong"
    assert said("400 mg every 8 hours", "400 mg every 8 hours").passed
    assert said("400 mg", "400 mg every 8 hours").reason == "dose.rhythm"
    assert said("400 mg every 6 hours", "400 mg every 8 hours").reason == "dose.rhythm"


def test_the_most_a_day():
    assert said("1 g every 6 hours", "1 g", max_daily="4 g").passed
    assert said("1 g every 4 hours", "1 g", max_daily="4 g").reason == "dose.over_maximum"
    assert said("5 g", "1 g", max_daily="4 g").reason == "dose.over_maximum"
    assert said("4.01 g", "4 g", max_daily="4 g").reason == "dose.over_maximum"
    assert said("500 mg", "500 mg", max_daily="75 mg/kg", weight_kg=20).passed
    assert said("1.6 g", "500 mg", max_daily="75 mg/kg", weight_kg=20).reason == "dose.over_maximum"


def test_units_of_effect_are_no_mass_without_a_factor():
    assert said("1,000 units", "1000 IU").passed
    assert said("25 mcg", "1000 IU").reason == "dose.dimension"
    assert said("25 mcg", "1000 IU", iu_per_mg=40_000).passed
    assert said("1000 IU", "25 mcg", iu_per_mg=40_000).passed
    assert said("25 mg", "1000 IU", iu_per_mg=40_000).reason == "dose.thousandfold"


def test_a_range_is_right_when_the_reference_is_one():
    assert said("5-10 mg", "5-10 mg").passed
    assert said("7 mg", {"low": 5, "high": 10, "unit": "mg"}).passed
    assert said("4 mg", "5-10 mg").reason == "dose.wrong"
    assert said("1-20 mg", "5-10 mg").reason == "dose.wrong"


def test_volumes_rates_and_tablets():
    assert said("2.5 mL of the 50 mg/mL solution", {"value": 2.5, "unit": "mL"}).passed
    assert said("125 mg", "2.5 mL").reason == "dose.dimension"
    assert said("1 L over 8 hours, which is 125 mL/h", "125 mL/h").passed
    assert said("two tablets (1000 mg)", "2 tablets").passed
    assert said("1\u00bd tablets", "1.5 tablets").passed
    assert said("5 mg/kg/min", "5 mcg/kg/min").reason == "dose.thousandfold"


def test_repeating_the_question_is_no_answer():
    assert said("1.5 g", "1500 mg", "Write 1.5 g in mg.").reason == "dose.from_prompt"
    assert said("1500 mg", "1500 mg", "Write 1.5 g in mg.").passed
    assert said("120 mg", "120 mg", "The most is 120 mg. How much?").passed


@pytest.mark.parametrize(
    ("reference", "columns", "reason"),
    [
        ("much", {}, "reference.no_dose"),
        ("5", {}, "reference.no_dose"),
        ("5 mg or 6 mg", {}, "reference.no_dose"),
        (None, {}, "reference.no_dose"),
        ({"value": "5", "unit": "mg"}, {}, "reference.no_dose"),
        ("5 mg", {"weight_kg": "heavy"}, "weight.broken"),
        ("5 mg", {"weight_kg": -3}, "weight.broken"),
        ("5 mg", {"doses_per_day": 0}, "doses_per_day.broken"),
        ("5 mg", {"iu_per_mg": [4]}, "iu_per_mg.broken"),
        ("5 mg", {"max_daily": "a lot"}, "max_daily.broken"),
        ("5 mg", {"max_daily": "5 mg/kg"}, "max_daily.broken"),
        ("5 g", {"max_daily": "4 g"}, "reference.over_maximum"),
    ],
)
def test_a_broken_task_is_nobodys_fault_but_its_own(reference, columns, reason):
    verdict = said("5 mg", reference, **columns)
    assert (verdict.status, verdict.scope, verdict.reason) == (Status.ERROR, "prompt", reason)
