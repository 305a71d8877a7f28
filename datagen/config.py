"""Settings of ``vsre datagen``. Standard library only, so that the command line stays quick."""

from dataclasses import dataclass, field


@dataclass
class DatagenConfig:
    """What to render and where to put it.

    Attributes:
        out: dataset folder to write; finished shards in it are kept.
        groups: number of counterfactual groups (two images each).
        seed: the only source of randomness; the same seed gives the same bytes on any number of workers.
        split: "train" draws subject-object noun pairs that are not held out, "test" only held-out ones.
        relations: relation names, or "all" for every relation that has a constructive proposal.
        image_size: width and height of the images in pixels.
        supersample: anti-aliasing factor per axis.
        distractors: largest number of further objects in a scene.
        statements: write true/false statements and two-way choices about the group's relation.
        dense: write captions, location, naming, presence, colour and count records of every image.
        groups_per_shard: groups in one Parquet shard, the unit of work and of resuming.
        workers: processes; 0 takes every core.
        rank: index of this machine or array task.
        world: number of machines or array tasks; shard k belongs to rank ``k % world``.
    """

    out: str = "data/scenes"
    groups: int = 1000
    seed: int = 0
    split: str = "train"
    relations: list[str] = field(default_factory=lambda: ["all"])
    image_size: int = 128
    supersample: int = 2
    distractors: int = 2
    statements: bool = True
    dense: bool = False
    groups_per_shard: int = 64
    workers: int = 0
    rank: int = 0
    world: int = 1
