"""Programs that are compiled are counted, and those that an earlier run has left."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from lydite.kernels.compiled import CompileCount, Compiled, count_programs, told

triton: Any = pytest.importorskip("triton")
if os.environ.get("TRITON_INTERPRET") == "1":
    pytest.skip("the interpreter has taken the compiler's place", allow_module_level=True)

GPU = torch.device("cuda")
"""Named, not used: Triton compiles for a GPU that is not there."""


@pytest.fixture(autouse=True)
def listener(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Triton's place for a listener, as it was before once the test is over."""
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    before = triton.knobs.compilation.listener
    triton.knobs.compilation.listener = None
    yield triton.knobs.compilation
    triton.knobs.compilation.listener = before


def compile_one(tile: int = 512) -> None:
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    program: Any = import_module("lydite.kernels.programs").add_parts
    constants = {"PARTS": 2, "TILE": tile}
    pointers = {"parts": "*fp32", "out": "*bf16"}
    kinds = {name: pointers.get(name, "constexpr" if name in constants else "i32") for name in program.arg_names}
    source = ASTSource(fn=program, signature=kinds, constexprs=constants)
    triton.compile(source, target=GPUTarget("cuda", 90, 32), options={"num_warps": 4, "enable_fp_fusion": False})


def test_a_program_is_compiled_once_and_then_read() -> None:
    count = count_programs(GPU)
    assert count is not None
    compile_one()
    first = count.take()
    assert (first.anew, first.kept) == (1, 0)
    assert 0.0 < first.seconds < 60.0
    compile_one()
    compile_one(tile=256)
    compile_one()
    later = count.take()
    assert (later.anew, later.kept) == (1, 2)
    assert count.take() == Compiled()


def test_it_counts_once_however_often_it_is_asked_for() -> None:
    count = count_programs(GPU)
    assert count_programs(GPU) is count
    compile_one()
    assert count is not None
    assert count.take().anew == 1


def test_who_listened_before_still_hears(listener: Any) -> None:
    heard = []

    def other(*, src: Any, metadata: Any, metadata_group: Any, times: Any, cache_hit: bool) -> None:
        heard.append((src.name, cache_hit, times.total > 0, bool(metadata), metadata_group is not None))

    listener.listener = other
    count = count_programs(GPU)
    compile_one()
    assert heard == [("add_parts", False, True, True, True)]
    assert count is not None
    assert count.take().anew == 1


def test_a_cpu_compiles_nothing_and_nobody_listens(listener: Any) -> None:
    assert count_programs(torch.device("cpu")) is None
    assert listener.listener is None


@pytest.mark.parametrize(
    ("counted", "line"),
    [
        (Compiled(), ""),
        (Compiled(12, 0, 21.34), "kernels: step 3 waited 21.3 s for 12 programs to be compiled"),
        (Compiled(0, 1, 0.21), "kernels: step 3 waited 0.2 s for 1 program that an earlier run left"),
        (
            Compiled(1, 30, 2.0),
            "kernels: step 3 waited 2.0 s for 1 program to be compiled and 30 programs that an earlier run left",
        ),
    ],
)
def test_what_the_log_says(counted: Compiled, line: str) -> None:
    assert told("step 3", counted) == line


def test_a_triton_that_tells_more_or_less_is_heard_without_an_error() -> None:
    heard: list[dict[str, Any]] = []
    count = CompileCount(lambda **told: heard.append(told))
    count(cache_hit=True, stage="ptx")
    count(src=None)
    assert count.take() == Compiled(1, 1, 0.0)
    assert heard == [{"cache_hit": True, "stage": "ptx"}, {"src": None}]


def test_nothing_of_triton_is_imported_before_it_is_asked_for() -> None:
    program = "import sys, lydite.kernels.compiled as c, torch; c.count_programs(torch.device('cpu')); "
    program += "print([name for name in sys.modules if name.split('.')[0] == 'triton'])"
    asked = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert asked.stdout.strip() == "[]"


def test_seconds_are_told_in_microseconds_by_triton() -> None:
    count = CompileCount()
    for hit in (True, False):
        count(src=None, metadata={}, metadata_group={}, times=SimpleNamespace(total=1_500_000), cache_hit=hit)
    assert count.take() == Compiled(1, 1, 3.0)
