"""The same numbers through TRL's own trainer: its loss, its gradients, its batches, its advantages."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
import torch
from torch import Tensor

from lydite.config import TrainConfig
from lydite.objective import (
    LOSSES,
    Batch,
    CorrectionSettings,
    Drawn,
    UpdateTotals,
    build_batch,
    importance_weights,
    merge_metrics,
    micro_batch_loss,
    policy_logps,
    sampling_figures,
    update_totals,
    with_advantages,
)
from lydite.policy.head import Head
from lydite.policy.layout import Layout
from lydite.types import Scored

V, LIMIT = 64, 9
PROMPTS = [[5, 6, 7, 8], [9, 10]]
LENGTHS = [[3, 7, 1, 5], [9, 2, 4, 6]]  # G = 4
COMPONENTS = 3

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:TRL currently supports vLLM versions:UserWarning"),  # none is used here
    pytest.mark.filterwarnings("ignore:`(is_)?gradient_checkpointing` is deprecated:FutureWarning"),
]


@pytest.fixture(scope="module")
def model() -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=V,
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            initializer_range=0.3,
            pad_token_id=0,
            eos_token_id=1,
            bos_token_id=2,
        )
    )


@pytest.fixture(scope="module")
def trl_trainer(model: Any, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """Makes a real GRPOTrainer on a copy of the model; TRL patches the model that it is given."""
    from datasets import Dataset
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast
    from trl.trainer.grpo_config import GRPOConfig
    from trl.trainer.grpo_trainer import GRPOTrainer

    words = Tokenizer(models.WordLevel({f"w{i}": i for i in range(V)}, unk_token="w3"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, pad_token="w0", eos_token="w1", unk_token="w3")

    def zero(completions: list[str], **columns: Any) -> list[float]:
        return [0.0] * len(completions)

    def make(*, beta: float = 0.0, micro_batches: int = 1, rewards: int = 1, **options: Any) -> Any:
        trainer = GRPOTrainer(
            model=copy.deepcopy(model),
            reward_funcs=[zero] * rewards,
            args=GRPOConfig(
                output_dir=str(tmp_path_factory.mktemp("trl")),
                use_cpu=True,
                bf16=False,
                report_to=[],
                per_device_train_batch_size=8 // micro_batches,
                gradient_accumulation_steps=micro_batches,
                num_generations=4,
                max_completion_length=LIMIT,
                **options,
            ),
            train_dataset=Dataset.from_dict({"prompt": ["w5"] * 8}),
            processing_class=tokenizer,
        )
        trainer.beta = beta  # after the constructor, which would look for a reference model on the hub
        trainer.current_gradient_accumulation_steps = micro_batches  # set by the training loop otherwise
        trainer.model.train()
        return trainer

    return make


class LlamaPolicy:
    """The model as the objective sees it."""

    def __init__(self, model: Any) -> None:
        self.model = model

    packs = False

    def packed_hidden_states(self, input_ids: Tensor, position_ids: Tensor, layout: Layout) -> Tensor:
        raise NotImplementedError

    def hidden_states(self, input_ids: Tensor, attention_mask: Tensor, position_ids: Tensor) -> Tensor:
        states: Tensor = self.model.model(
            input_ids=input_ids, attention_mask=attention_mask, position_ids=position_ids, use_cache=False
        ).last_hidden_state
        return states

    def head(self) -> Head:
        return Head(self.model.lm_head.weight)

    def reference(self) -> AbstractContextManager[None]:
        raise NotImplementedError("these tests give the reference's log-probs")


@pytest.fixture(scope="module")
def scored(scored_of: Callable[..., Scored]) -> Scored:
    source = torch.Generator().manual_seed(3)
    tokens = [[torch.randint(4, V, (n,), generator=source).tolist() for n in group] for group in LENGTHS]
    finish = [["stop" if n < 7 else "length" for n in group] for group in LENGTHS]
    for group, reasons in zip(tokens, finish, strict=True):
        for ids, reason in zip(group, reasons, strict=True):
            if reason == "stop":
                ids[-1] = 1  # the end token, by which TRL tells what was truncated
    values = torch.randn(2, 4, COMPONENTS, generator=source).round(decimals=2)
    values[0, 1] = math.nan
    values[1, :, 2] = math.nan
    values[0, 2, 0] = math.nan
    weights = {"a": 1.0, "b": 0.5, "c": -0.25}
    named = [
        [
            {name: None if math.isnan(value) else value for name, value in zip(weights, one, strict=True)}
            for one in group
        ]
        for group in values.tolist()
    ]
    totals = [
        [
            None
            if all(value is None for value in one.values())
            else sum(weights[name] * value for name, value in one.items() if value is not None)
            for one in group
        ]
        for group in named
    ]
    return scored_of(totals, values=named, weights=weights, prompts=PROMPTS, tokens=tokens, finish=finish)


def raw_values(scored: Scored) -> Tensor:
    """What TRL's reward functions would have given: [B, components], NaN for None."""
    return torch.tensor(
        [
            [math.nan if part.value is None else part.value for part in one.components.values()]
            for group in scored.groups
            for one in group.completions
        ]
    )


