"""All findings of a run as pictures in its folder."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from eval.interpret.effects import ALL_HEADS
from eval.interpret.plot_compared import ENCODERS, draw_difference, draw_encoders
from eval.interpret.plot_heads import draw_exchanged, draw_functions, draw_heads
from eval.interpret.plot_places import draw_cuts, draw_effects
from eval.interpret.plot_universal import draw_universality
from eval.interpret.sites import KINDS
from eval.interpret.universal import Chosen

CUTS = "cut"
"""Kind of the rows about attention that is cut off (``eval.interpret.cuts.KIND``)."""


def draw(out: Path, found: Mapping[str, Any], chosen: Sequence[Chosen] = ()) -> list[Path]:
    """Draw all findings into a folder, and return the pictures.

    Args:
        out: the folder.
        found: findings.
        chosen: how sites came out in each condition, for the pictures about universality.
    """
    made = []
    for mode, own in found["modes"].items():
        for direction, rows in own["directions"].items():
            sites = [row for row in rows if row["kind"] in KINDS and row["head"] == ALL_HEADS]
            if sites:
                made.append(draw_effects(sites, mode, direction, out / f"effects-{mode}-{direction}.png"))
        if any(row["kind"] == ENCODERS for rows in own["directions"].values() for row in rows):
            made.append(draw_encoders(own["directions"], out / "encoders.png"))
        cuts = [row for rows in own["directions"].values() for row in rows if row["kind"] == CUTS]
        if cuts:
            made.append(draw_cuts(cuts, mode, out / f"cuts-{mode}.png"))
        if own["heads"]["all"]:
            made.append(draw_heads(own["heads"], mode, out / f"heads-{mode}.png"))
        if own["exchanged"]:
            made.append(draw_exchanged(own["exchanged"], mode, out / f"exchanged-{mode}.png"))
    for mode, directions in found.get("against", {}).get("sites", {}).items():
        for direction, rows in directions.items():
            made.append(
                draw_difference(rows, found["against"], mode, direction, out / f"against-{mode}-{direction}.png")
            )
    if found["functions"]:
        made.append(draw_functions(found["functions"], out / "functions.png"))
    made += draw_universality(found["universality"], chosen, out)
    return made
