"""One step at full length, without data, rewards or anything kept: how much memory a run really takes."""

from __future__ import annotations

import ctypes
import gc
import importlib
import threading
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

import psutil
import torch

from lydite.config import RunConfig
from lydite.objective import Batch, micro_batch_loss, update_totals
from lydite.optimizer import make_optimizer
from lydite.planner.memory import in_units
from lydite.plugins import load_plugins
from lydite.policy import Policy, load_policy
from lydite.rollout import Sampling, make_engine
from lydite.types import Prompt, Sample

_EVERY: Final = 0.01  # seconds between two looks; what lives shorter than that on a CPU is missed


@dataclass(frozen=True, slots=True)
class Measured:
    """Bytes beyond what the process held on the device before it loaded anything."""

    engine: str
    loaded: int
    """With the policy."""
    rollout: int
    """At the peak of sampling."""
    training: int
    """At the peak of a forward and backward pass."""
    described: str
    """What was done, in words."""
    lines: tuple[str, ...]
    """What else was seen."""


def dry_run(config: RunConfig) -> Measured:
    """What one sampling and one micro-batch take, of prompts and completions as long as they may be.

    The prompts are random tokens. An engine cannot be made to go on: completions that end early leave the cache
    emptier than planned. The micro-batch is random tokens at full length, with gradients and the optimiser's state
    beside it as they are from the second update on. On a GPU it is the device's memory that is read, so nothing else
    should run there; on a CPU the resident memory of this process.

    Raises:
        LyditeError: when model or engine cannot be had as configured.
    """
    importlib.import_module("peft")  # whose own size is no part of the run's
    plugins = load_plugins(allow=config.plugins, files=config.plugin_files)
    device = _device(config)
    _tidy(device)  # else what others left is given back later on, and the run seems smaller by it
    before = _used(device)
    policy = load_policy(config.model, config.lora, plugins, config.seed)
    if config.train.gradient_checkpointing:
        policy.checkpoint_activations()
    _tidy(device)
    loaded = _used(device) - before
    engine = make_engine(config, policy)
    try:
        engine.take_adapter(policy)
        optimizer = _optimizer(config, policy)
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        with Peak(device) as rollout:
            sampled = engine.generate(_prompts(config, policy), _sampling(config), config.seed)
        lines = [_torch_line("rollout", device)] if device.type == "cuda" else []
        _tidy(device)
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        with Peak(device) as training:
            _train(config, policy, optimizer)
        lines += [_torch_line("training", device)] if device.type == "cuda" else []
    finally:
        engine.close()
    lengths = [len(one.token_ids) for group in sampled for one in group.completions]
    mean, train = sum(lengths) / len(lengths), config.train
    return Measured(
        engine=engine.name,
        loaded=loaded,
        rollout=rollout.bytes - before,
        training=training.bytes - before,
        described=(
            f"{len(lengths)} completions of at most {max(lengths)} tokens, {mean:.0f} on average, "
            f"after prompts of {config.data.max_prompt_length}, then a micro-batch of "
            f"{train.per_device_train_batch_size} completions of {train.max_completion_length}"
        ),
        lines=tuple(lines),
    )


class Peak:
    """The most that was used while it was open, looked at from a thread."""

    def __init__(self, device: torch.device) -> None:
        self.bytes = 0
        self._device = device
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="lydite-peak", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        self.bytes = max(self.bytes, _used(self._device))

    def _watch(self) -> None:
        while not self._over.wait(_EVERY):
            self.bytes = max(self.bytes, _used(self._device))


def _device(config: RunConfig) -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() and config.model.device != "cpu" else "cpu")


def _used(device: torch.device) -> int:
    """Bytes in use: of the whole GPU, CUDA's own included, or by this process."""
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        return int(total - free)
    return int(psutil.Process().memory_info().rss)


def _tidy(device: torch.device) -> None:
    """Gives back what is held without being used."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        return
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's; elsewhere what was freed stays with the process
    if trim is not None:
        trim(0)


def _torch_line(phase: str, device: torch.device) -> str:
    reserved, allocated = torch.cuda.max_memory_reserved(device), torch.cuda.max_memory_allocated(device)
    return f"{phase}: torch held {in_units(reserved)} at its peak, {in_units(allocated)} of it in tensors"


def _sampling(config: RunConfig) -> Sampling:
    train = config.train
    return Sampling(
        train.num_generations, train.max_completion_length, train.temperature, train.top_p, train.top_k, train.min_p
    )


def _prompts(config: RunConfig, policy: Policy) -> list[Prompt]:
    """A step's prompts, each of random tokens and as long as a prompt may be."""
    draws = torch.Generator().manual_seed(config.seed)
    shape = (config.train.prompts_per_step, config.data.max_prompt_length)
    tokens = torch.randint(policy.head().weight.shape[0], shape, generator=draws).tolist()
    return [Prompt(Sample(f"dry-run-{place}", ""), "", tuple(row)) for place, row in enumerate(tokens)]


def _optimizer(config: RunConfig, policy: Policy) -> torch.optim.Optimizer:
    """The run's optimiser with its state, which it makes in its first step: here of nothing."""
    trained = list(policy.trainable().values())
    optimizer = make_optimizer(trained, config.train)
    for one in trained:
        one.grad = torch.zeros_like(one)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return optimizer


def _train(config: RunConfig, policy: Policy, optimizer: torch.optim.Optimizer) -> None:
    """A forward and a backward pass, beside the gradients of the micro-batch before."""
    for one in policy.trainable().values():
        one.grad = torch.zeros_like(one)
    policy.train_mode()
    batch = _micro_batch(config, policy)
    totals = update_totals(batch, 0, batch.size, max_completion_length=config.train.max_completion_length)
    output, _ = micro_batch_loss(policy, batch, totals, config.train)
    output.loss.backward()
    policy.eval_mode()
    optimizer.zero_grad(set_to_none=True)


def _micro_batch(config: RunConfig, policy: Policy) -> Batch:
    """Random tokens: groups behind one prompt each, everything at full length."""
    train = config.train
    size, prompt, length = train.per_device_train_batch_size, config.data.max_prompt_length, train.max_completion_length
    draws = torch.Generator().manual_seed(config.seed)
    ids = torch.randint(policy.head().weight.shape[0], (size, prompt + length), generator=draws)
    for start in range(0, size, train.num_generations):
        ids[start : start + train.num_generations, :prompt] = ids[start, :prompt]
    ids = ids.to(policy.device)
    return Batch(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        position_ids=torch.arange(prompt + length, device=policy.device).repeat(size, 1),
        completion_ids=ids[:, prompt:],
        completion_mask=torch.ones(size, length, dtype=torch.bool, device=policy.device),
        advantages=torch.linspace(-1.0, 1.0, size, device=policy.device),
        sampler_logps=None,
    )
