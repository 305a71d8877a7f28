"""What'sUp and its sets on COCO and Visual Genome photos (Kamath, Hessel, Chang, EMNLP 2023, arXiv 2310.19785).

Six files. Controlled A and B are sets of four photos of the same two objects: a row has a photo and four captions, the
right one first. The others ("coco_qa", "vg_qa") have the number of a photo, a true caption and a false one. A caption
names one object and where it is in the photo, or two and how they relate. What there is to choose from is AdaptVis's:
four relations or places, six on Visual Genome photos.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from eval.config import DataConfig
from eval.readers.pictures import find_picture
from eval.readers.released import Opened, open_released
from eval.readers.rows import Row, gather
from eval.splits import adaptvis_split
from spatial.benchmarks import numbered_picture
from spatial.dataset import FailedRow, RecordSet
from spatial.errors import RecordError
from spatial.json_files import read_items
from spatial.sentences import be, sentence
from spatial.vocabulary import several

SIDES = {"to the left of": "left of", "left of": "left of", "to the right of": "right of", "right of": "right of"}
DEPTHS = {
    "in front of": "in front of",
    "to the front of": "in front of",
    "behind": "behind",
    "to the behind of": "behind",
}
HEIGHTS = {"above": "above", "on top of": "above", "below": "below"}
PLACES = {"left": "on the left", "right": "on the right", "top": "at the top", "bottom": "at the bottom"}
NEARNESS = {"front": "in front", "foreground": "in front", "behind": "behind", "back": "behind", "background": "behind"}

WORDS: dict[str, Mapping[str, str]] = {
    "whatsup-a": SIDES | {"on": "on", "under": "under"},
    "whatsup-b": SIDES | DEPTHS,
    "coco-spatial-one": PLACES,
    "coco-spatial-two": SIDES | HEIGHTS,
    "vg-spatial-one": PLACES | NEARNESS,
    "vg-spatial-two": SIDES | DEPTHS | HEIGHTS,
}
"""What captions say of each set, and the relation or place that it means."""

ARTICLE = r"(?:(?:an?|the)\s+)?"
SPLITS = ("dev", "test")


@dataclass(frozen=True)
class Said:
    """What a caption says: of one object (``object`` is then "") or of two, and the relation or place."""

    subject: str
    relation: str
    object: str = ""


def read_whatsup(data: DataConfig) -> RecordSet:
    """Read one of the six sets, or the "dev" or "test" part of AdaptVis's published split.

    Raises:
        ConfigError: no path, or another split.
        RecordError: the file is missing, damaged or not the released one in length, or no photo was found.
    """
    opened = open_released(data, data.kind, SPLITS)
    items = list(read_items(opened.path))
    opened.check_counts(len(items), len(items))
    opened.tell_hash()
    part_of = {row: name for name, rows in zip(SPLITS, adaptvis_split(len(items)), strict=True) for row in rows}
    return gather(opened, _rows(opened, items, part_of, data.split))


def take_caption(caption: str, words: Mapping[str, str]) -> Said:
    """Take a caption of one of the sets apart.

    Args:
        caption: "A mug to the left of a knife", "A photo of a dining table on the bottom".
        words: what the set's captions say.

    Raises:
        RecordError: it says none of these.
    """
    said = "|".join(sorted(map(re.escape, words), key=len, reverse=True))
    if words.keys() & PLACES.keys():
        rest = rf"\s+(?:(?:is|are)\s+)?(?:(?:on|at|in|to)\s+)?(?:the\s+)?(?P<said>{said})(?P<object>)"
    else:
        rest = rf"\s+(?:(?:is|are)\s+)?(?P<said>{said})\s+{ARTICLE}(?P<object>\S.*?)"
    pattern = rf"\s*(?:a photo of\s+)?{ARTICLE}(?P<subject>\S.*?){rest}\s*\.?\s*"
    match = re.fullmatch(pattern, caption, re.IGNORECASE)
    if match is None:
        raise RecordError(
            f"caption {caption!r} says none of {', '.join(dict.fromkeys(words.values()))}; correct the row"
        )
    return Said(match["subject"], words[match["said"].lower()], match["object"])


def _rows(opened: Opened, items: list[Any], part_of: Mapping[int, str], split: str) -> Iterator[Row | FailedRow]:
    read = _controlled if opened.kind.startswith("whatsup") else _numbered
    for number, item in enumerate(items):
        part = part_of[number]
        if split not in ("", part):
            continue
        name = f"{opened.path.name}:{number + 1}"
        try:
            yield read(opened, item, name, part)
        except (RecordError, KeyError, TypeError, ValueError, IndexError) as error:
            reason = str(error) if isinstance(error, RecordError) else f"it is no row of {opened.kind} ({error!r})"
            yield FailedRow(name, reason)


def _controlled(opened: Opened, item: Any, name: str, part: str) -> Row:
    words = WORDS[opened.kind]
    place, captions = PurePosixPath(item["image_path"]), item["caption_options"]
    said = [take_caption(caption, words) for caption in captions]
    options = tuple(each.relation for each in said)
    if len(set(options)) != 4 or len({(each.subject, each.object) for each in said}) != 1:
        raise RecordError(f"its captions {captions} are not two objects in four relations; correct the row")
    _check_file_name(place, said[0])
    picture = find_picture(opened.images, opened.folders, _file_name(place, opened), opened.kind)
    group = f"{said[0].subject}/{said[0].object}"
    return _row(said[0], options, name, picture=picture, shown=place.name, group=group, split=part)


def _numbered(opened: Opened, item: Any, name: str, part: str) -> Row:
    number, true, false = item
    said = take_caption(true, WORDS[opened.kind])
    if true == false:
        raise RecordError(f"caption {true!r} is called both true and false; correct the row")
    shown = numbered_picture(opened.kind, number)
    picture = find_picture(opened.images, opened.folders, shown, opened.kind)
    options = tuple(dict.fromkeys(WORDS[opened.kind].values()))
    return _row(said, options, name, picture=picture, shown=shown, split=part)


def _row(said: Said, options: tuple[str, ...], name: str, **place: Any) -> Row:
    concepts = tuple(noun.lower() for noun in (said.subject, said.object) if noun)
    content = {"options": options, "answer": said.relation, "role": said.relation, "concepts": concepts, **place}
    if not said.object:
        verb = "are" if several(said.subject) else be(said.subject)
        return Row(name, caption=f"The {said.subject} {verb} {said.relation}.", topic="place", **content)
    caption = sentence(said.subject, said.relation, said.object, several(said.subject))
    return Row(name, caption=caption, topic="relation", relation=said.relation, **content)


def _file_name(place: PurePosixPath, opened: Opened) -> str:
    """Return a photo's name; the released files put the set's folder before it, "data/controlled_images/"."""
    if place.is_absolute() or ".." in place.parts:
        raise RecordError(f"{str(place)!r} leads outside {opened.images}; correct the row")
    return place.name


def _check_file_name(place: PurePosixPath, said: Said) -> None:
    """Compare the relation in the name of a photo, "mug_in-front_of_knife.jpeg", with what the first caption says."""
    middle = " ".join(place.stem.split("_")[1:-1]).replace("-", " ")
    if middle and middle != said.relation:
        raise RecordError(f"photo {place.name} shows {middle!r}, but its first caption says {said.relation!r}")
