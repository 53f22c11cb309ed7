"""Recorded layers give the gradients of layers that run, whatever pass they are replayed for.

On a CPU what is recorded is done again by Python, on the same shared tensors as on a GPU.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support.plain_attention import attend_plainly
from support.recorder import Again
from support.tiny_model import make_tiny_model

from lydite.config import LoraConfig, ModelConfig
from lydite.plugins import load_plugins
from lydite.policy import Policy, load_policy
from lydite.policy.activations import Activations
from lydite.policy.capture import CudaRecorder, Work
from lydite.policy.layout import Layout, PackedGroup
from lydite.policy.nf4 import lend_copy
from lydite.policy.recording import Recording, why_unrecorded

CPU = torch.device("cpu")
LAYERS = 3
PASSES = (
    Layout((PackedGroup(4, (3, 5)), PackedGroup(2, (1, 0, 6)))),
    Layout((PackedGroup(7, (2, 2, 2, 9)),)),
    Layout((PackedGroup(1, (1,)), PackedGroup(3, (4,)), PackedGroup(2, (8, 8)))),
    Layout((PackedGroup(4, (3, 5)), PackedGroup(2, (1, 0, 6)))),
)
Gradients = dict[str, torch.Tensor]


@pytest.fixture
def policy(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Policy:
    """A tiny policy in float32 whose adapter is no longer zero, attending as on a GPU."""
    attend_plainly(monkeypatch)
    return loaded(tmp_path, getattr(request, "param", "llama"), "cpu", "float32")


def loaded(folder: Path, architecture: str, device: str, dtype: str, **model: Any) -> Policy:
    path = make_tiny_model(folder / "model", architecture, settings={"num_hidden_layers": LAYERS})
    config = ModelConfig(path=str(path), dtype=dtype, device=device, **model)
    made = load_policy(config, LoraConfig(r=4), load_plugins(allow=("lydite-families",)), 0)
    made.train_mode()
    draws = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for one in made.trainable().values():
            one.copy_(0.1 * torch.randn(one.shape, generator=draws))
    assert made.packs
    return made


def recording_of(policy: Policy, recorder: Callable[[Work], Work], tokens: int = 60) -> Recording:
    made = Recording(policy, tokens, recorder)
    Activations(policy, recording=made).recompute(LAYERS)
    return made


def hidden_of(policy: Policy, layout: Layout, seed: int = 0) -> torch.Tensor:
    draws = torch.Generator().manual_seed(seed)
    ids = torch.randint(5, policy.head().weight.shape[0], (layout.tokens,), generator=draws).to(policy.device)
    positions = torch.tensor(layout.positions(), device=policy.device)
    return policy.packed_hidden_states(ids, positions, Layout(layout.groups))


def gradients_of(policy: Policy, losses: torch.Tensor) -> Gradients:
    losses.backward()
    found = {name: one.grad.clone() for name, one in policy.trainable().items() if one.grad is not None}
    for one in policy.trainable().values():
        one.grad = None
    return found


def weighed(hidden: torch.Tensor) -> torch.Tensor:
    return (hidden.float() * torch.linspace(-1, 1, hidden.numel(), device=hidden.device).view_as(hidden)).sum()


def plain(policy: Policy, layout: Layout, seed: int = 0) -> Gradients:
    """Without any recording, and with activations that are kept."""
    Activations(policy).recompute(0)
    return gradients_of(policy, weighed(hidden_of(policy, layout, seed)))


def assert_same(found: Gradients, expected: Gradients, tolerance: float = 1e-5) -> None:
    assert found.keys() == expected.keys()
    for name, own in expected.items():
        torch.testing.assert_close(found[name], own, atol=tolerance * float(own.abs().max() + 1e-6), rtol=tolerance)


@pytest.mark.parametrize("policy", ["llama", "qwen2", "qwen3"], indirect=True)
def test_every_pass_has_the_gradients_of_layers_that_run(policy: Policy) -> None:
    expected = [plain(policy, layout, seed) for seed, layout in enumerate(PASSES)]
    recorder = Again()
    recording_of(policy, recorder)
    for seed, layout in enumerate(PASSES):
        assert_same(gradients_of(policy, weighed(hidden_of(policy, layout, seed))), expected[seed])
        assert recorder.recorded == (0 if seed == 0 else 2 * LAYERS)  # the first pass runs, the second records
    assert recorder.replayed >= 2 * LAYERS * (len(PASSES) - 1)


def test_passes_may_wait_for_their_backward_pass_behind_others(policy: Policy) -> None:
    expected = [plain(policy, layout, seed) for seed, layout in enumerate(PASSES)]
    recording_of(policy, Again())
    gradients_of(policy, weighed(hidden_of(policy, PASSES[0])))
    waiting = [weighed(hidden_of(policy, layout, seed)) for seed, layout in enumerate(PASSES)]
    for seed, loss in enumerate(waiting):
        assert_same(gradients_of(policy, loss), expected[seed])


def test_what_was_learned_since_is_seen(policy: Policy) -> None:
    recording_of(policy, Again())
    for seed, layout in enumerate(PASSES[:2]):
        gradients_of(policy, weighed(hidden_of(policy, layout, seed)))
    with torch.no_grad():
        for one in policy.trainable().values():
            one.mul_(-1.5)
    found = gradients_of(policy, weighed(hidden_of(policy, PASSES[2])))
    assert_same(found, plain(policy, PASSES[2]))


def test_a_recording_makes_its_own_of_the_adapter(policy: Policy) -> None:
    """What is made of the adapter while it is held is made once: a replay would read old numbers."""
    expected = plain(policy, PASSES[1], 1)
    recording = recording_of(policy, Again())
    recording._trials = 0  # which would see the difference to a layer that runs on what is spoilt below
    with policy.adapter_held():
        gradients_of(policy, weighed(hidden_of(policy, PASSES[0])))
        assert policy.switch is not None
        assert policy.switch.kept
        for key, lora in policy.switch.kept.items():
            policy.switch.kept[key] = lora.with_matrices([0.0 * one for one in lora.matrices])
        assert_same(gradients_of(policy, weighed(hidden_of(policy, PASSES[1], 1))), expected)


def test_a_layer_that_turns_otherwise_than_the_first_runs(policy: Policy) -> None:
    """Cosines and sines are read from one place: a layer with others of its own (Gemma 3's) cannot be replayed."""
    recorder = Again()
    odd = policy.causal.model.layers[1]
    called = type(odd).__call__

    def call(layer: torch.nn.Module, hidden: torch.Tensor, **given: Any) -> torch.Tensor:
        if layer is odd:
            given["position_embeddings"] = tuple(0.5 * one for one in given["position_embeddings"])
        return called(layer, hidden, **given)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(type(odd), "__call__", call)
        expected = [plain(policy, layout, seed) for seed, layout in enumerate(PASSES)]
        recording_of(policy, recorder)
        for seed, layout in enumerate(PASSES):
            assert_same(gradients_of(policy, weighed(hidden_of(policy, layout, seed))), expected[seed])
    assert recorder.recorded == 2 * (LAYERS - 1)


def test_recordings_leave_the_parameters_and_their_graphs_alone(policy: Policy) -> None:
    """A hook on a parameter is called where autograd reaches for it, on whatever stream that happens."""
    before = {name: id(one) for name, one in policy.model.named_parameters()}
    reached: list[str] = []
    for name, one in policy.trainable().items():
        one.register_hook(lambda slope, name=name: reached.append(name))
    recording_of(policy, Again())
    passes = []
    for seed, layout in enumerate(PASSES[:2]):
        passes.append(weighed(hidden_of(policy, layout, seed)))  # and lives on, as a loss may
        passes[-1].backward()
        assert {name: id(one) for name, one in policy.model.named_parameters()} == before
    # Twice where a layer computes again, once where it is replayed, and once for the trial of the first layer.
    assert all(reached.count(name) == 3 + (".layers.0." in name) for name in policy.trainable())


def test_parameters_that_move_are_recorded_anew(policy: Policy) -> None:
    recorder = Again()
    recording_of(policy, recorder)
    for seed, layout in enumerate(PASSES[:2]):
        gradients_of(policy, weighed(hidden_of(policy, layout, seed)))
    for one in policy.trainable().values():
        one.data = one.data * 2.0
    for seed, layout in enumerate(PASSES[:2]):
        found = gradients_of(policy, weighed(hidden_of(policy, layout, seed)))
    assert recorder.recorded == 4 * LAYERS
    assert_same(found, plain(policy, PASSES[1], 1))


def test_copies_that_are_lent_or_taken_back_are_recorded_anew(policy: Policy) -> None:
    recorder = Again()
    recording_of(policy, recorder)
    linear = policy.causal.model.layers[0].mlp.down_proj.base_layer
    for copy in (None, linear.weight.detach().clone(), None):
        lend_copy(linear, copy)
        for layout in PASSES[:2]:
            gradients_of(policy, weighed(hidden_of(policy, layout)))
    assert recorder.recorded == 3 * 2 * LAYERS


def test_passes_that_are_too_long_or_have_no_gradient_run_as_they_are(policy: Policy) -> None:
    recorder = Again()
    recording = recording_of(policy, recorder, tokens=128)
    long = Layout((PackedGroup(28, (100,)),))
    for _ in range(3):
        found = gradients_of(policy, weighed(hidden_of(policy, long)))
        with torch.no_grad():
            assert hidden_of(policy, PASSES[0]).shape[0] == PASSES[0].tokens
            assert recording.begin(PASSES[0]) is None
        with policy.reference():
            assert recording.begin(PASSES[0]) is None
    assert recorder.recorded == 0
    assert_same(found, plain(policy, long))


def test_no_more_than_a_few_sizes_are_recorded(policy: Policy) -> None:
    recorder = Again()
    recording_of(policy, recorder, tokens=200)
    many = [Layout(tuple(PackedGroup(1, (1,)) for _ in range(count))) for count in (1, 6, 12, 25, 50)]
    for layout in (*many, *many):
        found = gradients_of(policy, weighed(hidden_of(policy, layout)))
    assert recorder.recorded == 4 * 2 * LAYERS
    assert_same(found, plain(policy, many[-1]))


def refuses(work: Work) -> Work:
    raise RuntimeError("operation not permitted when stream is capturing\nand more")


def forgets(work: Work) -> Work:
    return lambda: None


@pytest.mark.parametrize(
    ("recorder", "why"), [(refuses, "not permitted when stream is capturing;"), (forgets, "replayed layer's output")]
)
def test_what_cannot_be_recorded_runs_and_is_told_once(
    recorder: Callable[[Work], Work], why: str, policy: Policy, caplog: pytest.LogCaptureFixture
) -> None:
    expected = [plain(policy, layout, seed) for seed, layout in enumerate(PASSES)]
    recording_of(policy, recorder)
    caplog.set_level(logging.WARNING, "lydite")
    for seed, layout in enumerate(PASSES):
        assert_same(gradients_of(policy, weighed(hidden_of(policy, layout, seed))), expected[seed])
    (told,) = caplog.messages
    assert why in told
    assert "and more" not in told


def test_numbers_that_stay_behind_in_a_recording_are_found_out(
    policy: Policy, caplog: pytest.LogCaptureFixture
) -> None:
    """A recorder whose replays all read the first pass's places: the second trial, on another pass, sees it."""

    def stale(work: Work) -> Work:
        cells = zip(work.__code__.co_freevars, work.__closure__ or (), strict=True)
        (shared,) = (cell.cell_contents for name, cell in cells if name == "shared")
        places = shared.layout.places(CPU).completions
        first = places.clone()

        def replay() -> None:
            now = places.clone()
            places.copy_(first)
            work()
            places.copy_(now)

        return replay

    recording = recording_of(policy, stale)
    for seed, layout in enumerate(PASSES):
        found = gradients_of(policy, weighed(hidden_of(policy, layout, seed)))
    assert "off, of" in recording.failed
    assert "off, of" in caplog.text
    assert_same(found, plain(policy, PASSES[3], 3))


@pytest.mark.parametrize(
    ("architecture", "dtype", "lora", "why"),
    [
        ("llama", "bfloat16", True, "needs a CUDA device"),
        ("llama", "float32", True, "float32"),
        ("llama", "bfloat16", False, "lora.enabled"),
        ("mistral", "bfloat16", True, "window"),
        ("gemma2", "bfloat16", True, "window"),
        ("qwen3_next", "bfloat16", True, "unknown"),
    ],
)
def test_what_cannot_be_recorded_is_known_before(
    architecture: str, dtype: str, lora: bool, why: str, tmp_path: Path
) -> None:
    path = make_tiny_model(tmp_path / "model", architecture)
    config = ModelConfig(path=str(path), dtype=dtype, device="cpu")
    policy = load_policy(config, LoraConfig(r=4, enabled=lora), load_plugins(allow=("lydite-families",)), 0)
    if why != "needs a CUDA device":
        policy.device = torch.device("cuda")  # as far as the question goes
    assert why in (why_unrecorded(policy) or "")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize(("architecture", "quantization"), [("llama", "none"), ("qwen2", "nf4"), ("qwen3", "none")])
def test_on_a_gpu_replays_are_the_passes(architecture: str, quantization: str, tmp_path: Path) -> None:
    policy = loaded(tmp_path, architecture, "cuda", "bfloat16", quantization=quantization)
    assert why_unrecorded(policy) is None
    expected = [plain(policy, layout, seed) for seed, layout in enumerate(PASSES)]
    recording = recording_of(policy, CudaRecorder(policy.device))
    for seed, layout in enumerate((*PASSES, *PASSES)):
        found = gradients_of(policy, weighed(hidden_of(policy, layout, seed % len(PASSES))))
        own = expected[seed % len(PASSES)]
        gap = sum(float((found[name] - one).norm() ** 2) for name, one in own.items()) ** 0.5
        assert gap <= 0.02 * sum(float(one.norm() ** 2) for one in own.values()) ** 0.5
    assert not recording.failed
