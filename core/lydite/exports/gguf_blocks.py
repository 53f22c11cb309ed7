"""Numbers packed into ggml's blocks: by the package gguf, and those with K by llama.cpp itself."""

from __future__ import annotations

import ctypes
import functools
from typing import Any, Final, TypeAlias

import numpy as np

from lydite.errors import MissingExtraError
from lydite.exports.readers.llama_cpp import has_llama_cpp

_FLOATS: Final = ctypes.POINTER(ctypes.c_float)
Numbers: TypeAlias = np.ndarray[Any, np.dtype[np.float32]]


def packed(numbers: Numbers, kind: str) -> np.ndarray[Any, Any]:
    """The numbers [rows, columns] in ggml's type of that name, as the package gguf writes it.

    Raises:
        MissingExtraError: for a type with K without llama.cpp.
    """
    import gguf

    to = gguf.GGMLQuantizationType[kind]
    if not kind.endswith("_K"):
        blocks: np.ndarray[Any, Any] = gguf.quants.quantize(numbers, to)
        return blocks
    library = quantiser()
    rows, columns = numbers.reshape(-1, numbers.shape[-1]).shape
    size = int(library.ggml_row_size(int(to), columns))
    made = np.empty((rows, size), dtype=np.uint8)
    numbers = np.ascontiguousarray(numbers, dtype=np.float32)
    library.ggml_quantize_chunk(
        int(to), numbers.ctypes.data_as(_FLOATS), made.ctypes.data_as(ctypes.c_void_p), 0, rows, columns, None
    )
    return made.reshape(*numbers.shape[:-1], size)


@functools.cache
def quantiser() -> Any:
    """llama.cpp's library with ggml's functions, as the package xllamacpp brings it.

    Raises:
        MissingExtraError: when it is not installed, or is a build that does not show them.
    """
    if not has_llama_cpp():
        raise MissingExtraError("types with K are packed by llama.cpp itself; pip install 'lydite[gguf]', or take q8_0")
    from xllamacpp import xllamacpp

    library = ctypes.CDLL(xllamacpp.__file__)
    try:
        library.ggml_row_size.restype = ctypes.c_size_t
        library.ggml_row_size.argtypes = [ctypes.c_int, ctypes.c_int64]
        library.ggml_quantize_chunk.restype = ctypes.c_size_t
        library.ggml_quantize_chunk.argtypes = [
            ctypes.c_int, _FLOATS, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64, _FLOATS,
        ]  # fmt: skip
    except AttributeError as error:
        raise MissingExtraError(
            f"this build of xllamacpp does not show ggml's quantiser ({error}); export --outtype f16, and let "
            "llama.cpp's llama-quantize make the file of it"
        ) from None
    return library
