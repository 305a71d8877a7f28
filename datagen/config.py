"""Settings of ``vsre datagen`` and of what makes, counts, checks and carries datasets.

Standard library only, so that the command line stays quick.
"""

from dataclasses import dataclass, field


@dataclass
class EngineSettings:
    """An image engine and how it paints (docs/diffusion.md).

    Attributes:
        name: of ``datagen.engines.registry.ENGINES``; "" paints nothing, the dataset is of renders.
        model: folder or hub name of the weights; "" takes the engine's own.
        control: folder or hub name of the weights of its control network; "" takes the engine's own.
        revision: of the weights on the hub.
        loras: folders, files or hub names of LoRA weights, such as those of few-step sampling.
        scheduler: name of a diffusers scheduler, with settings in parentheses if need be; "" keeps that of the weights.
        steps: of denoising; 0 takes the engine's own number.
        guidance: scale of classifier-free guidance; negative takes the engine's own.
        control_strength: of the control network.
        control_start: share of the steps before the control sets in.
        control_end: share of the steps after which the control ceases.
        strength: of repainting where an engine starts from a picture: 0 leaves it, 1 forgets it.
        per_object: after the whole picture, repaint every object on its own with its own prompt, the farthest first.
        without_control: paint from the prompt alone, for comparison.
        size: width and height at which the engine paints, before the picture is scaled; 0 takes its own.
        batch_size: pictures at once.
        dtype: "float32", "bfloat16" or "float16".
        device: "auto", "cpu", "cuda" or "cuda:1".
        offload: "none", "model" or "sequential": what leaves the GPU while it is not used.
    """

    name: str = ""
    model: str = ""
    control: str = ""
    revision: str = ""
    loras: list[str] = field(default_factory=list)
    scheduler: str = ""
    steps: int = 0
    guidance: float = -1.0
    control_strength: float = 0.8
    control_start: float = 0.0
    control_end: float = 1.0
    strength: float = 0.6
    per_object: bool = False
    without_control: bool = False
    size: int = 0
    batch_size: int = 4
    dtype: str = "float32"
    device: str = "auto"
    offload: str = "none"


@dataclass
class VerifySettings:
    """Which models judge painted pictures, and how strict they are (docs/verification.md).

    Attributes:
        detectors: "tiny", "owlv2" or "grounding-dino", or with a folder or hub name as "owlv2=DIR"; all must agree.
        depth: "tiny" or "depth-anything", likewise; "" has no model judge depth.
        judges: "vqa=DIR" of a vision-language model that is not the one to be tuned; empty asks no questions.
        tuned: folder of the model that the data are to tune, if it is known; no judge may be that model.
        safety: folder or hub name of a classifier that tells what is not fit to be published; "" checks nothing.
        least_score: of the detection of a thing that was intended.
        surplus_score: of that of a thing that was not, from which it counts as one too many.
        least_overlap: intersection over union of a detected box with the intended one.
        most_offset: distance of their centres, as a share of the picture's width.
        calibration: file that ``vsre calibrate`` wrote; relations it does not trust are not accepted.
        unread: what becomes, without a calibration, of a picture with a claim that only poses could tell: "reject", or
            "accept" on its objects, layout and depth alone.
        device: "auto", "cpu", "cuda" or "cuda:1".
    """

    detectors: list[str] = field(default_factory=lambda: ["tiny"])
    depth: str = "tiny"
    judges: list[str] = field(default_factory=list)
    tuned: str = ""
    safety: str = ""
    least_score: float = 0.2
    surplus_score: float = 0.3
    least_overlap: float = 0.5
    most_offset: float = 0.15
    calibration: str = ""
    unread: str = "reject"
    device: str = "auto"


