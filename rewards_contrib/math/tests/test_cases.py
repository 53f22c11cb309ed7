import json
from importlib.resources import files
from typing import Any

import pytest

from lydite import Completion, Parsed, Status
from lydite_math import equivalent

ROWS = [
    json.loads(line)
    for line in (files("lydite_math") / "cases" / "equivalent.jsonl").read_text(encoding="utf-8").splitlines()
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["id"])
def test_case(row: dict[str, Any]):
    text = row["completion"]
    verdict = equivalent(Completion(text, Parsed(text)), row["reference"], **row.get("options", {}))
    if row["expected"] == "error":
        assert verdict.status is Status.ERROR
    else:
        assert verdict.passed is (row["expected"] == "pass")
