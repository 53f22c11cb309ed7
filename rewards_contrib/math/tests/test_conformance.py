import json
from pathlib import Path
from typing import Any

import pytest

from lydite import Completion, Parsed
from lydite_math import equivalent

SHARED = Path(__file__).parents[4] / "shared" / "conformance"
OWN = Path(__file__).parents[1] / "calibration" / "equivalent.jsonl"
LEFT_OUT = {"corrupt_gold", "label_questionable", "order_convention", "config_specific", "prose_answer"}


def rows(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        pytest.skip(f"no {path.name} here")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def rates(labelled: list[dict[str, Any]]) -> tuple[float, float]:
    passed: dict[bool, list[bool]] = {True: [], False: []}
    for row in labelled:
        verdict = equivalent(Completion(row["pred"], Parsed(row["pred"])), row["gold"], **row.get("options", {}))
        passed[row["expected"]].append(bool(verdict.passed))
    return sum(passed[True]) / len(passed[True]), sum(passed[False]) / len(passed[False])


def test_shared_pairs():
    clean = [row for row in rows(SHARED / "math_pairs.jsonl") if not LEFT_OUT & set(row["tags"])]
    tpr, fpr = rates(clean)
    assert fpr <= 0.01
    assert tpr - fpr >= 0.93


def test_own_pairs():
    labelled = rows(OWN)
    assert len(labelled) >= 150
    tpr, fpr = rates(labelled)
    assert fpr <= 0.01
    assert tpr - fpr >= 0.95


def test_golds_equal_themselves():
    for row in rows(OWN):
        gold = row["gold"]
        assert equivalent(Completion(gold, Parsed(gold)), gold).passed, gold
