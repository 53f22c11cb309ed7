"""Chunked log-probabilities against the whole logits, their gradients, and the memory they take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from lydite.objective import TokenLogps, build_batch, completion_logps, token_logps
from lydite.policy.head import Head
from lydite.types import Scored

N, H, V = 13, 24, 101


def made(
    *,
    dtype: torch.dtype = torch.float32,
    bias: bool = False,
    scale: float = 1.0,
    softcap: float | None = None,
    n: int = N,
    spread: float = 3.0,
) -> tuple[Tensor, Head, Tensor]:
    source = torch.Generator().manual_seed(7)
    hidden = torch.randn(n, H, generator=source)
    weight = torch.randn(V, H, generator=source) * spread / H**0.5
    shift = torch.randn(V, generator=source) if bias else None
    ids = torch.randint(V, (n,), generator=source)
    head = Head(weight.to(dtype), None if shift is None else shift.to(dtype), scale, softcap)
    return hidden.to(dtype), head, ids


def whole(hidden: Tensor, head: Head, ids: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """The definition: all logits, then log-softmax."""
    logits = torch.nn.functional.linear(hidden, head.weight, head.bias)
    logits = logits if logits.dtype == torch.float64 else logits.float()
    logits = logits * head.logit_scale
    if head.softcap is not None:
        logits = head.softcap * torch.tanh(logits / head.softcap)
    every = (logits / temperature).log_softmax(-1)
    return every.gather(1, ids[:, None]).squeeze(1), -(every.exp() * every).sum(-1)


HEADS: list[dict[str, Any]] = [
    {},
    {"bias": True},
    {"scale": 0.25},
    {"softcap": 2.0},
    {"bias": True, "scale": 1.5, "softcap": 4.0},
]


@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("chunk_size", [1, 4, N, 64])
@pytest.mark.parametrize("options", HEADS, ids=str)
def test_values_and_gradients_of_a_frozen_head_match(options: Any, chunk_size: int, temperature: float) -> None:
    hidden, head, ids = made(**options)
    mine, theirs = hidden.clone().requires_grad_(), hidden.clone().requires_grad_()
    logps, entropy = token_logps(mine, head, ids, temperature=temperature, chunk_size=chunk_size)
    expected, expected_entropy = whole(theirs, head, ids, temperature)
    torch.testing.assert_close(logps, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(entropy, expected_entropy, rtol=1e-5, atol=1e-5)
    upstream = torch.linspace(-2, 3, N)
    torch.autograd.backward((logps * upstream).sum())
    torch.autograd.backward((expected * upstream).sum())
    torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("chunk_size", [4, 64])
@pytest.mark.parametrize("options", HEADS, ids=str)
def test_gradients_of_a_trainable_head_match(options: Any, chunk_size: int) -> None:
    hidden, head, ids = made(**options)
    upstream = torch.linspace(-2, 3, N)
    gradients = []
    for chunked in (True, False):
        leaf, weight = hidden.clone().requires_grad_(), head.weight.clone().requires_grad_()
        bias = None if head.bias is None else head.bias.clone().requires_grad_()
        used = Head(weight, bias, head.logit_scale, head.softcap)
        if chunked:
            logps, _ = token_logps(leaf, used, ids, temperature=0.7, chunk_size=chunk_size)
        else:
            logps, _ = whole(leaf, used, ids, 0.7)
        torch.autograd.backward((logps * upstream).sum())
        gradients.append([one.grad for one in (leaf, weight, bias) if one is not None])
    for mine, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("train_head", [False, True])
@pytest.mark.parametrize("chunk_size", [4, 64])
@pytest.mark.parametrize("options", HEADS, ids=str)
def test_entropies_have_a_gradient_where_it_is_asked_for(options: Any, chunk_size: int, train_head: bool) -> None:
    """Beside that of the log-probabilities, and with another factor for each token."""
    hidden, head, ids = made(**options)
    upstream = torch.linspace(-2, 3, N)
    gradients = []
    for chunked in (True, False):
        leaf, weight = hidden.clone().requires_grad_(), head.weight.clone().requires_grad_(train_head)
        used = Head(weight, head.bias, head.logit_scale, head.softcap)
        if chunked:
            found = token_logps(leaf, used, ids, temperature=0.7, chunk_size=chunk_size, entropy_gradient=True)
        else:
            found = TokenLogps(*whole(leaf, used, ids, 0.7))
        torch.autograd.backward((found.logps * upstream + found.entropy * upstream.flip(0)).sum())
        gradients.append([one.grad for one in (leaf, weight) if one.requires_grad])
    for mine, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("train_head", [False, True])
def test_an_entropy_carries_no_gradient_unasked(train_head: bool) -> None:
    hidden, head, ids = made()
    used = Head(head.weight.clone().requires_grad_(train_head))
    found = token_logps(hidden.clone().requires_grad_(), used, ids, temperature=1.0, chunk_size=5)
    assert found.logps.requires_grad
    assert not found.entropy.requires_grad


@pytest.mark.parametrize("train_head", [False, True])
def test_a_gradient_of_entropies_alone_in_bf16_is_close(train_head: bool) -> None:
    hidden, head, ids = made(dtype=torch.bfloat16)
    leaf = hidden.clone().requires_grad_()
    used = Head(head.weight.clone().requires_grad_(train_head))
    torch.autograd.backward(
        token_logps(leaf, used, ids, temperature=1.0, chunk_size=5, entropy_gradient=True).entropy.sum()
    )
    exact, wide = hidden.double().requires_grad_(), Head(head.weight.double())
    torch.autograd.backward(whole(exact, wide, ids, 1.0)[1].sum())
    assert leaf.grad is not None
    assert exact.grad is not None
    assert float((leaf.grad.double() - exact.grad).norm() / exact.grad.norm()) < 0.02


def test_tied_embeddings_get_the_gradient_of_both_their_uses() -> None:
    _, head, ids = made()
    gradients = []
    for chunked in (True, False):
        weight = head.weight.clone().requires_grad_()
        hidden = weight[ids] * 0.5  # an embedding, and the head, of one storage
        tied = Head(weight)
        logps, _ = (
            token_logps(hidden, tied, ids, temperature=1.0, chunk_size=5) if chunked else whole(hidden, tied, ids, 1.0)
        )
        torch.autograd.backward(logps.sum())
        gradients.append(weight.grad)
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("train_head", [False, True])
def test_bf16_stays_close_to_the_exact_gradient(train_head: bool) -> None:
    hidden, head, ids = made(dtype=torch.bfloat16)
    leaf = hidden.clone().requires_grad_()
    used = Head(head.weight.clone().requires_grad_(train_head))
    logps, entropy = token_logps(leaf, used, ids, temperature=1.0, chunk_size=4)
    assert logps.dtype == entropy.dtype == torch.float32
    torch.autograd.backward(logps.sum())
    assert leaf.grad is not None
    assert leaf.grad.dtype == torch.bfloat16

    exact = hidden.double().requires_grad_()
    weight = head.weight.double().requires_grad_()
    expected, _ = whole(exact, Head(weight), ids, 1.0)
    torch.autograd.backward(expected.sum())
    assert exact.grad is not None
    # bf16 keeps 8 binary digits: logits of up to 10 are off by up to 0.03.
    torch.testing.assert_close(logps.double(), expected, rtol=0, atol=0.06)
    torch.testing.assert_close(leaf.grad.double(), exact.grad, rtol=0.05, atol=0.03)
    if train_head:
        assert used.weight.grad is not None
        assert used.weight.grad.dtype == torch.bfloat16
        torch.testing.assert_close(used.weight.grad.double(), weight.grad, rtol=0.05, atol=0.06)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_gradient_made_in_the_forward_pass_is_rounded_as_a_products_result_is(dtype: torch.dtype) -> None:
    """Kept as [N, H] in 16 bits, then scaled: against all logits in 16 bits by autograd, both from float64."""
    hidden, head, ids = made(dtype=dtype, n=200)
    upstream = torch.randn(200, generator=torch.Generator().manual_seed(3))
    results = []
    for kind in (torch.float64, dtype):
        leaf = hidden.clone().to(kind).requires_grad_()
        logps, _ = whole(leaf, Head(head.weight.to(kind)), ids, 1.0)
        torch.autograd.backward((logps * upstream).sum())
        results.append(leaf.grad)
    mine = hidden.clone().requires_grad_()
    logps, _ = token_logps(mine, head, ids, temperature=1.0, chunk_size=64)
    torch.autograd.backward((logps * upstream).sum(), retain_graph=True)
    exact, theirs = results
    assert mine.grad is not None
    assert exact is not None
    assert theirs is not None
    off, theirs_off = (float((one.double() - exact).norm() / exact.norm()) for one in (mine.grad, theirs))
    # One rounding more than theirs, which also round the slope and the result: sqrt(3 / 2) of it.
    assert off < 1.25 * theirs_off < 1.25 * torch.finfo(dtype).eps
    first = mine.grad.clone()
    mine.grad = None
    torch.autograd.backward((logps * (2 * upstream)).sum())
    torch.testing.assert_close(mine.grad, 2 * first, rtol=0, atol=1e-7)  # subnormal halves are rounded


def test_the_upstream_gradient_is_not_rounded_before_it_is_multiplied() -> None:
    hidden, head, ids = made(dtype=torch.bfloat16, n=50)
    unit, scaled = hidden.clone().requires_grad_(), hidden.clone().requires_grad_()
    upstream = torch.linspace(1.0, 1.01, 50)  # bf16 would make three numbers of these
    torch.autograd.backward(token_logps(unit, head, ids, temperature=1.0, chunk_size=64).logps.sum())
    torch.autograd.backward((token_logps(scaled, head, ids, temperature=1.0, chunk_size=64).logps * upstream).sum())
    assert unit.grad is not None
    assert scaled.grad is not None
    assert torch.equal(scaled.grad, (unit.grad.float() * upstream[:, None]).bfloat16())
    assert not torch.equal(scaled.grad, unit.grad * upstream[:, None].bfloat16())


def test_a_nearly_certain_token_keeps_its_digits() -> None:
    """p = 1 - 1e-11: the log of p and the gradient are small, not zero."""
    weight = torch.zeros(5, 2)
    weight[3, 0] = 1.0
    hidden = torch.tensor([[26.0, 1.0]], requires_grad=True)
    logps, _ = token_logps(hidden, Head(weight), torch.tensor([3]), temperature=1.0, chunk_size=8)
    torch.autograd.backward(logps.sum())
    exact = hidden.detach().double().requires_grad_()
    expected = -torch.log1p(4 * torch.exp(-exact[0, 0]))
    torch.autograd.backward(expected)
    assert hidden.grad is not None
    assert exact.grad is not None
    assert logps.item() == pytest.approx(expected.item(), rel=1e-5)
    assert hidden.grad[0, 0].item() == pytest.approx(exact.grad[0, 0].item(), rel=1e-5)
    assert logps.item() < 0


@pytest.mark.parametrize("place", [0, 1])
def test_logits_far_apart_overflow_nothing(place: int) -> None:
    hidden = torch.tensor([[1000.0]], requires_grad=True)
    head = Head(torch.tensor([[1.0], [-1.0]]))
    logps, entropy = token_logps(hidden, head, torch.tensor([place]), temperature=1.0, chunk_size=1)
    torch.autograd.backward(logps.sum())
    assert logps.tolist() == [0.0 if place == 0 else -2000.0]
    assert entropy.tolist() == [0.0]
    assert hidden.grad is not None
    assert hidden.grad.tolist() == [[0.0 if place == 0 else -2.0]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_one_road_with_and_without_gradient(dtype: torch.dtype) -> None:
    """Old and reference log-probs are taken without gradient: the ratio must still be exactly 1."""
    hidden, head, ids = made(dtype=dtype)
    with torch.no_grad():
        plain = token_logps(hidden.clone().requires_grad_(), head, ids, temperature=0.9, chunk_size=4)
    frozen = token_logps(hidden.clone().requires_grad_(), head, ids, temperature=0.9, chunk_size=4)
    weight = head.weight.clone().requires_grad_()
    trained = token_logps(hidden, Head(weight), ids, temperature=0.9, chunk_size=4)
    assert not plain.logps.requires_grad
    for other in (frozen, trained):
        assert other.logps.requires_grad
        assert not other.entropy.requires_grad
        assert torch.equal(plain.logps, other.logps.detach())
        assert torch.equal(plain.entropy, other.entropy)


def test_what_is_given_is_left_as_it_was() -> None:
    hidden, head, ids = made(bias=True, softcap=3.0)
    before = [hidden.clone(), head.weight.clone(), ids.clone()]
    torch.autograd.backward(token_logps(hidden.requires_grad_(), head, ids, temperature=0.5, chunk_size=4).logps.sum())
    assert torch.equal(hidden, before[0])
    assert torch.equal(head.weight, before[1])
    assert torch.equal(ids, before[2])
    assert head.weight.grad is None


def test_no_tokens_give_no_numbers_and_a_gradient_of_zero() -> None:
    hidden, head, ids = made(n=0)
    leaf = hidden.requires_grad_()
    logps, entropy = token_logps(leaf, head, ids, temperature=1.0, chunk_size=4)
    assert logps.shape == entropy.shape == (0,)
    torch.autograd.backward(logps.sum())
    assert leaf.grad is not None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"temperature": 0.0}, "positive number, got 0.0"),
        ({"chunk_size": 0}, "at least 1, got 0"),
        ({"token_ids": torch.zeros(3, dtype=torch.int64)}, r"got \(13, 24\), \(101, 24\) and \(3,\)"),
        ({"hidden": torch.zeros(13, 5)}, r"got \(13, 5\)"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, Any], message: str) -> None:
    hidden, head, ids = made()
    given: dict[str, Any] = {"hidden": hidden, "head": head, "token_ids": ids, "temperature": 1.0, "chunk_size": 4}
    with pytest.raises(ValueError, match=message):
        token_logps(**{**given, **change})


class Largest(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Keeps the number of elements of the largest tensor that any operation gives, forward or backward."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.numel = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for one in result if isinstance(result, tuple | list) else (result,):
            if isinstance(one, Tensor):
                self.numel = max(self.numel, one.numel())
        return result


@pytest.mark.parametrize("train_head", [False, True])
def test_no_tensor_is_larger_than_a_tile_or_the_head(scored_of: Callable[..., Scored], train_head: bool) -> None:
    batch_size, length, width, vocabulary, chunk = 8, 16, 8, 5000, 10
    tokens = [[[3] * length for _ in range(batch_size)]]
    batch = build_batch(
        scored_of([[0.0] * batch_size], tokens=tokens), pad_token_id=0, device="cpu", mask_truncated_completions=False
    )
    hidden = torch.randn(batch_size, batch.input_ids.shape[1], width, requires_grad=True)
    head = Head(torch.randn(vocabulary, width, requires_grad=train_head), softcap=5.0)
    assert width <= chunk, "the head itself must be smaller than a tile, or the bound means nothing"

    with Largest() as seen:
        logps, _ = completion_logps(hidden, batch, head, temperature=0.8, chunk_size=chunk)
        torch.autograd.backward(logps.sum())
    assert hidden.grad is not None
    assert seen.numel == chunk * vocabulary
    assert seen.numel < batch_size * length * vocabulary / 10

    with Largest() as naive:
        whole(
            hidden.detach().reshape(-1, width),
            Head(head.weight.detach()),
            torch.zeros(hidden[..., 0].numel(), dtype=torch.int64),
            1.0,
        )
    assert naive.numel >= batch_size * length * vocabulary, "the measure sees a full tensor of logits"


def test_a_chunk_whose_tile_would_be_large_has_fewer_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    hidden, head, ids = made(n=300)
    expected = token_logps(hidden, head, ids, temperature=1.0, chunk_size=1000)
    monkeypatch.setattr("lydite.kernels.logps.CPU_TILE_BYTES", 4 * V * 130)
    with Largest() as seen:
        found = token_logps(hidden, head, ids, temperature=1.0, chunk_size=1000)
    assert seen.numel == 128 * V
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)


def test_each_token_is_predicted_by_the_column_before_it(scored_of: Callable[..., Scored]) -> None:
    """Rows of different lengths, padded, against each row alone; masked places give 0 and reach no state."""
    scored = scored_of(
        [[0.0, 0.0], [0.0]],
        prompts=[[1, 2, 3], [4]],
        tokens=[[[5, 6, 7], [8]], [[9, 10]]],
        finish=[["stop", "stop"], ["stop"]],
    )
    batch = build_batch(scored, pad_token_id=0, device="cpu", mask_truncated_completions=False)
    _, head, _ = made()
    hidden = torch.randn(3, batch.input_ids.shape[1], H, generator=torch.Generator().manual_seed(1)).requires_grad_()
    logps, entropy = completion_logps(hidden, batch, head, temperature=1.0, chunk_size=2)
    used = torch.zeros(hidden.shape[:2], dtype=torch.bool)
    for row, (prompt, answer) in enumerate([(3, [5, 6, 7]), (3, [8]), (1, [9, 10])]):
        states = hidden[row][batch.attention_mask[row] == 1]
        expected, expected_entropy = whole(states[prompt - 1 : -1], head, torch.tensor(answer), 1.0)
        torch.testing.assert_close(logps[row, : len(answer)], expected, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(entropy[row, : len(answer)], expected_entropy, rtol=1e-5, atol=1e-5)
        assert logps[row, len(answer) :].eq(0).all()
        assert entropy[row, len(answer) :].eq(0).all()
        used[row, 2 : 2 + len(answer)] = True  # the prompts end in column 2
    torch.autograd.backward(logps.sum())
    assert hidden.grad is not None
    assert torch.equal(hidden.grad.abs().sum(-1) > 0, used)


def test_hidden_states_of_another_batch_are_refused(scored_of: Callable[..., Scored]) -> None:
    batch = build_batch(scored_of([[0.0]]), pad_token_id=0, device="cpu", mask_truncated_completions=False)
    _, head, _ = made()
    with pytest.raises(ValueError, match=r"\(1, 3\) were expected, got \(1, 4, 24\)"):
        completion_logps(torch.zeros(1, 4, H), batch, head, temperature=1.0, chunk_size=2)
