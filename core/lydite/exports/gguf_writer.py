"""Weights, sizes and tokenizer of a policy as one GGUF file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from lydite.errors import ConfigError, ExportError
from lydite.exports.facts import licence_of
from lydite.exports.gguf_architectures import Architecture, architecture_of, interleaved
from lydite.exports.gguf_blocks import packed
from lydite.exports.gguf_limits import check_sayable
from lydite.exports.gguf_rope import rope_factors
from lydite.exports.gguf_sizes import add_sizes
from lydite.exports.gguf_tokenizer import add_end_of_turn, add_tokenizer, model_name
from lydite.exports.gguf_types import OUTTYPES, tensor_type
from lydite.exports.merging import merged_tensors
from lydite.exports.trained import Trained, base_name
from lydite.policy import resolve_source

_OWN: Final = re.compile(
    r"GGUF\.|split\.|quantize\.|tokenizer\.ggml\.eot_token_id"
    r"|general\.(architecture|type|file_type|quantization_version|size_label|name|description|license$|base_model\.)"
)
"""What a file says of itself, and is never taken from another."""
_TEMPLATE: Final = "tokenizer.chat_template"
_NORM: Final = "norm.weight"
_ROTATED: Final = re.compile(r"\.(q|k)_proj\.(weight|bias)$")


def write_gguf(trained: Trained, file: Path, outtype: str) -> None:
    """Writes the policy, its adapter merged in float32, as llama.cpp has it: names, order of rows, types, metadata.

    Matrices are kept in `outtype`, vectors in float32, as llama.cpp's own converter does. A base that was a GGUF file
    itself lends its metadata, word for word.

    Raises:
        ConfigError: for an architecture or tokenizer that is not written here.
        ExportError: when the model has a tensor that the architecture has no name for.
    """
    import gguf

    config = trained.policy.config.get_text_config(decoder=True)
    if config is not trained.policy.config:
        raise ConfigError(
            f"a model of type {trained.policy.config.model_type!r} is more than a language model, and a GGUF file "
            "holds its text half alone; take --to merged"
        )
    architecture = architecture_of(config)
    check_sayable(config, architecture)
    names = gguf.get_tensor_name_map(_by_name(architecture), config.num_hidden_layers)
    writer = gguf.GGUFWriter(file, architecture.name, use_temp_file=True)
    try:
        _add_metadata(writer, trained, config)
        writer.add_file_type(gguf.LlamaFileType[OUTTYPES[outtype]])
        writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
        for name, factors in rope_factors(config).items():
            writer.add_tensor(name, factors.numpy())
        for name, tensor in merged_tensors(trained.policy):
            if name == "lm_head.weight" and config.tie_word_embeddings:
                continue
            known = names.get_name(name, try_suffixes=(".weight", ".bias"))
            if known is None:
                raise ExportError(f"llama.cpp's architecture {architecture.name!r} has no name for the tensor {name!r}")
            ordered = _as_kept(name, tensor, config, architecture).to("cpu", torch.float32).contiguous().numpy()
            kind = tensor_type(
                outtype, known, ordered.shape, layers=config.num_hidden_layers, tied=config.tie_word_embeddings
            )
            writer.add_tensor(known, packed(ordered, kind), raw_dtype=gguf.GGMLQuantizationType[kind])
        writer.add_size_label(gguf.size_label(*writer.get_total_parameter_count()))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    finally:
        writer.close()


def _by_name(architecture: Architecture) -> Any:
    import gguf

    return next(one for one, name in gguf.MODEL_ARCH_NAMES.items() if name == architecture.name)


def _add_metadata(writer: Any, trained: Trained, config: Any) -> None:
    import gguf

    source = resolve_source(trained.config.model)
    if source.gguf_file is not None and source.kind != "hub":
        _copy_metadata(writer, Path(source.location) / source.gguf_file, trained.policy.tokenizer.chat_template)
    else:
        add_sizes(writer, config)
        add_tokenizer(writer, trained.policy.tokenizer, config.vocab_size)
    add_end_of_turn(writer, trained.policy)
    writer.add_type(gguf.GGUFType.MODEL)
    writer.add_name(model_name(trained.run.name, trained.policy.tokenizer))
    writer.add_description("trained with lydite against rewards that can be checked")
    writer.add_base_model_count(1)
    writer.add_base_model_name(0, base_name(trained.config))
    if (licence := licence_of(trained.config.model)) is not None:
        writer.add_license(licence)


def _copy_metadata(writer: Any, file: Path, template: str | None) -> None:
    """Everything that a GGUF file says of its model and tokenizer; not of its own types, and no other chat template."""
    import gguf

    for field in gguf.GGUFReader(file).fields.values():
        if _OWN.match(field.name) or (template is not None and field.name == _TEMPLATE):
            continue
        kind = field.types[0]
        inner = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(field.name, field.contents(), kind, sub_type=inner)
    if template is not None:
        writer.add_chat_template(template)


def _as_kept(name: str, tensor: Tensor, config: Any, architecture: Architecture) -> Tensor:
    """The tensor with its rows in llama.cpp's order, and a norm's weights with the 1 that Gemma's layers add."""
    if architecture.adds_one and name.endswith(_NORM):
        return tensor.float() + 1.0
    match = _ROTATED.search(name)
    if match is None or not architecture.interleaves:
        return tensor
    return interleaved(tensor, config.num_attention_heads if match[1] == "q" else config.num_key_value_heads)
