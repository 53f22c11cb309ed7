"""The policy that a run trained, and the prompts that it and every export of it are asked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

import torch

from lydite.config import RunConfig
from lydite.configfile import read_config
from lydite.errors import ConfigError
from lydite.exports.weights import Weights
from lydite.learned import put_into, starting_from
from lydite.plugins import load_plugins
from lydite.policy import Policy, check_source, load_policy
from lydite.policy.nf4 import is_nf4
from lydite.report.reader import RunData

CONFIG = "config.toml"


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """A run's policy with the weights that leave."""

    run: RunData
    config: RunConfig
    weights: Weights
    policy: Policy
    texts: tuple[str, ...]
    """Prompts as the model reads them, chat marks and all."""
    prompts: tuple[tuple[int, ...], ...]
    """Their tokens."""


def load_trained(run: RunData, weights: Weights, n: int) -> Trained:
    """The policy of a run as of a checkpoint, and up to `n` of the run's prompts: held-out ones, else trained ones.

    Prompts come from the run's own records, so that neither its data nor its rewards are needed.

    Raises:
        ConfigError: when the configuration is no longer one that can be loaded, or no prompt is on record.
        ModelError: when the base model cannot be loaded, or the weights do not fit it.
    """
    config = starting_from(read_config(run.folder / CONFIG), weights.learned)
    texts = tuple(islice(_texts(run), n))
    if not texts:
        raise ConfigError(
            f"{run.folder} has no prompt on record, in evals.jsonl or completions.jsonl, to compare an export by"
        )
    check_source(config.model)
    plugins = load_plugins(allow=config.plugins, files=config.plugin_files)
    policy = load_policy(config.model, config.lora, plugins, config.seed)
    put_into(policy, weights.learned)
    return Trained(run, config, weights, policy, texts, tuple(tokens_of(policy.tokenizer, text) for text in texts))


def tokens_of(tokenizer: Any, text: str) -> tuple[int, ...]:
    """The tokens of a prompt's text: a chat template writes its own start token, so that none is added then."""
    ids = tokenizer(text, add_special_tokens=not tokenizer.chat_template).input_ids
    return tuple(int(one) for one in ids)


def in_float32(model: Any) -> Any:
    """The model with every weight as the same number in float32, its products included; 4-bit weights stay packed."""
    model.to(torch.float32)
    for module in model.modules():
        if is_nf4(module):
            module.compute_dtype = torch.float32
    return model


def compute_in_float32(policy: Policy) -> None:
    """Lets the policy compute in float32 on the numbers that it has, so that its own rounding is no drift."""
    in_float32(policy.model)
    policy.dtype = torch.float32


def base_name(config: RunConfig) -> str:
    """What the base is called in an export: a name on the hub or of a package as it is, a folder by its last name."""
    path = Path(config.model.path).expanduser()
    return path.resolve().name if path.exists() else config.model.path


def _texts(run: RunData) -> Iterator[str]:
    heldout = run.last_eval
    answers = heldout.get("answers", ()) if heldout is not None else ()
    held = dict.fromkeys(str(one["prompt"]) for one in answers if one.get("prompt"))
    if held:
        return iter(held)
    return _once(str(one["prompt"]) for one in chain(run.completions()) if one.get("prompt"))


def _once(texts: Iterator[str]) -> Iterator[str]:
    seen: set[str] = set()
    for text in texts:
        if text not in seen:
            seen.add(text)
            yield text
