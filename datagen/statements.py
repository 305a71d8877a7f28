"""Put what is known of a rendered image into records.

Two kinds: the statements of a counterfactual group, which are about its relation, and dense records, which
say everything else that is certain about one image: names, colours, places, counts.
"""

import json
from collections.abc import Iterator, Sequence
from itertools import permutations
from typing import Any

import numpy as np

from datagen.assets import ASSETS, COLOURS
from datagen.families import Rng
from datagen.groups import Group, Statement, View, is_held_out
from datagen.recipe import Recipe, axes
from spatial.predicates import frame_of, readings
from spatial.records import ImageObject, ImageRow, Record, encode_mask, encode_png, image_id_of
from spatial.scene import ObjectSpec
from spatial.templates import sentence
from spatial.vocabulary import NUMBERS, cell, facing_word

Fields = dict[str, Any]
"""Arguments of ``Record``."""

Objects = tuple[ObjectSpec, ...]

AXES_PER_CAPTION = 4
"""A caption about two objects tells at most this many of the relations that hold between them."""

LICENCE = "CC0-1.0 (rendered by vsre)"


def image_row(group: Group, view: View) -> ImageRow:
    """Return the image of a view with its objects as seen."""
    scene, pixels = view.scene, view.rendered.rgb
    objects = []
    for spec, seen in zip(scene.objects, view.observation.objects, strict=True):
        depth = seen.depth[1] if seen.depth else float("nan")
        box = (round(seen.box[0], 2), round(seen.box[1], 2), round(seen.box[2], 2), round(seen.box[3], 2))
        mask = encode_mask(seen.mask) if seen.mask is not None else ""
        objects.append(
            ImageObject(spec.name, box, spec.colour, mask, round(depth, 4), (*spec.position, *spec.size, spec.yaw))
        )
    provenance = {
        "relation": group.recipe.relation,
        "counterpart": group.recipe.counterpart,
        "attempts": group.attempts,
    }
    return ImageRow(
        image_id=image_id_of(pixels),
        image=encode_png(pixels),
        width=scene.width,
        height=scene.height,
        source="render",
        objects=tuple(objects),
        scene_id=scene.scene_id,
        scene=scene.canonical_json(),
        licence=LICENCE,
        provenance=json.dumps(provenance, sort_keys=True),
    )


def group_records(group: Group, image_ids: tuple[str, str], split: str) -> Iterator[Record]:
    """Yield true/false statements and two-way choices; each caption and each image is true half of the time."""
    for role, view, image_id in zip(("original", group.recipe.family.change), group.views, image_ids, strict=True):
        original = role == "original"
        for index, statement in enumerate(group.statements):
            truth = statement.truth == original
            fields = _about(group, view, statement, image_id, role, split)
            kind = "" if truth else statement.negative_kind
            yield Record(task="statement", answer="true" if truth else "false", negative_kind=kind, **fields)
            if truth:
                partner = group.statements[index ^ 1].relation
                options = tuple(sorted((statement.relation, partner)))
                yield Record(task="choice", answer=statement.relation, options=options, **fields)


def _about(group: Group, view: View, statement: Statement, image_id: str, role: str, split: str) -> Fields:
    a, b = (view.scene.objects[i] for i in (statement.a, statement.b))
    subject, other = (phrase(spec.name, spec.colour, group.coloured) for spec in (a, b))
    return {
        "image_id": image_id,
        "group_id": group.group_id,
        "role_in_group": role,
        "topic": "relation",
        "caption": sentence(subject, statement.relation, other),
        "subject": statement.a,
        "object": statement.b,
        "relation": statement.relation,
        "frame": frame_of(statement.relation, statement.a, statement.b, view.observation),
        "concepts": (a.name, b.name),
        "split": split,
    }


def phrase(name: str, colour: str, coloured: bool) -> str:
    """Return "red cup" or "cup"."""
    return f"{colour} {name}" if coloured else name


