"""Contact sheets: for each relation a PNG with groups at full size and their statements as text, to check labels.

A statement has one column of answers for each image, numbered like the images above it, so that a label that does not
flip, or flips the wrong way, stands out.
"""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from spatial.errors import RecordError
from spatial.files import atomic
from vsre.gallery.groups import MAIN, Member, Row, SampleGroup
from vsre.pictures import upright

GROUPS_PER_SHEET = 24
SHEET_WIDTH = 1500
"""Pixels that a sheet has at least room for; one group that is wider makes a wider sheet."""

LEAST_WIDTH = 460
"""Of a group, so that its statements are not broken into single words."""

MOST_ROWS = 8
"""Rows that are shown of a group that has no statement about the sheet's relation."""

GAP, MARGIN, LINE = 8, 24, 18
ANSWER_WIDTH = 52
INK, SOFT, PAPER, BROKEN = (31, 41, 51), (86, 98, 112), (255, 255, 255), (217, 222, 227)
ANSWER_COLOURS = {"true": (27, 127, 75), "false": (179, 38, 30)}

Colour = tuple[int, int, int]
Piece = tuple[int, int, str, Colour]
"""Left and top in pixels, the text, its colour."""


def write_sheets(folder: Path, groups: Iterable[SampleGroup], per_relation: int) -> list[Path]:
    """Write ``<relation>.png``, and ``<relation>-2.png`` and so on where a relation has many groups.

    Args:
        folder: is created.
        groups: those that were drawn; a group that is about two relations stands on the sheets of both.
        per_relation: groups on the sheets of a relation; 0 for all.

    Returns:
        The paths of the sheets.

    Raises:
        OSError: a file cannot be written.
    """
    by_relation: dict[str, list[SampleGroup]] = {}
    for group in groups:
        for relation in group.relations or ("",):
            listed = by_relation.setdefault(relation, [])
            if not per_relation or len(listed) < per_relation:
                listed.append(group)
    paths = []
    for relation, listed in sorted(by_relation.items()):
        for start in range(0, len(listed), GROUPS_PER_SHEET):
            part = listed[start : start + GROUPS_PER_SHEET]
            name = re.sub(r"[^a-z0-9]+", "-", relation.lower()).strip("-") or "no-relation"
            path = folder / f"{name}{f'-{start // GROUPS_PER_SHEET + 1}' if start else ''}.png"
            heading = f"{relation or 'no relation'}: {start + 1} to {start + len(part)} of {len(listed)} groups"
            with atomic(path) as temporary:
                draw_sheet(heading, relation, part).save(temporary, format="PNG")
            paths.append(path)
    return paths


def draw_sheet(heading: str, relation: str, groups: Sequence[SampleGroup]) -> Image.Image:
    """Return one sheet: groups in rows, as many beside each other as fit."""
    blocks = [draw_group(group, relation) for group in groups]
    widest = max(block.width for block in blocks)
    columns = min(len(blocks), max(1, (SHEET_WIDTH - MARGIN) // (widest + MARGIN)))
    lines = [blocks[start : start + columns] for start in range(0, len(blocks), columns)]
    heights = [max(block.height for block in line) for line in lines]
    top = MARGIN + 2 * LINE
    size = (MARGIN + columns * (widest + MARGIN), top + sum(heights) + MARGIN * len(lines))
    sheet = Image.new("RGB", size, PAPER)
    ImageDraw.Draw(sheet).text((MARGIN, MARGIN), heading, INK, _font(18))
    for line, height in zip(lines, heights, strict=True):
        for column, block in enumerate(line):
            sheet.paste(block, (MARGIN + column * (widest + MARGIN), top))
        top += height + MARGIN
    return sheet


def draw_group(group: SampleGroup, relation: str) -> Image.Image:
    """Return a group's images side by side, with their roles and the statements about a relation under them."""
    images = [_image(member) for member in group.members]
    lefts = [sum(image.width + GAP for image in images[:place]) for place in range(len(images))]
    width = max(LEAST_WIDTH, lefts[-1] + images[-1].width)
    facts = [group.facts.get(name, "") for name in ("change", "frame", "split", "source")]
    heading = ", ".join([group.key[:8], *filter(None, facts)])
    top = LINE + max(image.height for image in images) + 4
    pieces: list[Piece] = [(0, 0, heading, SOFT)]
    pieces += [
        (left, LINE + image.height + 4, _cut(f"{place} {member.role}", image.width), SOFT)
        for place, (left, image, member) in enumerate(zip(lefts, images, group.members, strict=True), 1)
    ]
    text, height = _text(_rows(group, relation), top + LINE + 4, width)
    block = Image.new("RGB", (width, height), PAPER)
    canvas = ImageDraw.Draw(block)
    for left, image in zip(lefts, images, strict=True):
        block.paste(image, (left, LINE))
    for left, upper, words, colour in (*pieces, *text):
        canvas.text((left, upper), words, colour, _font(13))
    return block


def _rows(group: SampleGroup, relation: str) -> Sequence[Row]:
    """Return the statements about the relation, or, where there are none, the first rows that the group has."""
    about = [row for row in group.rows if row.topic == MAIN and row.relation == relation]
    return about or group.rows[:MOST_ROWS]


def _text(rows: Sequence[Row], top: int, width: int) -> tuple[list[Piece], int]:
    """Lay out rows from ``top`` on; returns the pieces and where they end."""
    pieces: list[Piece] = []
    for row in rows:
        answers = [answer for cell in row.answers for answer in cell]
        short = all(answer.text in ANSWER_COLOURS and not answer.sentence for answer in answers)
        left = ANSWER_WIDTH * len(row.answers) if short else 0
        for place, cell in enumerate(row.answers if short else ()):
            for answer in cell[:1]:
                pieces.append((place * ANSWER_WIDTH, top, answer.text, ANSWER_COLOURS[answer.text]))
        lines = _wrap(row.text if short else f"{row.topic}: {row.text}", width - left)
        for place, cell in enumerate(() if short else row.answers, 1):
            for answer in cell:
                lines += _wrap(f"{place}: {answer.text}{f' ({answer.sentence})' if answer.sentence else ''}", width)
        pieces += [(left, top + LINE * index, line, INK) for index, line in enumerate(lines)]
        top += LINE * len(lines)
    return pieces, top


def _image(member: Member) -> Image.Image:
    try:
        return upright(member.image)
    except RecordError:
        image = Image.new("RGB", (160, 120), BROKEN)
        ImageDraw.Draw(image).text((8, 50), "cannot be decoded", INK, _font(13))
        return image


def _wrap(text: str, width: int) -> list[str]:
    """Break text into lines of at most ``width`` pixels, between words."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and _font(13).getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def _cut(text: str, width: int) -> str:
    """Leave away the end of a text that is wider than ``width`` pixels."""
    while text and _font(13).getlength(text) > width:
        text = text[:-1]
    return text


@lru_cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
