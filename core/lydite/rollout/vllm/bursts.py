"""Several decode steps for each plan of vLLM's scheduler.

Between two steps vLLM goes through every sequence in Python: it plans, gives out cache blocks, copies tokens back and
looks for ends. For a small model on a fast GPU that takes longer than the step itself. Here a step in which every
sequence decodes one token is done again and again on what lies on the device already, and the scheduler is told of all
tokens at once, as it is after speculative decoding. Sequences that end in a burst are cut off by the scheduler; what
was computed behind their end is thrown away.

Known elsewhere as multi-step scheduling.
"""

from __future__ import annotations

import logging
from typing import Any, Final

import torch
from torch import Tensor

from lydite.rollout.vllm.drawing import Drawer, DrawTable

logger = logging.getLogger("lydite")

# The calls of a step that are made again, with what they were given, and what they work on.
_CALLS: Final = (
    "_determine_batch_execution_and_padding",
    "_get_slot_mappings",
    "_build_attention_metadata",
    "_model_forward",
)
_STATE: Final = (
    "_sample", "input_ids", "positions", "seq_lens", "num_computed_tokens", "optimistic_seq_lens_cpu",
    "query_start_loc", "discard_request_mask", "input_batch", "kv_cache_config", "max_model_len",
)  # fmt: skip
_ATTENTION: Final = ("FullAttentionSpec", "SlidingWindowSpec")


def decode_in_bursts(llm: Any, steps: int) -> None:
    """Has vLLM do up to so many decode steps for each of its scheduler's plans; where that cannot be, the log says why.

    `llm` was started without asynchronous scheduling.
    """
    core = llm.llm_engine.engine_core.engine_core
    runner, scheduler = core.model_executor.driver_worker.worker.model_runner, core.scheduler
    why_not = _why_not(runner, scheduler)
    if why_not:
        logger.info("engine: each decode step is planned by itself, since %s", why_not)
        return
    scheduler.num_lookahead_tokens = steps - 1  # cache blocks for all tokens of a burst
    scheduler.update_from_output = _counting_all(scheduler)
    Bursts(runner, steps)


class Bursts:
    """Stands in for how vLLM's model runner samples, and does further steps before it returns."""

    def __init__(self, runner: Any, steps: int) -> None:
        self._runner = runner
        self._steps = steps
        self._sample = runner._sample
        self._made: dict[str, Any] = {}
        """What each of `_CALLS` was given last by name, and for the first what it gave."""
        for name in _CALLS:
            setattr(runner, name, self._noting(name))
        runner._sample = self.sample

    def sample(self, logits: Tensor | None, spec_decode_metadata: Any) -> Any:
        """The output of vLLM's sampler, with the tokens [n, steps] of this step and those after it."""
        output = self._sample(logits, spec_decode_metadata)
        table = Drawer.table
        if table is None or (steps := self._allowed(table)) < 2:
            return output
        tokens = [output.sampled_token_ids]
        try:
            for table.ahead in range(1, steps):
                tokens.append(self._sample(self._next_logits(tokens[-1]), None).sampled_token_ids)
        finally:
            table.ahead = 0
        output.sampled_token_ids = torch.cat(tokens, dim=1)
        return output

    def _allowed(self, table: DrawTable) -> int:
        """Steps that can be done from here, this one included: 1 where a prompt is read, or a sequence is full."""
        runner, asked = self._runner, self._made["_build_attention_metadata"]
        count = runner.input_batch.num_reqs
        one_each = asked["max_query_len"] == 1 and asked["num_tokens"] == count
        if not one_each or bool(runner.discard_request_mask.np[:count].any()):
            return 1
        longest = int(runner.optimistic_seq_lens_cpu[:count].max())
        return min(self._steps, table.left, int(runner.max_model_len) - longest)

    def _next_logits(self, tokens: Tensor) -> Tensor:
        """The logits [n, V] behind the tokens [n, 1], which are appended to what the cache holds."""
        from vllm.forward_context import set_forward_context

        runner, count = self._runner, len(tokens)
        runner.input_ids.gpu[:count].copy_(tokens[:, 0])
        for counted in (runner.positions, runner.seq_lens, runner.num_computed_tokens, runner.optimistic_seq_lens_cpu):
            counted[:count] += 1
        runner.input_batch.block_table.compute_slot_mapping(
            count, runner.query_start_loc.gpu[: count + 1], runner.positions[:count]
        )
        by_group, by_layer = self._again("_get_slot_mappings")
        metadata, _ = self._again("_build_attention_metadata", slot_mappings=by_group)
        mode, batch, _, across, _ = self._made["decided"]
        with set_forward_context(
            metadata, runner.vllm_config, num_tokens=batch.num_tokens, num_tokens_across_dp=across,
            cudagraph_runtime_mode=mode, batch_descriptor=batch, slot_mapping=by_layer,
        ):  # fmt: skip
            hidden = self._again("_model_forward")
        logits: Tensor = runner.model.compute_logits(hidden[:count])
        return logits

    def _noting(self, name: str) -> Any:
        call = getattr(self._runner, name)

        def noted(**given: Any) -> Any:
            self._made[name] = given
            made = call(**given)
            if name == "_determine_batch_execution_and_padding":
                self._made["decided"] = made
            return made

        return noted

    def _again(self, name: str, **changed: Any) -> Any:
        return getattr(self._runner, name)(**{**self._made[name], **changed})


def _counting_all(scheduler: Any) -> Any:
    """The scheduler's method that learns what was sampled, once it has counted the steps that it did not plan."""
    update = scheduler.update_from_output

    def counted(scheduler_output: Any, model_runner_output: Any) -> Any:
        for request, place in model_runner_output.req_id_to_index.items():
            made = model_runner_output.sampled_token_ids
            further = len(made[place]) - 1 if made else 0
            if further > 0:
                scheduler.requests[request].num_computed_tokens += further
        return update(scheduler_output, model_runner_output)

    return counted


def _why_not(runner: Any, scheduler: Any) -> str | None:
    """What speaks against bursts, as the end of a sentence; None: nothing."""
    absent = [name for name in (*_CALLS, *_STATE) if not hasattr(runner, name)]
    absent += [name for name in ("num_lookahead_tokens", "update_from_output") if not hasattr(scheduler, name)]
    if absent:
        return f"this version of vLLM has no {', '.join(absent)}"
    if runner.use_async_scheduling or runner.speculative_config is not None:
        return "vLLM plans ahead"
    if runner.uses_mrope:
        return "this model's positions are of several dimensions"
    kinds = {type(group.kv_cache_spec).__name__ for group in runner.kv_cache_config.kv_cache_groups}
    if not kinds <= set(_ATTENTION):
        return f"this model keeps {', '.join(sorted(kinds - set(_ATTENTION)))} of its sequences"
    return None
