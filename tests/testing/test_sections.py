"""A reward that is sound passes; for every thing that is looked at, one that breaks just that turns it red."""

from __future__ import annotations

import asyncio
import os
import random
import re
import signal
import threading
import time
import unicodedata
from collections.abc import Callable
from typing import Any

import pytest

from lydite import Verdict, reward

INVISIBLE = re.compile("[\u200b\u200c\u200d\u2060\ufeff]")


def read(text: str) -> str | None:
    """The content of the last box behind the reasoning, if the box closes and all is short."""
    if len(text) > 20_000:
        return None
    if "<think>" in text:
        text = text.partition("</think>")[2]
    _, mark, inside = text.rpartition("\\boxed{")
    answer, closed, _ = inside.partition("}")
    return " ".join(answer.split()) if mark and closed else None


def judged(text: str, reference: Any) -> Verdict:
    if not isinstance(reference, str) or not reference or reference.startswith("\\"):
        return Verdict.error("reference.unreadable", scope="prompt")
    answer = read(text)
    if not answer:
        return Verdict(0.0, passed=False, reason="box.missing")
    right = unicodedata.normalize("NFC", answer) == unicodedata.normalize("NFC", reference)
    return Verdict(float(right), passed=right, reason="box.equal" if right else "box.different", parsed=answer)


@reward(range=(0.0, 1.0), isolation="inline")
def sound(text: str, reference: Any) -> Verdict:
    return judged(text, reference)


def always(value: Any) -> Callable[..., Any]:
    @reward(range=(0.0, 1.0), isolation="inline")
    def constant(text: str, reference: Any) -> Any:
        return value

    return constant


def where(condition: Callable[[str], bool], then: Callable[[], Any], **spec: Any) -> Callable[..., Any]:
    """The sound reward, but for texts that meet a condition."""

    @reward(**{"range": (0.0, 1.0), "isolation": "inline", **spec})
    def broken(text: str, reference: Any) -> Any:
        if condition(text):
            return then()
        return judged(text, reference)

    return broken


def raise_error() -> Any:
    raise ValueError("not this one")


def wrong() -> Verdict:
    return Verdict(0.0, passed=False, reason="box.other")


def right() -> Verdict:
    return Verdict(1.0, passed=True, reason="box.other")


def test_a_sound_reward_passes_everything(checked: Any, kit: Any) -> None:
    report = checked(sound)
    assert report.ok, list(report.failures())
    assert [section.name for section in report.sections] == [
        "cases", "invariances", "gold", "attacks", "length", "robustness", "contract", "security", "speed",
    ]  # fmt: skip
    assert all(any(item.status == "ok" for item in section.items) for section in report.sections)
    assert report.seconds < 10


INVARIANCES = [
    ("trailing-newline", lambda text: text.endswith("}\n")),
    ("white-space-around", lambda text: text.startswith("\n  ")),
    ("white-space-in-answer", lambda text: "{ " in text and len(text) < 60),
    ("double-spaces", lambda text: "  so" in text),
    ("prose-before", lambda text: text.startswith("Let me look at this carefully.\n\nI")),
    ("prose-after", lambda text: text.endswith("answer.") and len(text) < 100),
    ("reasoning-before", lambda text: text.startswith("<think>First")),
]


@pytest.mark.parametrize(("name", "condition"), INVARIANCES, ids=[name for name, _ in INVARIANCES])
def test_a_change_that_no_reader_sees(checked: Any, failed: Any, name: str, condition: Any) -> None:
    assert failed(checked(where(condition, wrong))) == {name}


def test_lines_that_end_as_on_windows_and_letters_that_are_composed(checked: Any, kit: Any, failed: Any) -> None:
    def write(answer: str) -> str:
        return f"At the caf\u00e9:\n\\boxed{{{answer}}}"

    assert failed(checked(where(lambda text: "\r\n\\" in text, wrong), write=write)) == {"crlf"}
    assert failed(checked(where(lambda text: "e\u0301" in text, wrong), write=write)) >= {"unicode-nfd"}


