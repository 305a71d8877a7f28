"""Kill commands with signal 9, then give the same command again: it must end where one that was not killed ends.

The moment is drawn over the seconds that the command takes unharmed, or is the one in which a file appears, so that
kills also fall into the middle of a checkpoint. What was finished at the kill and is promised to be kept must be the
same file, with the same time, in the end.
"""

import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.bench import (
    LOST,
    RESUMED,
    TRACED,
    WRONG,
    Bench,
    Defect,
    Fault,
    check_refused,
    check_same,
    contents,
    last_lines,
)
from tests.chaos.made import DATAGEN, DECODERS, EVAL, FORMATS, PAINTED, TRAIN

PIPELINE = """\
out: out
steps:
  - name: data
    command: datagen
    settings: {groups: 4, groups_per_shard: 1, image_size: 64, supersample: 1, workers: 1, looks: plain, frames: viewer,
      relations: [left of, right of], nouns: [core], exclude_nouns: []}
  - name: expert
    command: train
    settings:
      model: tiny-base
      data: ["step:data"]
      nproc: 1
      lora: {r: 4, alpha: 8}
      trainer: {max_steps: 4, save_steps: 1, per_device_train_batch_size: 4, report_to: none}
  - name: eval
    command: eval
    settings: {model: "step:expert", nproc: 1, bootstrap: 50, batch_size: 4, templates: [question],
      data: {path: "step:data", tasks: [statement]}}
"""

AXES = """\
axes:
  - name: groups
    values: {"2": {data: {groups: 2}}, "4": {data: {groups: 4}}}
score: eval
"""


@dataclass(frozen=True)
class Stage:
    """A command that is killed.

    Attributes:
        name: for the table.
        command: the command line on inputs in ``{made}``; its output is ``out`` in the working directory.
        kept: patterns of files in ``out`` that, finished once, are not made again.
        differ: patterns of files that may differ from those of an unharmed run.
        prepare: puts input files into the working directory.
        moments: patterns of files in ``out`` on whose appearance it is killed, too.
    """

    name: str
    command: Sequence[str]
    kept: Sequence[str] = ()
    differ: Sequence[str] = ()
    prepare: Callable[[Bench], object] | None = None
    moments: Sequence[str] = ()


PARTS = ("predictions/*",)
"""Their names are drawn; what they hold stands in predictions.parquet, too."""

SHARDS = ("images/shard-*.parquet", "records/shard-*.parquet")

LOOK = ("--data.path={made}/data", "--data.topics=[relation]", "--data.tasks=[statement]", "--templates=[question]")

TUNE = (*TRAIN, "--data=[{made}/data]", "--out=out")

STAGES = (
    Stage("datagen, renders", (*DATAGEN, "--out=out"), ("records/shard-*.parquet",), moments=SHARDS),
    Stage("datagen, 2 workers", (*DATAGEN, "--workers=2", "--out=out"), ("records/shard-*.parquet",)),
    Stage(
        "datagen, painted",
        (*PAINTED, "--out=out"),
        ("records/shard-*.parquet",),
        ("times/*",),
        moments=("rejected/*/*",),
    ),
    Stage(
        "calibrate",
        ("calibrate", "{made}/data", "--out=out", "--images=12", "--faults_each=4"),
        ("trials/*",),
        moments=("trials/*",),
    ),
    Stage(
        "cache-features",
        ("cache-features", "--data=[{made}/data]", "--out=out", "--batch_size=4"),
        ("*/*.safetensors",),
        moments=("*/*.safetensors", "*/key.json"),
    ),
    Stage("train", TUNE, moments=("checkpoints/*", "checkpoints/*/optimizer.pt", "adapter_model.safetensors")),
    Stage("train, cached features", (*TUNE, "--features={made}/features")),
    Stage(
        "train, two stages",
        (*TUNE, '--stages=[{{"name":"one","stage":"align"}},{{"name":"two","stage":"finetune"}}]'),
        moments=("one/training.json", "two/checkpoints/*"),
    ),
    Stage(
        "eval",
        (*EVAL, DECODERS, "--data.path={made}/data", "--out=out"),
        ("predictions/*.parquet",),
        PARTS,
        moments=("predictions/*", "*.parquet"),
    ),
    Stage("attend", ("attend", "--out=out", "--examples=1", "--batch_size=4", *LOOK), moments=("*.parquet",)),
    Stage(
        "interpret",
        ("interpret", "--out=out", "--pairs=2", "--tier=0", "--knockouts=2", "--modes=[image]", *LOOK),
        ("parts/*/*.parquet",),
        ("parts/*/*",),  # of every setting ever used here; what counts of them stands in the tables
        moments=("parts/*/*",),
    ),
    Stage(
        "study", ("study", "{made}/data", "--out=out", "--folds=2", "--samples=4", "--batch_size=4", "--bootstrap=50")
    ),
    Stage("audit", ("audit", "{made}/data", "--out=out", "--folds=2", "--bootstrap=50"), moments=("features/*",)),
    Stage(
        "run",
        ("run", "pipeline.yaml"),
        ("data/records/shard-*.parquet",),
        ("steps/*", "*/predictions/*"),
        lambda bench: (bench.folder / "pipeline.yaml").write_text(PIPELINE),
        ("steps/*", "expert/checkpoints/*"),
    ),
    Stage(
        "matrix",
        ("matrix", "matrix.yaml"),
        ("data*/records/shard-*.parquet",),
        ("steps/*", "*/predictions/*"),
        lambda bench: (bench.folder / "matrix.yaml").write_text(PIPELINE + AXES),
    ),
    *(Stage(f"export, {name}", ("export", "{made}/data", f"--to={name}", "--out=out")) for name in FORMATS),
    *(
        Stage(f"import, {name}", ("import", "{made}/as-" + name, "--out=out", "--images_per_shard=4"))
        for name in FORMATS
    ),
    Stage(
        "import-vsr",
        (
            "import-vsr",
            "--annotations={made}/vsr",
            "--images={made}/vsr",
            "--splits=[mine]",
            "--out=out",
            "--photos_per_shard=2",
        ),
        ("records/shard-*.parquet",),
        moments=SHARDS,
    ),
    Stage("gallery", ("gallery", "{made}/data", "--out=out", "--sheet=out/sheets")),
    Stage("passes", ("passes", "{made}/data", "--out=out", "--workers=1"), ("index/*.json",), moments=("index/*",)),
    Stage("review", ("review", "{made}/data", "--out=out", "--per_relation=2")),
    Stage("report", ("report", "--evaluations={{base: {made}/scored}}", "--data={made}/data", "--out=out")),
    Stage("compare", ("compare", "{made}/scored", "{made}/scored", "--out=out")),
    Stage("sweep", ("sweep", "{made}/scored", "--share=0.5", "--out=out")),
    Stage("merge", ("merge", "{made}/adapter", "--out=out"), moments=("model.safetensors",)),
    Stage("build-model", ("build-model", "--base=tiny-base", "--encoders=[siglip,dinov2]", "--out=out")),
    Stage("card", ("card", "out"), prepare=lambda bench: bench.copy("data", "out")),
    Stage("yield", ("yield", "out"), prepare=lambda bench: bench.copy("painted", "out")),
)


