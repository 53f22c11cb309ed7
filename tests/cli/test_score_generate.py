"""`lydite score --generate`: completions made with a tiny model, judged, shown and written."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PLUGIN = """
import lydite

@lydite.reward(range=(0.0, 1.0), isolation="inline")
def vowels(completion):
    return sum(letter in "aeiou" for letter in completion.text) / max(1, len(completion.text))

@lydite.reward(range=(0.0, 1.0), isolation="inline")
def right(answer, reference):
    return float(answer == reference)

@lydite.reward(range=(0.0, 1.0), isolation="inline")
def parity(completions, completion_ids):
    return [float(sum(one) % 2) for one in completion_ids]

@lydite.reward(range=(0.0, 1.0))
async def liked(completion, judge):
    return 1.0 if await judge([{"role": "user", "content": completion.text}]) else 0.5

@lydite.hookimpl
def lydite_rewards():
    return {"mine/vowels": vowels, "mine/right": right, "mine/parity": parity, "mine/liked": liked}
"""
CONFIG = """
plugins = ["lydite-datasets", "lydite-families", "lydite-formats", "lydite-judges"]
plugin_files = ["mine.py"]
[model]
path = "model"
dtype = "bfloat16"
device = "cpu"
[lora]
r = 4
alpha = 8
[data]
use = "jsonl"
options = { path = "train.jsonl" }
check_reference = "off"
[rewards.vowels]
use = "mine/vowels"
[train]
max_steps = 2
num_generations = 4
per_device_train_batch_size = 8
max_completion_length = 8
learning_rate = 0.05
[eval]
n = 5
[eval.reward]
use = "mine/vowels"
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, data, a plugin, a configuration and a run of it."""
    from support.tiny_model import make_tiny_model

    import lydite

    home = tmp_path_factory.mktemp("home")
    make_tiny_model(home / "model", "llama", settings={"num_hidden_layers": 2})
    rows = [{"prompt": f"{n} + 1 =", "reference": str(n + 1)} for n in range(15)]
    (home / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (home / "mine.py").write_text(PLUGIN)
    (home / "sums.toml").write_text(CONFIG)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        lydite.train("sums.toml", display="none")
    return home


@pytest.fixture
def here(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, and the current folder."""
    shutil.copytree(home, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


Json = dict[str, Any]


def lines(path: Path) -> list[Json]:
    """Of JSON; a tiny model says line separators that `splitlines` would take for ends of lines."""
    return [json.loads(line) for line in path.read_text().split("\n") if line]


@pytest.fixture
def generate(lydite: Callable[..., Any], here: Path) -> Callable[..., tuple[Json, list[Json]]]:
    """Runs `lydite score --generate ARGUMENTS`; gives what --json and --out hold."""

    def run(*arguments: str) -> tuple[Json, list[Json]]:
        ran = lydite("score", "--generate", *arguments, "--json", "found.json", "--out", "out.jsonl")
        assert ran.code == 0, ran.err
        return json.loads(Path("found.json").read_text()), lines(Path("out.jsonl"))

    return run


def evals(run: Path) -> list[Json]:
    return lines(run / "evals.jsonl")


def said(rows: list[Json]) -> list[str]:
    return [row["completion"] for row in rows]


def test_what_is_on_the_screen(lydite: Callable[..., Any], here: Path) -> None:
    script = ["--set", "engine.use=scripted", "--set", 'engine.script=["ae", "b", "ab", "b"]']
    ran = lydite("score", "sums.toml", "--generate", "--n", "3", *script)
    assert ran.code == 0, ran.err
    assert "scripted samples 4 of each of 3 prompts from model" in ran.err
    for line in (
        "12 completions in 3 groups, 12 verdicts in",
        "reward  weight   mean  passed",
        "vowels       1  0.375     50%",
        "all           0.375",
        "cut at the limit of 8 tokens: 0 completions",
    ):
        assert line in ran.out
    assert "advantage" not in ran.out
    assert "to compare with" not in ran.out


def test_the_file_has_the_run_s_first_prompts_and_can_be_scored_again(
    lydite: Callable[..., Any], generate: Callable[..., Any], here: Path
) -> None:
    found, rows = generate("sums.toml", "--n", "2")
    trained = lines(here / "runs/sums/completions.jsonl")
    assert [row["sample"] for row in rows] == [row["sample"] for row in trained if row["step"] == 1]
    assert [row["index"] for row in rows] == [0, 1, 2, 3] * 2
    assert "before" not in rows[0]
    assert len(set(said(rows))) > 4
    mean = sum(row["reward"] for row in rows) / len(rows)
    assert found["reward"]["after"]["mean"] == pytest.approx(mean, abs=1e-6)
    assert found["generated"]["tokens"] == sum(row["tokens"] for row in rows)
    again = lydite("score", "out.jsonl", "--stack", "sums.toml", "--json", "again.json")
    assert again.code == 0, again.err
    changed = json.loads(Path("again.json").read_text())
    assert (changed["rows"], changed["groups"], changed["reward"]["changed"]) == (8, 2, 0)
    assert changed["advantages"]["completions_changed"] == 0


def test_the_held_out_figure_is_the_run_s_own_to_the_last_bit(generate: Callable[..., Any], here: Path) -> None:
    first, *_, last = evals(here / "runs/sums")
    for arguments, expected in (
        (["sums.toml"], first),
        (["--run", "sums"], last),
        (["--run", "sums", "sums.toml"], last),
        (["sums.toml", "--adapter", "runs/sums/adapter"], last),
        (["sums.toml", "--adapter", "runs/sums/checkpoints/step-000002"], last),
    ):
        found, rows = generate(*arguments, "--heldout")
        assert said(rows) == said(expected["answers"]), arguments
        assert found["generated"]["heldout"] == {key: expected[key] for key in ("metric", "value", "n")}
    assert said(first["answers"]) != said(last["answers"])


def test_a_run_that_was_stopped_answers_by_its_newest_checkpoint(generate: Callable[..., Any], here: Path) -> None:
    shutil.rmtree(here / "runs/sums/adapter")
    _, rows = generate("--run", "sums", "--heldout")
    assert said(rows) == said(evals(here / "runs/sums")[-1]["answers"])


def test_a_run_that_trained_every_weight(generate: Callable[..., Any], here: Path) -> None:
    import lydite
    from lydite.configfile import read_config

    lydite.train(read_config("sums.toml", overrides=["lora.enabled=false"], name="full"), display="none")
    first, *_, last = evals(here / "runs/full")
    assert said(first["answers"]) != said(last["answers"])
    for arguments in (
        ["--run", "full"],
        ["sums.toml", "--set", "lora.enabled=false", "--adapter", "runs/full/adapter"],
    ):
        found, _ = generate(*arguments, "--heldout")
        assert found["generated"]["heldout"]["value"] == last["value"]


def test_how_many_how_hot_and_how_long(generate: Callable[..., Any]) -> None:
    _, greedy = generate("sums.toml", "--num-generations", "1", "--temperature", "0", "--n", "4")
    assert len(greedy) == 4
    _, cold = generate("sums.toml", "--num-generations", "1", "--temperature", "1e-4", "--n", "4")
    assert said(greedy) == said(cold)
    found, longer = generate("sums.toml", "--num-generations", "3", "--n", "2", "--max-completion-length", "12")
    assert len(longer) == 6
    assert 8 < max(row["tokens"] for row in longer) <= 12
    assert found["generated"]["temperature"] == 1.0
    found, drawn = generate("sums.toml", "--heldout", "--num-generations", "3")
    assert len(drawn) == 15
    assert found["generated"]["temperature"] == 1.0
    assert len({*said(drawn[:3])}) > 1


def test_small_calls_of_the_engine_make_the_same_completions(
    generate: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from lydite.rollout.hf import HfEngine

    asked: list[int] = []
    sample = HfEngine.generate

    def counted(self: HfEngine, prompts: Any, *arguments: Any, **named: Any) -> Any:
        asked.append(len(prompts))
        return sample(self, prompts, *arguments, **named)

    monkeypatch.setattr(HfEngine, "generate", counted)
    # Float32: in 16 bit a batch of another size may round a sum to another token.
    _, together = generate("sums.toml", "--set", "dtype=float32")
    assert asked == [10]
    monkeypatch.setattr("lydite.generate.wanted.COMPLETIONS_AT_ONCE", 16)
    _, apart = generate("sums.toml", "--set", "dtype=float32")
    assert asked[1:] == [4, 4, 2]
    assert apart == together


def test_other_rewards_and_another_way_to_read_the_answer(generate: Callable[..., Any], here: Path) -> None:
    (here / "stack.toml").write_text(
        'plugin_files = ["mine.py"]\n[rewards.odd]\nuse = "mine/parity"\nweight = 0.5\n'
        '[rewards.right]\nuse = "mine/right"\n[format]\nuse = "tags"\n'
    )
    found, rows = generate("sums.toml", "--stack", "stack.toml", "--n", "3", "--set", "rewards.odd.weight=2.0")
    assert list(found["rewards"]) == ["odd", "right"]
    assert found["rewards"]["odd"]["weight"] == 2.0
    assert 0 < found["rewards"]["odd"]["mean"] < 1, "the rewards saw the tokens themselves"
    assert all(row["format_error"] for row in rows), "read as the stack reads, which wants tags"
    assert "<answer>" not in rows[0]["prompt"], "asked as the configuration asks"
    found, _ = generate("sums.toml", "--stack", "stack.toml", "--heldout")
    assert list(found["rewards"]) == ["odd", "right"]
    assert found["generated"]["heldout"] is None


def test_the_judge_engine_is_there(generate: Callable[..., Any]) -> None:
    found, _ = generate(
        "sums.toml", "--n", "1", "--workers", "1", "--set", "rewards.liked.use=mine/liked",
        "--set", "rewards.liked.judge=engine", "--set", "rewards.liked.judge_options.max_tokens=4",
    )  # fmt: skip
    assert found["rewards"]["liked"]["status"]["ok"] == 4


def test_completions_are_asked_for_as_they_are_taken_and_progress_is_told() -> None:
    from lydite.generate.fresh import FreshCompletions
    from lydite.rollout import Sampling
    from lydite.rollout.scripted import ScriptedEngine
    from lydite.types import Prompt, Sample

    told: list[tuple[int, int]] = []
    prompts = [Prompt(Sample(str(place), "?"), "?", (1,)) for place in range(5)]
    fresh = FreshCompletions(
        ScriptedEngine(["a b", "c d e"]), prompts, Sampling(2, 3), 0, 2, lambda done, of: told.append((done, of))
    )
    groups = fresh.groups()
    first = next(groups)
    assert [(number, row.text, row.sample.id) for number, row in first] == [(0, "a b", "0"), (1, "c d", "0")]
    assert told == [(2, 5)]
    assert [number for rows in groups for number, _ in rows] == list(range(2, 10))
    assert told == [(2, 5), (4, 5), (5, 5)]
    counts = fresh.counts()
    assert (counts["prompts"], counts["tokens"], counts["truncated"]) == (5, 30, 10)


class Broken:
    """An engine that gives out at its second call."""

    name = "broken"

    def __init__(self, error: BaseException) -> None:
        self.error, self.calls, self.closed = error, 0, False

    def generate(self, prompts: Any, sampling: Any, seed: int) -> Any:
        from lydite.rollout.scripted import ScriptedEngine

        self.calls += 1
        if self.calls > 1:
            raise self.error
        return ScriptedEngine(["a"]).generate(prompts, sampling, seed)

    def take_adapter(self, policy: Any) -> None: ...

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize("how", ["engine", "interrupted"])
def test_nothing_is_left_of_a_scoring_that_breaks_off(
    how: str, lydite: Callable[..., Any], here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lydite.errors import EngineError

    engine = Broken(KeyboardInterrupt() if how == "interrupted" else EngineError("out of memory"))
    monkeypatch.setattr("lydite.generate.make_engine", lambda *_: engine)
    monkeypatch.setattr("lydite.generate.wanted.COMPLETIONS_AT_ONCE", 16)
    before = sorted(here.iterdir())
    (here / "out.jsonl").write_text("kept\n")
    ran = lydite("score", "sums.toml", "--generate", "--out", "out.jsonl", "--json", "found.json")
    assert (ran.code, engine.calls) == ((130, 2) if how == "interrupted" else (1, 3))
    assert ("interrupted; nothing was written" if how == "interrupted" else "error: out of memory") in ran.err
    assert (here / "out.jsonl").read_text() == "kept\n"
    assert sorted(here.iterdir()) == sorted([*before, here / "out.jsonl"])
    assert engine.closed


WRONG: dict[str, tuple[list[str], int, str]] = {
    "no configuration": ([], 2, "--generate needs a run's configuration"),
    "no model": (["stack.toml"], 2, "stack.toml: model: not given, expected a table [model]"),
    "a run's folder": (["runs/sums"], 2, "lydite score --generate --run runs/sums"),
    "no such run": (["--run", "smus"], 2, "there is no such run; did you mean 'runs/sums'?"),
    "a run that learned nothing": (["--run", "new"], 2, "it has learned nothing"),
    "no such adapter": (["sums.toml", "--adapter", "runs/sums/adaptor"], 2, "did you mean 'adapter'?"),
    "no adapter": (["sums.toml", "--adapter", "runs/sums/checkpoints"], 2, "runs/sums/checkpoints holds no adapter"),
    "a run for an adapter": (["sums.toml", "--adapter", "runs/sums"], 2, "is a run and no adapter; take --run"),
    "a model for an adapter": (["sums.toml", "--adapter", "model"], 2, "is a whole model and no adapter"),
    "a damaged checkpoint": (["sums.toml", "--adapter", "damaged/step-000002"], 1, "adapter.safetensors is damaged"),
    "another rank": (["sums.toml", "--set", "lora.r=8", "--run", "sums"], 2, "set lora.r = 4"),
    "another alpha": (["sums.toml", "--set", "lora.alpha=9", "--run", "sums"], 2, "set lora.alpha = 8"),
    "another alpha than the checkpoint's": (
        ["sums.toml", "--set", "lora.alpha=9", "--adapter", "runs/sums/checkpoints/step-000002"], 2, "lora.alpha = 8",
    ),
    "no adapter wanted": (["--set", "lora.enabled=false", "--run", "sums"], 2, "set lora.enabled = true"),
    "two adapters": (["--run", "sums", "--adapter", "runs/sums/adapter"], 2, "leave one of them out"),
    "nothing held out": (["sums.toml", "--set", "eval=", "--heldout"], 2, "has no [eval] table"),
    "more than there is": (["sums.toml", "--n", "11"], 1, "11 prompts to train on are asked for, and the run has 10"),
    "the same four times": (["sums.toml", "--temperature", "0"], 2, "at temperature 0 all 4 completions"),
    "a temperature below 0": (["sums.toml", "--temperature", "-1"], 2, "a temperature is a number from 0"),
    "an engine": (["sums.toml", "--engine", "vlm"], 2, "engine.use"),
    "a folder to write to": (["sums.toml", "--out", "model"], 2, "model cannot be written: it is a folder"),
    "an option of saved ones": (["sums.toml", "--group-size", "4"], 2, "--group-size is about saved completions"),
    "a format": (["sums.toml", "--format", "tags"], 2, "--format is about saved completions"),
}  # fmt: skip


@pytest.mark.parametrize("case", list(WRONG))
def test_what_is_wrong_is_said_before_anything_is_sampled(
    case: str, lydite: Callable[..., Any], here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sampled(*_: object) -> None:
        raise AssertionError("something was sampled")

    monkeypatch.setattr("lydite.generate.FreshCompletions.groups", sampled)
    (here / "stack.toml").write_text('[rewards.vowels]\nuse = "mine/vowels"\n')
    (here / "runs/new").mkdir()
    shutil.copy("sums.toml", "runs/new/config.toml")
    shutil.copytree("runs/sums/checkpoints", "damaged")
    (here / "damaged/step-000002/adapter.safetensors").write_bytes(b"0")
    arguments, code, message = WRONG[case]
    out = [] if "--out" in arguments else ["--out", "out.jsonl"]
    ran = lydite("score", "--generate", *arguments, *out)
    assert message in ran.err
    assert "\nerror: " in "\n" + ran.err
    assert ran.code == code
    assert not (here / "out.jsonl").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["out.jsonl", "--stack", "sums.toml", "--n", "4"], "--n is about new completions; add --generate"),
        (["out.jsonl", "--stack", "sums.toml", "--heldout"], "--heldout is about new completions"),
        (["out.jsonl", "--stack", "sums.toml", "--temperature", "0"], "--temperature is about new completions"),
        (["sums.toml"], "or --generate with a run's configuration"),
        (["--stack", "sums.toml"], "score needs saved completions"),
    ],
)
def test_options_of_new_completions_want_generate(
    arguments: list[str], message: str, lydite: Callable[..., Any], here: Path
) -> None:
    ran = lydite("score", *arguments)
    assert (ran.code, message in ran.err) == (2, True)


def test_an_adapter_of_another_model_is_refused(lydite: Callable[..., Any], here: Path) -> None:
    from support.tiny_model import make_tiny_model

    make_tiny_model(here / "wide", "llama", settings={"hidden_size": 128})
    ran = lydite("score", "--generate", "--run", "sums", "--set", "model.path=wide", "--out", "out.jsonl")
    assert ran.code == 1
    assert "runs/sums/adapter was trained on the model model, and the configuration's is wide" in ran.err
    assert "does not fit" in ran.err
    assert "it is of another model" in ran.err
    assert not (here / "out.jsonl").exists()
