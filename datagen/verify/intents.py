"""Intentions of rendered pictures, from the rows of a dataset folder."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from datagen.verify.base import Claim, Intent
from spatial.records import ImageRow, Record


def claims_of(records: Iterable[Record], truth: bool = True) -> tuple[Claim, ...]:
    """Return what the records of one image state of relations, as claims that it must show.

    Statements that say whose left and right is meant are left out where that is not the viewer's, which predicates
    do not read.

    Args:
        records: of one image.
        truth: take the statements that are true of the image, or those that are false, which another picture of its
            group shows.
    """
    answer = "true" if truth else "false"
    about = [r for r in records if r.task == "statement" and r.topic == "relation" and r.answer == answer]
    kept = [r for r in about if not (r.frame == "intrinsic" and "perspective" in r.caption)]
    return tuple(dict.fromkeys(Claim(r.relation, r.subject, r.object) for r in kept))


def intent_of(row: ImageRow, claims: Iterable[Claim], depth: NDArray[np.float32] | None) -> Intent:
    """Return the intention to paint what a render shows."""
    return Intent(row.objects, tuple(claims), row.width, row.height, depth)
