"""The fallback templates: the marks, who speaks, and which tokens end a turn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.tiny_model import make_tiny_model, make_tiny_tokenizer

from lydite.config import LoraConfig, ModelConfig
from lydite.plugins import load_plugins
from lydite.policy import Policy, load_policy
from lydite.types import Message, Sample
from lydite_families import BY_MODEL_TYPE, lydite_family

CASES: list[tuple[str, dict[str, str], str]] = [
    (
        "qwen3",
        {"eos_token": "<|im_end|>"},
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nOne?<|im_end|>\n"
        "<|im_start|>assistant\n1<|im_end|>\n<|im_start|>user\nTwo?<|im_end|>\n<|im_start|>assistant\n",
    ),
    (
        "llama",
        {"bos_token": "<|begin_of_text|>"},
        "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nOne?<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n1<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nTwo?<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
    ),
    (
        "llama",
        {"bos_token": "<s>", "eos_token": "</s>"},
        "<s>[INST] Be brief.\n\nOne? [/INST] 1</s>[INST] Two? [/INST]",
    ),
    (
        "llama",
        {"bos_token": "<|endoftext|>"},
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nOne?<|im_end|>\n"
        "<|im_start|>assistant\n1<|im_end|>\n<|im_start|>user\nTwo?<|im_end|>\n<|im_start|>assistant\n",
    ),
    (
        "mistral",
        {"bos_token": "<s>", "eos_token": "</s>"},
        "<s>[INST] Be brief.\n\nOne? [/INST] 1</s>[INST] Two? [/INST]",
    ),
    (
        "phi3",
        {"eos_token": "<|endoftext|>"},
        "<|system|>\nBe brief.<|end|>\n<|user|>\nOne?<|end|>\n<|assistant|>\n1<|end|>\n"
        "<|user|>\nTwo?<|end|>\n<|assistant|>\n",
    ),
    (
        "phi3",
        {"eos_token": "<|im_end|>"},
        "<|im_start|>system<|im_sep|>Be brief.<|im_end|><|im_start|>user<|im_sep|>One?<|im_end|>"
        "<|im_start|>assistant<|im_sep|>1<|im_end|><|im_start|>user<|im_sep|>Two?<|im_end|><|im_start|>assistant<|im_sep|>",
    ),
    (
        "gemma2",
        {"bos_token": "<bos>"},
        "<bos><start_of_turn>user\nBe brief.\n\nOne?<end_of_turn>\n<start_of_turn>model\n1<end_of_turn>\n"
        "<start_of_turn>user\nTwo?<end_of_turn>\n<start_of_turn>model\n",
    ),
]
CONVERSATION: tuple[Message, ...] = (
    {"role": "user", "content": "One?"},
    {"role": "assistant", "content": " 1 "},
    {"role": "user", "content": "Two?"},
)


@pytest.mark.parametrize(("model_type", "marks", "expected"), CASES)
def test_a_conversation_reads_as_the_family_documents(model_type: str, marks: dict[str, str], expected: str) -> None:
    from lydite.policy.chat import Chat

    tokenizer: Any = make_tiny_tokenizer(chat_template=BY_MODEL_TYPE[model_type].chat_template)
    tokenizer.add_special_tokens(marks)
    prompt = Chat(tokenizer).prompt(Sample("s", CONVERSATION), instructions="", system="Be brief.")
    assert prompt.text == expected


@pytest.mark.parametrize(
    ("model_type", "ends"),
    [
        ("llama", ("<|eot_id|>", "<|end_of_text|>")),
        ("qwen2", ("<|im_end|>", "<|endoftext|>")),
        ("phi3", ("<|end|>", "<|endoftext|>")),
        ("gemma2", ("<end_of_turn>", "<eos>")),
    ],
)
def test_the_familys_end_tokens_stop_a_turn(model_type: str, ends: tuple[str, ...], tmp_path: Path) -> None:
    policy = load(make_tiny_model(tmp_path, model_type, special_tokens=ends, chat_template=None))
    assert {policy.tokenizer.convert_tokens_to_ids(one) for one in ends} <= set(policy.stop_token_ids)


def test_a_base_model_without_a_template_gets_the_familys(tmp_path: Path) -> None:
    policy = load(make_tiny_model(tmp_path, "qwen2", chat_template=None))
    assert policy.encode(Sample("s", "Hi")).text == "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"


def test_the_tokenizers_own_template_wins(tmp_path: Path) -> None:
    own = "{% for message in messages %}<<{{ message['content'] }}>>{% endfor %}"
    assert load(make_tiny_model(tmp_path, "qwen2", chat_template=own)).encode(Sample("s", "Hi")).text == "<<Hi>>"


def test_thinking_marks_stay_in_the_text_though_they_are_special(tmp_path: Path) -> None:
    policy = load(make_tiny_model(tmp_path, "qwen3", special_tokens=("<think>", "</think>", "<mark>")))
    ids = policy.tokenizer("<think>so</think>5<mark><|im_end|>", add_special_tokens=False).input_ids
    assert policy.decode(ids) == ("<think>so</think>5", "<think>so</think>5<mark><|im_end|>")


def test_an_unknown_type_is_left_to_other_plugins() -> None:
    assert lydite_family("mamba") is None
    assert load_plugins(allow=("lydite-families",)).family("qwen3") is BY_MODEL_TYPE["qwen3"]


def load(folder: Path) -> Policy:
    config = ModelConfig(path=str(folder), dtype="float32", device="cpu")
    return load_policy(config, LoraConfig(r=2), load_plugins(allow=("lydite-families",)), seed=0)
