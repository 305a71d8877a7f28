"""Painted pictures as rows of a dataset folder: accepted groups, and beside them in ``rejected`` all the others.

Rejected pictures are kept with their verdicts: they are what yields are counted from, and hard cases for a verifier.
Nothing is stated about a picture that failed. One that is right itself, but whose partner is not, keeps its statements
there, out of the balanced data.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from datagen.claim import REJECTED
from datagen.image_rows import LICENCE as RENDERED
from datagen.paint.specs import Painted, Spec, Verified
from datagen.verify.verdicts import to_json
from spatial.dataset import write_shard
from spatial.files import write_json
from spatial.records import ImageRow, Record, encode_png, image_id_of

TIMES = "times"
"""Folder of the seconds that each shard took. They depend on the machine, so that they are not in the rows."""


@dataclass(frozen=True)
class Origin:
    """What all pictures of an engine share.

    Attributes:
        licence: of what it paints.
        provenance: see ``datagen.engines.base.Engine.provenance``.
        verifier: likewise of the verifier that judged them.
        masks: likewise of what found the objects that were repainted; empty where nothing did.
    """

    licence: str
    provenance: Mapping[str, Any]
    verifier: Mapping[str, Any]
    masks: Mapping[str, Any] = field(default_factory=dict)


def write_painted(folder: Path, shard: int, verified: Sequence[Verified], origins: Mapping[str, Origin]) -> None:
    """Write a shard with what was rejected of it; the accepted part, which makes the shard finished, comes last."""
    accepted: tuple[list[ImageRow], list[Record]] = ([], [])
    rejected: tuple[list[ImageRow], list[Record]] = ([], [])
    for it in verified:
        images, records = rows_of(it, origins[it.painted.attempt.engine])
        place = accepted if it.accepted else rejected
        place[0].extend(images)
        place[1].extend(records)
    write_shard(folder / REJECTED, shard, *rejected)
    write_json(folder / TIMES / f"shard-{shard:05d}.json", times_of(verified))
    write_shard(folder, shard, *accepted)


def rows_of(verified: Verified, origin: Origin) -> tuple[list[ImageRow], list[Record]]:
    """Return the pictures of an attempt, and the records of those that passed."""
    images, records = [], []
    for place, spec in enumerate(verified.painted.attempt.specs):
        image = _image(verified, place, origin)
        images.append(image)
        if verified.passed[place]:
            records += [
                replace(record, image_id=image.image_id, group_id=verified.painted.attempt.group_id, record_id="")
                for record in spec.records
            ]
    return images, records


def _image(verified: Verified, place: int, origin: Origin) -> ImageRow:
    painted = verified.painted
    spec, painting = painted.attempt.specs[place], painted.paintings[place]
    drawn = json.loads(spec.row.provenance)
    provenance = {
        **drawn,
        "painted": _summary(painted, spec),
        "painting": painting.provenance,
        "engine": origin.provenance,
        "verifier": origin.verifier,
        **({"masks": origin.masks} if origin.masks else {}),
    }
    return replace(
        spec.row,
        image_id=image_id_of(painting.pixels),
        image=encode_png(painting.pixels),
        source=painted.attempt.engine,
        licence=_licence(origin.licence, spec.row.licence, painted.attempt.control),
        provenance=json.dumps(provenance, sort_keys=True),
        verdicts=to_json(verified.verdicts[place]),
    )


def _summary(painted: Painted, spec: Spec) -> dict[str, Any]:
    """Return what tells a picture of a run from the others, from which yields are counted."""
    attempt = painted.attempt
    return {
        "engine": attempt.engine,
        "control": attempt.control,
        "group": attempt.group_id,
        "number": attempt.number,
        "spec": spec.name,
        "role": spec.role,
        "relation": spec.relation,
        "readable": spec.readable,
        "claims": [asdict(claim) for claim in spec.intent.claims],
    }


def _licence(engine: str, under: str, control: bool) -> str:
    """Return the licence of a picture: the engine's, and that of a photo or of meshes whose shape it took over."""
    return engine if not control or under == RENDERED else f"{engine}; painted over: {under}"


def times_of(verified: Sequence[Verified]) -> list[dict[str, Any]]:
    """Return seconds of painting and of verifying, and how many pictures they were, by relation, engine and control."""
    found: dict[tuple[str, str, bool], dict[str, Any]] = {}
    for it in verified:
        attempt = it.painted.attempt
        for spec, paint, verify in zip(attempt.specs, it.painted.seconds, it.seconds, strict=True):
            key = (spec.relation, attempt.engine, attempt.control)
            names = dict(zip(("relation", "engine", "control"), key, strict=True))
            entry = found.setdefault(key, {**names, "pictures": 0, "paint": 0.0, "verify": 0.0})
            entry["pictures"] += 1
            entry["paint"] += paint
            entry["verify"] += verify
    return [
        {**entry, "paint": round(entry["paint"], 4), "verify": round(entry["verify"], 4)} for entry in found.values()
    ]
