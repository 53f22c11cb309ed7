"""Starting vLLM: in this process, without files of weights, sized by the plan."""

from __future__ import annotations

import json
import logging
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from lydite.config import EngineConfig
from lydite.errors import EngineError
from lydite.planner import EnginePlan
from lydite.planner.workload import BLOCK
from lydite.policy.quiet import without_chatter
from lydite.rollout.vllm import loader, method
from lydite.rollout.vllm.binding import Binding
from lydite.rollout.vllm.bursts import decode_in_bursts
from lydite.rollout.vllm.drawing import logits_processor
from lydite.rollout.vllm.versions import draw_without_waiting, require_vllm

logger = logging.getLogger("lydite")

# Of the whole device, which vLLM wants to find free at its start although the plan sizes its KV cache: 2 % of a GPU of
# 140 GiB would be more than a small card has left beside a model.
_UTILIZATION: Final = 0.001


def start_vllm(binding: Binding, config: EngineConfig, plan: EnginePlan) -> tuple[Any, dict[str, float]]:
    """The `LLM` of vLLM on the binding's weights, and the seconds that its parts took: import, start.

    Raises:
        EngineError: when vLLM refuses the model or its sizes.
    """
    begun = time.perf_counter()
    version = require_vllm()
    with without_chatter():
        from vllm import LLM

        method.register()
        loader.register()
    imported = time.perf_counter()
    method.Shared.binding, method.Shared.float32_head = binding, config.head_dtype == "float32"
    cuda = binding.policy.device.type == "cuda"
    try:
        with tempfile.TemporaryDirectory(prefix="lydite-model-") as folder, without_chatter():
            _write_config(Path(folder), binding)
            llm = LLM(
                model=folder,
                skip_tokenizer_init=True,
                load_format=method.NAME,
                quantization=method.NAME,
                dtype=str(binding.policy.dtype).removeprefix("torch."),
                generation_config="vllm",
                max_model_len=plan.max_model_len,
                max_num_seqs=plan.max_num_seqs,
                max_num_batched_tokens=plan.max_num_batched_tokens,
                kv_cache_memory_bytes=plan.kv_cache_bytes,
                kv_cache_dtype=config.kv_cache_dtype,
                gpu_memory_utilization=_UTILIZATION,
                enable_prefix_caching=True,
                block_size=BLOCK,
                enable_sleep_mode=cuda,
                enforce_eager=not (cuda and config.cuda_graphs),
                logits_processors=[logits_processor()],
                disable_log_stats=True,
                seed=0,
                **({"async_scheduling": False} if config.num_scheduler_steps > 1 else {}),
                **_graphs(config, plan, cuda=cuda),
            )
            draw_without_waiting(llm)
            if config.num_scheduler_steps > 1:
                decode_in_bursts(llm, config.num_scheduler_steps)
    except Exception as error:
        raise EngineError(
            f"vLLM cannot start with this model: {type(error).__name__}: {error}; engine.use = 'hf' runs every model"
        ) from error
    finally:
        method.Shared.binding = None
    seconds = {"import": imported - begun, "start": time.perf_counter() - imported}
    logger.info(
        "engine: vLLM %s is up after %.1f s: %.1f s for its import, %.1f s for layers, KV cache%s",
        version, sum(seconds.values()), seconds["import"], seconds["start"],
        " and CUDA graphs" if plan.cuda_graph_sizes and config.cuda_graphs else "",
    )  # fmt: skip
    return llm, seconds


def _graphs(config: EngineConfig, plan: EnginePlan, *, cuda: bool) -> dict[str, Any]:
    if not (cuda and config.cuda_graphs):
        return {}
    return {
        "compilation_config": {
            "mode": 3 if config.compile else 0,
            "cudagraph_mode": "FULL_AND_PIECEWISE" if config.compile else "FULL_DECODE_ONLY",
            "cudagraph_capture_sizes": list(plan.cuda_graph_sizes),
        }
    }


def _write_config(folder: Path, binding: Binding) -> None:
    """The model's configuration, as vLLM reads it: the architecture, and our quantisation method."""
    written = binding.policy.config.to_dict()
    written["quantization_config"] = {"quant_method": method.NAME}
    written["architectures"] = [type(binding.policy.causal).__name__]
    written.pop("_name_or_path", None)
    (folder / "config.json").write_text(json.dumps(written, default=str))
