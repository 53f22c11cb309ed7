import json
from pathlib import Path

import pytest
from pint import UnitRegistry

from lydite_medical.quantities import read_quantities
from lydite_medical.reply import plain
from lydite_medical.units import scale, unit_names

ROWS = [
    json.loads(line) for line in (Path(__file__).parent / "quantities.jsonl").read_text(encoding="utf-8").splitlines()
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["text"])
def test_reads(row):
    (found,) = read_quantities(plain(row["text"])).quantities
    assert (found.low, found.high) == (pytest.approx(row["low"]), pytest.approx(row["high"]))
    assert (found.dimension, found.per_kg) == (row["dimension"], row.get("per_kg", False))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "400",
        "400 bananas",
        "-400 mg",
        "400 mg per 0 hours",
        "1e3 mg",
        "10^6 IU",
        "0,5 mg",
        "3.5.2 mg",
        "1,00 mg",
        "4\u0660 mg",
        "9" * 20 + " mg",
    ],
)
def test_reads_nothing(text):
    assert read_quantities(plain(text)).quantities == ()


@pytest.mark.parametrize(
    ("text", "times"),
    [
        ("5 mg twice a day", 2), ("5 mg every 8 hours", 3), ("5 mg q6h", 4), ("5 mg 3 times daily", 3), ("5 mg tds", 3),
        ("5 mg nightly", 1), ("5 mg 12-hourly", 2), ("Every 6 hours 5 mg", 4), ("5 mg weekly", None), ("5 mg", None),
        ("5 mg three times a day", 3), ("5 mg once daily", 1), ("5 mg every 2 days", 0.5),
    ],
)  # fmt: skip
def test_reads_rhythms(text, times):
    assert read_quantities(text).quantities[0].per_day == times


def test_units_agree_with_pints_own():
    theirs = UnitRegistry()
    for name in ("gram", "milligram", "microgram", "nanogram", "kilogram", "day", "week", "minute", "second"):
        factor, dimension = scale(name)
        base = "gram" if dimension == "[mass]" else "hour"
        assert theirs.Quantity(1, name).to(base).magnitude == pytest.approx(factor), name
    for name in ("litre", "millilitre", "microlitre"):
        assert theirs.Quantity(1, name).to("litre").magnitude == pytest.approx(scale(name)[0])


def test_every_unit_that_can_be_written_is_defined():
    for name in set(unit_names().values()) - {"dose"}:
        assert scale(name)[0] > 0
