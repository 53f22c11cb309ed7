"""Hugging Face data sets, from local folders: the same road as from the hub, without a network."""

from __future__ import annotations

import json
import operator
import subprocess
import sys
from itertools import islice
from pathlib import Path

import datasets
import huggingface_hub
import pytest

from lydite import DataError, Sample
from lydite.config import RunConfig
from lydite.data import load_data
from lydite.plugins import load_plugins
from lydite_datasets import hub


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    data = tmp_path / "sums"
    data.mkdir()
    for split, count in (("train", 300), ("test", 2)):
        rows = [{"question": f"{number}+1?", "answer": f"so #### {number + 1}"} for number in range(count)]
        (data / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return data


@pytest.mark.parametrize("streaming", [False, True])
def test_a_split_is_read_with_its_columns_mapped(folder: Path, streaming: bool) -> None:
    table = hub(
        path=str(folder),
        split="test",
        streaming=streaming,
        prompt="question",
        reference="answer",
        reference_after="####",
    )
    assert list(table) == [Sample("0", "0+1?", "1"), Sample("1", "1+1?", "2")]
    assert operator.length_hint(table, -1) == (-1 if streaming else 2)


def test_a_stream_is_read_only_as_far_as_the_run_can_use_it(folder: Path) -> None:
    def train(streaming: bool) -> int:
        config = RunConfig.model_validate(
            {
                "model": {"path": "nowhere"},
                "data": {
                    "use": "hub",
                    "options": {"path": str(folder), "prompt": "question", "streaming": streaming},
                },
                "rewards": {"correct": {"use": "text/exact"}},
                "train": {"max_steps": 3, "num_generations": 8},
            }
        )
        return len(load_data(config, load_plugins(allow=["lydite-datasets"])).train)

    assert train(streaming=True) == 3 + 64
    assert train(streaming=False) == 300


def test_what_cannot_be_had_is_told_in_the_words_of_datasets(folder: Path) -> None:
    with pytest.raises(DataError, match=r"split 'tran' cannot be loaded: ValueError: Unknown split \"tran\".*'train'"):
        hub(path=str(folder), split="tran")
    with pytest.raises(DataError, match=r"configuration 'nope', split 'train' cannot be loaded: .*'default'"):
        hub(path=str(folder), name="nope")
    with pytest.raises(DataError, match=r"there is no folder or file .*sum; did you mean 'sums'"):
        hub(path=str(folder.parent / "sum"))
    with pytest.raises(DataError, match=r"'some/thing', split 'train' cannot be loaded"):
        hub(path="some/thing")
    with pytest.raises(DataError, match=r"row 0: there is no column 'prompt' .*known: answer, question"):
        list(hub(path=str(folder)))


def test_a_stream_that_breaks_is_named(folder: Path) -> None:
    (folder / "train.jsonl").write_text('{"question": "x"}\n' * 3 + "{broken\n")
    with pytest.raises(DataError, match=r"split 'train' cannot be (read|loaded): \w+"):
        list(hub(path=str(folder), prompt="question", streaming=True))


def test_the_progress_bars_of_others_are_left_as_they_were(folder: Path) -> None:
    assert not datasets.are_progress_bars_disabled()
    list(islice(hub(path=str(folder), prompt="question"), 2))
    assert not datasets.are_progress_bars_disabled()


def test_the_plugin_is_listed_without_loading_what_only_reading_needs() -> None:
    code = (
        "import sys, lydite.plugins as p; q = p.load_plugins(allow=['lydite-datasets']);"
        "print(sorted(q.offers['datasets']), sorted({'datasets', 'pyarrow', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['arithmetic', 'csv', 'hub', 'jsonl', 'parquet'] []"