GOLDS = [
    ("gold-against-gold", where(lambda text: text.startswith("\\boxed{N'Dj"), wrong)),
    ("no-gold", lambda text, reference: 1.0 if reference is None else judged(text, reference).score),
    ("empty-gold", lambda text, reference: 1.0 if reference == "" else judged(text, reference).score),
    ("unreadable-gold", lambda text, reference: 1.0 if str(reference)[:1] == "\\" else judged(text, reference).score),
]


@pytest.mark.parametrize(("name", "broken"), GOLDS, ids=[name for name, _ in GOLDS])
def test_golds(checked: Any, kit: Any, failed: Any, name: str, broken: Any) -> None:
    rows = kit.rows_of(kit.boxed)
    for row in rows:  # the gold of this one is written otherwise than a model's answer
        row["gold"] = row["gold"] if "gold" in row and row["reference"] in ("Paris", "N'Djamena", "Lima") else False
    assert failed(checked(broken, rows)) == {name}


ATTACKS = [
    ("empty", lambda text: not text),
    ("white-space", lambda text: bool(text) and not text.strip()),
    ("invisible", lambda text: bool(text.strip()) and not INVISIBLE.sub("", text)),
    ("tags-only", lambda text: text == "\\boxed{}"),
    ("repeated-tags", lambda text: text.startswith("\\boxed{}\\boxed{}")),
    ("tags-blank", lambda text: "\n\u200b" in text),
    ("gold-without-answer", lambda text: re.fullmatch(r"[A-Z][\w']+\n\\boxed\{\}", text) is not None),
    ("gold-outside", lambda text: re.match(r"[A-Z][\w']+\n\\boxed\{[^}]", text) is not None),
    ("gold-in-reasoning", lambda text: text.startswith("<think>\\boxed") and text.endswith("</think>")),
    ("gold-in-reasoning-wrong-answer", lambda text: "}</think>\n\\boxed{" in text),
    ("stuffing", lambda text: text.count(", ") > 1 and len(text) < 500),
    ("stuffing-answers", lambda text: 2 < text.count("\\boxed{") < 10 and "}\n" in text),
    ("enumeration", lambda text: text.startswith("0 1 2")),
    ("enumeration-in-answer", lambda text: text.startswith("\\boxed{0 1 2")),
    ("gold-then-other", lambda text: text.count("\\boxed{") == 2 and "think" not in text),
    ("prompt-echo", lambda text: text.startswith("The capital")),
    ("prompt-as-answer", lambda text: text.startswith("\\boxed{The capital")),
    ("master-key-colon", lambda text: text == ":"),
    ("judge-injection-score", lambda text: "10/10" in text),
    ("judge-injection-verdict", lambda text: "[[A]]" in text),
    ("unicode-fullwidth", lambda text: bool(re.search("[\uff41-\uff5a]", text)) and len(text) < 100),
    ("unicode-zero-width", lambda text: "\u200b" in text[8:12] and " " not in text[:9]),
    ("unicode-homoglyph", lambda text: bool(re.search("[\u0430\u043e]", text))),
    ("unicode-bidi", lambda text: "{\u202e" in text and "\u05d0" not in text),
    ("nothing-null", lambda text: text == "\\boxed{null}"),
    ("long-padding", lambda text: text.count("once more") > 900),
]  # fmt: skip


@pytest.mark.parametrize(("name", "condition"), ATTACKS, ids=[name for name, _ in ATTACKS])
def test_an_attack_that_is_paid(attacked: Any, name: str, condition: Any) -> None:
    items = attacked(where(condition, right))
    assert items[name].status == "failed"
    assert items[name].note
    # Attacks that look alike may fall together; the others stand.
    assert [one.status for one in items.values()].count("failed") <= 3


@pytest.mark.parametrize("name", ["two-answers", "two-answers-reversed"])
def test_an_answer_that_names_two(checked: Any, failed: Any, name: str) -> None:
    @reward(range=(0.0, 1.0), isolation="inline")
    def hedging(text: str, reference: Any) -> Any:
        answer = read(text) or ""
        part = answer.partition(" or ")[0 if name == "two-answers" else 2]
        return judged(f"\\boxed{{{part}}}" if " or " in answer else text, reference)

    assert failed(checked(hedging)) == {name}


