"""Saved tensors in the host's memory between a forward and its backward pass.

    forward     layer 0   layer 1   layer 2   ...       a copy goes out on a side stream while the next layer works
    backward    ...   layer 2   layer 1   layer 0       and comes back while the layer above is worked on

Two tensors at most are on their way in either direction, so a model of any depth keeps about three on the device. The
main stream waits for a copy before its tensor is given up: else the CPU, which runs ahead, would have all of them
alive at once.

Source: the arrangement is that of torchtune's activation offloading; here on torch's own saved-tensor hooks.
"""

from __future__ import annotations

import weakref
from collections import deque
from typing import Any, Final

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

AT_ONCE: Final = 2  # tensors on their way: one is copied while the next is made


class Stored:
    """One tensor that has gone out."""

    def __init__(self, near: Tensor, before: Stored | None) -> None:
        self.near: Tensor | None = near
        """On the device, or None while it is in the host's memory only."""
        self.host: Tensor = near
        self.copied: torch.cuda.Event | None = None
        """Recorded after the copy that ends the way out, or the way back."""
        self.before = weakref.ref(before) if before is not None else None
        """What went out before, and so is wanted next."""


class Offload:
    """Takes tensors that autograd saves to the host, and back; one for each device and all its passes.

    On a CPU a copy stands for the host's: the same order of things, for tests.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._last: weakref.ref[Stored] | None = None
        self._leaving: deque[weakref.ref[Stored]] = deque()

    def hooks(self) -> saved_tensors_hooks:
        """A context: floating-point tensors that are saved inside wait in the host's memory."""
        return saved_tensors_hooks(self._pack, self._unpack)

    def _pack(self, tensor: Tensor) -> Any:
        if not tensor.is_floating_point() or not tensor.numel():
            return tensor
        stored = Stored(tensor.detach(), self._last() if self._last is not None else None)
        self._last = weakref.ref(stored)
        self._send(stored)
        self._leaving.append(self._last)
        while len(self._leaving) > AT_ONCE:
            self._give_up(self._leaving.popleft()())
        return stored

    def _unpack(self, stored: Any) -> Tensor:
        if not isinstance(stored, Stored):
            assert isinstance(stored, Tensor)
            return stored
        if stored.near is None:
            self._fetch(stored)
        before = stored.before() if stored.before is not None else None
        if before is not None and before.near is None:
            self._fetch(before)
        self._wait(stored)
        found, stored.near = stored.near, None
        assert found is not None
        return found

    def _send(self, stored: Stored) -> None:
        near = stored.near
        assert near is not None
        if self._stream is None:
            stored.host = near.clone()
            return
        stored.host = torch.empty(near.shape, dtype=near.dtype, pin_memory=True)
        self._stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._stream):
            stored.host.copy_(near, non_blocking=True)
            stored.copied = self._stream.record_event()

    def _fetch(self, stored: Stored) -> None:
        """Begins the way back, in memory of the main stream, which the side stream must not touch too early."""
        if self._stream is None:
            stored.near = stored.host.clone()
            return
        near = torch.empty(stored.host.shape, dtype=stored.host.dtype, device=self._device)
        self._stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._stream):
            near.copy_(stored.host, non_blocking=True)
            stored.copied = self._stream.record_event()
        near.record_stream(self._stream)  # it may be dropped before it is used, when a pass fails
        stored.near = near

    def _give_up(self, stored: Stored | None) -> None:
        """Forgets the tensor on the device; None where its pass is over already."""
        if stored is not None:
            self._wait(stored)
            stored.near = None

    def _wait(self, stored: Stored) -> None:
        if stored.copied is not None:
            torch.cuda.current_stream(self._device).wait_event(stored.copied)
