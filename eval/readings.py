"""What each reading says after a question, and after whatever tokens follow it.

The plain model's answer comes from growing all of a question. A changed one comes from growing its last token again,
beside the first time, from the same cache; those of one rule in the very pass that grows the questions.

Shapes: B images, M questions of each, T tokens, V vocabulary, D width, R strengths of one rule.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor

from eval.attention import changed_image_attention
from eval.decoders import Dola, Reading, Vcd
from eval.tree import Branches, Repeated, TokenTree
from spatial.errors import CheckpointError


class Reader:
    """Grows questions from the trunk of every image kind, and knows the states of the last prompt token.

    Args:
        model: with ``get_output_embeddings``.
        trees: by kind of image, one trunk each.
        ids_BMT: tokens of the questions after the image, padded on the right.
        real_BMT: False at padding.
        readings: what will be asked; the changed readings of one rule are then made in the same pass as the questions.
    """

    def __init__(
        self,
        model: Any,
        trees: Mapping[str, TokenTree],
        ids_BMT: Tensor,
        real_BMT: Tensor,
        readings: Sequence[Reading] = (),
    ) -> None:
        self.head = model.get_output_embeddings()
        self.trees = trees
        self.shape = ids_BMT.shape[:2]
        self._rule = next((reading.rule for reading in readings if reading.rule), "")
        factors = [reading.factor for reading in readings if reading.rule == self._rule] if self._rule else []
        self._asked: dict[str, Repeated] = {}
        for kind, tree in trees.items():
            parents = tree.root.pick(torch.zeros(self.shape, dtype=torch.long, device=ids_BMT.device))
            here = factors if kind == "image" else []
            if self.shape[1] > 1:
                tree.plant()  # before attention changes, and not under the wide mask of many questions
            with self.attending(kind, here * self.shape[1], self._rule if here else ""):
                self._asked[kind] = tree.grow_and_repeat(parents, ids_BMT, real_BMT, len(here))

    def cut(self, columns: Mapping[str, int]) -> None:
        """Forget, in every tree, all columns from one on."""
        for kind, tree in self.trees.items():
            tree.cut(columns[kind])

    def logprobs(self, hidden: Tensor) -> Tensor:
        """Return log-probabilities of the next token, in float32."""
        return self.head(hidden).float().log_softmax(-1)

    def plainly(self, kind: str) -> tuple[Tensor, Branches]:
        """Return the last hidden state (B, M, D) of every question as it is, and where its answer grows."""
        asked = self._asked[kind]
        return asked.last_BMD, asked.tips

    def changed(self, factors: Sequence[float], rule: str) -> tuple[Tensor, Branches]:
        """Return last hidden states (B, M * R, D) of the questions about the picture as a rule changes them, and tips.

        Args:
            factors: R, of all readings of the rule.
            rule: a name of ``eval.attention.RULES``.
        """
        if rule == self._rule:
            return self._asked["image"].again_BND, self._asked["image"].again
        output, tips = self.ask("image", factors, rule)
        return output.last_hidden_state, tips

    def ask(self, kind: str, factors: Sequence[float] = (), rule: str = "", **options: Any) -> tuple[Any, Branches]:
        """Grow the last prompt token again, once for each factor of a rule; (B, M * R, D) in the order of questions."""
        count = max(1, len(factors))
        asked = self._asked[kind]
        token_BM1 = asked.token_BM.repeat_interleave(count, dim=1)[..., None]
        with self.attending(kind, list(factors) * self.shape[1], rule):
            return self.trees[kind].grow(asked.before.repeated(count), token_BM1, **options)

    def attending(self, kind: str, factors: Sequence[float], rule: str) -> AbstractContextManager[None]:
        """Return the context in which the queries attend by a rule, each with its factor."""
        if not rule:
            return nullcontext()
        tree = self.trees[kind]
        factor = torch.tensor(factors, device=tree.image_BP.device).expand(self.shape[0], -1)
        return changed_image_attention(tree.decoder, rule, tree.image_BP, factor)


class Leaf:
    """One reading at the end of every question.

    Args:
        reader: of the questions.
        reading: what is read.
        tips: by kind of image, the branches that end with the last prompt token.
        first_BMV: log-probabilities of the first token of the answer.
    """

    def __init__(self, reader: Reader, reading: Any, tips: Mapping[str, Branches], first_BMV: Tensor) -> None:
        self.reader, self.reading, self.tips, self.first_BMV = reader, reading, dict(tips), first_BMV
        self._columns = {kind: reader.trees[kind].columns for kind in tips}

    def follow(self, ids_BMT: Tensor, real_BMT: Tensor) -> Tensor:
        """Return log-probabilities (B, M, T, V) after each of some tokens, which are then forgotten."""
        found, _ = self._grow(ids_BMT, real_BMT)
        self.forget()
        return found

    def step(self, token_BM: Tensor) -> Tensor:
        """Append a token to each answer and return log-probabilities (B, M, V) of the next."""
        token_BMT = token_BM[..., None]
        found, self.tips = self._grow(token_BMT, torch.ones_like(token_BMT, dtype=torch.bool))
        return found[:, :, 0]

    def forget(self) -> None:
        """Cut off what has been grown since the last prompt token."""
        for kind, columns in self._columns.items():
            self.reader.trees[kind].cut(columns)

    def _grow(self, ids_BMT: Tensor, real_BMT: Tensor) -> tuple[Tensor, dict[str, Branches]]:
        output, tips = self._grown("image", ids_BMT, real_BMT)
        return self.reader.logprobs(output.last_hidden_state).unflatten(1, ids_BMT.shape[1:]), {"image": tips}

    def _grown(self, kind: str, ids_BMT: Tensor, real_BMT: Tensor, **options: Any) -> tuple[Any, Branches]:
        return self.reader.trees[kind].grow(self.tips[kind], ids_BMT, real_BMT, **options)


class AttendingLeaf(Leaf):
    """A reading whose later tokens attend by its rule, too."""

    def _grown(self, kind: str, ids_BMT: Tensor, real_BMT: Tensor, **options: Any) -> tuple[Any, Branches]:
        count = ids_BMT.shape[1] * ids_BMT.shape[2]
        with self.reader.attending(kind, [self.reading.factor] * count, self.reading.rule):
            return super()._grown(kind, ids_BMT, real_BMT, **options)


class ContrastLeaf(Leaf):
    """A reading that subtracts what another image makes the model say."""

    def _grow(self, ids_BMT: Tensor, real_BMT: Tensor) -> tuple[Tensor, dict[str, Branches]]:
        grown = {kind: self._grown(kind, ids_BMT, real_BMT) for kind in self.tips}
        seen, other = (self.reader.logprobs(output.last_hidden_state) for output, _ in grown.values())
        found = contrasted(seen, other, self.reading.alpha, self.reading.beta)
        return found.unflatten(1, ids_BMT.shape[1:]), {kind: tips for kind, (_, tips) in grown.items()}


class DolaLeaf(Leaf):
    """A reading that subtracts what an earlier layer says."""

    def _grow(self, ids_BMT: Tensor, real_BMT: Tensor) -> tuple[Tensor, dict[str, Branches]]:
        output, tips = self._grown("image", ids_BMT, real_BMT, output_hidden_states=True)
        found = layers_contrasted(self.reader, output, self.reading.beta)
        return found.unflatten(1, ids_BMT.shape[1:]), {"image": tips}


def make_leaves(reader: Reader, readings: Sequence[Reading]) -> Iterator[Leaf]:
    """Yield the leaf of every reading; what a leaf grows is cut off before the next one.

    All strengths of one rule are read in one forward pass.
    """
    start = {kind: tree.columns for kind, tree in reader.trees.items()}
    by_rule: dict[str, list[Reading]] = defaultdict(list)
    for reading in readings:
        by_rule[reading.rule].append(reading)
    for rule, members in by_rule.items():
        for leaf in _attending(reader, rule, members) if rule else map(partial(_alone, reader), members):
            yield leaf
            leaf.forget()
            if not rule:
                reader.cut(start)
        reader.cut(start)


def _attending(reader: Reader, rule: str, members: Sequence[Reading]) -> Iterator[Leaf]:
    hidden_BND, tips = reader.changed([reading.factor for reading in members], rule)
    first_BMRV = reader.logprobs(hidden_BND).unflatten(1, (-1, len(members)))
    trees, questions = first_BMRV.shape[:2]
    for index, reading in enumerate(members):
        own = torch.arange(index, questions * len(members), len(members), device=first_BMRV.device)
        kind = AttendingLeaf if reading.every_step else Leaf
        yield kind(reader, reading, {"image": tips.pick(own.expand(trees, -1))}, first_BMRV[:, :, index])


def _alone(reader: Reader, reading: Reading) -> Leaf:
    if isinstance(reading, Vcd):
        asked = {kind: reader.plainly(kind) for kind in ("image", reading.contrast)}
        seen, other = (reader.logprobs(hidden_BMD) for hidden_BMD, _ in asked.values())
        tips = {kind: tips for kind, (_, tips) in asked.items()}
        return ContrastLeaf(reader, reading, tips, contrasted(seen, other, reading.alpha, reading.beta))
    if isinstance(reading, Dola):
        output, tip = reader.ask("image", output_hidden_states=True)
        return DolaLeaf(reader, reading, {"image": tip}, layers_contrasted(reader, output, reading.beta))
    hidden_BMD, tip = reader.plainly("image")
    return Leaf(reader, reading, {"image": tip}, reader.logprobs(hidden_BMD))


def contrasted(seen: Tensor, other: Tensor, alpha: float, beta: float) -> Tensor:
    """Return log-probabilities of (1 + alpha) times some log-probabilities less alpha times others.

    Tokens whose probability is less than beta times that of the likeliest get none: -inf.
    """
    return _plausible((1 + alpha) * seen - alpha * other, seen, beta).log_softmax(-1)


def layers_contrasted(reader: Reader, output: Any, beta: float) -> Tensor:
    """Return log-probabilities of the last layer less those of the layer that differs most from it.

    Candidates are every second layer of the upper half; how much they differ is told by the Jensen-Shannon divergence,
    for every token anew.

    Raises:
        CheckpointError: the decoder has no norm before its head.
    """
    states = output.hidden_states  # the embeddings, then every layer; the last one is normed already
    layers = len(states) - 1
    norm = getattr(reader.trees["image"].decoder, "norm", None)
    if norm is None:
        kind = type(reader.trees["image"].decoder).__name__
        raise CheckpointError(f"{kind} has no final 'norm' to read earlier layers by; leave decoder 'dola' out")
    last = reader.logprobs(output.last_hidden_state)
    earlier = torch.stack([reader.logprobs(norm(states[layer])) for layer in range(layers // 2, layers, 2)])
    middle = torch.logaddexp(last.expand_as(earlier), earlier) - torch.log(torch.tensor(2.0))
    divergence = ((last.exp() * (last - middle)).sum(-1) + (earlier.exp() * (earlier - middle)).sum(-1)) / 2
    chosen = divergence.argmax(0)
    base = earlier.gather(0, chosen[None, ..., None].expand(1, *last.shape))[0]
    return _plausible(last - base, last, beta).log_softmax(-1)


def _plausible(logits: Tensor, seen: Tensor, beta: float) -> Tensor:
    if beta == 0:
        return logits
    return logits.masked_fill(seen < seen.amax(-1, keepdim=True) + torch.log(torch.tensor(beta)), float("-inf"))
