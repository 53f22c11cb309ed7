"""Every loss once more, token by token in plain Python floats, as its paper writes it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from lydite.objective import LossInputs, LossSettings

CLIPPED = ("grpo", "bnpo", "dr_grpo", "dapo", "luspo")


@dataclass
class Token:
    """One token of the loss, in the order of its completion."""

    logp: float
    old: float
    sampler: float
    advantage: float
    away: float
    """ref - logp."""
    weight: float
    entropy: float
    ratio: float = 0.0
    """Of the level."""
    loss: float = 0.0
    kl: float = 0.0
    low: bool = False
    high: bool = False


def loop(name: str, inputs: LossInputs, settings: LossSettings) -> tuple[float, dict[str, float]]:
    """The loss of a whole update, and its figures."""
    if name in ("vespo", "dppo"):  # they have no level
        settings = replace(settings, importance_sampling_level="token")
    rows = _rows(inputs, settings)
    phis = []
    for row in rows:
        if name == "vespo":
            phis += _vespo(row, settings)[: 1 if inputs.advantages.dim() == 1 else None]
        for token in row:
            if name in CLIPPED:
                _clipped(token, settings)
            elif name == "cispo":
                highest = 5.0 if settings.epsilon_high is None else settings.epsilon_high
                token.loss = -min(token.ratio, highest) * token.advantage * token.logp
                token.high = token.ratio > highest and token.advantage > 0
            elif name == "sapo":
                t = settings.sapo_temperature_pos if token.advantage > 0 else settings.sapo_temperature_neg
                token.loss = -4 / t / (1 + math.exp(-t * (token.ratio - 1))) * token.advantage
            elif name == "dppo":
                _dppo(token, settings)
            token.kl = _kl(token, settings)
    kept = _kept(rows, settings)
    for token in (token for row in rows for token in row):
        token.loss *= (token.entropy >= kept) * (1.0 if name == "vespo" else token.weight)
        token.loss += settings.beta * token.kl
    loss = _average(name, rows, inputs)
    forks = [token.entropy for row in rows for token in row if token.entropy >= kept]
    loss -= settings.entropy_coef * sum(forks) / max(len(forks), 1)
    return loss, _figures(name, rows, phis, settings)


def _rows(inputs: LossInputs, settings: LossSettings) -> list[list[Token]]:
    assert inputs.ref_logps is not None
    assert inputs.entropy is not None
    rows = []
    for row in range(inputs.mask.shape[0]):
        tokens = []
        for t in range(inputs.mask.shape[1]):
            if not inputs.mask[row, t]:
                continue
            advantage = inputs.advantages[row] if inputs.advantages.dim() == 1 else inputs.advantages[row, t]
            logp, old = inputs.logps[row, t].item(), inputs.old_logps[row, t].item()
            sampler = old if inputs.sampler_logps is None else inputs.sampler_logps[row, t].item()
            weight = 1.0 if inputs.importance_weights is None else inputs.importance_weights[row, t].item()
            tokens.append(
                Token(
                    logp=logp,
                    old=old,
                    sampler=old if math.isnan(sampler) else sampler,
                    advantage=advantage.item(),
                    away=inputs.ref_logps[row, t].item() - logp,
                    weight=weight,
                    entropy=inputs.entropy[row, t].item(),
                )
            )
        for token in tokens:
            logs = [token] if settings.importance_sampling_level == "token" else tokens
            token.ratio = math.exp(sum(one.logp - one.old for one in logs) / len(logs))
        rows.append(tokens)
    return rows


def _clipped(token: Token, settings: LossSettings) -> None:
    low = 1 - settings.epsilon
    high = 1 + (settings.epsilon if settings.epsilon_high is None else settings.epsilon_high)
    inside = min(max(token.ratio, low), high)
    outside = token.ratio if settings.delta is None else min(token.ratio, settings.delta)
    token.loss = -min(outside * token.advantage, inside * token.advantage)
    token.low = token.ratio < low and token.advantage < 0
    token.high = token.ratio > high and token.advantage > 0


def _vespo(row: Sequence[Token], settings: LossSettings) -> list[float]:
    if not row:
        return []
    log_w = sum(token.logp - token.old + math.log(max(token.weight, 1e-8)) for token in row)
    w = math.exp(max(log_w, math.log(1e-8)))
    phis = []
    for token in row:
        good = token.advantage >= 0
        k = settings.vespo_k_pos if good else settings.vespo_k_neg
        decay = settings.vespo_lambda_pos if good else settings.vespo_lambda_neg
        phis.append(math.exp(decay) * w**k * math.exp(-decay * w))
        token.loss = -phis[-1] * token.advantage * token.logp
    return phis


def _dppo(token: Token, settings: LossSettings) -> None:
    p, q = math.exp(token.logp), math.exp(token.sampler)
    distance = abs(p - q)
    if settings.dppo_divergence == "kl":
        distance = q * math.log(q / p) + (1 - q) * math.log(max(1 - q, 1e-8) / max(1 - p, 1e-8))
    token.low = token.advantage < 0 and p < q and distance > settings.dppo_mask_low
    token.high = token.advantage > 0 and p > q and distance > settings.dppo_mask_high
    token.loss = 0.0 if token.low or token.high else -math.exp(token.logp - token.old) * token.advantage


def _kl(token: Token, settings: LossSettings) -> float:
    away = token.away
    kl = {"k1": -away, "k2": away**2 / 2, "k3": math.exp(away) - away - 1}[settings.kl_estimator]
    return kl * token.ratio if settings.use_bias_correction_kl else kl


def _kept(rows: Sequence[Sequence[Token]], settings: LossSettings) -> float:
    """The entropy from which on tokens are kept: the quantile between two of them in proportion."""
    entropies = sorted(token.entropy for row in rows for token in row)
    if settings.top_entropy_quantile >= 1 or not entropies:
        return -math.inf
    place = (1 - settings.top_entropy_quantile) * (len(entropies) - 1)
    below, above = entropies[math.floor(place)], entropies[math.ceil(place)]
    return below + (above - below) * (place - math.floor(place))


def _average(name: str, rows: Sequence[Sequence[Token]], inputs: LossInputs) -> float:
    totals, sums = inputs.totals, [sum(token.loss for token in row) for row in rows]
    if name in ("grpo", "sapo"):
        return sum(one / max(len(row), 1) for one, row in zip(sums, rows, strict=True)) / totals.sequences
    divisors = {
        "bnpo": max(totals.tokens, 1),
        "dr_grpo": totals.sequences * totals.max_completion_length,
        "luspo": totals.sequences,
    }
    return sum(sums) / divisors.get(name, totals.mean_tokens or 1.0)


def _figures(
    name: str, rows: Sequence[Sequence[Token]], phis: Sequence[float], settings: LossSettings
) -> dict[str, float]:
    tokens = [token for row in rows for token in row]
    figures = {"entropy": _mean([token.entropy for token in tokens])}
    if settings.beta > 0:
        figures["kl"] = _mean([token.kl for token in tokens])
    if name == "vespo":
        return figures | {"vespo/phi_seq_mean": _mean(phis)}
    if name == "sapo":
        return figures
    # Where a ratio is a completion's, so is a clip.
    units = [row[:1] for row in rows] if settings.importance_sampling_level == "sequence" else rows
    lows = [[float(token.low) for token in row] for row in units if row]
    highs = [[float(token.high) for token in row] for row in units if row]
    low, high = (_mean([one for row in flags for one in row]) for flags in (lows, highs))
    if name == "cispo":
        return figures | {"cispo_clip_ratio": high}
    return figures | {
        "clip_ratio/low_mean": low,
        "clip_ratio/high_mean": high,
        "clip_ratio/region_mean": low + high,
        "clip_ratio/low_min": min(map(_mean, lows), default=0.0),
        "clip_ratio/high_max": max(map(_mean, highs), default=0.0),
    }


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