def batch_of(scored: Scored, *, mask: bool = False) -> Batch:
    filled = with_advantages(scored, scale="group", aggregate="sum_then_normalize")
    return build_batch(filled, pad_token_id=0, device="cpu", mask_truncated_completions=mask)


def away_from(logps: Tensor, mask: Tensor, seed: int) -> Tensor:
    noise = torch.randn(logps.shape, generator=torch.Generator().manual_seed(seed)) * 0.4
    return torch.where(mask, logps + noise, 0.0)


def trl_inputs(batch: Batch, old: Tensor | None, ref: Tensor, num_items: int) -> dict[str, Any]:
    width = batch.input_ids.shape[1] - batch.completion_ids.shape[1]
    inputs = {
        "prompt_ids": batch.input_ids[:, :width],
        "prompt_mask": batch.attention_mask[:, :width],
        "completion_ids": batch.completion_ids,
        "completion_mask": batch.completion_mask.long(),
        "advantages": batch.advantages,
        "num_items_in_batch": torch.tensor(num_items),
        "ref_per_token_logps": ref,
    }
    return inputs if old is None else {**inputs, "old_per_token_logps": old}


def gradients(module: Any) -> dict[str, Tensor]:
    return {name: parameter.grad.clone() for name, parameter in module.named_parameters()}


CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "kl": {"beta": 0.1},
    "two-sided": {"delta": 1.5},
    "clip-higher": {"epsilon": 0.1, "epsilon_high": 0.3},
    "all, cool": {"beta": 0.1, "delta": 1.4, "epsilon_high": 0.3, "temperature": 0.7},
}


GSPO: dict[str, Any] = {"importance_sampling_level": "sequence", "epsilon": 0.02, "epsilon_high": 0.03}
OTHERS: list[tuple[str, dict[str, Any]]] = [
    ("grpo", GSPO),
    ("grpo", {**GSPO, "beta": 0.1, "delta": 1.1}),
    ("bnpo", {**GSPO, "beta": 0.1}),
    ("dr_grpo", GSPO),
    ("dapo", GSPO),
    ("luspo", GSPO),
    ("luspo", {**GSPO, "beta": 0.1, "use_bias_correction_kl": False}),
    ("cispo", {"epsilon_high": 1.3}),
    ("cispo", {"epsilon_high": 1.05, "importance_sampling_level": "sequence", "beta": 0.1, "temperature": 0.7}),
    ("sapo", {}),
    ("sapo", {"sapo_temperature_pos": 3.0, "sapo_temperature_neg": 5.0, "beta": 0.1}),
    ("sapo", {"importance_sampling_level": "sequence", "sapo_temperature_neg": 20.0}),
    ("vespo", {}),
    ("vespo", {"vespo_k_pos": 1.0, "vespo_lambda_pos": 0.7, "vespo_k_neg": 0.5, "vespo_lambda_neg": 3.0, "beta": 0.1}),
    ("dapo", {"top_entropy_quantile": 0.3}),
    ("grpo", {"top_entropy_quantile": 0.0, "beta": 0.1}),
    ("grpo", {"entropy_coef": 0.3}),
    ("cispo", {"epsilon_high": 1.3, "entropy_coef": 0.3, "top_entropy_quantile": 0.6, "temperature": 0.7}),
]


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", ["grpo", "bnpo", "dr_grpo", "dapo"])
def test_loss_gradients_and_figures_of_one_micro_batch(
    name: Any, case: str, masked: bool, scored: Scored, model: Any, trl_trainer: Callable[..., Any]
) -> None:
    batch = batch_of(scored, mask=masked)
    figures = compared(name, CASES[case], batch, model, trl_trainer)
    assert figures["clip_ratio/region_mean"] > 0, "the case must clip something"


