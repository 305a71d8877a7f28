"""``vsre objects``: the objects that scenes can hold, as pictures and as a table of what is declared of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from tqdm import tqdm

from datagen.assets import ASSETS, CORE, Asset, toy_size, unit_mesh
from datagen.assets.catalogue import is_own
from datagen.assets.folder import assets_of
from datagen.render import render
from spatial.files import atomic
from spatial.scene import Camera, ObjectSpec, Scene
from vsre import __version__
from vsre.config import ObjectsConfig
from vsre.pages import template_environment, writing
from vsre.pictures import png_uri

OBJECTS_PAGE = "objects.html"
COLOURS, YAWS = ("red", "white"), (20.0, 200.0)
"""Every object is drawn in each colour from each side: nearly its front, and nearly its back."""

TILE = 128
PER_SHEET, COLUMNS = 20, 2
CAPTION, GAP = 20, 12
OPENINGS = {"top": "open at the top", "front": "open in front", "through": "open through", "ring": "a ring"}


@dataclass(frozen=True)
class Row:
    """A line of the table, in words."""

    name: str
    group: str
    size: str
    front: str
    long_axis: str
    support: str
    below: str
    cavity: str
    parts: str
    triangles: int


def write_objects(config: ObjectsConfig) -> Path:
    """Write ``objects.html`` and ``objects-1.png``, ``objects-2.png``, ...

    Returns:
        The path of the page.

    Raises:
        ConfigError: a mesh of ``assets`` cannot be used, or the folder cannot be written.
    """
    out = Path(config.out)
    with assets_of(config.assets):
        own = {name for name in ASSETS if is_own(name)}
        names = sorted(own) + sorted(set(ASSETS) - own)
        strips = {name: portraits(name) for name in tqdm(names, desc="objects", unit="object", disable=None)}
        rows = [row_of(ASSETS[name], "yours" if name in own else "core" if name in CORE else "") for name in names]
    with writing(out, "out"):
        sheets = list(_write_sheets(out, strips))
        page = template_environment().get_template("objects.html.j2")
        text = page.render(
            rows=[(row, png_uri(strips[row.name])) for row in rows],
            sheets=[sheet.name for sheet in sheets],
            views=[f"{colour}, turned {yaw:.0f}°" for colour in COLOURS for yaw in YAWS],
            height=TILE,
            version=__version__,
        )
        with atomic(out / OBJECTS_PAGE) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return out / OBJECTS_PAGE


def portraits(name: str) -> Image.Image:
    """Return an object from both sides in both colours, side by side."""
    size = toy_size(name)
    camera = Camera((0.0, 0.0, size[2] / 2), 1.75 * float(np.linalg.norm(size)), 22.0, 36.0)
    tiles = []
    for colour in COLOURS:
        for yaw in YAWS:
            spec = ObjectSpec(name, colour, (0.0, 0.0, 0.0), size, yaw)
            tiles.append(render(Scene((spec,), camera, width=TILE, height=TILE)).rgb)
    return Image.fromarray(np.concatenate(tiles, axis=1))


def row_of(it: Asset, group: str) -> Row:
    """Return what is declared of an object, in words; ``group`` is "yours", "core" (of the shipped models) or ""."""
    cavity = ""
    if it.cavity:
        edges = zip(it.cavity.low, it.cavity.high, it.size, strict=True)
        cavity = f"{_metres([(high - low) * extent for low, high, extent in edges])}, {OPENINGS[it.cavity.opening]}"
    return Row(
        name=it.name,
        group=group,
        size=_metres(it.size),
        front="yes" if it.has_front else "",
        long_axis={-1: "", 0: "width", 1: "depth"}[it.long_axis],
        support=f"at {it.top:.0%} of its height" if it.top >= 0 else "",
        below=f"to {it.under:.0%} of its height" if it.under > 0 else "",
        cavity=cavity,
        parts=", ".join(it.parts),
        triangles=len(unit_mesh(it.name).slots),
    )


def _metres(lengths: Sequence[float]) -> str:
    return " × ".join(f"{length:.2g}" if length < 1 else f"{length:.2f}" for length in lengths)  # noqa: RUF001


def _write_sheets(out: Path, strips: dict[str, Image.Image]) -> Iterator[Path]:
    names = list(strips)
    for start in range(0, len(names), PER_SHEET):
        part = names[start : start + PER_SHEET]
        with atomic(out / f"objects-{start // PER_SHEET + 1}.png") as temporary:
            _sheet({name: strips[name] for name in part}).save(temporary, format="PNG")
        yield out / f"objects-{start // PER_SHEET + 1}.png"


def _sheet(strips: dict[str, Image.Image]) -> Image.Image:
    """Return strips in columns, each under its name."""
    first = next(iter(strips.values()))
    columns = min(len(strips), COLUMNS)
    step_x, step_y = first.width + GAP, first.height + CAPTION + GAP
    sheet = Image.new("RGB", (GAP + columns * step_x, GAP + -(-len(strips) // columns) * step_y), "white")
    canvas, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    for place, (name, strip) in enumerate(strips.items()):
        left, top = GAP + place % columns * step_x, GAP + place // columns * step_y
        canvas.text((left, top), name, "black", font)
        sheet.paste(strip, (left, top + CAPTION))
    return sheet
