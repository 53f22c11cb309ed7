"""llama.cpp's own `convert_hf_to_gguf.py`, for models that are not written here."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import torch

from lydite.errors import ConfigError, ExportError
from lydite.exports.merged import save_merged
from lydite.exports.trained import Trained

CONVERTER: Final = "convert_hf_to_gguf.py"
OF_THE_CONVERTER: Final = ("f32", "f16", "bf16", "q8_0")
"""Types of weights that it writes by itself."""
_LAST_LINES: Final = 5
_MISSING: Final = re.compile(r"ModuleNotFoundError: No module named '([\w.]+)'")
_NEEDS: Final = "llama.cpp/requirements/requirements-convert_hf_to_gguf.txt"


def find_converter(given: Path) -> Path:
    """The converter: a file, or a name on the PATH.

    Raises:
        ConfigError: when it is neither.
    """
    if given.is_file():
        return given
    if (found := shutil.which(str(given))) is not None:
        return Path(found)
    raise ConfigError(f"--converter {given}: there is no such file, nor on the PATH; it is llama.cpp's {CONVERTER}")


def convert(trained: Trained, file: Path, outtype: str, converter: Path) -> None:
    """Writes the merged model in float32 and lets llama.cpp's converter make the file of it.

    A file ending in `.py` is run by this Python, anything else as the program that it is.

    Raises:
        ExportError: when the converter fails, with the last it said.
    """
    with TemporaryDirectory(prefix=".merged-", dir=file.parent.parent) as folder:
        model = Path(folder) / trained.run.name  # whose name the converter takes for the model's
        save_merged(trained, model, torch.float32)
        program = [sys.executable, str(converter)] if converter.suffix == ".py" else [str(converter)]
        options = ["--outfile", str(file), "--outtype", outtype, "--model-name", trained.run.name]
        try:
            done = subprocess.run([*program, str(model), *options], capture_output=True, text=True, check=False)  # noqa: S603 - the user's own file
        except OSError as error:
            raise ExportError(f"--converter {converter} cannot be run: {error.strerror or error}") from error
    if done.returncode != 0 or not file.is_file():
        said = (done.stderr or done.stdout).strip()
        shown = "\n".join(said.splitlines()[-_LAST_LINES:])
        raise ExportError(f"llama.cpp's converter failed with exit code {done.returncode}:\n{shown}{_advice(said)}")


def _advice(said: str) -> str:
    missing = _MISSING.search(said)
    if missing is None:
        return ""
    return (
        f"\nit runs in this environment, which lacks {missing[1]}: pip install {missing[1].partition('.')[0]} (all "
        f"that it needs: {_NEEDS}), or name a program that runs it in another one"
    )
