"""A folder opened by vLLM, as `vllm serve` opens it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from torch import Tensor

from lydite.errors import ExportError
from lydite.exports.readers.answer import Answer
from lydite.exports.trained import rendered, tokens_of
from lydite.policy.quiet import without_chatter
from lydite.rollout.vllm.versions import require_vllm
from lydite.types import Message

_KV_CACHE_BYTES: Final = 256 * 2**20  # for the few short answers of a check
_ROWS: Final = 16
_FORCED: Final = 100.0  # added to a logit, so that the token is the likeliest; vLLM takes no more


class VllmReader:
    """vLLM in this process, with its own layers, on the files of the folder."""

    def __init__(
        self, model: Path | str, dtype: str, longest: int, *, adapter: Path | None, words: Path | None,
        max_lora_rank: int,
    ) -> None:  # fmt: skip
        """Starts vLLM, which takes seconds. `words` has tokenizer and end tokens, where they are not the model's own.

        Raises:
            ExportError: when vLLM cannot load the folder.
            EngineError: when it is a version that lydite does not know.
        """
        self.name = f"vLLM {require_vllm()}"
        options: dict[str, Any] = {}
        if adapter is not None:
            options = {"enable_lora": True, "max_lora_rank": max_lora_rank, "max_loras": 1}
        if words is not None:
            options |= {"tokenizer": str(words), "generation_config": str(words)}
        self._model, self._adapter = model, adapter
        try:
            with without_chatter():
                from vllm import LLM

                self._llm: Any = LLM(
                    model=str(model),
                    dtype=dtype,
                    max_model_len=longest + 1,
                    max_num_seqs=_ROWS,
                    kv_cache_memory_bytes=_KV_CACHE_BYTES,
                    enforce_eager=True,
                    disable_log_stats=True,
                    seed=0,
                    **options,
                )
        except Exception as error:
            raise ExportError(f"vLLM cannot load the export: {type(error).__name__}: {error}") from error

    def chat_template(self) -> str | None:
        """See `Reader.chat_template`."""
        template: str | None = self._llm.get_tokenizer().chat_template
        return template

    def reads(self, text: str, token_ids: Sequence[int]) -> bool:
        """See `Reader.reads`."""
        return tokens_of(self._llm.get_tokenizer(), text) == tuple(token_ids)

    def renders(self, messages: Sequence[Message], token_ids: Sequence[int]) -> bool:
        """See `Reader.renders`."""
        return rendered(self._llm.get_tokenizer(), messages) == tuple(token_ids)

    def ends_at(self, token_id: int) -> bool:
        """See `Reader.ends_at`: the token is made the likeliest, and vLLM goes on or not."""
        from vllm import SamplingParams

        forced = SamplingParams(temperature=0.0, max_tokens=2, logit_bias={token_id: _FORCED})
        (output,) = self._llm.generate([{"prompt_token_ids": [token_id]}], forced, use_tqdm=False)
        return bool(output.outputs[0].finish_reason == "stop")

    def weights(self) -> Mapping[str, Tensor] | None:
        """Those of the folder's files, since vLLM stacks its layers; None for an adapter."""
        from safetensors.torch import load_file

        if self._adapter is not None:
            return None
        files = sorted(Path(self._model).glob("*.safetensors"))
        return {name: tensor for file in files for name, tensor in load_file(file).items()}

    def answers(self, prompts: Sequence[Sequence[int]], limit: int, stops: Collection[int]) -> list[Answer]:
        """See `Reader.answers`."""
        from vllm import SamplingParams
        from vllm.lora.request import LoRARequest

        asked = SamplingParams(temperature=0.0, max_tokens=limit, logprobs=0, stop_token_ids=sorted(stops))
        request = None if self._adapter is None else LoRARequest("export", 1, str(self._adapter))
        outputs = self._llm.generate(
            [{"prompt_token_ids": list(prompt)} for prompt in prompts], asked, use_tqdm=False, lora_request=request
        )
        return [_answer(one.outputs[0]) for one in outputs]

    def close(self) -> None:
        """See `Reader.close`."""
        self._llm.llm_engine.engine_core.shutdown()
        del self._llm


def _answer(output: Any) -> Answer:
    ids = tuple(int(one) for one in output.token_ids)
    return Answer(ids, tuple(float(said[token].logprob) for token, said in zip(ids, output.logprobs, strict=True)))
