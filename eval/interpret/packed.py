"""Rows laid end to end, each a prompt from the first token on that differs from a plain run.

No token is computed that is as in the plain run, so rows are of unlike length; what a layer does to single tokens needs
no rows at all. Self-attention goes by blocks of rows: the tokens of a block look at the keys of the plain run and at
those of the whole block in one fused call, behind a mask that lets each see what precedes its row, and its own row. So
keys of the plain run meet the queries of many rows in one product, and no weights are stored.

Shapes as in ``eval.interpret.stack``; N tokens of all rows, n of a block, P of the plain run before a block's rows.
"""

from collections.abc import Iterator, Sequence
from itertools import accumulate

import torch
from torch import Tensor, nn

from eval.interpret.sites import Block
from eval.interpret.stack import repeated

TOKENS = 256
"""Tokens of a block. More make larger products, and more keys that are masked; a longer row is a block by itself."""


class Rows:
    """Where the tokens of all rows are.

    Args:
        firsts: position of the first token of each row.
        length: tokens of the whole prompt; every row goes on to the last.
        device: of the tensors.

    Attributes:
        starts: number of tokens before each row, and of all.
        row_N: whose each token is.
        place_N: its position in the prompt.
    """

    def __init__(self, firsts: Sequence[int], length: int, device: torch.device) -> None:
        self.firsts = tuple(firsts)
        self.starts = (0, *accumulate(length - first for first in firsts))
        owners = [row for row, first in enumerate(firsts) for _ in range(first, length)]
        places = [place for first in firsts for place in range(first, length)]
        self.row_N, self.place_N = torch.tensor(owners, device=device), torch.tensor(places, device=device)

    def index(self, row: int, place: int) -> int:
        """Return the number of a row's token among all."""
        return self.starts[row] + place - self.firsts[row]

    def blocks(self, count: int) -> Iterator[range]:
        """Yield the rows of each block, of the first ``count`` rows."""
        begin = 0
        for row in range(count):
            if row + 1 == count or self.starts[row + 2] - self.starts[begin] > TOKENS:
                yield range(begin, row + 1)
                begin = row + 1


class Packed:
    """Attention of rows, laid end to end, to a plain run's tokens before each of them and to their own.

    Args:
        rows: where the tokens are.
        count: so many of the rows attend; of the others there are no tokens yet.
        key_TGd: keys of the plain run.
        value_TGd: its values.
        causal: whether a token sees earlier ones only; if not, all rows are whole prompts.
        cuts: attention that is cut off, and in which row.
    """

    def __init__(
        self,
        rows: Rows,
        count: int,
        key_TGd: Tensor,
        value_TGd: Tensor,
        causal: bool,
        cuts: Sequence[tuple[int, Block]] = (),
    ) -> None:
        self.rows, self.count, self.causal, self.cuts = rows, count, causal, cuts
        self.key_1GTd, self.value_1GTd = (part.transpose(0, 1)[None] for part in (key_TGd, value_TGd))

    def __call__(self, query_RHSd: Tensor, key_RGSd: Tensor, value_RGSd: Tensor, scaling: float) -> Tensor:
        """Return what the heads gather, (1, N, H, d); R is 1 and S is N."""
        gathered = []
        for block in self.rows.blocks(self.count):
            own, before = self._extent(block)
            key_1GKd = torch.cat([self.key_1GTd[:, :, :before], key_RGSd[:, :, own]], dim=2)
            value_1GKd = torch.cat([self.value_1GTd[:, :, :before], value_RGSd[:, :, own]], dim=2)
            z_1Hnd = nn.functional.scaled_dot_product_attention(
                query_RHSd[:, :, own],
                repeated(key_1GKd, query_RHSd),
                repeated(value_1GKd, query_RHSd),
                attn_mask=self._seen(block, query_RHSd.shape[1])[None],
                scale=scaling,
            )
            gathered.append(z_1Hnd.transpose(1, 2))
        return torch.cat(gathered, dim=1)

    def _extent(self, block: range) -> tuple[slice, int]:
        """Return the tokens of a block, and P."""
        own = slice(self.rows.starts[block.start], self.rows.starts[block.stop])
        return own, max(self.rows.firsts[block.start : block.stop])

    def _seen(self, block: range, heads: int) -> Tensor:
        """Return what the tokens of a block see, (1 or H, n, P + n): of the plain run, and of the block."""
        own, before = self._extent(block)
        row_n, place_n = self.rows.row_N[own], self.rows.place_N[own]
        first_n = place_n.new_tensor(self.rows.firsts)[row_n]
        earlier_nP = torch.arange(before, device=place_n.device) < first_n[:, None]
        own_nn = row_n[:, None] == row_n
        if self.causal:
            own_nn &= place_n <= place_n[:, None]
        seen_1nK = torch.cat([earlier_nP, own_nn], dim=1)[None]
        cuts = [(row, cut) for row, cut in self.cuts if row in block]
        if not cuts:
            return seen_1nK
        seen_HnK = seen_1nK.repeat(heads, 1, 1)
        for row, cut in cuts:
            start = self.rows.index(row, 0) - own.start  # of what would be the prompt's first token
            looking = torch.tensor(cut.positions) + start
            hidden = torch.tensor(
                [place if place < self.rows.firsts[row] else before + start + place for place in cut.hidden]
            )
            chosen = torch.tensor(cut.heads or range(heads))
            seen_HnK[chosen[:, None, None], looking[:, None], hidden] = False
        itself = torch.arange(len(row_n), device=row_n.device)
        seen_HnK[:, itself, before + itself] = True
        return seen_HnK
