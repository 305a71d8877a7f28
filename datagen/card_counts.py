"""The sections of a card that are counted from records and images (``datagen.tally``)."""

from collections import Counter, defaultdict
from collections.abc import Iterable

from datagen.markdown import Cells, share, table
from datagen.recipe import choose_recipes
from datagen.tally import Draws, Tally
from spatial.relations import RELATIONS, Relation
from spatial.vsr_photos import SOURCE


def kinds(tally: Tally) -> list[str]:
    """Count records."""
    rows = [(task, topic, split or "-", f"{count:,}") for (task, topic, split), count in sorted(tally.kinds.items())]
    return table(("task", "topic", "split", "records"), rows)


def balance(tally: Tally) -> list[str]:
    """Tell how often statements about relations are true, of a caption, of an image and in all."""
    total = sum(tally.statements.values())
    if not total:
        return ["None."]
    true = sum(count for (_, _, answer), count in tally.statements.items() if answer == "true")
    uneven = len(tally.lopsided)
    plural = "" if uneven == 1 else "s"
    lines = [
        f"- {share(true, total)} of {total:,} are true.",
        "- In its group each caption is as often true as false"
        + (f", but for {uneven:,} caption{plural}." if uneven else ": words alone decide nothing."),
        f"- {tally.stated - tally.tilted:,} of {tally.stated:,} images have as many true as false ones"
        + (": the image alone decides nothing." if not tally.tilted else "."),
    ]
    if tally.choices:
        places = ", ".join(share(tally.choices[place], tally.choices.total()) for place in sorted(tally.choices))
        lines.append(f"- Of {tally.choices.total():,} choices the right answer is first, second, ... in {places}.")
    return lines


def relations(tally: Tally) -> list[str]:
    """Count true and false statements of each relation, and tell which relations are missing."""
    keys = sorted({key[:2] for key in tally.statements})
    if not keys:
        return []
    rows: list[Cells] = []
    for relation, frame in keys:
        true, false = (tally.statements[relation, frame, answer] for answer in ("true", "false"))
        rows.append((relation, frame or "-", f"{true:,}", f"{false:,}", share(true, true + false)))
    absent = sorted(set(RELATIONS) - {relation for relation, _ in keys})
    unproven = [name for name in absent if name not in _contrasted()] if tally.draws else []
    absent = [name for name in absent if name not in unproven]
    return [
        *table(("relation", "frame", "true", "false", "share true"), rows),
        *(["", f"Not in this dataset: {', '.join(absent)}."] if absent else []),
        *(["", *_left_out(unproven)] if unproven else []),
    ]


def _contrasted() -> set[str]:
    """Return the relations that some scene and its counterfactual can show."""
    return {name for recipe in choose_recipes(["all"]) for name in (recipe.relation, recipe.counterpart)}


def _left_out(names: Iterable[str]) -> list[str]:
    rows = [(name, _why(RELATIONS[name])) for name in names]
    return [
        "These relations have no counterfactual, so nothing is stated about them, and they are no part of the proof",
        "that words alone and images alone decide nothing:",
        "",
        *table(("relation", "why"), rows),
    ]


def _why(relation: Relation) -> str:
    """Return why no scene and counterfactual are made of a relation."""
    if relation.render_class == "A":
        return "ambiguous in a still picture"
    return relation.refused or "no scene is built for it yet"


def negatives(tally: Tally) -> list[str]:
    """Count false statements by how they were made."""
    by_topic: Counter[str] = Counter()
    for (topic, _), count in tally.negatives.items():
        by_topic[topic] += count
    rows = [
        (topic, kind or "-", f"{count:,}", share(count, by_topic[topic]))
        for (topic, kind), count in sorted(tally.negatives.items())
    ]
    return table(("topic", "made by", "statements", "share of topic"), rows) if rows else ["None."]


def acceptance(tally: Tally) -> list[str]:
    """Tell how many draws groups took, by relation and by kind of contrast."""
    if not tally.draws:
        return ["The images were not drawn by a sampler that counts its draws."]
    by_relation: dict[str, Draws] = defaultdict(Draws)
    by_kind: dict[str, Draws] = defaultdict(Draws)
    partners: dict[str, set[str]] = defaultdict(set)
    for (relation, counterpart, kind), found in tally.draws.items():
        by_kind[kind].add(found)
        for name in {relation, counterpart}:
            by_relation[name].add(found)
        partners[relation].add(counterpart)
        partners[counterpart].add(relation)
    rows = [(name, ", ".join(sorted(partners[name])), *_drawn(found)) for name, found in sorted(by_relation.items())]
    return [
        "Accepted groups over all draws. A draw fails when predicates, framing or visibility say no; a group counts",
        "for each relation that it contrasts.",
        "",
        *table(("relation", "contrasted with", "groups", "draws", "accepted"), rows),
        "",
        *table(
            ("contrast", "groups", "draws", "accepted"), [(kind, *_drawn(by_kind[kind])) for kind in sorted(by_kind)]
        ),
    ]


def _drawn(found: Draws) -> tuple[str, str, str]:
    return f"{found.groups:,}", f"{found.attempts:,}", share(found.groups, found.attempts)


def images(tally: Tally) -> list[str]:
    """Tell what images show and under which licence."""
    rows = [(licence, f"{count:,}") for licence, count in sorted(tally.licences.items())]
    frequent = sorted(tally.nouns.items(), key=lambda item: (-item[1], item[0]))[:10]
    nouns = ", ".join(f"{noun} ({count:,})" for noun, count in frequent)
    objects = tally.nouns.total()
    named = [f"{objects:,} objects of {len(tally.nouns)} nouns, most often {nouns}.", ""] if objects else []
    return [*named, *_boxes(tally), *table(("licence", "images"), rows)]


def _boxes(tally: Tally) -> list[str]:
    """Tell how far the boxes of photos are known; a renderer knows all."""
    if SOURCE not in tally.sources:
        return []
    total = sum(tally.statements.values())
    return [
        f"{tally.boxed:,} of {total:,} statements about relations have the boxes of both things.",
        f"In {tally.several:,} of these the picture has several objects of a noun; of a photo's the largest was taken.",
        "COCO's crowd regions are no object.",
        "",
    ]
