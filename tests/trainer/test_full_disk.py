"""A disk that fills up while a run writes. A limit on the size of files does the same to a write, and anybody may set
one: it takes what there is room for, and then fails.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError

import lydite
from lydite.checkpoint import Checkpoint, newest_checkpoint, save_checkpoint
from lydite.disk import drafted_folder, mount_point, spoken_size, why_unwritten
from lydite.errors import WriteError
from lydite.report import write_report
from lydite.runfolder import RunFolder

Numbers = Callable[[Path], dict[str, bytes]]
TOO_LARGE = os.strerror(errno.EFBIG)
FILLS = """
import resource
from pathlib import Path
import lydite

@lydite.hookimpl
def lydite_step(report):
    if report.step == {step} and Path("small").exists():
        grown = Path("runs/full/{log}").stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (grown + 30, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
"""


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """While open, no file of this process grows beyond so many bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture(autouse=True)
def no_limit_stays() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def quick(settings: dict[str, Any]) -> dict[str, Any]:
    """As `settings`, without a worker, and five steps long."""
    del settings["rewards"]["brief"]
    settings["train"].update(max_steps=5)
    return settings


def test_a_log_takes_a_line_whole_or_not_at_all(tmp_path: Path) -> None:
    with RunFolder.create(tmp_path / "run", overwrite=False) as folder:
        folder.append("metrics.jsonl", [{"step": 1}])
        with files_up_to(20), pytest.raises(WriteError, match=rf"cannot write .*metrics\.jsonl: {TOO_LARGE}$"):
            folder.append("metrics.jsonl", [{"step": 2}, {"step": 3}])
        assert (folder.path / "metrics.jsonl").read_text() == '{"step": 1}\n'


def test_a_file_that_does_not_fit_leaves_the_old_one(tmp_path: Path) -> None:
    with RunFolder.create(tmp_path / "run", overwrite=False) as folder:
        folder.write_json("summary.json", {"steps": 1})
        with files_up_to(20), pytest.raises(WriteError, match=rf"cannot write .*summary\.json: {TOO_LARGE}"):
            folder.write_json("summary.json", {"steps": 2, "more": "x" * 100})
        assert json.loads((folder.path / "summary.json").read_text()) == {"steps": 1}
        (folder.path / "rollouts").write_text("in the way of a folder")
        with pytest.raises(WriteError, match=r"cannot write .*step-000001\.json\.gz: "):
            folder.write_bytes("rollouts/step-000001.json.gz", b"")
        assert not list(folder.path.glob("*.draft"))


@pytest.mark.parametrize("limit", [100, 60_000], ids=["adapter", "optimiser, which torch writes"])
def test_a_checkpoint_that_does_not_fit_says_its_size_and_the_system_s_reason(tmp_path: Path, limit: int) -> None:
    weights = torch.nn.Parameter(torch.ones(20_000))  # so many that torch's own words would hide the reason
    optimizer = torch.optim.AdamW([weights])
    weights.sum().backward()
    optimizer.step()
    one = Checkpoint(1, {"a": torch.ones(100)}, optimizer.state_dict(), {})
    save_checkpoint(tmp_path, one, keep=2)
    two = Checkpoint(2, one.adapter, one.optimizer, {})
    with files_up_to(limit), pytest.raises(WriteError) as raised:
        save_checkpoint(tmp_path, two, keep=2)
    assert f"the checkpoint of step 2, about 160 kB, to {tmp_path / 'step-000002'}: {TOO_LARGE}." in str(raised.value)
    found = newest_checkpoint(tmp_path)
    assert found.checkpoint is not None
    assert (found.checkpoint.step, found.damaged) == (1, ())
    assert [path.name for path in tmp_path.iterdir()] == ["step-000001"]


def test_where_there_is_no_room_the_file_system_is_named_and_what_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    path = tmp_path / "not" / "there"
    place = mount_point(path)
    assert place.is_mount()
    assert tmp_path.is_relative_to(place)
    sizes = {"f_files": 10, "f_favail": 3, "f_bavail": 12, "f_blocks": 3000, "f_frsize": 1000}
    monkeypatch.setattr(os, "statvfs", lambda asked: type("Disk", (), sizes) if asked == place else None)
    wanted = f"No space left on device; make room on the file system at {place}, which has 12 kB of 3 MB free"
    assert why_unwritten(full, path) == wanted
    in_rust = SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")
    assert why_unwritten(in_rust, path) == wanted
    sizes["f_favail"] = 0
    assert why_unwritten(full, path).endswith(f"the file system at {place}: it holds 10 of them, and takes no more")
    assert why_unwritten(PermissionError(errno.EACCES, "x"), path) == os.strerror(errno.EACCES)
    assert why_unwritten(SafetensorError("no header\nat all"), path) == "no header"


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 kB"), (300_000, "300 kB"), (1_230_000, "1.23 MB"), (45_600_000_000, "45.6 GB")]
)
def test_sizes_are_spoken_in_powers_of_ten(size: int, text: str) -> None:
    assert spoken_size(size) == text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("log", "step", "saved", "what"),
    [
        ("completions.jsonl", 4, "everything up to step 4 is saved", "completions.jsonl"),
        ("checkpoints/step-000002/adapter.safetensors", 3, "everything up to step 2 is saved", "checkpoint of step 4"),
    ],
    ids=["in a line of a log", "in a checkpoint"],
)
def test_a_run_that_finds_no_room_goes_on_to_the_same_numbers(
    here: Path, quick: dict[str, Any], numbers: Numbers, log: str, step: int, saved: str, what: str
) -> None:
    whole = lydite.train({**quick, "name": "whole"}, display="none").folder
    (here / "fills.py").write_text(FILLS.format(log=log, step=step))
    quick["plugin_files"].append(str(here / "fills.py"))
    (here / "small").touch()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with pytest.raises(WriteError) as raised:
        lydite.train({**quick, "name": "full"}, display="none")
    first, second = str(raised.value).splitlines()
    assert first.startswith("cannot write ")
    assert what in first
    assert TOO_LARGE in first
    folder = Path("runs/full")
    assert second == f"{saved} in {folder}; to go on: lydite train --resume {folder}"
    for file in folder.glob("*.jsonl"):
        assert file.read_bytes().endswith(b"\n")
        assert all(json.loads(line) for line in file.read_text().splitlines())
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    (here / "small").unlink()
    lydite.train(resume=folder, display="none")
    assert numbers(folder) == numbers(whole)


