"""The table of relations is complete and agrees with itself."""

from collections import Counter

import pytest

from spatial.observation import Observation, Seen
from spatial.predicates import PREDICATES, holds
from spatial.predicates_ambiguous import AMBIGUOUS
from spatial.relations import CATEGORIES, RELATIONS, relation_named


def test_classes_have_the_sizes_of_the_taxonomy() -> None:
    assert len(RELATIONS) == 66
    assert Counter(r.render_class for r in RELATIONS.values()) == {"E": 26, "F": 16, "M": 14, "A": 8, "X": 2}
    assert Counter(r.diffusion_class for r in RELATIONS.values()) == {"L": 20, "D": 9, "C": 24, "O": 5, "X": 8}
    assert Counter(r.category for r in RELATIONS.values()) == {
        "Adjacency": 10,
        "Directional": 12,
        "Orientation": 4,
        "Projective": 12,
        "Proximity": 5,
        "Topological": 18,
        "Unallocated": 4,
        "None": 1,
    }
    assert len(CATEGORIES) == 8


def test_exactly_the_exact_relations_have_predicates() -> None:
    assert set(PREDICATES) == {name for name, relation in RELATIONS.items() if relation.render_class in "EFM"}


def test_names_in_the_table_are_relations() -> None:
    for relation in RELATIONS.values():
        assert {relation.inverse, relation.antonym, *relation.implies} - {None} <= set(RELATIONS)


def test_inverse_of_a_symmetric_relation_is_itself() -> None:
    assert all((relation.inverse == name) == relation.symmetric for name, relation in RELATIONS.items())


def test_implications_are_closed() -> None:
    for name, relation in RELATIONS.items():
        assert name not in relation.implies
        assert {step for implied in relation.implies for step in RELATIONS[implied].implies} <= {
            name,
            *relation.implies,
        }


def test_closure_rules_of_the_taxonomy() -> None:
    assert {"touching", "near", "close to", "by"} <= set(RELATIONS["on"].implies)
    assert {"on", "above", "touching"} <= set(RELATIONS["on top of"].implies)
    assert {"in", "within", "enclosed by"} <= set(RELATIONS["inside"].implies)
    assert RELATIONS["inside"].inverse == "contains"
    assert {"far from", "away from"} <= set(RELATIONS["far away from"].implies)
    assert "left of" in RELATIONS["at the left side of"].implies


def test_only_refused_relations_give_a_reason() -> None:
    assert {name for name, relation in RELATIONS.items() if relation.refused} == {"down", "congruent", "consists of"}


def test_every_ambiguous_relation_has_a_convention_or_a_reason() -> None:
    ambiguous = {name for name, relation in RELATIONS.items() if relation.render_class == "A"}
    assert set(AMBIGUOUS) | {"consists of"} == ambiguous
    assert not set(AMBIGUOUS) & set(PREDICATES)


def test_an_unknown_relation_names_the_nearest() -> None:
    with pytest.raises(ValueError, match="did you mean 'left of'"):
        relation_named("left off")


@pytest.mark.parametrize(
    ("relation", "reason"), [("down", "two rows"), ("congruent", "ungrammatical"), ("consists of", "has as a part")]
)
def test_a_relation_without_predicate_says_why(relation: str, reason: str) -> None:
    nothing = Observation((Seen("cup", (0, 0, 1, 1)), Seen("book", (2, 0, 3, 1))), 4, 4)
    with pytest.raises(ValueError, match=reason):
        holds(relation, 0, 1, nothing)
