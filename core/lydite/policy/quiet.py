"""Keeping other people's progress bars and advice off the screen; what goes wrong still raises."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import warnings
from collections.abc import Iterator
from typing import Final

_ENVIRONMENT: Final = {
    "TOKENIZERS_PARALLELISM": "false",  # its warning about forks, once a worker process starts
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "BITSANDBYTES_NOWELCOME": "1",
}
_LOGGERS: Final = (
    "transformers",
    "peft",
    "bitsandbytes",
    "datasets",
    "huggingface_hub",
    "accelerate",
    "gguf",
    "torchao",
)


def quiet_libraries() -> None:
    """Silences logs below errors and progress bars of transformers, peft, bitsandbytes, datasets and the hub.

    Values that the user set in the environment stay as they are.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)

    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()


@contextlib.contextmanager
def without_chatter() -> Iterator[None]:
    """Swallows what is written to the standard error stream, and Python warnings, while a library loads.

    The converter of GGUF weights draws a bar that has no switch, and each release of the loaders warns of
    something new; whatever stops them is raised.
    """
    with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