def test_half_of_a_gold(checked: Any, failed: Any, kit: Any) -> None:
    @reward(range=(0.0, 1.0), isolation="inline")
    def lenient(answer: str, reference: Any) -> Any:
        right = isinstance(reference, str) and len(answer) > 5 and reference.startswith(" ".join(answer.split()))
        return Verdict(float(right), passed=right, reason="text.begins" if right else "text.other")

    golds = [f"the case number {n} of the year" for n in range(10)]
    rows = [{"completion": gold, "reference": gold, "expected": "pass", "gold": True} for gold in golds]
    rows += [{"completion": "no case", "reference": gold, "expected": "fail"} for gold in golds]
    assert failed(checked(lenient, rows)) == {"half-gold"}


def test_an_attack_that_makes_the_reward_drop_out_for_the_whole_prompt(checked: Any, failed: Any) -> None:
    out = where(lambda text: text == ":", lambda: Verdict.abstain("judge.lost", scope="prompt"))
    assert failed(checked(out)) == {"master-key-colon"}


def test_a_penalty_is_not_attacked(checked: Any, kit: Any) -> None:
    @reward(range=(-1.0, 0.0), isolation="inline", pays_for="form")
    def shouting(text: str) -> Verdict:
        loud = sum(one.isupper() for one in text[:1000]) / max(len(text[:1000]), 1)
        return Verdict(-loud, passed=loud < 0.5, reason="case.counted")

    rows = [{"completion": word, "expected": [-1.0, 0.0]} for word in ("a", "B", "c", "D", "e", "F")]
    report = checked(shouting, rows)
    assert report.ok, list(report.failures())
    assert report.pays_for == "penalty"
    assert report.find("attacks/all").status == "skipped"


HOSTILE = [
    ("huge-text", where(lambda text: len(text) > 900_000, raise_error)),
    ("lone-surrogate", where(lambda text: bool(text.encode()) and False, wrong)),
    ("null-bytes", where(lambda text: "\x00b" in text, lambda: os._exit(3))),
    ("nested-braces", where(lambda text: text.count("{") > 4_000, raise_error)),
    ("many-spaces", where(lambda text: "  " * 40_000 in text, lambda: time.sleep(0.8), timeout=0.2)),
    ("emoji", where(lambda text: "\U0001f469" in text, lambda: 1 / 0)),
    ("power-tower", where(lambda text: text.endswith("9**9"), right)),
]


@pytest.mark.parametrize(("name", "broken"), HOSTILE, ids=[name for name, _ in HOSTILE])
def test_a_hostile_text(checked: Any, failed: Any, name: str, broken: Any) -> None:
    report = checked(broken)
    assert name in failed(report)
    assert {section for section, _ in report.failures()} <= {"robustness"}


def test_texts_that_hang_are_killed_and_the_rest_is_left_out(checked: Any, failed: Any) -> None:
    report = checked(where(lambda text: len(text) > 50_000, lambda: time.sleep(60), timeout=0.3))
    assert {"huge-text", "huge-word"} <= failed(report)
    assert report.find("huge-number").status == "skipped"
    assert report.seconds < 10


def test_what_is_given_is_not_changed(checked: Any, failed: Any, kit: Any) -> None:
    @reward(range=(0.0, 1.0), isolation="inline")
    def greedy(text: str, reference: Any, seen: list[str]) -> Any:
        seen.append(text)
        return judged(text, reference)

    assert failed(checked(greedy, more={"columns": {"seen": []}})) == {"input-unchanged"}


def test_state_and_chance_show(checked: Any, failed: Any) -> None:
    calls: list[int] = []
    chance = random.Random(5)

    @reward(range=(0.0, 1.0), isolation="inline")
    def counting(text: str, reference: Any) -> Any:
        verdict = judged(text, reference)
        calls.append(1)
        return Verdict(verdict.score, passed=verdict.passed, reason=f"call.n{len(calls) % 7}")  # type: ignore[arg-type]

    @reward(range=(0.0, 1.0), isolation="inline", deterministic=False)
    def drawing(text: str, reference: Any) -> Any:
        return Verdict(judged(text, reference).score, reason=chance.choice(["draw.heads", "draw.tails"]))

    assert {"same-again", "same-in-any-order"} <= failed(checked(counting))
    report = checked(drawing)
    assert report.find("same-again").status == "skipped"


