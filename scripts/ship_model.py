"""Copy a trained checkpoint into ``vsre/assets``, in half precision, with its card and checksums.

An adapter stays one, in the precision that it was tuned in; its base must be a shipped model.

    .venv/bin/python scripts/ship_model.py checkpoints/tiny-base tiny-base \\
        --config configs/train/tiny-base.yaml --evaluation runs/tiny-base-eval --words runs/tiny-base-words.json
    .venv/bin/python scripts/ship_model.py checkpoints/tiny-expert tiny-expert \\
        --config configs/train/tiny-expert.yaml --evaluation runs/tiny-expert-eval
    .venv/bin/python scripts/ship_model.py checkpoints/tiny-verifier tiny-verifier \\
        --config configs/train/tiny-verifier.yaml --evaluation runs/tiny-verifier.json
    .venv/bin/python scripts/ship_model.py checkpoints/tiny-depth tiny-depth \\
        --config configs/train/tiny-depth.yaml --evaluation runs/painter.json
"""

import argparse
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from datagen.nouns import noun_sets
from encoders.detector import DetectorConfig
from encoders.detector_load import load_detector_weights
from encoders.load import base_of, load_model
from spatial.files import write_json
from spatial.proportion import percent, wilson
from spatial.shipped import ASSETS, CHECKSUMS
from spatial.vocabulary import COLOURS

ADAPTER_FILES = (
    "adapter_model.safetensors",
    "chat_template.jinja",
    "processor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
)

CARDS = Path(__file__).parent / "cards"
PICTURES = {"renders": "the renders", "painted": "painted with control", "uncontrolled": "painted without control"}


def ship_painter(checkpoint: Path, name: str, config: str, evaluation: Path, note: str) -> Path:
    """Write ``vsre/assets/<name>`` of a painter and return it; ``evaluation`` is what measure_painter.py wrote."""
    from encoders.painter import load_painter  # needs diffusers, which the other models do not

    out = ASSETS / name
    painter = load_painter(checkpoint, torch.float16)
    shutil.rmtree(out, ignore_errors=True)
    painter.save_pretrained(out)
    for path in out.rglob("*.json"):
        written = json.loads(path.read_text())
        written.pop("_name_or_path", None)  # where it lay on this machine
        write_json(path, written)
    made, results = json.loads((checkpoint / "training.json").read_text()), json.loads(evaluation.read_text())
    rows = []
    for kind, title in PICTURES.items():
        score = results[kind]
        parts = [counted(score[key], score["objects"]) for key in ("there", "in_place", "coloured")]
        parts.append(counted(score["pictures_in_place"], score["pictures"]))
        rows.append(f"| {title} | {score['objects']} | {' | '.join(parts)} |")
    words = painter.words
    text = _text("painter").format(
        name=name,
        config=config,
        parameters=sum(parameter.numel() for parameter in painter.unet.parameters()),
        size=painter.size,
        nouns=len(words.nouns),
        listed=", ".join(words.nouns),
        colours=len(words.colours),
        pictures=results["painted"]["pictures"],
        tested=results["data"],
        least=results["least_score"],
        painting_steps=results["steps"],
        guidance=results["guidance"],
        painting_seconds=results["seconds"],
        cores=results["cores"],
        scores="\n".join(rows),
        **facts(made, note),
    )
    (out / "README.md").write_text(text)
    write_sums(out)
    return out


def _text(name: str) -> str:
    """Return the text of a card, with fields to fill in."""
    return (CARDS / f"{name}.md").read_text()


def percentage(share: float | None, bounds: Sequence[float] | None) -> str:
    """Return a share in percent with its interval; "-" where there is none."""
    return f"{percent(share)} ({'-'.join(map(percent, bounds))})" if bounds else percent(share)


def counted(count: int, total: int) -> str:
    """Return a percentage with its Wilson interval."""
    return percentage(count / total, wilson(count / total, total))


