"""JSON against a schema: what fits, what is refused, and what would hang or fetch."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lydite import Status
from lydite.errors import ConfigError
from lydite.options import check_options
from lydite_text import json_schema
from lydite_text.json_schema import depth_of, same_json, strict_json

PERSON = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(values)
def test_every_json_value_reads_back_and_is_itself(value: Any) -> None:
    assert same_json(strict_json(json.dumps(value)), value)
    assert json_schema(json.dumps(value), json.dumps(value), schema={}, match="both").passed


@given(values, values)
def test_sameness_goes_both_ways(one: Any, other: Any) -> None:
    assert same_json(one, other) == same_json(other, one)


def test_true_is_not_one_and_one_is_one_point_nought() -> None:
    assert not same_json(True, 1)
    assert not same_json([False], [0])
    assert same_json({"a": 1}, {"a": 1.0})


@given(st.integers(0, 50))
def test_depth_counts_brackets_outside_of_strings(n: int) -> None:
    assert depth_of("[" * n + '"[[["' + "]" * n) == n


def test_a_problem_is_named_with_its_place() -> None:
    verdict = json_schema('{"age": "old"}', None, PERSON)
    assert verdict.reason == "schema.broken"
    assert verdict.evidence[0].text.startswith("at $.age:")


def test_the_last_fenced_block_behind_the_reasoning_is_read() -> None:
    text = '<think>```json\n{"age": "x"}\n```</think>First:\n```json\n{}\n```\nBetter:\n```json\n{"age": 3}\n```\nDone.'
    assert json_schema(text, None, PERSON).passed
    assert not json_schema('```json\n{"age": 3}\n```\n```json\n{}\n```', None, PERSON).passed


def test_a_slow_pattern_of_the_schema_ends_and_is_refused() -> None:
    schema = {"type": "string", "pattern": "^(\\w+\\s?)*$"}
    began = time.perf_counter()
    verdict = json_schema(json.dumps("a" * 40 + "!"), None, schema)
    assert time.perf_counter() - began < 5
    assert not verdict.passed
    assert verdict.reason in ("pattern.slow", "schema.broken")


@pytest.mark.parametrize("schema", [{"$ref": "http://127.0.0.1:9/s.json"}, {"properties": {"age": {"$ref": "x.json"}}}])
def test_nothing_is_fetched(schema: dict[str, Any]) -> None:
    verdict = json_schema('{"age": 1}', None, schema)
    assert (verdict.status, verdict.scope, verdict.reason) == (Status.ERROR, "prompt", "schema.reference")


def test_references_inside_the_schema_are_followed() -> None:
    schema = {"$defs": {"age": {"type": "integer"}}, "properties": {"age": {"$ref": "#/$defs/age"}}}
    assert json_schema('{"age": 1}', None, schema).passed
    assert not json_schema('{"age": "1"}', None, schema).passed


def test_a_bad_schema_of_a_sample_is_the_prompts_error() -> None:
    verdict = json_schema("{}", None, {"type": "objekt"})
    assert (verdict.reason, verdict.scope) == ("schema.invalid", "prompt")


def test_a_bad_schema_of_the_configuration_is_found_when_it_is_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\$\.type.*did you mean 'object'"):
        check_options("reward 'r'", json_schema, {"schema": {"type": "objekt"}})
    with pytest.raises(ConfigError, match="No such file"):
        check_options("reward 'r'", json_schema, {"schema_file": str(tmp_path / "none.json")})
    (tmp_path / "s.json").write_text("{")
    with pytest.raises(ConfigError, match="is not JSON"):
        check_options("reward 'r'", json_schema, {"schema_file": str(tmp_path / "s.json")})
    (tmp_path / "s.json").write_text(json.dumps(PERSON))
    assert json_schema('{"age": 3}', None, schema_file=str(tmp_path / "s.json")).passed


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "{" * 5_000 + "}" * 5_000, '"' + "\\" * 9_999, "1" * 300_000, "\ud800", "9" * 5_000]
)
def test_hostile_text_is_refused(text: str) -> None:
    verdict = json_schema(text, None, {"type": "object"})
    assert verdict.score == 0.0
