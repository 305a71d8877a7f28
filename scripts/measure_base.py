"""Ask a model in words for what it must know before it can learn relations, and write the scores for its card.

    .venv/bin/vsre datagen configs/datagen/quickstart-test.yaml
    .venv/bin/python scripts/measure_base.py checkpoints/tiny-base data/quickstart-test --out runs/tiny-base-words.json

The answers are written by the model, greedily, and compared with the record's. "name": the noun, and noun with colour.
"cell": the very cell, and that or one of the eight around it. "box": both corners, and the mean overlap of the box
that the words name with the right one. "count": the number. The intervals are Wilson's.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from encoders.load import load_model
from spatial.dataset import DatasetFolder
from spatial.files import write_json
from spatial.proportion import percent, wilson
from spatial.records import Record, decode_image
from spatial.templates import TEMPLATES, render
from vsre.assets import resolve_model

ASKED = {"name/cell": "name", "locate/cell": "locate", "locate/box": "box", "count/count": "count"}
"""Kinds of records, and the template that asks."""

BATCH = 32
LONGEST = 8
"""Of an answer, in tokens."""


def ask(model: Any, processor: Any, records: Sequence[Record], folder: DatasetFolder) -> Iterator[str]:
    """Yield what the model answers to each record."""
    images = folder.record_set().images
    for start in tqdm(range(0, len(records), BATCH), unit="batch", leave=False):
        part = records[start : start + BATCH]
        prompts = [render(record, TEMPLATES[ASKED[f"{record.task}/{record.topic}"]], 0) for record in part]
        text = [
            processor.apply_chat_template(prompt.messages, add_generation_prompt=True, tokenize=False)
            for prompt in prompts
        ]
        shown = [decode_image(images[record.image_id].image, record.image_id) for record in part]
        inputs = processor(text=text, images=shown, padding=True, return_tensors="pt").to(model.device)
        with torch.inference_mode():
            written = model.generate(**inputs, max_new_tokens=LONGEST, do_sample=False)
        for row in written[:, inputs["input_ids"].shape[1] :]:
            yield processor.tokenizer.decode(row, skip_special_tokens=True).strip()


def cells(text: str) -> list[tuple[int, int]]:
    """Return the cells that a text names: "x1 y2 to x4 y6" gives two."""
    words = [word for word in text.split() if word[0] in "xy" and word[1:].isdigit()]
    pairs = zip(words[::2], words[1::2], strict=False)
    return [(int(x[1:]), int(y[1:])) for x, y in pairs if x[0] == "x" and y[0] == "y"]


def overlap(answer: str, right: str) -> float:
    """Return the cells that two boxes share over those of either; 0 where the answer names none."""
    found, wanted = cells(answer), cells(right)
    if len(found) != 2:
        return 0.0
    lengths = [(min(a[1][i], b[1][i]) - max(a[0][i], b[0][i]) + 1) for a, b in [(found, wanted)] for i in (0, 1)]
    shared = max(lengths[0], 0) * max(lengths[1], 0)
    areas = [max(b[0] - a[0] + 1, 0) * max(b[1] - a[1] + 1, 0) for a, b in (found, wanted)]
    return shared / (sum(areas) - shared) if sum(areas) > shared else 0.0


def judge(record: Record, answer: str) -> dict[str, float]:
    """Return what is right about an answer, by the name of the score."""
    right = record.answer
    if record.task == "name":
        return {"noun": float(answer.endswith(record.concepts[0])), "colour and noun": float(answer == right)}
    if record.topic == "cell":
        (x, y), found = cells(right)[0], cells(answer)
        near = len(found) == 1 and max(abs(found[0][0] - x), abs(found[0][1] - y)) <= 1
        return {"cell": float(answer == right), "cell or one beside it": float(near)}
    if record.topic == "box":
        return {"both corners": float(answer == right), "overlap": overlap(answer, right)}
    return {"number": float(answer == right)}


def main() -> None:
    """Ask, count, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="checkpoint, or the name of a shipped model")
    parser.add_argument("data", type=Path, help="dataset folder")
    parser.add_argument("--limit", type=int, default=400, help="records of each kind")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    model, processor = load_model(resolve_model(arguments.model), torch.float32)
    folder = DatasetFolder(arguments.data)
    every = folder.record_set().records
    result: dict[str, Any] = {"model": arguments.model, "data": str(arguments.data), "scores": {}}
    for kind in ASKED:
        records = [record for record in every if f"{record.task}/{record.topic}" == kind]
        order = np.random.default_rng(0).permutation(len(records))[: arguments.limit]
        records = [records[index] for index in order]
        judged = [
            judge(record, answer)
            for record, answer in zip(records, ask(model.eval(), processor, records, folder), strict=True)
        ]
        for name in judged[0] if judged else ():
            values = [scores[name] for scores in judged]
            mean = float(np.mean(values))
            low, high = wilson(mean, len(values))
            result["scores"][f"{ASKED[kind]}: {name}"] = {"mean": mean, "ci95": [low, high], "n": len(values)}
            interval = f"{percent(low)} to {percent(high)}"
            print(f"{kind:<12} {name:<24} {percent(mean):>5} % ({interval}), n = {len(values)}")
    write_json(arguments.out, result)


if __name__ == "__main__":
    main()