def ship_detector(checkpoint: Path, name: str, config: str, evaluation: Path, note: str) -> Path:
    """Write ``vsre/assets/<name>`` of a detector and return it; ``evaluation`` is what measure_verifier.py wrote."""
    out = ASSETS / name
    model = load_detector_weights(checkpoint, torch.float16)
    shutil.rmtree(out, ignore_errors=True)
    model.save_pretrained(out)
    made, results = json.loads((checkpoint / "training.json").read_text()), json.loads(evaluation.read_text())
    rows = []
    for kind in ("renders", "weathered", "doubled"):
        score = results[kind]
        rates = " | ".join(f"{100 * score[key]:.1f}" for key in ("recall", "precision", "exact_pictures"))
        order = f"{100 * score['depth_order']:.1f} ({score['depth_pairs']})"
        rows.append(
            f"| {kind} | {score['pictures']} | {rates} | {score['box_iou']:.2f} | {score['mask_iou']:.2f} | {order} |"
        )
    text = _text("detector").format(
        name=name,
        config=config,
        parameters=model.num_parameters(),
        nouns=len(model.config.nouns),
        listed=", ".join(model.config.nouns),
        least=results["least_score"],
        tested=results["data"],
        scores="\n".join(rows),
        **{kind: 100 * rate for kind, rate in results["spoiled_found"].items()},
        **facts(made, note),
    )
    (out / "README.md").write_text(text)
    write_sums(out)
    return out


def facts(made: dict[str, Any], note: str) -> dict[str, Any]:
    """Return what every card says of a training run."""
    return {
        "seed": made["config"]["seed"],
        "steps": made["steps"],
        "seconds": made["seconds"],
        "processes": made["processes"],
        "data": ", ".join(f"`{value}`" for value in made["data"].values()),
        "versions": ", ".join(f"{key} {value}" for key, value in made["versions"].items()),
        "note": f"\n\n{note}" if note else "",
    }


def write_sums(out: Path) -> None:
    """Write the checksums of a folder's files, and of the base of an adapter, as ``vsre doctor`` reads them."""
    files = {path.relative_to(out).as_posix(): path for path in sorted(out.rglob("*")) if path.is_file()}
    files.pop(CHECKSUMS, None)
    if (out / "adapter_config.json").is_file():
        base = base_of(out)
        told = ("README.md", CHECKSUMS)  # neither changes what the adapter does
        files |= {f"../{base.name}/{path.name}": path for path in sorted(base.iterdir()) if path.name not in told}
    sums = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {name}" for name, path in files.items()]
    (out / CHECKSUMS).write_text("\n".join(sums) + "\n")


def ship(checkpoint: Path, name: str, config: str, evaluation: Path, note: str, words: Path | None = None) -> Path:
    """Write ``vsre/assets/<name>`` and return it; ``words`` is what measure_base.py wrote."""
    out = ASSETS / name
    model, processor = load_model(checkpoint, torch.float16)
    shutil.rmtree(out, ignore_errors=True)
    model.save_pretrained(out)
    processor.save_pretrained(out)
    made = json.loads((checkpoint / "training.json").read_text())
    if "exposure" in made:  # what the model has seen of VSR, for 'vsre eval'
        write_json(out / "training.json", {"exposure": made["exposure"]})
    for earlier in checkpoint.glob("*/training.json"):  # stages of the same chain
        stage = json.loads(earlier.read_text())
        made |= {key: made[key] + stage[key] for key in ("steps", "seconds")} | {"data": stage["data"] | made["data"]}
    made["data"].pop("evaluate", None)  # what it was scored on meanwhile
    (out / "README.md").write_text(card(name, config, evaluation, note, made, model.num_parameters(), words))
    write_sums(out)
    return out


