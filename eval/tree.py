"""Many continuations of one picture over one cache of keys and values: a tree of tokens.

The tokens up to the end of the image are the trunk, computed once: before the first tokens that grow from it, or with
them where a single question does. Questions grow side by side in one forward pass, answers grow from questions, and so
on: a mask lets every token see its own ancestors only, and positions count along the branch. Nothing is copied per
question, as one query row per token is all that a branch adds; hidden states are those of separate rows, up to
rounding. (Training packs statements in the same way, ``training.collate``.)

What has been tried and is no longer needed is cut off again (``TokenTree.cut``).

Shapes: B trees (images), P columns of the trunk, K columns so far, M branches of a tree, T tokens that a branch grows,
D width.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache

from spatial.errors import CheckpointError


@dataclass(frozen=True)
class Trunk:
    """What all branches begin with, padded on the left.

    Attributes:
        embeds_BPD: embedded tokens, image features in their places.
        mask_BP: False at padding.
        positions_BP: of the tokens; (3, B, P) for a model whose positions have three parts.
        image_BP: True at image tokens.
    """

    embeds_BPD: Tensor
    mask_BP: Tensor
    positions_BP: Tensor
    image_BP: Tensor


@dataclass(frozen=True)
class Branches:
    """The tips of M branches of every tree.

    Attributes:
        seen_BMK: columns that the next token of a branch sees.
        next_BM: position of the next token.
    """

    seen_BMK: Tensor
    next_BM: Tensor

    def pick(self, index_BM: Tensor) -> "Branches":
        """Return the branches with these numbers, a number as often as it is given."""
        seen = self.seen_BMK.gather(1, index_BM[..., None].expand(-1, -1, self.seen_BMK.shape[-1]))
        return Branches(seen, self.next_BM.gather(1, index_BM))

    def repeated(self, times: int) -> "Branches":
        """Return every branch some times, one after the other."""
        return Branches(self.seen_BMK.repeat_interleave(times, dim=1), self.next_BM.repeat_interleave(times, dim=1))

    def without(self, column_BM: Tensor) -> "Branches":
        """Return the branches one token shorter: what grows from them does not see its column."""
        dropped_BM1 = self.seen_BMK.gather(2, column_BM[..., None])
        seen = self.seen_BMK.scatter(2, column_BM[..., None], False)
        return Branches(seen, self.next_BM - dropped_BM1[..., 0].long())


@dataclass(frozen=True)
class Repeated:
    """What comes of growing M branches and asking their last tokens again, each A times.

    Attributes:
        token_BM: ids of the last tokens.
        last_BMD: their hidden states.
        tips: of the branches.
        before: the branches without their last tokens.
        again_BND: hidden states of the repeated tokens, N = M * A, in the order of branches.
        again: the branches that end with these; ``tips`` where there are none.
    """

    token_BM: Tensor
    last_BMD: Tensor
    tips: Branches
    before: Branches
    again_BND: Tensor
    again: Branches


@dataclass(frozen=True)
class _Pass:
    """Tokens that go through the decoder together.

    Attributes:
        embeds_BTD: embedded.
        mask_BTK: which columns each sees; its own are the last T.
        positions_BT: (3, B, T) for a model whose positions have three parts.
    """

    embeds_BTD: Tensor
    mask_BTK: Tensor
    positions_BT: Tensor

    @classmethod
    def of(cls, trunk: Trunk) -> "_Pass":
        width, device = trunk.mask_BP.shape[1], trunk.mask_BP.device
        causal = torch.ones(width, width, dtype=torch.bool, device=device).tril()
        itself = torch.eye(width, dtype=torch.bool, device=device)  # padding sees itself: no empty softmax
        return cls(trunk.embeds_BPD, (causal & trunk.mask_BP[:, None]) | itself, trunk.positions_BP)

    def then(self, grown: "_Pass") -> "_Pass":
        """Return one pass of these tokens and of what grows from them."""
        mask_BTK = nn.functional.pad(self.mask_BTK, (0, grown.mask_BTK.shape[-1] - self.mask_BTK.shape[-1]))
        return _Pass(
            torch.cat([self.embeds_BTD, grown.embeds_BTD], dim=1),
            torch.cat([mask_BTK, grown.mask_BTK], dim=1),
            torch.cat([self.positions_BT, grown.positions_BT], dim=-1),
        )


class TokenTree:
    """Trees of equally many branches, one for each image of a batch.

    Args:
        decoder: a causal decoder of Transformers, which takes a boolean mask of four dimensions.
        trunk: what all branches begin with.
    """

    def __init__(self, decoder: nn.Module, trunk: Trunk) -> None:
        self.decoder: Any = decoder
        self.image_BP = trunk.image_BP
        self.cache: Any = DynamicCache()  # one that knows no window: it would forget what other branches need
        self._waiting: Trunk | None = trunk
        width = trunk.mask_BP.shape[1]
        self.columns = width
        self._parts = trunk.positions_BP.shape[0] if trunk.positions_BP.ndim == 3 else 0
        last = trunk.positions_BP.amax(dim=(0, 2) if self._parts else 1)
        self.root = Branches(trunk.mask_BP[:, None].bool(), last[:, None] + 1)

    def plant(self) -> None:
        """Run the trunk by itself, if it has not been run; otherwise it runs with the first tokens that grow."""
        if self._waiting is not None:
            self._decoded(_Pass.of(self._waiting))
            self._waiting = None

    def grow(
        self, parents: Branches, ids_BMT: Tensor, real_BMT: Tensor | None = None, **options: Any
    ) -> tuple[Any, Branches]:
        """Append T tokens to each of M branches.

        Args:
            parents: as many as there are rows of tokens.
            ids_BMT: token ids, padded on the right.
            real_BMT: False at padding; all are real by default.
            options: for the decoder, such as ``output_hidden_states``.

        Returns:
            The decoder's output, whose hidden states are (B, M * T, D), and the branches with their new tips.
        """
        if ids_BMT.shape[1] > 1 or options:
            self.plant()
        grown, tips = self._planned(parents, ids_BMT, real_BMT)
        return self._run(grown, **options), tips

    def grow_and_repeat(self, parents: Branches, ids_BMT: Tensor, real_BMT: Tensor, times: int) -> "Repeated":
        """Append T tokens to each of M branches, and beside the last one that is real the same one again, some times.

        All of it is one forward pass, in which the repeated tokens are the last M * ``times`` queries; with the trunk,
        if that has not been planted.
        """
        last_BM = (real_BMT.sum(-1) - 1).clamp(min=0)
        places_BM = torch.arange(ids_BMT.shape[1], device=ids_BMT.device) * ids_BMT.shape[-1] + last_BM
        token_BM1 = ids_BMT.gather(-1, last_BM[..., None])
        columns_BM, count = self.columns + places_BM, ids_BMT[0].numel()
        grown, tips = self._planned(parents, ids_BMT, real_BMT)
        before, again = tips.without(columns_BM), tips
        if times:
            copies, again = self._planned(before.repeated(times), token_BM1.repeat_interleave(times, dim=1))
            grown = grown.then(copies)
        hidden_BTD = self._run(grown).last_hidden_state
        last_BMD = hidden_BTD.gather(1, places_BM[..., None].expand(-1, -1, hidden_BTD.shape[-1]))
        return Repeated(token_BM1[..., 0], last_BMD, tips, before, hidden_BTD[:, count:], again)

    def cut(self, columns: int) -> None:
        """Forget all columns from this one on; branches that saw them must not grow again."""
        if columns < self.columns:
            self.cache.crop(columns - self.columns)
            self.columns = columns

    def _planned(self, parents: Branches, ids_BMT: Tensor, real_BMT: Tensor | None = None) -> "tuple[_Pass, Branches]":
        """Return what appends tokens to branches when it is run, and their tips; columns are counted as if it were."""
        _, branches, length = ids_BMT.shape
        real = torch.ones_like(ids_BMT, dtype=torch.bool) if real_BMT is None else real_BMT
        steps = torch.arange(length, device=ids_BMT.device)
        positions = (parents.next_BM[..., None] + steps).flatten(1)
        grown = _Pass(
            self.decoder.get_input_embeddings()(ids_BMT.flatten(1)),
            self._mask(parents, real),
            positions.expand(self._parts, -1, -1) if self._parts else positions,
        )
        own = _own_columns(branches, length, ids_BMT.device) & real.flatten(1)[:, None]
        earlier = _widened(parents.seen_BMK, self.columns)
        self.columns += branches * length
        return grown, Branches(torch.cat([earlier, own], dim=-1), parents.next_BM + real.sum(-1))

    def _run(self, tokens: "_Pass", **options: Any) -> Any:
        if self._waiting is None:
            return self._decoded(tokens, **options)
        trunk, self._waiting = _Pass.of(self._waiting), None
        output = self._decoded(trunk.then(tokens))
        output.last_hidden_state = output.last_hidden_state[:, trunk.embeds_BTD.shape[1] :]
        return output

    def _decoded(self, tokens: "_Pass", **options: Any) -> Any:
        return self.decoder(
            inputs_embeds=tokens.embeds_BTD,
            attention_mask=tokens.mask_BTK[:, None],
            position_ids=tokens.positions_BT,
            past_key_values=self.cache,
            use_cache=True,
            **options,
        )

    def _mask(self, parents: Branches, real_BMT: Tensor) -> Tensor:
        """Return (B, M * T, K + M * T): a token sees what its branch has seen, and its own branch up to itself."""
        _, branches, length = real_BMT.shape
        device = real_BMT.device
        total = branches * length
        causal = _own_columns(branches, length, device).repeat_interleave(length, dim=0)
        causal = causal & torch.ones(total, total, dtype=torch.bool, device=device).tril()
        own = (causal & real_BMT.flatten(1)[:, None]) | torch.eye(total, dtype=torch.bool, device=device)
        earlier = _widened(parents.seen_BMK, self.columns).repeat_interleave(length, dim=1)
        return torch.cat([earlier, own], dim=-1)


def check_decoder(decoder: Any) -> None:
    """Make sure that what a token sees is decided by the mask alone, and by a plain softmax.

    Raises:
        CheckpointError: the decoder reads no boolean mask, forgets what is far away, or bends logits on their way.
    """
    config, name = decoder.config, type(decoder).__name__
    greatest = getattr(config, "max_position_embeddings", None)
    window = getattr(config, "sliding_window", None)
    kinds = set(getattr(config, "layer_types", None) or []) - {"full_attention", "sliding_attention"}
    capped = [key for key in ("attn_logit_softcapping", "final_logit_softcapping") if getattr(config, key, None)]
    why = ""
    if kinds:
        why = f"has layers of {', '.join(sorted(kinds))}, which cannot read several questions behind one image"
    elif capped:
        why = f"bends its logits ({', '.join(capped)}), which is not done here"
    elif window and (greatest is None or window < greatest):
        why = f"sees {window} tokens back; where prompts are shorter, set sliding_window to null in config.json"
    elif config._attn_implementation != "sdpa":
        why = f"attends by {config._attn_implementation!r}, and the masks of a shared trunk are written for 'sdpa'"
    if why:
        raise CheckpointError(f"{name} cannot be evaluated: it {why}")


def _own_columns(branches: int, length: int, device: torch.device) -> Tensor:
    """Return (M, M * T): which of the new columns are a branch's own."""
    return torch.eye(branches, dtype=torch.bool, device=device).repeat_interleave(length, dim=1)


def _widened(seen_BMK: Tensor, columns: int) -> Tensor:
    """Return what was seen, with False for the columns of other branches that came later."""
    return nn.functional.pad(seen_BMK, (0, columns - seen_BMK.shape[-1]))
