"""A fault changes what it says and nothing else, and is visible."""

from typing import Any

import numpy as np
import pytest

from datagen.render import render
from datagen.verify.faults import FAULTS, make_faulty
from datagen.visibility import MIN_PIXELS
from spatial.observation import observe
from spatial.predicates import holds


def made(name: str, cases: Any) -> list[tuple[Any, Any, Any]]:
    found = []
    for index, case in enumerate(cases):
        faulty = make_faulty(FAULTS[name], case.scene, case.claim, np.random.default_rng(index), 1)
        if faulty and len(found) < 4:
            found.append((case, case.claim, faulty))
    assert len(found) >= 2
    return found


def nouns(scene: Any) -> list[str]:
    return sorted(spec.name for spec in scene.objects)


def test_one_thing_is_missing(cases: Any) -> None:
    for case, claim, faulty in made("missing", cases):
        gone = {case.scene.objects[index].name for index in (claim.subject, claim.object)}
        left = nouns(faulty.scene)
        assert len(left) == len(case.scene.objects) - 1 and set(nouns(case.scene)) - set(left) <= gone


def test_one_thing_is_there_twice_clear_of_all_others(cases: Any) -> None:
    for case, claim, faulty in made("duplicate", cases):
        assert faulty.scene.objects[:-1] == case.scene.objects
        copy, boxes = faulty.scene.objects[-1], [seen.box for seen in observe(faulty.scene).objects]
        assert copy.name in {case.scene.objects[index].name for index in (claim.subject, claim.object)}
        assert all(0 <= side <= 96 for side in boxes[-1])
        shown = render(faulty.scene, 1).ids
        assert (shown == len(case.scene.objects)).mean() >= MIN_PIXELS


@pytest.mark.parametrize("name", ["swapped", "depth"])
def test_exchanged_things_no_longer_stand_as_claimed(name: str, cases: Any) -> None:
    for case, claim, faulty in made(name, cases):
        assert nouns(faulty.scene) == nouns(case.scene)
        assert holds(claim.relation, claim.subject, claim.object, observe(case.scene)) is True
        assert holds(claim.relation, claim.subject, claim.object, observe(faulty.scene)) is False


def test_another_noun_or_colour_stands_in_the_same_place(cases: Any) -> None:
    for case, _, faulty in made("noun", cases):
        pairs = list(zip(case.scene.objects, faulty.scene.objects, strict=True))
        assert [a.position for a, _ in pairs] == [b.position for _, b in pairs]
        assert sum(a.name != b.name for a, b in pairs) == 1
    for case, _, faulty in made("colour", cases):
        pairs = list(zip(case.scene.objects, faulty.scene.objects, strict=True))
        assert [a.name for a, _ in pairs] == [b.name for _, b in pairs]
        assert sum(a.colour != b.colour for a, b in pairs) == 1


def test_a_smudge_covers_one_thing_only(cases: Any) -> None:
    for case, claim, faulty in made("blurred", cases):
        changed = (faulty.pixels != case.drawn.rgb).any(-1)
        parts = [changed[case.drawn.ids == index].mean() for index in (claim.subject, claim.object)]
        assert max(parts) > 0.9 and faulty.scene == case.scene


def test_the_same_seed_makes_the_same_fault(cases: Any) -> None:
    for name in ("missing", "duplicate", "noun", "colour", "blurred"):
        for (_, _, first), (_, _, again) in zip(made(name, cases), made(name, cases), strict=True):
            assert first.scene == again.scene and (first.pixels == again.pixels).all()
    case = cases[0]
    scenes = [
        make_faulty(FAULTS["colour"], case.scene, case.claim, np.random.default_rng(seed), 1) for seed in range(6)
    ]
    assert len({faulty.scene for faulty in scenes if faulty}) > 1, "another seed makes another fault"
