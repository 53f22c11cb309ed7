"""The policy that a run trained, and the prompts that it and every export of it are asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, cycle, islice
from pathlib import Path
from typing import Any, Final

import torch

from lydite.config import RunConfig
from lydite.configfile import read_config
from lydite.errors import ConfigError
from lydite.exports.weights import Weights
from lydite.learned import put_into, starting_from
from lydite.plugins import load_plugins
from lydite.policy import Policy, check_source, load_policy
from lydite.policy.dtypes import Dtype, dtype_for, settled
from lydite.policy.nf4 import is_nf4
from lydite.policy.source import PACKAGE_PREFIX
from lydite.report.reader import RunData
from lydite.types import Message

CONFIG = "config.toml"
LONG: Final = 1024
"""Tokens of the one long prompt: far positions turn by slow frequencies, which a short prompt does not see."""
LONG_ANSWER: Final = 8
"""Tokens of the answer to it that are compared."""
CONVERSATION: Final[tuple[Message, ...]] = (
    {"role": "user", "content": "What is 2 + 3?"},
    {"role": "assistant", "content": "It is 5."},
    {"role": "user", "content": "And 4 + 1?"},
)
"""What every export's chat template is given to render."""


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

    @property
    def dtype(self) -> Dtype:
        """The type that the run computed in; its policy may compute in float32 while an export is compared."""
        return dtype_for(self.config.model, self.policy.device)

    @property
    def long_prompt(self) -> tuple[int, ...]:
        """The prompts one behind the other and over again, as long as `LONG` and the model's context allow."""
        context = getattr(self.policy.config.get_text_config(decoder=True), "max_position_embeddings", None) or LONG
        wanted = min(LONG, context - LONG_ANSWER - 1)  # vLLM wants room for one token more
        return tuple(islice(cycle(chain.from_iterable(self.prompts)), max(wanted, 1)))


def load_trained(run: RunData, weights: Weights, n: int) -> Trained:
    """The policy of a run as of a checkpoint, and up to `n` of the run's prompts: held-out ones, else trained ones.

    Prompts come from the run's own records, so that neither its data nor its rewards are needed.

    Raises:
        ConfigError: when the configuration is no longer one that can be loaded, or no prompt is on record.
        ModelError: when the base model cannot be loaded, or the weights do not fit it.
    """
    config = settled(starting_from(read_config(run.folder / CONFIG), weights.learned))
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


def rendered(tokenizer: Any, messages: Sequence[Message]) -> tuple[int, ...] | None:
    """The tokens of a conversation, up to where an answer begins; None where the template refuses it, or there is none.

    Rendered and then read as text, as a run's prompts were.
    """
    try:
        text = tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True)
    except Exception:  # noqa: BLE001 - a template is a program of its own; what it raises is not to be foreseen
        return None
    return tuple(int(one) for one in tokenizer(text, add_special_tokens=False).input_ids)


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
    """What the base is called in an export: a name on the hub as it is, a package or a folder by its own name."""
    path = Path(config.model.path).expanduser()
    return path.resolve().name if path.exists() else config.model.path.removeprefix(PACKAGE_PREFIX)


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
