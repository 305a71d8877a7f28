"""Settings of ``vsre datagen``, and by name all others of this room, which stand in two files by topic.

Standard library only, so that the command line stays quick.
"""

from dataclasses import dataclass, field

from datagen.config_folders import (
    CardConfig,
    ExportConfig,
    ImportConfig,
    ImportVsrConfig,
    LeakageConfig,
    PassesConfig,
)
from datagen.config_painting import (
    CalibrateConfig,
    EngineSettings,
    PaintSettings,
    PhotoSettings,
    ScaleSettings,
    VerifySettings,
    YieldConfig,
)

__all__ = [
    "CalibrateConfig",
    "CardConfig",
    "DatagenConfig",
    "EngineSettings",
    "ExportConfig",
    "ImportConfig",
    "ImportVsrConfig",
    "LeakageConfig",
    "PaintSettings",
    "PassesConfig",
    "PhotoSettings",
    "ScaleSettings",
    "VerifySettings",
    "YieldConfig",
]


@dataclass
class DatagenConfig:
    """What to render and where to put it.

    Attributes:
        out: dataset folder to write; finished shards in it are kept.
        groups: number of counterfactual groups (two images each).
        seed: the only source of randomness; the same seed gives the same bytes on any number of workers.
        split: "train" draws subject-object noun pairs that are not held out, "test" only held-out ones.
        relations: relation names, "all" for every relation that scenes can show exactly, or "ambiguous" for those that
            hold by convention only.
        contrasts: kinds of counterfactual: "direct" (a relation against its opposite), "swap" (of the roles),
            "confusable" (against a relation that is easily taken for it), "distractor" (the same of another object).
        weights: how often each relation is drawn: "contrasts" draws every contrast equally often, "relations" every
            relation, "vsr" as VSR does; or relation names with numbers.
        frames: "agree" draws left, right, front and back only where the viewer's reading is that of the object's own
            front, if it has one; "viewer" takes the viewer's reading whatever the object's own is.
        frame_conflict: with "agree", the share of groups about left, right, front and back in which the two readings
            differ, and every caption says which is meant; as many groups again say it where they agree. At most 0.5.
        nouns: what scenes are about: nouns, or names of sets ("all", "core", "vsr-zeroshot").
        exclude_nouns: nouns or sets that are never shown; by default those of the test that models are scored on.
        image_size: width and height of the images in pixels.
        supersample: anti-aliasing factor per axis.
        looks: "varied" draws rooms and open ground, lights, surfaces and cameras; "plain" a floor and a wall in
            one light; "varied-jpeg" compresses half of the images, whose pixels then depend on the JPEG library.
        distractors: largest number of further objects in a scene.
        assets: folder of your own meshes with their declarations, to be drawn beside the library's objects.
        statements: write true/false statements and two-way choices about the group's relation.
        dense: write captions, location, naming, presence, colour and count records of every image.
        groups_per_shard: groups in one Parquet shard, the unit of work and of resuming.
        workers: processes; 0 takes every core.
        rank: index of this machine or array task.
        world: number of machines or array tasks; shard k belongs to rank ``k % world``.
        dry_run: only measure some groups and tell what the run would take; nothing is written.
        engine: what paints the scenes; without a name, the renders are the images.
        verify: what judges painted pictures.
        paint: what is painted, and how often.
        scale: who paints.
    """

    out: str = "data/scenes"
    groups: int = 1000
    seed: int = 0
    split: str = "train"
    relations: list[str] = field(default_factory=lambda: ["all"])
    contrasts: list[str] = field(default_factory=lambda: ["direct", "swap", "confusable", "distractor"])
    weights: str | dict[str, float] = "contrasts"
    frames: str = "agree"
    frame_conflict: float = 0.1
    nouns: list[str] = field(default_factory=lambda: ["all"])
    exclude_nouns: list[str] = field(default_factory=lambda: ["vsr-zeroshot"])
    image_size: int = 128
    supersample: int = 2
    looks: str = "varied"
    distractors: int = 2
    assets: str = ""
    statements: bool = True
    dense: bool = False
    groups_per_shard: int = 64
    workers: int = 0
    rank: int = 0
    world: int = 1
    dry_run: bool = False
    engine: EngineSettings = field(default_factory=EngineSettings)
    verify: VerifySettings = field(default_factory=VerifySettings)
    paint: PaintSettings = field(default_factory=PaintSettings)
    scale: ScaleSettings = field(default_factory=ScaleSettings)
