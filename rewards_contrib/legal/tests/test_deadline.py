import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lydite import Status
from lydite_legal import deadline
from lydite_legal.dates import count_deadline, read_dates

GOLD = "2024-03-15"
RIGHT = 1.0, "date.right"
DAYS = st.dates(datetime.date(1900, 1, 1), datetime.date(2100, 1, 1))


def outcome(answer: str, reference: Any = GOLD, *columns: Any, **options: Any) -> tuple[float | None, str]:
    verdict = deadline(answer, reference, *columns, **options)
    return verdict.score, verdict.reason


@pytest.mark.parametrize(
    "answer",
    [
        "Answer: 2024-03-15",
        "Answer: 2024/03/15",
        "Answer: 15 March 2024",
        "Answer: 15th of March, 2024.",
        "Answer: 15 Mar. 2024",
        "Answer: March 15, 2024",
        "Answer: March 15th 2024",
        "Answer: 15.03.2024",
        "Answer: 15.3.2024",
        "Answer: 15/03/2024",
        "Answer: 03/15/2024",
        "Answer: Friday, 15 March 2024",
        "Answer: Fri 15 March 2024",
        "**Deadline:** by March 15, 2024, unless extended",
        "The last day is Friday the 15th of March 2024.",
        "It began on 14 February 2024.\nThe deadline is 15 March 2024.",
        "It began on 14 February 2024.\n15 March 2024",
        "Deadline:\n15 March 2024",
        "It began on 14 February 2024.\nThe notice must be filed by Friday, 15 March 2024.",
        "Thus the reply is due on March 15, 2024.",
        "The deadline to appeal is 15 March 2024.",
        "Conclusion: She must hurry.\nAnswer: 15 March 2024",
        "<think>16 March 2024</think>15 March 2024",
    ],
)
def test_one_date_in_many_forms(answer: str) -> None:
    assert outcome(answer) == RIGHT
    assert outcome(answer, "2024-03-16") == (0.0, "date.wrong")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("", "answer.empty"),
        ("In two weeks.", "date.missing"),
        ("15 March 2024 is when it began.", "date.missing"),
        ("It began on 15 March 2024.", "date.missing"),
        ("It must be filed within ten days of 15 March 2024.", "date.missing"),
        ("The reply must be in before 15 March 2024.", "date.missing"),
        ("The deadline to appeal is not 15 March 2024.", "date.missing"),
        ("It must be filed by 15 March 2024, or by 16 March 2024.", "date.missing"),
        ("The reply is due on Monday, 15 March 2024.", "weekday.wrong"),
        ("Answer: 15 March", "date.unclear"),
        ("Answer: two weeks after 1 March 2024", "date.unclear"),
        ("Answer: 03/04/2024", "date.ambiguous"),
        ("Answer: 31 February 2024", "date.invalid"),
        ("Answer: Monday, 15 March 2024", "weekday.wrong"),
        ("Answer: 15 March 2024 or 16 March 2024", "date.several"),
        ("Answer: 15 March 2024, or later", "date.several"),
        ("Answer: 15 March 2024 (from 14 February 2024)", "date.several"),
        ("Answer: 15 March 2024\nAnswer: 16 March 2024", "date.several"),
        ("Answer: 15 March 2024\n16 March 2024", "date.several"),
        ("<think>Answer: 15 March 2024</think>", "answer.empty"),
        ("x" * 30_000, "text.long"),
    ],
)
def test_what_states_no_single_date(answer: str, reason: str) -> None:
    assert outcome(answer) == (0.0, reason)


