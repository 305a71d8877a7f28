"""What is certain of one image but for its relations: names, colours, places, extents, headings, counts, as records."""

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

from datagen.assets import COLOURS
from datagen.families import Rng
from datagen.groups import View
from datagen.mention import Objects, instances, named, paint, phrase
from datagen.needs import FACELESS
from datagen.nouns import TRUE_COLOURS
from spatial.scene import ObjectSpec
from spatial.sentences import be, is_a
from spatial.vocabulary import GRID, HEADINGS, NUMBERS, cell, corners, facing_word

Fields = dict[str, Any]
"""Arguments of ``Record``."""


def facts(view: View, rng: Rng, nouns: Sequence[str]) -> Iterator[Fields]:
    """Yield what is certain of single objects and of their number.

    Args:
        view: a scene as it is seen.
        rng: draws which object is spoken of, by which name, and what is said falsely.
        nouns: that the data are about; of others nothing is denied.
    """
    specs = view.scene.objects
    boxes = [seen.box for seen in view.observation.objects]
    cells = [cell(box, view.scene.width, view.scene.height) for box in boxes]
    text = dense_caption(view)
    yield {"task": "caption", "topic": "scene", "caption": text, "answer": text}
    unique = [spec for spec in specs if instances(specs, spec) == 1]
    for index, (spec, place) in enumerate(zip(specs, cells, strict=True)):
        coloured = bool(rng.random() < 0.5)
        fields = {"subject": index, "concepts": (spec.name,), "topic": "cell"}
        subject = phrase(spec.name, paint(spec), coloured)
        if spec in unique:
            caption = f"The {subject} {be(spec.name)} at {place}."
            yield {**fields, "task": "locate", "caption": caption, "answer": place}
        if cells.count(place) == 1:
            subject = named(spec)
            yield {**fields, "task": "name", "caption": f"The {subject} {be(spec.name)} at {place}.", "answer": subject}
    yield from _presence(specs, rng, nouns)
    # What is known in few colours has them by its noun: no picture is needed to tell.
    known = TRUE_COLOURS
    nameable = [index for index, spec in enumerate(specs) if spec in unique and paint(spec) and spec.name not in known]
    yield from _colours(specs, nameable, rng)
    if all(map(paint, specs)):
        yield from _counts(len(specs), rng)
    for index, (spec, box) in enumerate(zip(specs, boxes, strict=True)):
        if spec in unique:
            extent = corners(box, view.scene.width, view.scene.height)
            fields = {"subject": index, "concepts": (spec.name,), "task": "locate", "topic": "box"}
            caption = f"The {named(spec)} {be(spec.name)} at {extent}."
            yield {**fields, "caption": caption, "answer": extent}
    yield from _places(specs, cells, [index for index, spec in enumerate(specs) if spec in unique], rng)
    turned = [index for index, spec in enumerate(specs) if spec in unique and has_heading(spec)]
    yield from _headings(specs, turned, rng)


def dense_caption(view: View) -> str:
    """List every object from left to right with its cell, colour, noun and heading."""
    lines = []
    for spec, seen in zip(view.scene.objects, view.observation.objects, strict=True):
        heading = f" facing {facing_word(spec.yaw)}" if has_heading(spec) else ""
        place = cell(seen.box, view.scene.width, view.scene.height)
        lines.append(((seen.box[0] + seen.box[2]) / 2, f"{place} {named(spec)}{heading}"))
    return ", ".join(line for _, line in sorted(lines))


def has_heading(spec: ObjectSpec) -> bool:
    """Return whether it is seen which way an object faces."""
    return spec.has_front and spec.name not in FACELESS


