"""What a run is asked to do: frozen, checked, and complete without any other file.

Names and meanings follow TRL's `GRPOConfig` where the meaning is the same. A field's docstring is its
entry in the configuration reference, which is generated from this file.
"""

from __future__ import annotations

from datetime import date, time
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, Strict, model_validator

from lydite.config_checks import cross_problems


class Section(BaseModel):
    """A table of the configuration. Unknown keys are errors; values do not change once read."""

    # Strict: `max_steps = true` and `weight = "1"` are slips, never meant.
    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        protected_namespaces=(),
        strict=True,
        allow_inf_nan=False,
    )


def _plain(value: Any) -> Any:
    """The value with lists for tuples, if a configuration file can hold it.

    Raises:
        ValueError: on None, and on objects that are no numbers, texts, dates, lists or tables.
    """
    if isinstance(value, bool | int | float | str | date | time):
        return value
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise ValueError(f"the keys of a table are strings, got {list(value)!r}")
        return {key: _plain(one) for key, one in value.items()}
    hint = "leave the option out instead" if value is None else "a run's configuration holds plain values only"
    raise ValueError(f"{value!r} has no form in a configuration file; {hint}")


Texts = Annotated[tuple[str, ...], Strict(False)]  # a file's list is taken as a tuple
Span = Annotated[tuple[float, float], Strict(False)]
Options = Annotated[dict[str, Any], AfterValidator(_plain)]


class ModelConfig(Section):
    """The base model and how it is held in memory."""

    path: str
    """A folder, a hub name, or `package:NAME` for a model that an installed Python package carries."""
    gguf_file: str | None = None
    """The file to read when the folder holds GGUF weights; found by itself where there is just one."""
    revision: str | None = None
    """Branch, tag or commit on the hub."""
    dtype: Literal["bfloat16", "float16", "float32"] = "bfloat16"
    """Type of the weights that are not quantised, and of the computation."""
    quantization: Literal["none", "nf4"] = "none"
    """`nf4`: the frozen base in 4 bit, double-quantised (QLoRA), through bitsandbytes."""
    keep_16bit: Texts = ()
    """Layers that stay in 16 bit under `nf4`: names or parts of names, such as `layers.0.` or `down_proj`."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """`auto`: CUDA where there is one."""
    chat_template: str | None = None
    """A Jinja template that replaces the tokenizer's."""


class LoraConfig(Section):
    """The adapter that is trained."""

    enabled: bool = True
    """`false` trains every weight of the model instead."""
    r: int = Field(16, ge=1)
    """Rank."""
    alpha: int = Field(32, ge=1)
    """Scale: the adapter's product is multiplied by alpha / r."""
    dropout: float = Field(0.0, ge=0.0, lt=1.0)
    """Dropout on the adapter's input, while training."""
    target_modules: Texts = ()
    """Names of the linear layers; empty: what the model's family says, or every linear layer."""


class FormatConfig(Section):
    """How an answer is written."""

    use: str = "plain"
    """Name of a format that a plugin offers."""
    options: Options = {}
    """Options of that format."""
    instruct: bool = True
    """Puts the format's instructions in front of each prompt, as the system message or its first paragraph."""


class DataConfig(Section):
    """Where the samples come from."""

    use: str
    """Name of a data set that a plugin offers, such as `jsonl` or `arithmetic`."""
    options: Options = {}
    """Options of that data set: path, split, column mapping, ..."""
    system: str | None = None
    """A system message for every prompt."""
    limit: int | None = Field(None, ge=1)
    """At most this many samples."""
    shuffle: bool = True
    """A new order each epoch, from the run's seed."""
    max_prompt_length: int = Field(1024, ge=1)
    """In tokens. Longer prompts are listed and left out, never cut."""
    check_reference: Literal["skip", "error", "off"] = "skip"
    """What to do with a sample whose own reference fails the reward that judges correctness."""


class RewardConfig(Section):
    """One named reward of the stack."""

    use: str
    """Name of a reward that a plugin offers."""
    options: Options = {}
    """Options of that reward: its keyword-only parameters."""
    weight: float = 1.0
    """Its share of the total. Weights are never renormalised."""
    weight_to: float | None = None
    """The weight that a schedule ends at; None: the weight stays."""
    schedule_steps: int = Field(0, ge=0)
    """Steps over which the weight moves in a straight line from `weight` to `weight_to`."""
    gate: bool = False
    """A completion that this reward does not pass gets `gate_score` as its total, whatever else it earned."""
    gate_score: float = 0.0
    """The total of a completion that a gate stops."""
    pass_at: float = 0.5
    """The score from which a verdict counts as passed, where the verifier does not say so itself."""
    clip: Span | None = None
    """Cuts the score to this range."""
    rescale: Span | None = None
    """Maps the reward's declared range onto this one, before clipping."""
    only_if: str | None = None
    """Name of another reward of this stack; this one counts as 0 where that one did not pass."""
    fallback_for: str | None = None
    """Name of another reward; this one is asked only about what that one did not pass (a cascade)."""
    fallback_share: float = Field(1.0, gt=0.0, le=1.0)
    """At most this share of a step's completions goes to the fallback."""
    judge: str | None = None
    """Name of a judge, for rewards that ask for one."""
    judge_options: Options = {}
    """Options of that judge."""
    timeout: float | None = Field(None, gt=0.0)
    """Seconds for one completion; None: what the reward declares."""
    range: Span | None = None
    """Lowest and highest score, for a reward that declares none."""


