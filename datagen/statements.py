"""Put what is known of a rendered image into records.

Two kinds: the statements of a counterfactual group, which are about its relation, and dense records, which
say everything else that is certain about one image: names, colours, places, counts.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import permutations, product
from typing import Any

import numpy as np

from datagen.assets import COLOURS
from datagen.claims import Statement
from datagen.config import DatagenConfig
from datagen.families import Rng
from datagen.groups import Group, View, is_held_out
from datagen.needs import FACELESS
from datagen.nouns import TRUE_COLOURS, chosen_nouns
from datagen.recipe import Recipe, axes
from spatial.predicates import frame_of, readings
from spatial.records import Record
from spatial.relations import VERBS
from spatial.scene import ObjectSpec
from spatial.sentences import be, is_a, sentence
from spatial.vocabulary import GRID, HEADINGS, NUMBERS, cell, corners, facing_word, plural

Fields = dict[str, Any]
"""Arguments of ``Record``."""

Objects = tuple[ObjectSpec, ...]

AXES_PER_CAPTION = 4
"""A caption about two objects tells at most this many of the relations that hold between them."""


def group_records(group: Group, image_ids: tuple[str, str], split: str) -> Iterator[Record]:
    """Yield true/false statements and two-way choices; each caption and each image is true half of the time.

    A relation that is a verb makes no choice: "is the bowl beside or contains the apple?" is no question.
    """
    names = {group.recipe.relation, group.recipe.counterpart}
    choosable = len(names) == 2 and not names & VERBS and not group.statements[0].said
    for role, view, image_id in zip(("original", group.recipe.family.change), group.views, image_ids, strict=True):
        original = role == "original"
        for index, statement in enumerate(group.statements):
            truth = statement.truth == original
            fields = _about(group, view, statement, image_id, role, split)
            kind = "" if truth else statement.negative_kind
            yield Record(task="statement", answer="true" if truth else "false", negative_kind=kind, **fields)
            if truth and choosable:
                partner = group.statements[index ^ 1].relation
                options = tuple(sorted((statement.relation, partner)))
                yield Record(task="choice", answer=statement.relation, options=options, **fields)


def check_balance(records: Sequence[Record]) -> None:
    """Make sure that of one group's relation statements each caption and each image is true half of the time.

    Raises:
        RuntimeError: it is not so, which no setting can bring about: the group was put together wrongly.
    """
    answers: Counter[str] = Counter()
    for record in records:
        if (record.task, record.topic) == ("statement", "relation"):
            for key in (record.caption, record.image_id):
                answers[key] += 1 if record.answer == "true" else -1
    uneven = sorted(key for key, surplus in answers.items() if surplus)
    if uneven:
        raise RuntimeError(f"group {records[0].group_id} is not balanced: {', '.join(uneven)}")


def _about(group: Group, view: View, statement: Statement, image_id: str, role: str, split: str) -> Fields:
    a, b = (view.scene.objects[i] for i in (statement.a, statement.b))
    subject, other = (_mention(view.scene.objects, spec, group.coloured) for spec in (a, b))
    several = _instances(view.scene.objects, a) > 1
    return {
        "image_id": image_id,
        "group_id": group.group_id,
        "role_in_group": role,
        "topic": "relation",
        "caption": sentence(subject, statement.relation, other, several, _perspective(statement, b)),
        "subject": statement.a,
        "object": statement.b,
        "relation": statement.relation,
        "frame": statement.frame,
        # Of the whole group, so that leaving out what is not certain leaves every other image balanced.
        "confidence": "low" if group.recipe.ambiguous else "high",
        "concepts": (a.name, b.name),
        "split": split,
    }


def _perspective(statement: Statement, other: ObjectSpec) -> str:
    """Return whose left and right a caption means, if it says so."""
    return {"viewer": "the viewer", "intrinsic": f"the {other.name}"}[statement.frame] if statement.said else ""


def _mention(specs: Objects, spec: ObjectSpec, coloured: bool) -> str:
    """Return "red cup", "two red cups" or "red cups", by how many objects of the noun there are."""
    text, count = phrase(spec.name, _paint(spec), coloured), _instances(specs, spec)
    return text if count == 1 else f"two {plural(text)}" if count == 2 else plural(text)


def _instances(specs: Objects, spec: ObjectSpec) -> int:
    return sum(other.name == spec.name for other in specs)


def _key(spec: ObjectSpec) -> str:
    """Return the catalogue key by which noun pairs are kept for one split: a part's names its whole."""
    return spec.mesh if "/" in spec.mesh else spec.name


def _paint(spec: ObjectSpec) -> str:
    """Return the colour word of an object; a part of a thing is painted as the thing is, often in no word's colour."""
    return "" if "/" in spec.mesh else spec.colour


def phrase(name: str, colour: str, coloured: bool) -> str:
    """Return "red cup" or "cup"."""
    return f"{colour} {name}" if coloured and colour else name


