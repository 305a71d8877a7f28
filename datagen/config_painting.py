"""Settings of painted pictures: engines, the verifier, what is painted and by whom.

Standard library only, so that the command line stays quick; ``datagen.config`` has all settings of this room.
"""

from dataclasses import dataclass, field

from datagen.config_folders import LeakageConfig


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
        calibration: file or folder that ``vsre calibrate`` wrote, or "tiny-verifier" for that of the shipped verifier;
            relations it does not trust are not accepted.
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
            "" repaints the whole box, as VSRE did. It runs on the CPU in float32, whatever ``engine.device`` is.
        one_sided: also take a caption that an engine paints as true alone, or as false alone: one that VSR shows with
            one photo, and all of an engine that paints from words. The caption, or the look of the engine, then tells
            the answer.
        leakage: what is not repainted, because a target tests it.
    """

    annotations: str = ""
    images: str = "data/vsr"
    instances: list[str] = field(default_factory=list)
    splits: list[str] = field(default_factory=lambda: ["random", "zeroshot"])
    masks: str = ""
    one_sided: bool = False
    leakage: LeakageConfig = field(default_factory=LeakageConfig)


@dataclass
class PaintSettings:
    """What is painted, and how often (docs/painting.md).

    Attributes:
        over: "scenes" paints the scenes of counterfactual groups; "photos" repaints VSR's photos as VSRE did, and
            ``groups`` is then the largest number of captions.
        seeds_per_spec: pictures of each scene or row, each with a seed of its own; a group shares its seeds.
        engines: further engines that take turns with ``engine.name`` over the seeds, with the settings of ``engine``.
        models: folders or hub names of the weights by engine, where there are several; without, each has its own.
        photos: what is repainted.
    """

    over: str = "scenes"
    seeds_per_spec: int = 1
    engines: list[str] = field(default_factory=list)
    models: dict[str, str] = field(default_factory=dict)
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