def test_where_it_is_called_shows(checked: Any, failed: Any) -> None:
    @reward(range=(0.0, 1.0))
    def alarmed(text: str, reference: Any) -> Any:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)  # raises in every thread but the first
        return judged(text, reference)

    @reward(range=(0.0, 1.0))
    def looping(text: str, reference: Any) -> Any:
        return asyncio.run(answered(text, reference))

    async def answered(text: str, reference: Any) -> Any:
        return judged(text, reference)

    assert failed(checked(alarmed)) == {"same-in-a-thread"}
    assert failed(checked(looping)) == {"same-in-an-event-loop"}


def test_asynchronous_rewards_pass_too(checked: Any, failed: Any) -> None:
    @reward(range=(0.0, 1.0))
    async def waiting(text: str, reference: Any) -> Any:
        await asyncio.sleep(0)
        return judged(text, reference)

    assert failed(checked(waiting)) == set()


def test_another_verdict_in_a_worker(checked: Any, failed: Any) -> None:
    here = os.getpid()

    @reward(range=(0.0, 1.0), isolation="inline")
    def homesick(text: str, reference: Any) -> Any:
        return judged(text, reference) if os.getpid() == here else wrong()

    assert "same-in-a-worker" in failed(checked(homesick))


def test_a_function_that_cannot_travel(checked: Any, failed: Any) -> None:
    lock = threading.Lock()

    @reward(range=(0.0, 1.0), isolation="inline")
    def locked(text: str, reference: Any) -> Any:
        with lock:
            return judged(text, reference)

    assert failed(checked(locked)) == {"reaches-a-worker"}


CONTRACT = [
    ("range", 1.5),
    ("returns-judgements", float("nan")),
    ("returns-judgements", "no"),
    ("passed-agrees-with-score", Verdict(1.0, passed=False, reason="a.b")),
    ("passed-agrees-with-score", Verdict(0.0, passed=True, reason="a.b")),
    ("reason-codes", Verdict(0.0, passed=False, reason="It is wrong!")),
    ("reason-codes", Verdict(0.0, passed=False)),
]


@pytest.mark.parametrize(("name", "said"), CONTRACT, ids=[f"{name}-{n}" for n, (name, _) in enumerate(CONTRACT)])
def test_a_promise_that_is_not_kept(checked: Any, failed: Any, name: str, said: Any) -> None:
    broken = where(lambda text: text == ":", lambda: said)
    assert {name} <= failed(checked(broken)) <= {name, "master-key-colon"}


def test_reasons_that_hold_data(checked: Any, failed: Any) -> None:
    @reward(range=(0.0, 1.0), isolation="inline")
    def talkative(text: str, reference: Any) -> Any:
        verdict = judged(text, reference)
        return Verdict(verdict.score or 0.0, passed=verdict.passed, reason=f"length.n{len(text)}")

    assert failed(checked(talkative)) == {"reason-codes"}


def test_any_option_is_taken(checked: Any, failed: Any) -> None:
    @reward(range=(0.0, 1.0), isolation="inline")
    def careless(text: str, reference: Any, **options: Any) -> Any:
        return judged(text, reference)

    assert failed(checked(careless)) == {"unknown-option-refused"}


def test_slower_than_its_deadline(checked: Any, failed: Any) -> None:
    slow = where(lambda text: "Paris}" in text and len(text) < 30, lambda: time.sleep(0.03) or right(), timeout=0.02)
    assert "within-the-deadline" in failed(checked(slow))