@dataclass
class CalibrateConfig:
    """On which renders the verifier is measured, and when it is trusted (docs/verification.md).

    Attributes:
        data: dataset folder of renders with statements; may stand without ``--data``.
        out: folder for the result; a run that was stopped goes on in it.
        verify: the verifier.
        images: renders that are held against what they show and against what they do not, in whole groups; 0 takes all.
        faults: kinds of faults that are put into renders, or "all" (docs/verification.md).
        faults_each: pictures of each kind; 0 puts in none.
        most_wrong: a relation is trusted if at most this share of the pictures that do not show it is accepted, with
            95 % certainty: the upper end of the share's interval counts.
        least_images: and if it was measured on so many of them.
        seed: of the choice of renders and of the faults.
    """

    data: str = "data/calibration"
    out: str = "runs/calibration"
    verify: VerifySettings = field(default_factory=VerifySettings)
    images: int = 5000
    faults: list[str] = field(default_factory=lambda: ["all"])
    faults_each: int = 500
    most_wrong: float = 0.05
    least_images: int = 30
    seed: int = 0


@dataclass
class CardConfig:
    """A dataset folder whose card is to be written anew.

    Attributes:
        dataset: dataset folder; may stand without ``--dataset``.
    """

    dataset: str


@dataclass
class YieldConfig:
    """A painted dataset folder whose yields are to be counted.

    Attributes:
        dataset: dataset folder; may stand without ``--dataset``.
        beside: further dataset folders to count in the same table, such as the same specs without control.
        calibration: file of ``vsre calibrate`` about the verifier, if it was measured later; "" takes that of the run.
    """

    dataset: str
    beside: list[str] = field(default_factory=list)
    calibration: str = ""


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


@dataclass
class PhotoSettings:
    """Which of VSR's rows and photos are repainted, with ``paint.over`` "photos"; always of the training part.

    Attributes:
        annotations: as of ``vsre import-vsr``; "" takes the folder that the variable VSR_ANNOTATIONS names, or
            ``data/vsr``.
        images: folder of the photos, or of COCO's ``train2017`` and ``val2017``.
        instances: COCO-format files with the objects' boxes, or folders of ``instances*.json``; engines that repaint a
            box need them.
        splits: "random" and "zeroshot", pooled; a row that both have counts once.
        masks: folder or hub name of a Segment Anything model; of a box only the thing that it finds in it is repainted.
            "" repaints the whole box, as VSRE did.
        leakage: what is not repainted, because a target tests it.
    """

    annotations: str = ""
    images: str = "data/vsr"
    instances: list[str] = field(default_factory=list)
    splits: list[str] = field(default_factory=lambda: ["random", "zeroshot"])
    masks: str = ""
    leakage: LeakageConfig = field(default_factory=LeakageConfig)


@dataclass
class PaintSettings:
    """What is painted, and how often (docs/painting.md).

    Attributes:
        over: "scenes" paints the scenes of counterfactual groups; "photos" repaints VSR's photos as VSRE did, and
            ``groups`` is then the largest number of captions.
        seeds_per_spec: pictures of each scene or row, each with a seed of its own; a group shares its seeds.
        engines: further engines that take turns with ``engine.name`` over the seeds, with the settings of ``engine``.
        photos: what is repainted.
    """

    over: str = "scenes"
    seeds_per_spec: int = 1
    engines: list[str] = field(default_factory=list)
    photos: PhotoSettings = field(default_factory=PhotoSettings)


@dataclass
class ScaleSettings:
    """Who paints and verifies (docs/painting.md).

    Attributes:
        by: "here" does both in this process, beside others of ``rank`` and ``world``; "ray" has Ray Data feed a pool of
            painters and a pool of verifiers.
        address: of a running Ray cluster, or "auto"; "" starts Ray on this machine.
        painters: processes that paint, each with its own engines.
        verifiers: processes that verify, each with its own models.
        gpus_per_painter: GPUs that each takes; may be a share of one.
        gpus_per_verifier: likewise.
        retries: how often a shard is tried again after an error that is no mistake of the settings; what was killed is
            always tried again.
    """

    by: str = "here"
    address: str = ""
    painters: int = 1
    verifiers: int = 1
    gpus_per_painter: float = 0.0
    gpus_per_verifier: float = 0.0
    retries: int = 2


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
