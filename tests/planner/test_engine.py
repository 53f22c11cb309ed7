"""The sizes that vLLM is started with: they fit, they are enough, and they say why."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.planned_runs import GIB, card, run_config

from lydite.config import RunConfig
from lydite.errors import ConfigError
from lydite.planner import EnginePlan, FreeMemory, ModelShapes, plan_engine
from lydite.planner.engine import DoesNotFitError, engine_work
from lydite.planner.parts import Parts, parts_of
from lydite.planner.sizing import graph_sizes
from lydite.planner.workload import BLOCK, LEAST_ROOM, kv_tokens, workload


def parts(config: RunConfig, shapes: ModelShapes, memory: FreeMemory, plan: EnginePlan) -> Parts:
    return parts_of(config, shapes, engine_work(config, shapes, plan), device=memory.device, vllm=True)


def blocks_in_use(config: RunConfig, sequences: int) -> int:
    """KV blocks at the end of a decode of full-length sequences: whole blocks of a prompt once for its group."""
    prompt, length, group = config.data.max_prompt_length, config.train.max_completion_length, config.train.num_generations  # fmt: skip # noqa: E501
    own = min(sequences, config.train.generation_batch_size)
    shared = -(-own // group) * (prompt // BLOCK)
    return shared + own * math.ceil((prompt % BLOCK + length) / BLOCK)


@settings(max_examples=60)
@given(
    gib=st.floats(min_value=8, max_value=200),
    prompt=st.integers(min_value=1, max_value=4000),
    length=st.integers(min_value=1, max_value=4000),
    group=st.sampled_from([2, 4, 8, 16]),
    passes=st.integers(min_value=1, max_value=64),
    nf4=st.booleans(),
    loaded=st.booleans(),
    share=st.floats(min_value=0.3, max_value=1.0),
    device=st.sampled_from(["cuda", "cpu"]),
)
def test_a_plan_stays_within_its_share_and_holds_its_sequences(
    llama_8b: ModelShapes, gib: float, prompt: int, length: int, group: int, passes: int, nf4: bool, loaded: bool,
    share: float, device: str,
) -> None:  # fmt: skip
    config = run_config(
        model={"quantization": "nf4" if nf4 else "none"},
        data={"max_prompt_length": prompt},
        engine={"memory_share": share},
        train={
            "num_generations": group, "per_device_train_batch_size": group, "steps_per_generation": passes,
            "max_completion_length": length,
        },
    )  # fmt: skip
    memory = card(gib, device=device, loaded=loaded)
    try:
        plan = plan_engine(config, llama_8b, memory)
    except DoesNotFitError:  # whose figures have a test of their own
        return
    sized = parts(config, llama_8b, memory, plan)
    taken = plan.kv_cache_bytes + sized.workspace + sized.rounded + sized.graphs + sized.optimizer
    taken += sized.copy if plan.unpack_weights else 0
    taken += 0 if loaded else sized.loaded
    assert taken <= share * memory.free
    assert 1 <= plan.max_num_seqs <= min(1024, config.train.generation_batch_size)
    assert plan.max_model_len == max(prompt + length, LEAST_ROOM)
    held = plan.kv_cache_bytes // (sized.kv_per_token * BLOCK)
    assert held > blocks_in_use(config, plan.max_num_seqs)
    assert held > math.ceil(plan.max_model_len / BLOCK), "vLLM starts only where one whole sequence fits"
    assert 2048 <= plan.max_num_batched_tokens <= 16384
    assert plan.max_num_batched_tokens >= plan.max_num_seqs
    if device == "cpu":
        assert plan.kv_cache_bytes <= memory.free / 4
        assert not plan.release_kv_cache
        assert plan.cuda_graph_sizes == ()
    else:
        assert plan.cuda_graph_sizes[-1] == plan.max_num_seqs


@given(st.integers(min_value=1, max_value=1024))
def test_recorded_steps_are_few_and_near(sequences: int) -> None:
    sizes = graph_sizes(sequences)
    assert list(sizes) == sorted(set(sizes))
    assert sizes[0] == 1
    assert sizes[-1] == sequences
    assert len(sizes) <= 22
    for below, size in itertools.pairwise(sizes):
        assert size <= 2 * below or size - below <= 64


def test_more_memory_never_means_fewer_sequences(llama_8b: ModelShapes) -> None:
    config = run_config(train={"steps_per_generation": 32})
    found = [plan_engine(config, llama_8b, card(gib)).max_num_seqs for gib in (10, 12, 16, 24, 48, 80)]
    assert found == sorted(found)
    assert found[0] < 256 == found[-1]


def test_wanted_sequences_are_those_of_the_step_or_the_evaluation(llama_8b: ModelShapes) -> None:
    assert plan_engine(run_config(), llama_8b, card(80)).max_num_seqs == 64
    evaluation = {"n": 128, "reward": {"use": "none"}}
    assert plan_engine(run_config(eval=evaluation), llama_8b, card(80)).max_num_seqs == 128
    asked = run_config(eval=evaluation, engine={"max_batch_size": 17})
    assert plan_engine(asked, llama_8b, card(80)).max_num_seqs == 17
    many = run_config(train={"steps_per_generation": 1024, "max_completion_length": 16}, data={"max_prompt_length": 16})
    assert plan_engine(many, llama_8b, card(80)).max_num_seqs == 1024


def test_lengths_include_the_evaluation_and_a_judge_that_reads_both(llama_8b: ModelShapes) -> None:
    longer = {"reward": {"use": "none"}, "max_completion_length": 900, "n": 4}
    assert plan_engine(run_config(eval=longer), llama_8b, card(80)).max_model_len == 512 + 900
    own = {**longer, "data": {"use": "none", "max_prompt_length": 2000}}
    assert plan_engine(run_config(eval=own), llama_8b, card(80)).max_model_len == 2000 + 900
    judged = run_config(rewards={"correct": {"use": "none", "judge": "engine"}})
    assert plan_engine(judged, llama_8b, card(80)).max_model_len == 2 * 1024 + 1024


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        (
            {"data": {"max_prompt_length": 131000}},
            r"data.max_prompt_length = 131000 and train.max_completion_length = 512 make 131512 tokens, and the "
            r"model's context has 131072; lower data.max_prompt_length to at most 130560",
        ),
        ({"train": {"max_completion_length": 140000}}, r"lower train.max_completion_length$"),
        (
            {"eval": {"reward": {"use": "none"}, "max_completion_length": 140000}},
            r"data.max_prompt_length = 512 and eval.max_completion_length = 140000 .*; lower eval.max_completion",
        ),
        (
            {"eval": {"reward": {"use": "none"}, "data": {"use": "none", "max_prompt_length": 131072}}},
            r"lower eval.data.max_prompt_length to at most 130560",
        ),
    ],
)
def test_what_is_longer_than_the_context_says_which_key_to_lower(
    llama_8b: ModelShapes, sections: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        plan_engine(run_config(**sections), llama_8b, card(80))


def test_too_little_memory_says_how_much_is_missing_and_enough_more_is_enough(llama_8b: ModelShapes) -> None:
    config = run_config()
    with pytest.raises(
        DoesNotFitError, match=r"bytes \(.* GiB\) are missing; lower train.max_completion_length"
    ) as caught:
        plan_engine(config, llama_8b, card(6))
    free = 6 * GIB + math.ceil(caught.value.missing / config.engine.memory_share) + 2
    assert plan_engine(config, llama_8b, FreeMemory("cuda", free, free, policy_loaded=False)).max_num_seqs >= 1
    with pytest.raises(DoesNotFitError, match=r"set model.quantization = 'nf4'"):
        plan_engine(run_config(model={"quantization": "none"}), llama_8b, card(12))


def test_a_given_cache_is_taken_and_caps_the_sequences(llama_8b: ModelShapes) -> None:
    plan = plan_engine(run_config(engine={"kv_cache_bytes": GIB}), llama_8b, card(80))
    assert plan.kv_cache_bytes == GIB
    assert 1 <= plan.max_num_seqs < 64
    with pytest.raises(DoesNotFitError, match=r"engine.kv_cache_bytes = 1000 holds no sequence of full length"):
        plan_engine(run_config(engine={"kv_cache_bytes": 1000}), llama_8b, card(80))
    with pytest.raises(DoesNotFitError, match=r"no room for engine.kv_cache_bytes = "):
        plan_engine(run_config(engine={"kv_cache_bytes": 79 * GIB}), llama_8b, card(80))


def test_weights_are_unpacked_where_the_copy_fits_beside_the_cache(llama_8b: ModelShapes) -> None:
    def unpacked(gib: float, **engine: Any) -> bool:
        return plan_engine(run_config(engine=engine), llama_8b, card(gib)).unpack_weights

    assert unpacked(80)
    assert not unpacked(16)
    assert not unpacked(80, unpack_weights="never")
    with pytest.raises(DoesNotFitError, match=r"set engine.unpack_weights = 'auto'"):
        unpacked(16, unpack_weights="always")
    plain = run_config(model={"quantization": "none"})
    assert not plan_engine(plain, llama_8b, card(80)).unpack_weights


def test_a_copy_may_cost_half_of_the_sequences_and_no_more(llama_8b: ModelShapes) -> None:
    config = run_config(train={"steps_per_generation": 128, "max_completion_length": 2048})
    seen = set()
    for gib in range(22, 80, 6):
        with_copy = plan_engine(config, llama_8b, card(gib))
        without = plan_engine(
            config.model_copy(update={"engine": config.engine.model_copy(update={"unpack_weights": "never"})}),
            llama_8b,
            card(gib),
        )
        seen.add(with_copy.unpack_weights)
        if with_copy.unpack_weights:
            assert 2 * with_copy.max_num_seqs >= without.max_num_seqs
        else:
            assert with_copy.max_num_seqs == without.max_num_seqs
    assert seen == {True, False}


def test_the_cache_is_released_where_it_and_training_do_not_fit_together(llama_8b: ModelShapes) -> None:
    small = {"gradient_checkpointing": True, "per_device_train_batch_size": 2, "steps_per_generation": 32}

    def released(gib: float, choice: str = "auto", device: str = "cuda") -> bool:
        config = run_config(engine={"release_kv_cache": choice}, train=small)
        return plan_engine(config, llama_8b, card(gib, device=device)).release_kv_cache

    assert released(10)
    assert not released(80)
    assert not released(10, "never")
    assert released(80, "always")
    assert not released(64, "always", device="cpu")


def test_a_loaded_policy_is_not_counted_again(llama_8b: ModelShapes) -> None:
    config = run_config(train={"steps_per_generation": 64})
    before = plan_engine(config, llama_8b, card(16))
    sized = parts(config, llama_8b, card(16), before)
    left = 16 * GIB - math.ceil(sized.loaded / config.engine.memory_share)
    after = plan_engine(config, llama_8b, FreeMemory("cuda", left, 16 * GIB, policy_loaded=True))
    assert after.max_num_seqs == before.max_num_seqs
    assert plan_engine(config, llama_8b, card(16, loaded=True)).max_num_seqs > before.max_num_seqs


def test_small_cards_read_fewer_prompt_tokens_at_once(llama_8b: ModelShapes) -> None:
    config = run_config(data={"max_prompt_length": 8000}, train={"steps_per_generation": 32})
    found = [plan_engine(config, llama_8b, card(gib, loaded=True)).max_num_batched_tokens for gib in (11, 24, 80)]
    assert found == [4096, 8192, 16384]
    short = run_config(data={"max_prompt_length": 16})
    assert plan_engine(short, llama_8b, card(80)).max_num_batched_tokens == 2048


def test_fp8_halves_the_cache(llama_8b: ModelShapes) -> None:
    full, half = (
        plan_engine(run_config(engine={"kv_cache_dtype": kind}), llama_8b, card(80)) for kind in ("auto", "fp8")
    )
    assert full.kv_cache_bytes == 2 * half.kv_cache_bytes


def test_without_graphs_none_are_recorded(llama_8b: ModelShapes) -> None:
    assert plan_engine(run_config(engine={"cuda_graphs": False}), llama_8b, card(80)).cuda_graph_sizes == ()


def test_every_choice_is_told_with_its_numbers(llama_8b: ModelShapes) -> None:
    lines = plan_engine(run_config(train={"steps_per_generation": 64}), llama_8b, card(24)).lines
    assert len(lines) == 4
    assert lines[0] == (
        "24.00 GiB of 24.00 GiB are free before anything is loaded; the plan may give away 90%, 21.60 GiB"
    )
    assert "no more fit at full length" in lines[1]
    assert "13.00 GiB, does not fit beside the KV cache" in lines[2]
    assert "the KV cache is given back while it trains" in lines[3]


@given(st.integers(min_value=1, max_value=300), st.integers(min_value=1, max_value=300))
def test_more_sequences_need_more_tokens(llama_8b: ModelShapes, first: int, second: int) -> None:
    config = run_config(train={"steps_per_generation": 64}, eval={"n": 100, "reward": {"use": "none"}})
    work = workload(config, llama_8b, sequences=1, prefill_tokens=1, graph_sizes=())
    low, high = sorted((first, second))
    assert kv_tokens(config, work, low) <= kv_tokens(config, work, high)


def test_the_cache_has_one_whole_sequence_and_a_block_that_the_engine_keeps(llama_8b: ModelShapes) -> None:
    config = run_config(rewards={"correct": {"use": "none", "judge": "engine"}})
    work = workload(config, llama_8b, sequences=1, prefill_tokens=1, graph_sizes=())
    assert kv_tokens(config, work, 1) == work.longest + BLOCK
