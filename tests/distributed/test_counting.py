"""How many processes a run can have, and which rows are whose."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import lydite
from lydite.cli.processes import take_own_gpu
from lydite.config import RunConfig
from lydite.distributed import Processes, work_of
from lydite.errors import ConfigError
from lydite.objective import Batch


@given(st.integers(0, 50), st.integers(0, 40), st.integers(1, 4), st.integers(1, 9))
def test_the_parts_are_the_whole_and_units_stay_together(start: int, units: int, unit: int, count: int) -> None:
    stop = start + units * unit
    parts = [Processes(index, count).own(start, stop, unit) for index in range(count)]
    assert [row for first, last in parts for row in range(first, last)] == list(range(start, stop))
    sizes = [last - first for first, last in parts]
    assert all(size % unit == 0 for size in sizes)
    assert max(sizes) - min(sizes) <= unit


@given(st.lists(st.integers(0, 1000), max_size=40), st.integers(1, 3), st.integers(1, 9))
def test_parts_by_work_are_the_whole_and_none_has_much_more_than_its_share(
    work: list[int], unit: int, count: int
) -> None:
    stop = 7 + len(work) * unit
    parts = [Processes(index, count).own(7, stop, unit, work) for index in range(count)]
    assert [row for first, last in parts for row in range(first, last)] == list(range(7, stop))
    for index, (first, last) in enumerate(parts[:-1], start=1):
        assert (last - first) % unit == 0
        so_far = sum(work[: (last - 7) // unit])
        assert abs(so_far - sum(work) * index / count) <= max(work, default=0) / 2, "another end was nearer"


def test_a_prompt_is_work_once_where_passes_are_packed() -> None:
    ids = torch.tensor([[0, 5, 6, 1, 2], [0, 5, 6, 1, 0], [4, 5, 6, 3, 0], [4, 5, 6, 3, 1]])
    mask = torch.tensor([[0, 1, 1, 1, 1], [0, 1, 1, 1, 0], [1, 1, 1, 1, 0], [1, 1, 1, 1, 1]])
    batch = Batch(ids, mask, mask.cumsum(1), ids[:, 3:], mask[:, 3:].bool(), torch.zeros(4), None)
    assert work_of(batch, 0, 4, unit=1, packed=True) == [2 + 2, 1, 3 + 1, 2]
    assert work_of(batch, 0, 4, unit=2, packed=True) == [5, 6]
    assert work_of(batch, 1, 4, unit=1, packed=False) == [2 + 1, 3 + 1, 3 + 2]


def test_more_processes_than_groups_are_refused_before_anything_is_loaded(
    settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "6")
    monkeypatch.setenv("RANK", "5")
    unloadable = {**settings, "model": {"path": "/no/such/model"}, "plugins": ["no-such-plugin"]}
    with pytest.raises(ConfigError, match=r"6 processes for the 5 groups of a step .* Take at most 5 processes"):
        lydite.train(unloadable, display="none")


def test_more_processes_than_gpus_are_refused(settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("LOCAL_RANK", "2")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    model = {**settings["model"], "device": "auto"}
    with pytest.raises(ConfigError, match=r"process 2 of this host has no GPU of its own: there are 2"):
        lydite.train({**settings, "model": model}, display="none")


@pytest.mark.parametrize(("visible", "own"), [(None, "1"), ("3,5", "5"), ("GPU-a,GPU-b", "GPU-b")])
def test_a_process_of_the_command_line_sees_the_gpu_of_its_number_alone(
    settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch, visible: str | None, own: str
) -> None:
    environ = {"WORLD_SIZE": "2", "LOCAL_RANK": "1"} | ({"CUDA_VISIBLE_DEVICES": visible} if visible else {})
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(environ.get("CUDA_VISIBLE_DEVICES", "0,1").split(",")))
    take_own_gpu(RunConfig.model_validate(settings), environ)
    assert environ["LOCAL_RANK"] == "1", "model.device is cpu"
    take_own_gpu(RunConfig.model_validate({**settings, "model": {"path": "m"}}), environ)
    assert (environ["CUDA_VISIBLE_DEVICES"], environ["LOCAL_RANK"]) == (own, "0")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"model": {"path": "m", "quantization": "nf4"}}, 'quantization = "nf4" packs weights into blocks'),
        ({"lora": {"enabled": False}}, "lora.enabled = false trains it"),
        ({"engine": {"use": "vllm"}}, 'engine.use = "vllm" needs all of it in each process'),
        ({"train": {"activation_offloading": True}}, "does not go with train.activation_offloading"),
        (
            {"train": {"cuda_graphs": True, "gradient_checkpointing": True, "micro_batch_tokens": 64}},
            "train.cuda_graphs = true wants it in one place",
        ),
        ({"rewards": {"a": {"use": "a", "judge": "engine"}}}, 'a judge "engine" would have one process ask the model'),
    ],
)
def test_what_cannot_be_shared_out_is_refused(settings: dict[str, Any], changes: dict[str, Any], told: str) -> None:
    sharded = {**settings, "distributed": {"strategy": "fsdp2"}}
    RunConfig.model_validate(sharded)
    with pytest.raises(ValueError, match=told):
        RunConfig.model_validate({**sharded, **changes})
