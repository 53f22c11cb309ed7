"""Turns that are read from where the last one ended: the same tokens, and no token read twice."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from support.tiny_model import make_tiny_model

from lydite.config import LoraConfig, ModelConfig
from lydite.plugins import load_plugins
from lydite.policy import Policy, load_policy
from lydite.policy.past import Past
from lydite.rollout import Sampling, conversing
from lydite.rollout.hf import HfEngine
from lydite.rollout.scripted import ScriptedEngine
from lydite.types import Generated, Prompt, Sample

SAMPLING = Sampling(num_generations=3, max_completion_length=7)
SAID: tuple[tuple[int, ...], ...] = ((30, 31), (32, 33, 34, 35), (36,), (37, 38, 39))  # by what was said before


@pytest.fixture(scope="module", params=["llama", "gemma2"])
def policy(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Policy:
    """Gemma 2's layers see a window in turn with everything; 8 tokens here, so that conversations are longer."""
    settings: dict[str, Any] = {"num_hidden_layers": 2, "hidden_size": 32}
    settings |= {"sliding_window": 8} if request.param == "gemma2" else {}
    folder = make_tiny_model(tmp_path_factory.mktemp("tiny") / "model", request.param, settings=settings)
    config = ModelConfig(path=str(folder), dtype="float32", device="cpu")
    return load_policy(config, LoraConfig(r=4), load_plugins(allow=["lydite-families"]), 0)


@pytest.fixture(autouse=True)
def ends(policy: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every third token ends a turn, so that rows leave the batch one after another."""
    monkeypatch.setattr(policy, "stop_token_ids", tuple(range(0, 300, 3)))


@pytest.fixture
def tokens_read(policy: Policy, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Rows and columns of every pass, in order."""
    shapes: list[tuple[int, int]] = []
    step = policy.trunk_step

    def counted(input_ids: torch.Tensor, *given: Any) -> torch.Tensor:
        shapes.append((int(input_ids.shape[0]), int(input_ids.shape[1])))
        return step(input_ids, *given)

    monkeypatch.setattr(policy, "trunk_step", counted)
    return shapes


def prompts_of(*lengths: int) -> list[Prompt]:
    return [Prompt(Sample(str(length), "?"), "?", tuple(range(40 + length, 40 + 2 * length))) for length in lengths]


def played(
    policy: Policy, *, keep: bool, turns: int = 3, rows: int = 64, cut: int | None = None, lengths: Any = (9, 4, 20)
) -> list[list[Generated]]:
    """Each turn's completions of a conversation of all prompts, whose answers are of different lengths."""
    engine: Any = HfEngine(policy, max_batch_size=rows)
    prompts = prompts_of(*lengths)
    with conversing(engine) if keep else nullcontext():
        said = [[one for rollout in engine.generate(prompts, SAMPLING, 5) for one in rollout.completions]]
        read = [prompt.token_ids for prompt in prompts for _ in range(SAMPLING.num_generations)]
        for turn in range(1, turns):
            read = [
                (*before, *one.token_ids[:cut], *SAID[(place + turn) % len(SAID)])
                for place, (before, one) in enumerate(zip(read, said[-1], strict=True))
            ]
            named = [Prompt(Sample(f"{place} {turn}", "?"), "?", ids) for place, ids in enumerate(read)]
            alone = Sampling(num_generations=1, max_completion_length=3 + turn)
            said.append([rollout.completions[0] for rollout in engine.generate(named[::-1], alone, 5)][::-1])
    return said


@pytest.mark.parametrize(("rows", "cut"), [(64, None), (4, 2), (2, None)])
def test_turns_are_those_of_an_engine_that_reads_everything(policy: Policy, rows: int, cut: int | None) -> None:
    whole, kept = (played(policy, keep=keep, rows=rows, cut=cut) for keep in (False, True))
    for ours, theirs in zip(kept, whole, strict=True):
        assert [one.token_ids for one in ours] == [one.token_ids for one in theirs]
        for mine, other in zip(ours, theirs, strict=True):
            assert mine.logps == pytest.approx(other.logps, abs=1e-5)
    assert len({one.token_ids for turn in whole for one in turn}) > 15, "the conversations are all alike"
    assert len({len(one.token_ids) for one in whole[0]}) > 2, "all rows leave the batch at once"


def test_a_turn_reads_what_is_new_and_nothing_else(policy: Policy, tokens_read: list[tuple[int, int]]) -> None:
    played(policy, keep=True, turns=2)
    wide = [shape for shape in tokens_read if shape[1] > 1]
    # The prompts once, and then the last token of the turn and the four tokens of the longest answer.
    assert wide == [(3, 20), (9, 5)]
    tokens_read.clear()
    played(policy, keep=False, turns=2)
    assert max(columns for _, columns in tokens_read[1:]) > 20


def test_nothing_is_kept_behind_the_conversation_or_beyond_the_memory(
    policy: Policy, tokens_read: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = HfEngine(policy, max_batch_size=64)
    (prompt,) = prompts_of(9)
    with conversing(engine):
        said = engine.generate([prompt], SAMPLING, 5)[0].completions[0]
    longer = Prompt(prompt.sample, "?", (*prompt.token_ids, *said.token_ids, 30))
    tokens_read.clear()
    engine.generate([longer], SAMPLING, 5)
    with conversing(engine):
        engine.generate([longer], SAMPLING, 5)
        with policy.reference():  # a judge, say, whose question begins alike: other weights
            engine.generate([longer], SAMPLING, 5)
        engine.generate([longer], SAMPLING, 5)
    assert [shape for shape in tokens_read if shape[1] > 1] == [(1, len(longer.token_ids))] * 3

    whole = played(policy, keep=True)
    monkeypatch.setattr("lydite.rollout.hf.Past", lambda most: Past(0))
    tokens_read.clear()
    assert [[one.token_ids for one in turn] for turn in played(policy, keep=True)] == [
        [one.token_ids for one in turn] for turn in whole
    ]
    assert max(columns for _, columns in tokens_read[1:]) > 20


@pytest.fixture
def shelf() -> Callable[..., Past]:
    """A past of these sequences, without keys and values."""

    def build(*sequences: tuple[int, ...]) -> Past:
        class Layer:
            is_initialized = True
            keys = values = torch.zeros(len(sequences), 1, 50, 1)

        class Cache:
            layers = (Layer(),)

        past = Past(10**6)
        past.put(Cache(), range(len(sequences)), [(0, one) for one in sequences])
        past.turn()
        return past

    return build


def test_the_longest_common_beginning_is_found(shelf: Callable[..., Past]) -> None:
    past = shelf((1, 2, 3), (1, 2, 3, 4, 5), (1, 9), (2, 2), (1, 2, 4))
    for asked, found, common in (
        ((1, 2, 3, 4, 6), (1, 2, 3, 4, 5), 4),
        ((1, 2, 3, 4, 5), (1, 2, 3, 4, 5), 4),  # one token is always left to read
        ((1, 9, 9), (1, 9), 2),
        ((2, 2, 0), (2, 2), 2),
        ((1, 2, 4, 1), (1, 2, 4), 3),
    ):
        kept, length = past.longest(asked)
        assert kept is not None
        assert (kept.token_ids, length) == (found, common)
    assert past.longest((7,))[1] == 0
    assert Past(0).longest((1, 2)) == (None, 0)


def test_an_engine_that_keeps_nothing_is_left_alone(policy: Policy) -> None:
    with conversing(ScriptedEngine(("a",), policy.tokenizer)) as nothing:
        assert nothing is None