def named(spec: ObjectSpec) -> str:
    """Return an object's noun with its colour word if it has one: "red cup"."""
    return phrase(spec.name, _paint(spec), coloured=True)


def dense_records(
    group: Group, view: View, role: str, image_id: str, config: DatagenConfig, recipes: Sequence[Recipe]
) -> list[Record]:
    """Return what is certain of one image: names, colours, places, counts, and true relations as captions.

    Relations are those of ``recipes``, told of every ordered pair of objects whose nouns belong together in the split.
    The answer of a relation caption is the relation alone, "left of and far from": a model that learns from whole
    sentences spends nearly all of its loss on words that the question has given away.
    """
    rng = np.random.Generator(np.random.Philox(key=int(image_id, 16)))
    shared: Fields = {"image_id": image_id, "group_id": group.group_id, "role_in_group": role, "split": config.split}
    records = [Record(**shared, **fields) for fields in _facts(view, rng, chosen_nouns(config))]
    for statement in group.statements:
        if statement.truth == (role == "original"):
            fields = _about(group, view, statement, image_id, role, config.split)
            records.append(Record(task="caption", answer=statement.relation, **fields))
    records += [Record(**shared, **fields) for fields in _relation_captions(view, rng, config, axes(recipes))]
    return records


def _facts(view: View, rng: Rng, nouns: Sequence[str]) -> Iterator[Fields]:
    specs = view.scene.objects
    boxes = [seen.box for seen in view.observation.objects]
    cells = [cell(box, view.scene.width, view.scene.height) for box in boxes]
    text = dense_caption(view)
    yield {"task": "caption", "topic": "scene", "caption": text, "answer": text}
    unique = [spec for spec in specs if _instances(specs, spec) == 1]
    for index, (spec, place) in enumerate(zip(specs, cells, strict=True)):
        coloured = bool(rng.random() < 0.5)
        fields = {"subject": index, "concepts": (spec.name,), "topic": "cell"}
        subject = phrase(spec.name, _paint(spec), coloured)
        if spec in unique:
            caption = f"The {subject} {be(spec.name)} at {place}."
            yield {**fields, "task": "locate", "caption": caption, "answer": place}
        if cells.count(place) == 1:
            subject = named(spec)
            yield {**fields, "task": "name", "caption": f"The {subject} {be(spec.name)} at {place}.", "answer": subject}
    yield from _presence(specs, rng, nouns)
    # What is known in few colours has them by its noun: no picture is needed to tell.
    known = TRUE_COLOURS
    nameable = [index for index, spec in enumerate(specs) if spec in unique and _paint(spec) and spec.name not in known]
    yield from _colours(specs, nameable, rng)
    if all(map(_paint, specs)):
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


def _relation_captions(
    view: View, rng: Rng, config: DatagenConfig, contrasts: Sequence[Sequence[str]]
) -> Iterator[Fields]:
    """Yield a caption of every ordered pair of objects alone of their noun, such as "left of, behind and far from".

    A relation that is a verb is not told: no list of what an object "is" has room for "contains".
    """
    specs = view.scene.objects
    alone = [index for index, spec in enumerate(specs) if _instances(specs, spec) == 1]
    for a, b in permutations(alone, 2):
        if is_held_out(_key(specs[a]), _key(specs[b])) != (config.split == "test"):
            continue
        true = {name for name, answer in readings(a, b, view.observation).items() if answer} - VERBS
        if config.frames == "agree" and specs[b].has_front:
            true = {name for name in true if frame_of(name, a, b, view.observation) != "viewer"}
        told = [str(rng.choice(names)) for axis in contrasts if (names := [name for name in axis if name in true])]
        if not told:
            continue
        kept = sorted(rng.permutation(len(told))[:AXES_PER_CAPTION])
        relations = [told[i] for i in kept]
        coloured = bool(rng.random() < 0.5)
        subject, other = (phrase(spec.name, _paint(spec), coloured) for spec in (specs[a], specs[b]))
        yield {
            "task": "caption",
            "topic": "relation",
            "caption": sentence(subject, relations[0], other),
            "answer": _listed(relations),
            "subject": a,
            "object": b,
            "relation": relations[0],
            "frame": frame_of(relations[0], a, b, view.observation),
            "concepts": (specs[a].name, specs[b].name),
        }


def _listed(words: Sequence[str]) -> str:
    """Return "a", "a and b" or "a, b and c"."""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


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
    subject = phrase(specs[index].name, _paint(specs[index]), bool(rng.random() < 0.5))
    stem = f"The {subject} {be(specs[index].name)} at"
    yield from _attribute("cell", stem, (cells[index], wrong), index, specs[index].name)


def _headings(specs: Objects, turned: list[int], rng: Rng) -> Iterator[Fields]:
    if not turned:
        return
    index = turned[int(rng.integers(len(turned)))]
    spec = specs[index]
    right = facing_word(spec.yaw)
    wrong = str(rng.choice([word for word in HEADINGS if word != right]))
    subject = phrase(spec.name, _paint(spec), bool(rng.random() < 0.5))
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
