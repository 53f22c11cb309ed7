"""Each check stops a run at its first step when exactly what it watches is broken, and no healthy run."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import lydite
from lydite import api, learner, optimizer
from lydite.config import EngineConfig, RunConfig, SentinelsConfig
from lydite.errors import SentinelError
from lydite.objective import Batch, LossMetrics, build_batch
from lydite.policy import Policy
from lydite.rollout import Engine, Sampling, make_engine
from lydite.rollout.engine import CanaryAnswer
from lydite.sentinels import CANARY_TEXT, Sentinels, canary_prompt, fingerprint
from lydite.types import Prompt, Rollout

Broken = Callable[[Callable[[RunConfig, Policy], Any]], None]


@pytest.fixture
def quick(settings: dict[str, Any]) -> dict[str, Any]:
    """As `settings`, without a worker and an evaluation, and two steps long."""
    del settings["rewards"]["brief"], settings["eval"]
    settings["train"].update(max_steps=2)
    return settings


@pytest.fixture(autouse=True)
def _no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """A report takes as long as these runs, and is no part of what is tested."""
    monkeypatch.setattr(api, "write_report", lambda folder: folder / "none")


@pytest.fixture
def engine_is(monkeypatch: pytest.MonkeyPatch) -> Broken:
    """Has the next runs sample with the engine that a function makes."""
    return lambda make: monkeypatch.setattr(api, "make_engine", make)


class Wrapped:
    """The engine of the configuration, for tests that break a part of it."""

    name = "broken"
    shares_weights = False

    def __init__(self, config: RunConfig, policy: Policy) -> None:
        self.inner = make_engine(config, policy)
        self.policy = policy

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling, seed: int) -> list[Rollout]:
        return self.inner.generate(prompts, sampling, seed)

    def canary(self, prompt: Prompt, tokens: int) -> CanaryAnswer | None:
        return self.inner.canary(prompt, tokens)

    def take_adapter(self, policy: Policy) -> None:
        self.inner.take_adapter(policy)

    def close(self) -> None:
        self.inner.close()


class Stale(Wrapped):
    """Goes on with the adapter that was handed over before the first step, or after step `last`."""

    def __init__(self, config: RunConfig, policy: Policy, last: int = 0) -> None:
        super().__init__(config, policy)
        self.left = last + 1
        self.held = policy.adapter_state()

    def take_adapter(self, policy: Policy) -> None:
        if self.left:
            self.held = policy.adapter_state()
            self.left -= 1

    def canary(self, prompt: Prompt, tokens: int) -> CanaryAnswer | None:
        present = self.policy.adapter_state()
        self.policy.load_adapter_state(self.held)
        answer = super().canary(prompt, tokens)
        self.policy.load_adapter_state(present)
        return answer


class Caching(Wrapped):
    """Keeps a block of its prefix cache from the second hand-over on."""

    taken = 0

    def take_adapter(self, policy: Policy) -> None:
        self.taken += 1

    def canary(self, prompt: Prompt, tokens: int) -> CanaryAnswer | None:
        answer = super().canary(prompt, tokens)
        assert answer is not None
        return replace(answer, cached_tokens=16 if self.taken > 1 else 0)


class Odd(Wrapped):
    """Answers its canaries as it is told."""

    def __init__(self, config: RunConfig, policy: Policy, token_ids: tuple[int, ...], logps: tuple[float, ...]) -> None:
        super().__init__(config, policy)
        self.answer = CanaryAnswer(token_ids, logps, 0)

    def canary(self, prompt: Prompt, tokens: int) -> CanaryAnswer | None:
        return self.answer


def metrics(folder: Path) -> list[dict[str, Any]]:
    path = folder / "metrics.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def stopped(config: dict[str, Any], here: Path, pattern: str, finished: int = 0) -> str:
    """What the run says that stops after so many finished steps."""
    with pytest.raises(SentinelError, match=pattern) as raised:
        lydite.train(config, display="none")
    assert len(metrics(here / "runs" / "run")) == finished
    said = str(raised.value)
    assert "Look at" in said
    assert "sentinels.enabled = false" in said
    return said


@pytest.mark.parametrize("lora", [True, False], ids=["adapter", "every weight"])
def test_a_healthy_run_passes_and_shows_how_close_engine_and_trainer_are(quick: dict[str, Any], lora: bool) -> None:
    quick["lora"]["enabled"] = lora
    result = lydite.train(quick, display="none")
    first, *later = metrics(result.folder)
    assert 0.0 <= first["sampling/canary_logp_difference/mean"] <= first["sampling/canary_logp_difference/max"] < 1e-4
    assert later
    assert not any("canary" in name for line in later for name in line)  # the engine reads the weights themselves
    timings = [json.loads(line) for line in (result.folder / "timings.jsonl").read_text().splitlines()]
    assert all(0.0 < one["time/sentinels"] < one["step_time"] for one in timings)


def test_an_optimiser_that_does_nothing(quick: dict[str, Any], here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It holds copies of the parameters, as after a model was moved or wrapped behind its back."""
    make = optimizer.make_optimizer

    def on_copies(parameters: Any, config: Any) -> Any:
        return make([torch.nn.Parameter(one.detach().clone()) for one in parameters], config)

    monkeypatch.setattr(learner, "make_optimizer", on_copies)
    said = stopped(quick, here, r"^step 1: there was a gradient, and yet not one of the \d+ tensors .* has changed")
    assert "learning_rate" in said
    lydite.train({**quick, "name": "off", "sentinels": {"enabled": False}}, display="none")


