"""Which tokens are the forks: those whose distribution has the highest entropy of an update.

Source: Wang et al. 2025, "Beyond the 80/20 rule: high-entropy minority tokens drive effective reinforcement learning"
(arXiv 2506.01939), which trains on the top fifth.
"""

from __future__ import annotations

from torch import Tensor


def entropy_threshold(entropies: Tensor, top_quantile: float) -> float:
    """The entropy from which on a token belongs to the share `top_quantile` of the highest; inf where there is none.

    `entropies` [n] are those of an update's tokens. 0 keeps the highest alone, 1 all; in between two tokens the
    threshold is interpolated, as TRL 1.16 does.
    """
    if not entropies.numel():
        return float("inf")
    ordered = entropies.detach().sort().values  # not torch.quantile, which takes 2^24 numbers at most
    place = (1.0 - top_quantile) * (ordered.numel() - 1)
    below = int(place)
    above = min(below + 1, ordered.numel() - 1)
    return float(ordered[below].lerp(ordered[above], place - below))
