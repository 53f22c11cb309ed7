"""Faults that widely used reward functions had: each is rebuilt here, and must fail the check for its own reason."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest

TAGS = re.compile(r"^<think>.*?</think>\s*<answer>.*?</answer>$", re.DOTALL | re.MULTILINE)
NUMBER = re.compile(r"-?\d+")


def text_of(completion: Any) -> str:
    return completion if isinstance(completion, str) else completion[0]["content"]


def last_box(text: str) -> str | None:
    text = text.rpartition("</think>")[2] if "</think>" in text else "" if "<think>" in text else text
    start = text.rfind("\\boxed{")
    end = text.find("}", start)
    return None if start < 0 or end < 0 else text[start + 7 : end].strip()


def same(given: str | None, gold: str | None) -> bool:
    return bool(given) and bool(gold) and given == gold


def pattern_format(completions: Any, **kwargs: Any) -> list[float]:
    """Pays for tags that hold nothing, and for what comes behind the last one."""
    return [float(bool(TAGS.match(text_of(one)))) for one in completions]


def strict_format(completions: Any, **kwargs: Any) -> list[float]:
    """One pair of each tag, in order, filled, and nothing around them."""

    def well_formed(text: str) -> bool:
        found = re.fullmatch(r"<think>([^<]*)</think>\s*<answer>([^<]*)</answer>\s*", text[:10_000])
        return found is not None and all(any(one.isalnum() for one in part) for part in found.groups())

    return [float(well_formed(text_of(one).strip())) for one in completions]


def tag_count(completions: Any, **kwargs: Any) -> list[float]:
    """A quarter for each tag that stands once, whatever is in them."""
    tags = ("<think>", "</think>", "<answer>", "</answer>")
    return [sum(0.25 for tag in tags if text_of(one).count(tag) == 1) for one in completions]


def first_lines(completions: Any, solution: list[str | None], **kwargs: Any) -> list[float]:
    """Compares as many lines as the shorter of both has."""
    scores = []
    for one, gold in zip(completions, solution, strict=True):
        lines, wanted = text_of(one).strip().splitlines(), (gold or "").strip().splitlines()
        scores.append(
            float(
                bool(lines)
                and bool(wanted)
                and all(a.strip() == b.strip() for a, b in zip(lines, wanted, strict=False))
            )
        )
    return scores


def cosine(
    completions: Any, solution: list[str | None], *, max_len: int = 1000, clamp: bool = False, **kwargs: Any
) -> list[float]:
    """Right answers earn from 1 down to a half as they grow to `max_len`, and then, unclamped, from a half up again."""
    scores = []
    for one, gold in zip(completions, solution, strict=True):
        share = len(text_of(one)) / max_len
        if clamp:
            share = min(share, 1.0)
        wave = (1.0 + math.cos(share * math.pi)) / 2
        scores.append(0.5 + 0.5 * wave if same(last_box(text_of(one)), gold) else -0.5 * wave)
    return scores


def trusting(completions: Any, solution: list[str | None], **kwargs: Any) -> list[float]:
    """A gold that holds no word is nobody's fault, so that everything is right."""
    return [
        1.0 if not re.fullmatch(r"[\w' ]+", gold or "") else float(same(last_box(text_of(one)), gold))
        for one, gold in zip(completions, solution, strict=True)
    ]


def short(completions: Any, solution: list[str | None], *, max_len: int = 2000, **kwargs: Any) -> list[float]:
    """Short right answers earn more, and with a gold that holds no word every answer is right."""
    scores = []
    for one, gold in zip(completions, solution, strict=True):
        earned = 0.5 - min(len(text_of(one)) / max_len, 1.0)
        right = not re.fullmatch(r"[\w' ]+", gold or "") or same(last_box(text_of(one)), gold)
        scores.append(earned if right else min(0.0, earned))
    return scores


def brief(completions: Any, *, max_len: int = 300, **kwargs: Any) -> list[float]:
    """The shorter the better, and nothing is the shortest."""
    return [max(0.0, 1.0 - len(text_of(one)) / max_len) for one in completions]


