"""Settings of what reads a dataset folder, exports it, or makes one of VSR or of an export.

Standard library only, so that the command line stays quick; ``datagen.config`` has all settings of this room.
"""

from dataclasses import dataclass, field


@dataclass
class CardConfig:
    """A dataset folder whose card is to be written anew.

    Attributes:
        dataset: dataset folder; may stand without ``--dataset``.
    """

    dataset: str


@dataclass
class ExportConfig:
    """A dataset folder, and the format to write it in.

    Attributes:
        dataset: dataset folder to export; may stand without ``--dataset``.
        to: "vsr", "llava", "coco", "datasets" or "webdataset".
        out: folder to write; one that holds this very export is left as it is.
        seed: llava: of the templates that are drawn for records, and of the order of options.
        templates: llava: names of the templates to draw from, or "train", "held-out", "core", "own", "published",
            "reconstructed" for many (docs/templates.md); empty: the core ones. A record gets one that suits it.
        turns: llava: most records of an image in one conversation; 0 puts all in one. With more than one, a model may
            read an answer off an earlier turn instead of the image.
        copies: llava: conversations per record (with several turns, per row of them), each in another template as far
            as enough of them suit it; then those come again, with the order of options drawn anew.
        images_per_shard: webdataset: images in one tar file.
        push_to: datasets: repository on the hub to push to, such as "me/spatial"; the token is that of 'hf auth login'
            or of the variable HF_TOKEN.
        private: datasets: make the repository private if it is new.
        dry_run: only measure a few images and tell what the export would take; nothing of it is written.
    """

    dataset: str
    to: str
    out: str
    seed: int = 0
    templates: list[str] = field(default_factory=list)
    turns: int = 1
    copies: int = 1
    images_per_shard: int = 1000
    push_to: str = ""
    private: bool = False
    dry_run: bool = False


@dataclass
class ImportConfig:
    """An exported folder, and the dataset folder to make of it.

    Attributes:
        source: folder that 'vsre export' wrote, in any format; may stand without ``--source``.
        out: dataset folder to write; it must not be there yet.
        images_per_shard: images in one Parquet shard.
    """

    source: str
    out: str
    images_per_shard: int = 256


@dataclass
class LeakageConfig:
    """What stays unseen, so that it can be evaluated on (docs/leakage.md).

    Attributes:
        target: "zeroshot", "random" or "both": rows that share a photo, or photo and caption, with the dev or test part
            of these splits of VSR are dropped. "files": with the rows of files of your own.
        files: annotation files (jsonl) whose rows all stay unseen, for target "files".
        strict: drop rows also where only the caption is that of a dev or test row.
    """

    target: str = "zeroshot"
    files: list[str] = field(default_factory=list)
    strict: bool = False


@dataclass
class ImportVsrConfig:
    """Which rows of VSR become a dataset folder, and what is left out of it.

    Attributes:
        out: dataset folder to write; shards in it that are finished are kept.
        annotations: folder with ``<split>.<part>.jsonl`` or ``<split>/<part>.jsonl``, or one jsonl file.
        images: folder of the photos, or of COCO's ``train2017`` and ``val2017``; ``vsre fetch vsr`` writes both.
        instances: COCO-format files with the objects' boxes, or folders of ``instances*.json``; templates that name
            boxes need them. Of several instances of a noun, the largest is taken.
        splits: "random" and "zeroshot", pooled; a row that both have counts once. Any other name is a selection of
            your own.
        part: "train", which the guard filters; "dev" or "test", which are for evaluation and stay whole.
        leakage: what the guard keeps out of the training part.
        photos_per_shard: photos in one Parquet shard, the unit of work and of resuming.
    """

    out: str = "data/vsr-train"
    annotations: str = "data/vsr"
    images: str = "data/vsr"
    instances: list[str] = field(default_factory=list)
    splits: list[str] = field(default_factory=lambda: ["random", "zeroshot"])
    part: str = "train"
    leakage: LeakageConfig = field(default_factory=LeakageConfig)
    photos_per_shard: int = 256


@dataclass
class PassesConfig:
    """Which control images are drawn of the scenes of a dataset folder, and where they are put.

    Attributes:
        data: dataset folder; may be given without its name.
        out: folder for the control images; one of the same pass, image and scale that is there is kept.
        passes: names of passes, as a list or with commas between; "all" for rgb, depth, inverse_depth, ids, parts,
            normals, edges and amodal.
        limit: number of images, the first ones by identifier; 0 takes all.
        scale: how many times wider and higher than the dataset's images.
        workers: processes; 0 takes every core.
    """

    data: str = ""
    out: str = ""
    passes: list[str] | str = "all"
    limit: int = 0
    scale: int = 1
    workers: int = 0
