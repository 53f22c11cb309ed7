"""The run folder: what is appended, cut back, locked and refused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lydite.errors import CheckpointError, ConfigError
from lydite.runfolder import RunFolder


def test_a_log_goes_back_to_the_length_it_had(tmp_path: Path) -> None:
    with RunFolder.create(tmp_path / "run", overwrite=False) as folder:
        folder.append("metrics.jsonl", [{"step": 1}])
        kept = folder.offsets()
        folder.append("metrics.jsonl", [{"step": 2}, {"step": 3}])
        folder.append("evals.jsonl", [{"step": 2}])
        folder.rewind(kept)
        assert (folder.path / "metrics.jsonl").read_text() == '{"step": 1}\n'
        assert (folder.path / "evals.jsonl").read_text() == ""


def test_a_log_that_somebody_shortened_is_noticed(tmp_path: Path) -> None:
    with RunFolder.create(tmp_path / "run", overwrite=False) as folder:
        folder.append("metrics.jsonl", [{"step": 1}])
        kept = folder.offsets()
        (folder.path / "metrics.jsonl").write_text("")
        with pytest.raises(CheckpointError, match="it was changed"):
            folder.rewind(kept)


def test_numbers_that_json_cannot_hold_are_refused(tmp_path: Path) -> None:
    with RunFolder.create(tmp_path / "run", overwrite=False) as folder, pytest.raises(ValueError, match="JSON"):
        folder.append("metrics.jsonl", [{"loss": float("nan")}])


def test_an_earlier_run_is_not_overwritten_unasked(tmp_path: Path) -> None:
    path = tmp_path / "run"
    with RunFolder.create(path, overwrite=False) as folder:
        folder.write_text("config.toml", "")
        folder.append("metrics.jsonl", [{"step": 1}])
    with pytest.raises(ConfigError, match="--overwrite"):
        RunFolder.create(path, overwrite=False)
    with RunFolder.create(path, overwrite=True) as folder:
        assert folder.offsets()["metrics.jsonl"] == 0


def test_a_folder_that_is_no_run_is_never_emptied(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ConfigError, match="no run"):
        RunFolder.create(tmp_path, overwrite=True)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize("place", ["/proc/none/run", "/dev/null/run", "/dev/null"])
def test_a_folder_that_cannot_be_made_is_bad_input(place: str) -> None:
    with pytest.raises(ConfigError, match=rf"the run's folder {place} cannot be made: .*take an output_dir where"):
        RunFolder.create(Path(place), overwrite=False)


def test_a_damaged_json_file_says_what_to_do(tmp_path: Path) -> None:
    with RunFolder.create(tmp_path / "run", overwrite=False) as folder:
        assert folder.read_json("manifest.json") == {}
        (folder.path / "manifest.json").write_text("xx")
        with pytest.raises(CheckpointError, match=r"manifest\.json is damaged: .*delete it and go on"):
            folder.read_json("manifest.json")


def test_two_processes_cannot_hold_one_run(tmp_path: Path) -> None:
    path = tmp_path / "run"
    code = f"from pathlib import Path; from lydite.runfolder import RunFolder; RunFolder.open(Path({str(path)!r}))"
    with RunFolder.create(path, overwrite=False) as folder:
        folder.write_text("config.toml", "")
        held = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "in use by another process" in held.stderr
    free = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert free.returncode == 0, free.stderr


def test_a_whole_file_is_old_or_new(tmp_path: Path) -> None:
    with RunFolder.create(tmp_path / "run", overwrite=False) as folder:
        folder.write_json("summary.json", {"steps": 1})
        folder.write_json("summary.json", {"steps": 2})
        assert json.loads((folder.path / "summary.json").read_text()) == {"steps": 2}
        assert not list(folder.path.glob("*.draft"))


def test_what_a_process_left_that_was_killed_before_its_run_began_is_in_nobody_s_way(tmp_path: Path) -> None:
    path = tmp_path / "run"
    RunFolder.create(path, overwrite=False).close()
    (path / "config.toml.draft").write_text("half")
    with RunFolder.create(path, overwrite=False) as folder:
        assert not (folder.path / "config.toml.draft").exists()
