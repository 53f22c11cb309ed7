"""Episodes that vLLM speaks in: those of the engine `hf`, each turn read from where the last one ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from support.vllm_policies import trained

from lydite import Message, Observation, Sample
from lydite.config import EnvironmentConfig
from lydite.environments import Environments
from lydite.environments.episodes import EpisodeEngine
from lydite.plugins import Offer, Owner
from lydite.policy import Policy
from lydite.rollout import Engine, Sampling
from lydite.rollout.hf import HfEngine
from lydite.rollout.vllm.engine import VllmEngine
from lydite.types import Prompt, Rollout

CLOSE = 1e-4  # of float32 log-probabilities whose sums are taken in another order
TURNS = 3


class Echo:
    """Says how long a turn was; an even length lasts longer."""

    def reset(self, sample: Sample) -> Sequence[Message]:
        return ()

    def step(self, reply: str) -> Observation:
        return Observation("go on" if len(reply) % 2 else f"{len(reply)} letters", reward=float(len(reply)))


ENVIRONMENTS = Environments(
    EnvironmentConfig(use="test/echo", max_turns=TURNS, max_reply_tokens=6),
    Offer("environments", "test/echo", Echo, Owner("echo", "a test", "1", "file", "")),
    {},
)


@pytest.fixture
def asked(tiny: VllmEngine, monkeypatch: pytest.MonkeyPatch) -> list[list[tuple[int, int]]]:
    """How many tokens each prompt of each batch had, and how many of them were in the prefix cache."""
    batches: list[list[tuple[int, int]]] = []
    ask = tiny._ask

    def noted(*given: Any) -> list[Any]:
        outputs = ask(*given)
        batches.append([(len(one.prompt_token_ids), one.num_cached_tokens) for one in outputs])
        return outputs

    monkeypatch.setattr(tiny, "_ask", noted)
    return batches


def prompts_of(policy: Policy) -> list[Prompt]:
    return [policy.encode(Sample(name, f"Speak of {name}, and of nothing else.")) for name in ("rain", "snow", "fog")]


def played(engine: Engine, policy: Policy, sampling: Sampling) -> list[Rollout]:
    return EpisodeEngine(engine, ENVIRONMENTS, policy).generate(prompts_of(policy), sampling, 5)


def assert_same(ours: Sequence[Rollout], theirs: Sequence[Rollout]) -> None:
    pairs = [
        pair for one, other in zip(ours, theirs, strict=True)
        for pair in zip(one.completions, other.completions, strict=True)
    ]  # fmt: skip
    for mine, other in pairs:
        assert (mine.token_ids, mine.trained, mine.raw, mine.episode) == (
            other.token_ids, other.trained, other.raw, other.episode,
        )  # fmt: skip
        assert mine.logps == pytest.approx(other.logps, abs=CLOSE)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_episodes_are_those_of_hf(tiny: VllmEngine, temperature: float) -> None:
    sampling = Sampling(num_generations=2, max_completion_length=120, temperature=temperature)
    ours = played(tiny, tiny.policy, sampling)
    assert_same(ours, played(HfEngine(tiny.policy, max_batch_size=64), tiny.policy, sampling))
    for one in (one for rollout in ours for one in rollout.completions):
        assert one.episode is not None
        assert [turn["role"] for turn in one.episode.turns] == ["assistant", "user"] * TURNS
        assert one.trained is not None
        assert 0 < one.sampled < len(one.trained)


def test_log_probs_are_those_of_the_tokens_that_the_model_drew(tiny: VllmEngine) -> None:
    sampling = Sampling(num_generations=2, max_completion_length=120)
    for rollout in played(tiny, tiny.policy, sampling):
        start = len(rollout.prompt.token_ids)
        for one in rollout.completions:
            with torch.no_grad():
                ids = torch.tensor([[*rollout.prompt.token_ids, *one.token_ids]])
                logps = tiny.policy.causal(input_ids=ids).logits[0].log_softmax(-1)
            assert one.logps is not None
            assert one.trained is not None
            for place, (token, drawn, logp) in enumerate(zip(one.token_ids, one.trained, one.logps, strict=True)):
                expected = float(logps[start + place - 1, token]) if drawn else 0.0
                assert logp == pytest.approx(expected, abs=CLOSE)


def test_a_turn_finds_those_before_it_in_the_prefix_cache(tiny: VllmEngine, asked: list[list[tuple[int, int]]]) -> None:
    played(tiny, tiny.policy, Sampling(num_generations=2, max_completion_length=120))
    first, *later = asked
    assert len(later) == TURNS - 1
    read = max(tokens for tokens, _ in first)
    for batch in later:
        for tokens, cached in batch:
            # What the model and the environment said since, and what did not fill a block.
            assert tokens - cached < read
            assert cached >= tokens - 60
        read = max(tokens for tokens, _ in batch)


def test_episodes_are_of_the_weights_of_now_and_the_cache_of_before_is_gone(
    tiny: VllmEngine, asked: list[list[tuple[int, int]]]
) -> None:
    sampling = Sampling(num_generations=2, max_completion_length=120, temperature=0.0)
    before = played(tiny, tiny.policy, sampling)
    state = tiny.policy.adapter_state()
    try:
        trained(tiny.policy, scale=0.3, seed=8)
        tiny.take_adapter(tiny.policy)
        asked.clear()
        ours = played(tiny, tiny.policy, sampling)
        assert_same(ours, played(HfEngine(tiny.policy, max_batch_size=64), tiny.policy, sampling))
        assert [one.completions for one in ours] != [one.completions for one in before]
        (_, cached) = asked[0][0]
        assert cached == 0
    finally:
        tiny.policy.load_adapter_state(state)
        tiny.take_adapter(tiny.policy)


def test_memory_is_given_back_behind_the_last_turn_and_not_between_two(
    tiny: VllmEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What only a GPU can do, by the calls that it is told to do it with."""
    told: list[str] = []
    monkeypatch.setattr(tiny, "_plan", replace(tiny._plan, release_kv_cache=True))
    monkeypatch.setattr(tiny._llm, "sleep", lambda level: told.append("sleep"), raising=False)
    monkeypatch.setattr(tiny._llm, "wake_up", lambda: told.append("wake"), raising=False)
    ask = tiny._ask

    def noted(*given: Any) -> Any:
        told.append("ask")
        return ask(*given)

    monkeypatch.setattr(tiny, "_ask", noted)
    played(tiny, tiny.policy, Sampling(num_generations=2, max_completion_length=120))
    assert told == ["ask"] * TURNS + ["sleep"]
    tiny.generate(prompts_of(tiny.policy), Sampling(num_generations=1, max_completion_length=3), 0)
    assert told[TURNS + 1 :] == ["ask", "wake", "sleep"]
