"""Intentions of rendered pictures, from the rows of a dataset folder."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from datagen.verify.base import Claim, Intent
from spatial.records import ImageRow, Record


def claims_of(records: Iterable[Record]) -> tuple[Claim, ...]:
    """Return what the records of one image state of relations, as claims that it must show to be true or false.

    Statements that say whose left and right is meant are left out where that is not the viewer's, which predicates
    do not read.
    """
    about = [record for record in records if record.task == "statement" and record.topic == "relation"]
    kept = [it for it in about if not (it.frame == "intrinsic" and "perspective" in it.caption)]
    return tuple(dict.fromkeys(Claim(it.relation, it.subject, it.object, it.answer == "true") for it in kept))


def intent_of(row: ImageRow, claims: Iterable[Claim], depth: NDArray[np.float32] | None) -> Intent:
    """Return the intention to paint what a render shows."""
    return Intent(row.objects, tuple(claims), row.width, row.height, depth)