@pytest.mark.parametrize(
    ("name", "options"), OTHERS, ids=[f"{name} {', '.join(options) or 'plain'}" for name, options in OTHERS]
)
def test_loss_gradients_and_figures_of_the_other_families(
    name: Any, options: dict[str, Any], scored: Scored, model: Any, trl_trainer: Callable[..., Any]
) -> None:
    figures = compared(name, options, batch_of(scored), model, trl_trainer)
    clips = [value for key, value in figures.items() if key in ("clip_ratio/region_mean", "cispo_clip_ratio")]
    assert clips == [] if name in ("sapo", "vespo") else clips[0] > 0, "the case must clip something"


def compared(
    name: Any, options: dict[str, Any], batch: Batch, model: Any, trl_trainer: Callable[..., Any]
) -> dict[str, float]:
    """Loss, gradients and figures of one micro-batch, which are TRL's; the figures are returned."""
    config = TrainConfig(loss_type=name, max_completion_length=LIMIT, logprob_chunk_size=5, **options)
    totals = update_totals(batch, 0, batch.size, max_completion_length=LIMIT)
    mine = LlamaPolicy(copy.deepcopy(model))
    blank = torch.zeros(batch.completion_mask.shape)
    on_policy = micro_batch_loss(mine, batch, totals, config, ref_logps=blank)[1]
    old, ref = (away_from(on_policy, batch.completion_mask, seed) for seed in (1, 2))

    output, _ = micro_batch_loss(mine, batch, totals, config, old_logps=old, ref_logps=ref)
    torch.autograd.backward(output.loss)

    trainer = trl_trainer(loss_type=name, **options)
    theirs = trainer._compute_loss(trainer.model, trl_inputs(batch, old, ref, totals.tokens))
    torch.autograd.backward(theirs)

    torch.testing.assert_close(output.loss, theirs, rtol=1e-4, atol=1e-6)
    expected = gradients(trainer.model)
    assert max(gradient.abs().max() for gradient in expected.values()) > 1e-3
    for parameter, gradient in gradients(mine.model).items():
        torch.testing.assert_close(gradient, expected[parameter], rtol=1e-3, atol=2e-6, msg=parameter)

    figures = merge_metrics([output.metrics])
    logged = {key: values[-1] for key, values in trainer._metrics["train"].items() if key in figures}
    assert logged == pytest.approx(figures, rel=1e-4, abs=1e-6)
    assert set(figures) - set(logged) == set()
    return figures


@pytest.mark.parametrize("name", [name for name in LOSSES if name not in ("bnpo", "dppo")])
def test_micro_batches_of_equal_size(name: Any, scored: Scored, model: Any, trl_trainer: Callable[..., Any]) -> None:
    """Four micro-batches of two completions, of different lengths: one update in both."""
    batch = batch_of(scored)
    config = TrainConfig(loss_type=name, max_completion_length=LIMIT)
    totals = update_totals(batch, 0, batch.size, max_completion_length=LIMIT)
    options = {"cispo": {"epsilon_high": 5.0}, "luspo": {"importance_sampling_level": "sequence"}}.get(name, {})
    mine, trainer = LlamaPolicy(copy.deepcopy(model)), trl_trainer(loss_type=name, micro_batches=4, **options)
    for start in range(0, batch.size, 2):
        rows = batch.rows(start, start + 2)
        blank = torch.zeros(rows.completion_mask.shape)
        torch.autograd.backward(micro_batch_loss(mine, rows, totals, config)[0].loss)
        torch.autograd.backward(trainer._compute_loss(trainer.model, trl_inputs(rows, None, blank, totals.tokens)))
    expected = gradients(trainer.model)
    for parameter, gradient in gradients(mine.model).items():
        torch.testing.assert_close(gradient, expected[parameter], rtol=1e-3, atol=2e-6, msg=parameter)


