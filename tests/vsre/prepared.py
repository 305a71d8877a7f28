"""What the commands of the documents find in a working copy: the folders that a page takes for granted, small."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

from datagen.config import DatagenConfig, ImportVsrConfig
from datagen.import_vsr import import_vsr
from datagen.run import generate
from spatial.shipped import shipped_folder
from vsre.roots import ROOT

PREPARED: dict[str, tuple[str, ...]] = {
    "README.md": ("checkpoints/mine", "data/mine", "data/vsr"),
    "adapters.md": ("checkpoints/mine",),
    "attention.md": ("runs/my/adapter", "data/my-test"),
    "ask.md": ("checkpoints/mine", "cup.png"),
    "audit.md": ("data/my-train", "data/coco/annotations", "data/vsr"),
    "conversations.md": ("runs/mine/too-long.json", "data/mine.json"),
    "data.md": ("data/vsr",),
    "datasets.md": ("data/mine",),
    "evaluation.md": ("checkpoints/my-expert", "data/quickstart-test", "data/vsr"),
    "feature-cache.md": ("data/my-train",),
    "feature-study.md": ("data/my-test", "data/photos", "runs/my/adapter"),
    "gallery.md": ("data/quickstart-test", "data/mine"),
    "interpret.md": ("data/quickstart-test", "runs/my/adapter"),
    "merge.md": ("runs/expert",),
    "objects.md": ("meshes",),
    "report.md": ("data/mine",),
    "start-here.md": ("pictures",),
    "templates.md": ("checkpoints/vsr-turn-g", "data/vsr-zeroshot-test"),
    "training.md": ("data/quickstart-train",),
}
"""By page: what its commands need and no command of the page makes."""

GROUPS = 12


def prepare(name: str, folder: Path) -> None:
    """Make ``name`` in a working copy."""
    place = folder / name
    place.parent.mkdir(parents=True, exist_ok=True)
    MAKERS[name](place)


def _dataset(settings: str) -> Callable[[Path], None]:
    def make(place: Path) -> None:
        values = yaml.safe_load((ROOT / settings).read_text())
        generate(DatagenConfig(**{**values, "out": str(place), "groups": GROUPS, "workers": 1}))

    return make


def _model(name: str) -> Callable[[Path], None]:
    def make(place: Path) -> None:
        shutil.copytree(shipped_folder(name), place)
        adapter = place / "adapter_config.json"
        if adapter.is_file():  # the shipped one names its base by where it lies
            settings = json.loads(adapter.read_text())
            base = (shipped_folder(name) / settings["base_model_name_or_path"]).resolve()
            adapter.write_text(json.dumps(settings | {"base_model_name_or_path": str(base)}))

    return make


def _annotations() -> list[dict[str, object]]:
    texts = [(ROOT / f"eval/assets/vsr/zeroshot.{part}.jsonl").read_text() for part in ("dev", "test")]
    return [json.loads(line) for text in texts for line in text.splitlines()]


def _vsr(place: Path) -> None:
    """Write a small picture of noise under the name of every photo of VSR's dev and test parts, and the annotations."""
    (place / "train2017").mkdir(parents=True)
    random = np.random.default_rng(0)
    for name in sorted({str(row["image"]) for row in _annotations()}):
        Image.fromarray(random.integers(0, 256, (32, 48, 3), dtype=np.uint8)).save(place / "train2017" / name)
    for part in ("dev", "test"):
        shutil.copy(ROOT / f"eval/assets/vsr/zeroshot.{part}.jsonl", place)


def _imported(place: Path) -> None:
    """Make a dataset folder of VSR's zero-shot test part, as the page about training on VSR does."""
    photos = place.parent / "vsr"
    _vsr(photos)
    import_vsr(ImportVsrConfig(str(place), str(photos), str(photos), splits=["zeroshot"], part="test"))


def _coco(place: Path) -> None:
    """Write COCO's file of instances for a hundred rows of VSR: two boxes on each photo, side by side."""
    rows = {str(row["image"]): row for row in _annotations()[:100]}
    names = sorted({str(row[key]) for row in rows.values() for key in ("subj", "obj")})
    images = [{"id": at, "file_name": name, "width": 48, "height": 32} for at, name in enumerate(rows)]
    boxes = [
        {"id": 2 * at + side, "image_id": at, "category_id": names.index(str(row[key])), "iscrowd": 0, "area": 200,
         "bbox": [4 + 24 * side, 8, 12, 16]}
        for at, row in enumerate(rows.values())
        for side, key in enumerate(("subj", "obj"))
    ]  # fmt: skip
    categories = [{"id": at, "name": name} for at, name in enumerate(names)]
    place.mkdir(parents=True)
    (place / "instances_val2017.json").write_text(
        json.dumps({"images": images, "annotations": boxes, "categories": categories})
    )


def _meshes(place: Path) -> None:
    import trimesh

    place.mkdir(parents=True)
    stool = trimesh.Scene()
    for name, size, height in (("Seat", (0.4, 0.06, 0.4), 0.47), ("Foot", (0.2, 0.44, 0.2), 0.22)):
        block = trimesh.creation.box(size)
        block.apply_translation((0, height, 0))
        stool.add_geometry(block, node_name=name)
    stool.export(place / "stool.glb")
    (place / "stool.yaml").write_text(
        "name: stool\nfile: stool.glb\nsize: [0.4, 0.4, 0.5]\ntop: 1.0\nparts: {Seat: seat}\n"
        "slots: {Seat: main, Foot: dark}\n"
    )


def _pictures(place: Path) -> None:
    """Make the folder that docs/start-here.md describes: its statements, and a picture of noise under each name."""
    statements = re.findall(r"```json\n(.*?)```", (ROOT / "docs" / "start-here.md").read_text(), flags=re.DOTALL)[0]
    place.mkdir(parents=True)
    (place / "statements.jsonl").write_text(statements)
    random = np.random.default_rng(0)
    for name in sorted({json.loads(line)["image"] for line in statements.splitlines()}):
        Image.fromarray(random.integers(0, 256, (48, 64, 3), dtype=np.uint8)).save(place / name)


def _picture(place: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8)).save(place)


def _text(text: str) -> Callable[[Path], None]:
    def make(place: Path) -> None:
        place.write_text(text)

    return make


TEST, TRAIN = "configs/datagen/quickstart-test.yaml", "configs/datagen/quickstart-train.yaml"

MAKERS: dict[str, Callable[[Path], None]] = {
    **dict.fromkeys(("data/mine", "data/my-test", "data/photos", "data/quickstart-test"), _dataset(TEST)),
    "data/vsr-zeroshot-test": _imported,
    **dict.fromkeys(("data/my-train", "data/quickstart-train"), _dataset(TRAIN)),
    **dict.fromkeys(("checkpoints/mine", "checkpoints/vsr-turn-g"), _model("tiny-base")),
    **dict.fromkeys(("checkpoints/my-expert", "runs/my/adapter", "runs/expert"), _model("tiny-expert")),
    "data/vsr": _vsr,
    "cup.png": _picture,
    "data/coco/annotations": _coco,
    "data/mine.json": _text('[{"id": "a"}, {"id": "b"}]'),
    "runs/mine/too-long.json": _text('["b"]'),
    "meshes": _meshes,
    "pictures": _pictures,
}
