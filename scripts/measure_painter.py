"""Paint renders again that the painter has not learned from, and write for its card how much of them is there.

    .venv/bin/vsre datagen configs/datagen/tiny-stage.yaml --split test --seed 77 --groups 600 \\
        --out data/tiny-stage-test
    .venv/bin/python scripts/measure_painter.py checkpoints/tiny-depth data/tiny-stage-test --out runs/painter.json

The renders themselves, the same scenes painted with control, and painted from their prompts alone, are shown to the
detector that is shipped. An object is there if its noun is found anywhere, and in place if the box found shares half of
the union with the object's own. Its colour is right if the mean colour of its pixels is nearest to that of renders of
its noun in that colour, of eight.
"""

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from datagen.config import EngineSettings
from datagen.engines.base import Order
from datagen.engines.orders import orders_of
from datagen.engines.tiny import NAME, load
from datagen.verify.base import Detection
from datagen.verify.tiny import load_detector
from encoders.painter import GUIDANCE, STEPS
from spatial.boxes import overlap
from spatial.dataset import DatasetFolder
from spatial.files import write_json
from spatial.records import ImageObject, ImageRow, decode_image, decode_mask
from spatial.scene import Scene
from spatial.vocabulary import COLOURS

Pixels = NDArray[np.uint8]

IN_PLACE = 0.5
LEAST_SCORE = 0.3


def mean_colour(pixels: Pixels, item: ImageObject) -> NDArray[np.float64]:
    """Return the mean colour (3,) of an object's pixels."""
    return pixels[decode_mask(item.mask_rle, *pixels.shape[:2])].mean(axis=0)


def known_colours(rows: Sequence[ImageRow]) -> dict[tuple[str, str], NDArray[np.float64]]:
    """Return the mean colour of renders of each noun in each colour, as far as there are any."""
    seen = defaultdict(list)
    for row in rows:
        pixels = np.array(decode_image(row.image, row.image_id))
        for item in row.objects:
            seen[item.name, item.colour].append(mean_colour(pixels, item))
    return {key: np.mean(values, axis=0) for key, values in seen.items()}


def named_colour(pixels: Pixels, item: ImageObject, known: dict[tuple[str, str], NDArray[np.float64]]) -> str:
    """Return the colour word whose renders of this noun are nearest to what is painted in the object's place."""
    mean = mean_colour(pixels, item)
    words = [word for word in COLOURS if (item.name, word) in known]
    return min(words, key=lambda word: float(np.linalg.norm(known[item.name, word] - mean)))


def judge(
    pictures: Sequence[Pixels],
    found: Sequence[Sequence[Detection]],
    rows: Sequence[ImageRow],
    known: dict[tuple[str, str], NDArray[np.float64]],
) -> dict[str, Any]:
    """Return how many objects are there, in place, and in place with their colour, and whole pictures of these."""
    counts = dict.fromkeys(("there", "in_place", "coloured", "pictures_in_place"), 0)
    for pixels, detections, row in zip(pictures, found, rows, strict=True):
        whole = True
        for item in row.objects:
            same = [it for it in detections if it.name == item.name and it.score >= LEAST_SCORE]
            placed = any(overlap(it.box, item.box_xyxy) >= IN_PLACE for it in same)
            counts["there"] += bool(same)
            counts["in_place"] += placed
            counts["coloured"] += placed and named_colour(pixels, item, known) == item.colour
            whole &= placed
        counts["pictures_in_place"] += whole
    return {"pictures": len(rows), "objects": sum(len(row.objects) for row in rows), **counts}


def paint(model: str, orders: Sequence[Order], **changed: Any) -> tuple[list[Pixels], float]:
    """Return painted pictures, and seconds for each."""
    engine = load(EngineSettings(name=NAME, model=model, batch_size=10, **changed))
    start = time.perf_counter()
    pixels = [painting.pixels for painting in engine.paint(orders)]
    return pixels, (time.perf_counter() - start) / len(orders)


def write_sheet(path: Path, shown: dict[str, Sequence[Pixels]], columns: int = 10) -> None:
    """Write pictures below each other by kind, in blocks of so many columns."""
    side, gap, kinds = shown["renders"][0].shape[0] + 2, 8, len(shown)
    count = len(shown["renders"])
    blocks = -(-count // columns)
    sheet = Image.new("RGB", (columns * side, blocks * (kinds * side + gap)), "white")
    for index in range(count):
        top = index // columns * (kinds * side + gap)
        for line, pictures in enumerate(shown.values()):
            sheet.paste(Image.fromarray(pictures[index]), (index % columns * side, top + line * side))
    sheet.save(path)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("data", type=Path, help="dataset folder of renders that the painter has not learned from")
    parser.add_argument("--detector", default="tiny-verifier", help="folder of another detector")
    parser.add_argument("--out", type=Path, help="JSON file for the card")
    parser.add_argument("--sheet", type=Path, help="picture to look at: renders above what was painted of them")
    parser.add_argument("--limit", type=int, default=400)
    parser.add_argument("--steps", type=int, default=0)
    parser.add_argument("--guidance", type=float, default=-1.0)
    arguments = parser.parse_args()
    folder = DatasetFolder(arguments.data)
    everything = [folder.images[image_id] for image_id in sorted(folder.images)]
    rows = everything[: arguments.limit]
    orders = [order for row in rows for order in orders_of([Scene.from_json(row.scene)], 0, row.image_id)]
    given = {"steps": arguments.steps, "guidance": arguments.guidance}
    shown: dict[str, Sequence[Pixels]] = {"renders": [np.array(decode_image(row.image, row.image_id)) for row in rows]}
    shown["painted"], seconds = paint(arguments.checkpoint, orders, **given)
    shown["uncontrolled"], _ = paint(arguments.checkpoint, orders, without_control=True, **given)
    if arguments.sheet:
        write_sheet(arguments.sheet, shown)
    detector, known = load_detector(arguments.detector), known_colours(everything)
    nouns = [sorted(detector.vocabulary or ())] * len(rows)
    scores: dict[str, Any] = {
        kind: judge(pictures, detector.detect(pictures, nouns), rows, known) for kind, pictures in shown.items()
    }
    scores |= {
        "data": folder.content_hash(),
        "least_score": LEAST_SCORE,
        "steps": arguments.steps or STEPS,
        "guidance": GUIDANCE if arguments.guidance < 0 else arguments.guidance,
        "seconds": round(seconds, 4),
        "cores": f"{torch.get_num_threads()} CPU core(s)",
    }
    print(json.dumps(scores, indent=2))
    if arguments.out:
        write_json(arguments.out, scores)


if __name__ == "__main__":
    main()