@pytest.mark.slow
def test_before_the_first_file_and_at_the_last(
    here: Path, quick: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    quick["train"].update(max_steps=1)
    with files_up_to(10), pytest.raises(WriteError) as raised:
        lydite.train(quick, display="none")
    assert f"cannot write runs/run/config.toml: {TOO_LARGE}" in str(raised.value)
    assert str(raised.value).endswith("nothing of the run is kept: start it again then, with the same command")
    with files_up_to(1_000_000), caplog.at_level(logging.WARNING, "lydite"):
        result = lydite.train(quick, display="none")
    assert result.report is None
    assert json.loads((result.folder / "summary.json").read_text())["report"] is None
    (said,) = (one.getMessage() for one in caplog.records)
    assert said.startswith("no report was written: cannot write runs/run/report.html, about ")
    assert f"{TOO_LARGE}; lydite report runs/run writes it later" in said
    assert not list(result.folder.rglob("*draft*"))
    assert write_report(result.folder).stat().st_size > 1_000_000


def test_a_folder_that_cannot_take_its_place_leaves_the_old_one(tmp_path: Path) -> None:
    target = tmp_path / "adapter"
    target.mkdir()
    (target / "weights").write_text("old")
    with pytest.raises(FileNotFoundError), drafted_folder(target) as draft:
        draft.rmdir()  # as if it were lost between the two renames
    assert {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")} == {"adapter", "adapter/weights"}
    assert (target / "weights").read_text() == "old"
