"""The completions that a report carries: all of them where they fit, else groups spread evenly over the run."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from lydite.report.reader import Record, read_lines
from lydite.report.tallies import Tallies
from lydite.report.wording import in_words, question_of, shorten_front

PAGE_BUDGET: Final = 7_500_000
"""Bytes of completions in one page: with plotly's 5 MB the page stays well under 15 MB."""
TEXT_LIMIT: Final = 20_000
"""Characters of one text; a longer one loses its middle."""
_QUESTION_WIDTH: Final = 160  # as much as one line of the widest page shows


@dataclass(frozen=True, slots=True)
class Gallery:
    """Completions as JSON text, ready to be put into a page."""

    groups: tuple[str, ...]
    """One JSON object each: a prompt and its completions."""
    shown: int
    """Completions in `groups`."""
    total: int
    """Completions of the run."""
    every: int
    """1 where all are here; n where every n-th group is."""
    cut: int
    """Texts that lost their middle."""

    def to_json(self) -> str:
        """The gallery as one JSON object."""
        head = json.dumps({"shown": self.shown, "total": self.total, "every": self.every, "cut": self.cut})
        return f'{head[:-1]}, "groups": [{",".join(self.groups)}]}}'


@dataclass(frozen=True, slots=True)
class _Packed:
    text: str
    size: int
    """In bytes."""
    completions: int
    cut: int


class CompletionsDigest:
    """One pass over a growing `completions.jsonl`: counts everything, keeps what fits into `budget` bytes.

    The completions of one prompt stay together. When the budget is full, every second group is dropped and
    from then on only every second one is taken: what is kept is always spread evenly over the run, its first
    and its latest group included, without knowing how long the run will be.
    """

    def __init__(self, path: Path, budget: int = PAGE_BUDGET) -> None:
        self._path = path
        self._budget = budget
        self._clear()

    def _clear(self) -> None:
        self.tallies = Tallies()
        self.damaged = 0
        self._offset = 0
        self._every = 1
        self._seen = 0
        self._kept: list[_Packed] = []
        self._bytes = 0
        self._open: list[Record] = []

    def update(self) -> bool:
        """Reads what was added since the last call; True when there was something, or the file was cut back."""
        size = self._path.stat().st_size if self._path.is_file() else 0
        cut_back = size < self._offset
        if cut_back:  # a resumed run went back to its checkpoint
            self._clear()
        start = self._offset
        for line in read_lines(self._path, self._offset):
            self._offset = line.end
            if line.record is None:
                self.damaged += 1
            else:
                self._add(line.record)
        return cut_back or self._offset > start

    def gallery(self) -> Gallery:
        """What is kept so far."""
        # The newest group is shown whether or not its turn has come: it is what a live reader looks for.
        groups = [*self._kept, *([_pack(self._open)] if self._open else [])]
        return Gallery(
            groups=tuple(group.text for group in groups),
            shown=sum(group.completions for group in groups),
            total=self.tallies.completions,
            every=self._every,
            cut=sum(group.cut for group in groups),
        )

    def _add(self, record: Record) -> None:
        self.tallies.add(record)
        if self._open and _group_key(self._open[0]) != _group_key(record):
            self._close_group()
        self._open.append(record)

    def _close_group(self) -> None:
        if self._seen % self._every == 0:
            self._kept.append(_pack(self._open))
            self._bytes += self._kept[-1].size
        self._open = []
        self._seen += 1
        while self._bytes > self._budget and len(self._kept) > 1:
            self._kept = self._kept[::2]
            self._every *= 2
            self._bytes = sum(group.size for group in self._kept)


def _group_key(record: Record) -> tuple[Any, Any]:
    return record.get("step"), record.get("sample")


def _pack(records: list[Record]) -> _Packed:
    """A prompt's completions as JSON; positions instead of keys where there are thousands of them."""
    first, texts = records[0], _Texts()
    prompt = in_words(first.get("prompt"))
    group = {
        "step": first.get("step"),
        "sample": in_words(first.get("sample")),
        "question": shorten_front(question_of(prompt), _QUESTION_WIDTH),
        "prompt": texts.limited(prompt),
        "reference": texts.limited(first.get("reference")),
        "items": [_item(record, texts) for record in records],
    }
    text = to_page_json(group)
    return _Packed(text, len(text.encode("utf-8", "replace")), len(records), texts.cut)


def _item(record: Record, texts: _Texts) -> list[Any]:
    rewards = record.get("rewards")
    verdicts = rewards if isinstance(rewards, Mapping) else {}
    return [
        record.get("index"),
        texts.limited(_said(record)),
        record.get("tokens"),
        record.get("finish_reason"),
        None if record.get("answer") is None else texts.limited(record.get("answer")),
        record.get("format_error"),
        _short(record.get("reward")),
        _short(record.get("advantage")),
        {name: _verdict(verdict, texts) for name, verdict in verdicts.items() if isinstance(verdict, Mapping)},
    ]


def _said(record: Record) -> Any:
    """The completion; of one that spoke with an environment, all that was said after the prompt, by whom."""
    turns = record.get("turns")
    if not isinstance(turns, list) or not turns:
        return record.get("completion")
    spoken = [turn for turn in turns if isinstance(turn, Mapping)]
    return "\n\n".join(f"[{in_words(turn.get('role'))}]\n{in_words(turn.get('content'))}" for turn in spoken)


def _verdict(verdict: Mapping[str, Any], texts: _Texts) -> list[Any]:
    parts = verdict.get("parts") or {}
    evidence = verdict.get("evidence") or ()
    values = [
        verdict.get("status", "ok"),
        _short(verdict.get("score")),
        _short(verdict.get("value")),
        _short(verdict.get("weight")),
        verdict.get("passed"),
        verdict.get("reason") or "",
        texts.limited(verdict.get("parsed")) if verdict.get("parsed") is not None else None,
        [_evidence(one, texts) for one in evidence] or None,
        {name: _verdict(part, texts) for name, part in parts.items()} or None,
    ]
    while values[-1] is None:
        values.pop()
    return values


def _evidence(evidence: Any, texts: _Texts) -> str:
    if not isinstance(evidence, Mapping):
        return texts.limited(evidence)
    note = evidence.get("note")
    return texts.limited(evidence.get("text")) + (f" ({note})" if note else "")


class _Texts:
    """Shortens texts, and counts those that were."""

    def __init__(self) -> None:
        self.cut = 0

    def limited(self, value: Any) -> str:
        text = in_words(value)
        if len(text) <= TEXT_LIMIT:
            return text
        self.cut += 1
        head, tail = TEXT_LIMIT * 3 // 4, TEXT_LIMIT // 4
        left_out = f"[… {len(text) - head - tail:,} characters are left out of this report …]"
        return f"{text[:head]}\n\n{left_out}\n\n{text[-tail:]}"


def _short(value: Any) -> Any:
    """A number with six digits that matter: more are never shown, and would be most of the page."""
    return float(f"{value:.6g}") if isinstance(value, float) and math.isfinite(value) else value


def to_page_json(value: Any) -> str:
    """JSON that any browser reads: what is not a finite number becomes null."""
    return json.dumps(_finite(value), ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return value
