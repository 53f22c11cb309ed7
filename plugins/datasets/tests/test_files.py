"""Tables in files: their rows as samples, and an error that names file, row and what was expected."""

from __future__ import annotations

import csv
import datetime
import io
import json
import operator
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lydite import DataError, Sample
from lydite_datasets import csv_file, jsonl_file, parquet_file

ROWS = [
    {"question": "2+2?", "gold": "4", "level": "easy"},
    {"question": "3*3?", "gold": "9", "level": "hard"},
]
MAPPED = {"prompt": "question", "reference": "gold"}
SAMPLES = [
    Sample("0", "2+2?", "4", {"level": "easy"}),
    Sample("1", "3*3?", "9", {"level": "hard"}),
]


def jsonl(folder: Path, *rows: Mapping[str, Any], name: str = "data.jsonl") -> str:
    file = folder / name
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(file)


def as_csv(folder: Path, text: str) -> str:
    file = folder / "data.csv"
    file.write_text(text, encoding="utf-8", newline="")
    return str(file)


def parquet(folder: Path, rows: list[dict[str, Any]], name: str = "data.parquet") -> str:
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), folder / name)
    return str(folder / name)


def test_the_three_kinds_of_file_give_the_same_samples(tmp_path: Path) -> None:
    text = "question,gold,level\n2+2?,4,easy\n3*3?,9,hard\n"
    assert list(jsonl_file(path=jsonl(tmp_path, *ROWS), **MAPPED)) == SAMPLES
    assert list(csv_file(path=as_csv(tmp_path, text), **MAPPED)) == SAMPLES
    assert list(parquet_file(path=parquet(tmp_path, ROWS), **MAPPED)) == SAMPLES


def test_a_file_is_read_anew_each_time_and_says_about_how_long_it_is(tmp_path: Path) -> None:
    table = jsonl_file(path=jsonl(tmp_path, *ROWS), **MAPPED)
    assert list(table) == list(table)
    assert operator.length_hint(table) >= 2
    assert operator.length_hint(parquet_file(path=parquet(tmp_path, ROWS), **MAPPED)) == 2
    assert operator.length_hint(csv_file(path=as_csv(tmp_path, "prompt\nx\n"))) >= 1


def test_columns_of_the_usual_names_need_no_mapping(tmp_path: Path) -> None:
    path = jsonl(tmp_path, {"id": 7, "prompt": "x", "reference": [1, 2], "more": None})
    assert list(jsonl_file(path=path)) == [Sample("7", "x", [1, 2], {"more": None})]
    assert list(jsonl_file(path=jsonl(tmp_path, {"prompt": "x"}))) == [Sample("0", "x")]


def test_a_template_takes_its_columns_and_leaves_them_to_rewards(tmp_path: Path) -> None:
    path = jsonl(tmp_path, {"q": "Which?", "a.b": "{c}", "n": 3})
    (sample,) = jsonl_file(path=path, prompt="{q} One of {{x}}: {a.b} ({n})")
    assert sample.prompt == "Which? One of {x}: {c} (3)"
    assert sample.columns == {"q": "Which?", "a.b": "{c}", "n": 3}


CHAT = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "2+2?"}]


@pytest.mark.parametrize("options", [{"messages": "chat"}, {"prompt": "chat"}])
def test_a_column_of_messages_is_a_conversation(tmp_path: Path, options: dict[str, str]) -> None:
    path = jsonl(tmp_path, {"chat": CHAT, "reference": "4"})
    assert list(jsonl_file(path=path, **options)) == [Sample("0", tuple(CHAT), "4")]  # type: ignore[arg-type]


def test_messages_are_found_under_their_usual_name_and_in_parquet(tmp_path: Path) -> None:
    (sample,) = parquet_file(path=parquet(tmp_path, [{"messages": CHAT}]))
    assert sample.prompt == tuple(CHAT)


def test_a_reference_behind_a_mark(tmp_path: Path) -> None:
    path = jsonl(tmp_path, {"prompt": "x", "reference": "2 and 2 #### no\n#### 4 "})
    assert [one.reference for one in jsonl_file(path=path, reference_after="####")] == ["4"]


def test_dates_and_decimals_become_text(tmp_path: Path) -> None:
    row = {"prompt": "x", "reference": Decimal("1.50"), "day": datetime.date(2026, 1, 2), "tags": [Decimal("1")]}
    (sample,) = parquet_file(path=parquet(tmp_path, [row]))
    assert (sample.reference, sample.columns) == ("1.50", {"day": "2026-01-02", "tags": ["1"]})
    json.dumps(sample.columns)


