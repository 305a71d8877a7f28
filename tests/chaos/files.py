"""Files of all kinds that commands read, damaged in all ways: refused by name, or passed over and made again."""

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.bench import NAMED, REFUSED, TRACED, WRONG, Bench, Defect, Fault, check_refused, last_lines
from tests.chaos.damages import DAMAGES, OF_JSON
from tests.chaos.kills import STAGES, Stage, kill
from tests.chaos.made import ASKED, EVAL, TINY_BASE, TRAIN

ALL = tuple(DAMAGES)
FEW = ("cut short", "noise")


@dataclass(frozen=True)
class Read:
    """A file that a command reads.

    Attributes:
        stage: the command, for the table.
        source: what is copied: of what was made, or "tiny-base".
        file: path in the copy; a pattern takes the first that fits.
        command: command line on the copy, which is called ``given``.
        ways: how it is damaged.
        may_pass: the command may go on without what is damaged, if it says so or makes it again.
    """

    stage: str
    source: str
    file: str
    command: Sequence[str]
    ways: Sequence[str] = FEW
    may_pass: bool = False

    @property
    def all_ways(self) -> list[str]:
        """Return the ways in which it is damaged, with those of its kind."""
        of_kind = OF_JSON if self.file.endswith((".json", ".yaml")) else {}
        # A dataset of other makers may say anything, or nothing, about itself.
        return [*self.ways, *(way for way in of_kind if (self.file, way) != ("dataset.json", "other keys"))]


SCORE = (*EVAL, "--data.path=given", "--out=out")
ON_DATA = ("--data.path={made}/data", *ASKED, "--out=out")
MODEL = ("eval", "--model=given", "--nproc=1", *ON_DATA)
TUNE = (*TRAIN, "--out=out")

TUNE_GIVEN = (*TRAIN[:1], "--model=given", *TRAIN[2:], "--data=[{made}/data]", "--out=out")

READS = (
    Read("eval", "data", "images/shard-00001.parquet", SCORE, ALL),
    Read("eval", "data", "records/shard-00001.parquet", SCORE, ALL),
    Read("train", "data", "images/shard-00000.parquet", (*TUNE, "--data=[given]")),
    Read("train", "data", "records/shard-00002.parquet", (*TUNE, "--data=[given]")),
    Read("gallery", "data", "images/shard-00000.parquet", ("gallery", "given", "--out=out")),
    Read("export", "data", "images/shard-00000.parquet", ("export", "given", "--to=vsr", "--out=out")),
    Read("card", "data", "records/shard-00000.parquet", ("card", "given")),
    Read("card", "data", "dataset.json", ("card", "given")),
    Read("datagen", "data", "dataset.json", ("datagen", "--groups=6", "--out=given", "--dry_run=false")),
    Read("passes", "data", "images/shard-00000.parquet", ("passes", "given", "--out=out", "--workers=1")),
    Read("audit", "data", "records/shard-00000.parquet", ("audit", "given", "--out=out")),
    Read("study", "data", "images/shard-00000.parquet", ("study", "given", "--out=out", "--folds=2")),
    Read("calibrate", "data", "images/shard-00000.parquet", ("calibrate", "given", "--out=out", "--images=8")),
    Read("cache-features", "data", "images/shard-00000.parquet", ("cache-features", "--data=[given]", "--out=out")),
    Read("attend", "data", "records/shard-00000.parquet", ("attend", "--data.path=given", "--out=out")),
    Read("interpret", "data", "records/shard-00000.parquet", ("interpret", "--data.path=given", "--out=out")),
    Read("yield", "painted", "yield.json", ("yield", "given"), may_pass=True),
    Read("yield", "painted", "rejected/images/*.parquet", ("yield", "given")),
    Read("review", "painted", "calibration.json", ("review", "given", "--out=out"), may_pass=True),
    Read("eval", "tiny-base", "model.safetensors", MODEL, ALL),
    Read("eval", "tiny-base", "config.json", MODEL, ALL),
    Read("eval", "tiny-base", "tokenizer.json", MODEL),
    Read("eval", "tiny-base", "tokenizer_config.json", MODEL, may_pass=True),
    Read("eval", "tiny-base", "processor_config.json", MODEL, ALL),
    Read("eval", "tiny-base", "chat_template.jinja", MODEL, ("noise", "an HTML page", "empty"), may_pass=True),
    Read("eval", "tiny-base", "training.json", MODEL, may_pass=True),
    Read("eval", "adapter", "adapter_model.safetensors", MODEL, ALL),
    Read("eval", "adapter", "adapter_config.json", MODEL, ALL),
    Read("merge", "adapter", "adapter_model.safetensors", ("merge", "given", "--out=out")),
    Read("merge", "adapter", "adapter_config.json", ("merge", "given", "--out=out")),
    Read("train", "tiny-base", "model.safetensors", TUNE_GIVEN),
    Read("train", "adapter", "adapter_model.safetensors", TUNE_GIVEN),
    Read("train", "features", "*/*.safetensors", (*TUNE, "--data=[{made}/data]", "--features=given")),
    Read("train", "features", "*/key.json", (*TUNE, "--data=[{made}/data]", "--features=given"), may_pass=True),
    Read(
        "build-model", "tiny-base", "config.json", ("build-model", "--base=given", "--encoders=[siglip]", "--out=out")
    ),
    Read("doctor", "tiny-base", "config.json", ("doctor", "--model=given")),
    Read("compare", "scored", "predictions.parquet", ("compare", "given", "{made}/scored", "--out=out")),
    Read("compare", "scored", "results.json", ("compare", "given", "{made}/scored", "--out=out")),
    Read("sweep", "scored", "predictions.parquet", ("sweep", "given", "--out=out", "--share=0.5")),
    Read("report", "scored", "results.json", ("report", "--evaluations={{base: given}}", "--out=out")),
    Read("report", "scored", "predictions.parquet", ("report", "--evaluations={{base: given}}", "--out=out")),
    Read(
        "report",
        "adapter",
        "log.jsonl",
        ("report", "--evaluations={{base: {made}/scored}}", "--training={{a: given}}", "--out=out"),
        may_pass=True,
    ),
    Read("push", "merged", "config.json", ("push", "given", "--dry_run=true", "--repo=a/b")),
    Read("import, vsr", "as-vsr", "vsre.json", ("import", "given", "--out=out")),
    Read("import, vsr", "as-vsr", "*.jsonl", ("import", "given", "--out=out"), ALL),
    Read("import, llava", "as-llava", "train.json", ("import", "given", "--out=out"), ALL),
    Read("import, coco", "as-coco", "annotations/*.json", ("import", "given", "--out=out"), ALL),
    Read("import, datasets", "as-datasets", "train/*.arrow", ("import", "given", "--out=out"), ALL),
    Read("import, webdataset", "as-webdataset", "*.tar", ("import", "given", "--out=out"), ALL),
    Read(
        "import-vsr",
        "vsr",
        "mine.train.jsonl",
        ("import-vsr", "--annotations=given", "--images={made}/vsr", "--splits=[mine]", "--out=out"),
        ALL,
    ),
    Read(
        "eval",
        "vsr",
        "mine.test.jsonl",
        (
            "eval",
            "--data.kind=vsr",
            "--data.annotations=given",
            "--data.images={made}/vsr",
            "--data.split=test",
            "--data.variant=mine",
            "--nproc=1",
            "--out=out",
        ),
    ),
    Read("train", "as-llava", "train.json", (*TUNE, "--data=[given/{file}]", "--images=given"), ALL),
)

