"""The shipped rubric: its cases, its labelled rows, and what each of its own checks sees."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest

from lydite import Completion, Parsed, Sample, Status, Verdict
from lydite_rubric import Rubric, clear, read_rubric, score

FOLDER = Path(__file__).parent.parent
CASES = [json.loads(line) for line in (FOLDER / "lydite_rubric/cases/score.jsonl").read_text().splitlines()]
LABELLED = [json.loads(line) for line in (FOLDER / "calibration/score.jsonl").read_text().splitlines()]
STORED = json.loads((FOLDER / "lydite_rubric/calibration/score.json").read_text())
CLEAR = "package:lydite_rubric/rubrics/clear-answer.toml"
RUBRIC: Rubric = read_rubric(CLEAR)


def verdict_on(text: str, prompt: str, **options: Any) -> Verdict:
    options.pop("file", None)
    return asyncio.run(score(Completion(text, Parsed(text)), Sample("s", prompt), file=RUBRIC, **options))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_the_cases(case: dict[str, Any]) -> None:
    assert case["options"]["file"] == CLEAR
    verdict = verdict_on(case["completion"], case["prompt"], **case["options"])
    if case["expected"] == "pass":
        assert verdict.passed, [name for name, part in verdict.parts.items()]
    elif isinstance(case["expected"], list):
        assert case["expected"][0] <= verdict.score <= case["expected"][1]
    else:
        assert (verdict.score, verdict.passed) == (pytest.approx(case["expected"]), False)


def test_the_labelled_rows_are_as_the_stored_audit_says() -> None:
    taken = [bool(verdict_on(one["pred"], one["prompt"]).passed) for one in LABELLED]
    right = [passed for passed, one in zip(taken, LABELLED, strict=True) if one["expected"]]
    wrong = [passed for passed, one in zip(taken, LABELLED, strict=True) if not one["expected"]]
    assert (STORED["n"], STORED["positives"], STORED["negatives"]) == (len(LABELLED), len(right), len(wrong))
    assert STORED["options"] == {"file": CLEAR}
    assert STORED["tpr"] == pytest.approx(sum(right) / len(right), abs=1e-4)
    assert STORED["fpr"] == pytest.approx(sum(wrong) / len(wrong), abs=1e-4)
    readme = (FOLDER / "README.md").read_text()
    assert f"| {len(LABELLED)} | {STORED['tpr']:.2f} | {STORED['fpr']:.2f} | {STORED['j']:.2f} |" in readme


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The tools stay dry in a box.", True),
        ("1 2 3 4 5 6 7 8 9 10", False),
        ("xkcd qwrt zxcv bnmk lkjh", False),
        ("aaaaaaa bbbbbbb ababab aaaabb bababa", False),
        ("yes", False),
        ("Die Werkzeuge bleiben in einer Kiste trocken.", True),
        ("a " * 3 + "1 " * 40, False),
    ],
)
def test_what_is_prose(text: str, expected: bool) -> None:
    assert clear.is_prose(text) is expected


def test_a_topic_is_met_by_words_of_the_same_stem() -> None:
    assert clear.on_topic("Payments are due on Friday.", "When must I pay the payment?").passed
    assert not clear.on_topic("The weather is fine.", "When must I pay the rent?").passed
    assert clear.on_topic("Anything.", "Why is it so?").status is Status.ABSTAIN
    conversation = [{"role": "system", "content": "Rivers"}, {"role": "user", "content": "Explain taxes"}]
    assert not clear.on_topic("Rivers flow.", conversation).passed
    assert clear.on_topic("Anything.", []).status is Status.ABSTAIN


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It ends.", True),
        ("It ends (so it says).", True),
        ('He said "no."', True),
        ("It costs 5", True),
        ("- a list\n- of items", True),
        ("Dear Sam,\n\nsee you.\n\nBest wishes,\nAnna Smith", False),  # a comma closes nothing, and the name is joined
        ("See you on Monday.\n\nAnna Smith", True),
        ("It stops in the", False),
        ("It stops, and so", False),
        ("These are three:", False),
        ("One,", False),
        ("A thought\n\nthat goes on", False),
        ("```\ncode\n```", True),
        ("```\ncode", False),
    ],
)
def test_what_is_finished(text: str, expected: bool) -> None:
    assert clear.finished(text) is expected


def test_repetition_and_echo_and_walls() -> None:
    assert clear.repeats_itself("It is cold today here. It is cold today here.").passed
    assert not clear.repeats_itself("It is cold today. It was warm yesterday.").passed
    assert clear.echoes_prompt("why is the sky blue", "Why is the sky blue?")
    assert not clear.echoes_prompt("The sky is blue because air scatters blue light.", "Why is the sky blue?")
    assert clear.wall_of_text("word " * 200)
    assert not clear.wall_of_text(("word " * 100 + "\n\n") * 5)


@pytest.mark.parametrize(
    "piece", ["a", " ", "\n", ".", "a.", "\n- ", "\u2019", "-", "`", "a-", "?'", "\n \n", "1) ", "\t", "Ab "]
)
def test_every_check_takes_time_linear_in_hostile_text(piece: str) -> None:
    text = "x" + piece * (50_000 // len(piece))
    began = time.perf_counter()
    clear.is_prose(text)
    clear.on_topic(text, text)
    clear.echoes_prompt(text, text)
    clear.repeats_itself(text)
    clear.readable_sentences(text)
    clear.finished(text)
    clear.wall_of_text(text)
    assert time.perf_counter() - began < 2.0


@pytest.mark.parametrize(
    "piece",
    ["a", " ", "sure ", "great, ", "[insert ", "{a", "_", "it is ", "score: ", "\u2019", "in today's ", "a b c "],
)
def test_every_pattern_answers_in_time(piece: str) -> None:
    verdict = verdict_on(piece * (50_000 // len(piece)), "Why?")
    assert not [name for name, part in verdict.parts.items() if part.reason == "check.slow"]
