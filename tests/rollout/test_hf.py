"""The engine `hf`: what it samples is the policy, and depends on seed, sample and place alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

from lydite.errors import ModelError
from lydite.objective import token_logps
from lydite.policy import Policy
from lydite.policy.sampler import uniforms
from lydite.rollout import Sampling
from lydite.rollout.hf import HfEngine
from lydite.types import Generated, Prompt, Rollout, Sample

MakePolicy = Callable[..., Policy]
SAMPLING = Sampling(num_generations=4, max_completion_length=10)


def run(policy: Policy, prompts: Sequence[Prompt], sampling: Sampling = SAMPLING, seed: int = 1, most: int = 64) -> list[Rollout]:  # fmt: skip # noqa: E501
    return HfEngine(policy, max_batch_size=most).generate(prompts, sampling, seed)


def by_sample(rollouts: Sequence[Rollout]) -> dict[str, tuple[tuple[int, ...], ...]]:
    return {one.prompt.sample.id: tuple(made.token_ids for made in one.completions) for one in rollouts}


def training_logps(policy: Policy, prompt: Prompt, made: Generated, temperature: float) -> list[float]:
    """The completion's log-probs by the road that training takes, one sequence without padding."""
    ids = torch.tensor([[*prompt.token_ids, *made.token_ids]])
    with torch.no_grad():
        hidden = policy.hidden_states(ids, torch.ones_like(ids), torch.arange(ids.shape[1])[None])[0]
    before = hidden[len(prompt.token_ids) - 1 : -1]
    found = token_logps(before, policy.head(), torch.tensor(made.token_ids), temperature=temperature, chunk_size=7)
    return [float(one) for one in found.logps]


# Fidelity


@pytest.mark.parametrize("architecture", ["llama", "mistral", "gemma2", "phi3", "gemma3_text"])
@pytest.mark.parametrize(
    "sampling",
    [
        replace(SAMPLING, temperature=0.0),
        SAMPLING,
        replace(SAMPLING, temperature=0.6),
        replace(SAMPLING, temperature=1.3, top_k=20, top_p=0.9, min_p=0.01),
    ],
    ids=["greedy", "sampled", "cool", "truncated"],
)
def test_log_probs_are_those_of_training(make_policy: MakePolicy, architecture: str, sampling: Sampling) -> None:
    policy = make_policy(architecture)
    prompts = [policy.encode(Sample(str(place), "Why so? " * place + "Tell me.")) for place in range(3)]
    for rollout in run(policy, prompts, sampling):
        for made in rollout.completions:
            assert made.logps is not None
            expected = training_logps(policy, rollout.prompt, made, sampling.temperature or 1.0)
            assert list(made.logps) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("architecture", ["llama", "qwen3_next"])
def test_greedy_tokens_are_transformers_own(make_policy: MakePolicy, architecture: str) -> None:
    policy = make_policy(architecture)
    prompts = [policy.encode(Sample(str(place), "Why so? " * place + "Tell me.")) for place in range(3)]
    rollouts = run(policy, prompts, Sampling(2, 12, temperature=0.0))
    for prompt, rollout in zip(prompts, rollouts, strict=True):
        given = torch.tensor([prompt.token_ids])
        made: Any = policy.model.generate(
            input_ids=given,
            attention_mask=torch.ones_like(given),
            do_sample=False,
            max_new_tokens=12,
            eos_token_id=list(policy.stop_token_ids),
            pad_token_id=policy.pad_token_id,
        )
        assert {one.token_ids for one in rollout.completions} == {tuple(made[0, given.shape[1] :].tolist())}


def test_each_token_is_drawn_with_its_own_uniform_number(policy: Policy, prompts: list[Prompt]) -> None:
    sampling = replace(SAMPLING, temperature=1.5)
    for rollout in run(policy, prompts, sampling, seed=9):
        for index, made in enumerate(rollout.completions):
            numbers = uniforms(9, rollout.prompt.sample.id, index, sampling.max_completion_length)
            ids = torch.tensor([[*rollout.prompt.token_ids, *made.token_ids]])
            with torch.no_grad():
                hidden = policy.hidden_states(ids, torch.ones_like(ids), torch.arange(ids.shape[1])[None])[0]
                logits = policy.logits(hidden[len(rollout.prompt.token_ids) - 1 : -1])
            ends = torch.softmax(logits.double() / 1.5, -1).cumsum(-1)
            for step, token in enumerate(made.token_ids):
                below = float(ends[step, token - 1]) if token else 0.0
                assert below - 1e-5 <= numbers[step] <= float(ends[step, token]) + 1e-5


