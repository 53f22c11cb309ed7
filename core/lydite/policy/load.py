"""From a configuration to a policy: weights, quantisation, adapter, tokenizer, and a check that they fit."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final

import torch

from lydite.config import LoraConfig, ModelConfig
from lydite.contracts import Family
from lydite.errors import ConfigError, LyditeError, ModelError
from lydite.plugins import Plugins
from lydite.policy.adapter import attach_adapter, linear_names
from lydite.policy.dtypes import DTYPES, device_for, dtype_for
from lydite.policy.fused import install_fused_layers
from lydite.policy.gguf import load_gguf
from lydite.policy.nf4 import quantise_linears
from lydite.policy.policy import Policy, trunk_of
from lydite.policy.quiet import quiet_libraries, without_chatter
from lydite.policy.software_products import slowness
from lydite.policy.source import Source, check_source

logger = logging.getLogger("lydite")
_HEAD_TOLERANCE: Final = 0.05  # of the largest logit: above bf16's noise, far below a forgotten factor


def load_policy(
    model: ModelConfig,
    lora: LoraConfig,
    plugins: Plugins,
    seed: int,
    *,
    share_out: Callable[[Any, torch.device], None] | None = None,
) -> Policy:
    """The model of a configuration, ready to sample and to train; the same seed gives the same adapter.

    `share_out` brings a model with an adapter from the host's memory to the device instead, each process its part.

    With `lora.enabled` the base is frozen in `model.dtype` or NF4 and the adapter is float32; without, every
    weight is trained, and kept in float32, since bf16 would round small updates away.

    Raises:
        ConfigError: when what is asked for cannot be, such as NF4 without an adapter, or CUDA without a device.
        ModelError: when the files cannot be loaded as a causal language model with a tokenizer.
    """
    source = check_source(model)
    quiet_libraries()
    device = device_for(model)
    dtype = DTYPES[dtype_for(model, device)]
    _warn_of_software_products(device, dtype, model.dtype)
    if not lora.enabled and model.quantization == "nf4":
        raise ConfigError(
            "lora.enabled = false trains every weight, and NF4 weights cannot be; set model.quantization = 'none'"
        )
    held_in = dtype if lora.enabled else torch.float32
    causal, tokenizer = _read(model, source, held_in)
    family = plugins.family(causal.config.get_text_config(decoder=True).model_type)
    _set_template(tokenizer, model, family)
    switch = None
    if not lora.enabled:
        wrapped = causal = causal.to(device)
    else:
        causal = _frozen(model, causal, device if share_out is None else torch.device("cpu"), dtype)
        targets = family.lora_targets if family is not None else tuple(linear_names(trunk_of(causal)))
        wrapped, switch = attach_adapter(causal, trunk_of(causal), lora, targets, seed, model.path)
        install_fused_layers(trunk_of(causal), switch)
        if share_out is not None:
            share_out(causal, device)

    def load_start() -> Any:
        start, _ = _read(model, source, dtype)
        return start.to(device).eval().requires_grad_(False)

    policy = Policy(
        model=wrapped, causal=causal, tokenizer=tokenizer, family=family, device=device, dtype=dtype, switch=switch,
        load_start=load_start,
    )  # fmt: skip
    return _checked(policy)


def _warn_of_software_products(device: torch.device, dtype: torch.dtype, name: str) -> None:
    if device.type != "cpu" or dtype is torch.float32:
        return
    slower = slowness(dtype)
    if slower is not None:
        logger.warning(
            "this processor takes %d times as long for products in %s as in float32; model.dtype = \"float32\" trains "
            "faster here, in twice the memory",
            round(slower), name,
        )  # fmt: skip


def load_base(model: ModelConfig) -> Any:
    """The frozen model below an adapter, as `load_policy` has it: in its type, or packed in 4 bit, on its device.

    Raises:
        ConfigError, ModelError: as `load_policy`.
    """
    source = check_source(model)
    quiet_libraries()
    device = device_for(model)
    dtype = DTYPES[dtype_for(model, device)]
    causal, _ = _read(model, source, dtype)
    return _frozen(model, causal, device, dtype)


def _frozen(model: ModelConfig, causal: Any, device: torch.device, dtype: torch.dtype) -> Any:
    for parameter in causal.parameters():
        parameter.requires_grad_(False)
    if model.quantization == "nf4" and not getattr(causal, "is_loaded_in_4bit", False):
        head = causal.get_output_embeddings()
        quantise_linears(causal, keep_16bit=model.keep_16bit, skip={head}, dtype=dtype, device=device)
        causal.is_loaded_in_4bit = True  # tells peft which kind of layer it wraps
    return _moved(causal, device)


def _read(config: ModelConfig, source: Source, dtype: torch.dtype) -> tuple[Any, Any]:
    """The bare model in evaluation mode, and its tokenizer."""
    import transformers

    try:
        if source.gguf_file is not None:
            causal, tokenizer = load_gguf(source.location, source.gguf_file, dtype, source.revision)
        else:
            options = {"revision": source.revision} if source.revision else {}
            with without_chatter():
                tokenizer = transformers.AutoTokenizer.from_pretrained(source.location, **options)
                causal = transformers.AutoModelForCausalLM.from_pretrained(source.location, dtype=dtype, **options)
    except LyditeError:
        raise
    except Exception as error:  # loaders raise whatever their files make them; the reader needs the model's name
        first = str(error).strip().partition("\n")[0]
        raise ModelError(
            f"model.path = {config.path!r} cannot be loaded as a causal language model with its tokenizer: "
            f"{type(error).__name__}: {first}"
        ) from error
    return causal.eval(), tokenizer


def _moved(causal: Any, device: torch.device) -> Any:
    return causal if all(one.device == device for one in causal.parameters()) else causal.to(device)


def _set_template(tokenizer: Any, config: ModelConfig, family: Family | None) -> None:
    if config.chat_template is not None:
        tokenizer.chat_template = config.chat_template
    elif not tokenizer.chat_template and family is not None and family.chat_template is not None:
        tokenizer.chat_template = family.chat_template


@torch.no_grad()
def _checked(policy: Policy) -> Policy:
    """The policy, once its hidden states and head give the logits that the model gives by itself.

    Raises:
        ModelError: for an architecture whose output is more than a linear head, so that its log-probs would be
            wrong without anybody noticing.
    """
    vocabulary = policy.head().weight.shape[0]
    ids = torch.arange(4, device=policy.device)[None] % vocabulary
    mask, positions = torch.ones_like(ids), torch.arange(4, device=policy.device)[None]
    policy.eval_mode()
    with policy.sampling():
        ours = policy.logits(policy.hidden_states(ids, mask, positions)[0]).float()
        # Without a cache, as ours: attention rounds otherwise with one, and deep models make much of a rounding.
        output = policy.model(input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=False)
        theirs = output.logits[0].float()
    scale = float(theirs.abs().max())
    difference = float((ours - theirs).abs().max())
    if not difference <= _HEAD_TOLERANCE * scale:
        raise ModelError(
            f"a model of type {policy.config.model_type!r} makes its logits in a way that lydite does not know: "
            f"they differ by {difference:.3g} from head times hidden states (largest logit {scale:.3g})"
        )
    return policy