def ship_adapter(checkpoint: Path, name: str, config: str, evaluation: Path, note: str) -> Path:
    """Write ``vsre/assets/<name>`` of an adapter of a shipped model and return it."""
    base = base_of(checkpoint).resolve()
    if base.parent != ASSETS.resolve():
        raise SystemExit(f"{checkpoint} is an adapter of {base}, which is not shipped; merge it with 'vsre merge'")
    out = ASSETS / name
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    for kept in ADAPTER_FILES:
        shutil.copyfile(checkpoint / kept, out / kept)
    settings = json.loads((checkpoint / "adapter_config.json").read_text())
    write_json(out / "adapter_config.json", settings | {"base_model_name_or_path": f"../{base.name}"})
    made = json.loads((checkpoint / "training.json").read_text())
    if "exposure" in made:
        write_json(out / "training.json", {"exposure": made["exposure"]})
    results, plain = _greedy(evaluation)
    low, high = plain["pair_ci95"]
    text = _text("adapter").format(
        name=name,
        base=base.name,
        config=config,
        parameters=sum(weight.numel() for weight in load_file(out / "adapter_model.safetensors").values()),
        evaluation=", ".join(results["config"]["templates"]),
        pairs=plain["pairs"],
        pair_accuracy=100 * plain["pair_accuracy"],
        pair_low=100 * low,
        pair_high=100 * high,
        scores="\n".join(_score_rows(plain["per_topic"] | plain["per_relation"])),
        **facts(made, note),
    )
    (out / "README.md").write_text(text)
    write_sums(out)
    return out


def _greedy(evaluation: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the results of an evaluation, and those of plain answers about the pictures."""
    results = json.loads((evaluation / "results.json").read_text())
    return results, next(s for s in results["scores"] if s["decoder"] == "greedy" and s["image_mode"] == "image")


def _score_rows(scores: dict[str, Any]) -> Iterator[str]:
    for about, score in sorted(scores.items()):
        yield f"| {about} | {score['n']} | {percentage(score['accuracy'], score['ci95'])} |"


def card(
    name: str, config: str, evaluation: Path, note: str, made: dict[str, Any], parameters: int, words: Path | None
) -> str:
    """Return the model card: how it was made, from what, and how well it does."""
    sets = [json.loads((Path(folder) / "dataset.json").read_text())["nouns"] for folder in made["data"]]
    nouns = sorted({noun for named in sets for item in named for noun in noun_sets().get(item, (item,))})
    results, plain = _greedy(evaluation)
    return _text("model").format(
        name=name,
        config=config,
        evaluation=", ".join(results["config"]["templates"]),
        parameters=parameters,
        colours=len(COLOURS),
        nouns=len(nouns),
        listed=", ".join(nouns),
        words=_text("words").format(rows="\n".join(_said(json.loads(words.read_text())["scores"]))) if words else "",
        scores="\n".join(_score_rows(plain["per_topic"])),
        **facts(made, note),
    )


def _said(scores: dict[str, Any]) -> Iterator[str]:
    for asked, score in scores.items():
        kind, _, what = asked.partition(": ")
        yield f"| {kind} | {what} | {score['n']} | {percentage(score['mean'], score['ci95'])} |"


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("name")
    parser.add_argument("--config", required=True, help="the settings file that trained it")
    parser.add_argument(
        "--evaluation",
        type=Path,
        required=True,
        help="run directory of 'vsre eval', or a detector's or painter's scores",
    )
    parser.add_argument("--words", type=Path, help="what measure_base.py wrote")
    parser.add_argument("--note", default="", help="what else the card must say")
    arguments = parser.parse_args()
    ship_one, more = _writer(arguments.checkpoint), {"words": arguments.words} if arguments.words else {}
    given = (arguments.checkpoint, arguments.name, arguments.config, arguments.evaluation, arguments.note)
    print(ship_one(*given, **more))


def _writer(checkpoint: Path) -> Callable[..., Path]:
    """Return what ships this kind of checkpoint."""
    if (checkpoint / "model_index.json").is_file():
        return ship_painter
    if (checkpoint / "adapter_config.json").is_file():
        return ship_adapter
    detector = DetectorConfig.model_type in (checkpoint / "config.json").read_text()
    return ship_detector if detector else ship


if __name__ == "__main__":
    main()