def _presence(specs: Objects, rng: Rng, nouns: Sequence[str]) -> Iterator[Fields]:
    """Say what is there and what is not, both of the nouns that the data are about: a rope is only drawn to tie."""
    shown = [index for index, spec in enumerate(specs) if spec.name in nouns]
    missing = sorted(set(nouns) - {spec.name for spec in specs})
    if not shown or not missing:
        return
    index = shown[int(rng.integers(len(shown)))]
    present, absent = specs[index].name, str(rng.choice(missing))
    yield _statement("presence", f"There {is_a(present)} in the picture.", True, index, present)
    yield _statement("presence", f"There {is_a(absent)} in the picture.", False, -1, absent, "absent")


def _colours(specs: Objects, nameable: list[int], rng: Rng) -> Iterator[Fields]:
    if not nameable:
        return
    index = nameable[int(rng.integers(len(nameable)))]
    spec = specs[index]
    elsewhere = [other.colour for other in specs if other is not spec]
    wrong = str(rng.choice(elsewhere)) if rng.random() < 0.5 else str(rng.choice(sorted(set(COLOURS) - {spec.colour})))
    yield from _attribute("colour", f"The {spec.name} {be(spec.name)}", (spec.colour, wrong), index, spec.name)


def _places(specs: Objects, cells: list[str], unique: list[int], rng: Rng) -> Iterator[Fields]:
    """Say in which cell a thing is, falsely where another one is, or not far away."""
    if not unique:
        return
    index = unique[int(rng.integers(len(unique)))]
    others = sorted(set(cells) - {cells[index]})
    if others and rng.random() < 0.5:
        wrong = str(rng.choice(others))
    else:
        column, row = (int(word[1:]) for word in cells[index].split())
        near = [(column + dx, row + dy) for dx, dy in product((-2, -1, 0, 1, 2), repeat=2) if (dx, dy) != (0, 0)]
        x, y = rng.choice([place for place in near if set(place) <= set(range(GRID))])
        wrong = f"x{x} y{y}"
    subject = phrase(specs[index].name, paint(specs[index]), bool(rng.random() < 0.5))
    stem = f"The {subject} {be(specs[index].name)} at"
    yield from _attribute("cell", stem, (cells[index], wrong), index, specs[index].name)


def _headings(specs: Objects, turned: list[int], rng: Rng) -> Iterator[Fields]:
    if not turned:
        return
    index = turned[int(rng.integers(len(turned)))]
    spec = specs[index]
    right = facing_word(spec.yaw)
    wrong = str(rng.choice([word for word in HEADINGS if word != right]))
    subject = phrase(spec.name, paint(spec), bool(rng.random() < 0.5))
    yield from _attribute("heading", f"The {subject} {be(spec.name)} facing", (right, wrong), index, spec.name)


def _attribute(topic: str, stem: str, words: tuple[str, str], subject: int, noun: str) -> Iterator[Fields]:
    """Say of one thing what is right and what is wrong, and ask which of the two it is."""
    for word, truth in zip(words, (True, False), strict=True):
        yield _statement(topic, f"{stem} {word}.", truth, subject, noun, "" if truth else topic)
    fields = {"subject": subject, "concepts": (noun,), "options": tuple(sorted(words))}
    yield {"task": "choice", "topic": topic, "caption": f"{stem} {words[0]}.", "answer": words[0], **fields}


def _counts(count: int, rng: Rng) -> Iterator[Fields]:
    wrong = count + (1 if count == 2 or rng.random() < 0.5 else -1)
    sentence = "There are {} objects in the picture."
    yield _statement("count", sentence.format(NUMBERS[count]), True, -1, "")
    yield _statement("count", sentence.format(NUMBERS[wrong]), False, -1, "", "count")
    yield {"task": "count", "topic": "count", "caption": sentence.format(NUMBERS[count]), "answer": NUMBERS[count]}


def _statement(topic: str, caption: str, truth: bool, subject: int, noun: str, kind: str = "") -> Fields:
    return {
        "task": "statement",
        "topic": topic,
        "caption": caption,
        "answer": "true" if truth else "false",
        "subject": subject,
        "concepts": (noun,) if noun else (),
        "negative_kind": kind,
    }
