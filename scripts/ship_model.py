"""Copy a trained checkpoint into ``vsre/assets``, in half precision, with its card and checksums.

    .venv/bin/python scripts/ship_model.py checkpoints/tiny-base tiny-base \\
        --config configs/train/tiny-base.yaml --evaluation runs/tiny-base-eval
"""

import argparse
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import torch

from encoders.load import load_model
from spatial.files import write_json
from vsre.assets import ASSETS, CHECKSUMS

CARD = """# {name}

{parameters:,} parameters in float16, made to run the whole pipeline without a download. It knows sixteen nouns and
eight colours of rendered scenes, and nothing of photos.

- Made by: `vsre train {config}` (the file names the commands before it), seed {seed}, {steps} steps in {seconds:.0f} s
  on {processes} process(es), two CPU cores, no GPU.
- Data: renders of this project, content hash {data}. No photo, no third-party data.
- Versions: {versions}.
- Licence: Apache-2.0.

Scores on scenes whose two named nouns are never subject and object of one statement in training
(template {evaluation}, intervals clustered by image):

| about | n | accuracy, % |
| --- | --- | --- |
{scores}
{note}"""


def ship(checkpoint: Path, name: str, config: str, evaluation: Path, note: str) -> Path:
    """Write ``vsre/assets/<name>`` and return it."""
    out = ASSETS / name
    model, processor = load_model(checkpoint, torch.float16)
    shutil.rmtree(out, ignore_errors=True)
    model.save_pretrained(out)
    processor.save_pretrained(out)
    made = json.loads((checkpoint / "training.json").read_text())
    if "exposure" in made:  # what the model has seen of VSR, for 'vsre eval'
        write_json(out / "training.json", {"exposure": made["exposure"]})
    (out / "README.md").write_text(card(name, config, evaluation, note, made, model.num_parameters()))
    sums = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}" for path in sorted(out.iterdir())]
    (out / CHECKSUMS).write_text("\n".join(sums) + "\n")
    return out


def card(name: str, config: str, evaluation: Path, note: str, made: dict[str, Any], parameters: int) -> str:
    """Return the model card: how it was made, from what, and how well it does."""
    results = json.loads((evaluation / "results.json").read_text())
    plain = next(s for s in results["scores"] if s["decoder"] == "greedy" and s["image_mode"] == "image")
    rows = []
    for topic, score in sorted(plain["per_topic"].items()):
        accuracy, low, high = (100 * value for value in (score["accuracy"], *score["ci95"]))
        rows.append(f"| {topic} | {score['n']} | {accuracy:.1f} ({low:.1f}-{high:.1f}) |")
    return CARD.format(
        name=name,
        config=config,
        evaluation=", ".join(results["config"]["templates"]),
        parameters=parameters,
        seed=made["config"]["seed"],
        steps=made["steps"],
        seconds=made["seconds"],
        processes=made["processes"],
        data=", ".join(f"`{value}`" for value in made["data"].values()),
        versions=", ".join(f"{key} {value}" for key, value in made["versions"].items()),
        scores="\n".join(rows),
        note=f"\n{note}\n" if note else "",
    )


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("name")
    parser.add_argument("--config", required=True, help="the settings file that trained it")
    parser.add_argument("--evaluation", type=Path, required=True, help="run directory of 'vsre eval'")
    parser.add_argument("--note", default="", help="what else the card must say")
    arguments = parser.parse_args()
    print(ship(arguments.checkpoint, arguments.name, arguments.config, arguments.evaluation, arguments.note))


if __name__ == "__main__":
    main()