def test_dapo_divides_two_updates_of_one_sampling_by_what_they_have_in_common(
    scored: Scored, model: Any, trl_trainer: Callable[..., Any]
) -> None:
    batch = batch_of(scored)
    config = TrainConfig(loss_type="dapo", max_completion_length=LIMIT)
    trainer = trl_trainer(loss_type="dapo", micro_batches=2, steps_per_generation=4)
    policy = LlamaPolicy(model)
    for start in (0, 4):
        rows = batch.rows(start, start + 4)
        totals = update_totals(batch, start, start + 4, max_completion_length=LIMIT)
        assert totals == UpdateTotals(4, sum(LENGTHS[start // 4]), 18.5, LIMIT)
        with torch.no_grad():
            mine = micro_batch_loss(policy, rows, totals, config)[0].loss
            blank = torch.zeros(rows.completion_mask.shape)
            theirs = trainer._compute_loss(trainer.model, trl_inputs(rows, None, blank, sum(map(sum, LENGTHS))))
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(
    ("scale", "aggregate"),
    [
        ("group", "sum_then_normalize"),
        ("batch", "sum_then_normalize"),
        ("none", "sum_then_normalize"),
        ("group", "normalize_then_sum"),
    ],
)
def test_batch_and_advantages(
    scale: Any,
    aggregate: Any,
    masked: bool,
    scored: Scored,
    trl_trainer: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """TRL's own scoring of the same completions and rewards."""
    trainer = trl_trainer(
        rewards=COMPONENTS,
        reward_weights=[part.weight for part in scored.groups[0].completions[0].components.values()],
        scale_rewards=scale,
        multi_objective_aggregation=aggregate,
        mask_truncated_completions=masked,
    )
    pairs = [(group.prompt, one) for group in scored.groups for one in group.completions]
    prompts = [list(prompt.token_ids) for prompt, _ in pairs]
    completions = [list(one.generated.token_ids) for _, one in pairs]
    generated: tuple[Any, ...] = (prompts, completions, None, [""] * len(pairs), None, {}, None, None)
    monkeypatch.setattr(trainer, "_generate", lambda prompts: generated)
    monkeypatch.setattr(trainer, "_calculate_rewards", lambda *given: raw_values(scored))
    theirs = trainer._generate_and_score_completions([{"prompt": "w5"}] * len(pairs))

    filled = with_advantages(scored, scale=scale, aggregate=aggregate)
    batch = build_batch(filled, pad_token_id=0, device="cpu", mask_truncated_completions=masked)
    torch.testing.assert_close(batch.advantages, theirs["advantages"], rtol=1e-4, atol=1e-5)
    assert batch.advantages[1].item() == 0.0
    assert batch.advantages.abs().max() > 0.3
    assert torch.equal(batch.completion_ids, theirs["completion_ids"])
    assert torch.equal(batch.completion_mask.long(), theirs["completion_mask"])
    assert torch.equal(batch.input_ids, torch.cat([theirs["prompt_ids"], theirs["completion_ids"]], dim=1))
    assert torch.equal(batch.attention_mask, torch.cat([theirs["prompt_mask"], theirs["completion_mask"]], dim=1))
    assert int(batch.completion_mask.sum()) == int(theirs["num_items_in_batch"])


@pytest.mark.parametrize("beta", [0.0, 0.1])
@pytest.mark.parametrize("limits", [(None, 3.0), (0.8, 1.25), (0.9, None)], ids=["as it is", "narrow", "from below"])
@pytest.mark.parametrize(
    ("name", "mode"),
    [
        *(("dapo", mode) for mode in ("token_truncate", "token_mask", "sequence_truncate", "sequence_mask")),
        ("vespo", "token_truncate"),
    ],
)
def test_weights_loss_and_figures_where_the_engine_is_off(
    name: Any,
    mode: Any,
    limits: tuple[float | None, float | None],
    beta: float,
    scored: Scored,
    model: Any,
    trl_trainer: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """TRL's own step on completions whose engine, one token of which it cannot tell, is not quite the trainer."""
    plain = batch_of(scored)
    low, high = limits
    options = {"vllm_importance_sampling_mode": mode, "vllm_importance_sampling_clip_min": low}
    most = 1e9 if high is None else high
    config = TrainConfig(
        loss_type=name, beta=beta, max_completion_length=LIMIT, vllm_importance_sampling_clip_max=most, **options
    )
    totals = update_totals(plain, 0, plain.size, max_completion_length=LIMIT)
    mine = LlamaPolicy(copy.deepcopy(model))
    old = policy_logps(mine, plain, config).logps.detach()
    sampler = away_from(old, plain.completion_mask, seed=5)
    sampler[1, 2] = math.nan
    ref = away_from(old, plain.completion_mask, seed=6)
    batch = dataclasses.replace(plain, sampler_logps=sampler)
    output, _ = micro_batch_loss(mine, batch, totals, config, ref_logps=ref)
    torch.autograd.backward(output.loss)

    trainer = trl_trainer(loss_type=name, beta=beta, vllm_importance_sampling_clip_max=high, **options)
    trainer.use_vllm = True  # after the constructor, which would start it
    pairs = [(group.prompt, one) for group in scored.groups for one in group.completions]
    prompts = [list(prompt.token_ids) for prompt, _ in pairs]
    completions = [list(one.generated.token_ids) for _, one in pairs]
    said = [row[: len(ids)] for row, ids in zip(sampler.tolist(), completions, strict=True)]
    generated: tuple[Any, ...] = (prompts, completions, None, [""] * len(pairs), said, {}, None, None)
    monkeypatch.setattr(trainer, "_generate", lambda prompts: generated)
    monkeypatch.setattr(trainer, "_calculate_rewards", lambda *given: torch.zeros(len(pairs), 1))
    trainer.beta = 0.0  # its reference would be another forward; what follows has the same one as above
    inputs = trainer._generate_and_score_completions([{"prompt": "w5"}] * len(pairs))
    trainer.beta = beta
    inputs = {**inputs, "advantages": batch.advantages, "ref_per_token_logps": ref}
    theirs = trainer._compute_loss(trainer.model, inputs)
    torch.autograd.backward(theirs)

    settings = CorrectionSettings.of(config)
    assert settings is not None
    weights = importance_weights(old, sampler, batch.completion_mask, settings)
    expected = torch.where(batch.completion_mask, inputs["importance_sampling_ratio"], 0.0)
    torch.testing.assert_close(weights, expected, rtol=1e-4, atol=1e-6)
    assert not torch.equal(weights, batch.completion_mask.float())
    # A ratio of a completion has the rounding of all its tokens, and large terms of the loss cancel.
    torch.testing.assert_close(output.loss, theirs, rtol=1e-3 if name == "vespo" else 1e-4, atol=1e-6)
    of_theirs = gradients(trainer.model)
    assert max(gradient.abs().max() for gradient in of_theirs.values()) > 1e-2
    for parameter, gradient in gradients(mine.model).items():
        torch.testing.assert_close(gradient, of_theirs[parameter], rtol=1e-3, atol=1e-5, msg=parameter)

    figures = sampling_figures([Drawn(old, sampler, batch.completion_mask)], settings)
    logged = {key: values[-1] for key, values in trainer._metrics["train"].items() if key.startswith("sampling/")}
    assert {name: figures[name] for name in logged} == pytest.approx(logged, rel=1e-4, abs=1e-6)
    assert set(figures) - set(logged) == {"sampling/k3", "sampling/ess"}
