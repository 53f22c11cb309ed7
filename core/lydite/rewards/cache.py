"""Verdicts that need not be asked for twice."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from hashlib import blake2b
from typing import Any

from lydite.types import Completion, Status, Verdict


class VerdictCache:
    """The most recently used verdicts by key. Only OK verdicts are kept: a failure may not happen again."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._kept: OrderedDict[str, tuple[Verdict, ...]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: str) -> tuple[Verdict, ...] | None:
        """The verdicts kept under the key, or None."""
        if key not in self._kept:
            return None
        self._kept.move_to_end(key)
        return self._kept[key]

    def put(self, key: str, verdicts: tuple[Verdict, ...]) -> None:
        """Keeps the verdicts of one call, if all of them are OK."""
        if self._size < 1 or any(one.status is not Status.OK for one in verdicts):
            return
        self._kept[key] = verdicts
        self._kept.move_to_end(key)
        while len(self._kept) > self._size:
            self._kept.popitem(last=False)


def key_of(*identity: Any, arguments: Mapping[str, Any]) -> str | None:
    """A digest of who is asked and what about, or None when something in it has no reliable text.

    A completion's place in its group is left out, so that equal completions have equal keys.
    """
    try:
        text = json.dumps([identity, dict(arguments)], sort_keys=True, default=_plain)
    except (TypeError, ValueError):
        return None
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        left_out = {"index"} if isinstance(value, Completion) else set()
        named = {one.name: getattr(value, one.name) for one in fields(value) if one.name not in left_out}
        return {type(value).__name__: named}
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} has no reliable text")  # a repr may hold an address
