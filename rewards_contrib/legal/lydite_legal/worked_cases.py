"""Worked cases of our own making: fictional, with the authority, the facts, the question and the right answer."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib.resources import files
from typing import Any, Final, Literal, TypeAlias

from lydite import DataError, Sample, did_you_mean

Kind: TypeAlias = Literal["all", "holding", "deadline"]
Split: TypeAlias = Literal["all", "train", "test"]
Style: TypeAlias = Literal["short", "memo"]
_MEMO: Final = (
    "Write a short memo with the sections Issue, Rule, Application and Conclusion. "
    "Quote the authority, cite it, and finish "
)
_TASKS: Final[Mapping[tuple[str, Style], str]] = {
    ("holding", "short"): 'Reply with "Answer: yes" or "Answer: no", then name the authority.',
    ("holding", "memo"): f'{_MEMO}with the line "Answer: yes" or "Answer: no".',
    ("deadline", "short"): 'Reply with "Answer:" and the date, then name the authority.',
    ("deadline", "memo"): f'{_MEMO}with a line "Answer:" and the date.',
}


def worked_cases(
    *, kind: Kind = "all", split: Split = "all", areas: Sequence[str] = (), style: Style = "short"
) -> list[Sample]:
    """The cases in the order of the file: 132 closed questions, as many yes as no, and 36 deadlines.

    `split`: the test cases turn on rules of their own, which no training case has. `areas`: only these. `style`: asks
    for one line, or for a memo. References are "yes", "no", or a date in ISO form. Columns: `authorities`, `facts`,
    `rule`, `question`, `area`, `kind`, `why`, and for deadlines `start`, `days`, `months`, `counting`, `holidays`,
    `roll`.

    Raises:
        DataError: for an area that there is none of, or a choice that leaves no case.
    """
    rows = _rows()
    known = {row["area"] for row in rows}
    for area in areas:
        if area not in known:
            raise DataError(f"there are no cases of the area {area!r}{did_you_mean(area, known)}")
    chosen = [
        row
        for row in rows
        if kind in ("all", row["kind"]) and split in ("all", row["split"]) and (not areas or row["area"] in areas)
    ]
    if not chosen:
        raise DataError(f"no case is of kind = {kind!r}, split = {split!r} and areas = {list(areas)}")
    return [_sample(row, style) for row in chosen]


def _sample(row: Mapping[str, Any], style: Style) -> Sample:
    prompt = (
        f"Authority: {row['authorities'][0]}: {row['rule']}.\nFacts: {row['facts']}\n"
        f"Question: {row['question']}\n{_TASKS[row['kind'], style]}"
    )
    columns = {name: value for name, value in row.items() if name not in ("id", "reference", "split")}
    return Sample(row["id"], prompt, row["reference"], columns)


@lru_cache(maxsize=1)
def _rows() -> tuple[Mapping[str, Any], ...]:
    text = files("lydite_legal").joinpath("worked", "cases.jsonl").read_text("utf-8")
    return tuple(json.loads(line) for line in text.splitlines())
