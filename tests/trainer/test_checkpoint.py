"""Checkpoints: whole or absent, newest first, damage noticed, a full disk survived."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
import torch

from lydite.checkpoint import Checkpoint, newest_checkpoint, save_checkpoint
from lydite.errors import CheckpointError


def checkpoint(step: int) -> Checkpoint:
    weights = torch.full((3, 2), float(step))
    parameter = torch.nn.Parameter(weights.clone())
    optimizer = torch.optim.AdamW([parameter])
    parameter.sum().backward()
    optimizer.step()
    return Checkpoint(step, {"a": weights}, optimizer.state_dict(), {"progress": {"step": step}})


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    written = checkpoint(3)
    save_checkpoint(tmp_path, written, keep=2)
    read = newest_checkpoint(tmp_path).checkpoint
    assert read is not None
    assert read.step == 3
    assert torch.equal(read.adapter["a"], written.adapter["a"])
    assert torch.equal(read.optimizer["state"][0]["exp_avg"], written.optimizer["state"][0]["exp_avg"])
    assert read.state == written.state


def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    for step in (1, 2, 3, 10):
        save_checkpoint(tmp_path, checkpoint(step), keep=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-000003", "step-000010"]


@pytest.mark.parametrize("name", ["adapter.safetensors", "optimizer.pt", "state.json", "digests.json"])
@pytest.mark.parametrize("damage", ["flip", "cut", "gone"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(tmp_path: Path, name: str, damage: str) -> None:
    save_checkpoint(tmp_path, checkpoint(1), keep=2)
    path = save_checkpoint(tmp_path, checkpoint(2), keep=2) / name
    content = bytearray(path.read_bytes())
    if damage == "flip":
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    elif damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    else:
        path.unlink()
    found = newest_checkpoint(tmp_path)
    assert found.checkpoint is not None
    assert found.checkpoint.step == 1
    assert [one.split(":")[0] for one in found.damaged] == ["step-000002"]


def test_a_half_written_checkpoint_is_no_checkpoint(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, checkpoint(1), keep=2)
    draft = tmp_path / ".draft-step-000002"
    draft.mkdir()
    (draft / "adapter.safetensors").write_bytes(b"half")
    found = newest_checkpoint(tmp_path)
    assert found.checkpoint is not None
    assert found.checkpoint.step == 1
    assert found.damaged == ()
    save_checkpoint(tmp_path, checkpoint(2), keep=2)
    assert not draft.exists()


def test_no_checkpoint_is_said_so(tmp_path: Path) -> None:
    assert newest_checkpoint(tmp_path / "nothing").checkpoint is None


def test_a_full_disk_leaves_the_checkpoint_before_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_checkpoint(tmp_path, checkpoint(1), keep=1)

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CheckpointError, match=r"No space left on device.*make room"):
        save_checkpoint(tmp_path, checkpoint(2), keep=1)
    monkeypatch.undo()
    found = newest_checkpoint(tmp_path)
    assert found.checkpoint is not None
    assert found.checkpoint.step == 1
    assert [path.name for path in tmp_path.iterdir()] == ["step-000001"]


def test_damaged_checkpoints_of_later_steps_do_not_push_out_whole_ones(tmp_path: Path) -> None:
    for step in (2, 4):
        (save_checkpoint(tmp_path, checkpoint(step), keep=2) / "optimizer.pt").unlink()
    save_checkpoint(tmp_path, checkpoint(1), keep=2)
    found = newest_checkpoint(tmp_path)
    assert found.checkpoint is not None
    assert found.checkpoint.step == 1
    assert found.damaged == ()
