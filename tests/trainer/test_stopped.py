"""What stops a run besides a kill, or is not as it was when it goes on: disk, damage, configuration, plugins."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import lydite
from lydite.errors import PluginError

Ran = Callable[..., tuple[int, str]]
Numbers = Callable[[Path], dict[str, bytes]]


@pytest.fixture
def quick(settings: dict[str, Any]) -> dict[str, Any]:
    """As `settings`, without a worker, and four steps long."""
    del settings["rewards"]["brief"]
    settings["train"].update(max_steps=4, save_steps=1)
    return settings


def stopped_after(step: int, quick: dict[str, Any], here: Path, name: str) -> Path:
    """The folder of a run whose observer stopped it after a step."""
    (here / "stop.py").write_text(
        f"import lydite\n@lydite.hookimpl\ndef lydite_step(report):\n    assert report.step != {step}, 'enough'\n"
    )
    files = [*quick["plugin_files"], str(here / "stop.py")]
    with pytest.raises(PluginError, match="enough"):
        lydite.train({**quick, "name": name, "plugin_files": files}, display="none")
    return here / "runs" / name


def forget(stem: str) -> None:
    """A file plugin is imported once in a process; this lets it be imported as it is now."""
    for name in [name for name in sys.modules if name.startswith(f"lydite_file_{stem}_")]:
        del sys.modules[name]


@pytest.fixture
def small_disk(here: Path) -> Iterator[Callable[[str], Path]]:
    """A folder on a disk of the size asked for; asked again, the disk grows."""
    disk = here / "disk"
    disk.mkdir()
    mounted = False

    def sized(size: str) -> Path:
        nonlocal mounted
        options = f"remount,size={size}" if mounted else f"size={size}"
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(disk)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"only who may mount a tmpfs can try a full disk: {done.stderr.strip()}")
        mounted = True
        return disk

    yield sized
    if mounted:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("size", ["96k", "400k"], ids=["before a checkpoint", "after some"])
def test_a_full_disk_stops_the_run_and_room_lets_it_go_on(
    here: Path, quick: dict[str, Any], written: Callable[[dict[str, Any]], Path], ran: Ran,
    small_disk: Callable[[str], Path], numbers: Numbers, size: str,
) -> None:  # fmt: skip
    disk = small_disk(size)
    whole = lydite.train({**quick, "name": "whole"}, display="none").folder
    code, said = ran("train", written(quick), "--name", "full", "--set", f"output_dir={disk}")
    assert (code, "Traceback" in said) == (1, False), said
    assert said.startswith("error: cannot write ")
    assert os.strerror(errno.ENOSPC) in said
    assert "--resume" in said
    small_disk("64m")
    code, said = ran("train", "--resume", disk / "full")
    assert code == 0, said
    assert numbers(disk / "full") == numbers(whole)


@pytest.mark.slow
def test_a_damaged_newest_checkpoint_gives_way_to_the_one_before(
    here: Path, quick: dict[str, Any], written: Callable[[dict[str, Any]], Path], ran: Ran, numbers: Numbers
) -> None:
    whole = lydite.train({**quick, "name": "whole"}, display="none").folder
    before = numbers(whole)
    newest = whole / "checkpoints" / "step-000004" / "optimizer.pt"
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    code, said = ran("train", "--resume", "whole")
    assert code == 0
    assert "warning: the checkpoint step-000004: optimizer.pt is damaged; the one before it is taken" in said
    assert "going on after step 3" in said
    assert numbers(whole) == before
    assert sorted(path.name for path in newest.parent.parent.iterdir()) == ["best", "step-000003", "step-000004"]


@pytest.mark.slow
def test_another_configuration_is_refused_and_another_plugin_is_told(
    here: Path, quick: dict[str, Any], ran: Ran, written: Callable[[Any], Path]
) -> None:
    lydite.train({**quick, "name": "first"}, display="none")
    written(quick)
    code, said = ran("train", "sums.toml", "--resume", "first", "--set", "beta=0.1", "--set", "stack.workers=2")
    assert code == 2
    assert "  train.beta: 0.0 -> 0.1\n" in said
    assert "  stack.workers: 1 -> 2\n" in said
    assert "learning_rate" not in said
    code, said = ran("train", "sums.toml", "--resume", "first", "--set", "max_steps=9")
    assert "a run ends at the max_steps that it began with" in said

    code, said = ran("train", "--resume", "first")
    assert (code, "since this run began" in said) == (0, False)
    (here / "mine.py").write_text((here / "mine.py").read_text() + "\n# changed\n")
    code, said = ran("train", "--resume", "first")
    assert code == 0
    assert "warning: since this run began: file mine.py was " in said


def test_observers_are_told_of_every_step_and_of_both_ends(here: Path, quick: dict[str, Any]) -> None:
    (here / "watch.py").write_text(
        "import json, pathlib, lydite\n"
        "told = pathlib.Path(__file__).with_suffix('.jsonl')\n"
        "def tell(**what):\n"
        "    with told.open('a') as file: file.write(json.dumps(what) + '\\n')\n"
        "@lydite.hookimpl\n"
        "def lydite_start(run):\n"
        "    tell(name=run.name, seed=run.config['seed'], device=run.manifest['device'], back=run.resumed_from)\n"
        "@lydite.hookimpl\n"
        "def lydite_step(report):\n"
        "    on_disk = pathlib.Path('runs/seen/metrics.jsonl')\n"
        "    lines = on_disk.read_text().splitlines() if on_disk.exists() else []\n"
        "    last = json.loads(lines[-1]) if lines else {}\n"
        "    tell(step=report.step, of=report.max_steps, same={'step': report.step, **report.metrics} == last,\n"
        "         scored=report.scored is not None and len(report.scored.groups),\n"
        "         timed='memory/peak_bytes' in report.timings, heldout=report.heldout and report.heldout.step)\n"
        "@lydite.hookimpl\n"
        "def lydite_finish(result):\n"
        "    tell(folder=result.folder, summary=dict(result.summary))\n"
    )
    files = [*quick["plugin_files"], str(here / "watch.py")]
    result = lydite.train({**quick, "name": "seen", "plugin_files": files}, display="none")
    first, *steps, last = (json.loads(line) for line in (here / "watch.jsonl").read_text().splitlines())
    assert (first["name"], first["seed"], first["back"]) == ("seen", 42, 0)
    assert first["device"]
    assert [one["step"] for one in steps] == [0, 1, 2, 3, 4]
    assert [one["heldout"] for one in steps] == [0, None, 2, None, 4]
    assert [one["scored"] for one in steps] == [False, 2, 2, 2, 2]
    assert [one["same"] for one in steps] == [False, True, True, True, True]
    assert all(one["of"] == 4 and one["timed"] for one in steps)
    assert last == {"folder": str(result.folder), "summary": dict(result.summary)}


def test_an_observer_that_fails_stops_the_run_and_is_named(here: Path, quick: dict[str, Any], numbers: Numbers) -> None:
    whole = lydite.train({**quick, "name": "whole"}, display="none").folder
    folder = stopped_after(2, quick, here, "stopped")
    (here / "stop.py").write_text(
        "import lydite\n@lydite.hookimpl\ndef lydite_start(run):\n    raise KeyError('town')\n"
    )
    files = [*quick["plugin_files"], str(here / "stop.py")]
    forget("stop")
    with pytest.raises(PluginError) as raised:
        lydite.train({**quick, "name": "other", "plugin_files": files}, display="none")
    assert "the observer of file stop.py failed in its lydite_start: KeyError: 'town'" in str(raised.value)
    assert "--resume" in str(raised.value)

    forget("stop")
    (here / "stop.py").write_text("")
    result = lydite.train(resume=folder, display="none")
    assert result.summary["stopped"] == "finished"
    assert numbers(folder) == numbers(whole)
