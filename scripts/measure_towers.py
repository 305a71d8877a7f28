"""Ask each visual token of a model which word of each kind it is nearest to, and compare with what lies in its cell.

    .venv/bin/vsre datagen configs/datagen/quickstart-test.yaml
    .venv/bin/python scripts/measure_towers.py tiny-base data/quickstart-test --out runs/tiny-base-towers.json

No language model runs: this is what stage "towers" trains. Only cells that an object covers count. "noun by cell"
weighs each cell alike, "noun by object" asks all cells of an object together.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm import tqdm

from encoders.load import load_model
from spatial.dataset import DatasetFolder
from spatial.files import write_json
from spatial.proportion import percent, wilson
from spatial.vocabulary import NOUNS
from training.collate import IGNORED
from training.dense import ANSWERS, DenseCollator, DenseImages, DenseTask
from vsre.assets import resolve_model

BATCH = 32


def count(task: DenseTask, batch: dict[str, Tensor], encoders: Sequence[str], hits: dict[str, list[int]]) -> None:
    """Add the hits (0 or 1) of a batch to ``hits``, by name of the score."""
    features = task.vision_tower(batch["pixel_values"], encoders=encoders or None)
    for name, (score_BNK, target_BN) in zip(ANSWERS, task.word_scores(features, batch), strict=True):
        known = target_BN != IGNORED
        right = score_BNK.argmax(dim=-1) == target_BN
        hits.setdefault(f"{name} by cell", []).extend(right[known].int().tolist())
        if name != "noun":
            continue
        for score_NK, target_N in zip(score_BNK.log_softmax(dim=-1), target_BN, strict=True):
            for noun in target_N[target_N != IGNORED].unique():  # two of a noun count as one
                guess = score_NK[target_N == noun].sum(dim=0).argmax()
                hits.setdefault("noun by object", []).append(int(guess == noun))
                hits.setdefault(f"noun: {NOUNS[int(noun)]}", []).append(int(guess == noun))


def main() -> None:
    """Score the tokens and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="checkpoint directory, or the name of a shipped model")
    parser.add_argument("data", type=Path, help="dataset folder of renders")
    parser.add_argument("--encoders", default="", help="names, with commas; the others are left out")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    folder = DatasetFolder(args.data)
    model, processor = load_model(resolve_model(args.model))
    task = DenseTask(model, processor.tokenizer)
    model.eval()
    images = DenseImages([folder.record_set()])
    collate: Any = DenseCollator(processor, task.grids)
    hits: dict[str, list[int]] = {}
    encoders = [name for name in args.encoders.split(",") if name]
    with torch.inference_mode():
        for batch in tqdm(DataLoader(images, batch_size=BATCH, collate_fn=collate), unit="batch", leave=False):
            count(task, batch, encoders, hits)
    result: dict[str, Any] = {"model": args.model, "encoders": encoders or "all", "data": str(args.data), "scores": {}}
    for name, found in sorted(hits.items()):
        mean = sum(found) / len(found)
        low, high = wilson(mean, len(found))
        result["scores"][name] = {"mean": mean, "ci95": [low, high], "n": len(found)}
        print(f"{name:<24} {percent(mean):>5} % ({percent(low)} to {percent(high)}), n = {len(found)}")
    write_json(args.out, result)


if __name__ == "__main__":
    main()
