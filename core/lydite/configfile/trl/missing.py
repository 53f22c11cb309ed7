"""Arguments of TRL that lydite cannot honour: for each the values that ask for nothing, and what to do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_LORA: Final = "the adapter is plain LoRA on linear layers"
_SPREAD: Final = (
    'take it out, and train on several GPUs with --processes N; distributed.strategy = "fsdp2" is for a base that '
    "does not fit one of them (docs/multi-gpu.md)"
)

MISSING: Final[Mapping[str, tuple[tuple[Any, ...], str]]] = {
    "reward_model_name_or_path": (
        (None,),
        "a reward is a function; a model can be asked through a judge, lydite-judges",
    ),
    "trust_remote_code": ((False,), "no code of a model's repository is ever run"),
    "resume_from_checkpoint": (
        (None, False),
        "a checkpoint of TRL's holds less than a run here needs to go on; a run of lydite's goes on with --resume RUN",
    ),
    "push_to_hub": ((False,), "nothing is sent anywhere; take it out, and see `lydite export` for what to upload"),
    "log_completions_hub_repo": ((None,), "nothing is sent anywhere; see completions.jsonl"),
    "optim_args": ((None,), "AdamW has adam_beta1, adam_beta2, adam_epsilon and weight_decay"),
    "optim_target_modules": ((None,), "it belongs to optimisers that lydite does not have"),
    "lr_scheduler_kwargs": ((None, {}), "the learning rate falls to 0 in a line or by a cosine, or not at all"),
    "label_smoothing_factor": ((0.0,), "the loss has no labels to smooth"),
    "neftune_noise_alpha": ((None,), "noise would part the trainer from the engine that samples"),
    "generation_kwargs": ((None, {}), "sampling has temperature, top_p, top_k and min_p"),
    "repetition_penalty": ((1.0,), "it would part what is sampled from what is trained; use a reward, text/repetition"),
    "chat_template_kwargs": ((None, {}), "put what they set into a template of your own: model.chat_template"),
    "vllm_structured_outputs_regex": ((None,), "what is sampled under a grammar is not what is trained; use a format"),
    "vllm_model_impl": (("vllm",), "vLLM samples with its own form of the model, or transformers does: engine.use"),
    "vllm_tensor_parallel_size": ((1,), _SPREAD),
    "parallelism_config": ((None,), _SPREAD),
    "accelerator_config": ((None,), _SPREAD),
    "deepspeed": ((None,), _SPREAD),
    "fsdp": ((None, "", [], False), _SPREAD),
    "fsdp_config": ((None, {}), _SPREAD),
    "debug": (("", []), "it belongs to TRL's trainer"),
    "router_aux_loss_coef": ((None, 0.0), "the loss has no part for the experts' balance"),
    "disable_dropout": ((False,), "leave it out; lora_dropout = 0.0 turns the adapter's own off"),
    "cast_lm_head_to_fp32": ((False,), "log-probabilities are summed in float32 whatever the head's type"),
    "sync_ref_model": ((False,), "the reference is the model without its adapter, and stays"),
    "load_in_8bit": ((False,), 'the base is held in 16 bit or in NF4: load_in_4bit, or model.quantization = "nf4"'),
    "bnb_4bit_quant_type": (("nf4",), "4-bit weights are NF4"),
    "lora_target_parameters": ((None,), _LORA),
    "lora_modules_to_save": ((None,), _LORA),
    "use_rslora": ((False,), f"{_LORA}; the same scale is lora_alpha times the root of lora_r"),
    "use_dora": ((False,), _LORA),
    "test_split_size": ((None,), "held-out samples are set aside by [eval] n"),
}
