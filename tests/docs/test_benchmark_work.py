"""What a benchmarked step consists of, and that engines stop where it says."""

from __future__ import annotations

import importlib
import statistics
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lydite.rollout import Sampling
from lydite.types import Generated, Prompt, Rollout, Sample

ROOT = Path(__file__).parents[2]


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT))
    return importlib.import_module("benchmarks.gpu.work")


def given(work: Any, name: str) -> Any:
    one = work.SCENARIOS[name]
    return SimpleNamespace(
        prompt=one.prompt, new=one.new, group=one.group, sequences=one.groups * one.group, ragged=one.ragged
    )


def test_the_scenarios_are_as_long_as_they_say(work: Any) -> None:
    assert set(work.work_of(given(work, "S")).lengths) == {256}
    ragged = work.work_of(given(work, "M"))
    assert len(ragged.lengths) == 256
    assert 64 <= min(ragged.lengths) < 100 < max(ragged.lengths) == 1024
    assert 260 < statistics.median(ragged.lengths) < 340
    assert ragged.lengths == work.work_of(given(work, "M")).lengths
    prompts = work.work_of(given(work, "P"))
    assert (prompts.real, prompts.unique) == (256 * 1280, 16 * 1024 + 256 * 256)


def test_tokens_and_pairs_by_hand(work: Any) -> None:
    one = work.Work(prompt=3, group=2, lengths=(2, 1))
    assert (one.new, one.real, one.unique) == (3, 9, 6)
    # prompt 1 + 2 + 3; answers 4 + 5 and 4
    assert one.seen(shared=True) == 6 + 9 + 4
    assert one.seen(shared=False) == 2 * 6 + 9 + 4


def test_an_8b_model_takes_30_gflop_a_token_without_prompts_and_attention(work: Any) -> None:
    shape = work.shape_of(SimpleNamespace(model="l8"))
    one = work.Work(prompt=0, group=1, lengths=(1,))
    assert work.training_flops(shape, one, shared=True) == pytest.approx(30e9, rel=0.01)


class Engine:
    """Makes completions of full length, as one that knows a single limit does."""

    def generate(self, prompts: Any, sampling: Sampling, seed: int) -> list[Rollout]:
        ids = tuple(range(sampling.max_completion_length))
        one = Generated(ids, "long", "long", "stop", tuple(-float(token) for token in ids))
        return [Rollout(prompt, (one,) * sampling.num_generations) for prompt in prompts]


def test_completions_of_a_whole_step_have_their_lengths_and_others_are_left_alone(work: Any) -> None:
    engine, policy = Engine(), SimpleNamespace(decode=lambda ids: (f"{len(ids)}", f"raw {len(ids)}"))
    work.fix_lengths(engine, policy, (1, 4, 2, 3))
    prompt = Prompt(Sample("a", ""), "", (1,))
    made = engine.generate([prompt, prompt], Sampling(2, 4), 0)
    every = [one for rollout in made for one in rollout.completions]
    assert [len(one.token_ids) for one in every] == [1, 4, 2, 3]
    assert (every[2].text, every[2].raw, every[2].finish_reason, every[2].logps) == (
        "2",
        "raw 2",
        "length",
        (0.0, -1.0),
    )
    assert every[1].finish_reason == "stop"
    (alone,) = engine.generate([prompt], Sampling(1, 4), 0)
    assert len(alone.completions[0].token_ids) == 4


def test_vllm_is_asked_for_each_length(work: Any) -> None:
    class Vllm(Engine):
        asked: list[int]

        def _ask(self, prompts: Any, table: Any) -> list[Any]:
            self.asked = list(table.limits)
            return []

    engine = Vllm()
    work.fix_lengths(engine, None, (1, 9, 2, 3))
    engine._ask(None, SimpleNamespace(limits=[4, 4, 4, 4]))
    assert engine.asked == [1, 4, 2, 3]
    engine._ask(None, SimpleNamespace(limits=[8]))
    assert engine.asked == [8]