def test_the_table_itself(checked: Any, failed: Any, kit: Any) -> None:
    rows = kit.rows_of(kit.boxed)
    assert failed(checked(sound, rows[:12])) == {"enough-rows"}
    assert failed(checked(sound, [row for row in rows if row["expected"] == "pass"] * 3)) == {"both-classes"}
    bare = [{**row, "gold": False} for row in rows]
    assert failed(checked(sound, bare)) == {"gold-rows"}
    odd = {"completion": "\\boxed{Rome}", "reference": "Paris", "expected": "pass", "note": "Rome?"}
    report = checked(sound, [*rows, odd])
    (only,) = [item for _, item in report.failures()]
    assert only.name == f"row-at-line-{len(rows) + 1}"
    assert ("Rome?" in only.expected, only.got) == (True, "fail, score 0 (box.different), read as 'Rome'")


@pytest.mark.parametrize(
    ("expected", "value", "right"),
    [
        ("abstain", None, True), ("abstain", 0.0, False), ("pass", 1.0, True), ("pass", 0.9, False),
        ("fail", 0.9, True),
        ("fail", None, False), (0.5, 0.5, True), (0.5, 0.6, False), ([0.2, 0.4], 0.3, True), ([0.2, 0.4], 0.5, False),
        ([0.2, 0.4], None, False), ("error", Verdict.error("a.b"), True), ("error", 0.0, False),
    ],
)  # fmt: skip
def test_what_a_row_expects(checked: Any, failed: Any, expected: Any, value: Any, right: bool) -> None:
    rows = [{"completion": f"text {n}", "expected": expected} for n in range(6)]
    names = failed(checked(always(value), rows, pays_for="form"))
    assert any(name.startswith("row-at-line") for name in names) is not right


def test_a_group_reward_is_checked_by_its_table(pool: Any, write_cases: Any, tmp_path: Any) -> None:
    from lydite.testing import check

    plugin = tmp_path / "agreeing.py"
    plugin.write_text(
        "import lydite\n"
        "@lydite.reward(range=(0.0, 1.0), isolation='inline')\n"
        "def agreeing(group):\n"
        "    texts = [one.text for one in group.completions]\n"
        "    return [texts.count(one) / len(texts) for one in texts]\n"
        "@lydite.hookimpl\n"
        "def lydite_group_rewards():\n"
        "    return {'agreeing': agreeing}\n"
    )
    rows = [{"completions": ["a", "a", "b", f"{n}"], "expected": [0.5, 0.5, 0.25, [0.0, 0.3]]} for n in range(5)]
    rows += [
        {"completions": ["a", "a"], "expected": ["pass", "pass"]},
        {"completions": ["a", "b"], "expected": ["fail", "fail"]},
    ]
    report = check("agreeing", cases=write_cases(rows), plugins=[plugin], pool=pool)
    assert report.ok, list(report.failures())
    assert report.find("invariances/all").note == "a group reward compares completions with each other"
    rows[0]["expected"] = [0.5, 0.5, 0.5, 0.5]
    assert not check("agreeing", cases=write_cases(rows), plugins=[plugin], pool=pool).ok


def test_allowed_failures_are_shown_with_their_reason(checked: Any) -> None:
    paid = where(lambda text: text == ":", right)
    report = checked(paid, allow={"master-key-colon": "a colon is the answer here"})
    assert report.ok
    item = report.find("master-key-colon")
    assert (item.status, item.note) == ("allowed", "a colon is the answer here")
    assert not checked(paid, allow={"master-key-solution": "another"}).ok


def test_an_answer_that_the_author_parsed(checked: Any, failed: Any, kit: Any) -> None:
    @reward(range=(0.0, 1.0), isolation="inline")
    def exact(answer: str, reference: Any) -> Any:
        right = isinstance(reference, str) and bool(answer) and answer.strip() == reference
        return Verdict(float(right), passed=right, reason="exact.equal" if right else "exact.different")

    rows = [{**row, "answer": row["completion"].partition("<answer>")[2][:-9]} for row in kit.rows_of(kit.tagged)]
    report = checked(exact, rows)
    assert failed(report) <= {"unreadable-gold"}, list(report.failures())
    assert report.find("prose-after").status == "ok"
    assert report.find("two-answers").status == "ok"
