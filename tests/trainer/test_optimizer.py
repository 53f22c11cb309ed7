"""The learning rate against transformers' schedules, and the optimisers that a configuration may name."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as some
from transformers import get_scheduler

from lydite.checkpoint import Checkpoint, newest_checkpoint, save_checkpoint
from lydite.config import TrainConfig
from lydite.errors import ConfigError, MissingExtraError
from lydite.optimizer import learning_rate, make_optimizer, restore_optimizer

KINDS = ("linear", "cosine", "constant")


def rates(config: TrainConfig) -> list[float]:
    return [learning_rate(update, config) for update in range(config.max_steps * config.updates_per_step)]


configs = some.builds(
    TrainConfig,
    max_steps=some.integers(1, 40),
    num_iterations=some.integers(1, 3),
    warmup_steps=some.integers(0, 50),
    learning_rate=some.floats(1e-7, 1.0),
    lr_scheduler_type=some.sampled_from(KINDS),
)


@given(configs)
def test_a_rate_is_above_nothing_and_never_above_its_peak(config: TrainConfig) -> None:
    every = rates(config)
    assert all(0.0 < rate <= config.learning_rate for rate in every)
    warm = config.warmup_steps
    assert every[:warm] == sorted(set(every[:warm])), "it rises in every update of the warm-up"
    assert every[warm:] == sorted(every[warm:], reverse=True)
    if len(every) > warm:
        assert every[warm] == config.learning_rate


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("steps", [1, 2, 17])
def test_without_warm_up_the_rates_are_those_of_transformers(kind: str, steps: int) -> None:
    config = TrainConfig(max_steps=steps, learning_rate=0.3, lr_scheduler_type=kind, num_iterations=2)
    assert rates(config) == pytest.approx(scheduled(config, 0, 2 * steps), rel=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_after_the_warm_up_too_which_does_not_waste_an_update_on_a_rate_of_0(kind: str) -> None:
    config = TrainConfig(max_steps=20, learning_rate=0.3, lr_scheduler_type=kind, warmup_steps=4)
    theirs = scheduled(config, 4, 20)
    assert rates(config)[4:] == pytest.approx(theirs[4:], rel=1e-12)
    assert theirs[0] == 0.0
    assert rates(config)[:4] == pytest.approx([0.06, 0.12, 0.18, 0.24], rel=1e-12)


def scheduled(config: TrainConfig, warmup: int, updates: int) -> list[float]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=config.learning_rate)
    name = "constant_with_warmup" if config.lr_scheduler_type == "constant" else config.lr_scheduler_type
    schedule = get_scheduler(name, optimizer, num_warmup_steps=warmup, num_training_steps=updates)
    found = []
    for _ in range(updates):
        found.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    return found


def test_nothing_to_train_is_refused() -> None:
    with pytest.raises(ConfigError, match="target_modules"):
        make_optimizer([], TrainConfig())


def test_the_optimiser_has_the_configuration_s_numbers_and_its_state_is_float32() -> None:
    parameter = torch.nn.Parameter(torch.ones(4))
    config = TrainConfig(learning_rate=0.5, adam_beta1=0.7, adam_beta2=0.8, adam_epsilon=1e-3, weight_decay=0.25)
    optimizer = make_optimizer([parameter], config)
    (group,) = optimizer.param_groups
    assert (group["lr"], group["betas"], group["eps"], group["weight_decay"]) == (0.5, (0.7, 0.8), 1e-3, 0.25)
    parameter.sum().backward()
    optimizer.step()
    # By hand: decoupled decay, then a first step of lr * g / (|g| + eps), both moments corrected for their start.
    assert parameter.tolist() == pytest.approx([1.0 - 0.5 * 0.25 - 0.5 / (1.0 + 1e-3)] * 4, rel=1e-6)
    assert optimizer.state[parameter]["exp_avg"].dtype is torch.float32


OPTIMISERS = ("adamw", "adamw_8bit", "paged_adamw_8bit", "paged_adamw_32bit")


def stepped(optimizer: torch.optim.Optimizer, parameters: list[torch.nn.Parameter], first: int, last: int) -> None:
    for step in range(first, last):
        draws = torch.Generator().manual_seed(step)
        for one in parameters:
            one.grad = torch.randn(one.shape, generator=draws) * 10.0 ** (step % 3)
        optimizer.step()


def parameters() -> list[torch.nn.Parameter]:
    """A matrix and a short vector, whose state bitsandbytes keeps in 32 bit."""
    draws = torch.Generator().manual_seed(0)
    return [torch.nn.Parameter(torch.randn(size, generator=draws)) for size in ((64, 128), (7,))]


@pytest.mark.parametrize("optim", OPTIMISERS)
def test_every_optimiser_makes_the_steps_of_adamw_in_float32(optim: str) -> None:
    moved = []
    for name in ("adamw", optim):
        held = parameters()
        stepped(make_optimizer(held, TrainConfig(optim=name, learning_rate=1e-2, weight_decay=0.1)), held, 0, 5)
        assert all(one.dtype is torch.float32 for one in held)
        moved.append([(one - before).detach() for one, before in zip(held, parameters(), strict=True)])
    for plain, ours in zip(*moved, strict=True):
        away = float((ours - plain).norm() / plain.norm())
        assert away < (0.05 if optim.endswith("8bit") else 1e-5)


@pytest.mark.parametrize("optim", OPTIMISERS)
def test_a_checkpoint_brings_the_state_back_number_for_number(optim: str, tmp_path: Path) -> None:
    train = TrainConfig(optim=optim, learning_rate=1e-2)
    through = parameters()
    optimizer = make_optimizer(through, train)
    stepped(optimizer, through, 0, 3)
    adapter = {str(place): one.detach().clone() for place, one in enumerate(through)}
    save_checkpoint(tmp_path, Checkpoint(3, adapter, optimizer.state_dict(), {}), keep=1)
    stepped(optimizer, through, 3, 6)

    found = newest_checkpoint(tmp_path).checkpoint
    assert found is not None
    resumed = [torch.nn.Parameter(found.adapter[str(place)].clone()) for place in range(len(through))]
    again = make_optimizer(resumed, train)
    restore_optimizer(again, found.optimizer)
    stepped(again, resumed, 3, 6)
    for ours, one in zip(resumed, through, strict=True):
        assert torch.equal(ours, one)


def test_without_bitsandbytes_its_optimisers_are_a_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(MissingExtraError, match=r'train.optim = "paged_adamw_8bit" needs bitsandbytes'):
        make_optimizer(parameters(), TrainConfig(optim="paged_adamw_8bit"))
