"""Reading a `.wandb` file: protocol buffers in the framing of LevelDB's log, after a header of seven bytes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wandb.proto import wandb_internal_pb2

_HEADER, _BLOCK, _FRAME = 7, 32768, 7
_FULL, _LAST = 1, 4


def records(path: Path) -> Iterator[Any]:
    """The file's records in order."""
    content, place, parts = path.read_bytes(), _HEADER, b""
    assert content[:4] == b":W&B"
    while place + _FRAME <= len(content):
        if _BLOCK - place % _BLOCK < _FRAME:  # no frame begins in the last bytes of a block
            place += _BLOCK - place % _BLOCK
            continue
        length, kind = int.from_bytes(content[place + 4 : place + 6], "little"), content[place + 6]
        parts += content[place + _FRAME : place + _FRAME + length]
        place += _FRAME + length
        if kind in (_FULL, _LAST):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(parts)
            yield record
            parts = b""


def history(path: Path) -> list[dict[str, Any]]:
    """What was logged, a table for each call."""
    return [_items(one.history.item) for one in records(path) if one.WhichOneof("record_type") == "history"]


def config(path: Path) -> dict[str, Any]:
    """The configuration that the run began with."""
    return next(_items(one.run.config.update) for one in records(path) if one.WhichOneof("record_type") == "run")


def summary(path: Path) -> dict[str, Any]:
    """The summary, as it was last."""
    found: dict[str, Any] = {}
    for one in records(path):
        if one.WhichOneof("record_type") == "summary":
            found |= _items(one.summary.update)
    return found


def _items(items: Any) -> dict[str, Any]:
    return {one.key or ".".join(one.nested_key): json.loads(one.value_json) for one in items}