def test_samples_follow_the_policy(policy: Policy, prompts: list[Prompt]) -> None:
    prompt, draws = prompts[0], 4000
    rollout = run(policy, [prompt], Sampling(draws, 1, temperature=3.0), most=1000)[0]
    ids = torch.tensor([prompt.token_ids])
    with torch.no_grad():
        hidden = policy.hidden_states(ids, torch.ones_like(ids), torch.arange(ids.shape[1])[None])[0, -1:]
        expected = torch.softmax(policy.logits(hidden)[0] / 3.0, 0)
    counts = torch.bincount(torch.tensor([one.token_ids[0] for one in rollout.completions]), minlength=len(expected))
    deviation = (counts / draws - expected).abs() / (expected * (1 - expected) / draws).sqrt()
    likely = expected * draws > 20
    assert int(likely.sum()) >= 10
    assert float(deviation[likely].max()) < 4.5


def test_the_next_call_samples_from_what_was_learned(policy: Policy, prompts: list[Prompt]) -> None:
    engine = HfEngine(policy, max_batch_size=64)
    greedy = replace(SAMPLING, temperature=0.0)
    before = by_sample(engine.generate(prompts, greedy, 0))
    with torch.no_grad():
        for name, parameter in policy.trainable().items():
            if "lora_B" in name:
                parameter.neg_()
    engine.take_adapter(policy)
    after = engine.generate(prompts, greedy, 0)
    assert by_sample(after) != before
    made = after[0].completions[0]
    assert list(made.logps or ()) == pytest.approx(training_logps(policy, prompts[0], made, 1.0), abs=1e-4)


# What a completion depends on


@pytest.mark.parametrize("most", [64, 7, 4, 3, 1])
def test_batches_do_not_matter(policy: Policy, prompts: list[Prompt], most: int) -> None:
    assert by_sample(run(policy, prompts, most=most)) == by_sample(run(policy, prompts))


def test_order_and_company_do_not_matter(policy: Policy, prompts: list[Prompt]) -> None:
    together = by_sample(run(policy, prompts))
    assert by_sample(run(policy, prompts[::-1])) == together
    assert by_sample(run(policy, prompts[2:3])) == {"row-2": together["row-2"]}


def test_the_group_size_does_not_change_its_first_members(policy: Policy, prompts: list[Prompt]) -> None:
    small, large = run(policy, prompts, replace(SAMPLING, num_generations=2)), run(policy, prompts)
    for one, other in zip(small, large, strict=True):
        assert [made.token_ids for made in one.completions] == [made.token_ids for made in other.completions[:2]]


def test_a_lower_limit_gives_the_beginnings(policy: Policy, prompts: list[Prompt]) -> None:
    for one, other in zip(run(policy, prompts, replace(SAMPLING, max_completion_length=4)), run(policy, prompts), strict=True):  # fmt: skip # noqa: E501
        for short, full in zip(one.completions, other.completions, strict=True):
            assert short.token_ids == full.token_ids[:4]


def test_the_seed_and_the_place_in_the_group_matter(policy: Policy, prompts: list[Prompt]) -> None:
    one, other = by_sample(run(policy, prompts, seed=1)), by_sample(run(policy, prompts, seed=2))
    assert all(one[sample] != other[sample] for sample in one)
    assert all(len(set(group)) == 4 for group in one.values())
    same_text = [replace(prompts[0], sample=Sample(name, "")) for name in ("a", "b")]
    first, second = run(policy, same_text)
    assert [made.token_ids for made in first.completions] != [made.token_ids for made in second.completions]


def test_torchs_own_randomness_is_neither_used_nor_moved(policy: Policy, prompts: list[Prompt]) -> None:
    torch.manual_seed(1)
    first = by_sample(run(policy, prompts))
    torch.manual_seed(2)
    state = torch.get_rng_state()
    assert by_sample(run(policy, prompts)) == first
    assert torch.equal(torch.get_rng_state(), state)


def test_bf16_is_the_same_bit_for_bit(make_policy: MakePolicy, prompts: list[Prompt]) -> None:
    policy = make_policy(dtype="bfloat16")
    assert run(policy, prompts) == run(policy, prompts)


# Where completions end


