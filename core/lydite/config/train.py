"""The optimisation."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from lydite.config.objective_checks import objective_problems, with_matching_defaults
from lydite.config.section import Section


class TrainConfig(Section):
    """The optimisation. TRL's names."""

    max_steps: int = Field(100, ge=1)
    """Steps; one step samples once and then makes all its updates."""
    num_generations: int = Field(8, ge=1)
    """Completions of one prompt (G); at least two where each is measured against the others, which ppo does not do."""
    per_device_train_batch_size: int = Field(8, ge=1)
    """Completions in one forward pass."""
    gradient_accumulation_steps: int = Field(1, ge=1)
    """Forward passes that make one update; of all processes together, where a run has several."""
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
    loss_type: Literal["grpo", "bnpo", "dr_grpo", "dapo", "luspo", "cispo", "sapo", "vespo", "dppo"] = "dapo"
    """grpo, bnpo, dr_grpo, dapo, luspo: the clipped ratio, averaged over sequences, a batch's tokens, a constant, all
    tokens of an update, or summed in each sequence. cispo: the ratio as a cut weight. sapo: a soft gate. vespo: a
    gamma-shaped weight of the sequence. dppo: leaves out tokens whose probability moved too far."""
    importance_sampling_level: Literal["token", "sequence", "sequence_token"] = "token"
    """What has a probability ratio: each token, or the completion (GSPO). sequence_token: the completion's, with each
    token's own gradient (GSPO-token). With luspo the default is "sequence"."""
    advantage_estimator: Literal[
        "group", "leave_one_out", "reinforce_plus_plus", "reinforce_plus_plus_baseline", "pass_at_k"
    ] = "group"
    """What a reward is measured against: its group's mean, the mean of the others of the group (RLOO), the step's
    mean (REINFORCE++; baseline: after the group's), or the chance that a choice of k has a pass."""
    scale_rewards: Literal["group", "batch", "none"] = "group"
    """What a reward's distance from its group's mean is divided by.

    With advantage_estimator = "leave_one_out" the default is "none", with those of REINFORCE++ "batch"."""
    pass_at_k: int = Field(4, ge=1)
    """k of advantage_estimator = "pass_at_k"."""
    pass_reward: float = 1.0
    """The reward from which on a completion is a pass, for advantage_estimator = "pass_at_k"."""
    beta: float = Field(0.0, ge=0.0)
    """Weight of the KL against the model without its adapter; 0 leaves the reference out."""
    use_kl_in_reward: bool = False
    """Takes that KL, summed over a completion's tokens, off its reward before the advantages are made; false: the KL
    of each token is a term of the loss."""
    kl_estimator: Literal["k1", "k2", "k3"] = "k3"
    """How that KL is estimated from a token: d = logp - ref, d^2 / 2, or exp(-d) - 1 + d.

    With use_kl_in_reward = true the default is "k1"."""
    use_bias_correction_kl: bool = True
    """Multiplies the KL term of the loss by the probability ratio, so that its gradient is unbiased; false: the GRPO
    paper."""
    epsilon: float = Field(0.2, gt=0.0)
    """Lower clip of the probability ratio."""
    epsilon_high: float | None = Field(None, gt=0.0)
    """Upper clip; None: as epsilon. In cispo it is the largest ratio itself; None: 5."""
    delta: float | None = Field(None, gt=1.0)
    """Two-sided clipping: a ceiling on the ratio where the advantage is negative."""
    sapo_temperature_pos: float = Field(1.0, gt=0.0)
    """sapo: how fast the gate closes where the advantage is positive."""
    sapo_temperature_neg: float = Field(1.05, gt=0.0)
    """sapo: how fast it closes elsewhere."""
    vespo_k_pos: float = Field(2.0, ge=0.0)
    """vespo: power of the sequence's ratio where the advantage is not negative; larger: small ratios count for less."""
    vespo_lambda_pos: float = Field(3.0, ge=0.0)
    """vespo: decay there; larger: large ratios count for less."""
    vespo_k_neg: float = Field(3.0, ge=0.0)
    """vespo: the same power where the advantage is negative."""
    vespo_lambda_neg: float = Field(2.0, ge=0.0)
    """vespo: the same decay there."""
    dppo_divergence: Literal["tv", "kl"] = "tv"
    """dppo: how far a token's probability has moved: the difference, or the KL of "this token or another"."""
    dppo_mask_low: float = Field(0.2, ge=0.0)
    """dppo: leaves out a token of negative advantage that is further down than this."""
    dppo_mask_high: float = Field(0.2, ge=0.0)
    """dppo: leaves out a token of positive advantage that is further up than this."""
    entropy_coef: float = Field(0.0, ge=0.0)
    """Weight of an entropy bonus, the mean of the tokens' entropies in nats, the same for every loss."""
    top_entropy_quantile: float = Field(1.0, ge=0.0, le=1.0)
    """Trains on this share of an update's tokens, those of the highest entropy; below 1 for one more forward pass."""
    vllm_importance_sampling_correction: bool = True
    """Weighs tokens by how likely the trainer finds them against the engine that sampled them, whatever the engine."""
    vllm_importance_sampling_mode: Literal[
        "token_truncate",
        "token_mask",
        "sequence_truncate",
        "sequence_mask",
        "geometric_truncate",
        "geometric_mask",
    ] = "token_truncate"
    """Of each token, of the whole completion, or its geometric mean over the completion's tokens; a weight beyond the
    limits is cut to them, or made 0.

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
    cuda_graphs: bool = False
    """Records a layer's forward and backward pass once and replays it for every micro-batch, where a small model's
    passes wait for the host that launches them. For adapters on a GPU in 16 bit, without windows or bounded scores.

    It takes gradient_checkpointing = true, share_prompts = true, and micro_batch_tokens, to which passes are filled."""
    share_prompts: bool = True
    """Trains completions behind one copy of their prompt, where the architecture allows: the same numbers, faster."""
    logprob_chunk_size: int = Field(1024, ge=1)
    """Tokens whose logits exist at once, at most; fewer where a tile of so many times V would be large."""
    save_steps: int = Field(10, ge=1)
    """Steps between checkpoints; the last step always has one."""
    save_total_limit: int = Field(2, ge=1)
    """Checkpoints that are kept besides the best."""

    @property
    def loss_beta(self) -> float:
        """Weight of the KL term in the loss: `beta`, or 0 where that is taken off the rewards."""
        return 0.0 if self.use_kl_in_reward else self.beta

    @property
    def generation_batch_size(self) -> int:
        """Completions in a step (B)."""
        return self.per_device_train_batch_size * (self.steps_per_generation or self.gradient_accumulation_steps)

    @property
    def update_batch_size(self) -> int:
        """Completions of one update."""
        return self.per_device_train_batch_size * self.gradient_accumulation_steps

    @property
    def prompts_per_step(self) -> int:
        """Prompts in a step (P)."""
        return self.generation_batch_size // self.num_generations

    @property
    def updates_per_step(self) -> int:
        """Optimiser updates in a step."""
        passes = self.steps_per_generation or self.gradient_accumulation_steps
        return self.num_iterations * (passes // self.gradient_accumulation_steps)

    @model_validator(mode="before")
    @classmethod
    def _defaults_go_together(cls, given: Any) -> Any:
        return with_matching_defaults(given) if isinstance(given, dict) else given

    @model_validator(mode="after")
    def _objective_fits(self) -> TrainConfig:
        problems = objective_problems(self)
        if problems:
            raise ValueError("\n".join(problems))
        return self

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
    def _what_is_recorded_has_one_size(self) -> TrainConfig:
        lacking = [
            words
            for words, given in (
                ("gradient_checkpointing = true", self.gradient_checkpointing is True),
                ("micro_batch_tokens, such as 4096", self.micro_batch_tokens is not None),
                ("share_prompts = true", self.share_prompts),
            )
            if not given
        ]
        if self.cuda_graphs and lacking:
            raise ValueError(
                "cuda_graphs = true replays layers that are computed again, in packed passes that are filled up to one "
                f"size; set {' and '.join(lacking)}"
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
