"""A tiny policy, an engine that says what a test wants, and environments that answer it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from support.tiny_model import make_tiny_model

from lydite import Message, Observation, Sample
from lydite.config import EnvironmentConfig, LoraConfig, ModelConfig
from lydite.environments import Environments
from lydite.environments.episodes import EpisodeEngine
from lydite.plugins import Offer, Owner, load_plugins
from lydite.policy import Policy, load_policy
from lydite.rollout import CanaryAnswer, Sampling
from lydite.types import Generated, Prompt, Rollout


class Spoken:
    """An engine that says what a function makes of a prompt's tokens and the place in the group; it keeps the calls."""

    name = "spoken"
    shares_weights = False

    def __init__(self, policy: Policy, say: Callable[[str, int], str]) -> None:
        self._policy, self._say = policy, say
        self.calls: list[tuple[list[Prompt], Sampling]] = []
        self.closed = False

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling, seed: int) -> list[Rollout]:
        self.calls.append((list(prompts), sampling))
        return [
            Rollout(prompt, tuple(self._made(prompt, index, sampling) for index in range(sampling.num_generations)))
            for prompt in prompts
        ]

    def _made(self, prompt: Prompt, index: int, sampling: Sampling) -> Generated:
        tokenizer = self._policy.tokenizer
        text = self._say(tokenizer.decode(list(prompt.token_ids)), index)
        ids = [*tokenizer(text, add_special_tokens=False).input_ids, tokenizer.eos_token_id]
        cut = ids[: sampling.max_completion_length]
        text, raw = self._policy.decode(cut)
        logps = tuple(-0.25 * (place + 1) for place in range(len(cut)))
        return Generated(tuple(cut), text, raw, "stop" if cut == ids else "length", logps)

    def canary(self, prompt: Prompt, tokens: int) -> CanaryAnswer | None:
        return None

    def take_adapter(self, policy: Policy) -> None:
        self.took = policy

    def close(self) -> None:
        self.closed = True


class Counting:
    """Wants the numbers from 1 up, one a turn, and pays 1 for each; `until` ends it."""

    def __init__(self, *, until: int = 3) -> None:
        self._until, self._next = until, 1

    def reset(self, sample: Sample) -> Sequence[Message]:
        return [{"role": "user", "content": f"Count to {self._until}."}]

    def step(self, reply: str) -> Observation:
        if reply != str(self._next):
            return Observation("No.", reward=0.0, done=True)
        self._next += 1
        if self._next > self._until:
            return Observation(reward=1.0, done=True)
        return Observation(f"Yes. What comes behind {reply}?", reward=1.0)


def counted(seen: str, index: int) -> str:
    """The right number, by how often the environment has said yes."""
    return str(1 + seen.count("Yes."))


@pytest.fixture(scope="session")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Policy:
    folder = make_tiny_model(tmp_path_factory.mktemp("tiny") / "model", settings={"num_hidden_layers": 2})
    config = ModelConfig(path=str(folder), dtype="float32", device="cpu")
    return load_policy(config, LoraConfig(r=4), load_plugins(allow=["lydite-families"]), 0)


@pytest.fixture
def offered() -> Callable[..., Environments]:
    """An environment as a configuration names it."""

    def build(factory: Callable[..., Any] = Counting, options: dict[str, Any] | None = None, **limits: Any) -> Any:
        offer = Offer("environments", "test/it", factory, Owner("it", "a test", "1", "file", ""))
        return Environments(EnvironmentConfig(use="test/it", **limits), offer, options or {})

    return build


@pytest.fixture
def opened(policy: Policy) -> Callable[..., list[Prompt]]:
    """Prompts as a run encodes them, with what the environment opens with."""

    def build(environments: Environments, *names: str) -> list[Prompt]:
        prompts = []
        for name in names or ("a",):
            sample = Sample(name, f"Play {name}.")
            opening = environments.opening(sample)
            prompts.append(policy.encode(sample, opening=opening.messages, tools=opening.tools))
        return prompts

    return build


@pytest.fixture
def playing(policy: Policy, offered: Any) -> Callable[..., tuple[EpisodeEngine, Spoken, Environments]]:
    """An engine that plays, the engine that speaks in it, and its environments."""

    def build(
        say: Callable[[str, int], str] = counted, factory: Callable[..., Any] = Counting, **limits: Any
    ) -> tuple[EpisodeEngine, Spoken, Environments]:
        environments, inner = offered(factory, **limits), Spoken(policy, say)
        return EpisodeEngine(inner, environments, policy), inner, environments

    return build