def test_a_folder_of_parquet_is_read_in_the_order_of_names(tmp_path: Path) -> None:
    parquet(tmp_path, [{"prompt": "b"}], "2.parquet")
    parquet(tmp_path, [{"prompt": "a"}], "1.parquet")
    table = parquet_file(path=str(tmp_path))
    assert [(one.id, one.prompt) for one in table] == [("0", "a"), ("1", "b")]
    assert operator.length_hint(table) == 2


def test_parquet_goes_over_its_block_size(tmp_path: Path) -> None:
    path = parquet(tmp_path, [{"prompt": f"p{number}"} for number in range(2500)])
    assert [one.prompt for one in parquet_file(path=path)] == [f"p{number}" for number in range(2500)]


def test_csv_reads_quotes_line_breaks_other_delimiters_and_a_byte_order_mark(tmp_path: Path) -> None:
    path = as_csv(tmp_path, '\ufeffprompt;reference\r\n"a ""b"";\nc";4\r\n\r\n')
    assert list(csv_file(path=path, delimiter=";")) == [Sample("0", 'a "b";\nc', "4")]


CELLS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1).filter(str.strip)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(prompts=st.lists(CELLS, min_size=1, max_size=5))
def test_what_the_standard_library_writes_is_read_back(tmp_path: Path, prompts: list[str]) -> None:
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerows([["prompt", "n"], *([prompt, str(number)] for number, prompt in enumerate(prompts))])
    assert [one.prompt for one in csv_file(path=as_csv(tmp_path, buffer.getvalue()))] == prompts
    path = jsonl(tmp_path, *({"prompt": prompt} for prompt in prompts))
    assert [one.prompt for one in jsonl_file(path=path)] == prompts


def test_jsonl_passes_over_empty_lines_and_counts_them_for_messages(tmp_path: Path) -> None:
    file = tmp_path / "data.jsonl"
    file.write_bytes(b'\xef\xbb\xbf{"prompt": "x"}\r\n\n{"prompt": "y"}\n{"promt": "z"}')
    table = iter(jsonl_file(path=str(file)))
    assert [next(table).prompt, next(table).prompt] == ["x", "y"]
    with pytest.raises(DataError, match=r"data\.jsonl:4: there is no column 'prompt' .*did you mean 'promt'"):
        next(table)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"prompt": "x"}\n{"prompt": \n', r"data\.jsonl:2: expected a JSON object, "),
        (b"[1]\n", r"data\.jsonl:1: expected a JSON object, got list"),
        (b'{"prompt": "\xff"}\n', r"data\.jsonl:1: expected UTF-8, invalid start byte at byte 12"),
        (b"[" * 100_000, r"data\.jsonl:1: expected a JSON object"),
        (b'{"prompt": ""}\n', r"data\.jsonl:1: the prompt must be text that is not empty, got ''"),
        (b'{"prompt": 7}\n', r"data\.jsonl:1: the prompt must be text that is not empty, got 7"),
        (b'{"messages": []}\n', r"data\.jsonl:1: messages must be a list"),
        (b'{"messages": "x"}\n', r"data\.jsonl:1: messages must be a list"),
        (b'{"messages": [{"role": "user"}]}\n', r"data\.jsonl:1: a message must hold the texts"),
        (b'{"messages": ["x"]}\n', r"data\.jsonl:1: a message must hold the texts"),
        (b"\n\n", r"data\.jsonl holds no rows"),
        (b"", r"data\.jsonl holds no rows"),
    ],
)
def test_a_broken_line_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "data.jsonl"
    file.write_bytes(content)
    with pytest.raises(DataError, match=message):
        list(jsonl_file(path=str(file)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("prompt,n\nx,1\ny\n", r"data\.csv:3: expected 2 values as in the header, got 1"),
        ('prompt,n\n"x\ny",1\nz,1,2\n', r"data\.csv:4: expected 2 values as in the header, got 3"),
        ('prompt\n"x" y\n', r"data\.csv:2: expected comma-separated values"),
        ('prompt\n"x\n', r"data\.csv:2: expected comma-separated values"),
        ("prompt,prompt\nx,y\n", r"data\.csv:1: the header's names must differ"),
        ("prompt,\nx,y\n", r"data\.csv:1: the header's names must differ and not be empty"),
        ("promt\nx\n", r"data\.csv:2: there is no column 'prompt' .*did you mean 'promt'"),
        ("prompt\n", r"data\.csv holds no rows"),
        ("", r"data\.csv holds no rows"),
    ],
)
def test_a_broken_row_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        list(csv_file(path=as_csv(tmp_path, text)))


