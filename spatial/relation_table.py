"""The 66 relations of VSR as one table (Liu, Emerson, Collier, TACL 2023), read by ``spatial.relations``.

Columns: name | meta category | render and diffusion class | frame | inverse | antonym | implies.
``=`` as inverse means symmetric; ``-`` means none. The classes are explained in ``spatial.relations.Relation``.
"Implies" lists the direct steps of the closure: where the row's relation is true, so are these.
"""

TABLE = """
adjacent to         | Adjacency  | E L| free     | =                   | away from           | by
alongside           | Adjacency  | E L| free     | =                   | perpendicular to    | adjacent to
at the side of      | Adjacency  | F L| intrinsic| -                   | away from           | by
at the right side of| Adjacency  | F L| viewer   | at the left side of | at the left side of | right of, by
at the left side of | Adjacency  | F L| viewer   | at the right side of| at the right side of| left of, by
attached to         | Adjacency  | M C| free     | =                   | detached from       | touching
at the back of      | Adjacency  | F D| intrinsic| -                   | ahead of            | by
ahead of            | Adjacency  | F D| intrinsic| -                   | at the back of      | -
against             | Adjacency  | E C| free     | =                   | detached from       | touching
at the edge of      | Adjacency  | E C| free     | -                   | in the middle of    | on
off                 | Directional| E C| free     | -                   | on                  | -
past                | Directional| A D| intrinsic| -                   | -                   | -
toward              | Directional| F O| intrinsic| -                   | facing away from    | facing
down                | Directional| X X| free     | -                   | -                   | -
away from           | Directional| F D| intrinsic| -                   | next to             | -
along               | Directional| E C| free     | -                   | perpendicular to    | by
around              | Directional| M C| free     | -                   | -                   | -
into                | Directional| A C| free     | -                   | out of              | -
across              | Directional| A C| free     | -                   | -                   | -
across from         | Directional| F D| intrinsic| =                   | -                   | -
through             | Directional| M X| free     | -                   | -                   | -
down from           | Directional| A X| free     | -                   | -                   | -
facing              | Orientation| F O| intrinsic| -                   | facing away from    | -
facing away from    | Orientation| F O| intrinsic| -                   | facing              | -
parallel to         | Orientation| E O| free     | =                   | perpendicular to    | -
perpendicular to    | Orientation| E O| free     | =                   | parallel to         | -
on top of           | Projective | E C| free     | beneath             | beneath             | on, above
beneath             | Projective | E C| free     | on top of           | on top of           | under, below
beside              | Projective | E L| free     | =                   | away from           | by
behind              | Projective | F D| viewer   | in front of         | in front of         | -
left of             | Projective | F L| viewer   | right of            | right of            | -
right of            | Projective | F L| viewer   | left of             | left of             | -
under               | Projective | E C| free     | over                | over                | beneath, below
in front of         | Projective | F D| viewer   | behind              | behind              | -
below               | Projective | E L| free     | above               | above               | -
above               | Projective | E L| free     | below               | below               | -
over                | Projective | E L| free     | under               | under               | above
in the middle of    | Projective | E L| free     | -                   | at the edge of      | on
by                  | Proximity  | E L| free     | =                   | far from            | close to
close to            | Proximity  | E L| free     | =                   | far away from       | by, near
near                | Proximity  | E L| free     | =                   | far from            | -
far from            | Proximity  | E L| free     | =                   | near                | away from
far away from       | Proximity  | E L| free     | =                   | close to            | far from
connected to        | Topological| M C| free     | =                   | detached from       | -
detached from       | Topological| E C| free     | =                   | touching            | -
has as a part       | Topological| M X| free     | part of             | -                   | -
part of             | Topological| M X| free     | has as a part       | -                   | -
contains            | Topological| M C| free     | inside              | -                   | -
within              | Topological| M C| free     | contains            | outside             | -
at                  | Topological| A C| free     | -                   | -                   | -
on                  | Topological| E C| free     | -                   | off                 | touching, by
in                  | Topological| M C| free     | contains            | outside             | -
with                | Topological| A X| free     | =                   | -                   | -
surrounding         | Topological| M C| free     | enclosed by         | -                   | -
among               | Topological| M L| free     | -                   | -                   | -
consists of         | Topological| A X| free     | part of             | -                   | -
out of              | Topological| A C| free     | -                   | into                | -
between             | Topological| M L| free     | -                   | -                   | -
inside              | Topological| M C| free     | contains            | outside             | in, within, enclosed by
outside             | Topological| E C| free     | -                   | inside              | -
touching            | Topological| E C| free     | =                   | detached from       | by
beyond              | Unallocated| F D| viewer   | -                   | in front of         | behind
next to             | Unallocated| E L| free     | =                   | away from           | beside
opposite to         | Unallocated| F D| intrinsic| =                   | -                   | across from
enclosed by         | Unallocated| M C| free     | surrounding         | outside             | -
congruent           | None       | X X| free     | -                   | -                   | -
"""

REFUSED = {
    "down": "two rows in all of VSR ('down the toilet'): no layout to learn from; use 'into' or 'below'",
    "consists of": "a thing consists of all its parts or of a material, and no scene shows either; use 'has as a part'",
    "congruent": "one ungrammatical row in all of VSR ('The couch is congruent the cat'): it states no layout",
}
"""Why a relation is not generated: those of render class X, and one of class A that no convention makes honest."""

VSR_ROWS = """
touching 1281, in front of 737, behind 709, under 589, on 585, on top of 505, at the right side of 480, at the left
side of 421, contains 343, beneath 341, above 341, next to 309, facing 306, below 277, in 276, inside 240, far away
from 232, at the edge of 211, left of 210, beside 188, facing away from 180, away from 155, far from 145, right of
113, part of 113, near 110, at the back of 94, across from 94, close to 93, in the middle of 92, parallel to 90,
surrounding 90, over 84, adjacent to 77, off 74, perpendicular to 71, at the side of 58, attached to 56, alongside
55, by 52, against 46, ahead of 39, connected to 37, toward 36, opposite to 36, consists of 35, within 33, outside
32, into 29, has as a part 28, enclosed by 21, beyond 20, with 19, across 14, down from 13, detached from 13, out of
11, around 7, along 6, past 5, at 5, between 5, down 2, through 1, among 1, congruent 1
"""
"""How many rows VSR's random split, its released files without duplicates, has of each relation."""
