"""Put the code of a model beside its weights, so that Transformers loads it where this repository is not.

With ``trust_remote_code=True`` Transformers copies the Python files of a model's directory into a package of its own
and imports the class that ``auto_map`` names. It knows flat directories and relative imports only. So every module
that model and processor need, of ``encoders`` and ``spatial``, becomes a file named after both (``encoders.tower`` is
``encoders_tower.py``), and its imports of the others become relative; nothing else is changed.
"""

import ast
import json
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from spatial.files import atomic, write_json

OURS = ("encoders", "spatial")

MODEL = {
    "AutoConfig": "encoders.configuration.VsreConfig",
    "AutoModel": "encoders.modeling.VsreModel",
    "AutoModelForImageTextToText": "encoders.modeling.VsreForConditionalGeneration",
}
PROCESSOR = {"AutoProcessor": "encoders.processing.VsreProcessor"}
IMAGE_PROCESSOR = {"AutoImageProcessor": "encoders.processing.VsreImageProcessor"}


def write_bundle(folder: Path, origin: str) -> list[str]:
    """Write the code of model and processor into a checkpoint directory, and name it in its settings.

    Args:
        folder: with ``config.json`` and ``processor_config.json`` as ``save_pretrained`` writes them.
        origin: what the code is of, such as "vsre 0.1.0"; it stands at the head of every file.

    Returns:
        The names of the files.
    """
    sources = collect([target.rpartition(".")[0] for target in (MODEL | PROCESSOR | IMAGE_PROCESSOR).values()])
    for module, source in sources.items():
        with atomic(folder / f"{flat(module)}.py") as temporary:
            temporary.write_text(_header(module, origin) + source, encoding="utf-8")
    _name(folder / "config.json", MODEL)
    _name(folder / "processor_config.json", PROCESSOR)
    return [f"{flat(module)}.py" for module in sources]


def collect(roots: list[str]) -> dict[str, str]:
    """Return modules with all that they import of ours, directly or not, by name, with their imports rewritten."""
    found: dict[str, str] = {}
    wanted = list(dict.fromkeys(roots))
    while wanted:
        module = wanted.pop(0)
        if module not in found:
            found[module], needed = rewrite(_source(module))
            wanted += needed
    return dict(sorted(found.items()))


def rewrite(source: str) -> tuple[str, list[str]]:
    """Return a module's source with relative imports of our modules, and the names of these.

    Raises:
        ValueError: an import that cannot be told in that way: of a whole module or package, or a relative one.
    """
    lines = source.splitlines(keepends=True)
    needed = []
    for node in ast.walk(ast.parse(source)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
            if node.level or names[0] in OURS:
                raise ValueError(f"line {node.lineno} imports from {'.' * node.level}{names[0]}; name a module of it")
        ours = [name for name in names if name.split(".")[0] in OURS]
        if ours and isinstance(node, ast.Import):
            raise ValueError(f"line {node.lineno} imports {ours[0]} whole; write 'from {ours[0]} import ...'")
        if ours and isinstance(node, ast.ImportFrom):
            line = lines[node.lineno - 1]
            lines[node.lineno - 1] = line.replace(f"from {ours[0]} import", f"from .{flat(ours[0])} import", 1)
            needed.append(ours[0])
    return "".join(lines), needed


def flat(module: str) -> str:
    """Return the name that a module has in a bundle."""
    return module.replace(".", "_")


def _source(module: str) -> str:
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        raise ValueError(f"module {module} is not found")
    return Path(spec.origin).read_text(encoding="utf-8")


def _header(module: str, origin: str) -> str:
    return (
        f"# {module} of {origin}, written by 'vsre merge --with_code'; only imports differ.\n"
        "# SPDX-License-Identifier: Apache-2.0\n"
    )


def _name(settings_file: Path, classes: Mapping[str, str]) -> None:
    """Write ``auto_map``; the image processor's settings are part of the processor's and need their own."""
    settings: dict[str, Any] = json.loads(settings_file.read_text(encoding="utf-8"))
    if isinstance(inner := settings.get("image_processor"), dict):
        inner["auto_map"] = _references(IMAGE_PROCESSOR)
    write_json(settings_file, settings | {"auto_map": _references(classes)}, sort_keys=True)


def _references(classes: Mapping[str, str]) -> dict[str, str]:
    found = {}
    for name, path in classes.items():
        module, _, attribute = path.rpartition(".")
        found[name] = f"{flat(module)}.{attribute}"
    return found
