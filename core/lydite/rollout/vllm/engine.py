"""The engine `vllm`: one process, one copy of the weights, the adapter overwritten in place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Literal

import torch

from lydite.config import EngineConfig
from lydite.errors import EngineError, ModelError
from lydite.planner import EnginePlan
from lydite.policy import Policy
from lydite.policy.sampler import Draw, uniform_table
from lydite.rollout.engine import CanaryAnswer, Sampling
from lydite.rollout.vllm.binding import Binding
from lydite.rollout.vllm.drawing import ROW, Drawer, DrawTable
from lydite.rollout.vllm.handover import Handover
from lydite.rollout.vllm.selftest import self_test
from lydite.rollout.vllm.start import start_vllm
from lydite.types import Generated, Prompt, Rollout


class VllmEngine:
    """Samples with vLLM's batching and attention, on the policy's own weights.

    Its KV cache, and its 16-bit copy of 4-bit weights, are given back to training between batches where the plan
    says so. The adapter is that of the last `take_adapter`, none inside `policy.reference()`.

    vLLM keeps part of its state in the process, so that one engine lives at a time: starting another ends this one,
    which is started anew when it is asked again.
    """

    name = "vllm"
    shares_weights = False
    _alive: ClassVar[VllmEngine | None] = None

    def __init__(self, policy: Policy, config: EngineConfig, plan: EnginePlan) -> None:
        """Starts vLLM, which takes seconds, with CUDA graphs some more.

        Raises:
            EngineError: when vLLM cannot run this model.
        """
        self.policy = policy
        self._config = config
        self._plan = plan
        self._llm: Any = None
        self._holds: Literal["adapter", "base", "nothing"] = "nothing"
        self._conversing = False
        self._start()

    def vllm_model(self) -> Any:
        """The model inside vLLM, whose parameters are the policy's memory."""
        return self._llm.llm_engine.engine_core.engine_core.model_executor.driver_worker.get_model()

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling, seed: int) -> list[Rollout]:
        """One rollout for each prompt, in order; see `Engine.generate`.

        Raises:
            ModelError: on a prompt without tokens, or one that leaves no room for a completion.
            EngineError: when vLLM fails; asked again, it is started anew.
        """
        rows = [(place, index) for place in range(len(prompts)) for index in range(sampling.num_generations)]
        limits = [self._room(prompt, sampling.max_completion_length) for prompt in prompts]
        uniform = None
        if sampling.temperature > 0:
            named = [(prompts[place].sample.id, index) for place, index in rows]
            uniform = uniform_table(seed, named, sampling.max_completion_length)
        draw = Draw(sampling.temperature, sampling.top_k, sampling.top_p, sampling.min_p)
        table = DrawTable(draw, uniform, [limits[place] for place, _ in rows], self.policy.device)
        outputs = self._ask([prompts[place].token_ids for place, _ in rows], table)
        self._sleep()
        logps = table.logps.cpu().tolist()
        made = [self._generated(output, row) for output, row in zip(outputs, logps, strict=True)]
        group = sampling.num_generations
        return [
            Rollout(prompt, tuple(made[place * group : (place + 1) * group])) for place, prompt in enumerate(prompts)
        ]

    @contextmanager
    def conversing(self) -> Iterator[None]:
        """While open, the KV cache stays between batches, so that a turn finds those before it in the prefix cache."""
        self._conversing = True
        try:
            yield
        finally:
            self._conversing = False
            self._sleep()

    def canary(self, prompt: Prompt, tokens: int) -> CanaryAnswer | None:
        """The greedy answer of at most so many tokens, and how much of the prompt came from the prefix cache.

        The KV cache stays afterwards: a canary is asked right before the next batch, which would fetch it again.
        """
        table = DrawTable(Draw(0.0), None, [self._room(prompt, tokens)], self.policy.device)
        (output,) = self._ask([prompt.token_ids], table)
        token_ids = tuple(output.outputs[0].token_ids)
        return CanaryAnswer(token_ids, tuple(table.logps[0, : len(token_ids)].tolist()), output.num_cached_tokens or 0)

    def take_adapter(self, policy: Policy) -> None:
        """Overwrites the adapter inside vLLM, and forgets what was cached with the one before."""
        if policy is not self.policy:
            raise EngineError(
                "the engine vllm shares the weights of the policy that it was made with; make one for this policy"
            )
        self._hold("adapter")

    def close(self) -> None:
        """Ends vLLM and gives its memory back; the policy's weights stay."""
        if self._llm is None:
            return
        self._llm.llm_engine.engine_core.shutdown()
        self._llm = None
        self._holds = "nothing"
        VllmEngine._alive = None
        self._binding.drop_copies()
        if self.policy.device.type == "cuda":
            torch.cuda.empty_cache()

    def _start(self) -> None:
        if VllmEngine._alive is not None:
            VllmEngine._alive.close()
        VllmEngine._alive = self
        self._binding = Binding(self.policy, unpack=self._plan.unpack_weights)
        self._llm, self.start_seconds = start_vllm(self._binding, self._config, self._plan)
        self._handover = Handover(self._binding, self.vllm_model())
        self._asleep = False
        self._binding.unpack_all()
        if not self._plan.release_kv_cache:
            self._binding.lend_copies()
        self.self_test_gap = self._tested()
        self._sleep()

    def _tested(self) -> float:
        def ask(prompt: Prompt, tokens: int) -> CanaryAnswer:
            self._hold("adapter")
            answer = self.canary(prompt, tokens)
            assert answer is not None
            return answer

        try:
            return self_test(self.policy, ask)
        except EngineError:
            self.close()
            raise
        finally:
            self._holds = "nothing"

    def _ask(self, prompts: Sequence[Sequence[int]], table: DrawTable) -> list[Any]:
        from vllm import SamplingParams

        wanted: Literal["adapter", "base"] = "base" if self.policy.is_reference else "adapter"
        if self._holds != wanted:
            self._hold(wanted)
        stops = list(self.policy.stop_token_ids)
        settings = [
            SamplingParams(
                temperature=0.0, max_tokens=limit, stop_token_ids=stops, ignore_eos=True, detokenize=False,
                extra_args={ROW: row},
            )
            for row, limit in enumerate(table.limits)
        ]  # fmt: skip
        self._wake()
        Drawer.table = table
        try:
            outputs: list[Any] = self._llm.generate(
                [{"prompt_token_ids": list(one)} for one in prompts], settings, use_tqdm=False
            )
        except Exception as error:
            # What a step left behind in vLLM's queues cannot be told; the next batch starts it anew.
            self.close()
            raise EngineError(f"vLLM failed while it sampled: {type(error).__name__}: {error}") from error
        finally:
            Drawer.table = None
        return outputs

    def _hold(self, what: Literal["adapter", "base"]) -> None:
        """Puts the adapter or zeros into vLLM, which is started where it is not up."""
        if self._llm is None:
            self._start()
        if what == "adapter":
            self._handover.copy()
        elif self.policy.adapted:
            self._handover.clear()
        else:
            raise EngineError(
                "without an adapter the engine vllm has no base model to sample from; set lora.enabled = true, or "
                "engine.use = 'hf'"
            )
        if not self._llm.reset_prefix_cache():
            raise EngineError("vLLM did not reset its prefix cache, so that it would answer for an older adapter")
        self._holds = what

    def _wake(self) -> None:
        if self._asleep:
            # What training used and torch still holds is out of reach of vLLM's allocator.
            torch.cuda.empty_cache()
            self._llm.wake_up()
            self._binding.unpack_all()
            self._asleep = False

    def _sleep(self) -> None:
        awake = self._llm is not None and not self._asleep
        if self._plan.release_kv_cache and awake and not self._conversing:
            self._llm.sleep(level=2)
            self._asleep = True

    def _room(self, prompt: Prompt, wanted: int) -> int:
        given = len(prompt.token_ids)
        if not given:
            raise ModelError(
                f"the prompt of sample {prompt.sample.id!r} has no tokens; a completion needs one to follow"
            )
        if given >= self._plan.max_model_len:
            raise ModelError(
                f"the prompt of sample {prompt.sample.id!r} has {given} tokens, and the engine was started for "
                f"{self._plan.max_model_len} of prompt and completion together; raise data.max_prompt_length"
            )
        return min(wanted, self._plan.max_model_len - given)

    def _generated(self, output: Any, logps: list[float]) -> Generated:
        answer = output.outputs[0]
        token_ids = tuple(answer.token_ids)
        text, raw = self.policy.decode(token_ids)
        stopped = bool(token_ids) and token_ids[-1] in self.policy.stop_token_ids
        return Generated(token_ids, text, raw, "stop" if stopped else "length", tuple(logps[: len(token_ids)]))
