"""Random models on disk: weights in bf16, a tokenizer that knows every token, and one LoRA adapter as peft saves it."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

from benchmarks.gpu.shapes import LINEARS, LORA_ALPHA, LORA_RANK, Shape

END = "<|endoftext|>"
"""The name that Qwen2's tokenizer class would add a token for, behind the model's vocabulary, if there were none."""
PAD = "<|pad|>"
"""What fills a batch up: Unsloth refuses a model that pads with its end token."""
ADDED = ("o_proj", "down_proj")
"""The matrices whose products are added to the residual stream."""
DONE = "made"
"""Written last: a folder without it is made anew."""


def model_folder(models: Path, name: str) -> Path:
    """Where the model of this name is."""
    return models / name


def make_model(shape: Shape, folder: Path, *, device: str, seed: int = 0) -> bool:
    """Writes the model; False when it is there already."""
    if (folder / DONE).is_file():
        return False
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    _write_weights(shape, folder, device, seed)
    _tokenizer(shape).save_pretrained(folder)
    write_adapter(folder / "adapter", adapter_tensors(shape, device=device, seed=seed))
    (folder / DONE).write_text("")
    return True


def make_skeleton(shape: Shape, folder: Path) -> None:
    """Writes a model's configuration and tokenizer, and a file of weights with nothing in it, for `packed_model`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / DONE).unlink(missing_ok=True)  # a model that was here has no weights from now on
    shape.config().save_pretrained(folder)
    _tokenizer(shape).save_pretrained(folder)
    (folder / "model.safetensors").write_bytes(b"")


def packed_model(shape: Shape, *, device: str, seed: int = 0) -> Any:
    """The model of transformers on the device, its linear layers random and in NF4.

    One matrix at a time is drawn in 16 bit, packed and dropped; embeddings, head and norms stay in 16 bit.
    """
    import torch
    from torch import nn
    from transformers import AutoModelForCausalLM

    from lydite.policy.nf4 import quantise_linears

    place, kept = torch.device(device), torch.bfloat16
    draws = torch.Generator(place).manual_seed(seed)
    with torch.device("meta"):
        causal = AutoModelForCausalLM.from_config(shape.config(), dtype=kept)

    def drawn(like: torch.Tensor, name: str) -> nn.Parameter:
        if like.dim() == 1:  # a norm's weight, or a bias
            return nn.Parameter(torch.ones(like.shape, dtype=kept, device=place), requires_grad=False)
        spread = deviation(shape, name)
        numbers = torch.empty(like.shape, dtype=kept, device=place).normal_(0.0, spread, generator=draws)
        return nn.Parameter(numbers, requires_grad=False)

    head = causal.get_output_embeddings()
    names = [name for name, one in causal.named_modules() if isinstance(one, nn.Linear) and one is not head]
    for name in names:  # names: a list of the layers would keep every one of their 16-bit weights
        linear = causal.get_submodule(name)
        for part, value in list(linear.named_parameters(recurse=False)):
            setattr(linear, part, drawn(value, name))
        holder = nn.Sequential(linear)
        quantise_linears(holder, keep_16bit=(), skip=(), dtype=kept, device=place)
        causal.set_submodule(name, holder[0])
    for name, module in causal.named_modules():
        for part, value in list(module.named_parameters(recurse=False)):
            if value.is_meta:
                setattr(module, part, drawn(value, name))
    if shape.tied:
        causal.tie_weights()
    rotary = causal.get_decoder().rotary_emb
    with place:  # its frequencies are no weights, and not drawn
        causal.get_decoder().rotary_emb = type(rotary)(causal.config)
    causal.is_loaded_in_4bit = True  # as a model is that was loaded packed
    return causal.eval()


def adapter_tensors(shape: Shape, *, device: str, seed: int) -> dict[str, Any]:
    """The tensors of an adapter of rank 16 on every linear layer, by peft's names, in bf16 and none of them zero."""
    import torch

    draws = torch.Generator(device).manual_seed(seed)
    made = {}
    for layer in range(shape.layers):
        for name in LINEARS:
            inputs, outputs = shape.linear_sizes(name)
            for part, size in (("lora_A", (LORA_RANK, inputs)), ("lora_B", (outputs, LORA_RANK))):
                drawn = torch.randn(size, generator=draws, device=device) * 0.01
                made[f"base_model.model.model.layers.{layer}.{name}.{part}.weight"] = drawn.to(torch.bfloat16)
    return made


def write_adapter(folder: Path, tensors: dict[str, Any]) -> None:
    """Writes the two files of peft's `save_pretrained`."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: one.contiguous().cpu() for name, one in tensors.items()}, folder / "adapter_model.safetensors")
    settings = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": LORA_RANK,
        "lora_alpha": LORA_ALPHA,
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": [name.rpartition(".")[2] for name in LINEARS],
    }
    (folder / "adapter_config.json").write_text(json.dumps(settings))


def _write_weights(shape: Shape, folder: Path, device: str, seed: int) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(shape.config(), dtype=torch.bfloat16)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() > 1:
                weight.normal_(0.0, deviation(shape, name.removesuffix(".weight")))
    model.save_pretrained(folder)


def deviation(shape: Shape, name: str) -> float:
    """Of the numbers of the matrix of this name: a product of what a norm gives has about the same size in every width.

    A matrix whose product is added to the residual stream is drawn smaller, as GPT-2's are. Otherwise dozens of wide
    random layers make so much of a rounding in the first that two ways to compute the same are half a nat apart, which
    is further than what is taken for the same model.
    """
    spread = min(0.02, 0.8 / math.sqrt(shape.hidden))
    return spread / math.sqrt(2 * shape.layers) if name.endswith(ADDED) else spread


def _tokenizer(shape: Shape) -> Any:
    """A byte-level tokenizer without merges: a text of n ASCII letters has n tokens, and every token has a text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = [f"Ġw{place}" for place in range(shape.vocabulary - len(alphabet) - 2)]
    vocabulary = {token: place for place, token in enumerate([*alphabet, *words, PAD, END])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END, pad_token=PAD)
