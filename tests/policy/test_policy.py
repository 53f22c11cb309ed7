"""The policy through its public face: forward, reference, adapter state, saving, text."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support.tiny_model import CHATML, make_tiny_model

from lydite.config import LoraConfig, ModelConfig
from lydite.errors import ConfigError, ModelError
from lydite.plugins import Plugins
from lydite.policy import Policy, load_policy
from lydite.policy.activations import Activations
from lydite.types import Message, Sample

Load = Callable[..., Policy]
Tokens = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def hidden(policy: Policy, tokens: Tokens) -> torch.Tensor:
    with torch.no_grad():
        return policy.hidden_states(*tokens)[tokens[1].bool()]


# Forward


@pytest.mark.parametrize("architecture", ["llama", "gemma2", "granite", "cohere"])
def test_head_and_hidden_states_give_the_models_own_logits(
    architecture: str, tmp_path: Path, no_plugins: Plugins, tokens: Tokens
) -> None:
    path = str(make_tiny_model(tmp_path, architecture))
    policy = load_policy(ModelConfig(path=path, dtype="float32"), LoraConfig(r=2), no_plugins, 0)
    head = policy.head()
    logits = hidden(policy, tokens) @ head.weight.T * head.logit_scale
    if head.softcap is not None:
        logits = torch.tanh(logits / head.softcap) * head.softcap
    ids, mask, positions = tokens
    with torch.no_grad():
        own = policy.model(input_ids=ids, attention_mask=mask, position_ids=positions).logits[mask.bool()]
    torch.testing.assert_close(logits, own, rtol=1e-5, atol=1e-5)


def test_a_model_whose_logits_are_made_in_another_way_is_refused(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import LlamaForCausalLM

    original = LlamaForCausalLM.forward

    def scaled(self: Any, *args: Any, **kwargs: Any) -> Any:
        output = original(self, *args, **kwargs)
        output.logits = output.logits * 1.5
        return output

    monkeypatch.setattr(LlamaForCausalLM, "forward", scaled)
    with pytest.raises(ModelError, match="'llama' makes its logits in a way that lydite does not know"):
        load()


def test_a_fresh_adapter_changes_nothing(load: Load, tokens: Tokens) -> None:
    policy = load()
    adapted = hidden(policy, tokens)
    with policy.reference():
        torch.testing.assert_close(hidden(policy, tokens), adapted, rtol=0, atol=0)


def test_the_reference_is_the_model_without_its_adapter(load: Load, tokens: Tokens) -> None:
    base, policy = hidden(load(), tokens), load(trained=True)
    trained = hidden(policy, tokens)
    assert not torch.allclose(trained, base, atol=1e-3)
    with contextlib.suppress(RuntimeError), policy.reference():
        torch.testing.assert_close(hidden(policy, tokens), base, rtol=0, atol=0)
        raise RuntimeError
    torch.testing.assert_close(hidden(policy, tokens), trained, rtol=0, atol=0)


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_the_adapter_computes_what_peft_computes(load: Load, folder: Path, tmp_path: Path, tokens: Tokens) -> None:
    import peft
    import transformers

    policy = load(trained=True)
    policy.save_adapter(tmp_path)
    base = transformers.AutoModelForCausalLM.from_pretrained(folder)
    theirs = peft.PeftModel.from_pretrained(base, tmp_path)
    ids, mask, positions = tokens
    with torch.no_grad():
        logits = theirs(input_ids=ids, attention_mask=mask, position_ids=positions).logits[mask.bool()]
    torch.testing.assert_close(policy.logits(hidden(policy, tokens)), logits, rtol=1e-5, atol=1e-5)


def test_the_adapter_is_float32_and_the_products_are_not(load: Load, tokens: Tokens) -> None:
    policy = load(dtype="bfloat16", trained=True)
    assert {one.dtype for one in policy.trainable().values()} == {torch.float32}
    inputs: list[torch.dtype] = []
    layer = next(one for one in policy.model.modules() if hasattr(one, "lora_dropout"))
    layer.lora_dropout["default"].register_forward_hook(lambda _module, given, _made: inputs.append(given[0].dtype))
    loss = policy.hidden_states(*tokens).float().square().mean()
    loss.backward()
    assert inputs == [torch.bfloat16]
    assert {one.grad.dtype for one in policy.trainable().values() if one.grad is not None} == {torch.float32}
    assert all(one.grad is not None for one in policy.trainable().values())


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_gradients_are_those_of_peft(load: Load, folder: Path, tmp_path: Path, tokens: Tokens) -> None:
    import peft
    import transformers

    policy = load(trained=True)
    policy.save_adapter(tmp_path)
    base = transformers.AutoModelForCausalLM.from_pretrained(folder)
    theirs = peft.PeftModel.from_pretrained(base, tmp_path, is_trainable=True)
    ids, mask, positions = tokens
    policy.logits(policy.hidden_states(ids, mask, positions)[mask.bool()]).square().mean().backward()
    theirs(input_ids=ids, attention_mask=mask, position_ids=positions).logits[mask.bool()].square().mean().backward()
    expected = dict(theirs.named_parameters())
    for name, one in policy.trainable().items():
        assert one.grad is not None
        torch.testing.assert_close(one.grad, expected[name].grad, rtol=1e-4, atol=1e-6)


def test_dropout_is_on_only_in_train_mode(load: Load, tokens: Tokens) -> None:
    policy = load(lora=LoraConfig(r=4, dropout=0.5), trained=True)
    assert torch.equal(hidden(policy, tokens), hidden(policy, tokens))
    policy.train_mode()
    assert not torch.equal(hidden(policy, tokens), hidden(policy, tokens))
    policy.eval_mode()
    assert torch.equal(hidden(policy, tokens), hidden(policy, tokens))


def test_sampling_gives_back_mode_and_float32(load: Load) -> None:
    policy = load(dtype="bfloat16", trained=True)
    policy.train_mode()
    for one in policy.trainable().values():
        one.grad = torch.ones_like(one)
    before, masters = policy.adapter_hash(), [one.data_ptr() for one in policy.trainable().values()]
    with contextlib.suppress(KeyError), policy.sampling():
        assert not any(module.training for module in policy.model.modules())
        assert {one.dtype for one in policy.trainable().values()} == {torch.bfloat16}
        raise KeyError
    assert policy.adapter_hash() == before
    assert [one.data_ptr() for one in policy.trainable().values()] == masters
    assert policy.model.training


def test_checkpointed_activations_give_the_same_gradients(load: Load, tokens: Tokens) -> None:
    gradients, products = [], []
    for checkpointed in (False, True):
        policy = load(trained=True)
        if checkpointed:
            activations = Activations(policy)
            activations.recompute(activations.layers)
        policy.train_mode()
        calls: list[int] = []
        layer = next(one for one in policy.model.modules() if hasattr(one, "lora_dropout"))
        layer.base_layer.register_forward_hook(lambda *_, calls=calls: calls.append(1))
        policy.hidden_states(*tokens).square().mean().backward()
        gradients.append([one.grad for one in policy.trainable().values()])
        products.append(len(calls))
    assert products == [1, 2], "computed again in the backward pass"
    for plain, again in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, again)


# What is trained


def test_the_seed_alone_decides_the_adapters_start(load: Load) -> None:
    torch.manual_seed(1)
    first = load(seed=7).adapter_hash()
    torch.manual_seed(2)
    state = torch.get_rng_state()
    assert load(seed=7).adapter_hash() == first
    assert torch.equal(torch.get_rng_state(), state), "loading draws from nobody else's randomness"
    assert load(seed=8).adapter_hash() != first


def test_the_adapter_goes_where_the_configuration_says(load: Load) -> None:
    policy = load(lora=LoraConfig(r=3, target_modules=("q_proj", "down_proj")))
    assert {name.split(".lora_")[0].rpartition(".")[2] for name in policy.trainable()} == {"q_proj", "down_proj"}
    assert {min(one.shape) for one in policy.trainable().values()} == {3}
    every = load(lora=LoraConfig(r=3))
    assert len(every.trainable()) == 7 * 2 * 3, "seven linear layers, A and B, three layers; never the head"


def test_a_misspelt_target_is_an_error_with_the_near_miss(load: Load) -> None:
    with pytest.raises(ConfigError, match="have no linear 'q_porj'; did you mean 'q_proj'"):
        load(lora=LoraConfig(target_modules=("q_porj",)))
    with pytest.raises(ConfigError, match="the output head is never adapted"):
        load(lora=LoraConfig(target_modules=("lm_head",)))


def test_adapter_state_goes_round(load: Load) -> None:
    policy, other = load(trained=True), load(seed=5)
    state = policy.adapter_state()
    kept = list(other.trainable().values())
    other.load_adapter_state(state)
    assert other.adapter_hash() == policy.adapter_hash()
    assert all(one is two for one, two in zip(other.trainable().values(), kept, strict=True))
    next(iter(state.values())).add_(1.0)
    assert other.adapter_hash() == policy.adapter_hash(), "a state is a copy"


def test_an_adapter_of_another_shape_is_refused_and_changes_nothing(load: Load) -> None:
    policy = load(trained=True)
    before = policy.adapter_hash()
    with pytest.raises(ModelError, match=r"belong to another model or adapter: .* of 42 parameters differ"):
        policy.load_adapter_state(load(lora=LoraConfig(r=8)).adapter_state())
    state = policy.adapter_state()
    state.pop(next(iter(state)))
    with pytest.raises(ModelError, match="1 of 42"):
        policy.load_adapter_state(state)
    assert policy.adapter_hash() == before


# Full fine-tuning


def test_full_fine_tuning_trains_every_weight_in_float32(load: Load, tokens: Tokens) -> None:
    policy = load(lora=LoraConfig(enabled=False), dtype="bfloat16")
    own = policy.trainable()
    assert not policy.adapted
    assert {one.dtype for one in own.values()} == {torch.float32}
    assert set(own) == {name for name, _ in policy.model.named_parameters()}
    head = policy.head()
    policy.hidden_states(*tokens).float().matmul(head.weight.T.float()).square().mean().backward()
    assert all(one.grad is not None and one.grad.abs().sum() > 0 for one in own.values())


def test_full_fine_tuning_keeps_its_start_as_the_reference(load: Load, tokens: Tokens) -> None:
    policy = load(lora=LoraConfig(enabled=False))
    start, head = hidden(policy, tokens), policy.head().weight.detach().clone()
    with torch.no_grad():
        for one in policy.trainable().values():
            one.mul_(1.1)
    trained = hidden(policy, tokens)
    assert not torch.allclose(trained, start, atol=1e-2)
    with policy.reference():
        torch.testing.assert_close(hidden(policy, tokens), start, rtol=0, atol=0)
        torch.testing.assert_close(policy.head().weight, head, rtol=0, atol=0)
        assert not policy.head().trainable
    torch.testing.assert_close(hidden(policy, tokens), trained, rtol=0, atol=0)


def test_a_fully_tuned_model_is_saved_as_a_model(
    load: Load, no_plugins: Plugins, tmp_path: Path, tokens: Tokens
) -> None:
    policy = load(lora=LoraConfig(enabled=False))
    with torch.no_grad():
        for one in policy.trainable().values():
            one.mul_(1.1)
    policy.save_adapter(tmp_path)
    again = load_policy(ModelConfig(path=str(tmp_path), dtype="float32"), LoraConfig(r=2), no_plugins, 0)
    torch.testing.assert_close(hidden(again, tokens), hidden(policy, tokens))
    assert again.encode(Sample("s", "Hi")).token_ids == policy.encode(Sample("s", "Hi")).token_ids


def test_nf4_without_an_adapter_is_refused(load: Load) -> None:
    with pytest.raises(ConfigError, match="NF4 weights cannot be"):
        load(lora=LoraConfig(enabled=False), quantization="nf4")


# Loading


def test_cuda_that_is_not_there_is_an_error(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="torch sees no CUDA device"):
        load(device="cuda")
    assert load(device="auto").device.type == "cpu"


def test_files_that_are_no_causal_model_are_an_error(folder: Path, tmp_path: Path, load: Load) -> None:
    for one in folder.iterdir():
        (tmp_path / one.name).write_bytes(one.read_bytes())
    (tmp_path / "config.json").write_text('{"model_type": "no_such_thing"}')
    with pytest.raises(ModelError, match="cannot be loaded as a causal language model"):
        load(path=str(tmp_path))


def test_loading_says_nothing(load: Load, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    with warnings.catch_warnings(record=True) as caught, caplog.at_level(logging.WARNING):
        warnings.simplefilter("always")
        load(trained=True).generate("Hi", max_new_tokens=2)
    assert capfd.readouterr() == ("", "")
    assert [str(one.message) for one in caught] == []
    assert caplog.records == []


# Text


def test_system_text_and_instructions_make_the_system_message(load: Load) -> None:
    prompt = load().encode(Sample("s", "Two?"), instructions="Answer in digits.", system="Be brief.")
    assert prompt.text == (
        "<|im_start|>system\nBe brief.\n\nAnswer in digits.<|im_end|>\n"
        "<|im_start|>user\nTwo?<|im_end|>\n<|im_start|>assistant\n"
    )


def test_a_conversation_keeps_its_own_system_message_and_turns(load: Load) -> None:
    messages: tuple[Message, ...] = (
        {"role": "system", "content": "You add."},
        {"role": "user", "content": "1+1?"},
        {"role": "assistant", "content": "2"},
        {"role": "user", "content": "2+2?"},
    )
    text = load().encode(Sample("s", messages), instructions="Digits only.", system="Be brief.").text
    assert text == (
        "<|im_start|>system\nBe brief.\n\nYou add.\n\nDigits only.<|im_end|>\n<|im_start|>user\n1+1?<|im_end|>\n"
        "<|im_start|>assistant\n2<|im_end|>\n<|im_start|>user\n2+2?<|im_end|>\n<|im_start|>assistant\n"
    )


def test_an_answer_that_was_begun_is_gone_on_with(load: Load) -> None:
    messages: tuple[Message, ...] = (
        {"role": "user", "content": "1+1?"},
        {"role": "assistant", "content": "<think>"},
    )
    text = load().encode(Sample("s", messages)).text
    assert text == "<|im_start|>user\n1+1?<|im_end|>\n<|im_start|>assistant\n<think>"


@pytest.mark.parametrize(
    "template",
    [
        CHATML.replace(
            "{% for", "{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}{% for", 1
        ),
        "{% for message in messages %}{% if message.role == 'user' %}[{{ message.content }}]{% endif %}{% endfor %}",
    ],
    ids=["raises", "drops"],
)
def test_without_a_system_role_the_text_goes_before_the_first_question(load: Load, template: str) -> None:
    policy = load(chat_template=template)
    assert not policy.chat.has_system_role
    assert "Be brief.\n\nDigits only.\n\nTwo?" in policy.encode(
        Sample("s", "Two?"), instructions="Digits only.", system="Be brief."
    ).text  # fmt: skip


def test_without_any_template_paragraphs_are_read(tmp_path: Path, load: Load) -> None:
    policy = load(path=str(make_tiny_model(tmp_path, chat_template=None)))
    prompt = policy.encode(Sample("s", "Two?"), instructions="Digits only.", system="Be brief.")
    assert prompt.text == "Be brief.\n\nDigits only.\n\nTwo?"
    assert policy.tokenizer.decode(list(prompt.token_ids)) == prompt.text


def test_a_template_that_refuses_a_conversation_names_the_sample(load: Load) -> None:
    policy = load(chat_template="{% if messages | length > 1 %}{{ raise_exception('one turn only') }}{% endif %}x")
    turns: tuple[Message, ...] = (
        {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"},
    )  # fmt: skip
    with pytest.raises(ModelError, match=r"refuses sample 'row-7' \(roles: user, assistant, user\): one turn only"):
        policy.encode(Sample("row-7", turns))


def test_special_tokens_are_written_once(load: Load) -> None:
    policy = load()
    ids = policy.encode(Sample("s", "Hi")).token_ids
    assert policy.tokenizer.decode(list(ids)) == "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"


def test_text_is_without_marks_and_raw_with_them(load: Load) -> None:
    policy = load()
    ids = policy.tokenizer("It is 5 .<|im_end|>", add_special_tokens=False).input_ids
    assert policy.decode(ids) == ("It is 5 .", "It is 5 .<|im_end|>")


def test_the_templates_end_of_turn_stops_even_where_nothing_else_says_so(tmp_path: Path, load: Load) -> None:
    template = CHATML.replace("<|im_end|>", "<|over|>")
    policy = load(path=str(make_tiny_model(tmp_path, chat_template=template, special_tokens=("<|over|>",))))
    ends = {policy.tokenizer.convert_tokens_to_ids(one) for one in ("<|im_end|>", "<|over|>")}
    assert set(policy.stop_token_ids) == ends


def test_generate_answers_in_order_and_by_seed(load: Load) -> None:
    policy = load(trained=True)
    questions = [f"What is {n} + {n}?" for n in range(70)]
    greedy = policy.generate(questions, max_new_tokens=4)
    assert len(greedy) == 70
    assert policy.generate(questions[3], max_new_tokens=4) == [greedy[3]]
    drawn = [policy.generate("Hi", max_new_tokens=16, temperature=1.0, seed=seed)[0] for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