class LengthConfig(Section):
    """Shaping by length, in tokens; paid only to completions that pass `only_if`."""

    kind: Literal["soft_overlong", "cosine", "target"]
    """soft_overlong: DAPO's penalty near the limit. cosine: short right answers earn more. target: near a length."""
    only_if: str
    """Name of the reward that must have passed."""
    weight: float = 1.0
    """Its share of the total."""
    max_length: int = Field(ge=1)
    """The length, in tokens, at which the shaping is at its end; longer completions get the same."""
    cache: int = Field(0, ge=0)
    """soft_overlong: tokens before `max_length` over which the penalty grows."""
    target: int = Field(0, ge=0)
    """target: the length that earns most."""


class StackConfig(Section):
    """How the rewards become one number, and what happens when they fail."""

    aggregate: Literal["sum_then_normalize", "normalize_then_sum"] = "sum_then_normalize"
    """normalize_then_sum is GDPO: each reward is normalised in its group before the weighted sum."""
    max_error_share: float = Field(0.05, ge=0.0, le=1.0)
    """The run stops when more than this share of a reward's verdicts are errors over the window."""
    error_window: int = Field(200, ge=1)
    """Verdicts of one reward that the share is taken over."""
    workers: int = Field(2, ge=1)
    """Worker processes."""
    memory_mb: int = Field(2048, ge=64)
    """Address space that a worker may take beyond what it starts with."""
    cpu_seconds: int = Field(60, ge=1)
    """CPU time that one call in a worker may take; the deadline usually comes first."""
    recycle_after: int = Field(1000, ge=1)
    """Calls after which a worker is replaced."""
    cache_size: int = Field(10_000, ge=0)
    """Verdicts that are kept, so that equal completions are judged once."""


class EvalConfig(Section):
    """The held-out evaluation: greedy answers, judged apart from the training stack."""

    reward: RewardConfig
    """The reward that judges it. It has no part in training."""
    metric: str = "accuracy"
    """What the mean score is called."""
    n: int = Field(128, ge=1)
    """How many held-out samples are asked."""
    every: int = Field(10, ge=1)
    """Steps between evaluations; there is always one before the first step and one after the last."""
    data: DataConfig | None = None
    """Held-out data of its own; None: `n` samples are set aside from the training data and never trained on."""
    max_completion_length: int | None = Field(None, ge=1)
    """In tokens; None: as in training."""
    early_stop_patience: int | None = Field(None, ge=1)
    """Stops the run after this many evaluations without a better one."""


class ProbesConfig(Section):
    """Attacks on the run's own rewards, while it goes on: texts that no verifier may pay."""

    steps: int = Field(20, ge=0)
    """Steps between rounds; the last step always has one. 0: none."""
    prompts: int = Field(1, ge=1)
    """Prompts of a step that each round attacks."""
    canaries: bool = True
    """Shows rewards that ask a judge a few such texts at every step."""


