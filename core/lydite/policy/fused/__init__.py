"""Layers of transformers with fewer and larger steps: linear layers of one input together, kernels between them."""

from lydite.policy.fused.install import FusedLayers, install_fused_layers

__all__ = ["FusedLayers", "install_fused_layers"]