def ends_often(policy: Policy, prompts: list[Prompt]) -> tuple[int, ...]:
    """Makes an eighth of all tokens end a turn, so that rows stop at every step and are dropped."""
    free = run(policy, prompts)
    policy.stop_token_ids = tuple(range(0, len(policy.tokenizer), 8))
    assert any(len(made.token_ids) < 10 for rollout in run(policy, prompts) for made in rollout.completions)
    assert len(free) == len(prompts)
    return policy.stop_token_ids


def test_a_completion_is_the_endless_one_up_to_its_first_end_token(policy: Policy, prompts: list[Prompt]) -> None:
    own = policy.stop_token_ids
    policy.stop_token_ids = (-1,)
    endless = run(policy, prompts)
    policy.stop_token_ids = own
    ends = set(ends_often(policy, prompts))
    reasons = set()
    for one, other in zip(run(policy, prompts), endless, strict=True):
        for made, full in zip(one.completions, other.completions, strict=True):
            place = next((at for at, token in enumerate(full.token_ids) if token in ends), None)
            assert made.finish_reason == ("length" if place is None else "stop")
            assert made.token_ids == full.token_ids[: None if place is None else place + 1]
            assert made.logps is not None
            assert full.logps is not None
            assert made.logps == pytest.approx(full.logps[: len(made.token_ids)], abs=1e-5)
            reasons.add(made.finish_reason)
    assert reasons == {"stop", "length"}


def test_finished_rows_are_computed_no_further(policy: Policy, prompts: list[Prompt]) -> None:
    rows: list[int] = []
    policy.model.get_input_embeddings().register_forward_hook(lambda _, given, __: rows.append(given[0].shape[0]))
    ends_often(policy, prompts)
    rows.clear()
    made = [one for rollout in run(policy, prompts) for one in rollout.completions]
    assert rows[0] == len(prompts), "each prompt is read once, not once a completion"
    assert rows[1:] == sorted(rows[1:], reverse=True)
    assert rows[-1] < len(prompts) * 4
    needed = sum(len(one.token_ids) - 1 for one in made)
    assert needed <= sum(rows[1:]) <= 1.15 * needed + 1


def test_one_token_is_a_completion(policy: Policy, prompts: list[Prompt]) -> None:
    long = run(policy, prompts)
    for one, other in zip(run(policy, prompts, replace(SAMPLING, max_completion_length=1)), long, strict=True):
        for short, full in zip(one.completions, other.completions, strict=True):
            assert short.token_ids == full.token_ids[:1]
            assert len(short.logps or ()) == 1
            assert short.finish_reason == ("stop" if short.token_ids[0] in policy.stop_token_ids else "length")


def test_an_end_token_at_the_limit_is_a_stop(policy: Policy, prompts: list[Prompt]) -> None:
    policy.stop_token_ids = tuple(range(len(policy.tokenizer)))
    for rollout in run(policy, prompts):
        for made in rollout.completions:
            assert (len(made.token_ids), made.finish_reason) == (1, "stop")


def test_a_prompt_of_one_end_token_is_followed_like_any_other(policy: Policy) -> None:
    end = policy.stop_token_ids[0]
    prompt = Prompt(Sample("end", ""), "<|im_end|>", (end,))
    for made in run(policy, [prompt])[0].completions:
        assert made.logps is not None
        assert list(made.logps) == pytest.approx(training_logps(policy, prompt, made, 1.0), abs=1e-4)


def test_text_and_raw_are_the_tokens_decoded(policy: Policy, prompts: list[Prompt]) -> None:
    for rollout in run(policy, prompts):
        for made in rollout.completions:
            assert (made.text, made.raw) == policy.decode(made.token_ids)


def test_a_prompt_without_tokens_is_an_error(policy: Policy, prompts: list[Prompt]) -> None:
    with pytest.raises(ModelError, match="sample 'nothing' has no tokens"):
        run(policy, [*prompts, Prompt(Sample("nothing", ""), "", ())])


def test_no_prompts_give_no_rollouts(policy: Policy) -> None:
    assert run(policy, []) == []


def test_dropout_and_gradients_stay_out_of_sampling(make_policy: MakePolicy, prompts: list[Prompt]) -> None:
    policy = make_policy(dropout=0.5)
    policy.train_mode()
    first = run(policy, prompts)
    assert first == run(policy, prompts)
    assert policy.model.training
    assert all(one.grad is None for one in policy.trainable().values())
    policy.eval_mode()
    assert by_sample(run(policy, prompts)) == by_sample(first)