def test_a_gradient_that_does_not_reach_the_adapter(
    quick: dict[str, Any], here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden_states = Policy.packed_hidden_states

    def cut_off(self: Policy, *given: Any) -> Any:
        states = hidden_states(self, *given)
        return states.detach().requires_grad_() if torch.is_grad_enabled() else states

    monkeypatch.setattr(Policy, "packed_hidden_states", cut_off)
    said = stopped(quick, here, r"^step 1: every gradient is exactly 0, although \d+ tokens")
    assert "lora.target_modules" in said
    result = lydite.train({**quick, "name": "off", "sentinels": {"enabled": False}}, display="none")
    assert {line["grad_norm"] for line in metrics(result.folder)} == {0.0}
    assert not any("canary" in name for line in metrics(result.folder) for name in line)


def test_rewards_that_are_all_the_same_make_no_gradient_and_stop_nothing(quick: dict[str, Any]) -> None:
    same = lydite.reward(isolation="inline")(lambda completion: 0.5)
    result = lydite.train({**quick, "rewards": {}}, rewards={"same": same}, display="none")
    assert {line["grad_norm"] for line in metrics(result.folder)} == {0.0}


def test_a_step_whose_completions_are_all_masked_stops_nothing(quick: dict[str, Any]) -> None:
    quick["train"].update(mask_truncated_completions=True, max_completion_length=1)
    result = lydite.train(quick, display="none")
    assert {line["grad_norm"] for line in metrics(result.folder)} == {0.0}


def test_an_engine_that_samples_from_an_old_adapter(quick: dict[str, Any], here: Path, engine_is: Broken) -> None:
    quick["train"].update(learning_rate=0.5)
    engine_is(Stale)
    said = stopped(quick, here, r"^step 1: the engine broken and the trainer differ up to [\d.]+ nats")
    assert "sentinels.max_logp_gap = 0.5" in said
    result = lydite.train({**quick, "name": "wide", "sentinels": {"max_logp_gap": 1e6}}, display="none")
    assert metrics(result.folder)[0]["sampling/canary_logp_difference/max"] > 0.5
    engine_is(Wrapped)
    lydite.train({**quick, "name": "fresh"}, display="none")


def test_an_engine_that_reads_an_older_adapter_s_cache(quick: dict[str, Any], here: Path, engine_is: Broken) -> None:
    engine_is(Caching)
    said = stopped(quick, here, r"^step 1: right after it took the new adapter, the engine broken read 16 of the \d+")
    assert "empties its prefix cache" in said


@pytest.mark.parametrize(
    ("token_ids", "logps", "told"),
    [((5,), (float("nan"),), "differ up to nan nats"), ((), (), "it gave no token")],
    ids=["no number", "no token"],
)
def test_an_engine_that_answers_nonsense_does_not_begin(
    quick: dict[str, Any],
    here: Path,
    engine_is: Broken,
    token_ids: tuple[int, ...],
    logps: tuple[float, ...],
    told: str,
) -> None:
    engine_is(lambda config, policy: Odd(config, policy, token_ids, logps))
    stopped(quick, here, rf"^step 0: .*{told}")


def test_an_engine_without_log_probabilities_is_not_asked(quick: dict[str, Any]) -> None:
    quick["engine"] = EngineConfig(use="scripted", script=("aaa", "bb", "eio", "k")).model_dump()
    for line in metrics(lydite.train(quick, display="none").folder):
        assert line["grad_norm"] > 0
        assert not any(name.startswith("sampling/") for name in line)


@pytest.mark.parametrize(
    ("make", "given", "steps", "expected"),
    [
        (Wrapped, {}, 21, [1, 2, 3, 10, 20]),
        (Wrapped, {"canary_steps": 4}, 9, [1, 2, 3, 4, 8]),
        (Wrapped, {"canary_steps": 1}, 5, [1, 2, 3, 4, 5]),
        (make_engine, {"canary_steps": 1}, 5, [1]),
    ],
    ids=["by default", "every fourth", "every step", "shares the weights"],
)
def test_the_steps_that_have_a_canary(
    quick: dict[str, Any],
    engine_is: Broken,
    make: Callable[[RunConfig, Policy], Engine],
    given: dict[str, int],
    steps: int,
    expected: list[int],
) -> None:
    quick["train"].update(max_steps=steps, save_steps=steps, num_iterations=1)
    engine_is(make)
    lines = metrics(lydite.train({**quick, "sentinels": given}, display="none").folder)
    assert [line["step"] for line in lines] == list(range(1, steps + 1))
    for figure in ("mean", "max"):
        assert [line["step"] for line in lines if f"sampling/canary_logp_difference/{figure}" in line] == expected


def test_a_run_that_goes_on_later_asks_after_the_same_steps(quick: dict[str, Any]) -> None:
    """Not counted from its own beginning: what a step's line holds must not depend on where a run was cut."""
    policy = lydite.load_policy(quick)
    sentinels = Sentinels(SentinelsConfig(), policy, Wrapped(RunConfig.model_validate(quick), policy))
    sentinels.canary(6)
    assert [step for step in range(7, 31) if sentinels.after_hand_over(step)] == [10, 20, 30]


@pytest.mark.parametrize(("given", "found"), [({}, 10), ({"canary_steps": 1}, 5)], ids=["by default", "every step"])
def test_an_engine_that_stops_taking_the_adapter_later(
    quick: dict[str, Any], here: Path, engine_is: Broken, given: dict[str, float], found: int
) -> None:
    quick["train"].update(max_steps=12, learning_rate=0.05)
    engine_is(lambda config, policy: Stale(config, policy, last=4))
    given = {"max_logp_gap": 1e-3, **given}  # ten times what rounding makes of it here, and less than any update
    stopped({**quick, "sentinels": given}, here, rf"^step {found}: the engine broken and the trainer differ", found - 1)


def test_the_canary_is_asked_right_after_a_hand_over_of_a_prompt_that_fills_blocks(
    quick: dict[str, Any], engine_is: Broken
) -> None:
    told: list[tuple[str, int]] = []

    class Watched(Wrapped):
        def take_adapter(self, policy: Policy) -> None:
            told.append(("adapter", 0))

        def canary(self, prompt: Prompt, tokens: int) -> CanaryAnswer | None:
            told.append(("canary", tokens))
            assert len(prompt.token_ids) >= 48
            answer = super().canary(prompt, tokens)
            assert answer is not None
            assert len(answer.token_ids) <= tokens
            return answer

        def generate(self, prompts: Sequence[Prompt], sampling: Sampling, seed: int) -> list[Rollout]:
            told.append(("rollout", 0))
            return super().generate(prompts, sampling, seed)

    engine_is(Watched)
    lydite.train({**quick, "sentinels": {"canary_tokens": 5}}, display="none")
    one = [("adapter", 0), ("canary", 5)]
    assert told == [*one, ("rollout", 0), *one, ("rollout", 0), *one]


def test_the_prompt_has_enough_tokens_for_vocabularies_of_whole_words(quick: dict[str, Any]) -> None:
    """A token for each word is as few as a tokenizer makes of plain English."""
    assert len(CANARY_TEXT.split()) >= 48
    assert CANARY_TEXT in canary_prompt(lydite.load_policy(quick)).text


@pytest.mark.parametrize("size", [1, 100, 100_000])
def test_the_fingerprint_changes_with_the_last_bit_of_one_number(size: int) -> None:
    weights = [torch.randn(size, generator=torch.Generator().manual_seed(0)) * 10, torch.zeros(3, 2)]
    before = fingerprint(weights)
    assert torch.equal(before, fingerprint([one.clone() for one in weights]))
    with torch.no_grad():
        weights[0][size // 2] = torch.nextafter(weights[0][size // 2], torch.tensor(1e9))
    after = fingerprint(weights)
    assert not torch.equal(before, after)
    assert torch.equal(before[1], after[1])


# The gradient of an update that is 0 for a good reason

CUT = 9


@pytest.fixture(scope="module")
def batch() -> Callable[..., Batch]:
    """A batch of completions of one prompt, with the advantages asked for; those with a 9 are cut and masked."""

    def make(answers: tuple[tuple[int, ...], ...], advantages: tuple[float, ...]) -> Batch:
        from lydite.types import Completion, Generated, Parsed, Sample, Scored, ScoredCompletion, ScoredGroup

        made = [
            ScoredCompletion(
                Generated(ids, "", "", "length" if CUT in ids else "stop"),
                Completion("", Parsed("")),
                {},
                0.0,
                advantage,
            )
            for ids, advantage in zip(answers, advantages, strict=True)
        ]
        group = ScoredGroup(Prompt(Sample("a", "a"), "a", (1, 2)), tuple(made))
        return build_batch(Scored((group,), {}, {}), pad_token_id=0, device="cpu", mask_truncated_completions=True)

    return make


@pytest.mark.parametrize(
    ("answers", "advantages", "live", "stops"),
    [
        (((3, 4), (3, 5)), (1.0, -1.0), 4, True),
        (((3, 4), (3, 4)), (1.0, -1.0), 4, False),
        (((3, 4), (3, 4), (5,)), (1.0, -0.5, -0.5), 5, True),
        (((3, 4), (3, 4), (3, CUT)), (1.0, -1.0, 0.7), 4, False),
        (((3, 4), (3, 5)), (1.0, -1.0), 0, False),
    ],
    ids=[
        "two answers",
        "one answer that is paid now and then",
        "one answer of two",
        "and one that is masked",
        "all clipped",
    ],
)
def test_only_a_gradient_that_should_be_there_is_missed(
    quick: dict[str, Any],
    batch: Callable[..., Batch],
    answers: tuple[tuple[int, ...], ...],
    advantages: tuple[float, ...],
    live: int,
    stops: bool,
) -> None:
    zero = torch.tensor(0.0)
    parts = [LossMetrics(zero + 4, zero + live, None, None, zero, zero, zero, zero)]
    policy = lydite.load_policy(quick)
    engine: Engine = Wrapped(RunConfig.model_validate(quick), policy)
    sentinels = Sentinels(SentinelsConfig(), policy, engine)
    rows = batch(answers, advantages)
    sentinels.saw_gradient(0.1, parts, rows, 3)
    if stops:
        with pytest.raises(SentinelError, match=f"step 3: every gradient is exactly 0, although {live} tokens"):
            sentinels.saw_gradient(0.0, parts, rows, 3)
    else:
        sentinels.saw_gradient(0.0, parts, rows, 3)
