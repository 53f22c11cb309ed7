"""Programs that open an export and answer with it: transformers, llama.cpp, vLLM."""

from __future__ import annotations

from lydite.exports.readers.answer import Answer, Reader

__all__ = ["Answer", "Reader"]
