"""`lydite train` and `lydite report` for real, on a tiny model; and every bad input refused before one is loaded."""

import errno
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

CONFIG = """
plugins = ["lydite-datasets", "lydite-families", "lydite-formats", "lydite-text"]
[model]
path = "model"
dtype = "float32"
device = "cpu"
[data]
use = "jsonl"
options = { path = "train.jsonl" }
[rewards.correct]
use = "text/exact"
[train]
max_steps = 2
num_generations = 2
per_device_train_batch_size = 4
max_completion_length = 6
save_steps = 1
[stack]
workers = 1
"""
MINE = """
import lydite

def brief(completion, *, limit: int = 4):
    return float(len(completion.text) <= limit)

@lydite.hookimpl
def lydite_rewards():
    return {"mine/brief": brief}
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from support.tiny_model import make_tiny_model

    return make_tiny_model(tmp_path_factory.mktemp("tiny") / "model", "llama")


@pytest.fixture
def here(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a model, data, a plugin file and a configuration, and the current one."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").symlink_to(model)
    rows = [{"prompt": f"{n} + 1 =", "reference": str(n + 1)} for n in range(6)]
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "sums.toml").write_text(CONFIG)
    return tmp_path


def metrics(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_a_run_from_file_flags_and_plugin_file_then_its_report(lydite: Callable[..., Any], here: Path) -> None:
    ran = lydite(
        "train", "sums.toml", "--name", "first", "--plugin", "mine.py", "--no-plugin", "lydite-families",
        "--set", "rewards.brief.use=mine/brief", "--set", "rewards.brief.options.limit=3", "--set", "max_steps=3",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    assert all("labelled rows" in line for line in ran.err.splitlines()), "nothing but what is known of the rewards"
    folder = here / "runs" / "first"
    assert [line["step"] for line in metrics(folder)] == [1, 2, 3]
    assert "rewards/brief/mean" in metrics(folder)[0]
    plugins = json.loads((folder / "summary.json").read_text())["plugins"]
    assert "lydite-families" not in plugins
    assert "file mine.py" in plugins
    assert f'plugin_files = [\n    "{here}/mine.py",\n]' in (folder / "config.toml").read_text()
    (folder / "report.html").unlink()
    ran = lydite("report", "first")
    assert ran.out == "runs/first/report.html\n"
    assert (folder / "report.html").is_file()


@pytest.mark.slow
def test_a_name_that_is_taken_is_kept_unless_told(lydite: Callable[..., Any], here: Path) -> None:
    assert lydite("train", "sums.toml").code == 0
    ran = lydite("train", "sums.toml", "--set", "max_steps=1")
    assert ran.code == 2
    assert "--overwrite" in ran.err
    assert len(metrics(here / "runs" / "sums")) == 2
    assert lydite("train", "sums.toml", "--set", "max_steps=1", "--overwrite").code == 0
    assert len(metrics(here / "runs" / "sums")) == 1


@pytest.mark.slow
def test_resume_goes_on_and_refuses_another_configuration(lydite: Callable[..., Any], here: Path) -> None:
    assert lydite("train", "sums.toml").code == 0
    folder = here / "runs" / "sums"
    whole = (folder / "metrics.jsonl").read_bytes()
    shutil.rmtree(sorted((folder / "checkpoints").glob("step-*"))[-1])  # as if it had been killed in its last step
    ran = lydite("train", "--resume", "sums")
    assert ran.code == 0
    assert "going on after step 1" in ran.err
    assert (folder / "metrics.jsonl").read_bytes() == whole

    ran = lydite("train", "sums.toml", "--resume", "sums", "--set", "learning_rate=0.5")
    assert ran.code == 2
    assert "train.learning_rate: 1e-05 -> 0.5" in ran.err
    assert lydite("train", "sums.toml", "--resume", "sums").code == 0


@pytest.mark.slow
@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_says_how_to_go_on(here: Path, sent: signal.Signals, code: int) -> None:
    command = [Path(sys.executable).parent / "lydite", "train", "sums.toml", "--set", "max_steps=100000"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    written = here / "runs" / "sums" / "metrics.jsonl"
    deadline = time.monotonic() + 120
    while not (written.is_file() and written.stat().st_size) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(process.pid, sent)
    _, said = process.communicate(timeout=60)
    assert process.returncode == code
    assert re.search(r"interrupted; .* saved.*; to go on: lydite train --resume runs/sums\n$", said)
    assert "Traceback" not in said


BAD: dict[str, tuple[list[str], int, str]] = {
    "unknown key": (["train.max_step=3"], 2, "did you mean 'max_steps'?"),
    "wrong type": (["max_steps=few"], 2, 'got "few", expected a whole number'),
    "one completion a prompt": (["num_generations=1"], 2, "num_generations = 1 leaves nothing to measure"),
    "a batch that does not divide": (["per_device_train_batch_size=5"], 2, "a step samples 5 completions"),
    "missing data": (["data.options.path=trian.jsonl"], 1, "trian.jsonl"),
    "empty data": (["data.options.path=empty.jsonl"], 1, "empty.jsonl"),
    "missing column": (["data.options.reference=gold"], 1, "gold"),
    "a column that a reward asks for": (["rewards.correct.use=mine/town"], 2, "town"),
    "an unknown reward": (["rewards.correct.use=text/exakt"], 2, "did you mean 'text/exact'?"),
    "an unknown option": (["rewards.correct.options.csae=true"], 2, "did you mean 'case'?"),
    "an unknown data set": (["data.use=jsnol"], 2, "did you mean 'jsonl'?"),
    "an unknown format": (["format.use=tgas"], 2, "did you mean 'tags'?"),
    "a plugin that is not allowed": (['plugins=["lydite-datasets"]'], 2, "installed but not in this run's list"),
    "a plugin that is not installed": (['plugins=["lydite-textt"]'], 2, "did you mean 'lydite-text'?"),
    "a missing model": (["model.path=./modle"], 2, "modle"),
    "a model without a tokenizer": (["model.path=headless"], 2, "tokenizer"),
}


@pytest.mark.slow
@pytest.mark.parametrize("dry", [True, False], ids=["dry-run", "train"])
@pytest.mark.parametrize("case", list(BAD))
def test_bad_input_is_refused_before_a_model_is_loaded(
    lydite: Callable[..., Any], here: Path, model: Path, monkeypatch: pytest.MonkeyPatch, case: str, dry: bool
) -> None:
    def loaded(*_: object) -> None:
        raise AssertionError("a model was loaded")

    monkeypatch.setattr("lydite.distributed.loading.load_policy", loaded)
    (here / "empty.jsonl").write_text("\n")
    (here / "mine.py").write_text(
        MINE.replace("completion, *", "completion, town, *").replace("mine/brief", "mine/town")
    )
    shutil.copytree(model, here / "headless", ignore=shutil.ignore_patterns("tokenizer*", "special*", "chat_template*"))
    changes, code, said = BAD[case]
    sets = [word for one in changes for word in ("--set", one)]
    ran = lydite("train", "sums.toml", "--plugin", "mine.py", *sets, *(["--dry-run"] if dry else []))
    assert ran.err.startswith("error: ")
    assert said in ran.err
    assert ran.code == code
    assert not (here / "runs").exists()


@pytest.mark.slow
def test_a_dry_run_of_what_is_in_order_says_what_it_found(lydite: Callable[..., Any], here: Path) -> None:
    ran = lydite("train", "sums.toml", "--dry-run")
    assert (ran.code, ran.err) == (0, "")
    assert "data: 6 to train on" in ran.out
    assert "correct (text/exact, weight 1)" in ran.out
    assert not (here / "runs").exists()


@pytest.mark.slow
def test_a_missing_plugin_file_is_told_by_what_named_it(lydite: Callable[..., Any], here: Path) -> None:
    (here / "named.toml").write_text('plugin_files = ["mien.py"]\n' + CONFIG)
    ran = lydite("train", "named.toml", "--dry-run")
    missing, meant = here / "mien.py", here / "mine.py"
    assert ran.err == f"error: plugin_files: {missing}: there is no such file; did you mean '{meant}'?\n"
    assert ran.code == 2
    (here / "rows.jsonl").write_text('{"gold": "2", "pred": "2", "expected": true}\n')
    for command in (
        ["train", "sums.toml"], ["plan", "sums.toml"], ["check", "mine/brief"], ["audit", "mine/brief", "rows.jsonl"],
        ["plugins", "list"], ["doctor"], ["score", "train.jsonl", "--stack", "sums.toml"],
    ):  # fmt: skip
        ran = lydite(*command, "--plugin", "mien.py")
        assert ran.err == "error: --plugin mien.py: there is no such file; did you mean 'mine.py'?\n", command
        assert ran.code == 2
    assert lydite("doctor", "--plugin", "sums.toml").err == "error: --plugin sums.toml: not a Python file\n"


@pytest.mark.slow
def test_what_is_allowed_and_will_surprise_is_said_once_at_the_start(lydite: Callable[..., Any], here: Path) -> None:
    prompts = ["1 + 1 =", "2 + 1 =", "1 + 1 =", "3 + 1 =", "1 + 1 =", "4 + 1 ="]
    rows = [{"prompt": prompt, "reference": "2"} for prompt in prompts]
    (here / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    ran = lydite("train", "sums.toml", "--set", "warmup_steps=3", "--set", "learning_rate=0.004", "--dry-run")
    warmup, copies = ran.err.splitlines()
    assert warmup.startswith("warning: train.warmup_steps = 3, and the run makes 2 updates: the rate rises to 0.002 ")
    assert "never reaches train.learning_rate = 0.004" in warmup
    assert copies.startswith("warning: 2 of 6 prompts to train on are copies of another one, word for word (33%)")
    assert ran.code == 0


class Full(io.TextIOBase):
    """A stream into a file on a full disk."""

    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.slow
def test_output_that_there_is_no_room_for_ends_no_run(
    lydite: Callable[..., Any], here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", Full())
    monkeypatch.setattr(sys, "stderr", Full())
    assert lydite("train", "sums.toml", "--set", "warmup_steps=3", "--set", "max_steps=1").code == 0
    assert json.loads((here / "runs" / "sums" / "summary.json").read_text())["steps"] == 1
    assert lydite("train", "none.toml").code == 2
