"""What the faults start from, made once by the command line itself: tiny data, a tuned adapter, an evaluation, exports.

Everything is as small as it can be: six groups of pictures of 64 pixels in three shards, six steps of tuning.
"""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from tests.forked import ROOT, start

DATA = (
    "--groups=6 --groups_per_shard=2 --image_size=64 --supersample=1 --workers=1 --looks=plain --frames=viewer"
    " --distractors=1 --relations=[left of,right of,above,below] --nouns=[core] --exclude_nouns=[]"
)

FORMATS = ("vsr", "llava", "coco", "datasets", "webdataset")

PHOTOS = 6


def words(line: str) -> list[str]:
    """Split a command line at its spaces, but not within brackets."""
    parts: list[str] = []
    depth = 0
    for word in line.split(" "):
        if depth:
            parts[-1] += f" {word}"
        elif word:
            parts.append(word)
        depth += sum(word.count(sign) for sign in "[{") - sum(word.count(sign) for sign in "]}")
    return parts


DATAGEN = ("datagen", *words(DATA))

PAINTED = (
    "datagen",
    *words(
        "--groups=4 --groups_per_shard=2 --image_size=64 --supersample=1 --workers=1 --looks=plain --frames=viewer"
        " --seed=4 --contrasts=[direct] --nouns=[core] --exclude_nouns=[] --engine.name=tiny-depth"
        " --engine.batch_size=4"
        " --engine.steps=4 --verify.calibration=tiny-verifier --relations=[left of,right of,above,below]"
    ),
)

TRAIN = (
    "train",
    "--model=tiny-base",
    "--stage=finetune",
    "--lora.r=4",
    "--lora.alpha=8",
    "--statements_per_image=2",
    "--nproc=1",
    *(
        f"--trainer.{setting}"
        for setting in (
            "max_steps=6",
            "save_steps=2",
            "per_device_train_batch_size=4",
            "logging_steps=2",
            "learning_rate=1e-3",
            "report_to=none",
        )
    ),
)

ASKED = ("--data.tasks=[statement]", "--templates=[question]", "--batch_size=4", "--bootstrap=100")

EVAL = ("eval", "--model=tiny-base", "--nproc=1", *ASKED)

DECODERS = "--decoders=[greedy,scale(alpha=0.5),scale(alpha=1.2)]"


def make(folder: Path) -> None:
    """Make what is not there yet; a killed call goes on where it was."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, arguments in _commands(folder):
        if not (folder / f".{name}.done").exists():
            if not name.startswith("features"):
                shutil.rmtree(folder / name, ignore_errors=True)
            _run(folder, name, arguments)
            (folder / f".{name}.done").touch()
    if not (folder / "vsr").is_dir():
        _photos(folder)


def _commands(folder: Path) -> list[tuple[str, Sequence[str]]]:
    exports = [(f"as-{to}", ("export", "data", f"--to={to}", f"--out=as-{to}")) for to in FORMATS]
    return [
        ("data", (*DATAGEN, "--out=data")),
        ("painted", (*PAINTED, "--out=painted")),
        ("features", ("cache-features", "--data=[data]", "--out=features", "--batch_size=4")),
        ("adapter", (*TRAIN, "--data=[data]", "--out=adapter")),
        ("scored", (*EVAL, DECODERS, "--data.path=data", "--out=scored")),
        ("merged", ("merge", "adapter", "--out=merged")),
        *exports,
    ]


def _run(folder: Path, name: str, arguments: Sequence[str]) -> None:
    ended = start(arguments, folder, folder / f".{name}.log").result()
    if ended.code:
        raise SystemExit(f"chaos: {name} cannot be made: {ended.text[-2000:]}")


def _photos(folder: Path) -> None:
    """Make rows as VSR has them, about photos that are one colour each."""
    partial = folder / ".vsr"
    shutil.rmtree(partial, ignore_errors=True)
    (partial / "train2017").mkdir(parents=True)
    rows = []
    for number in range(PHOTOS):
        name = f"{number:012d}.jpg"
        Image.new("RGB", (48, 40), (40 * number, 90, 200 - 30 * number)).save(partial / "train2017" / name)
        row = {"image": name, "image_link": f"http://images.cocodataset.org/train2017/{name}"}
        row |= {"caption": f"The cup is {'left' if number % 2 else 'right'} of the book.", "label": number % 2}
        row |= {"relation": f"{'left' if number % 2 else 'right'} of", "subj": "cup", "obj": "book"}
        rows.append(json.dumps(row | {"annotator_id": 1, "vote_true_validator_id": [1], "vote_false_validator_id": []}))
    for split in ("mine.test.jsonl", "mine.train.jsonl"):
        (partial / split).write_text("\n".join(rows) + "\n", encoding="utf-8")
    partial.rename(folder / "vsr")


TINY_BASE = ROOT / "vsre" / "assets" / "tiny-base"
