"""What a training run can be told. Only the standard library is imported here, so that the command line stays fast."""

from dataclasses import dataclass, field
from typing import Any, Literal

Stage = Literal["towers", "pretrain", "full", "align", "finetune", "detector", "painter"]
LossPer = Literal["token", "statement"]
OptimizerChoice = Literal["trainer", "muon"]

ANSWERING: tuple[Stage, ...] = ("pretrain", "full", "align", "finetune")
"""Stages whose language model learns answers; the others have models, readers and losses of their own."""

FROZEN_TOWERS: tuple[Stage, ...] = ("align", "finetune", "full")
"""Those of them that leave the encoders as they are."""

FROM_NOTHING: tuple[Stage, ...] = ("detector", "painter")
"""Stages whose model is of a kind of its own; they need no checkpoint to start from."""

AUTO = "auto"
"""Value of ``TrainConfig.features`` that leaves the choice to ``training.features``."""

REPLACED = ("data", "tasks", "quantize")
"""Mappings that a stage, or a file that extends another, gives anew as a whole; trainer, lora and evaluate merge."""

WITHOUT_EFFECT = ("out", "features", "feature_cache", "peak_tflops", "dry_run", "nproc", "cpu_nproc")
"""Settings that leave the result as it is."""

TRAINER_WITHOUT_EFFECT = (
    "dataloader_num_workers",
    "dataloader_prefetch_factor",
    "dataloader_pin_memory",
    "disable_tqdm",
)
"""Fields of ``trainer`` that do, too."""


@dataclass
class LoraSettings:
    """Low-rank adapters on the language model, by default on every linear layer (LLaVA-1.5's shipped LoRA recipe).

    Attributes:
        r: rank.
        alpha: scale; the update is multiplied by ``alpha / r``.
        dropout: probability on the adapter's input.
        targets: "all-linear", a list of layer names such as [q_proj, v_proj], or a regular expression for whole paths;
            always of the language model only (``encoders.adapters``).
        dora: learn each weight's magnitude apart from its direction (DoRA, arXiv 2402.09353).
        options: other fields of ``peft.LoraConfig`` by name, such as {use_rslora: true} (docs/stages.md).
    """

    r: int = 128
    alpha: int = 256
    dropout: float = 0.05
    targets: str | list[str] = "all-linear"
    dora: bool = False
    options: dict[str, Any] = field(default_factory=dict)


@dataclass
class EvaluateSettings:
    """Scores on a small slice of data while training goes on.

    Attributes:
        every: optimizer steps between two evaluations; 0: none.
        settings: of ``vsre eval``: data, templates, batch_size; the model is the one in training.
        metric: score by which checkpoints are compared; more is better.
        keep: which checkpoint becomes the result: the "best" one by ``metric``, or the "last".
    """

    every: int = 0
    settings: dict[str, Any] = field(default_factory=dict)
    metric: str = "macro_accuracy"
    keep: Literal["best", "last"] = "best"


