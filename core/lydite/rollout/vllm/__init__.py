"""The engine `vllm`: vLLM in this process, on the trainer's own weights, with the adapter edited in place.

vLLM is used through what it offers to plugins and callers, and nothing of it is patched:

    method    a quantisation method: linear layers and embeddings that alias the trainer's tensors, and add the adapter
    loader    a model loader: the rest of the weights comes from the policy, nothing from a disk
    drawing   a logits processor: tokens are drawn by lydite's own uniform numbers
    engine    the engine: starts vLLM, hands the adapter over, generates, releases memory for training

Importing this package imports no vLLM.
"""

from __future__ import annotations

from lydite.rollout.vllm.versions import can_run, installed_version

__all__ = ["can_run", "installed_version"]
