"""Reading labelled rows: what they may hold, and what is said of those that are none."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lydite.audit import read_labelled
from lydite.errors import DataError

GOOD = {"gold": "1", "pred": "1", "expected": True}


@pytest.mark.parametrize(
    ("given", "expected"),
    [(True, True), (False, False), (1, True), (0, False), ("pass", True), ("fail", False), ("Fail ", False)],
)
def test_labels_in_every_spelling(given: Any, expected: bool, write: Callable[..., Path]) -> None:
    (row,) = read_labelled(write([{**GOOD, "expected": given}]))
    assert row.expected is expected


def test_all_that_a_row_may_hold(write: Callable[..., Path]) -> None:
    whole = {
        "gold": {"a": [1]},
        "pred": "x",
        "expected": 0,
        "tags": ["units", "long", "units"],
        "prompt": [{"role": "user", "content": "why?"}],
        "columns": {"town": "Bath"},
        "options": {"fold": True},
        "form": "answer",
        "note": "more keys do no harm",
    }
    (row,) = read_labelled(write(["", whole]))
    assert (row.line, row.pred, row.expected, row.form) == (2, "x", False, "answer")
    assert row.categories == ("units", "long")
    assert (row.sample.reference, row.sample.columns) == ({"a": [1]}, {"town": "Bath"})
    assert row.sample.prompt == ({"role": "user", "content": "why?"},)
    assert row.options == {"fold": True}
    assert row.without_options().options == {}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"gold": "1"', "expected a JSON object such as"),
        ("[1, 2]", "expected a JSON object such as"),
        ('{"gold": "1", "expected": true}', "'pred' is missing; expected a row such as"),
        ('{"gold": "1", "predd": "1", "expected": true}', "'pred' is missing (is 'predd' meant to be it?)"),
        ('{"gold": "1", "pred": "1"}', "'expected' is missing"),
        ('{"gold": "1", "pred": 1, "expected": true}', "'pred' is what was answered, as text; got 1"),
        ('{"gold": "1", "pred": "1", "expected": 2}', '(or 1, 0, "pass", "fail"), got 2'),
        ('{"gold": "1", "pred": "1", "expected": null}', "'expected' is true or false"),
        ('{"gold": "1", "pred": "1", "expected": 1, "form": "html"}', "'form' is \"answer\" or \"text\", got 'html'"),
        ('{"gold": "1", "pred": "1", "expected": 1, "category": 3}', "'category' is a text"),
        ('{"gold": "1", "pred": "1", "expected": 1, "columns": [1]}', "'columns' is an object"),
        ('{"gold": "1", "pred": "1", "expected": 1, "prompt": 3}', "'prompt' is text or a list of {role, content}"),
    ],
)  # fmt: skip
def test_a_broken_line_is_named_with_what_was_expected(line: str, said: str, write: Callable[..., Path]) -> None:
    path = write([GOOD, GOOD, line])
    with pytest.raises(DataError) as raised:
        read_labelled(path)
    assert str(raised.value).startswith(f"{path}:3: ")
    assert said in str(raised.value)


def test_files_that_are_none(tmp_path: Path, write: Callable[..., Path]) -> None:
    with pytest.raises(DataError, match="No such file"):
        read_labelled(tmp_path / "none.jsonl")
    with pytest.raises(DataError, match="is empty: it has no labelled rows"):
        read_labelled(write(["", ""]))
    path = write([GOOD])
    path.write_bytes(path.read_bytes() + b'{"pred": "\xff"}\n')
    with pytest.raises(DataError, match=r":2: not a text in UTF-8"):
        read_labelled(path)