@dataclass
class TrainConfig:
    """One training run.

    Attributes:
        model: checkpoint directory to start from, ours or another family's (docs/other-models.md); "" for random
            weights, where the stage knows what to build ("detector", "painter").
        data: dataset folders, or LLaVA conversations in a .json or .jsonl file; all are pooled. As a mapping
            {folder: weight}, an epoch shows so many times as many images of a folder as it has, and an image that
            several folders hold for each of them; not in "towers", "detector" and "painter".
        images: folder of the pictures that LLaVA conversations name; "": the folder of the .json file.
        out: directory of the result. A finished one is not trained again, an unfinished one is resumed.
        stage: what trains. "towers": the encoders, with projector and word embeddings, on dense labels of renders
            (``training.dense``); tasks and templates are not used. "pretrain": everything, the encoders too. "full":
            everything but the encoders. "align": the projector alone. "finetune": LoRA on the language model, and the
            whole projector. "detector": the detector of ``encoders.detector``, on boxes, masks and depths of renders.
            "painter": the diffusion model of ``encoders.painter``, on renders and their control maps.
        stages: chained runs, each a mapping with a "name" and what differs from the settings beside ``stages``. Each
            starts from the result of the one before, which lies in ``out``/NAME; the last one's lies in ``out``.
            A "finetune" whose ``model`` is an adapter goes on training that adapter; other stages start from its
            merged weights.
        encoders: in stage "align", the encoders whose aligners train, the others being left out; empty: all. Not with
            fusion "channel", which has one aligner for all of them.
        lora: adapter sizes, used by "finetune".
        quantize: fields of ``transformers.BitsAndBytesConfig`` for the frozen language model (QLoRA, arXiv 2305.14314),
            such as {load_in_4bit: true}; used by "finetune".
        projector_learning_rate: peak rate of what joins encoders and language model (``multi_modal_projector``; other
            families call it otherwise); ``trainer.learning_rate`` if not given.
        tasks: weight of each kind of record as "task/topic", such as ``{"statement/relation": 2, "name/cell": 1}``, or
            of one relation of it, such as ``"statement/relation/facing"``, beside the rest of its kind; a kind that is
            not named is left out. Empty: every record is as likely as any other.
        templates: names of the templates to draw from, or "train", "held-out", "core", "own", "published",
            "reconstructed" for many (docs/templates.md); empty: the core ones. A record gets one that suits it.
        statements_per_image: records drawn for an image in each epoch; they share one image prefix in the batch. Of
            conversations, so many about an image come together, and all come in each epoch.
        loss_per: "token": every supervised token weighs the same. "statement": every statement does, long or short.
        encoder_dropout: probability that an encoder is left out of a training step (never all of them).
        features: cached features of the frozen encoders, which then do not run: a folder that 'vsre cache-features'
            wrote; "auto": where it pays (docs/feature-cache.md), in "feature-cache" beside ``out``; "": none. Only for
            "align", "finetune" and "full".
        feature_cache: folder of ``features: auto``; "": "feature-cache" beside ``out``.
        controls: folder of the control maps of the data, as 'vsre passes' writes them; used by "painter".
        max_seconds: training time, counted over resumed runs, after which the run ends and saves; 0: no limit. Of a
            chain, the limit of each stage.
        schedule: "trainer": as ``trainer.lr_scheduler_type`` says. "time": linear warm-up over
            ``trainer.warmup_steps``, then cosine to 0 at ``max_seconds``; such a run cannot be repeated bit by bit.
        optimizer: "trainer": as ``trainer.optim`` says, AdamW by default. "muon": Muon for the weight matrices and
            AdamW for the rest (``training.muon``), with the same learning rate; for training from random weights. Not
            with DeepSpeed or FSDP, which cut matrices into pieces.
        seed: of weights, order and draws.
        evaluate: scores on a slice of data while training goes on, and the choice of the best checkpoint.
        peak_tflops: of one device, for the model FLOP utilisation in the log; 0: as known of the device.
        dry_run: load no weights; print tokens, parameters, FLOPs, memory, cost, and the first batch as text.
        nproc: processes on this machine; 0: one per visible GPU, or as many as a launcher has started, or, without
            either, as ``cpu_nproc`` says.
        cpu_nproc: processes on a machine without a GPU where ``nproc`` is not given, at most one per core; 0: one, with
            a thread per core. Tiny models learn faster in two processes than in two threads.
        trainer: fields of ``transformers.TrainingArguments`` by name; "deepspeed" finds configs/deepspeed/zero2.json
            from anywhere (docs/launch.md).
    """

    model: str
    data: list[str] | dict[str, float]
    out: str
    images: str = ""
    stage: Stage = "finetune"
    stages: list[dict[str, Any]] = field(default_factory=list)
    encoders: list[str] = field(default_factory=list)
    lora: LoraSettings = field(default_factory=LoraSettings)
    quantize: dict[str, Any] = field(default_factory=dict)
    projector_learning_rate: float | None = None
    tasks: dict[str, float] = field(default_factory=dict)
    templates: list[str] = field(default_factory=list)
    statements_per_image: int = 8
    loss_per: LossPer = "token"
    encoder_dropout: float = 0.0
    features: str = ""
    feature_cache: str = ""
    controls: str = ""
    max_seconds: float = 0.0
    schedule: Literal["trainer", "time"] = "trainer"
    optimizer: OptimizerChoice = "trainer"
    seed: int = 0
    evaluate: EvaluateSettings = field(default_factory=EvaluateSettings)
    peak_tflops: float = 0.0
    dry_run: bool = False
    nproc: int = 0
    cpu_nproc: int = 0
    trainer: dict[str, Any] = field(default_factory=dict)