class TrainConfig(Section):
    """The optimisation. TRL's names."""

    max_steps: int = Field(100, ge=1)
    """Steps; one step samples once and then makes all its updates."""
    num_generations: int = Field(8, ge=2)
    """Completions of one prompt (G); at least two, since each is measured against the others."""
    per_device_train_batch_size: int = Field(8, ge=1)
    """Completions in one forward pass."""
    gradient_accumulation_steps: int = Field(1, ge=1)
    """Forward passes that make one update."""
    steps_per_generation: int | None = Field(None, ge=1)
    """Forward passes that one sampling feeds: B is this times per_device_train_batch_size.

    None: as gradient_accumulation_steps."""
    num_iterations: int = Field(1, ge=1)
    """Times that each sampling is trained on (mu in the GRPO paper)."""
    max_completion_length: int = Field(256, ge=1)
    """In tokens (T)."""
    temperature: float = Field(1.0, gt=0.0)
    """Of sampling, and of the log-probabilities that are trained."""
    top_p: float = Field(1.0, gt=0.0, le=1.0)
    """Samples from the smallest set of tokens with this much probability."""
    top_k: int = Field(0, ge=0)
    """Samples from this many most likely tokens; 0: from all."""
    min_p: float | None = Field(None, ge=0.0, le=1.0)
    """Leaves out tokens less likely than this share of the likeliest."""
    learning_rate: float = Field(1e-5, gt=0.0)
    """At its height. Ten times TRL's default, which is meant for full fine-tuning."""
    lr_scheduler_type: Literal["linear", "cosine", "constant"] = "linear"
    """How the learning rate falls after the warm-up."""
    warmup_steps: int = Field(0, ge=0)
    """Updates over which the learning rate rises from 0."""
    optim: Literal["adamw", "adamw_8bit", "paged_adamw_8bit", "paged_adamw_32bit"] = "adamw"
    """AdamW, fused; the others are of bitsandbytes. 8bit: its state in 8 bit. paged: its state may move to the host's
    memory while a GPU has no room for it."""
    adam_beta1: float = Field(0.9, ge=0.0, lt=1.0)
    """Decay of the first moment."""
    adam_beta2: float = Field(0.999, ge=0.0, lt=1.0)
    """Decay of the second moment."""
    adam_epsilon: float = Field(1e-8, gt=0.0)
    """Added to the root of the second moment."""
    weight_decay: float = Field(0.0, ge=0.0)
    """AdamW's."""
    max_grad_norm: float = Field(1.0, gt=0.0)
    """Gradients are scaled down to this norm."""
    loss_type: Literal["grpo", "bnpo", "dr_grpo", "dapo"] = "dapo"
    """How token losses are averaged: over sequences, a batch's tokens, a constant, or all tokens of an update."""
    scale_rewards: Literal["group", "batch", "none"] = "group"
    """What a reward's distance from its group's mean is divided by."""
    beta: float = Field(0.0, ge=0.0)
    """Weight of the KL term against the model without its adapter; 0 leaves the reference out."""
    epsilon: float = Field(0.2, gt=0.0)
    """Lower clip of the probability ratio."""
    epsilon_high: float | None = Field(None, gt=0.0)
    """Upper clip; None: as epsilon."""
    delta: float | None = Field(None, gt=1.0)
    """Two-sided clipping: a ceiling on the ratio where the advantage is negative."""
    use_bias_correction_kl: bool = True
    """Multiplies the KL term by the probability ratio, so that its gradient is unbiased; false: the GRPO paper."""
    vllm_importance_sampling_correction: bool = True
    """Weighs tokens by how likely the trainer finds them against the engine that sampled them, whatever the engine."""
    vllm_importance_sampling_mode: Literal["token_truncate", "token_mask", "sequence_truncate", "sequence_mask"] = (
        "token_truncate"
    )
    """Of each token or of the whole completion; a weight beyond the limits is cut to them, or made 0.

    TRL's own default is sequence_mask, which drops a long completion for a small difference on each of its tokens."""
    vllm_importance_sampling_clip_max: float = Field(3.0, gt=0.0)
    """Largest weight. A configuration file cannot say TRL's None; 1e9 is no limit."""
    vllm_importance_sampling_clip_min: float | None = Field(None, ge=0.0)
    """Smallest weight; None: no limit."""
    mask_truncated_completions: bool = False
    """Leaves completions that ran into the limit out of the loss."""
    micro_batch_tokens: int | None = Field(None, ge=1)
    """Tokens of one forward pass, a group's prompt counted once. The update stays the same.

    None: passes of per_device_train_batch_size completions, however long."""
    gradient_checkpointing: Literal["auto", True, False] = "auto"
    """Computes activations again in the backward pass instead of keeping them: of every layer, of none, or (auto) of
    as many layers as free memory makes necessary."""
    activation_offloading: bool = False
    """Moves the input of each layer that is computed again to the host's memory, and fetches it in the backward pass.

    On a CPU it changes nothing."""
    share_prompts: bool = True
    """Trains completions behind one copy of their prompt, where the architecture allows: the same numbers, faster."""
    logprob_chunk_size: int = Field(1024, ge=1)
    """Tokens whose logits exist at once, at most; fewer where a tile of so many times V would be large."""
    save_steps: int = Field(10, ge=1)
    """Steps between checkpoints; the last step always has one."""
    save_total_limit: int = Field(2, ge=1)
    """Checkpoints that are kept besides the best."""

    @property
    def generation_batch_size(self) -> int:
        """Completions in a step (B)."""
        return self.per_device_train_batch_size * (self.steps_per_generation or self.gradient_accumulation_steps)

    @property
    def prompts_per_step(self) -> int:
        """Prompts in a step (P)."""
        return self.generation_batch_size // self.num_generations

    @property
    def updates_per_step(self) -> int:
        """Optimiser updates in a step."""
        passes = self.steps_per_generation or self.gradient_accumulation_steps
        return self.num_iterations * (passes // self.gradient_accumulation_steps)

    @model_validator(mode="after")
    def _batches_divide(self) -> TrainConfig:
        batch, group = self.generation_batch_size, self.num_generations
        if batch % group:
            raise ValueError(
                f"a step samples {batch} completions (per_device_train_batch_size * steps_per_generation), which does "
                f"not divide into groups of num_generations = {group}; take a multiple of {group}"
            )
        passes = self.steps_per_generation or self.gradient_accumulation_steps
        if passes % self.gradient_accumulation_steps:
            raise ValueError(
                f"steps_per_generation = {passes} is not a multiple of gradient_accumulation_steps = "
                f"{self.gradient_accumulation_steps}"
            )
        return self

    @model_validator(mode="after")
    def _something_is_offloaded(self) -> TrainConfig:
        if self.activation_offloading and self.gradient_checkpointing is False:
            raise ValueError(
                "activation_offloading = true moves what layers keep that are computed again, and "
                "gradient_checkpointing = false computes none again; leave gradient_checkpointing at "
                '"auto" or set it to true'
            )
        return self

    @model_validator(mode="after")
    def _limits_are_in_order(self) -> TrainConfig:
        low, high = self.vllm_importance_sampling_clip_min, self.vllm_importance_sampling_clip_max
        if low is not None and low > high:
            raise ValueError(
                f"vllm_importance_sampling_clip_min = {low} is above vllm_importance_sampling_clip_max = {high}; "
                "the smallest weight cannot be larger than the largest"
            )
        return self


class EngineConfig(Section):
    """What samples completions."""

    use: Literal["auto", "vllm", "hf", "scripted"] = "auto"
    """vllm: in this process, on the trainer's own weights. hf: transformers, everywhere. scripted: says what it is
    told, for tests. auto: vllm on a CUDA device where it is installed, knows the model and fits; else hf."""
    max_batch_size: int | None = Field(None, ge=1)
    """Sequences that are decoded at once. None: 64 with hf; with vllm what the plan finds room for."""
    memory_share: float = Field(0.9, gt=0.0, le=1.0)
    """vllm: the share of the free device memory that the plan may give away."""
    kv_cache_bytes: int | None = Field(None, ge=1)
    """vllm: size of the KV cache. None: what the step's completions need, as far as memory allows."""
    kv_cache_dtype: Literal["auto", "fp8"] = "auto"
    """vllm: fp8 halves the KV cache, at a price in log-probabilities. auto: the model's own type."""
    release_kv_cache: Literal["auto", "always", "never"] = "auto"
    """vllm: gives the KV cache's memory to training between rollouts. auto: where both do not fit together."""
    unpack_weights: Literal["auto", "always", "never"] = "auto"
    """vllm, nf4: rolls out with a 16-bit copy of the 4-bit weights, dropped before training. auto: where it fits."""
    head_dtype: Literal["auto", "float32"] = "auto"
    """vllm: type of the logits. auto: as in training, float32 on a GPU and the model's own type on a CPU."""
    cuda_graphs: bool = True
    """vllm: replays recorded decode steps. Without, it starts sooner and decodes slower."""
    compile: bool = False
    """vllm: has torch.compile fuse the model as well, which takes about a minute at the start."""
    script: Texts = ()
    """scripted: what it answers, in turn."""


class SentinelsConfig(Section):
    """Checks that the run really learns and really samples from what it learned; each can stop it at step 1."""

    enabled: bool = True
    """`false` leaves them all out."""
    canary_tokens: int = Field(8, ge=1)
    """Length of the answer to a fixed prompt whose log-probabilities engine and trainer compare after each update."""
    max_logp_gap: float = Field(0.5, gt=0.0)
    """The run stops when engine and trainer are further apart on a token of that answer, in nats."""


class RunConfig(Section):
    """A whole run."""

    name: str = "run"
    """Name of the run's folder; from the command line, the configuration file's own name."""
    output_dir: str = "runs"
    """Where run folders are made."""
    seed: int = Field(42, ge=0)
    """Of everything: order of the data, sampling, the adapter's start."""
    plugins: Texts = ()
    """Distributions that this run trusts. No other plugin is imported."""
    plugin_files: Texts = ()
    """Local Python files that are plugins of this run."""
    model: ModelConfig
    lora: LoraConfig = LoraConfig()
    data: DataConfig
    format: FormatConfig = FormatConfig()
    rewards: dict[str, RewardConfig] = Field(min_length=1)
    length: LengthConfig | None = None
    stack: StackConfig = StackConfig()
    eval: EvalConfig | None = None
    probes: ProbesConfig = ProbesConfig()
    train: TrainConfig = TrainConfig()
    engine: EngineConfig = EngineConfig()
    sentinels: SentinelsConfig = SentinelsConfig()

    @model_validator(mode="after")
    def _parts_fit(self) -> RunConfig:
        problems = cross_problems(self)
        if problems:
            raise ValueError("\n".join(problems))
        return self