def command_of(stage: Stage, made: Path) -> list[str]:
    """Return the command line of a stage on what was made."""
    return [part.format(made=made) for part in stage.command]


def unharmed(stage: Stage, bench: Bench) -> tuple[float, dict[str, str]]:
    """Return the seconds of an undisturbed run and what it wrote; run once and remembered in ``made``."""
    # As deep as the folders of faults: pages link to what they were made from.
    whole = Bench(bench.made.parent / "unharmed" / stage.name, bench.made, bench.random)
    place = whole.folder / ".expected.json"
    if not place.exists():
        shutil.rmtree(whole.folder, ignore_errors=True)
        whole.folder.mkdir(parents=True)
        if stage.prepare is not None:
            stage.prepare(whole)
        ended = whole.done(*command_of(stage, bench.made))
        found = contents(whole.folder / "out", stage.differ)
        place.write_text(json.dumps([ended.seconds, found]), encoding="utf-8")
    seconds, found = json.loads(place.read_text(encoding="utf-8"))
    return seconds, found


def kill(
    stage: Stage, bench: Bench, moment: str = "", times: int = 1, between: Callable[[], None] | None = None
) -> str:
    """Kill a stage, at random or when a file appears, and hold that the same command ends as if it had not been.

    Args:
        stage: what is killed.
        bench: where.
        moment: pattern of files in ``out``; "" draws the moment.
        times: how often it is started and killed.
        between: called before the last start.

    Raises:
        Defect: it does not.
    """
    seconds, expected = unharmed(stage, bench)
    if stage.prepare is not None:
        stage.prepare(bench)
    out = bench.folder / "out"
    command = command_of(stage, bench.made)
    for _ in range(times):
        running = bench.start(*command)
        if moment:
            running.wait(2 * seconds + 30, until=lambda: any(out.glob(moment)))
            time.sleep(bench.random.uniform(0, 0.05))
        else:
            running.wait(bench.random.uniform(0, 1) * seconds, until=lambda: False)
        running.kill()
        running.result()
    before = {path: stamp(path) for pattern in stage.kept for path in out.glob(pattern)}
    if between is not None:
        between()
        before = {path: was for path, was in before.items() if stamp(path) == was}  # what it damages is made again
    ended = bench.run(*command)
    if ended.code == 2 and "there already" in ended.text:  # the kill came when all was done
        check_refused(ended)
    elif ended.code or ended.traced:
        raise Defect(TRACED if ended.traced else LOST, f"exit code {ended.code}: {last_lines(ended.text)}")
    again = [path.name for path, was in before.items() if not path.exists() or stamp(path) != was]
    if again:
        raise Defect(WRONG, f"made again though it was finished: {', '.join(sorted(again)[:5])}")
    if not out.exists():
        raise Defect(LOST, "there is no result")
    check_same(contents(out, stage.differ), expected)
    return RESUMED


def stamp(path: Path) -> tuple[int, int]:
    """Return what changes where a file is written again."""
    status = path.stat()
    return status.st_ino, status.st_mtime_ns


def kill_faults(rounds: int) -> list[Fault]:
    """Return kills of every stage: at each of its moments, and so many times at random, the last of them twice."""
    faults = []
    for stage in STAGES:
        for moment in stage.moments:
            faults.append(_fault(stage, f"when {moment} appears", moment=moment))
        for number in range(rounds):
            last = number == rounds - 1 and rounds > 1
            faults.append(_fault(stage, f"{'twice ' if last else ''}at random, {number + 1}", times=2 if last else 1))
    return faults


def _fault(stage: Stage, name: str, moment: str = "", times: int = 1) -> Fault:
    return Fault(stage.name, "kill", name, lambda bench: kill(stage, bench, moment, times))
