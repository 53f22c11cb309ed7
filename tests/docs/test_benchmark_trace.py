"""What the benchmarks say that GPU and host did."""

from __future__ import annotations

import importlib
import itertools
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

ROOT = Path(__file__).parents[2]
MS = 1e-3


@pytest.fixture
def trace(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(ROOT)
    return importlib.import_module("benchmarks.gpu.trace")


@pytest.fixture
def gpu(trace: Any) -> Any:
    """Makes an event on the GPU, in milliseconds."""
    return lambda name, begin, long: trace.Event(name, begin * MS, long * MS, None)


@pytest.fixture
def host(trace: Any) -> Any:
    """Makes an event on the host, in milliseconds."""
    return lambda name, begin, long, thread=1: trace.Event(name, begin * MS, long * MS, thread)


def flat(pairs: list[tuple[float, float]]) -> list[float]:
    return [number for pair in pairs for number in pair]


def test_kernels_beside_each_other_are_one_stretch_of_work(trace: Any, gpu: Any, host: Any) -> None:
    events = [gpu("b", 4, 3), gpu("a", 0, 5), gpu("inside", 1, 1), gpu("c", 6, 1), gpu("d", 12, 2), host("mm", 0, 50)]
    assert flat(trace.work(events)) == pytest.approx([0.0, 7 * MS, 12 * MS, 14 * MS])


def test_pauses_are_told_from_the_beginning_to_the_end_and_short_ones_are_not(trace: Any) -> None:
    stretches = [(5 * MS, 7 * MS), (8 * MS, 9 * MS), (12 * MS, 14 * MS)]
    found = trace.pauses(stretches, 40 * MS)
    assert flat(found) == pytest.approx([14 * MS, 26 * MS, 0.0, 5 * MS, 9 * MS, 3 * MS])
    assert trace.pauses([], 0.5) == [(0.0, 0.5)]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kernels=st.lists(st.tuples(st.floats(0, 1), st.floats(0, 0.2)), max_size=20))
def test_work_and_all_pauses_are_the_whole_time(trace: Any, kernels: list[tuple[float, float]]) -> None:
    stretches = trace.work([trace.Event("k", begin, seconds, None) for begin, seconds in kernels])
    busy = sum(end - begin for begin, end in stretches)
    ends, begins = [0.0, *(end for _, end in stretches)], [*(begin for begin, _ in stretches), 2.0]
    assert busy + sum(begin - end for end, begin in zip(ends, begins, strict=True)) == pytest.approx(2.0)
    assert all(first[1] < second[0] for first, second in itertools.pairwise(stretches))
    assert all(seconds >= trace.PAUSE for _, seconds in trace.pauses(stretches, 2.0))


def test_rows_are_sums_by_name(trace: Any, gpu: Any) -> None:
    rows = trace.in_all([gpu("copy", 0, 1), gpu("mm", 1, 5), gpu("copy", 6, 2)])
    assert [(row.name, row.count) for row in rows] == [("mm", 1), ("copy", 2)]
    assert rows[1] == trace.Row("copy", 2, pytest.approx(3 * MS))


def test_what_an_event_called_is_not_its_own(trace: Any, gpu: Any, host: Any) -> None:
    events = [
        host("linear", 0, 10), host("addmm", 1, 6), host("launch", 2, 3), host("view", 8, 1), host("linear", 20, 4),
        host("launch", 1, 2, thread=2), gpu("kernel", 0, 30),
    ]  # fmt: skip
    own = {(one.name, one.begin, one.thread): one.seconds for one in trace.alone(events)}
    assert own == pytest.approx(
        {
            ("linear", 0.0, 1): 3 * MS, ("addmm", 1 * MS, 1): 3 * MS, ("launch", 2 * MS, 1): 3 * MS,
            ("view", 8 * MS, 1): 1 * MS, ("linear", 20 * MS, 1): 4 * MS, ("launch", 1 * MS, 2): 2 * MS,
        }
    )  # fmt: skip


def test_the_host_was_at_the_innermost_of_what_filled_the_pause(trace: Any, gpu: Any, host: Any) -> None:
    events = [host("step", 0, 100), host("cudaMalloc", 11, 8), host("launch", 10, 1), gpu("kernel", 0, 9)]
    assert trace.meanwhile(events, 10 * MS, 10 * MS) == "cudaMalloc"
    assert trace.meanwhile(events, 30 * MS, 10 * MS) == "step"
    assert trace.meanwhile(events, 130 * MS, 10 * MS) == "Python"


def test_where_nothing_filled_the_pause_the_longest_in_it_is_named_too(trace: Any, gpu: Any, host: Any) -> None:
    events = [host("view", 1, 1), host("copy", 8, 5), host("mm", 3, 3), gpu("kernel", 0, 10)]
    assert trace.meanwhile(events, 0.0, 10 * MS) == "Python, and for 3.0 ms mm"


