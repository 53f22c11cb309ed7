"""Drawing of tokens inside vLLM: the numbers and the search are those of the engine `hf`.

vLLM's own seeded sampling draws a vocabulary of random numbers for each request by itself, and returns
log-probabilities as Python objects, one a token. Here one uniform number decides a token, all rows at once, and
log-probabilities stay on the device until the batch is done. vLLM is told to be greedy, and the drawn token is
made the greatest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor

from lydite.policy.sampler import Draw, draw_tokens

if TYPE_CHECKING:
    from collections.abc import Sequence

ROW: Final = "lydite_row"  # key of a request's extra arguments: its row in the table


class DrawTable:
    """What the requests of one batch draw with, and the log-probabilities that they drew with."""

    def __init__(self, draw: Draw, uniform: Tensor | None, limits: Sequence[int], device: torch.device) -> None:
        """`limits`: tokens of each row at most. `uniform` [rows, tokens] in float64; None: the likeliest is taken."""
        self.draw = draw
        self.limits = limits
        self.ahead = 0
        """Steps that vLLM does not know of yet; see `lydite.rollout.vllm.bursts`."""
        self.left = 0
        """Tokens that the longest completion under way may still have, from the last step that vLLM knows of."""
        self._uniform = None if uniform is None else uniform.to(device)
        # One column more than there are tokens, for what is drawn behind a completion's end.
        self._logps = torch.zeros(len(limits), max(limits, default=0) + 1, dtype=torch.float32, device=device)

    @property
    def logps(self) -> Tensor:
        """[rows, tokens], filled as tokens are drawn."""
        return self._logps[:, :-1]

    def tokens(self, logits: Tensor, rows: Tensor, places: Tensor) -> Tensor:
        """Tokens [n] for logits [n, V], drawn by these rows [n] at these places [n] in their completions."""
        places = places.clamp(max=self._logps.shape[1] - 1)
        if self._uniform is None:
            uniform = logits.new_zeros(len(rows), dtype=torch.float64)
        else:
            uniform = self._uniform[rows, places.clamp(max=self._uniform.shape[1] - 1)]
        token, logp = draw_tokens(logits, uniform, self.draw)
        self._logps[rows, places] = logp
        return token


class Drawer:
    """Follows vLLM's batch from step to step, and draws for it. vLLM makes one a model; see `logits_processor`."""

    table: DrawTable | None = None
    """That of the batch under way. On the class, since vLLM keeps its processors to itself."""

    def __init__(self) -> None:
        self._rows: dict[int, tuple[int, Sequence[int]]] = {}
        self._last = torch.empty(2, 0, dtype=torch.int64)

    def update(self, change: Any) -> None:
        """Takes note of requests that came, went and moved, in the order that vLLM prescribes."""
        if change is None:
            return
        for index in change.removed:
            self._rows.pop(index, None)
        for index, params, _, made in change.added:
            self._rows[index] = ((params.extra_args or {}).get(ROW, -1), made)
        for first, second, direction in change.moved:
            one, other = self._rows.pop(first, None), self._rows.pop(second, None)
            if one is not None:
                self._rows[second] = one
            if other is not None and direction.name == "SWAP":
                self._rows[first] = other

    def apply(self, logits: Tensor) -> Tensor:
        """The logits [n, V], with the drawn token of each row made the greatest."""
        table = self.table
        if table is None:
            return logits
        if not table.ahead:
            self._last = self._known(table, logits)
        rows, places = self._last
        token = table.tokens(logits, rows, places + table.ahead)
        return logits.scatter_(1, token[:, None], float("inf"))

    def _known(self, table: DrawTable, logits: Tensor) -> Tensor:
        """The row of each sequence and its place there, [2, n], by what vLLM has noted."""
        own = [self._rows[index] for index in range(logits.shape[0])]
        table.left = max(table.limits[row] - len(made) for row, made in own)
        # A prompt that is read in pieces draws tokens that vLLM throws away; the last draw is the one that counts.
        where = torch.tensor([[row for row, _ in own], [len(made) for _, made in own]])
        if logits.is_cuda:
            where = where.pin_memory()
        return where.to(logits.device, non_blocking=True)


def logits_processor() -> type[Any]:
    """A class that vLLM takes among its logits processors."""
    from vllm.v1.sample.logits_processor import LogitsProcessor

    class LyditeDraw(LogitsProcessor):  # type: ignore[misc]
        """Adapts `Drawer` to vLLM's interface."""

        def __init__(self, vllm_config: Any, device: Any, is_pin_memory: bool) -> None:
            self._drawer = Drawer()

        def is_argmax_invariant(self) -> bool:
            return False

        def update_state(self, batch_update: Any) -> None:
            self._drawer.update(batch_update)

        def apply(self, logits: Tensor) -> Tensor:
            return self._drawer.apply(logits)

    return LyditeDraw
