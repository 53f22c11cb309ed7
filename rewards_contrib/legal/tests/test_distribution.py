import json
import re
from importlib.resources import files
from pathlib import Path

import pytest

from lydite.plugins import load_plugins
from lydite.testing import check, read_cases
from lydite_legal.cites import FAULTS

FOLDER = Path(__file__).parent.parent
README = (FOLDER / "README.md").read_text()
OFFERS = load_plugins(allow=["lydite-legal"]).offers
REWARDS = sorted(OFFERS["rewards"])


def test_it_offers_what_its_readme_lists() -> None:
    assert sorted(set(re.findall(r"^\| `(legal/[a-z-]+)` \|", README, re.MULTILINE)) - {"legal/cases"}) == REWARDS
    assert list(OFFERS["datasets"]) == ["legal/cases"]


@pytest.mark.parametrize("name", REWARDS)
def test_each_reward_passes_the_kit(name: str) -> None:
    check(name).raise_for_failures()


@pytest.mark.parametrize("name", REWARDS)
def test_the_readme_lists_every_reason(name: str) -> None:
    source = (FOLDER / "lydite_legal" / f"{name.removeprefix('legal/')}.py").read_text()
    codes = set(re.findall(r'"((?:[a-z]+)\.[a-z_]+)"', source))
    if name == "legal/citation":
        codes |= set(FAULTS)
    missing = sorted(code for code in codes if f"`{code}`" not in README)
    assert not missing


@pytest.mark.parametrize("name", REWARDS)
def test_each_reward_brings_cases_and_a_calibration(name: str) -> None:
    short = name.removeprefix("legal/")
    assert len(read_cases(FOLDER / "lydite_legal" / "cases" / f"{short}.jsonl").cases) >= 20
    labelled = [json.loads(line) for line in (FOLDER / "calibration" / f"{short}.jsonl").read_text().splitlines()]
    stored = json.loads(files("lydite_legal").joinpath("calibration", f"{short}.json").read_text())
    assert stored["n"] == len(labelled) >= 60
    assert {one["expected"] for one in labelled} == {True, False}
    row = re.search(rf"^\| `{name}` \| (\d+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|", README, re.MULTILINE)
    assert row is not None
    shown = [float(one) for one in row.groups()]
    assert shown == pytest.approx([stored[key] for key in ("n", "tpr", "fpr", "j")], abs=0.006)


@pytest.mark.parametrize("name", ["hedges", "guarantees", "headings", "volumes", "courts", "codes"])
def test_lexicons_say_where_they_come_from(name: str) -> None:
    table = json.loads(files("lydite_legal").joinpath("lexicons", f"{name}.json").read_text("utf-8"))
    assert "own compilation" in table["source"]
    assert re.fullmatch(r"\d{4}-\d{2}-\d{2}", table["date"])
