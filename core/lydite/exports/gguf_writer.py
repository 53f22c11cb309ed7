"""Weights, sizes and tokenizer of a policy as one GGUF file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from lydite.errors import ExportError
from lydite.exports.gguf_architectures import Architecture, add_sizes, architecture_of, interleaved, rope_factors
from lydite.exports.gguf_tokenizer import add_tokenizer
from lydite.exports.merging import merged_tensors
from lydite.exports.trained import Trained
from lydite.policy import resolve_source

OUTTYPES: Final[Mapping[str, str]] = {
    "f32": "F32",
    "f16": "F16",
    "bf16": "BF16",
    "q8_0": "Q8_0",
    "q5_1": "Q5_1",
    "q5_0": "Q5_0",
    "q4_1": "Q4_1",
    "q4_0": "Q4_0",
}
"""What weights can be kept in, by the name on the command line: gguf's name for it."""
_BLOCK: Final = 32  # weights that share a scale in every one of the quantised types
_LARGE: Final = ("token_embd.weight", "output.weight")
_OF_THE_FILE: Final = re.compile(
    r"GGUF\.|general\.(architecture|file_type|quantization_version|size_label)|split\.|quantize\."
)
_ROTATED: Final = re.compile(r"\.(q|k)_proj\.(weight|bias)$")


def write_gguf(trained: Trained, file: Path, outtype: str) -> None:
    """Writes the policy, its adapter merged in float32, as llama.cpp has it: names, order of rows, types, metadata.

    Matrices are kept in `outtype`, vectors in float32, as llama.cpp's own converter does; embedding and head in 8 bit
    where the rest has fewer. A base that was a GGUF file itself lends its metadata, word for word.

    Raises:
        ConfigError: for an architecture or tokenizer that is not written here.
        ExportError: when the model has a tensor that the architecture has no name for.
    """
    import gguf

    config = trained.policy.config.get_text_config(decoder=True)
    architecture = architecture_of(config)
    names = gguf.get_tensor_name_map(_by_name(architecture), config.num_hidden_layers)
    writer = gguf.GGUFWriter(file, architecture.name, use_temp_file=True)
    try:
        _add_metadata(writer, trained, config)
        writer.add_file_type(gguf.LlamaFileType[_file_type(outtype)])
        writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
        if (factors := rope_factors(config)) is not None:
            writer.add_tensor("rope_freqs.weight", factors.numpy())
        for name, tensor in merged_tensors(trained.policy):
            if name == "lm_head.weight" and config.tie_word_embeddings:
                continue
            known = names.get_name(name, try_suffixes=(".weight", ".bias"))
            if known is None:
                raise ExportError(f"llama.cpp's architecture {architecture.name!r} has no name for the tensor {name!r}")
            _add_tensor(writer, known, _ordered(name, tensor, config, architecture), outtype)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    finally:
        writer.close()


def _by_name(architecture: Architecture) -> Any:
    import gguf

    return next(one for one, name in gguf.MODEL_ARCH_NAMES.items() if name == architecture.name)


def _file_type(outtype: str) -> str:
    return {"f32": "ALL_F32"}.get(outtype, f"MOSTLY_{OUTTYPES[outtype]}")


def _add_metadata(writer: Any, trained: Trained, config: Any) -> None:
    source = resolve_source(trained.config.model)
    if source.gguf_file is not None and source.kind != "hub":
        _copy_metadata(writer, Path(source.location) / source.gguf_file, trained.policy.tokenizer.chat_template)
    else:
        add_sizes(writer, config)
        add_tokenizer(writer, trained.policy.tokenizer, config.vocab_size)
    writer.add_name(trained.run.name)
    writer.add_description("trained with lydite against rewards that can be checked")


def _copy_metadata(writer: Any, file: Path, template: str | None) -> None:
    """Everything that a GGUF file says of its model and tokenizer; not of its own types, and no other chat template."""
    import gguf

    own = {"general.name", "general.description", *([] if template is None else ["tokenizer.chat_template"])}
    for field in gguf.GGUFReader(file).fields.values():
        if field.name in own or _OF_THE_FILE.match(field.name):
            continue
        kind = field.types[0]
        inner = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(field.name, field.contents(), kind, sub_type=inner)
    if template is not None:
        writer.add_chat_template(template)


def _ordered(name: str, tensor: Tensor, config: Any, architecture: Architecture) -> Tensor:
    """The tensor with its rows as llama.cpp has them."""
    match = _ROTATED.search(name)
    if match is None or not architecture.interleaves:
        return tensor
    return interleaved(tensor, config.num_attention_heads if match[1] == "q" else config.num_key_value_heads)


def _add_tensor(writer: Any, name: str, tensor: Tensor, outtype: str) -> None:
    import gguf

    kind = gguf.GGMLQuantizationType[OUTTYPES[outtype]]
    if tensor.ndim < 2:
        kind = gguf.GGMLQuantizationType.F32
    elif outtype.startswith("q"):
        if name in _LARGE:
            kind = gguf.GGMLQuantizationType.Q8_0
        if tensor.shape[-1] % _BLOCK:
            kind = gguf.GGMLQuantizationType.F16
    numbers: np.ndarray[Any, Any] = gguf.quants.quantize(tensor.to("cpu", torch.float32).contiguous().numpy(), kind)
    writer.add_tensor(name, numbers, raw_dtype=kind)