def test_csv_that_is_not_utf_8_is_named(tmp_path: Path) -> None:
    file = tmp_path / "data.csv"
    file.write_bytes(b"prompt\nx\xff\n")
    with pytest.raises(DataError, match=r"data\.csv: expected UTF-8 after line 0, invalid start byte"):
        list(csv_file(path=str(file)))
    with pytest.raises(DataError, match="delimiter is one character"):
        csv_file(path=str(file), delimiter=";;")


def test_parquet_that_is_not_parquet_is_named(tmp_path: Path) -> None:
    file = tmp_path / "data.parquet"
    file.write_bytes(b"PAR1 not really")
    with pytest.raises(DataError, match=r"data\.parquet: expected a Parquet file"):
        parquet_file(path=str(file))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"holds no \.parquet file"):
        parquet_file(path=str(tmp_path / "empty"))


def test_parquet_that_breaks_off_is_named(tmp_path: Path) -> None:
    path = Path(parquet(tmp_path, [{"prompt": "x" * 1000 + str(number)} for number in range(50)]))
    content = bytearray(path.read_bytes())
    content[4:400] = bytes(396)
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"data\.parquet: cannot be read after row 0"):
        list(parquet_file(path=str(path)))


def test_a_missing_column_is_named_with_its_option_and_the_nearest(tmp_path: Path) -> None:
    path = jsonl(tmp_path, *ROWS)
    with pytest.raises(DataError, match=r"jsonl:1: there is no column 'queston' \(prompt\); did you mean 'question'"):
        list(jsonl_file(path=path, prompt="queston"))
    with pytest.raises(DataError, match=r"no column 'golden' \(reference\)"):
        list(jsonl_file(path=path, prompt="question", reference="golden"))
    with pytest.raises(DataError, match=r"no column 'key' \(id\); known: gold, level, question"):
        list(jsonl_file(path=path, prompt="question", id="key"))
    with pytest.raises(DataError, match=r"no column 'questoin' \(prompt\); did you mean 'question'"):
        list(jsonl_file(path=path, prompt="{questoin}!"))
    with pytest.raises(DataError, match=r"row 1: there is no column 'prompt'"):
        list(parquet_file(path=parquet(tmp_path, ROWS)))


@pytest.mark.parametrize("read", [jsonl_file, csv_file, parquet_file])
def test_a_missing_file_is_named_with_the_nearest_in_its_folder(tmp_path: Path, read: Any) -> None:
    (tmp_path / "questions.jsonl").touch()
    with pytest.raises(DataError, match=r"there is no file .*question\.jsonl in .*; did you mean 'questions\.jsonl'"):
        read(path=str(tmp_path / "question.jsonl"))
    with pytest.raises(DataError, match=r"its folder .*nowhere does not exist"):
        read(path=str(tmp_path / "nowhere" / "x.jsonl"))
    if read is not parquet_file:
        with pytest.raises(DataError, match="is a folder"):
            read(path=str(tmp_path))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prompt": "a", "messages": "b"}, "both say what is asked"),
        ({"prompt": "{a"}, r"the template '\{a' is broken"),
        ({"prompt": "{}"}, "must hold the name of a column"),
        ({"prompt": "{a:>9}"}, "must hold the name of a column"),
        ({"prompt": "{a!r}"}, "must hold the name of a column"),
    ],
)
def test_a_mapping_that_cannot_be_is_refused_before_reading(tmp_path: Path, options: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        jsonl_file(path=jsonl(tmp_path, {"a": "x"}), **options)


@pytest.mark.parametrize("reference", ["no mark", "#### ", "", 7])
def test_a_reference_without_its_mark_is_refused(tmp_path: Path, reference: Any) -> None:
    path = jsonl(tmp_path, {"prompt": "x", "reference": reference})
    with pytest.raises(DataError, match=r"data\.jsonl:1: .*reference"):
        list(jsonl_file(path=path, reference_after="####"))
