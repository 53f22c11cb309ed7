"""The command `lydite`.

This module stays light: worker processes import it again when they are spawned, and the environment has to
be set before torch is loaded, which reads some of these variables once, at its import.
"""

from __future__ import annotations

import os
import sys
from collections.abc import MutableMapping, Sequence
from typing import Final

ENVIRONMENT: Final = {
    # Idle OpenMP threads sleep instead of spinning: decoding has many short parallel regions, and verifiers,
    # the sampler and the trainer share the cores.
    "OMP_WAIT_POLICY": "PASSIVE",
    "GOMP_SPINCOUNT": "0",
    # The tokenizer's threads do not survive the fork of a data loader, and it says so at every one.
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
    "BITSANDBYTES_NOWELCOME": "1",
    # Otherwise vLLM's CPU build tells of memory policies in the middle of a run's start.
    "TORCH_CPP_LOG_LEVEL": "ERROR",
}
"""Set where the user has not set them already."""

BAD_INPUT: Final = 2
FAILED: Final = 1
INTERRUPTED: Final = 130  # 128 and the number of SIGINT, as shells say it
TERMINATED: Final = 143  # the same for SIGTERM, which schedulers send


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line and ends the process with its exit code.

    0 is success, 2 a wrong command line or configuration, 130 an interruption, 143 one by SIGTERM, 1 anything else
    that lydite knows how to say. Other exceptions are bugs and keep their traceback.
    """
    set_environment(os.environ)
    try:
        from lydite.cli.app import app
        from lydite.cli.speaking import print_error, send_log_to_stderr
        from lydite.errors import ConfigError, LyditeError
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)

    send_log_to_stderr()
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        app(given, prog_name="lydite", obj=given)  # obj: a command may have to start itself in other processes
    except LyditeError as error:
        if not error.told_elsewhere:
            print_error(str(error))
        sys.exit(BAD_INPUT if isinstance(error, ConfigError) else FAILED)


def set_environment(environ: MutableMapping[str, str]) -> None:
    """Puts `ENVIRONMENT` into the mapping, where it says nothing else already."""
    for name, value in ENVIRONMENT.items():
        environ.setdefault(name, value)