def test_the_text_answers_its_questions(trace: Any, gpu: Any, host: Any) -> None:
    events = [
        gpu("gemm", 0, 30), gpu("memcpy", 30, 10), gpu("gemm", 60, 20), host("aten::mm", 0, 5),
        host("cudaLaunchKernel", 1, 1), host("cudaMalloc", 41, 18), host("cuMemMap", 80, 1), host("customer", 90, 1),
    ]  # fmt: skip
    text = trace.describe("update", events, 0.1)
    driver = text.partition("calls of the driver")[2].partition("on the GPU")[0]
    assert "the GPU was at work for 0.060 s, 60 %, on 3 kernels and copies, and idle for 0.040 s" in text
    assert "2 times, 0.040 s in all" in text
    assert [line.split()[-1] for line in driver.splitlines()[1:] if line.strip()] == [
        "cudaMalloc", "cudaLaunchKernel", "cuMemMap",
    ]  # fmt: skip
    assert "      40.0 ms     20.0 ms  cudaMalloc" in text


def test_without_a_gpu_nothing_is_said_of_one(trace: Any, host: Any) -> None:
    lines = trace.describe("update", [host("aten::mm", 0, 5)], 0.1).splitlines()
    assert lines[:2] == ["update: 0.100 s, traced", "no kernel or copy of a GPU was recorded"]
    assert [line.split()[-1] for line in lines[4:]] == ["aten::mm"]


@pytest.mark.parametrize(
    ("call", "counted"),
    [
        ("cudaLaunchKernel", True), ("cudaLaunchKernelExC", True), ("cuLaunchKernelEx", True),
        ("cudaGraphLaunch", True), ("cudaLaunchHostFunc", False), ("cudaMemcpyAsync", False),
    ],
)  # fmt: skip
def test_what_counts_as_a_launch(trace: Any, call: str, counted: bool) -> None:
    assert bool(trace._LAUNCHES.match(call)) is counted


def test_what_torch_recorded_is_cut_to_the_part(trace: Any) -> None:
    """A name that was given to a stretch of work comes back as the GPU's, as long as all kernels of it together."""
    cuda, cpu = torch.autograd.DeviceType.CUDA, torch.autograd.DeviceType.CPU

    def one(name: str, start: int, long: int, device: Any, named: bool = False) -> Any:
        read = {
            "name": name, "start_ns": 10**18 + start, "duration_ns": long, "device_type": device,
            "start_thread_id": 7, "is_user_annotation": named,
        }  # fmt: skip
        return SimpleNamespace(**{key: lambda value=value: value for key, value in read.items()})

    events, wall = trace.of_part(
        [
            one("cudaDeviceSynchronize", 100, 300, cpu), one(trace._PART, 600, 7000, cuda, named=True),
            one(trace._PART, 500, 8000, cpu, named=True), one("step", 1000, 2000, cpu, named=True),
            one("step", 2000, 5000, cuda, named=True), one("gemm", 2000, 1000, cuda),
            one("cudaFree", 9000, 100, cpu),
        ]
    )  # fmt: skip
    assert wall == pytest.approx(8e-6)
    assert [(event.name, event.thread) for event in events] == [("step", 7), ("gemm", None)]
    assert [(event.begin, event.seconds) for event in events] == [
        pytest.approx((500e-9, 2000e-9)), pytest.approx((1500e-9, 1000e-9)),
    ]  # fmt: skip


def test_a_part_is_traced_by_torch_and_written_down(trace: Any, tmp_path: Path) -> None:
    figures: dict[str, float] = {}
    writer = SimpleNamespace(figure=lambda name, unit, values, **_: figures.update({name: values[0]}))
    with trace.traced("update", tmp_path / "trace.txt", writer):
        torch.ones(8, 8) @ torch.ones(8, 8)
        time.sleep(0.02)
    text = (tmp_path / "trace.txt").read_text()
    assert "aten::mm" in text
    assert text.startswith(f"update, all of it: {figures['traced update, seconds']:.3f} s, traced")
    assert 0.02 <= figures["traced update, seconds"] < 10.0


def test_a_batch_is_traced_up_to_a_number_of_tokens(trace: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    class Opened:
        def __enter__(self) -> None:
            seen.append("opened")

        def __exit__(self, *_: object) -> None:
            seen.append("closed")

    monkeypatch.setattr(trace, "traced", lambda *_, extent: seen.append(extent) or Opened())
    monkeypatch.setattr(trace, "TOKENS", 2)
    steps = SimpleNamespace(step=lambda: seen.append("token"))

    def generate(prompts: list[str], sampling: object, seed: int) -> int:
        for _ in range(3):
            steps.step()
        return seed

    engine = SimpleNamespace(generate=generate, _llm=SimpleNamespace(llm_engine=steps))
    trace.trace_generation(engine, 2, 4, None, None)
    four, two = SimpleNamespace(num_generations=2), SimpleNamespace(num_generations=1)
    assert [engine.generate(["a", "b"], one, seed=7) for one in (four, two, four, four)] == [7] * 4
    token = ["token"] * 3
    assert seen == [*token, *token, "up to the engine's step 2", "opened", "token", "token", "closed", "token", *token]
