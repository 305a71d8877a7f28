"""Pairs that must behave otherwise, so that an effect can be told from an artefact.

- "identity": both sides are the clean one. Nothing differs, so every effect is exactly zero.
- "preserving": the picture is another one, in which the relation still holds: moved by some pixels, or before a
  background of other colours. The answer must not turn round.
- "double": another picture *and* another relation word. The answer is that of the clean side again.

A control has the right and the wrong answer of the pair that it belongs to.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from eval.interpret.edits import recoloured, stays_inside, translated
from eval.interpret.from_records import side
from eval.interpret.pairs import Pair, PairSet, Side
from eval.interpret.wording import Asked, ask, image_pairs, text_pairs
from spatial.dataset import FailedRow, PooledImages, RecordSet
from spatial.errors import check_known
from spatial.records import ImageRow, Record
from spatial.templates import TEMPLATES, choose_templates

CONTROLS = ("identity", "preserving", "double")

SHIFT = 16
"""A moved picture moves by its width and height over this."""


def controls_of(
    pairs: Sequence[Pair],
    records: RecordSet,
    templates: Sequence[str] = (),
    seed: int = 0,
    kinds: Sequence[str] = CONTROLS,
) -> PairSet:
    """Return the controls of pairs that ``pairs_of_records`` drew.

    Args:
        pairs: each gets one control of every kind, as far as there can be one.
        records: which they were drawn from.
        templates: with which they were drawn.
        seed: with which they were drawn; it also chooses edits.
        kinds: of ``CONTROLS``.

    Returns:
        The controls, with the pictures that were made for them.

    Raises:
        ConfigError: an unknown kind or template.
    """
    for kind in kinds:
        check_known("control", kind, CONTROLS)
    names = choose_templates(list(templates))
    groups: dict[str, list[Record]] = {}
    for record in records.records:
        groups.setdefault(record.group_id, []).append(record)
    made: dict[str, Pair] = {}
    images: dict[str, ImageRow] = {}
    failed: list[FailedRow] = []
    for pair in pairs:
        for kind in kinds:
            found = _control(pair, kind, groups.get(pair.group_id, []), records.images, images, names, seed)
            if isinstance(found, Pair):
                made.setdefault(found.pair_id, found)  # an image and a text pair may share a control
            else:
                failed.append(FailedRow(pair.pair_id, found))
    return PairSet(list(made.values()), PooledImages([records.images, images]), failed)


def _control(
    pair: Pair,
    kind: str,
    group: Sequence[Record],
    images: Mapping[str, ImageRow],
    new: dict[str, ImageRow],
    names: Sequence[str],
    seed: int,
) -> Pair | str:
    """Return a control, or why there is none."""
    if kind == "identity":
        return replace(pair, corrupt=pair.clean, control=kind)
    asked = [each for each in ask(group, images, names, seed) if isinstance(each, Asked)] if group else []
    if kind == "double":
        corrupt = next(_doubles(pair.clean, asked, images, seed), None)
        if corrupt is None:
            return "no picture of its group has another answer and another relation word"
        # Words differ, so tokens are matched as those of text pairs are.
        return replace(pair, mode="text", corrupt=corrupt, control=kind)
    drawn = next((each for each in asked if each.shown == (pair.clean.image_id, pair.clean.prompt.text)), None)
    try:
        row = _preserving(images[pair.clean.image_id], drawn, random.Random(f"{seed}/{pair.pair_id}"))
    except ValueError as error:
        return str(error)
    new[row.image_id] = row
    return replace(pair, mode="image", corrupt=replace(pair.clean, image_id=row.image_id), control=kind)


def _doubles(clean: Side, asked: Sequence[Asked], images: Mapping[str, ImageRow], seed: int) -> Iterator[Side]:
    """Yield what shows another picture of the group and asks for the other relation, with the clean side's answer."""
    shown = (clean.image_id, clean.prompt.text)
    for one, two in (found for found in image_pairs(asked) if isinstance(found, tuple)):
        other = two if one.shown == shown else one if two.shown == shown else None
        if other is None:
            continue
        for pair in (found for found in text_pairs(asked, images, seed) if isinstance(found, tuple)):
            partner = pair[1] if pair[0].shown == other.shown else pair[0] if pair[1].shown == other.shown else None
            if partner is not None and partner.prompt.answer == clean.prompt.answer:
                yield side(partner)


def _preserving(row: ImageRow, drawn: Asked | None, rng: random.Random) -> ImageRow:
    """Edit a picture so that its relations still hold; one whose boxes are in the words may not move.

    Raises:
        ValueError: no edit is possible.
    """
    dx, dy = max(1, row.width // SHIFT), max(1, row.height // SHIFT)
    moves = [(x, y) for x in (-dx, 0, dx) for y in (-dy, 0, dy) if (x or y) and stays_inside(row, x, y)]
    boxed = drawn is None or TEMPLATES[drawn.template].needs_objects
    masked = bool(row.objects) and all(item.mask_rle for item in row.objects)
    if row.objects and moves and not boxed and (not masked or rng.random() < 0.5):
        return translated(row, *rng.choice(moves))
    return recoloured(row, rng.randrange(3))
