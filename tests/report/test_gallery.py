"""Which completions a report carries, and what is counted over all of them."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from lydite.report.gallery import TEXT_LIMIT, CompletionsDigest
from lydite.report.reader import read_run


def digest_of(path: Path, budget: int = 10**9) -> CompletionsDigest:
    digest = CompletionsDigest(path, budget)
    digest.update()
    return digest


def record(step: int, sample: str, index: int, text: str = "x") -> dict[str, Any]:
    verdict = {"score": 1.0, "value": 1.0, "weight": 1.0, "status": "ok", "passed": True, "reason": "r"}
    return {
        "step": step,
        "sample": sample,
        "index": index,
        "prompt": "p",
        "completion": text,
        "rewards": {"one": verdict},
    }


def write(path: Path, records: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(one) + "\n" for one in records))


def groups_of(digest: CompletionsDigest) -> list[dict[str, Any]]:
    return list(json.loads(digest.gallery().to_json())["groups"])


def test_all_completions_of_a_small_run_are_carried(finished_run: Path) -> None:
    gallery = digest_of(finished_run / "completions.jsonl").gallery()
    assert (gallery.shown, gallery.total, gallery.every, gallery.cut) == (2560, 2560, 1, 0)
    groups = json.loads(gallery.to_json())["groups"]
    kept = [(group["step"], group["sample"], item[0]) for group in groups for item in group["items"]]
    assert kept == [(one["step"], one["sample"], one["index"]) for one in read_run(finished_run).completions()]


def test_tallies_agree_with_a_plain_count(finished_run: Path) -> None:
    tallies = digest_of(finished_run / "completions.jsonl").tallies
    verdicts = [one["rewards"]["judge"] for one in read_run(finished_run).completions()]
    judge = tallies.by_name["judge"]
    scores = [one["score"] for one in verdicts if one["score"] is not None]
    assert judge.n == len(verdicts) == 2560
    assert judge.mean is not None
    assert abs(judge.mean - sum(scores) / len(scores)) < 1e-12
    for status in ("ok", "abstain", "error", "timeout"):
        assert judge.statuses[status] == sum(one["status"] == status for one in verdicts) > 0
    assert judge.reasons["timeout", "deadline"] == judge.statuses["timeout"]
    assert (judge.low, judge.high) == (min(scores), max(scores))
    assert tallies.by_name["correct"].passed == sum(
        one["rewards"]["correct"]["passed"] for one in read_run(finished_run).completions()
    )


@settings(max_examples=40, deadline=None)
@given(groups=st.integers(1, 90), size=st.integers(1, 4), budget=st.integers(200, 6000))
def test_a_bounded_gallery_is_even_whole_and_small(tmp_path_factory: Any, groups: int, size: int, budget: int) -> None:
    path = tmp_path_factory.mktemp("gallery") / "completions.jsonl"
    write(path, [record(step, f"s{step}", index) for step in range(groups) for index in range(size)])
    digest = digest_of(path, budget)
    kept = groups_of(digest)
    steps = [group["step"] for group in kept]
    assert steps[0] == 0
    assert steps[-1] == groups - 1
    gaps = {after - before for before, after in pairwise(steps[:-1])}
    assert gaps <= {digest.gallery().every}
    assert all(len(group["items"]) == size for group in kept)
    largest = max(len(text) for text in digest.gallery().groups)
    assert sum(len(text) for text in digest.gallery().groups) <= max(budget, largest) + largest
    assert digest.gallery().total == groups * size
    assert digest.tallies.by_name["one"].n == groups * size
    # Half of the budget is used where there is enough to fill it: dropping stops as soon as the rest fits.
    if digest.gallery().every > 1 and len(kept) > 3:
        assert sum(len(text) for text in digest.gallery().groups) > budget / 4


@settings(max_examples=30, deadline=None)
@given(cuts=st.lists(st.integers(0, 4000), max_size=6), budget=st.integers(300, 4000))
def test_reading_in_pieces_is_reading_at_once(tmp_path_factory: Any, cuts: list[int], budget: int) -> None:
    path = tmp_path_factory.mktemp("pieces") / "completions.jsonl"
    write(path, [record(step, f"s{step}", index) for step in range(10) for index in range(2)])
    whole = path.read_bytes()
    at_once = digest_of(path, budget)
    path.write_bytes(b"")
    digest = CompletionsDigest(path, budget)
    for cut in sorted(cuts):
        path.write_bytes(whole[:cut])
        digest.update()
    path.write_bytes(whole)
    digest.update()
    assert digest.gallery() == at_once.gallery()
    assert digest.tallies.by_name["one"].n == 20
    assert digest.damaged == 0
    assert digest.update() is False


def test_a_log_that_was_cut_back_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "completions.jsonl"
    write(path, [record(1, "a", 0), record(2, "b", 0)])
    digest = digest_of(path)
    write(path, [record(1, "a", 0)])
    assert digest.update() is True
    assert digest.tallies.completions == 1
    assert [group["step"] for group in groups_of(digest)] == [1]


def test_very_long_texts_lose_their_middle_and_say_so(tmp_path: Path) -> None:
    path = tmp_path / "completions.jsonl"
    write(path, [record(1, "a", 0, "start" + "m" * (3 * TEXT_LIMIT) + "end")])
    digest = digest_of(path)
    text = groups_of(digest)[0]["items"][0][1]
    assert digest.gallery().cut == 1
    assert text.startswith("start")
    assert text.endswith("end")
    assert "characters are left out" in text
    assert len(text) < TEXT_LIMIT + 100


def test_odd_records_are_carried_too(tmp_path: Path) -> None:
    path = tmp_path / "completions.jsonl"
    odd = [
        {"step": 1},
        {"step": 1, "sample": 5, "reference": [1, {"a": 2}], "reward": None, "rewards": None, "completion": "\ud800"},
        {
            "step": 2,
            "rewards": {"one": {"status": "error", "score": None, "reason": "boom", "parts": {"inner": {"score": 1}}}},
        },
    ]
    write(path, odd)
    path.write_text(path.read_text() + '{"step": 3, "reward": NaN}\nnot json\n')
    digest = digest_of(path)
    assert digest.damaged == 1
    groups = groups_of(digest)
    assert [group["step"] for group in groups] == [1, 1, 2, 3]
    assert groups[1]["reference"] == '[1, {"a": 2}]'
    assert groups[2]["items"][0][8]["one"][8] == {"inner": ["ok", 1, None, None, None, ""]}
    assert groups[3]["items"][0][6] is None


def test_what_was_said_with_an_environment_is_shown_whole_and_by_whom(tmp_path: Path) -> None:
    turns = [
        {"role": "assistant", "content": "What is 2 + 2?"},
        {"role": "tool", "content": {"result": 4}},
        {"role": "assistant", "content": "4"},
    ]
    write(tmp_path / "c.jsonl", [{**record(1, "a", 0, "4"), "turns": turns}, {**record(1, "a", 1, "5"), "turns": []}])
    (group,) = groups_of(digest_of(tmp_path / "c.jsonl"))
    assert [item[1] for item in group["items"]] == [
        '[assistant]\nWhat is 2 + 2?\n\n[tool]\n{"result": 4}\n\n[assistant]\n4',
        "5",
    ]