def dense_records(
    group: Group, view: View, role: str, image_id: str, split: str, recipes: Sequence[Recipe]
) -> list[Record]:
    """Return what is certain of one image: names, colours, places, counts, and true relations as captions.

    Relations are those of ``recipes``, told of every ordered pair of objects whose nouns belong together in ``split``.
    The answer of a relation caption is the relation alone, "left of and far from": a model that learns from whole
    sentences spends nearly all of its loss on words that the question has given away.
    """
    rng = np.random.Generator(np.random.Philox(key=int(image_id, 16)))
    shared: Fields = {"image_id": image_id, "group_id": group.group_id, "role_in_group": role, "split": split}
    records = [Record(**shared, **fields) for fields in _facts(view, rng)]
    for statement in group.statements:
        if statement.truth == (role == "original"):
            fields = _about(group, view, statement, image_id, role, split)
            records.append(Record(task="caption", answer=statement.relation, **fields))
    records += [Record(**shared, **fields) for fields in _relation_captions(view, rng, split, axes(recipes))]
    return records


def _facts(view: View, rng: Rng) -> Iterator[Fields]:
    specs = view.scene.objects
    boxes = [seen.box for seen in view.observation.objects]
    cells = [cell(box, view.scene.width, view.scene.height) for box in boxes]
    text = dense_caption(view)
    yield {"task": "caption", "topic": "scene", "caption": text, "answer": text}
    for index, (spec, place) in enumerate(zip(specs, cells, strict=True)):
        coloured = bool(rng.random() < 0.5)
        fields = {"subject": index, "concepts": (spec.name,), "topic": "cell"}
        subject = phrase(spec.name, spec.colour, coloured)
        yield {**fields, "task": "locate", "caption": f"The {subject} is at {place}.", "answer": place}
        if cells.count(place) == 1:
            subject = phrase(spec.name, spec.colour, True)
            yield {**fields, "task": "name", "caption": f"The {subject} is at {place}.", "answer": subject}
    yield from _presence(specs, rng)
    yield from _colours(specs, rng)
    yield from _counts(len(specs), rng)


def _relation_captions(view: View, rng: Rng, split: str, contrasts: Sequence[Sequence[str]]) -> Iterator[Fields]:
    """Yield a caption of every ordered pair, its answer such as "left of, behind and far from"."""
    specs = view.scene.objects
    for a, b in permutations(range(len(specs)), 2):
        if is_held_out(specs[a].name, specs[b].name) != (split == "test"):
            continue
        true = {name for name, answer in readings(a, b, view.observation).items() if answer}
        told = [str(rng.choice(names)) for axis in contrasts if (names := [name for name in axis if name in true])]
        if not told:
            continue
        kept = sorted(rng.permutation(len(told))[:AXES_PER_CAPTION])
        relations = [told[i] for i in kept]
        coloured = bool(rng.random() < 0.5)
        subject, other = (phrase(spec.name, spec.colour, coloured) for spec in (specs[a], specs[b]))
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
        heading = f" facing {facing_word(spec.yaw)}" if spec.has_front else ""
        place = cell(seen.box, view.scene.width, view.scene.height)
        lines.append(((seen.box[0] + seen.box[2]) / 2, f"{place} {spec.colour} {spec.name}{heading}"))
    return ", ".join(line for _, line in sorted(lines))


def _presence(specs: Objects, rng: Rng) -> Iterator[Fields]:
    index = int(rng.integers(len(specs)))
    present, absent = specs[index].name, str(rng.choice(sorted(set(ASSETS) - {spec.name for spec in specs})))
    yield _statement("presence", f"There is a {present} in the picture.", True, index, present)
    yield _statement("presence", f"There is a {absent} in the picture.", False, -1, absent, "absent")


def _colours(specs: Objects, rng: Rng) -> Iterator[Fields]:
    index = int(rng.integers(len(specs)))
    spec = specs[index]
    elsewhere = [other.colour for other in specs if other is not spec]
    wrong = str(rng.choice(elsewhere)) if rng.random() < 0.5 else str(rng.choice(sorted(set(COLOURS) - {spec.colour})))
    yield _statement("colour", f"The {spec.name} is {spec.colour}.", True, index, spec.name)
    yield _statement("colour", f"The {spec.name} is {wrong}.", False, index, spec.name, "colour")


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
