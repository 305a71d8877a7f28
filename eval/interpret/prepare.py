"""From a minimal pair to two prompts that a model can be run on, position by position the same.

Shapes: T tokens of a prompt, N image tokens, D width.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from eval.images import Picture, Placed, tokens_of
from eval.interpret.cross import CrossStack
from eval.interpret.decoders import DecoderStack
from eval.interpret.pairs import Pair, Side
from eval.interpret.roles import Roles, follow, image_roles, word_roles
from eval.interpret.stack import Prompt, Stack
from eval.words import Words
from spatial.errors import CheckpointError


class Unfit(ValueError):
    """A pair that this model cannot be run on position by position, and why."""


@dataclass(frozen=True)
class Prepared:
    """A pair, ready to be run.

    Attributes:
        pair: the pair.
        clean: the prompt of its clean side.
        corrupt: the prompt of its corrupt side.
        tokens: with which the right and the wrong answer begin.
        roles: positions; of words the same on both sides, of parts of the picture those of the corrupt one.
        clean_roles: likewise, with the parts of the clean picture.
        text_start: position of the first token behind the picture; 0 where that is not among the tokens.
    """

    pair: Pair
    clean: Prompt
    corrupt: Prompt
    tokens: tuple[int, int]
    roles: Roles
    clean_roles: Roles
    text_start: int


class Preparer:
    """Prepares pairs for a model.

    Args:
        stack: of the model.
        model: with ``config.image_token_id`` where the picture is among the tokens.
        processor: with a chat template and a fast tokenizer.
    """

    def __init__(self, stack: Stack, model: Any, processor: Any) -> None:
        self.stack, self.processor = stack, processor
        self.words = Words(processor.tokenizer)
        if not processor.tokenizer.is_fast:
            raise CheckpointError(
                f"{type(processor.tokenizer).__name__} does not tell which characters a token stands for; "
                "build the model with a fast tokenizer (tokenizer.json)"
            )
        self.image_token = int(model.config.image_token_id) if isinstance(stack, DecoderStack) else None

    @torch.no_grad()
    def prepare(
        self, pair: Pair, pictures: Mapping[str, Picture], covered: Mapping[str, Mapping[str, Sequence[int]]]
    ) -> Prepared:
        """Return a pair, ready to be run.

        Args:
            pair: the pair.
            pictures: as the model sees them, by image.
            covered: numbers of the image tokens that the boxes of "subject" and "object" cover, by image; those of
                the image that is changed count.

        Raises:
            Unfit: its sides have different numbers of tokens, or words of a role in different places, or answers
                that begin alike.
        """
        sides = [self._side(side, pictures) for side in pair.sides]
        (clean_ids, clean_roles, clean), (corrupt_ids, roles, corrupt) = sides
        if len(clean_ids) != len(corrupt_ids):
            raise Unfit(f"{pair.mode} sides have different numbers of tokens")
        if clean_roles != roles:
            raise Unfit(f"{pair.mode} sides have words of a role in different places")
        text = self._text(pair.clean)
        tokens = tuple(self._begins(text, answer) for answer in pair.answers)
        if tokens[0] == tokens[1]:
            raise Unfit("the answers begin with the same token")
        image = roles.get("image", ())
        clean_parts, parts = self._parts(pair, image, pictures, covered) if image else ({}, {})
        behind = image[-1] + 1 if image else 0
        both = (tokens[0], tokens[1])
        return Prepared(pair, clean, corrupt, both, roles | parts, roles | clean_parts, behind)

    def _parts(
        self,
        pair: Pair,
        image: Sequence[int],
        pictures: Mapping[str, Picture],
        covered: Mapping[str, Mapping[str, Sequence[int]]],
    ) -> tuple[Roles, Roles]:
        """Return the parts of the clean and of the corrupt picture."""
        clean, corrupt = (
            image_roles(tokens_of(pictures[side.image_id]), image[0], covered.get(side.image_id, {}))
            for side in pair.sides
        )
        return (clean, corrupt) if pair.clean.image_id == pair.corrupt.image_id else follow(clean, corrupt)

    def _side(self, side: Side, pictures: Mapping[str, Picture]) -> tuple[list[int], Roles, Prompt]:
        picture = pictures[side.image_id]
        try:
            ids, roles = word_roles(self.words, self._text(side), side.prompt, self.image_token, len(picture))
        except ValueError as error:
            raise Unfit(str(error)) from error
        if isinstance(self.stack, CrossStack):
            return ids, roles, self.stack.begin(torch.tensor(ids, device=self.stack.model.device), tokens_of(picture))
        assert isinstance(self.stack, DecoderStack)
        return ids, roles, self._among(ids, roles, picture)

    def _among(self, ids: Sequence[int], roles: Roles, picture: Picture) -> Prompt:
        """Return a prompt with the picture among its tokens."""
        assert isinstance(self.stack, DecoderStack)
        features_ND = tokens_of(picture)
        image = list(roles.get("image", ()))
        tokens_T = torch.tensor(ids, device=features_ND.device)
        tokens_T[image] = 0
        states_TD = self.stack.embeddings(tokens_T)
        states_TD[image] = features_ND.to(states_TD.dtype)
        return self.stack.begin(states_TD, _positions(len(ids), image, picture))

    def _text(self, side: Side) -> str:
        text: str = self.processor.apply_chat_template(side.prompt.messages, add_generation_prompt=True, tokenize=False)
        return text

    def _begins(self, text: str, answer: str) -> int:
        if isinstance(self.stack, CrossStack):
            return int(self.words.tokenizer(answer, add_special_tokens=False)["input_ids"][0])
        return self.words.answer(text, answer)[0]


def _positions(length: int, image: Sequence[int], picture: Picture) -> Tensor | None:
    """Return positions in three parts where the picture has them, and words count on behind the largest of them."""
    if not isinstance(picture, Placed):
        return None
    positions_3T = torch.arange(length, device=picture.places_3N.device).expand(3, -1).clone()
    first, last = image[0], image[-1]
    positions_3T[:, first : last + 1] = first + picture.places_3N
    behind = int(positions_3T[:, : last + 1].max()) + 1
    positions_3T[:, last + 1 :] = behind + torch.arange(length - last - 1, device=positions_3T.device)
    return positions_3T


def stack_of(model: Any) -> Stack:
    """Return the stack of a model.

    Raises:
        CheckpointError: it is of a kind that cannot be taken apart.
    """
    return CrossStack(model) if model.config.model_type == "blip" else DecoderStack(model)