UNFINISHED = (
    ("eval", "predictions/*.parquet"),
    ("calibrate", "trials/*"),
    ("interpret", "parts/*/*"),
    ("run", "steps/*.json"),
    ("passes", "index/*.json"),
    ("audit", "features/*"),
    ("train", "checkpoints/*/optimizer.pt"),
    ("train", "checkpoints/*/trainer_state.json"),
    ("train", "checkpoints/job.json"),
    ("train", "checkpoints/*/adapter_model.safetensors"),
    ("cache-features", "*/key.json"),
    ("datagen, painted", "yield.json"),
    ("matrix", "steps/*.json"),
)
"""Files that a command itself left when it was killed, by stage; the first file of the pattern is damaged."""


def file_faults() -> list[Fault]:
    """Return every damage of every file."""
    faults = [
        Fault(read.stage, "damaged file", f"{read.source}/{read.file} is {way}", _read, (read, way))
        for read in READS
        for way in read.all_ways
    ]  # fmt: skip
    stages = {stage.name: stage for stage in STAGES}
    return faults + [
        Fault(name, "damaged leftover", f"{file} is {way}", _again, (stages[name], file, way))
        for name, file in UNFINISHED
        for way in FEW
    ]  # fmt: skip


def _read(bench: Bench, read: Read, way: str) -> str:
    given = bench.folder / "given"
    if read.source == "tiny-base":
        shutil.copytree(TINY_BASE, given)
    else:
        bench.copy(read.source, "given")
    path = first(given, read.file)
    ({**DAMAGES, **OF_JSON})[way](path, bench.random)
    if bench.random.random() < 0.5:  # without the sums by which the damage would be known at once
        (given / "SHA256SUMS").unlink(missing_ok=True)
    name = path.relative_to(given).as_posix()
    ended = bench.run(*(part.format(made=bench.made, file=name) for part in read.command))
    if ended.traced:
        raise Defect(TRACED, last_lines(ended.text))
    if ended.code == 0 and (read.may_pass or "is not what was exported" in ended.text):
        return NAMED
    check_refused(ended, says=rf"given|{re.escape(path.name)}|template")
    return REFUSED


def _again(bench: Bench, stage: Stage, file: str, way: str) -> str:
    """Kill a command when it has written a file, damage the file, and have the command go on."""

    def damage() -> None:
        found = [path for path in sorted((bench.folder / "out").glob(file)) if path.is_file()]
        if found:
            DAMAGES[way](found[0], bench.random)

    try:
        return kill(stage, bench, file, between=damage)
    except Defect as defect:
        logs = sorted(bench.folder.glob(".log-*.txt"))
        text = logs[-1].read_text(encoding="utf-8", errors="replace")
        if defect.kind == TRACED or "vsre: " not in text:
            raise
    line = [line for line in text.splitlines() if line.startswith("vsre: ")][-1]
    if Path(file).name.strip("*") not in line and "delete" not in line:
        raise Defect(WRONG, line)
    return REFUSED


def first(folder: Path, pattern: str) -> Path:
    """Return the first file in a folder that fits a pattern."""
    found = [path for path in sorted(folder.glob(pattern)) if path.is_file()]
    if not found:
        raise FileNotFoundError(f"no {pattern} in {folder}: {[path.name for path in folder.iterdir()]}")
    return found[0]