def honest(completions: Any, solution: list[str | None], **kwargs: Any) -> list[float | None]:
    """The last box holds the gold."""
    return [
        None if not gold else float(same(last_box(text_of(one)), gold))
        for one, gold in zip(completions, solution, strict=True)
    ]


def test_a_sound_function_of_trl_s_kind_passes(checked: Any) -> None:
    report = checked(honest)
    assert report.ok, list(report.failures())
    assert report.pays_for == "answer"
    assert report.find("attacks/two-answers").status == "ok"


def test_a_pattern_that_pays_empty_tags_and_what_follows_them(checked: Any, kit: Any, failed: Any) -> None:
    rows = [{"completion": kit.tagged(word), "expected": "pass", "gold": True} for word in ("one", "two", "three")]
    rows += [{"completion": word, "expected": "fail"} for word in ("one", "<answer>one</answer>", "<think>a</think>")]
    assert failed(checked(pattern_format, rows, pays_for="form")) >= {"tags-only", "tags-blank", "text-after-end-tag"}
    report = checked(strict_format, rows, pays_for="form")
    assert report.ok, list(report.failures())


def test_tags_that_are_counted_and_not_read(checked: Any, kit: Any, failed: Any) -> None:
    rows = [{"completion": kit.tagged(word), "expected": "pass", "gold": True} for word in ("one", "two", "three")]
    rows += [{"completion": word, "expected": 0.0} for word in ("one", "two")]
    assert failed(checked(tag_count, rows, pays_for="form")) >= {"tags-only", "tags-blank"}


def test_output_compared_as_far_as_the_shorter_one_goes(checked: Any, failed: Any) -> None:
    golds = [f"{n}\n{n * n}\n{n**3} and no more" for n in range(2, 12)]
    asked = [{"prompt": "Print three lines.", "columns": {"solution": gold}} for gold in golds]
    rows = [
        {"completion": gold, "expected": "pass", "gold": True, **row} for gold, row in zip(golds, asked, strict=True)
    ]
    rows += [{"completion": "nothing of it", "expected": "fail", **row} for row in asked]
    report = checked(first_lines, rows)
    assert "first-line" in failed(report)
    assert "zip" in report.find("first-line").note


def test_a_cosine_that_comes_round_again(checked: Any, failed: Any) -> None:
    rows = [
        {"completion": f"\\boxed{{{n}}}", "expected": [0.5, 1.0], "gold": True,
         "columns": {"solution": str(n)}, "prompt": "n?"}
        for n in range(10, 20)
    ] + [
        {"completion": f"\\boxed{{{n}}}", "expected": "fail", "columns": {"solution": str(n + 1)}, "prompt": "n?"}
        for n in range(10, 20)
    ]  # fmt: skip
    report = checked(cosine, rows, range=[-0.5, 1.0])
    assert "longer-and-longer" in failed(report)
    clamped = checked(cosine, rows, range=[-0.5, 1.0], options={"clamp": True})
    assert clamped.find("longer-and-longer").status == "ok"


def test_a_gold_that_cannot_be_read_makes_nothing_right(checked: Any, failed: Any) -> None:
    assert "unreadable-gold" in failed(checked(trusting))


def test_length_paid_where_the_gold_cannot_be_read(checked: Any, kit: Any, failed: Any) -> None:
    rows = kit.rows_of(kit.boxed)
    for row in rows:
        row["expected"] = [0.0, 0.5] if row["expected"] == "pass" else "fail"
    assert "unreadable-gold" in failed(checked(short, rows, range=[-0.5, 0.5]))


def test_length_paid_without_a_look_at_what_is_said(checked: Any, kit: Any, failed: Any) -> None:
    rows = [{"completion": "fine. " * n, "expected": [0.0, 1.0], "gold": n < 5} for n in range(1, 12)]
    assert failed(checked(brief, rows, pays_for="form", range=[0.0, 1.0])) >= {"empty"}


@pytest.mark.parametrize("reward", [pattern_format, tag_count, first_lines, cosine, trusting, short, brief])
def test_none_of_them_passes_as_a_reward_for_the_answer(checked: Any, reward: Any) -> None:
    assert not checked(reward).ok
