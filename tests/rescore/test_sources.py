"""What saved completions may look like, and what is said of files that hold none."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lydite.errors import ConfigError, DataError
from lydite.rescore import open_saved, read_golds
from lydite.types import FormatError, Parsed

Write = Callable[..., Path]


def groups_of(path: Path, **settings: Any) -> list[list[tuple[int, str]]]:
    return [[(number, one.text) for number, one in rows] for rows in open_saved(path, **settings).groups()]


def ours(text: str, **more: Any) -> dict[str, Any]:
    record = {
        "step": 1, "sample": "a", "index": 0, "prompt": "<user>p", "asked": [{"role": "user", "content": "p"}],
        "reference": "4", "columns": {"topic": "tea"}, "completion": text, "tokens": 3, "finish_reason": "length",
        "answer": "4", "reasoning": "so", "format_error": None, "reward": 1.0, "advantage": 0.5,
        "rewards": {"right": {"value": 1.0}, "odd": {"value": None}},
    }  # fmt: skip
    return {**record, **more}


def test_a_record_of_a_run(write: Write) -> None:
    broken = ours("b", answer=None, format_error="tags.missing", reward=None)
    ((_, one), (_, other)) = next(iter(open_saved(write([ours("a"), broken])).groups()))
    assert (one.text, one.sample.prompt, one.prompt_text) == ("a", ({"role": "user", "content": "p"},), "<user>p")
    assert (one.sample.id, one.sample.reference, one.sample.columns) == ("a", "4", {"topic": "tea"})
    assert (one.parsed, one.tokens, one.finish_reason) == (Parsed("4", "so"), 3, "length")
    assert (one.step, one.reward, one.advantage, one.values) == (1, 1.0, 0.5, {"right": 1.0, "odd": None})
    assert (other.parsed, other.reward) == (FormatError("tags.missing"), None)


def test_a_run_folder_and_groups_by_step_and_sample(write: Write, tmp_path: Path) -> None:
    rows = [ours("a"), ours("b"), ours("c", sample="b"), ours("d", sample="b", step=2), ours("e", step=2)]
    write(rows, "completions.jsonl")
    assert groups_of(tmp_path) == [[(0, "a"), (1, "b")], [(2, "c")], [(3, "d")], [(4, "e")]]


def test_plain_rows_and_their_groups(write: Write, row: Callable[..., Any]) -> None:
    assert groups_of(write([row("a"), row("b"), row("c", "q")])) == [[(0, "a"), (1, "b")], [(2, "c")]]
    assert groups_of(write([row("a", id=1), row("b", id=2)])) == [[(0, "a")], [(1, "b")]]
    assert groups_of(write([row("a", group="x", id=1), row("b", "q", group="x", id=2)])) == [[(0, "a"), (1, "b")]]
    assert groups_of(write([row("a", step=1), row("b", step=2)])) == [[(0, "a")], [(1, "b")]]
    assert groups_of(write([row("a"), row("b"), row("c")]), group_size=2) == [[(0, "a"), (1, "b")], [(2, "c")]]


def test_rows_that_stand_apart_are_brought_together(write: Write, row: Callable[..., Any]) -> None:
    path = write([row("a", "p"), "", row("b", "q"), row("ü", "p"), row("d", "q"), row("e", "r")])
    saved = open_saved(path)
    assert saved.regrouped == 2
    groups = [[(number, one.text, one.where) for number, one in rows] for rows in saved.groups()]
    assert groups == [
        [(0, "a", f"{path}:1"), (2, "ü", f"{path}:4")],
        [(1, "b", f"{path}:3"), (3, "d", f"{path}:5")],
        [(4, "e", f"{path}:6")],
    ]


def test_columns_gold_and_messages_of_a_plain_row(write: Write, row: Callable[..., Any]) -> None:
    content = row(
        [{"role": "assistant", "content": "4"}], [{"role": "user", "content": "2 + 2?"}],
        answer="4", topic="sums", columns={"level": 2}, tokens=7, reward=1,
    )  # fmt: skip
    ((_, one),) = next(iter(open_saved(write([content]), reference="answer").groups()))
    assert (one.text, one.sample.reference, one.has_reference, one.tokens, one.reward) == ("4", "4", True, 7, 1.0)
    assert one.sample.columns == {"topic": "sums", "level": 2}
    ((_, other),) = next(iter(open_saved(write([content])).groups()))
    assert (other.has_reference, other.sample.columns["answer"]) == (False, "4")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "expected a JSON object such as"),
        ({"prompt": "p"}, "'completion' is missing"),
        ({"prompt": "p", "completions": "x"}, "'completion' is missing (is 'completions' meant to be it?)"),
        ({"prompt": "p", "completion": 3}, "'completion' is text or a list of {role, content}, got 3"),
        ({"prompt": 3, "completion": "x"}, "'prompt' is text or a list of {role, content}, got 3"),
        ({"prompt": "p", "completion": "x", "reward": "high"}, "'reward' is a number, got 'high'"),
        ({"prompt": "p", "completion": "x", "tokens": -1}, "'tokens' is a whole number from 0, got -1"),
        ({"prompt": "p", "completion": "x", "step": 1.5}, "'step' is a whole number from 0"),
        ({"prompt": "p", "completion": "x", "finish_reason": "eos"}, '\'finish_reason\' is "stop" or "length"'),
    ],
)
def test_a_broken_line_is_named_before_anything_is_scored(
    line: Any, said: str, write: Write, row: Callable[..., Any]
) -> None:
    path = write([row("a"), row("b"), line])
    with pytest.raises(DataError) as raised:
        open_saved(path)
    assert str(raised.value).startswith(f"{path}:3: ")
    assert said in str(raised.value)


def test_a_broken_record_of_a_run(write: Write) -> None:
    lacking = {key: value for key, value in ours("b").items() if key not in ("advantage", "reward")}
    with pytest.raises(DataError, match=r":2: .*completions.jsonl; it lacks advantage, reward"):
        open_saved(write([ours("a"), lacking]))
    with pytest.raises(DataError, match=r":2: 'answer' is the parsed answer as text"):
        open_saved(write([ours("a"), ours("b", answer=4)]))


def test_places_that_hold_no_completions(tmp_path: Path, write: Write) -> None:
    with pytest.raises(ConfigError, match="there is no such file or folder"):
        open_saved(tmp_path / "none.jsonl")
    with pytest.raises(ConfigError, match=r"holds no saved completions: expected completions.jsonl"):
        open_saved(tmp_path)
    with pytest.raises(DataError, match="is empty: it has no completions"):
        open_saved(write([]))


class TestParquet:
    """Tables with the columns that TRL writes."""

    @pytest.fixture
    def table(self, tmp_path: Path) -> Callable[..., Path]:
        pyarrow = pytest.importorskip("pyarrow")
        parquet = pytest.importorskip("pyarrow.parquet")

        def table(name: str = "completions_00001.parquet", **columns: list[Any]) -> Path:
            path: Path = tmp_path / name
            parquet.write_table(pyarrow.table(columns), path)
            return path

        return table

    def test_rows(self, table: Callable[..., Path]) -> None:
        path = table(
            step=[3, 3], prompt=["p", "p"], completion=["a", "b"], brief=[1.0, 0.5], solution=["a", "a"],
            advantage=[0.7, float("nan")],
        )  # fmt: skip
        ((_, one), (_, other)) = next(iter(open_saved(path, reference="solution").groups()))
        assert (one.text, one.step, one.advantage, one.sample.reference) == ("a", 3, 0.7, "a")
        assert one.sample.columns == {"brief": 1.0, "solution": "a"}
        assert (other.advantage, other.where) == (None, f"{path}, row 1")

    def test_conversations_and_a_folder_in_the_order_of_steps(self, table: Callable[..., Path], tmp_path: Path) -> None:
        for step in (10, 2):
            message = [{"role": "assistant", "content": f"at {step}"}]
            table(
                f"completions_{step:05d}.parquet", step=[step] * 2, prompt=[[{"role": "user", "content": "p"}]] * 2,
                completion=[message] * 2,
            )  # fmt: skip
        assert groups_of(tmp_path) == [[(0, "at 2"), (1, "at 2")], [(2, "at 10"), (3, "at 10")]]

    def test_tables_that_are_none(self, table: Callable[..., Path], tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"expected the columns prompt and completion.*it has prompts"):
            open_saved(table(prompts=["p"]))
        (tmp_path / "x.parquet").write_text("no table")
        with pytest.raises(DataError, match="expected a parquet file"):
            open_saved(tmp_path / "x.parquet")


class TestGolds:
    def test_by_id_by_prompt_and_columns(self, write: Write, row: Callable[..., Any]) -> None:
        golds = read_golds(
            write(
                [
                    {"id": 7, "answer": "4", "topic": "sums"},
                    {"prompt": [{"role": "user", "content": " q "}], "answer": 0, "columns": {"level": 1}},
                ],
                "golds.jsonl",
            ),
            "answer",
        )
        system = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "q"}]
        rows = [row("a", id=7), row("b", system)]
        (((_, one),), ((_, other),)) = open_saved(write(rows), reference="answer").groups()
        one, other = golds.completed(one), golds.completed(other)
        assert (one.sample.reference, one.has_reference, one.sample.columns["topic"]) == ("4", True, "sums")
        assert (other.sample.reference, other.sample.columns["level"]) == (0, 1)

    def test_a_row_that_nothing_is_known_of(self, write: Write, row: Callable[..., Any]) -> None:
        golds = read_golds(write([{"prompt": "q", "reference": "4"}], "golds.jsonl"))
        ((_, one),) = next(iter(open_saved(write([row("a")])).groups()))
        with pytest.raises(DataError, match=r"saved.jsonl:1: no row of .*golds.jsonl has the id 'p' or the prompt 'p'"):
            golds.completed(one)

    @pytest.mark.parametrize(
        ("rows", "said"),
        [
            ([{"prompt": "q", "reference": 1}, {"prompt": "q", "reference": 2}], ":2: another row has the same prompt"),
            ([{"reference": 1}], ":1: expected a prompt or an id"),
            ([], "is empty"),
        ],
    )
    def test_rows_that_cannot_be(self, rows: Any, said: str, write: Write) -> None:
        with pytest.raises(DataError, match=said):
            read_golds(write(rows, "golds.jsonl"))


def test_json_of_a_model_is_read_back_whole(write: Write) -> None:
    text = 'line\nbreaks \u2028 and "quotes" \U0001f600'
    assert groups_of(write([json.dumps({"prompt": "p", "completion": text})])) == [[(0, text)]]
