"""What all four rewards keep: they are offered, list their reasons, judge any text, and hostile text costs little."""

import re
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lydite import Status
from lydite.plugins import load_plugins
from lydite_medical import choice, contraindication, dose, red_flags

PACKAGE = Path(__file__).parent.parent / "lydite_medical"
README = (PACKAGE.parent / "README.md").read_text(encoding="utf-8")
NAMES = ("medical/choice", "medical/dose", "medical/contraindication", "medical/red-flags")
SECONDS = 2.0  # for one verdict on the longest text that is read, on a machine that is busy with other things

ASKED = {
    "choice": lambda text: choice(text, "B", ["one", "two", "three"], "Which?"),
    "dose": lambda text: dose(text, "300 mg", "How much?", 20, "4 g"),
    "contraindication": lambda text: contraindication(text, ["ibuprofen"], "What do you advise?"),
    "red-flags": lambda text: red_flags(text, "I have chest pain."),
}


def test_offers_the_rewards_and_the_data():
    offers = load_plugins(allow=["lydite-medical"]).offers
    assert set(offers["rewards"]) == set(NAMES)
    assert set(offers["datasets"]) == {"medical/cases"}


def test_readme_lists_every_reason():
    code = "\n".join(one.read_text(encoding="utf-8") for one in PACKAGE.glob("*.py"))
    prefixes = (
        "choice|dose|contraindication|escalation|answer|reference|options|flags|contraindicated|conditions|synonyms"
        "|max_daily"
    )
    reasons = set(re.findall(rf'"((?:{prefixes})\.[a-z_]+)"', code)) | {
        "weight.broken",
        "doses_per_day.broken",
        "iu_per_mg.broken",
    }
    assert len(reasons) > 40
    assert {one for one in reasons if f"`{one}`" not in README} == set()


@pytest.mark.parametrize("name", ASKED)
@given(text=st.text(max_size=300))
@settings(max_examples=150, deadline=None)
def test_any_text_gets_a_verdict(name, text):
    verdict = ASKED[name](text)
    assert verdict.status is Status.OK
    assert 0.0 <= verdict.score <= 1.0
    assert verdict == ASKED[name](text)


HOSTILE = {
    "digits": "1" * 19_000,
    "groups": "1,000" * 3_800,
    "numbers": "1 " * 9_500,
    "ranges": "1-" * 9_500,
    "doses": "1 mg " * 3_900,
    "number words": "one hundred " * 1_600,
    "boxes": "\\boxed{" * 2_700,
    "closed boxes": "\\boxed{1}" * 2_100,
    "tags": "<answer>" * 2_400,
    "marks": "answer: " * 2_400,
    "nots": "not " * 4_900,
    "avoids": "avoid ibuprofen " * 1_200,
    "calls": "call 911 " * 2_100,
    "commas": "," * 19_000,
    "lines": "a\n" * 9_500,
    "bullets": ":\n- a" * 3_800,
    "spaces": "a" + " " * 19_000 + "b",
    "number and spaces": "1" + " " * 19_000 + "mg",
    "newlines": "a" + "\n" * 19_000 + "b",
    "mark and spaces": "answer" + " " * 19_000 + "is",
    "tabs and bullets": "a" + "\n\t" * 9_500 + "b",
    "letters": "A " * 9_500,
    "too long": "a" * 1_000_000,
}


@pytest.mark.parametrize("name", ASKED)
@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_text_costs_little(name, text):
    ASKED[name]("warm")
    start = time.perf_counter()
    verdict = ASKED[name](text)
    assert time.perf_counter() - start < SECONDS
    assert not verdict.passed or name in ("contraindication", "red-flags")
