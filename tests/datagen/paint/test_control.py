"""With control more comes out as it was meant: measured by the real verifier on what pictures show."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datagen.assets import CORE
from datagen.config import DatagenConfig, PaintSettings, YieldConfig
from datagen.engines.base import CONTROLLED, EngineKind, Order, Painting
from datagen.paint.run import run_painted
from datagen.paint.stages import Parts
from datagen.paint.yield_run import show_yield
from datagen.paint.yields import ALL
from datagen.verify.base import Detection, Pixels
from datagen.verify.models import Models
from datagen.verify.verifier import Verifier
from spatial.records import image_id_of
from spatial.scene import digest
from tests.stand_ins import GEOMETRY, load_halves


@dataclass
class Draughtsman:
    """Draws what it is told, but with words alone it does not know left from right; and finds what it drew.

    Attributes:
        control: whether it is given geometry.
        drawn: what its pictures show, by their hash.
    """

    control: bool
    drawn: dict[str, list[Detection]] = field(default_factory=dict)
    name: str = "draughtsman"
    vocabulary: frozenset[str] | None = frozenset(CORE)

    def paint(self, orders: Sequence[Order]) -> list[Painting]:
        return [self._paint(order) for order in orders]

    def _paint(self, order: Order) -> Painting:
        assert order.passes is not None
        step = -1 if not self.control and int(digest(f"{order.key}/{order.seed}"), 16) % 2 else 1
        pixels, ids = np.ascontiguousarray(order.passes.rgb[:, ::step]), order.passes.ids[:, ::step]
        nouns = [words.partition(" ")[2] for words in order.prompts.objects]  # without colours
        self.drawn[image_id_of(pixels)] = [_found(noun, ids == index) for index, noun in enumerate(nouns)]
        return Painting(pixels, {"prompt": order.prompts.whole, "seed": order.seed})

    @property
    def provenance(self) -> dict[str, Any]:
        return {"engine": self.name}

    def detect(self, pictures: Sequence[Pixels], nouns: Sequence[Sequence[str]]) -> list[list[Detection]]:
        return [self.drawn[image_id_of(pixels)] for pixels in pictures]


def _found(noun: str, mask: NDArray[np.bool_]) -> Detection:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return Detection(noun, (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1), 0.9, mask)


def test_an_engine_without_control_yields_less(small: DatagenConfig, tmp_path: Path) -> None:
    config = replace(small, groups=16, groups_per_shard=4, paint=PaintSettings(), relations=["left of", "right of"])
    config = replace(config, engine=replace(config.engine, name="draughtsman"), verify=replace(config.verify, depth=""))
    folders = []
    for without in (False, True):
        engine = Draughtsman(not without)
        parts = Parts(
            {
                "draughtsman": EngineKind(
                    GEOMETRY, "CC0-1.0 (test)", lambda settings, it=engine: it, settings=CONTROLLED
                )
            },
            lambda settings, it=engine: Verifier(settings, Models([it])),
            load_halves,
        )
        own = replace(config, out=str(tmp_path / str(without)), engine=replace(config.engine, without_control=without))
        folders.append(run_painted(own, parts))
    content = json.loads(show_yield(YieldConfig(str(folders[0]), [str(folders[1])])).read_text())
    totals = {line["control"]: line for line in content["rows"] if line["relation"] == ALL}
    assert totals[True]["attempts"] == totals[False]["attempts"] == 32
    assert totals[True]["visor_unconditional"]["share"] == 1.0 == totals[True]["objects"]["share"]
    low, high = totals[False]["visor_unconditional"]["ci95"]
    assert low < 0.5 < high < 1.0, "half of the pictures are mirrored"
    assert totals[False]["objects"]["share"] == 1.0, "what is missing is the relation alone"
    assert set(totals[False]["reasons"]) >= {"relation: contradicted", "partner: rejected"}
    assert totals[True]["accepted"]["share"] > totals[False]["accepted"]["share"] + 0.3
