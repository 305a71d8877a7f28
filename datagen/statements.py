"""Put what is known of a rendered image into records.

Two kinds: the statements of a counterfactual group, which are about its relation, and dense records, which
say everything else that is certain about one image: names, colours, places, counts.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import permutations

import numpy as np

from datagen.claims import Statement
from datagen.config import DatagenConfig
from datagen.facts import Fields, facts
from datagen.families import Rng
from datagen.groups import Group, View, is_held_out
from datagen.mention import instances, key, mention, paint, phrase
from datagen.nouns import chosen_nouns
from datagen.recipe import Recipe, axes
from spatial.predicates import frame_of, readings
from spatial.records import Record
from spatial.relations import VERBS
from spatial.scene import ObjectSpec
from spatial.sentences import listed, sentence

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
    subject, other = (mention(view.scene.objects, spec, group.coloured) for spec in (a, b))
    several = instances(view.scene.objects, a) > 1
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
    records = [Record(**shared, **fields) for fields in facts(view, rng, chosen_nouns(config))]
    for statement in group.statements:
        if statement.truth == (role == "original"):
            fields = _about(group, view, statement, image_id, role, config.split)
            records.append(Record(task="caption", answer=statement.relation, **fields))
    records += [Record(**shared, **fields) for fields in _relation_captions(view, rng, config, axes(recipes))]
    return records


def _relation_captions(
    view: View, rng: Rng, config: DatagenConfig, contrasts: Sequence[Sequence[str]]
) -> Iterator[Fields]:
    """Yield a caption of every ordered pair of objects alone of their noun, such as "left of, behind and far from".

    A relation that is a verb is not told: no list of what an object "is" has room for "contains".
    """
    specs = view.scene.objects
    alone = [index for index, spec in enumerate(specs) if instances(specs, spec) == 1]
    for a, b in permutations(alone, 2):
        if is_held_out(key(specs[a]), key(specs[b])) != (config.split == "test"):
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
        subject, other = (phrase(spec.name, paint(spec), coloured) for spec in (specs[a], specs[b]))
        yield {
            "task": "caption",
            "topic": "relation",
            "caption": sentence(subject, relations[0], other),
            "answer": listed(relations),
            "subject": a,
            "object": b,
            "relation": relations[0],
            "frame": frame_of(relations[0], a, b, view.observation),
            "concepts": (specs[a].name, specs[b].name),
        }
