"""What a user writes in YAML beside a mesh of their own: the fields of an ``Asset``, and how to read the mesh.

    name: lamp
    file: lamp.glb
    size: [0.2, 0.2, 0.45]

``docs/extending.md`` has the table of all keys.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import yaml

from datagen.assets.asset import Cavity
from datagen.assets.palette import DARK, LIGHT, MAIN
from datagen.assets.tools import ASSETS as TOOLS
from spatial.errors import ConfigError, nearest
from spatial.scene import Vector

AXES = ("x", "-x", "y", "-y", "z", "-z")
KINDS = (".glb", ".obj", ".ply")
SLOTS = {"main": MAIN, "dark": DARK, "light": LIGHT}
NAME = re.compile(r"[a-z][a-z0-9'-]*( [a-z0-9'-]+)*")
RESERVED = "without"
LARGEST_YAML = 64 * 1024


@dataclass(frozen=True)
class Declaration:
    """A mesh file and what is declared of it; fields without a comment are those of ``Asset``.

    Attributes:
        file: name of the mesh file, relative to the folder of the declaration.
        up: which axis of the file points up; only GLB has a standard, y.
        front: which axis of the file points out of the object's front; GLB's standard is z.
        parts: name of a part by pattern of the names of nodes, meshes or materials that belong to it.
        slots: "main", "dark" or "light" by pattern: what takes the object's colour word or a shade of it. The rest
            keeps its own colour. Without slots everything takes the colour word.
    """

    name: str
    file: str
    size: Vector
    up: str = ""
    front: str = ""
    has_front: bool = False
    long_axis: int = -1
    top: float = -1.0
    surface: tuple[float, float, float, float] = (-0.5, -0.5, 0.5, 0.5)
    under: float = 0.0
    cavity: Cavity | None = None
    parts: dict[str, str] = field(default_factory=dict)
    slots: dict[str, str] = field(default_factory=lambda: {"*": "main"})
    toy_boost: float = 1.0


def read_declaration(path: Path) -> Declaration:
    """Read and check a YAML file.

    Raises:
        ConfigError: it cannot be read, a key is unknown or missing, or a value cannot be used.
    """
    content = _load(path)
    known = [entry.name for entry in fields(Declaration)]
    for key in content:
        if key not in known:
            raise ConfigError(f"{path}: unknown key {key!r}{nearest(str(key), known)}; known: {', '.join(known)}")
    missing = [key for key in ("name", "file", "size") if key not in content]
    if missing:
        raise ConfigError(f"{path}: {' and '.join(missing)} is missing; write name, file and size at least")
    try:
        declared = Declaration(**{key: READERS[key](value) for key, value in content.items()})
    except _Unusable as error:
        wrong = next(key for key, value in content.items() if not _reads(READERS[key], value))
        raise ConfigError(f"{path}: {wrong} must be {error}, not {content[wrong]!r}") from error
    return _with_axes(declared, path)


class _Unusable(ValueError):
    """What a value must be, in words."""


def _load(path: Path) -> dict[Any, Any]:
    try:
        if path.stat().st_size > LARGEST_YAML:
            raise ConfigError(f"{path} has more than {LARGEST_YAML} bytes; a declaration describes one mesh")
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} cannot be read as YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path} must hold 'key: value' lines, name, file and size at least")
    return content


def _reads(reader: Callable[[Any], Any], value: Any) -> bool:
    try:
        reader(value)
    except _Unusable:
        return False
    return True


def _with_axes(declared: Declaration, path: Path) -> Declaration:
    """Fill in the axes that the format has a standard for."""
    standard = {"up": "y", "front": "z"} if declared.file.lower().endswith(".glb") else {}
    axes = {key: getattr(declared, key) or standard.get(key, "") for key in ("up", "front")}
    for key, axis in axes.items():
        if not axis:
            raise ConfigError(f"{path}: {key} is missing; OBJ and PLY do not say it: write '{key}: z', or another axis")
    if axes["up"][-1] == axes["front"][-1]:
        raise ConfigError(f"{path}: up is {axes['up']} and front is {axes['front']}; they must be different axes")
    return replace(declared, up=axes["up"], front=axes["front"])


def _name(value: Any) -> str:
    if not isinstance(value, str) or not NAME.fullmatch(value) or RESERVED in value.split():
        raise _Unusable("a noun in lower-case letters, such as 'desk lamp'")
    if value in {tool.name for tool in TOOLS}:
        raise _Unusable("another noun: the relations' own tools are called so")
    return value


def _file(value: Any) -> str:
    if not isinstance(value, str) or Path(value).suffix.lower() not in KINDS:
        raise _Unusable("the name of a .glb, .obj or .ply file in the same folder")
    return value


def _axis(value: Any) -> str:
    if value not in AXES:
        raise _Unusable(f"one of {', '.join(AXES)}")
    return str(value)


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _Unusable("true or false")
    return value


def _numbers(value: Any, count: int, low: float, high: float, example: str) -> tuple[float, ...]:
    good = isinstance(value, list) and len(value) == count
    if not good or not all(type(part) in (int, float) and low <= part <= high for part in value):
        raise _Unusable(f"{count} numbers from {low:g} to {high:g}, such as {example}")
    return tuple(map(float, value))


def _number(low: float, high: float, words: str) -> Callable[[Any], float]:
    def read(value: Any) -> float:
        if type(value) not in (int, float) or not math.isfinite(value) or not low <= value <= high:
            raise _Unusable(words)
        return float(value)

    return read


def _size(value: Any) -> Vector:
    width, depth, height = _numbers(value, 3, 1e-3, 1e3, "[0.2, 0.2, 0.45] (width, depth, height in metres)")
    return (width, depth, height)


def _long_axis(value: Any) -> int:
    if type(value) is not int or value not in (-1, 0, 1):
        raise _Unusable("0 (the width), 1 (the depth) or -1 (neither)")
    return value


def _surface(value: Any) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = _numbers(value, 4, -0.5, 0.5, "[-0.4, -0.4, 0.4, 0.2] (x0, y0, x1, y1 in the unit box)")
    if x0 >= x1 or y0 >= y1:
        raise _Unusable("x0, y0, x1, y1 with x0 < x1 and y0 < y1")
    return (x0, y0, x1, y1)


def _cavity(value: Any) -> Cavity:
    known, openings = {"low", "high", "opening"}, ("top", "front", "through", "ring")
    if not isinstance(value, dict) or set(value) - known or not {"low", "high"} <= set(value):
        raise _Unusable("{low: [x, y, z], high: [x, y, z], opening: top} in the unit box")
    low, high = (_numbers(value[end], 3, -0.5, 1.0, "[-0.4, -0.4, 0.1]") for end in ("low", "high"))
    opening = value.get("opening", "top")
    if opening not in openings or any(bottom >= top for bottom, top in zip(low, high, strict=True)):
        raise _Unusable(f"a box whose low is below its high in all axes, with opening {', '.join(openings)}")
    return Cavity((low[0], low[1], low[2]), (high[0], high[1], high[2]), opening)


def _patterns(words: str, allowed: Callable[[str], object]) -> Callable[[Any], dict[str, str]]:
    def read(value: Any) -> dict[str, str]:
        if not isinstance(value, dict) or not all(isinstance(v, str) and allowed(v) for v in value.values()):
            raise _Unusable(words)
        return {str(pattern): told for pattern, told in value.items()}

    return read


READERS: dict[str, Callable[[Any], Any]] = {
    "name": _name,
    "file": _file,
    "size": _size,
    "up": _axis,
    "front": _axis,
    "has_front": _flag,
    "long_axis": _long_axis,
    "top": _number(0.0, 1.0, "a height from 0 to 1, as a share of the object's height"),
    "surface": _surface,
    "under": _number(0.0, 1.0, "a height from 0 to 1, as a share of the object's height"),
    "cavity": _cavity,
    "parts": _patterns("patterns of names and the part that they are, such as {'Wheel*': wheel}", NAME.fullmatch),
    "slots": _patterns("patterns of names and main, dark or light, such as {Body: main}", SLOTS.__contains__),
    "toy_boost": _number(0.5, 3.0, "a number from 0.5 to 3"),
}