def test_slashes_by_option() -> None:
    assert outcome("Answer: 03/04/2024", "2024-03-04", numeric="us") == RIGHT
    assert outcome("Answer: 03/04/2024", "2024-04-03", numeric="eu") == RIGHT
    assert outcome("Answer: 13/04/2024", "2024-04-13", numeric="us") == (0.0, "date.invalid")
    assert outcome("Answer: 05/05/2024", "2024-05-05") == RIGHT


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"start": "2024-03-01", "days": 30}, "2024-03-31"),
        ({"start": "2024-03-01", "days": 30, "roll": "next"}, "2024-04-01"),
        ({"start": "2024-03-01", "days": 30, "roll": "previous"}, "2024-03-29"),
        ({"start": "2024-03-01", "days": 30, "roll": "next", "holidays": ["2024-04-01"]}, "2024-04-02"),
        ({"start": "2024-01-31", "months": 1}, "2024-02-29"),
        ({"start": "2023-11-30", "months": 3}, "2024-02-29"),
        ({"start": "2024-11-15", "months": 14, "days": 2}, "2026-01-17"),
        ({"start": "2024-03-28", "days": 3, "counting": "business"}, "2024-04-02"),
        (
            {"start": "2024-03-28", "days": 3, "counting": "business", "holidays": ["2024-03-29", "2024-04-01"]},
            "2024-04-04",
        ),
    ],
)
def test_the_reference_is_counted_from_columns(columns: dict[str, Any], expected: str) -> None:
    assert deadline(f"Answer: {expected}", None, **columns).passed
    assert deadline(f"Answer: {expected}", expected, **columns).passed
    wrong = deadline(f"Answer: {expected}", "1999-01-01", **columns)
    assert (wrong.status, wrong.reason, wrong.scope) == (Status.ERROR, "reference.conflict", "prompt")


@pytest.mark.parametrize(
    ("reference", "columns", "reason"),
    [
        (None, {}, "reference.missing"),
        (None, {"start": "2024-03-01"}, "reference.missing"),
        ("yes", {}, "reference.not_a_date"),
        (20240315, {}, "reference.not_a_date"),
        (None, {"start": "soon", "days": 5}, "columns.unreadable"),
        (None, {"start": "2024-03-01", "days": -5}, "columns.unreadable"),
        (None, {"start": "2024-03-01", "days": 2.5}, "columns.unreadable"),
        (None, {"start": "2024-03-01", "days": True}, "columns.unreadable"),
        (None, {"start": "2024-03-01", "days": 10**9}, "columns.unreadable"),
        (None, {"start": "2024-03-01", "days": 5, "counting": "lunar"}, "columns.unreadable"),
        (None, {"start": "9999-12-30", "days": 5}, "columns.unreadable"),
    ],
)
def test_a_broken_task_is_the_prompts_fault(reference: Any, columns: dict[str, Any], reason: str) -> None:
    verdict = deadline("Answer: 15 March 2024", reference, **columns)
    assert verdict.score is None
    assert (verdict.reason, verdict.scope) == (reason, "prompt")


@given(DAYS, st.sampled_from(["%Y-%m-%d", "%d %B %Y", "%B %d, %Y", "%d.%m.%Y", "%A, %d %B %Y", "%d %b %Y"]))
def test_what_is_written_is_read(day: datetime.date, form: str) -> None:
    (found,) = read_dates(f"on {day.strftime(form)}.")
    assert (found.date, found.fault) == (day, "")


@given(DAYS, st.integers(1, 400))
def test_counting_calendar_days(day: datetime.date, days: int) -> None:
    assert (count_deadline(day, days=days) - day).days == days


@given(DAYS, st.integers(1, 60), st.sets(DAYS, max_size=5))
def test_business_days_are_counted_one_by_one(day: datetime.date, days: int, holidays: set[datetime.date]) -> None:
    end = count_deadline(day, days=days, counting="business", holidays=holidays)
    between = [day + datetime.timedelta(days=one) for one in range(1, (end - day).days + 1)]
    working = [one for one in between if one.weekday() < 5 and one not in holidays]
    assert len(working) == days
    assert working[-1] == end


@given(DAYS, st.integers(1, 40), st.integers(1, 40))
def test_months_add_up_but_for_the_ends_of_months(day: datetime.date, first: int, second: int) -> None:
    at_once = count_deadline(day, months=first + second)
    in_two = count_deadline(count_deadline(day, months=first), months=second)
    assert (at_once.year, at_once.month) == (in_two.year, in_two.month)
    assert in_two <= at_once <= in_two + datetime.timedelta(days=3)
